"""Rows that reach SQLite as pages: what it finds in them is what it would have stored itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simpleml
from simpleml.orm import Database, dialects
from simpleml.orm.locations import staging
from simpleml.orm.locations.pages import PAGE, pages_of
from simpleml.orm.locations.tables import DATABASE_TABLE

_LONGEST = 65501  # bytes of a record that lies in one page of 65,536
_KINDS = {
    pa.int64(): "BIGINT",
    pa.int16(): "SMALLINT",
    pa.float64(): "DOUBLE",
    pa.large_string(): "TEXT",
    pa.large_binary(): "BLOB",
}
_NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [sign * (1 << bits) + more for sign in (-1, 1) for bits in (0, 7, 15, 23, 31, 47, 62) for more in (-1, 0, 1)]
)
_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    pa.int64(): _NUMBERS,
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.float64(): st.floats(allow_nan=False).map(lambda value: value + 0.0),
    pa.large_string(): st.text(st.characters(codec="utf-8"), max_size=80),
    pa.large_binary(): st.binary(max_size=80),
}


@st.composite
def _blocks(draw: st.DrawFn) -> list[pa.Array]:
    rows = draw(st.integers(0, 40))
    kinds = draw(st.lists(st.sampled_from(list(_KINDS)), max_size=8))
    first = draw(st.sampled_from([0, 100, 127, 16384, 2**40]))
    columns = [pa.array(range(first, first + rows), pa.int64())]
    for kind in kinds:
        values = _VALUES[kind] | st.none() if draw(st.booleans()) else _VALUES[kind]
        columns.append(pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind))
    return columns


def _found(columns: Sequence[pa.Array]) -> sqlite3.Connection:
    """A database with the rows twice: in `staged` by pages, in `inserted` by statements."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    names = [f"c{number}" for number in range(len(columns) - 1)]
    told = [f"{name} {_KINDS[column.type]}" for name, column in zip(names, columns[1:], strict=True)]
    statement = f"CREATE TABLE staged ({', '.join(['n INTEGER NOT NULL', *told, 'PRIMARY KEY (n)'])})"
    pages = pages_of(columns)
    assert pages is not None
    connection.deserialize(pages.image(staging._opening(statement)))
    connection.execute(statement.replace("staged", "inserted", 1))
    marks = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT INTO inserted VALUES ({marks})", zip(*(column.to_pylist() for column in columns), strict=True)
    )
    return connection


@settings(max_examples=150, deadline=None)
@given(_blocks())
def test_pages_hold_what_sqlite_would_have_stored(columns: list[pa.Array]) -> None:
    """The pages pass SQLite's own check, and every value and its storage class are those that statements give."""
    with closing(_found(columns)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = ["n", *(f"c{number}" for number in range(len(columns) - 1))]
        asked = ", ".join(f"{name}, typeof({name})" for name in names)
        staged = connection.execute(f"SELECT {asked} FROM staged ORDER BY n").fetchall()
        inserted = connection.execute(f"SELECT {asked} FROM inserted ORDER BY n").fetchall()
        assert repr(staged) == repr(inserted)


def test_many_pages_are_found_by_their_keys() -> None:
    """Rows of very different lengths on many pages are all there, and each is found by its number."""
    random = np.random.default_rng(0)
    lengths = [int(length) for length in random.integers(0, 3000, 2000)]
    lengths[::100] = [60_000] * 20
    numbers = pa.array(range(7, 2007), pa.int64())
    text = pa.array(["x" * length for length in lengths], pa.large_string())
    with closing(_found([numbers, text])) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT length(c0) FROM staged ORDER BY n").fetchall() == [
            (length,) for length in lengths
        ]
        assert connection.execute("SELECT length(c0) FROM staged WHERE n = 1007").fetchone() == (lengths[1000],)


@pytest.mark.parametrize("width", [1, 124, 125, 126, 127, 128, 1999])
def test_heads_of_any_width(width: int) -> None:
    """Records of so many columns that their heads need another byte to say how long they are come out right."""
    columns = [pa.array([0, 1], pa.int64()), *([pa.array([-5, None], pa.int64())] * width)]
    with closing(_found(columns)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT * FROM staged ORDER BY n").fetchall() == [
            (0, *([-5] * width)),
            (1, *([None] * width)),
        ]


def test_the_longest_row_and_a_longer_one() -> None:
    """A record that just fits a page lies in one; for one byte more there are no pages, and the caller is told."""
    head = 1 + 1 + 3  # its own length, the key, and the type of the text
    numbers = pa.array([1], pa.int64())
    with closing(_found([numbers, pa.array(["x" * (_LONGEST - head)], pa.large_string())])) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT length(c0) FROM staged").fetchone() == (_LONGEST - head,)
    assert pages_of([numbers, pa.array(["x" * (_LONGEST - head + 1)], pa.large_string())]) is None


def test_too_many_pages() -> None:
    """A block whose root would not fit a page gives no pages."""
    rows = 6000
    numbers = pa.array(range(2**40, 2**40 + rows), pa.int64())
    size = PAGE // 2 + 1  # one row a page
    values = pa.array([bytes(size)] * rows, pa.large_binary())
    assert pages_of([numbers, values]) is None
    assert pages_of([numbers.slice(0, 5000), values.slice(0, 5000)]) is not None


def _connect(folder: Path) -> Database:
    return simpleml.connect(folder / "frames.db", store=folder / "store", home=folder / "home")


def _round_trip(database: Database, frame: pd.DataFrame) -> None:
    reference = DATABASE_TABLE.save(frame, database.places)
    pd.testing.assert_frame_equal(DATABASE_TABLE.load(reference, database.places), frame)  # type: ignore[arg-type]
    with database.engine.connect() as connection:
        attached = [row[1] for row in connection.exec_driver_sql("PRAGMA database_list")]
    assert dialects.STAGED not in attached


FRAME = pd.DataFrame({"n": range(20_000), "s": [f"text {number} ü" for number in range(20_000)]})


def test_nothing_stays_attached(tmp_path: Path) -> None:
    """A frame of several blocks comes back, and its pages are not held by the connection any more."""
    _round_trip(_connect(tmp_path), FRAME)


def test_rows_longer_than_a_page(tmp_path: Path) -> None:
    """A frame with rows that no page holds goes in by statements, in whichever block they are."""
    frame = FRAME.copy()
    frame.loc[9000, "s"] = "long" * 50_000
    _round_trip(_connect(tmp_path), frame)


def test_a_database_in_another_encoding(tmp_path: Path) -> None:
    """A file whose text is UTF-16 takes frames as well."""
    with closing(sqlite3.connect(tmp_path / "frames.db")) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("DROP TABLE t")
        connection.commit()
    _round_trip(_connect(tmp_path), FRAME)


def test_an_sqlite_without_databases_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python's SQLite cannot read a database from memory, rows go in by statements."""
    monkeypatch.setattr(staging, "POSSIBLE", False)
    _round_trip(_connect(tmp_path), FRAME)


def test_a_failed_transaction_leaves_nothing_attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that fails between attaching and copying leaves the connection as it was, and the next save works."""
    database = _connect(tmp_path)
    copied = staging._CopiedRows

    def refuse(*_: Any) -> Any:
        raise MemoryError("no more")

    monkeypatch.setattr(staging, "_CopiedRows", refuse)
    with pytest.raises(MemoryError):
        DATABASE_TABLE.save(FRAME, database.places)
    monkeypatch.setattr(staging, "_CopiedRows", copied)
    _round_trip(database, FRAME)
