"""The schema's past and present: which revision a database has, and how it gets to another one.

Looking is cheap: Alembic is imported only when a schema is made, changed or compared. Whoever changes one holds the
transaction and the lock; nothing here configures logging, prints, or reads an `alembic.ini`.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, MetaData, column, inspect, select, table

from simpleml.errors import SchemaError
from simpleml.migrations.revisions import HEAD, REVISIONS, STORE_TABLES, TABLES, VERSION_TABLE

__all__ = [
    "HEAD",
    "TABLES",
    "VERSION_TABLE",
    "differences",
    "downgrade",
    "guard",
    "known_revisions",
    "revision_of",
    "upgrade",
]

_version = table(VERSION_TABLE, column("version_num"))


def known_revisions() -> list[str]:
    """Return every revision that this package can make, oldest first."""
    return list(REVISIONS)


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database, or None if it has none; one look into the catalogue and one select."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(select(_version.c.version_num)).scalar()
    return None if found is None else str(found)


def guard(connection: Connection) -> Literal["fresh", "current"]:
    """Return "current" if this package can work with the schema, "fresh" if there is none; anything else is a `SchemaError`.

    It may be asked without the lock: a first use under way elsewhere, or one that was cut short, is "fresh" too, and
    `upgrade` under the lock takes it from there.
    """
    found = revision_of(connection)
    if found == HEAD:
        return "current"
    if found is None:
        return "fresh" if _refuse_strange_tables(connection) is None else guard(connection)
    _refuse_newer(found)
    raise SchemaError(
        f"the schema of this database is revision {found!r}, older than {HEAD!r}, which this simpleml works with. "
        "Back it up, then run: simpleml db upgrade"
    )


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to `revision`, in the transaction and under the lock that the caller holds on this connection.

    On SQLite and PostgreSQL nothing is left of one that failed or was rolled back. MariaDB and MySQL commit every such
    statement, so there all of it is committed when this returns, and one that was cut short can be run again.
    """
    found = _checked(connection)
    if revision not in ("head", *REVISIONS):
        raise SchemaError(f"there is no revision {revision!r} to upgrade to; known: {', '.join(REVISIONS)}, head")
    target = HEAD if revision == "head" else revision
    if found is not None and REVISIONS.index(target) < REVISIONS.index(found):
        raise SchemaError(f"the schema is at {found!r}, beyond {target!r}; run: simpleml db downgrade {target}")
    from alembic.util import CommandError

    from simpleml.migrations import environment

    try:
        environment.upgrade(connection, target, fresh=found is None)
    except CommandError as error:  # a revision, which imports nothing of ours, refuses what it found
        raise SchemaError(str(error)) from error


def downgrade(connection: Connection, revision: str) -> None:
    """Take the schema back to `revision`, in the caller's transaction and under its lock; "base" drops all that is ours.

    What the tables hold is lost with them; ask first.
    """
    found = _checked(connection)
    if revision not in ("base", *REVISIONS):
        raise SchemaError(f"there is no revision {revision!r} to downgrade to; known: base, {', '.join(REVISIONS)}")
    if revision != "base" and (found is None or REVISIONS.index(found) < REVISIONS.index(revision)):
        raise SchemaError(f"the schema is at {found or 'base'!r}, before {revision!r}; run: simpleml db upgrade")
    from alembic.util import CommandError

    from simpleml.migrations import environment

    try:
        environment.downgrade(connection, revision, fresh=found is None)
    except CommandError as error:
        raise SchemaError(str(error)) from error


def differences(connection: Connection, metadata: MetaData) -> list[str]:
    """Return one line for everything in which the database differs from `metadata`; none if they agree.

    Compared are the tables of `metadata` and those of `TABLES`: columns, their types, collations and whether they may
    be NULL, keys, foreign keys, unique constraints, indexes, and which check constraints there are. Other tables may
    be in the same database.
    """
    from simpleml.migrations import comparison

    return comparison.differences(connection, metadata)


def _checked(connection: Connection) -> str | None:
    """Return the revision of a database whose schema we may change."""
    found = revision_of(connection) or _refuse_strange_tables(connection)
    if found is not None:
        _refuse_newer(found)
    return found


def _refuse_newer(found: str) -> None:
    if found not in REVISIONS:
        raise SchemaError(
            f"the schema of this database is revision {found!r}, made by a newer simpleml; this one knows "
            f"{', '.join(REVISIONS)}. Upgrade the package: pip install -U simpleml"
        )


def _refuse_strange_tables(connection: Connection) -> str | None:
    """Refuse tables with our names where no upgrade of ours has begun: it would start with making the version table.

    A database that was used as a store has those of its objects, and nothing against becoming one of records. Returns the revision, which another process may have reached in the meantime.
    """
    strange = sorted(TABLES.intersection(inspect(connection).get_table_names()))
    # Asked in this order, because another process may be making them at this moment.
    if strange and not inspect(connection).has_table(VERSION_TABLE) and not _is_store(connection, strange):
        raise SchemaError(
            f"this database has the tables {', '.join(strange)} but no {VERSION_TABLE}: they belong to another program, or "
            "are what is left of a schema of simpleml. Nothing was changed. Restore it from a backup (simpleml restore), or "
            "name an empty database in the settings and run: simpleml db init"
        )
    return revision_of(connection) if strange else None


def _is_store(connection: Connection, names: list[str]) -> bool:
    """Whether these are the tables of objects alone, as a store makes them."""
    if not STORE_TABLES.keys() >= set(names):
        return False
    inspector = inspect(connection)
    return all({column["name"] for column in inspector.get_columns(name)} == STORE_TABLES[name] for name in names)
