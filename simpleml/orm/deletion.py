"""Deleting a record: refused while others were made from it or an alias points to it; its bytes lose one reference each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select

from simpleml.errors import RecordNotFoundError, ReferencedError
from simpleml.migrations import TABLES
from simpleml.orm import aliases, blobs, tags
from simpleml.orm.persistable import kinds_in, record_class, records
from simpleml.orm.tables import Alias, LineageEdge
from simpleml.orm.versions import scope_within, told_within, within

_SHOWN = 10
_edges: Any = LineageEdge.__table__


@dataclass(frozen=True, slots=True)
class Deletion:
    """The deletion of one record, as a step of a transaction."""

    kind: str
    id: UUID
    grace: float

    def __call__(self, connection: Connection) -> None:
        """Delete the record."""
        delete_record(connection, self.kind, self.id, self.grace)

    def landed(self, connection: Connection) -> bool:
        """Whether it happened."""
        cls = record_class(self.kind)
        return connection.execute(select(cls.id).where(cls.id == self.id)).first() is None


def delete_record(connection: Connection, kind: str, id_: UUID, grace: float) -> None:
    """Delete one record, its lineage, its references and its tags, all in the caller's transaction."""
    children = list(children_of(connection, kind, id_))
    if children:
        raise referenced(kind, called(connection, kind, id_), children)
    cls = record_class(kind)
    # The row first: of two who delete it at once, one gets it, and only that one gives up its references.
    if connection.execute(delete(cls).where(cls.id == id_)).rowcount != 1:
        raise RecordNotFoundError(f"there is no {kind} with the id {id_} (any more), so nothing was deleted")
    blobs.release(connection, id_, grace)
    connection.execute(delete(LineageEdge).where(_edges.c.child == id_))
    # Asked now that the row is taken: who lets an alias point to it, or tags it, has either committed or finds it gone.
    pointing = aliases.pointing_to(connection, kind, id_)
    if pointing:
        raise aliased(kind, _called_by_alias(connection, kind, id_), pointing)
    tags.forget(connection, kind, id_)


def children_of(connection: Connection, kind: str, id_: UUID) -> Iterator[str]:
    """Tell of every record that was made from this one, as `model 'churn' version 3`."""
    for child_kind, column in columns_referring_to(connection, kind):
        made = select(record_class(child_kind).id).where(column == id_).limit(_SHOWN)
        for child in connection.execute(made).scalars().all():
            yield f"{child_kind} {called(connection, child_kind, child)}"
    column = _edges.c.get(f"{kind}_id")
    if column is None:
        return
    edges = select(_edges.c.child_kind, _edges.c.child).where(column == id_).limit(_SHOWN)
    for child_kind, child in connection.execute(edges).all():
        yield f"{child_kind} {called(connection, child_kind, child)}"


def columns_referring_to(connection: Connection, kind: str) -> Iterator[tuple[str, Any]]:
    """Give every column by which records refer to those of a kind, with the kind that has the column."""
    table: Any = record_class(kind).__table__
    for child_kind in records.names():
        child = record_class(child_kind)
        columns = [
            column for column in child.__table__.columns for key in column.foreign_keys if key.column.table is table
        ]
        if columns and child.__tablename__ not in TABLES and child_kind not in kinds_in(connection):
            continue  # a kind of a user's, which this database has no table for
        for column in columns:
            yield child_kind, column


def called(connection: Connection, kind: str, id_: UUID) -> str:
    """Return `'auc' version 1 of churn:3`, as people know a record; the id of one that is not there."""
    cls = record_class(kind)
    for name, version, *scope in connection.execute(select(cls.name, cls.version, *within(cls)).where(cls.id == id_)):
        return _called(name, version, told_within(scope))
    return str(id_)


def _called_by_alias(connection: Connection, kind: str, id_: UUID) -> str:
    """Return what `called` does of a record that this transaction has deleted already, as an alias that points to it knows it."""
    known = select(Alias.name, Alias.version, Alias.scope).where(Alias.kind == kind, Alias.record == id_).limit(1)
    scope = scope_within(record_class(kind))
    for name, version, of in connection.execute(known).all():
        owner: Sequence[Any] = ()
        if scope is not None and scope.kind is not None:
            cls = record_class(scope.kind)
            owner = connection.execute(select(cls.name, cls.version).where(cls.id == UUID(of))).first() or ()
        return _called(name, version, told_within([of, *owner]))
    return str(id_)


def _called(name: str, version: int, of: str) -> str:
    return f"{name!r} version {version}" + (f" of {of}" if of else "")


def referenced(kind: str, what: object, children: list[str]) -> ReferencedError:
    """Return the error that lists what would be left without its origin."""
    shown = ", ".join(children[:_SHOWN]) + (", …" if len(children) > _SHOWN else "")
    return ReferencedError(
        f"the {kind} {what} cannot be deleted, because others were made from it: {shown}. Delete those first."
    )


def still_referenced(connection: Connection, kind: str, id_: UUID) -> ReferencedError:
    """Return the error for a record whose deletion the database refused, because of what came in between."""
    return referenced(
        kind, called(connection, kind, id_), list(children_of(connection, kind, id_)) or ["other records"]
    )


def aliased(kind: str, what: object, pointing: Sequence[str]) -> ReferencedError:
    """Return the error that lists the aliases that would be left without their version."""
    shown = ", ".join(map(repr, pointing[:_SHOWN])) + (", …" if len(pointing) > _SHOWN else "")
    return ReferencedError(
        f"the {kind} {what} cannot be deleted, because aliases point to it: {shown}. Let them point to another version first, by "
        "other.alias(…), or take them away, by drop_alias(…), or with: simpleml alias NAME --drop ALIAS"
    )
