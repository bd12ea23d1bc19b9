"""Frames kept as tables that anyone can select from: exact both ways, whole or not there, and never somebody else's table."""

from __future__ import annotations

import datetime as dt
import functools
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import simpleml
from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, SavePatternError, SerializationError, StoreError
from simpleml.orm import Database, dialects
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.locations import filling, frames
from simpleml.orm.locations.canonical import TABLE
from simpleml.orm.locations.database import DatabaseStore
from simpleml.orm.locations.tables import DATABASE_TABLE, TablePattern
from simpleml.orm.tables import Blob, DataTable
from simpleml.save_patterns.catalogue import patterns
from simpleml.save_patterns.decorators import register_save_pattern
from simpleml.testing.serializers import SerializerContract
from simpleml.types import Reference
from tests.integration.kinds import Box

ROWS: Any = DataTable.__table__
ODD_FLOATS = [np.inf, -np.inf, np.nan, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1]
ODD_NAMES = [
    "select", 'a"b', "x'; DROP TABLE models; --", "`models`", "ü", "U", "u", "", "a" * 80, "é" * 40, "A", "a", "%s %(x)s :y {z} ?",
    "ctid", "sml_row", "oid", "rowid", "a\nb", "nul\0nul", " spaces ", "\U0001f600", "column_3", "]", "\\", "models.name", "*",
]  # fmt: skip


def _times(unit: str) -> Any:
    return np.array(["2020-01-01", "NaT", "1950-01-01T01:02:03"], f"M8[{unit}]")


def _frames() -> dict[str, Any]:
    """Frames with everything that a table has to hold."""
    zoned = pd.to_datetime([1000, None, 3000], unit="ns", utc=True)
    levels = pd.MultiIndex.from_tuples([(1, "a"), (2, "b"), (3, "c")], names=["k", None])
    category = pd.Categorical(["a", None, "b"], categories=["b", "a", "unused"], ordered=True)
    whole = {name: np.array([np.iinfo(name).min, 0, np.iinfo(name).max], name) for name in "bhilBHIL"}
    return {
        "plain": pd.DataFrame({"i": [1, 2], "f": [1.5, np.nan], "s": ["a", None], "b": [True, False]}),
        "whole numbers": pd.DataFrame(whole),
        "floats": pd.DataFrame({"d": ODD_FLOATS, "s": np.array([1e30 if 1e300 < value < np.inf else value for value in ODD_FLOATS], "f4"), "h": np.array([1, 2, 0.5, -0.0, np.inf, np.nan, 0, 3], "f2")}),
        "nulls and NaN": pl.DataFrame({"a": [1.0, None, float("nan")], "b": [None, None, -0.0]}),
        "nullable": pd.DataFrame(
            {
                "i": pd.array([1, None, 3], "Int64"),
                "f": pd.array([1.0, None, np.inf], "Float64"),
                "u": pd.array([2**64 - 1, None, 0], "UInt64"),
                "b": pd.array([True, None, False], "boolean"),
                "s": pd.array(["x", None, ""], "string"),
            }
        ),
        "moments": pd.DataFrame({unit: _times(unit) for unit in ("s", "ms", "us", "ns")}),
        "nanoseconds": pd.DataFrame({"t": pd.to_datetime([1, None, 3], unit="ns"), "d": pd.to_timedelta([1, None, 5])}),
        "zones": pd.DataFrame({"a": zoned, "b": zoned.tz_convert("Europe/Berlin")}),
        "far moments": pa.table({"t": pa.array([-(2**62), 2**62, None], pa.timestamp("us")), "d": pa.array([-(2**31), None, 2**31 - 1], pa.date32())}),
        "dates": pa.table({"d": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None]}),
        "times of day": pa.table({"n": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("ns")), "m": pa.array([dt.time(1, 2, 3), None], pa.time32("ms"))}),
        "decimals": pa.table(
            {
                "d": pa.array([Decimal("1.50"), Decimal("-0.01"), None], pa.decimal128(10, 2)),
                "long": pa.array([Decimal("9" * 58 + ".99"), None, Decimal("0.00")], pa.decimal256(60, 2)),
                "fine": pa.array([Decimal("1e-38"), Decimal("-12345e-38"), None], pa.decimal128(38, 38)),
                "longest": pa.array([Decimal("9" * 76), None, Decimal(1)], pa.decimal256(76, 0)),
                "whole": pa.array([Decimal(10**12), Decimal(-100000000), Decimal(0)], pa.decimal128(20, 0)),
            }
        ),
        "bytes": pa.table({"b": pa.array([b"\0\xff", None, b"", bytes(range(256))]), "f": pa.array([b"ab", None, b"\0\0", b"'\\"], pa.binary(2))}),
        "arrow": pa.table({"n": pa.nulls(2), "d": pa.array(["x", None]).dictionary_encode(), "v": pa.array(["x", None], pa.string_view())}),
        "polars": pl.DataFrame(
            {
                "e": pl.Series(["a", "b", None], dtype=pl.Enum(["b", "a"])),
                "i": pl.Series([2**100, None, 1], dtype=pl.Int128),
                "t": [dt.timedelta(days=1), None, dt.timedelta(microseconds=-1)],
            }
        ),
        "labels": pd.DataFrame({"c": category}, index=levels),
        "duplicates": pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"], index=["x", "x"]),
        "text": pd.DataFrame({"t": ["a,b", '"q"', "\\.", "\\N", "NULL", "\r\n", "'--;", " ", "\\x41", "", "\U0001f600\ufffd", "%s"]}),
        "no rows": pd.DataFrame({"a": np.array([], "f8"), "b": pd.Series([], dtype="str")}),
        "no columns": pd.DataFrame(index=range(3)),
        "nothing": pd.DataFrame(),
        "odd names": pd.DataFrame([range(len(ODD_NAMES))] * 2, columns=ODD_NAMES),
    }  # fmt: skip


FRAMES = _frames()


def same(found: Any, wanted: Any) -> None:
    """Compare two frames in everything: types, labels, values, the sign of zero, NULL and NaN."""
    assert type(found) is type(wanted)
    if isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(found, wanted, check_exact=True, check_freq=True)
        assert list(found.dtypes) == list(wanted.dtypes)
        for position in range(wanted.shape[1]):
            values = wanted.iloc[:, position]
            if values.dtype.kind == "f" and isinstance(values.dtype, np.dtype):
                assert np.array_equal(np.signbit(values[values == 0]), np.signbit(found.iloc[:, position][values == 0]))
    elif isinstance(wanted, pl.DataFrame):
        assert found.schema == wanted.schema
        assert found.equals(wanted, null_equal=True)
        assert repr(found.rows()) == repr(wanted.rows())
    else:
        assert found.schema == wanted.schema
        assert found.equals(wanted)


def store_of(database: Database) -> DatabaseStore:
    """The store of the records' own database."""
    store = database.places.store("database")
    assert isinstance(store, DatabaseStore)
    return store


def table_of(database: Database, reference: Reference) -> sa.Table:
    """The table that a saved frame is in."""
    kept = store_of(database).kept(reference["key"])
    assert kept is not None
    return kept.table


def data_tables(database: Database) -> set[str]:
    """The tables of frames that the database has, wherever it keeps them."""
    look = sa.inspect(database.engine)
    found = set(look.get_table_names())
    if database.url.get_backend_name() == "postgresql":
        found |= set(look.get_table_names(schema=frames.NAMESPACE))
    return {name for name in found if name.startswith("sml_")}


@contextmanager
def from_the_table(database: Database) -> Iterator[None]:
    """Read the table itself, also where it is on a server, and not this machine's cache."""
    store = store_of(database)
    remote, store.remote = store.remote, False
    try:
        yield
    finally:
        store.remote = remote


class TestTableSerializer(SerializerContract):
    """The canonical bytes of a frame are a format like any other, in every store."""

    def serializer(self) -> Any:
        """The one instance."""
        return TABLE

    def values(self) -> list[object]:
        """All of the frames above."""
        return list(FRAMES.values())

    def refused(self) -> list[object]:
        """No frame, and columns that are not flat."""
        return [1, "x", pd.DataFrame({"a": [[1], [2]]}), pl.DataFrame({"a": [[1], [2]]}), pa.table({"a": [{"x": 1}]})]

    def large(self) -> object:
        """Some megabytes."""
        return pd.DataFrame(np.random.default_rng(0).normal(size=(700_000, 4)), columns=list("abcd"))

    def same(self, one: object, other: object) -> bool:
        """Whether two frames are the same."""
        same(one, other)
        return True


# exact


def test_every_frame_comes_back_exactly(database: Database) -> None:
    """Types, labels, values and their order come back, from the table and through the cache; so do its canonical bytes."""
    store = store_of(database)
    for name, frame in FRAMES.items():
        reference = DATABASE_TABLE.save(frame, database.places)
        with from_the_table(database):
            same(DATABASE_TABLE.load(reference, database.places), frame)
        same(DATABASE_TABLE.load(reference, database.places), frame)
        data, digest = store.read(reference["key"], reference["size"])
        assert digest == reference["digest"], name
        same(TABLE.load(data, format=1, details={}), frame)
        assert store.size(reference["key"]) == reference["size"]


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
_COLUMNS = {
    "whole": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats() | st.sampled_from(ODD_FLOATS),
    "text": st.none() | _TEXT,
    "flag": st.none() | st.booleans(),
    "number": st.none() | st.integers(0, 2**64 - 1),
    "moment": st.none() | st.integers(-(2**62), 2**62),
}
_DTYPES = {
    "whole": "int64",
    "float": "float64",
    "text": "str",
    "flag": "boolean",
    "number": "UInt64",
    "moment": "M8[ns]",
}


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_frame_comes_back_exactly(database: Database, data: st.DataObject) -> None:
    """Frames of random columns, names and values come back exactly, whatever the database."""
    rows = data.draw(st.integers(0, 6))
    kinds = data.draw(st.lists(st.sampled_from(sorted(_COLUMNS)), max_size=4))
    names = data.draw(st.lists(_TEXT, min_size=len(kinds), max_size=len(kinds), unique=True))
    frame = pd.DataFrame(index=range(rows))
    for name, kind in zip(names, kinds, strict=True):
        values = data.draw(st.lists(_COLUMNS[kind], min_size=rows, max_size=rows))
        if kind == "moment":
            held = np.array([np.iinfo("i8").min if value is None else value for value in values], "i8").view("M8[ns]")
            frame[name] = pd.Series(held, index=frame.index)
        else:
            frame[name] = pd.Series(values, index=frame.index, dtype=_DTYPES[kind])
    frame.columns = pd.Index(names, dtype="str")
    reference = DATABASE_TABLE.save(frame, database.places)
    with from_the_table(database):
        same(DATABASE_TABLE.load(reference, database.places), frame)


def test_blocks_follow_each_other(database: Database) -> None:
    """A frame of several blocks, with text that needs more than one byte for a character, keeps the order of its rows."""
    count = 70_000
    frame = pd.DataFrame({"n": np.arange(count)[::-1], "t": [f"ü{number}" * (number % 3) for number in range(count)]})
    reference = DATABASE_TABLE.save(frame, database.places)
    with from_the_table(database):
        same(DATABASE_TABLE.load(reference, database.places), frame)


# for whoever looks


def test_anyone_can_select(database: Database) -> None:
    """The table has the frame's own names, plain values of the database's own types, and the order of the rows."""
    moments = pd.to_datetime(["2024-01-02 03:04:05.678901", None])
    frame = pd.DataFrame(
        {"Name": ["a", None], "i": [1, 2], "f": [0.5, np.nan], "at": moments, "c": pd.Categorical(["x", "y"])}
    )
    table = table_of(database, DATABASE_TABLE.save(frame, database.places))
    with database.engine.begin() as connection:
        seen = sa.Table(table.name, sa.MetaData(), schema=table.schema, autoload_with=connection)
        assert [column.name for column in seen.columns] == ["sml_row", "Name", "i", "f", "at", "c"]
        rows = connection.execute(sa.select(seen).order_by(seen.c.sml_row)).all()
    assert [row[:3] for row in rows] == [(0, "a", 1), (1, None, 2)]
    assert (rows[0].f, rows[0].at, rows[0].c) == (0.5, dt.datetime(2024, 1, 2, 3, 4, 5, 678901), "x")
    assert rows[1].f is None or np.isnan(rows[1].f)
    assert rows[1].at is None
    assert table.schema == (frames.NAMESPACE if database.url.get_backend_name() == "postgresql" else None)


def test_what_a_number_stands_for_is_told(database: Database) -> None:
    """Beside the table stands, for every column, its own name, its type and the unit of what is kept as a number."""
    frame = pd.DataFrame({"t": pd.to_datetime([1, 2], unit="ns"), "x" * 100: [1, 2]})
    reference = DATABASE_TABLE.save(frame, database.places)
    with database.engine.begin() as connection:
        told = connection.execute(sa.select(ROWS.c.columns).where(ROWS.c.key == reference["key"])).scalar_one()[
            "columns"
        ]
    assert told[0] == {
        "name": "t",
        "label": "t",
        "type": "timestamp[ns]",
        "kind": "int64",
        "unit": "ns since 1970-01-01",
    }
    assert (told[1]["name"], told[1]["label"]) == ("column_1", "x" * 100)


def test_indexes_on_request(database: Database) -> None:
    """A pattern with indexes, registered in a few lines, makes them; a column that is not there is named."""

    @register_save_pattern
    @dataclass(frozen=True)
    class Sales(TablePattern):
        name: str = "sales_table"
        indexes: tuple[str, ...] = ("day", "shop")

    try:
        frame = pd.DataFrame({"shop": ["a", "b"], "day": [1, 2]})
        box = Box(name="sales", save_patterns={"data": ["sales_table"]})
        box.data = frame
        box.save()
        table = table_of(database, box.filepaths["data"]["sales_table"])
        found = sa.inspect(database.engine).get_indexes(table.name, schema=table.schema)
        assert sorted(index["column_names"] for index in found) == [["day"], ["shop"]]
        same(Box.load("sales").data, frame)
        with pytest.raises(SerializationError, match="no column 'day'"):
            patterns.get("sales_table").save(pd.DataFrame({"shop": ["a"]}), database.places)
    finally:
        patterns.drop("sales_table")


def test_an_equal_frame_gets_the_indexes_it_lacks(database: Database) -> None:
    """A table that is reused gets the indexes that its first saver did not want, once, and keeps those that it has."""
    frame = pd.DataFrame({"shop": ["a", "b"], "day": [1, 2]})
    box = Box(name="first", save_patterns={"data": ["database_table"]})  # its record makes the table one to be reused
    box.data = frame
    box.save()
    keys = {box.filepaths["data"]["database_table"]["key"]}
    for wanted in (("day",), ("shop",), ("shop", "day")):
        reference = TablePattern(indexes=wanted).save(frame, database.places)
        keys.add(reference["key"])
        table = table_of(database, reference)
        found = sa.inspect(database.engine).get_indexes(table.name, schema=table.schema)
        columns = [index["column_names"] for index in found]
        assert all(columns.count([name]) == 1 for name in wanted)
    assert len(keys) == 1
    assert len(columns) == 2
    with pytest.raises(SerializationError, match=r"no column 'week' to be indexed; known: day, shop"):
        TablePattern(indexes=("week",)).save(frame, database.places)
    with from_the_table(database):
        same(DATABASE_TABLE.load(reference, database.places), frame)


def test_one_name_is_no_sequence_of_names() -> None:
    """A text in the place of the names to index would be taken for its letters: refused, and the right form is shown."""
    with pytest.raises(SavePatternError, match=r"indexes=\('day',\)"):
        TablePattern(indexes="day")  # type: ignore[arg-type]


# names


def test_hostile_names_reach_nothing(database: Database) -> None:
    """Whatever columns are called, the only tables that come and go are those of the frames."""
    generator = random.Random(1)
    pieces = [
        '"',
        "'",
        "`",
        ";",
        "--",
        "/*",
        "*/",
        ")",
        "(",
        "models",
        "DROP TABLE",
        "\0",
        "\n",
        "\\",
        "%s",
        ":x",
        "?",
        "ü",
        " ",
        "]",
        "$$",
    ]
    before = set(sa.inspect(database.engine).get_table_names())
    for _ in range(12):
        names = list({"".join(generator.choices(pieces, k=generator.randint(0, 6))) for _ in range(60)})
        frame = pd.DataFrame([range(len(names))] * 2, columns=pd.Index(names, dtype="str"))
        reference = DATABASE_TABLE.save(frame, database.places)
        with from_the_table(database):
            same(DATABASE_TABLE.load(reference, database.places), frame)
        store_of(database).delete(reference["key"])
    assert set(sa.inspect(database.engine).get_table_names()) == before
    assert data_tables(database) == set()


def test_our_own_tables_are_out_of_reach(database: Database) -> None:
    """A row that was edited to name another table reads nothing from it, and deleting the key drops nothing of it."""
    reference = DATABASE_TABLE.save(pd.DataFrame({"a": [1]}), database.places)
    for name, namespace in (("models", None), (f"sml_{'0' * 32}", None), ("models", "public")):
        with database.engine.begin() as connection:
            connection.execute(sa.update(ROWS).values(name=name, namespace=namespace))
        with pytest.raises(ArtifactDamagedError), from_the_table(database):
            DATABASE_TABLE.load(reference, database.places)
    before = set(sa.inspect(database.engine).get_table_names()) - data_tables(database)
    store_of(database).delete(reference["key"])
    assert before <= set(sa.inspect(database.engine).get_table_names())


# refused


def test_what_does_not_fit_is_named(database: Database) -> None:
    """Columns that no table holds exactly, and values that are no frames, are refused with a name, and leave nothing."""
    wide = pd.DataFrame(np.zeros((1, 2100)), columns=[f"c{number}" for number in range(2100)])
    refused: dict[str, Any] = {
        "'nested'": pl.DataFrame({"nested": [[1], [2]]}),
        "'struct'": pa.table({"struct": [{"x": 1}]}),
        "'mixed'": pd.DataFrame({"mixed": [1, "a"]}, dtype=object),
        "'period'": pd.DataFrame({"period": pd.period_range("2020", periods=2)}),
        "2101 columns": wide,
        "'city' has values that are no string": pa.table({"city": pa.array([b"K\xf6ln"]).view(pa.string())}),
        "builtins.dict": {"a": 1},
    }
    if database.url.get_backend_name() == "postgresql":
        refused["'nul'"] = pd.DataFrame({"nul": ["a\0b"]})
    for words, value in refused.items():
        with pytest.raises(SerializationError, match=words):
            DATABASE_TABLE.save(value, database.places)
    assert data_tables(database) == set()


def test_rows_that_are_too_wide_are_refused(database: Database) -> None:
    """Rows of more bytes than the database takes are refused as what a column cannot hold is, and nothing of the table stays."""
    frames_ = {
        "postgresql": [pd.DataFrame(np.full((1, 1500), 2**40)), pd.DataFrame([["x" * 30] * 900])],
        "mysql": [pd.DataFrame([["x" * 30] * 300]), pd.DataFrame([["x" * 8_000_000]])],
        "sqlite": [pd.DataFrame(np.zeros((1, 2100)))],
    }
    for frame in frames_[dialects.dialect_of(database.engine)]:
        with pytest.raises(SerializationError, match=r"(?s)cannot be kept exactly as a table.*'parquet'"):
            DATABASE_TABLE.save(frame.rename(columns=str), database.places)
        assert data_tables(database) == set()
        with database.engine.begin() as connection:
            assert connection.execute(sa.select(ROWS)).all() == []


def test_a_store_that_is_no_database_is_refused(local: Database) -> None:
    """A pattern whose store is a folder says so, with the setting to change."""
    with pytest.raises(SavePatternError, match=r"\[stores\] default = \"database://\""):
        TablePattern(store="default").save(pd.DataFrame({"a": [1]}), local.places)


def test_a_frame_that_changes_meanwhile_is_refused(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that somebody else writes to between its digest and its rows is not saved, and leaves nothing."""
    values = np.array([1, 2, 3])
    frame = pd.DataFrame({"a": values}, copy=False)
    real = frames.announce

    def change(*args: Any) -> Any:
        values[0] = 9
        return real(*args)

    monkeypatch.setattr(frames, "announce", change)
    with pytest.raises(SerializationError, match="was changed while it was saved"):
        DATABASE_TABLE.save(frame, local.places)
    assert data_tables(local) == set()


# once, whole, verified


def test_equal_frames_are_stored_once(database: Database) -> None:
    """The same values under two names are one table; one that lost a row is made anew, and not trusted again."""
    frame = pd.DataFrame({"a": [1, 2, 3]})
    first, second = (boxed(name, frame) for name in ("one", "two"))
    assert reference_of(first) == reference_of(second)
    table = table_of(database, reference_of(first))
    with database.engine.begin() as connection:
        connection.execute(sa.delete(table).where(table.c.sml_row == 1))
    third = reference_of(boxed("three", frame))
    assert third["key"] != reference_of(first)["key"]
    assert third["digest"] == reference_of(first)["digest"]


def boxed(name: str, frame: object) -> Box:
    """A saved record whose artifact is a frame in a table."""
    box = Box(name=name, save_patterns={"data": ["database_table"]})
    box.data = frame
    return box.save()


def reference_of(box: Box) -> Reference:
    """The reference to its table."""
    found: Reference = box.filepaths["data"]["database_table"]
    return found


def _tamperings(table: sa.Table) -> dict[str, sa.Executable]:
    value, row = table.c.c0, table.c.sml_row
    return {
        "another value": sa.update(table).where(row == 1).values(c0=7),
        "no value": sa.update(table).where(row == 1).values(c0=None),
        "one row less": sa.delete(table).where(row == 2),
        "one row more": sa.insert(table).values(sml_row=3, c0=1),
        "another order": sa.update(table).where(row == 2).values(sml_row=99),
        "another name": sa.update(table).values(c0=value + 1),
    }


@pytest.mark.parametrize(
    "how", list(_tamperings(sa.Table("t", sa.MetaData(), sa.Column("sml_row"), sa.Column("v", key="c0"))))
)
def test_a_changed_table_is_found(database: Database, how: str) -> None:
    """Whatever somebody does to the rows, loading says that it is damaged, and so does `verify`."""
    box = boxed("n", pd.DataFrame({"a": [1.0, 2.0, 3.0]}))
    assert verify(database, everything=True).findings == ()
    table = table_of(database, reference_of(box))
    with database.engine.begin() as connection:
        connection.execute(_tamperings(table)[how])
    with pytest.raises(ArtifactDamagedError), from_the_table(database):
        DATABASE_TABLE.load(reference_of(box), database.places)
    assert {finding.problem for finding in verify(database).findings} == {"damaged"}


def test_bytes_in_the_place_of_text_are_found(local: Database) -> None:
    """SQLite takes any bytes for text: a cell that was overwritten so is damaged, no database that cannot be reached."""
    box = boxed("n", pd.DataFrame({"a": ["x", "y"]}))
    table = table_of(local, reference_of(box))
    with local.engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.sml_row == 1).values(c0=sa.text("CAST(x'4bf6' AS TEXT)")))
    with pytest.raises(ArtifactDamagedError, match="no text that was saved"):
        DATABASE_TABLE.load(reference_of(box), local.places)
    assert {finding.problem for finding in verify(local).findings} == {"damaged"}


def test_edited_notes_are_found(database: Database) -> None:
    """What stands beside the table is part of the digest: edited, the frame is damaged, or not to be read at all."""
    reference = DATABASE_TABLE.save(pd.DataFrame({"a": [1, 2]}), database.places)
    with database.engine.begin() as connection:
        told = connection.execute(sa.select(ROWS.c.columns)).scalar_one()
    edits = [
        {**told, "head": told["head"].replace('"block":', '"block":1')},
        {**told, "head": "{}"},
        {**told, "head": 5},
        {**told, "columns": [{**told["columns"][0], "kind": "date"}]},
        {**told, "columns": []},
        {**told, "columns": [{"name": "a"}]},
        {**told, "format": 2},
        {},
    ]
    for edited in edits:
        with database.engine.begin() as connection:
            connection.execute(sa.update(ROWS).values(columns=edited))
        with pytest.raises(ArtifactDamagedError), from_the_table(database):
            DATABASE_TABLE.load(reference, database.places)


def test_a_dropped_table_is_missing(database: Database) -> None:
    """A table that somebody dropped is an artifact that is missing, for loading and for `verify`."""
    box = boxed("n", pd.DataFrame({"a": [1]}))
    table = table_of(database, reference_of(box))
    table.drop(database.engine)
    with pytest.raises(ArtifactMissingError), from_the_table(database):
        DATABASE_TABLE.load(reference_of(box), database.places)
    assert [finding.problem for finding in verify(database).findings] == ["missing"]


def test_a_table_goes_with_its_last_record(database: Database) -> None:
    """A collection drops the table when no record refers to it any more, and not before."""
    frame = pd.DataFrame({"a": [1]})
    first, second = boxed("one", frame), boxed("two", frame)
    for box, left in ((first, 1), (second, 0)):
        box.delete()
        expire(database)
        collect(database)
        assert len(data_tables(database)) == left
    with database.engine.begin() as connection:
        assert connection.execute(sa.select(ROWS)).all() == []


def expire(database: Database) -> None:
    """End every lease."""
    database.run(lambda connection: connection.execute(sa.update(Blob).values(lease_until=0.0)).close())


def _die(url: str, folder: Path, at: str) -> None:
    database = simpleml.connect(url, store=folder / "store", home=folder / "embedded")
    real = getattr(frames, at)

    def strike(*args: Any) -> Any:
        if at == "fill":
            for block in real(*args):
                os.kill(os.getpid(), signal.SIGKILL)
                yield block
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(frames, at, strike if at == "fill" else lambda *args: next(strike(*args)))
    DATABASE_TABLE.save(pd.DataFrame({"a": np.arange(70_000)}), database.places)


@pytest.mark.parametrize("at", ["fill", "finish"])
def test_a_killed_writer_leaves_what_a_collection_drops(
    database: Database, database_url: str, tmp_path: Path, at: str
) -> None:
    """After `kill -9` in the middle of a table, or right before it is whole, nothing is there to load, and gc drops it."""
    database.close()
    child = multiprocessing.get_context("fork").Process(target=_die, args=(database_url, tmp_path, at))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert len(data_tables(database)) == 1
    store = store_of(database)
    (key,) = store.keys(f"objects-{database.ledger_id[:12]}")
    assert (store.size(key), store.kept(key)) == (None, None)
    expire(database)
    collect(database)
    assert data_tables(database) == set()
    assert boxed("again", pd.DataFrame({"a": np.arange(70_000)})).version == 1


def test_a_failure_in_the_middle_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """When filling fails, the table and its row are gone, and the error names the store."""

    def fail(*_: Any) -> Any:
        raise StoreError("cannot write in the store 'database': broken")

    monkeypatch.setattr(frames, "finish", fail)
    with pytest.raises(StoreError, match="'database'"):
        DATABASE_TABLE.save(pd.DataFrame({"a": [1]}), database.places)
    assert data_tables(database) == set()
    with database.engine.begin() as connection:
        assert connection.execute(sa.select(ROWS)).all() == []


def test_what_a_driver_says_is_told_as_everywhere(database: Database) -> None:
    """An error of the driver's own bulk path is one of SQLAlchemy's, so that it is tried again, or translated, like any other."""
    table = table_of(database, DATABASE_TABLE.save(pd.DataFrame({"a": [1]}), database.places))
    same_row = pa.table({"row": pa.array([0], pa.int64()), "a": pa.array([1], pa.int64())})
    with pytest.raises(sa.exc.IntegrityError), database.engine.begin() as connection:
        way = dialects.bulk(connection)
        way.write(connection, table, way.pack(same_row))


def test_a_lost_connection_is_a_block_written_again(
    new_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server ends the connection in the middle of a table, the block is written once more, and the frame is whole."""
    kills = {"postgresql": "SELECT pg_terminate_backend(pg_backend_pid())", "mariadb": "KILL CONNECTION_ID()"}
    frame = pd.DataFrame({"a": np.arange(12_000)})
    for kind, kill in kills.items():
        database = simpleml.connect(new_database(kind), store=tmp_path / kind, home=tmp_path / "embedded")
        with database.engine.connect() as connection:
            way = type(dialects.bulk(connection))
        real, count = way.write, iter(range(100))

        def write(self: Any, connection: Any, table: Any, block: Any, **names: Any) -> None:
            names["real"](self, connection, table, block)
            if next(names["count"]) == 1:
                connection.exec_driver_sql(names["kill"])

        monkeypatch.setattr(way, "write", functools.partialmethod(write, real=real, count=count, kill=kill))
        reference = DATABASE_TABLE.save(frame, database.places)
        assert next(count) == 3, "two blocks, one of them twice"
        with from_the_table(database):
            same(DATABASE_TABLE.load(reference, database.places), frame)
        database.close()


def test_without_the_digest_a_changed_table_is_believed(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The known-bad twin: a loader that compares nothing gives back what somebody else wrote."""
    reference = DATABASE_TABLE.save(pd.DataFrame({"a": [1, 2]}), local.places)
    table = table_of(local, reference)
    with local.engine.begin() as connection:
        connection.execute(sa.update(table).values(c0=5))
    monkeypatch.setattr(filling.Meter, "digest", reference["digest"])
    found: Any = DATABASE_TABLE.load(reference, local.places)
    assert list(found["a"]) == [5, 5]


# elsewhere


def test_tables_may_be_in_another_database(
    tmp_path: Path, database_url: str, new_database: Callable[[str], str]
) -> None:
    """With a store whose URL is a database's, frames are tables there, and the records stay where they are."""
    records = simpleml.connect(
        new_database("sqlite"), store=tmp_path / "store", home=tmp_path / "embedded", stores={"frames": database_url}
    )
    pattern = TablePattern("frames_table", store="frames")
    frame = FRAMES["nullable"]
    reference = pattern.save(frame, records.places)
    same(pattern.load(reference, records.places), frame)
    assert data_tables(records) == set()
    store = records.places.store("frames")
    assert isinstance(store, DatabaseStore)
    assert len(data_tables(store.database)) == 1  # type: ignore[arg-type]
    store.delete(reference["key"])
    assert data_tables(store.database) == set()  # type: ignore[arg-type]
    records.close()


def test_bytes_in_the_place_of_a_table_are_read_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that could be brought back only as its canonical bytes loads as the table did."""
    monkeypatch.setattr(filling, "take", lambda *_: False)
    frame = FRAMES["labels"]
    reference = DATABASE_TABLE.save(frame, database.places)
    store = store_of(database)
    data, _ = store.read(reference["key"], reference["size"])
    store.delete(reference["key"])
    spool = store.spool()
    spool.write(data)
    store.put(spool, reference["key"])
    spool.close()
    assert store.kept(reference["key"]) is None
    with from_the_table(database):
        same(DATABASE_TABLE.load(reference, database.places), frame)


def test_who_may_not_make_a_schema_uses_the_usual_one(new_database: Callable[[str], str], tmp_path: Path) -> None:
    """A user of PostgreSQL who may make tables but no schema gets the tables of frames where all others are."""
    url = sa.engine.make_url(new_database("postgresql"))
    owner = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    name, password = f"user_{uuid4().hex[:12]}", uuid4().hex
    with owner.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        connection.exec_driver_sql(f"GRANT ALL ON SCHEMA public TO {name}")
    limited = url.set(username=name, password=password).render_as_string(hide_password=False)
    try:
        database = simpleml.connect(limited, store=tmp_path / "store", home=tmp_path / "embedded")
        reference = DATABASE_TABLE.save(FRAMES["plain"], database.places)
        with from_the_table(database):
            same(DATABASE_TABLE.load(reference, database.places), FRAMES["plain"])
        assert table_of(database, reference).schema is None
        database.close()
    finally:
        with owner.connect() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}")
            connection.exec_driver_sql(f"DROP ROLE {name}")
        owner.dispose()
