"""The first schema: records of every kind, stored bytes and who refers to them, version counters, lineage, the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

_DROPPED_IN_ORDER = (
    "lineage",
    "metrics",
    "models",
    "pipelines",
    "datasets",
    "persistables",
    "blob_refs",
    "blobs",
    "version_counters",
    "ledger",
)
_CYCLE = "fk_datasets_pipeline_id"  # datasets and pipelines refer to each other


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


def upgrade(operations: Operations) -> None:
    """Make every table, and the one row of the ledger."""
    types = _Types(operations.get_context().dialect)
    _create_blobs(operations, types)
    _create_counters(operations, types)
    _create_records(operations, types)
    _create_lineage(operations, types)
    # Last, so that on MariaDB this row and that of the version become visible together.
    ledger = _create(
        operations,
        "ledger",
        sa.Column("only", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("only", name="pk_ledger"),
    )
    operations.bulk_insert(ledger, [{"only": 1, "id": uuid4().hex}])


def downgrade(operations: Operations) -> None:
    """Drop whichever of the tables are there, with all they hold."""
    inspector = sa.inspect(operations.get_bind())
    present = set(inspector.get_table_names())
    if "datasets" in present:
        if operations.get_context().dialect.name == "sqlite":  # cannot drop a constraint, but counts it as kept if NULL
            operations.execute("UPDATE datasets SET pipeline_id = NULL WHERE pipeline_id IS NOT NULL")
        elif _CYCLE in {key["name"] for key in inspector.get_foreign_keys("datasets")}:
            operations.drop_constraint(_CYCLE, "datasets", type_="foreignkey")
    for name in _DROPPED_IN_ORDER:
        if name in present:
            operations.drop_table(name)


def _create(operations: Operations, name: str, *items: sa.schema.SchemaItem) -> sa.Table:
    """Create a table; on MariaDB and MySQL one with transactions and all of Unicode, whatever the server's defaults are."""
    options: dict[str, Any] = {
        f"{family}_{key}": value
        for family in ("mysql", "mariadb")
        for key, value in {"engine": "InnoDB", "charset": "utf8mb4"}.items()
    }
    return operations.create_table(name, *items, **options)


def _index(operations: Operations, table: str, *columns: str) -> None:
    operations.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _refers(table: str, column: str, target: str, key: str = "id") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.{key}"], name=f"fk_{table}_{column}")


def _create_blobs(operations: Operations, types: _Types) -> None:
    _create(
        operations,
        "blobs",
        sa.Column("key", sa.String(160), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("store", types.identity(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("refs", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_blobs"),
        sa.CheckConstraint("state IN ('pending', 'live', 'damaged', 'condemned')", name="ck_blobs_state"),
        sa.CheckConstraint("refs >= 0", name="ck_blobs_refs"),
        sa.CheckConstraint("size >= 0", name="ck_blobs_size"),
    )
    _index(operations, "blobs", "digest")
    _index(operations, "blobs", "refs", "lease_until")
    _create(
        operations,
        "blob_refs",
        sa.Column("record", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("record", "key", name="pk_blob_refs"),
        _refers("blob_refs", "key", "blobs", "key"),
    )
    _index(operations, "blob_refs", "key")


def _create_counters(operations: Operations, types: _Types) -> None:
    _create(
        operations,
        "version_counters",
        sa.Column("kind", types.identity(63), nullable=False),
        sa.Column("name", types.identity(), nullable=False),
        sa.Column("scope", sa.String(36), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "scope", name="pk_version_counters"),
    )


def _create_records(operations: Operations, types: _Types) -> None:
    inline = operations.get_context().dialect.name == "sqlite"  # it takes a reference to a table that comes later, only
    cycle = [_refers("datasets", "pipeline_id", "pipelines")] if inline else []
    _create_record(operations, types, "datasets", [_link("pipeline_id")], cycle)
    _create_record(
        operations,
        types,
        "pipelines",
        [_json("params"), _link("dataset_id")],
        [_refers("pipelines", "dataset_id", "datasets")],
    )
    if not inline:
        operations.create_foreign_key(_CYCLE, "datasets", "pipelines", ["pipeline_id"], ["id"])
    _create_record(
        operations,
        types,
        "models",
        [_json("params"), _json("feature_metadata"), _link("pipeline_id")],
        [_refers("models", "pipeline_id", "pipelines")],
    )
    _create_record(
        operations,
        types,
        "metrics",
        [_json("values"), _link("model_id", nullable=False), _link("dataset_id")],
        [_refers("metrics", "model_id", "models"), _refers("metrics", "dataset_id", "datasets")],
        unique=("name", "model_id", "version"),
    )
    _create_record(operations, types, "persistables", [], [])
    for table, column in (
        ("datasets", "pipeline_id"),
        ("pipelines", "dataset_id"),
        ("models", "pipeline_id"),
        ("metrics", "model_id"),
        ("metrics", "dataset_id"),
    ):
        _index(operations, table, column)


def _link(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=True)


def _create_record(
    operations: Operations,
    types: _Types,
    table: str,
    columns: Iterable[sa.Column[Any]],
    references: Iterable[sa.ForeignKeyConstraint],
    unique: tuple[str, ...] = ("name", "version"),
) -> None:
    """Create the table of one kind: what every record has, then what is its own."""
    _create(
        operations,
        table,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.String(128), nullable=False),
        sa.Column("registered_name", types.identity(), nullable=False),
        sa.Column("author", types.identity(), nullable=False),
        sa.Column("project", types.identity(), nullable=False),
        sa.Column("name", types.identity(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("version_description", sa.Text(), nullable=True),
        sa.Column("has_external_files", sa.Boolean(), nullable=False),
        _json("filepaths"),
        _json("metadata"),
        sa.Column("created_timestamp", types.instant(), nullable=False),
        sa.Column("modified_timestamp", types.instant(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint(*unique, name=f"uq_{table}_{'_'.join(unique)}"),
        *references,
    )
    for column in ("hash", "project", "created_timestamp"):
        _index(operations, table, column)


def _create_lineage(operations: Operations, types: _Types) -> None:
    parents = {
        "dataset_id": "datasets",
        "pipeline_id": "pipelines",
        "model_id": "models",
        "metric_id": "metrics",
        "persistable_id": "persistables",
    }
    _create(
        operations,
        "lineage",
        sa.Column("child", sa.Uuid(), nullable=False),
        sa.Column("role", types.identity(63), nullable=False),
        sa.Column("child_kind", types.identity(63), nullable=False),
        *(_link(column) for column in parents),
        sa.PrimaryKeyConstraint("child", "role", name="pk_lineage"),
        *(_refers("lineage", column, target) for column, target in parents.items()),
    )
    for column in parents:
        _index(operations, "lineage", column)
