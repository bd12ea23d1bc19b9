"""`Manifest`: what a bundle says of itself, as text whose digest is the bundle's sign.

```json
{"simpleml_bundle": 1, "wanted": ["<id>", …], "objects": {"<hex>": <size>, …},
 "records": [{"kind": "model", "row": {…}, "edges": {"<role>": ["<kind>", "<id>"]}}, …]}
```

`row` holds the mapped columns by name, encoded by `simpleml.encoding`. Its references say which object of the bundle they
mean, by `objects/<hex>`, where a database has store and key. Parents come before what was made from them. The same records
give the same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from simpleml import encoding
from simpleml.encoding.faults import short
from simpleml.errors import BundleError, EncodingError
from simpleml.hashing.digester import digester
from simpleml.orm.bundles.results import Line
from simpleml.persistables.ports import Parent, Row
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.types import JSON, Filepaths

FORMAT = 1
LONGEST = 64 * 1024 * 1024
"""The most bytes that a manifest may have: more is no manifest, but an attack on whoever reads it."""

MOST = 250_000
"""The most objects that a bundle may have."""

_MARK = "simpleml_bundle"
_VALUES = 2_000_000  # the most values: JSON of a few bytes becomes objects of hundreds
_DIGEST = re.compile(r"blake3:([0-9a-f]{64})", re.ASCII)
_MEMBER = re.compile(r"objects/([0-9a-f]{64})", re.ASCII)
_FIELDS = {_MARK, "wanted", "objects", "records"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a bundle: the values of its columns, and the edges of lineage that no column of it has."""

    kind: str
    row: Row
    edges: tuple[Parent, ...] = ()

    @property
    def id(self) -> UUID:
        """The id that the record has, wherever it is."""
        found: UUID = self.row["id"]
        return found

    @property
    def filepaths(self) -> Filepaths:
        """Where its artifacts are; empty if it has none."""
        found: Filepaths = self.row.get("filepaths") or {}
        return found

    @property
    def line(self) -> Line:
        """The record, for lists."""
        return Line(self.kind, self.row["name"], self.row["version"], self.id)

    def __str__(self) -> str:
        return f"{self.kind} {self.row.get('name')!r:.80} version {self.row.get('version')!s:.12}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Records, which of them were asked for, and the objects (hex digest → size) that they refer to."""

    wanted: tuple[UUID, ...]
    entries: tuple[Entry, ...]
    objects: Mapping[str, int]

    @property
    def size(self) -> int:
        """How many bytes the objects have together."""
        return sum(self.objects.values())

    @property
    def lines(self) -> tuple[Line, ...]:
        """The records, for lists."""
        return tuple(entry.line for entry in self.entries)

    def write(self) -> bytes:
        """Return the text; `BundleError` if it is more than anybody would read."""
        records: list[JSON] = [
            {
                "kind": entry.kind,
                "row": encoding.encode(entry.row, name=str(entry)),
                "edges": {edge.role: [edge.kind, str(edge.id)] for edge in entry.edges},
            }
            for entry in self.entries
        ]
        whole: JSON = {
            _MARK: FORMAT,
            "wanted": [str(id_) for id_ in self.wanted],
            "objects": dict(sorted(self.objects.items())),
            "records": records,
        }
        text = json.dumps(whole, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
        if _too_much(text) or len(self.objects) > MOST:
            raise BundleError(
                f"{len(self.entries)} records with {len(self.objects)} objects are too many for one bundle ({len(text)} bytes of "
                "metadata): export fewer versions at a time"
            )
        return text


def read_manifest(text: bytes, where: str) -> Manifest:
    """Return the manifest that `text` is, its rows decoded but not checked against any table; `BundleError` otherwise."""
    whole = _parsed(text, where)
    if whole[_MARK] != FORMAT:
        raise BundleError(
            f"{where} is a bundle of format {short(whole[_MARK])}, and this version of simpleml reads format {FORMAT}. Nothing "
            "was imported: upgrade simpleml"
        )
    try:
        _demand(set(whole) == _FIELDS, "its fields")
        objects = whole["objects"]
        _demand(type(objects) is dict and len(objects) <= MOST, "objects")
        for name, size in objects.items():
            _demand(_DIGEST.fullmatch(f"blake3:{name}") is not None, f"the object {short(name)}")
            _demand(type(size) is int and 0 <= size < 2**63, f"the size of the object {name}: {short(size)}")
        entries = tuple(_entries(whole["records"]))
        wanted = tuple(_id(id_) for id_ in _list(whole["wanted"], "wanted"))
        ids = {entry.id for entry in entries}
        _demand(len(ids) == len(entries) and bool(entries), "its records: none, or one twice")
        _demand(bool(wanted) and len(set(wanted)) == len(wanted) and ids.issuperset(wanted), "what was asked for")
    except (_Wrong, EncodingError) as error:
        raise BundleError(f"{where} is no bundle that simpleml wrote: {error}. Nothing was imported") from error
    return Manifest(wanted, entries, objects)


def sign(text: bytes) -> str:
    """Return the digest of a manifest."""
    hasher = digester()
    hasher.update(text)
    return digest_of(hasher.hexdigest())


def hex_of(digest: str) -> str | None:
    """Return the hexadecimal part of a digest that objects have, or None if it is none."""
    found = _DIGEST.fullmatch(digest)
    return found[1] if found else None


def member(name: str) -> str:
    """Return how a bundle names the object with this hex digest."""
    return f"objects/{name}"


def hex_of_member(text: object) -> str | None:
    """Return the hex digest of the object that a bundle names so, or None if it is no such name."""
    found = _MEMBER.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else None


class _Wrong(Exception):  # noqa: N818 - a signal inside this module
    """What of a manifest is not as it should be."""


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise _Wrong(f"{what} is not as it should be")


def _too_much(text: bytes) -> bool:
    return len(text) > LONGEST or sum(map(text.count, (b",", b":", b"[", b"{"))) > _VALUES


def _parsed(text: bytes, where: str) -> dict[str, Any]:
    if _too_much(text):
        raise BundleError(
            f"{where} has a manifest of {len(text)} bytes, which is too much to be read. Nothing was imported"
        )
    try:
        whole = json.loads(text.decode("ascii"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError, _Wrong) as error:
        raise BundleError(
            f"{where} is no bundle: its manifest cannot be read ({error}). Nothing was imported"
        ) from error
    if type(whole) is not dict or _MARK not in whole:
        raise BundleError(f"{where} is no bundle: its manifest is {short(whole)}. Nothing was imported")
    return whole


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Wrong("a field twice in one object")
    return found


def _no_constant(text: str) -> float:
    raise _Wrong(f"{text} is no JSON")


def _entries(records: object) -> Iterator[Entry]:
    for number, record in enumerate(_list(records, "records"), 1):
        _demand(type(record) is dict and set(record) == {"kind", "row", "edges"}, f"record {number}")
        kind, edges = record["kind"], record["edges"]
        _demand(type(kind) is str and type(record["row"]) is dict and type(edges) is dict, f"record {number}")
        row = encoding.decode(record["row"], name=f"record {number}")
        _demand(type(row) is dict and isinstance(row.get("id"), UUID), f"the id of record {number}")
        yield Entry(kind, row, tuple(_edge(number, role, edge) for role, edge in edges.items()))  # type: ignore[arg-type]


def _edge(number: int, role: str, edge: object) -> Parent:
    _demand(type(edge) is list and len(edge) == 2 and type(edge[0]) is str, f"the lineage of record {number}")
    return Parent(role, edge[0], _id(edge[1]))  # type: ignore[index]


def _list(value: object, what: str) -> list[Any]:
    _demand(type(value) is list, what)
    return value  # type: ignore[return-value]


def _id(value: object) -> UUID:
    try:
        return UUID(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError) as error:
        raise _Wrong(f"{short(value)} is no id") from error
