"""`diff`: in what two saved versions differ, read from their records: class, config, parameters, inputs, libraries, metrics."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from simpleml.encoding.faults import short
from simpleml.errors import HashingError, LineageError, UnsavedReferenceError
from simpleml.hashing import hash_value
from simpleml.persistables.display import one_line
from simpleml.persistables.drawing import printable_line
from simpleml.persistables.graph import LineageKey
from simpleml.persistables.ports import Database, Row

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

PARTS = ("class", "config", "params", "artifacts", "libraries", "inputs", "metrics")
"""What is compared, in the order in which it is told; the columns of a kind's own (`params`, `values`) are its params."""

_COMMON = frozenset(
    {
        "id",
        "hash_",
        "registered_name",
        "author",
        "project",
        "name",
        "version",
        "version_description",
        "has_external_files",
        "filepaths",
        "metadata_",
        "created_timestamp",
        "modified_timestamp",
    }
)
_LONGEST = 80


class _Nothing:
    """What stands where one side has no such value."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
"""The value of a side that has none there (None would be a value)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs: in which part, where in it, and what it is on either side (`NOTHING` if it is not there)."""

    part: str
    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return printable_line(f"{self.path}: {_shown(self.before)} → {_shown(self.after)}".removeprefix(": "))


@dataclass(frozen=True)
class Differences:
    """What differs between two versions; false if nothing does. Printed it is a list, part by part."""

    before: str
    after: str
    entries: tuple[Difference, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.entries)

    def of(self, part: str) -> tuple[Difference, ...]:
        """Return the differences in one part."""
        return tuple(entry for entry in self.entries if entry.part == part)

    def __str__(self) -> str:
        lines = [printable_line(f"{self.before} → {self.after}" + ("" if self.entries else ": no difference"))]
        for part in PARTS:
            found = self.of(part)
            lines += [f"  {part}", *(f"    {entry}" for entry in found)] if found else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(entry.part)}</td><td>{escape(entry.path)}</td><td>{escape(_shown(entry.before))}</td>"
            f"<td>{escape(_shown(entry.after))}</td></tr>"
            for entry in self.entries
        )
        head = f"<tr><th></th><th></th><th>{escape(self.before)}</th><th>{escape(self.after)}</th></tr>"
        return f"<table>{head}{rows}</table>" if rows else f"<p>{escape(str(self))}</p>"

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as JSON; a side that has no such value is left out."""
        sides = ("before", "after")
        return {
            "before": self.before,
            "after": self.after,
            "differences": [
                {
                    "part": entry.part,
                    "path": entry.path,
                    **{side: value for side in sides if (value := getattr(entry, side)) is not NOTHING},
                }
                for entry in self.entries
            ],
        }


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: a record and the database it is in."""

    database: Database
    kind: str
    row: Row

    def __str__(self) -> str:
        return f"{self.kind} {self.row['name']}:{self.row['version']}"


def diff(before: Persistable, after: Persistable) -> Differences:
    """Return in what two saved versions differ, from their records alone; `UnsavedReferenceError` if one is not saved."""
    return diff_records(_side(before), _side(after))


def diff_records(before: Side, after: Side) -> Differences:
    """Return in what two records differ; of inputs that differ, how these do."""
    entries = list(compared(before.row, after.row))
    entries += _inputs(_ancestors(before), _ancestors(after))
    entries += _changes("metrics", _metrics(before), _metrics(after))
    order = {part: place for place, part in enumerate(PARTS)}
    return Differences(str(before), str(after), tuple(sorted(entries, key=lambda entry: order[entry.part])))


def compared(before: Row, after: Row, *, parts: Collection[str] = PARTS) -> Iterator[Difference]:
    """Give the differences between two records as such, without what they were made from."""
    for part, values in _described(before).items():
        if part in parts:
            yield from _changes(part, values, _described(after)[part])


def _side(owner: Persistable) -> Side:
    from simpleml.persistables.persistable import Persistable

    given: object = owner
    if not isinstance(given, Persistable):
        raise LineageError(
            f"{short(given)} ({type(given).__name__}) is no object that was saved: load what is to be compared"
        )
    if owner._origin is None or owner._origin.pending:
        raise UnsavedReferenceError(
            f"{one_line(owner)} is not in the database yet, and records are compared: save() it first"
        )
    return Side(owner._origin.database, owner.kind, owner.as_row())


def _described(row: Row) -> dict[str, dict[str, Any]]:
    """Return what a record says of each part, by paths."""
    metadata = row.get("metadata_") or {}
    own = {
        key: value for key, value in row.items() if key not in _COMMON and not key.endswith("_id") and value is not None
    }
    params = own.pop("params", {})
    artifacts = {name: _short(told.get("hash")) for name, told in metadata.get("artifacts", {}).items()}
    return {
        "class": {"": row["registered_name"]},
        "config": dict(_flat(metadata.get("config", {}))),
        "params": {**dict(_flat(params)), **dict(_flat(own))},
        "artifacts": artifacts,
        "libraries": {**metadata.get("library_versions", {})},
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give the values in mappings with the way to each; what is in lists is compared as a whole."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, value


def _changes(part: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for path in sorted(before.keys() | after.keys()):
        then, now = before.get(path, NOTHING), after.get(path, NOTHING)
        if not _same(then, now):
            yield Difference(part, path, then, now)


def _same(then: object, now: object) -> bool:
    if then is now:
        return True
    if then is NOTHING or now is NOTHING:
        return False
    try:
        return hash_value(then) == hash_value(now)
    except HashingError:
        return bool(then == now)


def _ancestors(side: Side) -> dict[str, tuple[str, Row]]:
    """Return the records that one was made from, by the roles that lead to each; one that several ways lead to counts once."""
    graph = side.database.lineage(side.kind, side.row["id"], up=True, down=False, depth=None)
    paths: dict[LineageKey, str] = {graph.root: ""}
    waiting = [graph.root]
    for key in waiting:
        for link in graph.parents(key):
            if link.parent not in paths:
                paths[link.parent] = f"{paths[key]}.{link.role}".removeprefix(".")
                waiting.append(link.parent)
    kinds: dict[str, list[Any]] = {}
    for kind, id_ in waiting[1:]:
        kinds.setdefault(kind, []).append(id_)
    rows = [(kind, row) for kind, ids in kinds.items() for row in side.database.select(kind, {"id__in": ids})]
    return {paths[kind, row["id"]]: (kind, row) for kind, row in rows}


def _inputs(before: Mapping[str, tuple[str, Row]], after: Mapping[str, tuple[str, Row]]) -> Iterator[Difference]:
    for path in sorted(before.keys() | after.keys()):
        then, now = before.get(path), after.get(path)
        if then is None or now is None:
            yield Difference("inputs", path, *(NOTHING if one is None else _version(one) for one in (then, now)))
        elif then[1]["hash_"] != now[1]["hash_"]:
            yield Difference("inputs", path, _version(then), _version(now))
            parts = ("class", "config", "params", "artifacts")
            for entry in compared(then[1], now[1], parts=parts):
                yield Difference("inputs", f"{path}.{entry.part}.{entry.path}".rstrip("."), entry.before, entry.after)


def _version(of: tuple[str, Row]) -> str:
    kind, row = of
    return f"{kind} {row['name']}:{row['version']} ({_short(row['hash_'])})"


def _metrics(side: Side) -> dict[str, Any]:
    """Return the values of the latest metric of each name that a model has."""
    if side.kind != "model":
        return {}
    rows = side.database.select("metric", {"model_id": side.row["id"]}, order_by=("version",))
    latest = {row["name"]: row.get("values") for row in rows}
    return {path: value for name, values in latest.items() for path, value in _flat(values or {}, name)}


def _short(hash_: object) -> str:
    """Return as much of a hash as tells it from others."""
    return f"{str(hash_)[:14]}…" if hash_ is not None else "not hashed"


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
