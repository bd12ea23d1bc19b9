"""What a record was made from and what was made from it, at any distance: one recursive query, and one for each kind."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    Uuid,
    and_,
    bindparam,
    case,
    literal_column,
    or_,
    select,
    union_all,
)

from simpleml.orm import dialects
from simpleml.orm.persistable import ORMPersistable, kinds_in, record_class
from simpleml.orm.tables import LineageEdge
from simpleml.persistables.graph import LineageGraph, LineageKey, LineageLink, LineageNode
from simpleml.persistables.ports import Parent

_PAGE = 10_000  # ids in one statement: databases count the values that a statement may have
_DEEPEST = 2**31 - 1  # what every database takes as a number of steps
_ELSEWHERE = -1  # the number of a kind that this process knows nothing of, and of an edge in the lineage table
_edges: Any = LineageEdge.__table__
_COLUMNS = ("place", "child_kind", "child", "parent_kind", "parent")
_SHOWN = ("id", "name", "version", "registered_name", "hash_", "project", "created_timestamp")


def lineage(connection: Connection, kind: str, id_: UUID, *, up: bool, down: bool, depth: int | None) -> LineageGraph:
    """Return the graph around a record, as far as `depth` edges away; what was followed once is not followed again."""
    root: LineageKey = (kind, id_)
    kinds = tuple(kinds_in(connection))
    links = sorted(set(_links(connection, kinds, root, up=up, down=down, depth=depth)), key=str)
    wanted: dict[str, set[UUID]] = {kind: {id_}}
    for link in links:
        for one, there in (link.child, link.parent):
            wanted.setdefault(one, set()).add(there)
    nodes = {
        node.key: node
        for one in sorted(wanted)
        for node in _nodes(connection, one, sorted(wanted[one]), known=one in kinds)
    }
    return LineageGraph(root, nodes, tuple(links))


def edges_of(connection: Connection, kind: str, id_: UUID) -> list[dict[str, Any]] | None:
    """Return the rows of the lineage table that tell what a record was made from; None if there is no such record."""
    cls = record_class(kind)
    found = select(_edges).join_from(cls, _edges, _edges.c.child == cls.id, isouter=True).where(cls.id == id_)
    rows = [dict(row) for row in connection.execute(found).mappings()]
    return [row for row in rows if row["child"] is not None] if rows else None


def parents_in(edges: Iterable[dict[str, Any]]) -> tuple[Parent, ...]:
    """Return what rows of the lineage table refer to."""
    kinds = [column.name.removesuffix("_id") for column in _edges.columns if column.name.endswith("_id")]
    return tuple(Parent(row["role"], kind, row[f"{kind}_id"]) for row in edges for kind in kinds if row[f"{kind}_id"])


def _links(
    connection: Connection, kinds: tuple[str, ...], root: LineageKey, *, up: bool, down: bool, depth: int | None
) -> Iterator[LineageLink]:
    if not (up or down) or depth == 0:
        return
    classes = tuple(record_class(kind) for kind in kinds)
    statement, roles = _statement(classes, up=up, down=down, limited=depth is not None)
    values = {
        "root": root[1],
        "root_kind": kinds.index(root[0]),
        **({} if depth is None else {"depth": min(depth, _DEEPEST)}),
    }
    dialects.prepare_recursion(connection)
    for row in connection.execute(statement, values):
        child_kind = kinds[row.child_kind] if row.child_kind != _ELSEWHERE else row.told_kind
        role = roles[row.place] if row.place != _ELSEWHERE else row.told_role
        yield LineageLink((child_kind, row.child), role, (kinds[row.parent_kind], row.parent))


def _nodes(connection: Connection, kind: str, ids: list[UUID], *, known: bool) -> Iterator[LineageNode]:
    """Give the records of one kind; one that is not there, or of a kind that is not known here, has nothing but its id."""
    found = {}
    if known:
        cls = record_class(kind)
        columns = [getattr(cls, name) for name in _SHOWN]
        for start in range(0, len(ids), _PAGE):
            rows = connection.execute(select(*columns).where(cls.id.in_(ids[start : start + _PAGE])))
            found.update({row[0]: LineageNode(kind, *row) for row in rows})
    for id_ in ids:
        yield found.get(id_) or LineageNode(kind, id_)


@functools.cache
def _statement(
    classes: tuple[type[ORMPersistable], ...], *, up: bool, down: bool, limited: bool
) -> tuple[Select[Any] | Any, tuple[str, ...]]:
    """Return the query for the edges around a record, and the roles that the numbers in `place` stand for."""
    kinds = tuple(cls.kind for cls in classes)
    arms, roles = _arms(classes)
    ways = [way for way, wanted in (("child", up), ("parent", down)) if wanted]
    found = [_told(_reached(arms, way, limited=limited), kinds) for way in ways]
    return (found[0] if len(found) == 1 else union_all(*found)), roles


def _arms(classes: tuple[type[ORMPersistable], ...]) -> tuple[list[Select[Any]], tuple[str, ...]]:
    """Return one selection of edges for every column that refers to records, and the role of each such column."""
    kinds = tuple(cls.kind for cls in classes)
    tables: list[Any] = [cls.__table__ for cls in classes]
    numbers = {table.name: number for number, table in enumerate(tables)}
    arms: list[Select[Any]] = []
    roles: list[str] = []
    for child_kind, table in enumerate(tables):
        for column in table.columns:
            for key in column.foreign_keys:
                if key.column.table.name in numbers:
                    parent_kind = numbers[key.column.table.name]
                    arms.append(_arm(len(roles), _number(child_kind), table.c.id, parent_kind, column))
                    roles.append(column.key.removesuffix("_id"))
    child_kind_of = case(
        {kind: number for number, kind in enumerate(kinds)}, value=_edges.c.child_kind, else_=_ELSEWHERE
    )
    for parent_kind, column in _parent_columns(kinds):
        arms.append(_arm(_ELSEWHERE, child_kind_of, _edges.c.child, parent_kind, column))
    return arms, tuple(roles)


def _arm(place: int, child_kind: ColumnElement[Any], child: Any, parent_kind: int, parent: Any) -> Select[Any]:
    values = (_number(place), child_kind, child, _number(parent_kind), parent)
    # No condition here: PostgreSQL uses the indexes below a union only if none of its arms has one of its own.
    return select(*(value.label(name) for value, name in zip(values, _COLUMNS, strict=True)))


def _parent_columns(kinds: tuple[str, ...]) -> Iterator[tuple[int, Any]]:
    """Give the columns of the lineage table that refer to records, with the numbers of their kinds."""
    for number, kind in enumerate(kinds):
        column = _edges.c.get(f"{kind}_id")
        if column is not None:
            yield number, column


def _number(value: int) -> ColumnElement[int]:
    return literal_column(str(value), Integer)


def _reached(arms: Iterable[Select[Any]], start: str, *, limited: bool) -> CTE:
    """Return the edges that begin at the root (whose `child` it is, or whose `parent`), and at what those lead to.

    An edge that was reached at this depth is not followed twice, so records that refer to each other end the search too.
    """
    end = "parent" if start == "child" else "child"
    first, following = (_subquery(arms, f"{start}_{name}") for name in ("first", "next"))
    at_root = and_(
        first.c.parent.is_not(None),
        first.c[start] == bindparam("root", type_=Uuid),
        first.c[f"{start}_kind"] == bindparam("root_kind", type_=Integer),
    )
    level: list[ColumnElement[int]] = [_number(1).label("level")] if limited else []
    reached = select(*first.c, *level).where(at_root).cte(f"from_{start}", recursive=True)
    joined = and_(
        following.c.parent.is_not(None),
        following.c[start] == reached.c[end],
        following.c[f"{start}_kind"] == reached.c[f"{end}_kind"],
    )
    level = [reached.c.level + 1] if limited else []
    step = select(*following.c, *level).select_from(reached.join(following, joined))
    if limited:
        step = step.where(reached.c.level < bindparam("depth", type_=Integer))
    return reached.union(step)


def _subquery(arms: Iterable[Select[Any]], name: str) -> Subquery:
    return union_all(*arms).subquery(name)


def _told(reached: CTE, kinds: tuple[str, ...]) -> Select[Any]:
    """Add what only the lineage table knows of its edges: the role, and the name of the child's kind."""
    row = _edges.alias()
    same = or_(
        *(
            and_(reached.c.parent_kind == number, row.c[column.key] == reached.c.parent)
            for number, column in _parent_columns(kinds)
        )
    )
    told = and_(reached.c.place == _ELSEWHERE, row.c.child == reached.c.child, same)
    columns = [reached.c[name] for name in _COLUMNS]
    roles = (row.c.role.label("told_role"), row.c.child_kind.label("told_kind"))
    return select(*columns, *roles).select_from(reached.outerjoin(row, told))
