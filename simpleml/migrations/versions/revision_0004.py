"""Where a database lives, and the ids that it had: a copy of a database becomes somebody else."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.util import CommandError

revision = "0004"
down_revision = "0003"

_NAME = "ledger"
_IDS = sa.table(_NAME)
_WITH_QUOTES = {
    ("only", "number"): 'ALTER TABLE ledger RENAME COLUMN "only" TO "number"',
    ("number", "only"): 'ALTER TABLE ledger RENAME COLUMN "number" TO "only"',
}
_WITH_BACKTICKS = {names: statement.replace('"', "`") for names, statement in _WITH_QUOTES.items()}


def upgrade(operations: Operations) -> None:
    """Let the table hold several ids, by number; on MariaDB what an interrupted run has done already is left as it is."""
    found = _columns(operations)
    if "only" in found:
        _rename(operations, "only", "number")
    if "place" not in found:
        operations.add_column(_NAME, sa.Column("place", sa.String(128), nullable=True))
    if "own" not in found:
        operations.add_column(_NAME, sa.Column("own", sa.Boolean(), server_default=sa.true(), nullable=False))


def downgrade(operations: Operations) -> None:
    """Take the columns away; refused for a database with several ids, unless it goes altogether."""
    connection = operations.get_bind()
    count = connection.execute(sa.select(sa.func.count()).select_from(_IDS)).scalar_one()
    if count > 1 and operations.get_context().opts.get("target") != "base":
        raise CommandError(
            f"this database was copied or moved and has {count} ids, of which an older simpleml would know one, and refuse "
            "the objects of the others. Nothing was changed. Back it up (simpleml backup), restore that into a new database, which "
            "has one id, and downgrade the new one"
        )
    found = _columns(operations)
    for name in ("own", "place"):
        if name in found:
            operations.drop_column(_NAME, name)
    if "number" in found:
        _rename(operations, "number", "only")


def _columns(operations: Operations) -> set[str]:
    return {column["name"] for column in sa.inspect(operations.get_bind()).get_columns(_NAME)}


def _rename(operations: Operations, old: str, new: str) -> None:
    """Rename a column in the words that all three databases know; Alembic's own would copy the table on SQLite."""
    quoted = _WITH_BACKTICKS if operations.get_bind().dialect.name in {"mysql", "mariadb"} else _WITH_QUOTES
    operations.execute(quoted[old, new])
