"""What a record was made from, as its columns and the table of lineage say it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from simpleml.errors import BundleError
from simpleml.orm.bundles.manifest import Entry
from simpleml.orm.persistable import ORMPersistable, record_class, records
from simpleml.orm.tables import LineageEdge
from simpleml.persistables.ports import Parent

PAGE = 500
"""How many ids one statement asks for."""

EDGE_KINDS = tuple(
    column.name.removesuffix("_id") for column in LineageEdge.__table__.columns if column.name.endswith("_id")
)
"""The kinds that the table of lineage can refer to."""

_edges: Any = LineageEdge.__table__


def linked_columns(cls: type[ORMPersistable]) -> Mapping[str, str | None]:
    """Return the columns of a kind that refer to other records, with the kind of those; None: to something else."""
    return _linked(cls, tuple(records.names()))


@functools.cache
def _linked(cls: type[ORMPersistable], known: tuple[str, ...]) -> Mapping[str, str | None]:
    kinds = {record_class(kind).__tablename__: kind for kind in known}
    found: dict[str, str | None] = {}
    for attribute in cls.__mapper__.column_attrs:
        for key in attribute.columns[0].foreign_keys:
            found[attribute.key] = kinds.get(key.target_fullname.rpartition(".")[0])
    return found


def parents_of(entry: Entry) -> Iterator[tuple[str, UUID]]:
    """Give the kind and the id of everything that a record was made from."""
    for column, kind in linked_columns(record_class(entry.kind)).items():
        value = entry.row.get(column)
        if value is None:
            continue
        if kind is None:
            raise BundleError(
                f"{entry} refers by {column} to a table that holds no records, which a bundle cannot take along: leave "
                f"{column} empty in what you share"
            )
        yield kind, value
    for edge in entry.edges:
        yield edge.kind, edge.id


def edges_of(connection: Connection, children: Iterable[UUID]) -> dict[UUID, tuple[Parent, ...]]:
    """Return the edges of the table of lineage that these records have, sorted by role."""
    found: dict[UUID, list[Parent]] = {}
    for page in pages(list(children)):
        for row in connection.execute(
            select(_edges).where(_edges.c.child.in_(page)).order_by(_edges.c.role)
        ).mappings():
            for kind in EDGE_KINDS:
                if row[f"{kind}_id"] is not None:
                    found.setdefault(row["child"], []).append(Parent(row["role"], kind, row[f"{kind}_id"]))
    return {child: tuple(edges) for child, edges in found.items()}


def pages(ids: list[Any]) -> Iterator[list[Any]]:
    """Give the ids in pages that one statement can ask for."""
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def parents_first(entries: Mapping[UUID, Entry]) -> list[Entry]:
    """Return the records so that each comes after what it was made from; `BundleError` if they go round in a circle."""
    left = {id_: {parent for _, parent in parents_of(entry) if parent in entries} for id_, entry in entries.items()}
    children: dict[UUID, list[UUID]] = {}
    for id_, parents in left.items():
        for parent in parents:
            children.setdefault(parent, []).append(id_)
    ready = sorted((id_ for id_, parents in left.items() if not parents), key=lambda id_: _place(entries[id_]))
    ordered: list[Entry] = []
    while ready:
        following: list[UUID] = []
        for id_ in ready:
            ordered.append(entries[id_])
            for child in children.get(id_, ()):
                left[child].discard(id_)
                if not left[child]:
                    following.append(child)
        ready = sorted(following, key=lambda id_: _place(entries[id_]))
    if len(ordered) < len(entries):
        stuck = next(entry for id_, entry in entries.items() if left[id_])
        raise BundleError(f"the lineage goes round in a circle at {stuck}: no record can be made from itself")
    return ordered


def _place(entry: Entry) -> tuple[str, str, int, str]:
    return entry.kind, entry.row["name"], entry.row["version"], entry.id.hex
