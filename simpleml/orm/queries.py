"""Asking for the records of a kind as plain values: the statements, with filters also for aliases, tags and parents."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, false, func, select

from simpleml.errors import UnsavedReferenceError
from simpleml.orm.aliases import is_aliased
from simpleml.orm.filters import conditions, counted, ordering
from simpleml.orm.persistable import ORMPersistable
from simpleml.orm.tables import LineageEdge
from simpleml.orm.tags import is_tagged
from simpleml.persistables import Persistable
from simpleml.persistables.labels import ALIASED, TAGGED

_edges: Any = LineageEdge.__table__

Filters = Mapping[str, object] | Sequence[Mapping[str, object]]
"""Conditions by name, or several such mappings, all of which hold."""


def rows(
    cls: type[ORMPersistable], filters: Filters, *, order_by: Sequence[str], limit: int | None, offset: int
) -> Select[Any]:
    """Return the selection of the records that match, with the columns that `columns` names."""
    statement = _all(cls)[0].where(*_conditions(cls, filters)).order_by(*ordering(cls, order_by))
    if limit is not None:
        statement = statement.limit(counted("limit", limit))
    return statement.offset(counted("offset", offset)) if offset else statement


def columns(cls: type[ORMPersistable]) -> tuple[str, ...]:
    """Return the mapped names of every column of a kind, in order."""
    return _all(cls)[1]


def number(cls: type[ORMPersistable], filters: Filters) -> Select[int]:
    """Return the selection of how many records match."""
    return select(func.count()).select_from(cls).where(*_conditions(cls, filters))


@functools.cache
def _all(cls: type[ORMPersistable]) -> tuple[Select[Any], tuple[str, ...]]:
    """Return the selection of every column of a kind, and their mapped names in order."""
    attributes = cls.__mapper__.column_attrs
    return select(*(attribute.columns[0] for attribute in attributes)), tuple(attribute.key for attribute in attributes)


def _conditions(cls: type[ORMPersistable], filters: Filters) -> list[ColumnElement[bool]]:
    several = [filters] if isinstance(filters, Mapping) else filters
    return [condition for each in several for condition in _labelled(cls, each)]


def _labelled(cls: type[ORMPersistable], filters: Mapping[str, object]) -> list[ColumnElement[bool]]:
    parents = {key: value for key, value in filters.items() if isinstance(value, Persistable)}
    others = filters.keys() - parents.keys() - {ALIASED, TAGGED}
    found = conditions(cls, {key: value for key, value in filters.items() if key in others})
    found += [_is_made_from(cls, role, parent) for role, parent in parents.items()]
    if ALIASED in filters:
        found.append(is_aliased(cls, filters[ALIASED], filters.get("name")))
    if TAGGED in filters:
        found.append(is_tagged(cls, filters[TAGGED]))
    return found


def _is_made_from(cls: type[ORMPersistable], role: str, parent: Persistable) -> ColumnElement[bool]:
    """Return the condition that this object plays a role of a record: by the column of that role, or else the lineage table."""
    if not parent.is_saved:
        raise UnsavedReferenceError(
            f"{parent!r} is not saved, so nothing in the database is made from it: save() it first"
        )
    if f"{role}_id" in cls.__mapper__.column_attrs:
        found: ColumnElement[bool] = getattr(cls, f"{role}_id") == parent.id
        return found
    above = _edges.c.get(f"{parent.kind}_id")
    if above is None:
        return false()
    edges = select(_edges.c.child).where(_edges.c.child_kind == cls.kind, _edges.c.role == role, above == parent.id)
    return cls.id.in_(edges)
