"""From the value of an artifact to the references under which it is kept, or those that it has already."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from simpleml.errors import OfflineError, SerializationError, SimpleMLError, StoreUnreachableError, UnknownStoreError
from simpleml.persistables.display import one_line
from simpleml.persistables.ports import Database, keys_in
from simpleml.save_patterns.catalogue import choose_pattern, save_value
from simpleml.save_patterns.parts import each_part
from simpleml.save_patterns.pattern import check_reference
from simpleml.save_patterns.protocols import Store
from simpleml.types import Reference

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable


def store(owner: Persistable, name: str, database: Database, *, reuse: bool = True) -> dict[str, Reference]:
    """Put one artifact by each of its patterns; one that was inherited and never read keeps its references to objects of ours.

    These are looked at first. If one is not there, the value is read by any pattern that still works, and put again.
    """
    inherited, named = owner.filepaths.get(name, {}), owner.save_patterns[name]
    unread = reuse and bool(inherited) and name not in owner._values
    if unread and named in ((), tuple(inherited)) and _are_kept(owner, name, database):
        return inherited
    value = owner.get_artifact(name)
    if named:
        return {pattern: _put(owner, name, pattern, value, database) for pattern in named}
    pattern = choose_pattern(value)
    try:
        return {pattern: _put(owner, name, pattern, value, database)}
    except SerializationError:
        if pattern == "pickled":
            raise
        return {"pickled": _put(owner, name, "pickled", value, database)}  # nobody asked for the other one


def _are_kept(owner: Persistable, name: str, database: Database) -> bool:
    """Whether all objects that an artifact was inherited with are our own, and in their stores."""
    same_place = owner._inherit is not None and owner._inherit.ledger_id == database.ledger_id
    references = [check_reference(each, name) for each in owner.filepaths[name].values()]
    return same_place and _own(references, database) and all(_is_there(each, database) for each in references)


def _own(references: list[Reference], database: Database) -> bool:
    """Whether these objects stay for as long as we refer to them: those of a database that ours was copied from need not."""
    return all(database.owns(key) for reference in references for key in keys_in(reference))


def _is_there(reference: Reference, database: Database) -> bool:
    """Whether the object is in its store with its size, and was not found damaged, and each of its parts is in it; none is read.

    A store that cannot be asked (settings here do not name it, it is far away and `offline` is set, or it does not answer) is
    believed.
    """
    if database.places.found_damaged(reference["key"], reference["size"], reference["digest"]):
        return False
    with suppress(OfflineError, StoreUnreachableError, UnknownStoreError):
        place = database.places.store(reference["store"])
        return place.size(reference["key"]) == reference["size"] and _are_there(set(reference.get("parts", [])), place)
    return True


def _are_there(parts: set[str], place: Store) -> bool:
    missing: list[str] = []

    def look(key: str) -> None:
        if not missing and place.size(key) is None:
            missing.append(key)

    if parts:
        each_part(look, parts, place)
    return not missing


def _put(owner: Persistable, name: str, pattern: str, value: object, database: Database) -> Reference:
    try:
        return save_value(pattern, value, database.places)
    except SimpleMLError as error:
        raise retold(error, f"artifact {name!r} of {one_line(owner)}, by {pattern!r}: ") from error


def retold(error: SimpleMLError, prefix: str) -> SimpleMLError:
    """Return the same kind of error with a message that begins with `prefix`."""
    try:
        told = type(error)(f"{prefix}{error}")
    except TypeError:  # a class of somebody else's, made in another way
        error.add_note(prefix)
        return error
    told.__dict__.update(error.__dict__)
    if isinstance(error, OSError) and isinstance(told, OSError):
        told.errno = error.errno
    return told
