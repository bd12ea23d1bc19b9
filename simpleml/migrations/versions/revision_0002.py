"""Objects kept in the database, as chunks and as tables of their own; aliases of versions, how they moved, and tags."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_FRAME = re.compile("sml_[0-9a-f]{32}")  # what tables that hold frames are called
_OBJECTS = ("blob_chunks", "data_tables")  # which a database has already that was used as a store
_TABLES = (*_OBJECTS, "aliases", "alias_moves", "tags")
_INDEXES = {"aliases": ("record",), "alias_moves": ("kind", "name", "alias"), "tags": ("kind", "tag")}


class _Types:
    """The column types of one database product."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._mysql = dialect.name in {"mysql", "mariadb"}
        self._postgresql = dialect.name == "postgresql"
        self._binary = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"

    def identity(self, length: int = 255) -> sa.types.TypeEngine[str]:
        """Text that compares by bytes."""
        if self._mysql:
            return mysql.VARCHAR(length, charset="utf8mb4", collation=self._binary)
        return sa.String(length, collation="C") if self._postgresql else sa.String(length)

    def instant(self) -> sa.types.TypeEngine[Any]:
        """A time in UTC with microseconds."""
        return mysql.DATETIME(fsp=6) if self._mysql else sa.DateTime(timezone=True)

    def chunk(self) -> sa.types.TypeEngine[bytes]:
        """Bytes, up to some megabytes."""
        return mysql.MEDIUMBLOB() if self._mysql else sa.LargeBinary()


def upgrade(operations: Operations) -> None:
    """Make the tables; what a database holds that was used as a store is kept, and other tables of these names are refused.

    On MariaDB those are made anew that an interrupted run left, and into which nobody could write.
    """
    types = _Types(operations.get_context().dialect)
    tables = {**_objects(types), **_aliases(types)}
    present = _ours(operations.get_bind(), tables)
    for name, items in tables.items():
        if name in present and name in _OBJECTS:
            continue
        if name in present:
            operations.drop_table(name)
        _create(operations, name, items)


def downgrade(operations: Operations) -> None:
    """Drop whichever of the tables are there, with all they hold, and the tables that frames were kept in."""
    connection = operations.get_bind()
    present = set(sa.inspect(connection).get_table_names())
    if "data_tables" in present:
        frames = sa.table("data_tables", sa.column("name"), sa.column("namespace"))
        for name, namespace in connection.execute(sa.select(frames.c.name, frames.c.namespace)).all():
            if _FRAME.fullmatch(name):
                operations.drop_table(name, schema=namespace, if_exists=True)
    for name in reversed(_TABLES):
        if name in present:
            operations.drop_table(name)


_Items = tuple[sa.schema.SchemaItem, ...]


def _ours(connection: sa.Connection, tables: dict[str, _Items]) -> set[str]:
    """Return which tables are there already, after making sure that nobody else made them, or has rows in them."""
    present = set(sa.inspect(connection).get_table_names()).intersection(tables)
    foreign = [name for name in sorted(present) if not _is_ours(connection, name, tables[name])]
    if foreign:
        raise CommandError(
            f"this database has tables that simpleml did not make, of names that it needs now: {', '.join(foreign)}. Nothing was "
            "changed. Rename them (ALTER TABLE … RENAME TO …), or name another database in the settings, and try again"
        )
    return present


def _is_ours(connection: sa.Connection, name: str, items: _Items) -> bool:
    """Whether a table has our columns, and no row unless it is of those that a store has."""
    columns = {item.name for item in items if isinstance(item, sa.Column)}
    if {column["name"] for column in sa.inspect(connection).get_columns(name)} != columns:
        return False
    row = sa.select(sa.literal(1)).select_from(sa.table(name)).limit(1)
    return name in _OBJECTS or connection.execute(row).first() is None


def _create(operations: Operations, name: str, items: _Items) -> None:
    """Create a table; on MariaDB and MySQL one with transactions and all of Unicode, whatever the server's defaults are."""
    options: dict[str, Any] = {
        f"{family}_{key}": value
        for family in ("mysql", "mariadb")
        for key, value in {"engine": "InnoDB", "charset": "utf8mb4"}.items()
    }
    operations.create_table(name, *items, **options)
    columns = _INDEXES.get(name)
    if columns:
        operations.create_index(f"ix_{name}_{'_'.join(columns)}", name, list(columns))


def _objects(types: _Types) -> dict[str, _Items]:
    return {
        "blob_chunks": (
            sa.Column("key", sa.String(160), nullable=False),
            sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
            sa.Column("data", types.chunk(), nullable=False),
            sa.PrimaryKeyConstraint("key", "number", name="pk_blob_chunks"),
        ),
        "data_tables": (
            sa.Column("key", sa.String(160), nullable=False),
            sa.Column("name", sa.String(63), nullable=False),
            sa.Column("namespace", sa.String(63), nullable=True),
            sa.Column("size", sa.BigInteger(), nullable=False),
            sa.Column("rows", sa.BigInteger(), nullable=True),
            sa.Column("columns", sa.JSON(), nullable=False),
            sa.Column("created", types.instant(), nullable=False),
            sa.PrimaryKeyConstraint("key", name="pk_data_tables"),
            sa.UniqueConstraint("name", name="uq_data_tables_name"),
        ),
    }


def _aliases(types: _Types) -> dict[str, _Items]:
    return {
        "aliases": (
            sa.Column("kind", types.identity(63), nullable=False),
            sa.Column("name", types.identity(), nullable=False),
            sa.Column("scope", sa.String(36), nullable=False),
            sa.Column("alias", types.identity(63), nullable=False),
            sa.Column("record", sa.Uuid(), nullable=False),
            sa.Column("version", sa.Integer(), nullable=False),
            sa.PrimaryKeyConstraint("kind", "name", "scope", "alias", name="pk_aliases"),
        ),
        "alias_moves": (
            sa.Column("id", sa.Uuid(), nullable=False),
            sa.Column("kind", types.identity(63), nullable=False),
            sa.Column("name", types.identity(), nullable=False),
            sa.Column("scope", sa.String(36), nullable=False),
            sa.Column("alias", types.identity(63), nullable=False),
            sa.Column("from_version", sa.Integer(), nullable=True),
            sa.Column("to_version", sa.Integer(), nullable=True),
            sa.Column("from_record", sa.Uuid(), nullable=True),
            sa.Column("to_record", sa.Uuid(), nullable=True),
            sa.Column("author", types.identity(), nullable=False),
            sa.Column("moment", types.instant(), nullable=False),
            sa.PrimaryKeyConstraint("id", name="pk_alias_moves"),
        ),
        "tags": (
            sa.Column("kind", types.identity(63), nullable=False),
            sa.Column("record", sa.Uuid(), nullable=False),
            sa.Column("tag", types.identity(63), nullable=False),
            sa.PrimaryKeyConstraint("record", "tag", name="pk_tags"),
        ),
    }
