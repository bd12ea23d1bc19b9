"""Runs revisions by Alembic on the caller's connection, without its command line, configuration file or global state.

Alembic's usual way (`env.py`) goes through module-level proxies that two threads, upgrading two databases, would share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, literal, select, table

from simpleml.errors import SchemaError
from simpleml.migrations.revisions import REVISIONS, STORE_TABLES, TABLES, VERSION_TABLE

_Steps = Callable[[Any, MigrationContext], Sequence[RevisionStep | StampStep]]


def upgrade(connection: Connection, revision: str, *, fresh: bool) -> None:
    """Run every revision up to `revision`; a `fresh` database may hold what an interrupted first upgrade left."""
    script = _script()
    if fresh:
        _clear(connection, script)
        _run(connection, lambda _, context: _first(script, revision, context))
    else:
        # Alembic marks this and its like as its own, but its commands and its cookbook are made of them.
        _run(connection, lambda heads, _: script._upgrade_revs(revision, heads))  # noqa: SLF001
    _settle(connection)


def downgrade(connection: Connection, revision: str, *, fresh: bool) -> None:
    """Undo every revision after `revision`; with the last one goes the version table."""
    script = _script()
    if fresh:
        _clear(connection, script)
        for name in STORE_TABLES.keys() & inspect(connection).get_table_names():
            if not _has_rows(connection, name):
                Operations(context(connection)).drop_table(name)
    _run(connection, lambda heads, _: script._downgrade_revs(revision, heads), target=revision)  # noqa: SLF001
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


def _run(connection: Connection, steps: _Steps, **options: Any) -> None:
    migration = context(connection, fn=steps, **options)
    migration.run_migrations(operations=Operations(migration))


def _first(script: ScriptDirectory, revision: str, context: MigrationContext) -> Sequence[StampStep]:
    """Make everything up to `revision` before its row appears: others see no schema of an older one while it is made."""
    for each in REVISIONS[: REVISIONS.index(revision) + 1]:
        script.get_revision(each).module.upgrade(Operations(context))
    return script._stamp_revs(revision, ())  # noqa: SLF001


def _clear(connection: Connection, script: ScriptDirectory) -> None:
    """Remove the tables that an upgrade had made when it was cut short; nobody can have put anything into them.

    Objects can be there: the database was a store before, and their tables are left to the revision that makes them.
    """
    left = sorted(TABLES.intersection(inspect(connection).get_table_names()) - STORE_TABLES.keys())
    for name in left:
        if name == "ledger":  # its row is made by an upgrade
            continue
        if _has_rows(connection, name):
            raise SchemaError(
                f"{VERSION_TABLE} is empty, but the table {name} is not: somebody removed the row that says which revision "
                f"this schema has (there are {', '.join(left)}). Nothing was changed. Restore the database from a backup: "
                "simpleml restore"
            )
    operations = Operations(context(connection))
    if left:
        script.get_revision(REVISIONS[0]).module.downgrade(operations)
    for name in inspect(connection).get_table_names():
        if name in left:
            operations.drop_table(name)


def _has_rows(connection: Connection, name: str) -> bool:
    return connection.execute(select(literal(1)).select_from(table(name)).limit(1)).first() is not None


def _settle(connection: Connection) -> None:
    """Commit where every statement before has committed already, so that others see the rows when the lock is given up."""
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.exec_driver_sql("COMMIT")
