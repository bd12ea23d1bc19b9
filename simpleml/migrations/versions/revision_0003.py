"""Claims: who is doing something that only one may do, and until when."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"

_NAME = "claims"


def upgrade(operations: Operations) -> None:
    """Make the table; on MariaDB one that an interrupted run left is made anew, and any other of this name is refused."""
    connection = operations.get_bind()
    items = _items(connection.dialect)
    if _NAME in sa.inspect(connection).get_table_names():
        _refuse_others(connection, {item.name for item in items if isinstance(item, sa.Column)})
        operations.drop_table(_NAME)
    options: dict[str, Any] = {
        f"{family}_{key}": value
        for family in ("mysql", "mariadb")
        for key, value in {"engine": "InnoDB", "charset": "utf8mb4"}.items()
    }
    operations.create_table(_NAME, *items, **options)


def downgrade(operations: Operations) -> None:
    """Drop the table if it is there, with the claims of whoever is at work."""
    if _NAME in sa.inspect(operations.get_bind()).get_table_names():
        operations.drop_table(_NAME)


def _refuse_others(connection: sa.Connection, columns: set[str]) -> None:
    """Refuse a table that we did not make: one of another shape, or with a row in it, for nobody could claim anything yet."""
    found = {column["name"] for column in sa.inspect(connection).get_columns(_NAME)}
    row = sa.select(sa.literal(1)).select_from(sa.table(_NAME)).limit(1)
    if found != columns or connection.execute(row).first() is not None:
        raise CommandError(
            f"this database has a table that simpleml did not make, of a name that it needs now: {_NAME}. Nothing was changed. "
            "Rename it (ALTER TABLE … RENAME TO …), or name another database in the settings, and try again"
        )


def _items(dialect: sa.Dialect) -> tuple[sa.schema.SchemaItem, ...]:
    """Return the columns; the key is text that compares by bytes."""
    key: sa.types.TypeEngine[str] = sa.String(255)
    if dialect.name in {"mysql", "mariadb"}:
        binary = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        key = mysql.VARCHAR(255, charset="utf8mb4", collation=binary)
    elif dialect.name == "postgresql":
        key = sa.String(255, collation="C")
    return (
        sa.Column("key", key, nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(32), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_claims"),
    )
