"""Aliases: a name for one version of a name, moved under a lock, every move recorded, never pointing to what was deleted.

Who moves an alias holds two locks until the commit. The record that it will point to is locked against deletion, so that a
deletion, which looks for aliases after it has taken the row, sees every alias or is waited for. The counter of the name puts
the moves of one name in order, so that each is recorded with what the alias pointed to at that instant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, true, update

from simpleml.errors import RecordNotFoundError
from simpleml.orm import tables, versions
from simpleml.orm.blobs import Operation
from simpleml.orm.dialects import count_up
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.transactions import Transactions
from simpleml.persistables.labels import checked_label
from simpleml.persistables.ports import AliasMove

_aliases: Any = tables.Alias.__table__
_moves: Any = tables.AliasMove.__table__
_counters: Any = tables.VersionCounter.__table__
_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class Move:
    """One move of an alias, as a step of a transaction: to the record with this id, or, with `drop`, away from it."""

    kind: str
    record: UUID
    alias: str
    author: str
    drop: bool = False
    id: UUID = field(default_factory=uuid4)
    moved: bool = True

    def __call__(self, connection: Connection) -> None:
        """Move the alias and record it; one that points there already stays as it is, without a record."""
        name, scope, version = locked(connection, self.kind, self.record)
        key = {"kind": self.kind, "name": name, "scope": scope}
        count_up(connection, _counters, key, at_least=version)  # which locks the counter, and changes nothing else
        here = and_(*(_aliases.c[column] == value for column, value in key.items()), _aliases.c.alias == self.alias)
        there, before, last = self._look(connection, here, key)
        self.moved = self.drop or there != self.record
        if self.drop and there != self.record:
            raise _elsewhere(self.kind, name, self.alias, before, version)
        if not self.moved:
            return
        after = {"record": self.record, "version": version}
        if self.drop:
            connection.execute(delete(tables.Alias).where(here))
        elif there is None:
            connection.execute(insert(_aliases).values(**key, alias=self.alias, **after))
        else:
            connection.execute(update(_aliases).where(here).values(**after))
        now = datetime.now(UTC)
        move = {
            "id": self.id,
            **key,
            "alias": self.alias,
            "from_version": before,
            "from_record": there,
            "to_version": None if self.drop else version,
            "to_record": None if self.drop else self.record,
            "author": self.author,
            "moment": now if last is None or last < now else last + _TICK,  # clocks differ, and the order must not
        }
        connection.execute(insert(_moves).values(**move))

    def _look(
        self, connection: Connection, here: ColumnElement[bool], key: dict[str, str]
    ) -> tuple[UUID | None, int | None, datetime | None]:
        """Return the record and the version that the alias points to now, and when it was moved last."""
        same = and_(*(_moves.c[column] == value for column, value in key.items()), _moves.c.alias == self.alias)
        there, version, last = connection.execute(
            select(
                select(_aliases.c.record).where(here).scalar_subquery(),
                select(_aliases.c.version).where(here).scalar_subquery(),
                select(func.max(_moves.c.moment)).where(same).scalar_subquery(),
            )
        ).one()
        return there, version, last

    @property
    def landed(self) -> Callable[[Connection], bool] | None:
        """How to ask whether it happened; None if it changed nothing that could be seen."""
        return self._recorded if self.moved else None

    def _recorded(self, connection: Connection) -> bool:
        return connection.execute(select(_moves.c.id).where(_moves.c.id == self.id)).first() is not None


@dataclass(frozen=True, slots=True)
class Aliases:
    """The aliases of one database; see `ports.Aliases`."""

    database: Transactions
    write: Callable[[Operation], None]

    def point(self, kind: str, id: UUID, alias: str) -> None:
        """Let an alias of the record's name point to this record, and record the move."""
        self._write(kind, id, alias, drop=False)

    def drop(self, kind: str, id: UUID, alias: str) -> None:
        """Let an alias that points to this record point to nothing; `RecordNotFoundError` if it points elsewhere."""
        self._write(kind, id, alias, drop=True)

    def _write(self, kind: str, id_: UUID, alias: str, *, drop: bool) -> None:
        checked = checked_label("the alias", alias)
        self.write(Move(kind, id_, checked, self.database.settings.author, drop))

    def of(self, kind: str, id: UUID) -> tuple[str, ...]:
        """Return the aliases that point to a record, sorted."""
        return self.database.run(lambda connection: pointing_to(connection, kind, id), read=True)

    def listed(self, kind: str, name: str, scope: str | None = None) -> list[tuple[str, int, str]]:
        """Return the aliases of a name, sorted, with the versions they point to and the scopes of these."""
        wanted = (_aliases.c.kind == kind) & (_aliases.c.name == name) & _in_scope(_aliases, scope)
        found = select(_aliases.c.alias, _aliases.c.version, _aliases.c.scope).where(wanted)
        rows = self.database.run(lambda connection: connection.execute(found).all(), read=True)
        return sorted((row.alias, row.version, row.scope) for row in rows)

    def history(self, kind: str, name: str, alias: str | None = None, scope: str | None = None) -> list[AliasMove]:
        """Return every move of an alias, or of all aliases of a name, oldest first; those of deleted versions too."""
        wanted = [_moves.c.kind == kind, _moves.c.name == name, _in_scope(_moves, scope)]
        if alias is not None:
            wanted.append(_moves.c.alias == alias)
        columns = ("alias", "from_version", "to_version", "from_record", "to_record", "author", "moment", "scope")
        found = select(*(_moves.c[column] for column in columns)).where(*wanted)
        found = found.order_by(_moves.c.moment, _moves.c.scope, _moves.c.alias)
        rows = self.database.run(lambda connection: connection.execute(found).all(), read=True)
        return [AliasMove(*row) for row in rows]


def locked(connection: Connection, kind: str, id_: UUID) -> tuple[str, str, int]:
    """Return the name, the scope and the version of a record, which nobody can delete until this transaction ends.

    SQLite needs no lock of the row: whoever writes is alone.
    """
    cls = record_class(kind)
    columns = (cls.name, cls.version, *([getattr(cls, cls.scope).label(cls.scope)] if cls.scope else []))
    found = select(*columns).where(cls.id == id_).with_for_update(read=True, key_share=True)
    row = connection.execute(found).mappings().one_or_none()
    if row is None:
        raise RecordNotFoundError(f"there is no {kind} with the id {id_} (any more), so nothing can point to it")
    return row["name"], versions.scope_of(cls, dict(row)), row["version"]


def pointing_to(connection: Connection, kind: str, id_: UUID) -> tuple[str, ...]:
    """Return the aliases that point to a record, sorted."""
    found = select(_aliases.c.alias).where(_aliases.c.record == id_, _aliases.c.kind == kind)
    return tuple(sorted(connection.execute(found).scalars()))


def is_aliased(cls: type[ORMPersistable], alias: object, name: object) -> ColumnElement[bool]:
    """Return the condition that this alias of its name points to a record; with `name`, few aliases are looked at."""
    wanted = select(_aliases.c.record).where(
        _aliases.c.kind == cls.kind, _aliases.c.alias == checked_label("the alias", alias)
    )
    if isinstance(name, str):
        wanted = wanted.where(_aliases.c.name == name)
    return cls.id.in_(wanted)


def _in_scope(table: Any, scope: str | None) -> ColumnElement[bool]:
    return true() if scope is None else table.c.scope == scope


def _elsewhere(kind: str, name: str, alias: str, there: int | None, here: int) -> RecordNotFoundError:
    points = "nothing (any more)" if there is None else f"version {there}"
    return RecordNotFoundError(
        f"the alias {alias!r} of {kind} {name!r} points to {points}, not to version {here}, so it was not dropped; "
        "aliases(name) says what each points to"
    )
