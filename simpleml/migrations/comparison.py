"""Compares the schema of a database with a declared one, by Alembic, and by ourselves in what Alembic leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Column, Connection, Dialect, MetaData, Table, inspect
from sqlalchemy.types import TypeDecorator, TypeEngine

from simpleml.migrations import environment
from simpleml.migrations.revisions import TABLES


def differences(connection: Connection, metadata: MetaData) -> list[str]:
    """Return one line for everything in which the database differs from `metadata`, sorted; none if they agree."""
    names = TABLES | set(metadata.tables)

    def ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or name in names

    context = environment.context(connection, include_name=ours, compare_type=_differs)
    lines = {line for entry in compare_metadata(context, metadata) for line in _lines(entry, connection.dialect)}
    present = set(inspect(connection).get_table_names())
    for table in metadata.tables.values():
        if table.name in present:
            lines.update(_unseen(connection, table))
    return sorted(lines)


def _differs(
    context: MigrationContext,
    found_column: Column[Any],
    declared_column: Column[Any],
    found: TypeEngine[Any],
    declared: TypeEngine[Any],
) -> bool | None:
    """Whether a collation that was asked for is not there; the rest (None) Alembic decides."""
    wanted = getattr(_own(declared, context.dialect), "collation", None)
    return True if wanted is not None and wanted != getattr(found, "collation", None) else None


def _own(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return what a type becomes on one database product."""
    return type_.load_dialect_impl(dialect) if isinstance(type_, TypeDecorator) else type_


def _unseen(connection: Connection, table: Table) -> Iterator[str]:
    """Tell what Alembic does not compare: primary keys, and which named check constraints are there."""
    inspector = inspect(connection)
    found = inspector.get_pk_constraint(table.name)["constrained_columns"]
    declared = [column.name for column in table.primary_key.columns]
    if found != declared:
        yield f"{table.name}: the primary key is ({', '.join(found)}), not ({', '.join(declared)})"
    checks = {check["name"] for check in inspector.get_check_constraints(table.name)}
    for check in table.constraints:
        if isinstance(check, CheckConstraint) and check.name is not None:
            name = connection.dialect.identifier_preparer.format_constraint(check)
            if name not in checks:
                yield f"{table.name}: the check {name} is missing"


def _lines(entry: Any, dialect: Dialect) -> Iterator[str]:
    """Put one entry of Alembic's answer into words; changes of one column come as a list of entries."""
    if isinstance(entry, list):
        for part in entry:
            yield from _lines(part, dialect)
        return
    verb, *rest = entry
    action, _, thing = verb.partition("_")
    if action == "modify":
        _, table, column, _, found, declared = rest
        if thing == "type":
            found, declared = _spelled(found, dialect), _spelled(declared, dialect)
        words = {"type": "is of type", "nullable": "may be NULL is"}.get(thing, f"has the {thing}")
        yield f"{table}.{column}: {words} {found}, not {declared}"
        return
    state = "is missing" if action == "add" else "is not declared"
    if thing == "table":
        yield f"{rest[0].name}: the table {state}"
    elif thing == "column":
        _, table, column = rest
        yield f"{table}: the column {column.name} {state}"
    else:
        made = rest[0]
        # A database may show a unique constraint as a unique index; to whoever reads this they are one thing.
        plain = thing == "index" and not made.unique
        kind = "foreign key" if thing == "fk" else "index" if plain else "unique key"
        columns = ", ".join(column.name for column in made.columns)
        yield f"{made.table.name}: the {kind} {made.name} on ({columns}) {state}"


def _spelled(type_: TypeEngine[Any], dialect: Dialect) -> str:
    return _own(type_, dialect).compile(dialect=dialect)
