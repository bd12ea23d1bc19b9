"""Which revisions of the schema there are, and which tables a database has at the last one."""

from __future__ import annotations

HEAD = "0004"
"""The revision that this package works with."""

VERSION_TABLE = "simpleml_version"
"""The table whose one row names the revision of a database."""

TABLES = frozenset(
    {
        "blobs",
        "blob_refs",
        "version_counters",
        "lineage",
        "ledger",
        "datasets",
        "pipelines",
        "models",
        "metrics",
        "persistables",
        "blob_chunks",
        "data_tables",
        "aliases",
        "alias_moves",
        "tags",
        "claims",
    }
)
"""The tables that a database has at `HEAD`, besides `VERSION_TABLE`."""

REVISIONS = ("0001", "0002", "0003", HEAD)
"""Every revision that this package can make, oldest first."""

STORE_TABLES = {
    "blob_chunks": {"key", "number", "data"},
    "data_tables": {"key", "name", "namespace", "size", "rows", "columns", "created"},
}
"""What a database has that is nothing but a store, and the columns of each; objects in them are kept."""
