"""From a row to an object, and from a reference to the value of an artifact."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

from simpleml.encoding.faults import short
from simpleml.errors import (
    ArtifactLoadError,
    ArtifactMissingError,
    ArtifactUnsetError,
    EncodingError,
    IdentityError,
    RecordNotFoundError,
    SavePatternError,
    SimpleMLError,
    WrongClassError,
    known_names,
)
from simpleml.persistables.artifact import undeclared
from simpleml.persistables.classes import HINT, class_of
from simpleml.persistables.display import one_line
from simpleml.persistables.environment import compare, mismatches
from simpleml.persistables.identity import checked_id, checked_text, checked_version
from simpleml.persistables.labels import ALIASED, known_aliases, wanted_alias
from simpleml.persistables.lineage import check_roles
from simpleml.persistables.ports import Database, Row, current_database, keys_in
from simpleml.persistables.saving import origin_of, packages_of
from simpleml.persistables.scopes import several
from simpleml.persistables.storing import retold
from simpleml.save_patterns.catalogue import load_reference
from simpleml.save_patterns.locations.keys import is_key
from simpleml.save_patterns.pattern import check_reference
from simpleml.types import Reference

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

P = TypeVar("P", bound="Persistable")

_log = logging.getLogger(__name__)

_PARTS = ("config", "state", "artifacts", "library_versions")  # of the metadata, each a mapping


def load(
    cls: type[P],
    *,
    name: str | None,
    version: int | None,
    id: UUID | str | None,
    filters: Mapping[str, object],
    alias: str | None = None,
    mmap: bool = False,
) -> P:
    """Return one saved object of `cls`; see `Persistable.load`."""
    check_roles(cls, filters)
    found = _load(cls.kind, f"{cls.__name__}.load(…)", _wanted(name, version, id, alias, filters), mmap)
    if not isinstance(found, cls):
        own = found.registered_name
        raise WrongClassError(
            f"{found.name!r} version {found.version} is a {own}, not a {cls.__name__}: load it with {own}.load(…), or narrow "
            "the choice (version=…, registered_name=…)"
        )
    return found


def _wanted(
    name: str | None,
    version: int | None,
    id_: UUID | str | None,
    alias: str | None,
    filters: Mapping[str, object],
) -> dict[str, object]:
    wanted: dict[str, object] = {**filters, **wanted_alias(alias, name=name, version=version, id_=id_)}
    if id_ is not None:
        wanted["id"] = checked_id(id_)
    if name is not None:
        wanted["name"] = checked_text("name", name)
    if version is not None:
        wanted["version"] = checked_version(version)
    return wanted


def _load(kind: str, call: str, wanted: Mapping[str, object], mmap: bool) -> Persistable:
    database = current_database()
    if not isinstance(mmap, bool):
        raise IdentityError(f"{call} was given mmap = {short(mmap)} ({type(mmap).__name__}), but must be True or False")
    if not wanted.keys() - {"version"}:
        database.columns(kind)  # of a kind that there is not, that is what to tell
        raise IdentityError(f"{call} does not say what to load: give a name=, a name= and a version=, or an id=")
    row = row_of(kind, wanted, database)
    if row is None:
        raise _not_found(kind, wanted, database)
    alias = wanted.get(ALIASED)
    found = remembered(kind, row, database, alias if isinstance(alias, str) else None)
    found._mapped = mmap
    return found


def row_of(kind: str, wanted: Mapping[str, object], database: Database) -> Row | None:
    """Return the latest version of a name, or else the newest record that matches.

    Where versions are counted within a scope too (a metric's model), that is the newest of those with the highest version of
    all; a version or an alias of a name then means one record of each scope, and is an `IdentityError` if there are several.
    """
    scope, named = database.scope(kind), "name" in wanted
    single = named and ("version" in wanted or ALIASED in wanted)
    order = (*(("-version",) if named else ()), *(("-created_timestamp",) if scope or not named else ()))
    rows = database.select(kind, wanted, order_by=order, limit=2 if single else 1)
    if scope is not None and len(rows) > 1:
        raise several(f"{kind} {_told(wanted)}", kind, wanted, scope, database)
    return rows[0] if rows else None


def load_kind(
    kind: str | type[Persistable] | None = None,
    name: str | None = None,
    *,
    version: int | None = None,
    id: UUID | str | None = None,
    alias: str | None = None,
    mmap: bool = False,
    **filters: object,
) -> Persistable:
    """Return a saved object by its kind (`"model"`) or class, of whatever class it is; see `Persistable.load`."""
    if kind is None:
        raise IdentityError(
            "simpleml.load(…) does not say of which kind: simpleml.load('model', 'NAME'), or CLASS.load('NAME')"
        )
    if isinstance(kind, type):
        return load(kind, name=name, version=version, id=id, alias=alias, mmap=mmap, filters=filters)
    return _load(kind, f"simpleml.load({kind!r}, …)", _wanted(name, version, id, alias, filters), mmap)


def versions(cls: type[Persistable], name: str, filters: Mapping[str, object]) -> list[int]:
    """Return the versions of a name within the kind of `cls`, oldest first."""
    check_roles(cls, filters)
    rows = current_database().select(cls.kind, {**filters, "name": checked_text("name", name)}, order_by=("version",))
    return [row["version"] for row in rows]


def load_by_id(kind: str, id_: UUID, database: Database) -> Persistable | None:
    """Return the object with this id, of whatever class, or None."""
    rows = database.select(kind, {"id": id_}, limit=1)
    if not rows:
        return None
    return remembered(kind, rows[0], database)


def remembered(kind: str, row: Row, database: Database, alias: str | None = None) -> Persistable:
    """Return the object of a row (found by an alias, perhaps), which can be loaded here again without the network."""
    database.remember(kind, row, alias)
    found = from_row(row, database)
    if not found._lineage_declared.keys() <= found._parent_ids.keys():
        database.remember_parents(kind, row["id"])
    return found


def load_by_reference(kind: str, id_: str, _cls: type | None = None) -> Persistable:
    """Return the object that another process sent us a reference to; its class came along if it cannot be imported."""
    found = load_by_id(kind, checked_id(id_), current_database())
    if found is None:
        raise RecordNotFoundError(
            f"the {kind} {id_} is not in {current_database()!r}: connect to the database that the sender uses"
        )
    return found


def from_row(row: Row, database: Database) -> Persistable:
    """Return the object that a record of `database` stands for, of the most specific class."""
    metadata = deepcopy(metadata_of(row))
    cls = class_of(row["registered_name"], metadata.get(HINT), database.settings.import_packages)
    made = cls.from_dict(**row)
    made._origin = origin_of(made, database, metadata)
    return made


def metadata_of(row: Row) -> dict[str, Any]:
    """Return the metadata of a record, if it has the shape that saving gives it; `EncodingError` otherwise."""
    found = _plain(row, "metadata_")
    wrong = [part for part in _PARTS if part in found and not isinstance(found[part], dict)]
    artifacts = found.get("artifacts", {})
    if wrong or not all(isinstance(described, dict) for described in artifacts.values()):
        part = wrong[0] if wrong else "artifacts"
        raise EncodingError(
            f"the metadata of {row.get('name')!r:.80} has {part} = {short(found[part])}, which is not what simpleml writes: "
            "the record was edited"
        )
    return found


def _not_found(kind: str, wanted: Mapping[str, object], database: Database) -> RecordNotFoundError:
    """Return the error for nothing found, which tells what there is instead."""
    name = wanted.get("name")
    known = known_aliases(database, kind, name) if ALIASED in wanted else ""
    if isinstance(name, str) and not known:
        rows = database.select(kind, {"name": name}, order_by=("version",))
        if rows:
            known = f"known versions of {name!r}: {', '.join(map(str, sorted({row['version'] for row in rows})[-20:]))}"
        else:
            known = known_names(database.names(kind), near=name)
    later = "; what this transaction saves is there when it ends" if database.in_transaction else ""
    return RecordNotFoundError(
        f"no {kind} with {_told(wanted)} in {database!r}{later}; {known or 'look with query(…)'}"
    )


def _told(wanted: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key}={value!s:.80}" if key == "id" else f"{'alias' if key == ALIASED else key}={value!r:.80}"
        for key, value in wanted.items()
    )


def restore(cls: type[P], row: Row) -> P:
    """Return an object with the values of a record; `__init__` is not called, the restore hook is."""
    made: P = cls.__new__(cls)
    made._start(checked_id(row["id"]) if "id" in row else uuid4())
    for field in (
        "name",
        "project",
        "author",
        "version",
        "version_description",
        "hash_",
        "created_timestamp",
        "modified_timestamp",
    ):
        if field in row:
            setattr(made, field, row[field])
    made.metadata_ = metadata_of(row)
    made.filepaths = _plain(row, "filepaths")
    for name, patterns in made.filepaths.items():
        if not isinstance(patterns, dict):
            raise SavePatternError(
                f"{row.get('name')!r:.80} has filepaths[{short(name)}] = {short(patterns)}, not a mapping of save patterns to "
                "references: the record was edited"
            )
        chosen = made.metadata_.get("artifacts", {}).get(name, {}).get("save_patterns")
        if isinstance(chosen, list):
            made._patterns[name] = tuple(str(pattern) for pattern in chosen)
    for field in cls.record_fields:
        setattr(made, field, row.get(field))
    for role, declared in cls._lineage_declared.items():
        if f"{role}_id" in row:
            declared.set_id(made, row[f"{role}_id"])
    made.__post_restore__()
    return made


def _plain(row: Row, field: str) -> dict[str, Any]:
    value = row.get(field)
    if value is not None and not isinstance(value, dict):
        raise EncodingError(
            f"the {field.removesuffix('_')} of {row.get('name')!r:.80} is {short(value)}, not a mapping: the record was edited"
        )
    return dict(value) if value else {}


def load_artifact(owner: Persistable, name: str) -> Any:
    """Return the value of a stored artifact, by the first of its save patterns that works.

    What failed before is a warning in the log. With one pattern its own error comes out, prefixed with whose artifact it was;
    with several an `ArtifactLoadError` that carries all of them.
    """
    if name not in owner.filepaths:
        raise _without(owner, name)
    if not owner.filepaths[name]:
        raise SavePatternError(
            f"the record of {one_line(owner)} names no save pattern for its artifact {name!r}: the record was edited"
        )
    database = owner._database()
    places = database.places.mapped() if owner._mapped else database.places
    _check_environment(owner, database)
    causes: dict[str, Exception] = {}
    for pattern, reference in owner.filepaths[name].items():
        prefix = f"artifact {name!r} of {one_line(owner)}, by {pattern!r}: "
        try:
            checked = check_reference(reference, name)
            _check_ledger(checked, database)
            value = load_reference(pattern, checked, places)
        except SimpleMLError as error:
            causes[pattern] = retold(error, prefix)
            causes[pattern].__cause__ = error
        else:
            for cause in causes.values():
                _log.warning("%s; it was loaded by %r instead", str(cause).rstrip("."), pattern)
            return value
    if len(causes) == 1:
        raise next(iter(causes.values()))
    told = "; ".join(str(error).rstrip(".") for error in causes.values())
    raise ArtifactLoadError(f"every save pattern of artifact {name!r} failed: {told}", causes)


def _without(owner: Persistable, name: str) -> ArtifactMissingError | ArtifactUnsetError:
    """Return the error for an artifact that has no value; of one that was renamed it tells the name in the record."""
    declared = owner._artifacts_declared
    if name not in declared:
        return ArtifactMissingError(
            f"{type(owner).__name__} has no artifact {name!r}; {known_names(declared, near=name)}"
        )
    told = f"the artifact {name!r} of {one_line(owner)} was never set: assign it before it is read"
    if others := undeclared(owner, owner.filepaths):
        told += f"; {others}. If it was renamed, get_artifact('OLD NAME') reads it"
    return ArtifactUnsetError(told)


def _check_ledger(reference: Reference, database: Database) -> None:
    """Refuse objects that neither this database nor one it was copied from announced: whoever did may collect them whenever it likes."""
    foreign = [key for key in keys_in(reference) if is_key(key) and not database.knows(key)]
    if foreign:
        raise SavePatternError(
            f"the object {foreign[0]} belongs to another database, so no record of this one refers to it: the record was edited"
        )


def _check_environment(owner: Persistable, database: Database) -> None:
    """Compare the libraries that any artifact of `owner` imports with those recorded, once."""
    packages = packages_of(owner.filepaths.values())
    if owner._environment_checked or not packages or database.settings.environment == "ignore":
        return
    compare(
        one_line(owner),
        mismatches(owner.library_versions, owner.metadata_.get("platform"), packages),
        database.settings.environment,
    )
    owner._environment_checked = True
