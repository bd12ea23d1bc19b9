"""Blocks of rows into a table and out of it, by the fastest way that each database has within our own transaction.

A block is an arrow table whose columns are of the types that `carrier` gives for a kind, the first of them the row numbers.
`dialects.bulk` chooses the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    exc,
    insert,
    select,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from simpleml.errors import MissingDependencyError
from simpleml.orm.locations import staging
from simpleml.orm.locations.canonical import spread
from simpleml.orm.locations.copying import rows_of
from simpleml.orm.locations.pages import Pages, pages_of
from simpleml.save_patterns.serializers.frames import arrow

_LONG_TEXT = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
_TYPES: dict[str, TypeEngine[Any]] = {
    "boolean": Boolean(create_constraint=False),
    "int16": SmallInteger(),
    "int32": Integer(),
    "int64": BigInteger(),
    "double": Double(),
    "text": Text().with_variant(_LONG_TEXT, "mysql", "mariadb"),
    "binary": LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
    "date": Date(),
    "moment": DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
    "instant": DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"),
}
_SESSION = {"datestyle": "ISO, YMD", "timezone": "UTC", "bytea_output": "hex", "extra_float_digits": "1"}
_OPTIONS = {
    f"{family}_{key}": value
    for family in ("mysql", "mariadb")
    for key, value in {"engine": "InnoDB", "charset": "utf8mb4"}.items()
}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What columns of a database can hold: which floats not, how many digits of decimals, and whether text may hold NUL.

    A row of more than `row` bytes of text and the like breaks the connection, or memory.
    """

    no_floats: frozenset[str]
    decimals: tuple[int, int]
    nul: bool
    columns: int
    reserved: frozenset[str] = frozenset()
    row: int = 2**29


class Bulk(Protocol):
    """One database's way; `table` is one that `table_of` made, and its first column counts the rows."""

    abilities: Abilities
    key_last: bool
    """Whether the key is made when all rows are there, which is less work where rows lie in a heap."""

    def pack(self, block: Any) -> Any:
        """Return the rows of a block as `write` takes them; this may be done while another block is on its way."""

    def write(self, connection: Connection, table: Table, rows: Any) -> None:
        """Add packed rows; they may be added again, if the transaction failed."""

    def read(self, connection: Connection, table: Table, start: int, stop: int, schema: Any) -> Any:
        """Return the rows with these numbers, in their order, as an arrow table of `schema`."""


def carrier(kind: str) -> Any:
    """Return the arrow type in which a column of this kind travels."""
    pa = arrow()
    name, *digits = kind.split(":")
    if name == "decimal":
        precision, scale = map(int, digits)
        return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    types = {
        "boolean": pa.bool_(), "int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64(), "double": pa.float64(),
        "text": pa.large_string(), "binary": pa.large_binary(), "date": pa.date32(), "moment": pa.timestamp("us"),
        "instant": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    return types[name]


def table_of(
    name: str, namespace: str | None, columns: Sequence[tuple[str, str]], row: str, *, key: bool = True
) -> Table:
    """Return the description of a table with these names and kinds of columns; `row` counts the rows, and is its key."""
    number = BigInteger().with_variant(Integer(), "sqlite")
    counted = Column(row, number, primary_key=key, nullable=False, autoincrement=False)
    others: list[Any] = [Column(label, _type(kind), key=f"c{number}") for number, (label, kind) in enumerate(columns)]
    return Table(name, MetaData(), counted, *others, schema=namespace, **_OPTIONS)  # type: ignore[call-overload,no-any-return]


def _type(kind: str) -> TypeEngine[Any]:
    name, *digits = kind.split(":")
    if name == "decimal":
        precision, scale = map(int, digits)
        return Numeric(precision, scale)
    return _TYPES[name]


@contextmanager
def _driver(connection: Connection, doing: str) -> Iterator[Any]:
    """Give the driver's own connection; its errors come out as SQLAlchemy's, so that they are tried again like others."""
    driver = connection.connection.driver_connection
    dialect = connection.dialect
    known = dialect.loaded_dbapi.Error
    try:
        yield driver
    except known as error:
        gone = dialect.is_disconnect(error, driver, None)
        if gone:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            doing, None, error, known, hide_parameters=True, connection_invalidated=gone, dialect=dialect
        ) from error


def _fetch(connection: Connection, table: Table, start: int, stop: int) -> list[Any]:
    """Return rows as the driver gives them, one sequence for each column."""
    number = next(iter(table.primary_key.columns))
    found = connection.execute(select(table).where(number >= start, number < stop).order_by(number))
    with _driver(connection, "SELECT"):
        rows = found.cursor.fetchall()  # what SQLAlchemy would make of each row is not wanted
    found.close()
    return list(zip(*rows, strict=True)) if rows else [[] for _ in table.columns]


def _texts(column: Any) -> Any:
    """Return a column as what a driver without arrow takes: moments, dates and decimals as text."""
    pa = arrow()
    types, kind = pa.types, column.type
    if types.is_timestamp(kind) and kind.tz:
        column = column.cast(pa.int64()).cast(pa.timestamp("us"))
    if types.is_temporal(kind) or types.is_decimal(kind):
        return column.cast(pa.string())
    return column.cast(pa.int8()) if types.is_boolean(kind) else column


def _objects(columns: Sequence[Any]) -> Any:
    """Return columns that `_texts` gave as one numpy array of Python values, with a row for each row and None for null."""
    import numpy as np

    pa = arrow()
    held = np.empty((len(columns), len(columns[0])), object)
    for target, column in zip(held, columns, strict=True):
        if column.null_count and pa.types.is_primitive(column.type):  # else numpy would make floats of numbers
            target[:] = column.fill_null(0).to_numpy(zero_copy_only=False)
            target[column.is_null().to_numpy(zero_copy_only=False)] = None
        else:
            target[:] = column.to_numpy(zero_copy_only=False)
    return held.T


def _column(values: Sequence[Any], kind: Any) -> Any:
    """Return what a driver gave for a column as arrow; raises `ArrowException` or `ValueError` if it is not of this kind."""
    pa = arrow()
    types = pa.types
    if types.is_boolean(kind):
        return pa.array(values, pa.int8()).cast(kind)
    told = next((value for value in values if value is not None), None)
    if isinstance(told, str) and (types.is_temporal(kind) or types.is_decimal(kind)):
        plain = pa.timestamp("us") if types.is_timestamp(kind) else kind
        return (
            pa.array(values, pa.string()).cast(plain).cast(pa.int64()).cast(kind)
            if types.is_timestamp(kind)
            else pa.array(values, pa.string()).cast(plain)
        )
    if types.is_timestamp(kind) and kind.tz:
        return pa.array(values, pa.timestamp("us")).cast(pa.int64()).cast(kind)
    return pa.array(values, kind, from_pandas=False)


class SQLiteBulk:
    """SQLite, on SQLAlchemy's own connection: another SQLite library on the same file would corrupt it."""

    abilities = Abilities(frozenset({"nan", "-0"}), (0, 0), nul=True, columns=2000)
    key_last = False

    def pack(self, block: Any) -> Any:
        """Return the rows as SQLite's own pages; or their values, where that cannot be."""
        columns = [_texts(_chunk(column)) for column in block.columns]
        return (pages_of(columns) if staging.POSSIBLE else None) or _objects(columns).tolist()

    def write(self, connection: Connection, table: Table, rows: Any) -> None:
        """Add the rows."""
        statement = str(insert(table).compile(dialect=connection.dialect))
        with _driver(connection, statement) as driver:
            if isinstance(rows, Pages):
                staging.copy_in(connection, driver, table, rows)
            else:
                driver.executemany(statement, rows)

    def read(self, connection: Connection, table: Table, start: int, stop: int, schema: Any) -> Any:
        """Fetch the rows as tuples."""
        return _rows(connection, table, start, stop, schema)


class MySQLBulk:
    """MariaDB and MySQL, by statements for many rows: LOAD DATA LOCAL would let the server read any file of the client."""

    abilities = Abilities(
        frozenset({"nan", "inf", "-inf", "-0"}), (65, 38), nul=True, columns=1000, row=7 * 1024 * 1024
    )
    # Half of what a server takes in one packet, unless it is told otherwise: a byte may need two in a statement.
    key_last = False

    def pack(self, block: Any) -> Any:
        """Return a list of the values of each row."""
        return _objects([_texts(_chunk(column)) for column in block.columns]).tolist()

    def write(self, connection: Connection, table: Table, rows: Any) -> None:
        """Add the rows; the driver puts as many into a statement as a packet takes."""
        by_position: Any = type(connection.dialect)
        statement = str(insert(table).compile(dialect=by_position(paramstyle="format")))
        with _driver(connection, statement) as driver, driver.cursor() as cursor:
            cursor.executemany(statement, rows)

    def read(self, connection: Connection, table: Table, start: int, stop: int, schema: Any) -> Any:
        """Fetch the rows as tuples."""
        return _rows(connection, table, start, stop, schema)


def _chunk(column: Any) -> Any:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _rows(connection: Connection, table: Table, start: int, stop: int, schema: Any) -> Any:
    columns = _fetch(connection, table, start, stop)
    arrays = [_column(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return arrow().Table.from_arrays(arrays, schema=schema)


class PostgreSQLBulk:
    """PostgreSQL, by COPY: binary on the way in, and CSV on the way out, which arrow reads (a quoted empty field is no NULL)."""

    abilities = Abilities(
        frozenset(), (1000, 1000), nul=False, columns=1600,
        reserved=frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}),
    )  # fmt: skip
    key_last = True

    def pack(self, block: Any) -> Any:
        """Return the rows as the server's own bytes."""
        return rows_of([_chunk(column) for column in block.columns])

    def write(self, connection: Connection, table: Table, rows: Any) -> None:
        """Copy the rows in."""
        sql = _psycopg().sql
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, ENCODING 'UTF8')").format(
            _qualified(table), sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
        )
        with _driver(connection, "COPY") as driver, driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(rows)

    def read(self, connection: Connection, table: Table, start: int, stop: int, schema: Any) -> Any:
        """Copy the rows out; what a session may have set otherwise is told first, for this transaction."""
        sql = _psycopg().sql
        rows = sql.Identifier(next(iter(table.primary_key.columns)).name)
        statement = sql.SQL(
            "COPY (SELECT {} FROM {} WHERE {} >= {} AND {} < {} ORDER BY {}) TO STDOUT (FORMAT csv, ENCODING 'UTF8')"
        ).format(
            sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns),
            *(_qualified(table), rows, sql.Literal(start), rows, sql.Literal(stop), rows),
        )
        with _driver(connection, "COPY") as driver, driver.cursor() as cursor:
            for setting in _SESSION.items():
                cursor.execute("SELECT set_config(%s, %s, true)", setting)
            with cursor.copy(statement) as copy:
                data = b"".join(copy)
        return _parsed(data, schema) if data else schema.empty_table()


def _parsed(data: bytes, schema: Any) -> Any:
    """Return what PostgreSQL wrote as CSV; arrow takes bytes and long decimals as text first."""
    pa = arrow()
    from pyarrow import csv

    types = pa.types
    by_text = [types.is_large_binary(field.type) or types.is_decimal256(field.type) for field in schema]
    kinds = {
        str(number): pa.large_string() if text else field.type
        for number, (text, field) in enumerate(zip(by_text, schema, strict=True))
    }
    found = csv.read_csv(
        pa.py_buffer(data),
        # A block takes milliseconds: threads would save one of them, and keep 8 MB of memory.
        csv.ReadOptions(column_names=list(kinds), block_size=max(len(data), 1024 * 1024), use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    columns = [
        column if not text else _bytes(_chunk(column)) if types.is_large_binary(field.type) else column.cast(field.type)
        for column, field, text in zip(found.columns, schema, by_text, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _psycopg() -> Any:
    try:
        import psycopg
        import psycopg.sql
    except ImportError as error:
        raise MissingDependencyError(
            "frames in tables of PostgreSQL need the driver psycopg: pip install 'simpleml[postgres]'"
        ) from error
    return psycopg


def _qualified(table: Table) -> Any:
    sql = _psycopg().sql
    return sql.Identifier(table.schema, table.name) if table.schema else sql.Identifier(table.name)


def _bytes(array: Any) -> Any:
    """Return the binary values that such text stands for."""
    import numpy as np
    from pyarrow import compute

    pa = arrow()
    plain = compute.utf8_slice_codeunits(array, start=2)
    ends, text = spread(plain)
    valid = plain.is_valid().to_numpy(zero_copy_only=False)
    validity = pa.py_buffer(np.packbits(valid, bitorder="little"))
    values = np.full(256, 255, "u1")
    values[np.frombuffer(b"0123456789abcdef", "u1")] = np.arange(16)
    nibbles = values[text]
    if (nibbles > 15).any() or (ends % 2).any():
        raise ValueError("bytes that are not written in hexadecimal digits")
    data = (nibbles[0::2] << 4) | nibbles[1::2]
    return pa.Array.from_buffers(
        pa.large_binary(), len(array), [validity, pa.py_buffer(ends // 2), pa.py_buffer(data)], array.null_count
    )
