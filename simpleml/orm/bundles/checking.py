"""What comes in is compared, field by field, with what this process would write itself, before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, ColumnElement, Enum, Integer, SmallInteger

from simpleml.encoding.faults import short
from simpleml.errors import BundleError, EncodingError, IdentityError, SavePatternError, UnknownNameError
from simpleml.orm import versions
from simpleml.orm.bundles.links import EDGE_KINDS, parents_first, parents_of
from simpleml.orm.bundles.manifest import Entry, Manifest, hex_of, hex_of_member
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.types import UTCDateTime
from simpleml.persistables.identity import checked_description, checked_text, checked_version, storable_text
from simpleml.persistables.loading import metadata_of
from simpleml.save_patterns.pattern import check_reference
from simpleml.types import Reference

_HASH = re.compile(r"[!-~]+", re.ASCII)  # ours are 1:<hex>; a class may have hashes of its own
_FIELDS = frozenset(Reference.__annotations__)
_LONGEST_ROLE = 63
_PLAIN = (str, int, float, bool, bytes, UUID, datetime)  # of which nothing but the type itself is let in


def checked_entries(manifest: Manifest, where: str) -> list[Entry]:
    """Return the records of a manifest, parents first, if every one could have been saved here; `BundleError` otherwise."""
    entries = {entry.id: entry for entry in manifest.entries}
    used: set[str] = set()
    numbers: set[tuple[str, str, str, int]] = set()
    for entry in manifest.entries:
        with _telling(where, entry):
            cls = _known(entry.kind)
            _check_row(cls, entry.row)
            used |= _check_filepaths(entry.filepaths, manifest.objects)
            _check_lineage(entry, entries)
            number = (entry.kind, entry.row["name"], versions.scope_of(cls, entry.row), entry.row["version"])
            _demand(number not in numbers, "there are two of this version")
            numbers.add(number)
    unused = set(manifest.objects) - used
    if unused:
        raise BundleError(f"{where} has {len(unused)} objects that none of its records refers to. Nothing was imported")
    return parents_first(entries)


@contextmanager
def _telling(where: str, entry: Entry) -> Iterator[None]:
    try:
        yield
    except (BundleError, EncodingError, IdentityError, SavePatternError) as error:
        raise BundleError(f"{where}: {entry}: {error}. Nothing was imported") from error


def _demand(holds: bool, why: str) -> None:
    if not holds:
        raise BundleError(why)


def _known(kind: str) -> type[ORMPersistable]:
    try:
        return record_class(kind)
    except UnknownNameError as error:
        raise BundleError(
            f"its kind {kind!r:.80} is not known here, and a bundle brings no code: import the module that maps it first "
            "(on the command line: simpleml --import MODULE …)"
        ) from error


# columns


def _check_row(cls: type[ORMPersistable], row: Mapping[str, Any]) -> None:
    columns = {attribute.key: attribute.columns[0] for attribute in cls.__mapper__.column_attrs}
    odd = sorted(set(row) - set(columns), key=str)
    _demand(
        not odd,
        f"it has the columns {short(odd)}, which the kind {cls.kind!r} does not have here: another version made it",
    )
    for key, column in columns.items():
        value = row.get(key)
        if value is None:
            _demand(bool(getattr(column, "nullable", True)), f"it has no {key}")
        else:
            _check_value(key, column, value)
    for field in ("name", "project", "author", "registered_name"):
        checked_text(field, row[field])
    checked_version(row["version"])
    checked_description(row.get("version_description"))
    _demand(_HASH.fullmatch(row["hash_"]) is not None, f"its hash is {short(row['hash_'])}")
    metadata_of(dict(row))
    _demand(row["has_external_files"] is bool(row.get("filepaths")), "has_external_files is not what its artifacts say")


def _check_value(key: str, column: ColumnElement[Any], value: object) -> None:
    kind = column.type
    if isinstance(kind, JSON):
        _demand(type(value) in (dict, list), f"{key} is {short(value)}, not a mapping or a list")
        return
    if isinstance(kind, Enum) and kind.enum_class is None:
        _demand(value in kind.enums, f"{key} is {short(value)}")
        return
    try:
        wanted = kind.python_type
    except NotImplementedError:  # a type of the user's that does not say: the database decides
        return
    fits = type(value) is wanted if wanted in _PLAIN else isinstance(value, wanted)
    _demand(fits, f"{key} is {short(value)} ({type(value).__name__}), not {wanted.__name__}")
    if isinstance(value, str):
        storable_text(key, value)
        length = getattr(kind, "length", None)
        _demand(length is None or len(value) <= length, f"{key} has {len(value)} characters, more than {length}")
    if isinstance(value, int) and isinstance(kind, Integer):
        bits = 63 if isinstance(kind, BigInteger) else 15 if isinstance(kind, SmallInteger) else 31
        _demand(-(2**bits) <= value < 2**bits, f"{key} is too large a number")
    if isinstance(kind, UTCDateTime):
        _demand(value.tzinfo is not None, f"{key} is {short(value)}, without a time zone")  # type: ignore[attr-defined]


# artifacts


def _check_filepaths(filepaths: Mapping[Any, Any], objects: Mapping[str, int]) -> set[str]:
    """Return which objects these artifacts are, all of them objects of the bundle."""
    used: set[str] = set()
    _demand(type(filepaths) is dict, f"its filepaths are {short(filepaths)}")
    for artifact, patterns in filepaths.items():
        _demand(type(artifact) is str and type(patterns) is dict and bool(patterns), f"its artifact {short(artifact)}")
        storable_text("artifact", artifact)
        for pattern, given in patterns.items():
            _demand(type(pattern) is str and 0 < len(pattern) < 256, f"its save pattern {short(pattern)}")
            storable_text("save pattern", pattern)
            used |= _check_reference(check_reference(given, artifact), objects, artifact)
    return used


def _check_reference(reference: Reference, objects: Mapping[str, int], artifact: str) -> set[str]:
    what = f"the reference of artifact {artifact!r:.80}"
    odd = set(reference) - _FIELDS
    _demand(not odd, f"{what} has the fields {short(sorted(odd, key=str))}")
    _demand(type(reference) is dict and _is_json(reference), f"{what} is no JSON")
    name = hex_of_member(reference["key"])
    _demand(name is not None and name == hex_of(reference["digest"]), f"{what} does not say which object it is")
    parts = [hex_of_member(part) for part in reference.get("parts", [])]
    used = {name, *parts}
    _demand(used <= objects.keys(), f"{what} is of objects that are not in the bundle")
    _demand(objects[name or ""] == reference["size"], f"{what} has a size that is not the object's")
    total, layout = reference.get("total", 0), reference.get("layout", "")
    _demand(type(total) is int and total >= 0 and type(layout) is str, f"{what} has a layout that it cannot have")
    storable_text("serializer", reference["serializer"])
    return {part for part in used if part is not None}


def _is_json(value: object) -> bool:
    """Whether a value is plain JSON, as references are: nothing in it was made by decoding."""
    following = [value]
    while following:
        one = following.pop()
        if type(one) is dict:
            if not all(type(key) is str for key in one):
                return False
            following += one.values()
        elif type(one) is list:
            following += one
        elif type(one) not in (str, int, float, bool, type(None)):
            return False
    return True


# lineage


def _check_lineage(entry: Entry, entries: Mapping[UUID, Entry]) -> None:
    columns = record_class(entry.kind).__mapper__.column_attrs
    for edge in entry.edges:
        role = checked_text("role", edge.role)
        _demand(len(role) <= _LONGEST_ROLE and f"{role}_id" not in columns, f"its lineage has the role {short(role)}")
        _demand(edge.kind in EDGE_KINDS, f"it was made from a {short(edge.kind)}, by the role {short(role)}")
    for kind, id_ in parents_of(entry):
        parent = entries.get(id_)
        _demand(
            parent is not None and parent.kind == kind, f"it was made from the {kind} {id_}, which is not in the bundle"
        )
