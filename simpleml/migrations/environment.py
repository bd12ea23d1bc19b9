"""Runs revisions by Alembic on the caller's connection, without its command line, configuration file or global state.

Alembic's usual way (`env.py`) goes through module-level proxies that two threads, upgrading two databases, would share.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, literal, select, table

from simpleml.errors import SchemaError
from simpleml.migrations import TABLES, VERSION_TABLE, known_revisions

_Steps = Callable[[Any, MigrationContext], list[RevisionStep]]


def upgrade(connection: Connection, revision: str, *, fresh: bool) -> None:
    """Run every revision up to `revision`; a `fresh` database may hold what an interrupted first upgrade left."""
    script = _script()
    if fresh:
        _clear(connection, script)
    # Alembic marks this and `_downgrade_revs` as its own, but its commands and its cookbook are made of them.
    _run(connection, lambda heads, _: script._upgrade_revs(revision, heads))  # noqa: SLF001
    _settle(connection)


def downgrade(connection: Connection, revision: str, *, fresh: bool) -> None:
    """Undo every revision after `revision`; with the last one goes the version table."""
    script = _script()
    if fresh:
        _clear(connection, script)
    _run(connection, lambda heads, _: script._downgrade_revs(revision, heads))  # noqa: SLF001
    if revision == "base":
        Operations(context(connection)).drop_table(VERSION_TABLE)
    _settle(connection)


def context(connection: Connection, **options: Any) -> MigrationContext:
    """Return Alembic's view of a connection; it never begins, commits or rolls back, because the caller has begun."""
    if not connection.in_transaction():
        connection.begin()
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, **options})


def _script() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))


def _run(connection: Connection, steps: _Steps) -> None:
    migration = context(connection, fn=steps)
    migration.run_migrations(operations=Operations(migration))


def _clear(connection: Connection, script: ScriptDirectory) -> None:
    """Remove the tables that an upgrade had made when it was cut short; nobody can have put anything into them."""
    left = sorted(TABLES.intersection(inspect(connection).get_table_names()))
    for name in left:
        if connection.execute(select(literal(1)).select_from(table(name)).limit(1)).first():
            raise SchemaError(
                f"{VERSION_TABLE} is empty, but the table {name} is not: somebody removed the row that says which revision "
                f"this schema has (there are {', '.join(left)}). Nothing was changed. Restore the database from a backup: "
                "simpleml restore"
            )
    if left:
        first = script.get_revision(known_revisions()[0])
        first.module.downgrade(Operations(context(connection)))


def _settle(connection: Connection) -> None:
    """Commit where every statement before has committed already, so that others see the rows when the lock is given up."""
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.exec_driver_sql("COMMIT")
