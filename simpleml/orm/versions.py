"""Version numbers: one counter row per kind, name and scope, counted up in the transaction that inserts the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, exc, func, select
from sqlalchemy.orm import aliased

from simpleml.errors import VersionConflictError
from simpleml.orm import failures
from simpleml.orm.dialects import count_up
from simpleml.orm.persistable import ORMPersistable, record_class, records
from simpleml.orm.tables import VersionCounter
from simpleml.persistables.ports import Row, Scope

LAST_VERSION = 2**31 - 1

_counters: Any = VersionCounter.__table__


def counter_of(cls: type[ORMPersistable], row: Row) -> dict[str, str]:
    """Return the key of the counter that numbers this record."""
    return {"kind": cls.kind, "name": row["name"], "scope": scope_of(cls, row)}


def scope_of(cls: type[ORMPersistable], row: Row) -> str:
    """Return the scope within which versions are counted besides the name: the id of a metric's model, else empty."""
    return str(row[cls.scope]) if cls.scope else ""


def scope_within(cls: type[ORMPersistable]) -> Scope | None:
    """Return the scope of a mapped class, with the kind of the records that it refers to, if it does; None if it has no scope."""
    if cls.scope is None:
        return None
    tables = {record_class(kind).__tablename__: kind for kind in records.names()}
    keys = cls.__table__.columns[cls.scope].foreign_keys
    kind = next((tables[key.column.table.name] for key in keys if key.column.table.name in tables), None)
    return Scope(cls.scope, kind)


def within(cls: type[ORMPersistable]) -> list[Any]:
    """Return the columns of the scope, if there is one: its value, and the name and the version of the record it refers to."""
    scope = scope_within(cls)
    if scope is None:
        return []
    column = getattr(cls, scope.column)
    if scope.kind is None:
        return [column]
    owner = aliased(record_class(scope.kind))
    return [column, *(select(each).where(owner.id == column).scalar_subquery() for each in (owner.name, owner.version))]


def told_within(values: Sequence[Any]) -> str:
    """Return what the columns of `within` hold as `churn:3`, or as the value that they are; empty without a scope."""
    match values:
        case []:
            return ""
        case [_, str(name), version]:
            return f"{name}:{version}"
        case _:
            return str(values[0])


def allocate(connection: Connection, cls: type[ORMPersistable], row: Row, *, suspicious: bool) -> int:
    """Return the version of a new record and lock its counter until the commit.

    A version that the user chose must be higher than any that was ever given out, and raises the counter to it. `suspicious` says that a number was taken although the
    counter gave it out, which happens when rows were inserted by hand: the counter then jumps over them.
    """
    key = counter_of(cls, row)
    if row.get("version") is not None:
        chosen: int = row["version"]
        given = last(connection, key["kind"], key["name"], key["scope"])
        if chosen <= given:
            raise VersionConflictError(
                f"{cls.kind} {row['name']!r} cannot get version {chosen}: versions up to {given} were given out already, and a "
                f"number is never used again, also of a deleted version. Leave version out to get {given + 1}."
            )
        return count_up(connection, _counters, key, at_least=chosen)
    version = _count(connection, key)
    if suspicious:
        highest = select(func.max(cls.version)).where(cls.name == row["name"])
        if cls.scope:
            highest = highest.where(getattr(cls, cls.scope) == row[cls.scope])
        taken = connection.execute(highest).scalar() or 0
        if version <= taken:
            version = _count(connection, key, at_least=taken + 1)
    return version


def _count(connection: Connection, key: dict[str, str], at_least: int | None = None) -> int:
    """Count a version; `VersionConflictError` beyond the last number there can be, which somebody must have chosen before."""
    try:
        version = count_up(connection, _counters, key, at_least)
    except exc.DataError as error:
        if failures.is_too_great(error):
            raise _used_up(key) from error
        raise
    if version > LAST_VERSION:  # SQLite counts on
        raise _used_up(key)
    return version


def _used_up(key: dict[str, str]) -> VersionConflictError:
    return VersionConflictError(
        f"{key['kind']} {key['name']!r:.300} cannot get another version: {LAST_VERSION}, the last number there can be, was given out "
        "(chosen by somebody, or imported). Save under another name"
    )


def last(connection: Connection, kind: str, name: str, scope: str) -> int:
    """Return the highest version ever given out, deleted ones included; 0 if there was none."""
    found = select(_counters.c.last).where(
        _counters.c.kind == kind, _counters.c.name == name, _counters.c.scope == scope
    )
    return connection.execute(found).scalar() or 0
