"""Rows into a table of SQLite by way of a database in memory, whose pages we make and from which SQLite copies them.

It is attached to the connection for one transaction; the engine detaches it when the connection goes back to its pool.
"""

from __future__ import annotations

import functools
import sqlite3
from contextlib import closing
from typing import Any

from sqlalchemy import ClauseElement, Connection, Executable, MetaData, Table, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from simpleml.orm import dialects
from simpleml.orm.locations.pages import Pages

POSSIBLE = hasattr(sqlite3.Connection, "deserialize")
"""Whether this Python's SQLite can take a database from memory."""


def copy_in(connection: Connection, driver: Any, table: Table, rows: Pages) -> None:
    """Add rows to an empty table, or behind those that are there, in the transaction of the connection."""
    staged = table.to_metadata(MetaData(), name="staged")
    image = rows.image(_opening(str(CreateTable(staged).compile(dialect=connection.dialect))))
    if driver.execute("PRAGMA encoding").fetchone()[0] != "UTF-8":  # its pages are others
        with closing(sqlite3.connect(":memory:")) as other:
            other.deserialize(image)
            statement = str(insert(table).compile(dialect=connection.dialect))
            driver.executemany(statement, other.execute("SELECT * FROM staged"))
        return
    connection.info[dialects.STAGED] = True
    driver.execute("ATTACH ':memory:' AS simpleml_staged")
    driver.deserialize(image, name=dialects.STAGED)
    driver.execute(str(_CopiedRows(table, staged).compile(dialect=connection.dialect)))


@functools.lru_cache(8)
def _opening(statement: str) -> bytes:
    """Return a database with nothing but the empty table that this statement makes."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=65536")
        connection.execute(statement)
        return connection.serialize()


class _CopiedRows(Executable, ClauseElement):
    """INSERT INTO … SELECT *: only in this form does SQLite copy rows as they are, without looking at their values."""

    def __init__(self, target: Table, source: Table) -> None:
        self.target = target
        self.source = source


@compiles(_CopiedRows, "sqlite")
def _copied_rows(element: _CopiedRows, compiler: Any, **options: Any) -> str:
    target, source = compiler.preparer.format_table(element.target), compiler.preparer.format_table(element.source)
    return f"INSERT INTO main.{target} SELECT * FROM {dialects.STAGED}.{source}"  # noqa: S608 - names that were quoted
