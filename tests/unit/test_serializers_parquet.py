from __future__ import annotations

import datetime as dt
import io
import os
import subprocess
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.serializers.parquet import PARQUET
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, PARQUET)
there_and_back = partial(dumping.there_and_back, PARQUET)

ROOT = Path(__file__).resolve().parents[2]
DAYS = pd.date_range("2020-01-01", periods=3, freq="D", name="day")
UNITS = ("s", "ms", "us", "ns")
ZONES = {
    "utc": dt.UTC,
    "berlin": ZoneInfo("Europe/Berlin"),
    "utc by name": ZoneInfo("UTC"),
    "fixed": dt.timezone(dt.timedelta(hours=5, minutes=30)),
    "named": dt.timezone(dt.timedelta(hours=-1), "XX"),
}


def _times(unit):
    return np.array(["2020-01-01", "NaT", "1950-01-01T01:02:03"], f"M8[{unit}]")


def _arrow(values, kind):
    return pd.array(values, dtype=pd.ArrowDtype(kind))


def _text(storage, missing):
    return pd.array(["a", None, "é"], dtype=pd.StringDtype(storage, na_value=missing))


COLUMNS = {
    "float": np.array([1.5, np.nan, -0.0]),
    "float32": np.array([1, 2, np.inf], "f4"),
    "float16": np.array([1, 2, np.nan], "f2"),
    "int8": np.array([1, -2, 3], "i1"),
    "uint64": np.array([2**64 - 1, 0, 1], "u8"),
    "bool": np.array([True, False, True]),
    "str": ["a", None, "é"],
    "string python NA": _text("python", pd.NA),
    "string python nan": _text("python", np.nan),
    "string pyarrow NA": _text("pyarrow", pd.NA),
    "Int8": pd.array([1, None, 3], dtype="Int8"),
    "UInt64": pd.array([2**64 - 1, None, 3], dtype="UInt64"),
    "Float32": pd.array([1.5, None, 3], dtype="Float32"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "category": pd.Categorical(["b", "a", None], categories=["unused", "b", "a"]),
    "category ordered": pd.Categorical(["b", "a", None], categories=["z", "b", "a"], ordered=True),
    "category of ints": pd.Categorical([3, 1, 3], categories=[3, 2, 1]),
    "category of floats": pd.Categorical([1.5, None, 0.5]),
    "category of bools": pd.Categorical([True, False, None]),
    "category of days": pd.Categorical(DAYS),
    "category of zoned days": pd.Categorical(DAYS.tz_localize("Europe/Berlin")),
    "category of seconds": pd.Categorical(pd.to_timedelta([1, 2, 1], unit="s").as_unit("s")),
    "category of a range": pd.Categorical.from_codes([0, 1, -1], pd.RangeIndex(5)),
    "category of nothing": pd.Categorical([None] * 3),
    "category of object text": pd.Categorical(["a", "b", None], categories=pd.Index(["b", "a"], dtype=object)),
    "category of Int64": pd.Categorical(pd.array([1, None, 2], dtype="Int64")),
    "arrow text": _arrow(["x", None, "y"], pa.string()),
    "arrow time": _arrow([1, None, 2], pa.timestamp("ns", "Europe/Berlin")),
    "arrow decimal": _arrow([Decimal("1.10"), None, Decimal("-2.00")], pa.decimal128(10, 2)),
    **{f"datetime {unit}": _times(unit) for unit in UNITS},
    **{f"timedelta {unit}": np.array([1, "NaT", -5], f"m8[{unit}]") for unit in UNITS},
    **{
        f"zoned {unit} {name}": pd.Series(_times(unit)).dt.tz_localize("UTC").dt.tz_convert(zone)
        for unit in UNITS
        for name, zone in ZONES.items()
    },
}
UNHASHABLE = {"arrow lists": _arrow([[1], None, [2, None]], pa.list_(pa.int64()))}

REFUSED = {
    "period": pd.period_range("2020", periods=3, freq="M"),
    "interval": pd.interval_range(0, 3),
    "sparse": pd.arrays.SparseArray([0, 0, 1]),
    "complex": np.array([1j, 2, 3]),
    "long double": np.array([1, 2, 3], np.longdouble),
    "big endian": np.array([1, 2, 3], ">i4"),
    "mixed objects": pd.Series([1, "a", None], dtype=object),
    "text and nan": pd.Series(["a", np.nan, "b"], dtype=object),
    "text of a subclass": pd.Series(["a", np.str_("b"), "c"], dtype=object),
    "lists": pd.Series([[1], [2], [3]], dtype=object),
    "decimals": pd.Series([Decimal("1.1")] * 3, dtype=object),
    "category of intervals": pd.Categorical(pd.interval_range(0, 3)),
    "category of mixed": pd.Categorical([1, "a", None]),
    "arrow dictionary": _arrow(["a", "b", "a"], pa.dictionary(pa.int8(), pa.string())),
    "arrow seconds": _arrow([1, 2, 3], pa.timestamp("s")),
    "lone surrogate": pd.Series(["a", "\ud800", "b"], dtype=object),
    "zone of another kind": DAYS.tz_localize(
        type("Zone", (dt.tzinfo,), {"utcoffset": lambda *_: dt.timedelta(hours=1)})()
    ),
}


def check_pandas(left, right):
    """Fail unless two frames are equal in everything that pandas knows of them."""
    pd.testing.assert_frame_equal(left, right, check_exact=True, check_freq=True, check_flags=True)
    assert [repr(dtype) for dtype in left.dtypes] == [repr(dtype) for dtype in right.dtypes]
    assert (type(left.index), type(left.columns)) == (type(right.index), type(right.columns))
    assert [type(label) for label in left.columns] == [type(label) for label in right.columns]
    assert left.attrs == right.attrs
    for position in range(left.shape[1]):
        one, two = left.iloc[:, position], right.iloc[:, position]
        if isinstance(one.dtype, np.dtype) and one.dtype != object:
            assert one.to_numpy().tobytes() == two.to_numpy().tobytes()
        if isinstance(one.dtype, pd.DatetimeTZDtype):
            assert (type(one.dt.tz), repr(one.dt.tz)) == (type(two.dt.tz), repr(two.dt.tz))


def same(left, right):
    """Equal in library, types, labels, metadata and content."""
    if type(left) is not type(right):
        return False
    if isinstance(left, pd.DataFrame):
        check_pandas(left, right)
        return True
    if isinstance(left, pl.DataFrame):
        return left.schema == right.schema and left.equals(right)
    return left.schema.equals(right.schema, check_metadata=True) and left.equals(right)


POLARS = {
    "int8": pl.Series([1, None, 3], dtype=pl.Int8),
    "uint64": pl.Series([2**64 - 1, None, 3], dtype=pl.UInt64),
    "int128": pl.Series([2**100, None, -(2**100)], dtype=pl.Int128),
    "float16": pl.Series([1.5, None, float("nan")], dtype=pl.Float16),
    "float32": pl.Series([1.5, None, float("nan")], dtype=pl.Float32),
    "float64": pl.Series([1.5, None, -0.0]),
    "bool": pl.Series([True, None, False]),
    "text": pl.Series(["a", None, "é"]),
    "binary": pl.Series([b"a", None, b"\xff"]),
    "category": pl.Series(["b", None, "a"], dtype=pl.Categorical),
    "named category": pl.Series(["b", None, "a"], dtype=pl.Categorical(pl.Categories("mine", "space", pl.UInt8))),
    "enum": pl.Series(["x", None, "y"], dtype=pl.Enum(["unused", "y", "x"])),
    "date": pl.Series([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
    "time": pl.Series([dt.time(1, 2, 3, 4), None, dt.time(23, 59, 59, 999999)]),
    "decimal": pl.Series([Decimal("1.23"), None, Decimal("-9.99")], dtype=pl.Decimal(38, 2)),
    "list": pl.Series([[1, None], None, []], dtype=pl.List(pl.Int16)),
    "array": pl.Series([[1, 2], None, [3, None]], dtype=pl.Array(pl.Int32, 2)),
    "struct": pl.Series([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
    "null": pl.Series([None] * 3),
    "list of categories": pl.Series([["b", "a"], None, [None]], dtype=pl.List(pl.Categorical)),
    "struct of enum and int128": pl.Series(
        [{"e": "x", "i": 2**90}, None, {"e": None, "i": 1}],
        dtype=pl.Struct({"e": pl.Enum(["y", "x"]), "i": pl.Int128}),
    ),
    "list of structs": pl.Series([[{"q": [1]}], None, [None]]),
    **{f"datetime {unit}": pl.Series([0, None, -1]).cast(pl.Datetime(unit)) for unit in UNITS[1:]},
    **{f"zoned {unit}": pl.Series([0, None, -1]).cast(pl.Datetime(unit, "Europe/Berlin")) for unit in UNITS[1:]},
    **{f"duration {unit}": pl.Series([0, None, -1]).cast(pl.Duration(unit)) for unit in UNITS[1:]},
}

ARROW = [
    (pa.null(), [None, None, None]),
    (pa.bool_(), [True, None, False]),
    (pa.uint64(), [2**64 - 1, None, 0]),
    (pa.float16(), [1.5, None, float("inf")]),
    (pa.float64(), [1.5, None, -0.0]),
    (pa.string(), ["a", None, ""]),
    (pa.large_string(), ["a", None, ""]),
    (pa.string_view(), ["a", None, "x" * 40]),
    (pa.binary_view(), [b"a", None, b""]),
    (pa.binary(), [b"a", None, b"\xff"]),
    (pa.large_binary(), [b"a", None, b""]),
    (pa.binary(3), [b"abc", None, b"\0\0\0"]),
    (pa.date32(), [1, None, -1]),
    (pa.date64(), [86400000, None, 0]),
    (pa.time32("s"), [1, None, 86399]),
    (pa.time32("ms"), [1, None, 0]),
    (pa.time64("us"), [1, None, 0]),
    (pa.time64("ns"), [1, None, 0]),
    *((pa.timestamp(unit), [1, None, -(2**62)]) for unit in UNITS),
    *((pa.timestamp(unit, "Europe/Berlin"), [1, None, -1]) for unit in UNITS),
    (pa.timestamp("us", "+01:00"), [1, None, -1]),
    *((pa.duration(unit), [1, None, -(2**62)]) for unit in UNITS),
    (pa.decimal32(5, 2), [Decimal("1.23"), None, Decimal(0)]),
    (pa.decimal128(38, 2), [Decimal("1.23"), None, Decimal(0)]),
    (pa.decimal256(50, 2), [Decimal("1.23"), None, Decimal(0)]),
    (pa.list_(pa.int8()), [[1, None], None, []]),
    (pa.list_(pa.field("odd", pa.int8(), nullable=False)), [[1], None, []]),
    (pa.large_list(pa.string()), [["a", None], None, []]),
    (pa.list_(pa.int8(), 2), [[1, 2], None, [3, None]]),
    (pa.struct([("a", pa.int8()), ("b", pa.string())]), [{"a": 1, "b": None}, None, {"a": None, "b": None}]),
    (pa.map_(pa.string(), pa.int8()), [[("a", 1), ("b", None)], None, []]),
    (pa.list_(pa.struct([("d", pa.duration("us"))])), [[{"d": 1}, None], None, []]),
    (pa.dictionary(pa.int8(), pa.string()), ["b", None, "a"]),
    (pa.dictionary(pa.int16(), pa.int64(), ordered=True), [5, None, 4]),
    (pa.dictionary(pa.uint32(), pa.duration("s")), [5, None, 4]),
]


def _column(kind, values):
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
        distinct = [value for value in dict.fromkeys(values) if value is not None]
        codes = [None if value is None else distinct.index(value) for value in values]
        parts = (pa.array(codes, kind.index_type), pa.array(distinct, kind.value_type))
        return pa.DictionaryArray.from_arrays(*parts, ordered=kind.ordered)
    return pa.array(values, type=kind)


ARROW_REFUSED = [
    pa.month_day_nano_interval(),
    pa.struct([]),
    pa.decimal128(5, -2),
    pa.list_(pa.dictionary(pa.int8(), pa.string())),
    pa.list_(pa.timestamp("s")),
    pa.dictionary(pa.int8(), pa.time32("s")),
    pa.run_end_encoded(pa.int32(), pa.int64()),
    pa.uuid(),
    pa.list_(pa.int8(), 0),
]


class TestContractWithPandas(SerializerContract):
    def serializer(self):
        return PARQUET

    def values(self):
        columns = {name: values for name, values in COLUMNS.items() if not name.startswith("zoned")}
        return [
            pd.DataFrame(columns),
            pd.DataFrame(),
            pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="key")),
        ]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [pd.DataFrame({"x": values}) for values in REFUSED.values()] + [pd.Series([1]), [1], np.zeros(3)]

    def large(self):
        return pd.DataFrame({"x": np.random.default_rng(0).normal(size=3_000_000), "s": "text"})


class TestContractWithPolars(SerializerContract):
    def serializer(self):
        return PARQUET

    def values(self):
        return [pl.DataFrame(POLARS), pl.DataFrame(), pl.DataFrame({"": [1], "a.b": [2]})]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [
            pl.DataFrame({"x": [object()]}),
            pl.DataFrame({"x": [[]]}, schema={"x": pl.Array(pl.Int8, 0)}),
            pl.DataFrame({"x": [{}]}, schema={"x": pl.Struct([])}),
            pl.DataFrame({"x\0": [1]}),
            pl.DataFrame(height=3),
            pl.Series([1]),
            pl.LazyFrame({"x": [1]}),
        ]

    def large(self):
        return pl.DataFrame({"x": np.random.default_rng(0).normal(size=3_000_000)})


class TestContractWithArrow(SerializerContract):
    def serializer(self):
        return PARQUET

    def values(self):
        columns = [_column(kind, values) for kind, values in ARROW]
        fields = [pa.field(f"{number}", kind, metadata={"k": "v"}) for number, (kind, _) in enumerate(ARROW)]
        return [
            pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={"owner": b"\xff"})),
            pa.table({}),
            pa.table([[1], [2]], names=["a", "a"]),
            pa.Table.from_arrays([pa.array([1])], schema=pa.schema([pa.field("x", pa.int64(), nullable=False)])),
        ]

    def same(self, left, right):
        return same(left, right)

    def copy(self, value):
        return value  # tables never change

    def refused(self):
        tables = [pa.table({"x": pa.nulls(2, kind)}) for kind in ARROW_REFUSED if not pa.types.is_run_end_encoded(kind)]
        return [*tables, pa.record_batch({"x": [1]}), pa.array([1])]

    def large(self):
        return pa.table({"x": np.random.default_rng(0).normal(size=3_000_000)})


@pytest.mark.parametrize("name", [*COLUMNS, *UNHASHABLE])
def test_every_kind_of_pandas_column_comes_back(name):
    """Accepted, and equal in dtype, values, missing values and every bit; also without rows, and in several row groups."""
    frame = pd.DataFrame({name: {**COLUMNS, **UNHASHABLE}[name]})
    assert PARQUET.accepts(frame)
    for part in (frame, frame.iloc[:0], frame.iloc[::-1], frame.iloc[::2]):
        check_pandas(there_and_back(part), part)


def test_a_column_of_which_pandas_can_say_little_comes_back():
    """Views of text, which pandas takes from arrow but neither compares nor measures, come back in their type."""
    frame = pd.DataFrame({"x": _arrow(["a", None, "b" * 50], pa.string_view())})
    assert PARQUET.accepts(frame)
    found = there_and_back(frame)["x"].array.__arrow_array__()
    assert found.equals(frame["x"].array.__arrow_array__())
    assert found.type == pa.string_view()


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "float16"])
def test_every_kind_of_pandas_index_comes_back(name):
    """As row labels, column labels, and as a level of either, an index is equal in type, dtype, name and values."""
    index = pd.Index(COLUMNS[name], name=name)
    levels = pd.MultiIndex.from_arrays([index, [1, 1, 2]], names=[("tuple", 1), None])
    for labels in (index, levels):
        rows = pd.DataFrame({"x": [1, 2, 3]}, index=labels)
        assert PARQUET.accepts(rows)
        check_pandas(there_and_back(rows), rows)
        columns = pd.DataFrame([[1, 2, 3]], columns=labels)
        check_pandas(there_and_back(columns), columns)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"]),
        pd.DataFrame([[1, "x"]], columns=[0, "0"]),
        pd.DataFrame([[1, 2, 3, 4, 5]], columns=["a", None, ("x", 1), 2.5, True]),
        pd.DataFrame([[1, 2]], columns=["", "a.b"]),
        pd.DataFrame([[1, 2, 3]], columns=[7, 3, 5]),
        pd.DataFrame({"__index_level_0__": [1]}, index=["x"]),
        pd.DataFrame(index=range(5, 50, 5)),
        pd.DataFrame(index=["a", "b"]),
        pd.DataFrame({"a": []}),
        pd.DataFrame({"a": [1, 2, 3]}, index=DAYS),
        pd.DataFrame({"a": [1, 2, 3]}, index=DAYS.tz_localize("Europe/Berlin")),
        pd.DataFrame({"a": [1, 2]}, index=pd.to_timedelta([1, 2], unit="h")),
        pd.DataFrame({"a": [1, 2]}, index=[3, 3]),
        pd.DataFrame(np.arange(12).reshape(4, 3), columns=pd.Index([1, 2, 3], name="n")).iloc[::-2],
        pd.DataFrame(
            {"v": range(6)}, index=pd.MultiIndex.from_product([["a", "b", "c"], [1, 2]], names=["x", "y"])
        ).loc[["a", "c"]],
        pd.DataFrame({"v": pd.Series(["text", None, ""], dtype=object)}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        pd.DataFrame({"f": pd.arrays.FloatingArray(np.array([np.nan, 1.0, 2.0]), np.array([False, False, True]))}),
        pd.DataFrame({"f": np.array([0x7FF8000000000001, 0xFFF8000000000002, 0x8000000000000000], "u8").view("f8")}),
    ],
    ids=lambda frame: str(frame.columns.tolist())[:30],
)
def test_odd_frames_come_back(frame):
    """Repeated, mixed and missing labels, unused levels, frequencies, flags, object text and the bits of a NaN all survive."""
    loaded = there_and_back(frame)
    check_pandas(loaded, frame)
    for column in range(frame.shape[1]):
        values = loaded.iloc[:, column].array
        if isinstance(values, pd.arrays.FloatingArray):
            assert values.isna().tolist() == frame.iloc[:, column].isna().tolist()


def test_unused_levels_of_an_index_survive():
    """The levels of a MultiIndex come back as they were, with what no row uses any more."""
    frame = pd.DataFrame({"v": range(4)}, index=pd.MultiIndex.from_product([["a", "b"], [1, 2]])).loc[["b"]]
    loaded = there_and_back(frame)
    assert [level.tolist() for level in loaded.index.levels] == [["a", "b"], [1, 2]]


def test_attrs_survive_or_are_refused():
    """What `frame.attrs` holds comes back equal in type; what cannot be encoded refuses the frame."""
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": ("x", 1), "when": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}
    assert there_and_back(frame).attrs == frame.attrs
    frame.attrs = {"f": lambda: None}
    assert not PARQUET.accepts(frame)
    with pytest.raises(SerializationError, match="pandas frame"):
        dump(frame)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_exact_is_refused_by_name(name):
    """Column and index of a type without exact form are not accepted, and refused with the column's name and a way out."""
    frame = pd.DataFrame({"fine": [1, 2, 3], "odd one": REFUSED[name]})
    assert not PARQUET.accepts(frame)
    with pytest.raises(SerializationError, match=r"'odd one'.*pickled"):
        dump(frame)
    index = pd.DataFrame({"x": [1, 2, 3]}, index=pd.Index(list(REFUSED[name]) if "lists" in name else REFUSED[name]))
    assert not PARQUET.accepts(index)
    with pytest.raises(SerializationError, match="the index"):
        dump(index)


def test_a_subclass_of_a_frame_is_not_taken_for_one():
    """Subclasses may hold more than a frame does, so they are left to pickle."""
    frame = type("GeoFrame", (pd.DataFrame,), {})({"a": [1]})
    assert not PARQUET.accepts(frame)
    with pytest.raises(SerializationError, match="GeoFrame"):
        dump(frame)


def test_loaded_columns_can_be_written_to():
    """A loaded frame is no read-only view: assigning to its cells works, and in columns of their own memory."""
    loaded = there_and_back(pd.DataFrame({"a": [1.0, 2.0], "b": [1, 2], "c": ["x", "y"]}))
    loaded.loc[0, "a"] = 9
    loaded.loc[1, "c"] = "z"
    assert loaded.to_dict("list") == {"a": [9.0, 2.0], "b": [1, 2], "c": ["x", "z"]}


@pytest.mark.parametrize("name", POLARS)
def test_every_kind_of_polars_column_comes_back(name):
    """Accepted, and equal in type and values, also without rows and in several chunks."""
    frame = pl.DataFrame({name: POLARS[name]})
    assert PARQUET.accepts(frame)
    for part in (frame, frame.clear(), pl.concat([frame, frame], rechunk=False), frame[::-1]):
        assert same(there_and_back(part), part)


@pytest.mark.parametrize(("kind", "values"), ARROW, ids=lambda part: str(part)[:40])
def test_every_kind_of_arrow_column_comes_back(kind, values):
    """Accepted, and equal in schema, metadata and values, also without rows, sliced and in several chunks."""
    table = pa.table({"x": _column(kind, values)}).replace_schema_metadata({"a": "b"})
    assert PARQUET.accepts(table)
    for part in (table, table.slice(0, 0), table.slice(1), pa.concat_tables([table, table])):
        loaded = there_and_back(part)
        loaded.validate(full=True)
        assert same(loaded, part)


@pytest.mark.parametrize("kind", ARROW_REFUSED, ids=str)
def test_arrow_types_without_exact_form_are_refused_by_name(kind):
    """Not accepted, and refused with the name of the column."""
    table = pa.schema([("fine", pa.int8()), ("odd one", kind)]).empty_table()
    assert not PARQUET.accepts(table)
    with pytest.raises(SerializationError, match=r"'odd one'.*pickled"):
        dump(table)


def test_arrow_tables_that_contradict_themselves_are_refused():
    """A null in a column that may have none, and a dictionary with a value twice, are refused with the column's name."""
    broken = pa.Table.from_arrays([pa.array([1, None])], schema=pa.schema([pa.field("x", pa.int64(), nullable=False)]))
    twice = pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", "a"]))})
    for table in (broken, twice):
        with pytest.raises(SerializationError, match="'x'"):
            dump(table)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_frame_of_any_columns_comes_back(data):
    """Any choice of columns, labels, row order and index, repeated to any length, comes back exactly."""
    names = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=6))
    rows = data.draw(st.lists(st.integers(0, 2), max_size=12))
    parts = [pd.Series(COLUMNS[name]).take(rows).reset_index(drop=True) for name in names]
    frame = (
        pd.concat(parts, axis=1) if rows else pd.DataFrame({name: pd.Series(COLUMNS[name]).iloc[:0] for name in names})
    )
    if len(frame.columns) == len(names):
        labels = st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.integers(-3, 3)
        frame.columns = data.draw(st.lists(labels, min_size=len(names), max_size=len(names)))
    if data.draw(st.booleans()):
        frame = frame.set_index(frame.columns[0]) if frame.columns.is_unique and frame.dtypes.iloc[0] != "f2" else frame
    check_pandas(there_and_back(frame), frame)


def test_many_row_groups_make_one_frame():
    """A frame of more rows than a row group comes back whole and in order, in all libraries."""
    rows = 1_200_000
    frame = pd.DataFrame(
        {
            "i": np.arange(rows),
            "c": pd.Categorical.from_codes(np.arange(rows) % 3, ["x", "y", "unused", "z"]),
            "z": pd.date_range("2020", periods=rows, freq="s", tz="Europe/Berlin"),
        },
        index=pd.Index(np.arange(rows) * 2, name="twice"),
    )
    data, details = dump(frame)
    assert details == {"library": "pandas", "rows": rows}
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups > 1
    check_pandas(PARQUET.load(data, format=1, details=details), frame)
    table = pa.table({"d": pa.array(np.arange(rows) % 5).dictionary_encode(), "i": np.arange(rows)})
    for other in (table, pl.from_arrow(table)):
        assert same(there_and_back(other), other)


def test_wide_rows_make_small_row_groups():
    """Rows of a megabyte each are written a few at a time."""
    frame = pd.DataFrame({"s": pd.Series(["x" * 1_000_000] * 80, dtype=object)})
    data, _ = dump(frame)
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups >= 2
    check_pandas(there_and_back(frame), frame)


def test_other_readers_see_the_values():
    """Any parquet reader finds the columns by name with their values, categories and zoned times included."""
    frame = pd.DataFrame({"c": COLUMNS["category"], "t": COLUMNS["zoned us berlin"], 3: [1, 2, 3]}).set_index(DAYS)
    seen = pl.read_parquet(io.BytesIO(dump(frame)[0]))
    assert seen.columns == ["c", "t", "3", "day"]
    assert seen["c"].cast(pl.String).to_list() == ["b", "a", None]
    assert seen["t"].to_list()[0] == dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def test_a_parquet_file_of_somebody_else_is_refused():
    """A file without our note is no artifact, though it is parquet."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), stream)
    with pytest.raises(SerializationError, match="simpleml wrote"):
        PARQUET.load(bytearray(stream.getvalue()), format=1, details={})


def test_looking_at_a_value_imports_no_library():
    """Asking whether a value is a frame imports neither pandas nor pyarrow nor polars."""
    code = (
        "import sys\nfrom simpleml.save_patterns.serializers.parquet import PARQUET\n"
        "assert not PARQUET.accepts([1, 2])\nassert not {'pandas', 'pyarrow', 'polars', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_missing_pyarrow_is_told_with_the_command_that_installs_it(tmp_path):
    """Where pyarrow is not installed, writing and reading name the extra; `accepts` just says no."""
    (tmp_path / "pyarrow.py").write_text("raise ImportError('no pyarrow here')\n")
    code = (
        "import pandas as pd\nfrom simpleml.errors import MissingDependencyError\n"
        "from simpleml.save_patterns.serializers.parquet import PARQUET\n"
        "frame = pd.DataFrame({'a': [1]})\nassert not PARQUET.accepts(frame)\n"
        "for call in (lambda: PARQUET.dump(frame, None), lambda: PARQUET.load(bytearray(), format=1, details={})):\n"
        "    try: call()\n    except MissingDependencyError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.count("pip install 'simpleml[arrow]'") == 2
    assert issubclass(MissingDependencyError, ImportError)


@pytest.mark.parametrize("module", ["pandas", "polars", "pyarrow"])
def test_dumping_takes_little_memory(module):
    """A frame of 160 MB is written with less than a quarter of that beside it (measured on the whole process)."""
    code = f"""
import resource
import numpy as np
import {module} as library
from simpleml.save_patterns.serializers.parquet import PARQUET
class Nowhere:
    def write(self, data): return len(data)
make = library.table if {module!r} == "pyarrow" else library.DataFrame
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
PARQUET.dump(make({{"a": np.arange(1000.0), "s": ["x"] * 1000}}), Nowhere())
frame = make({{name: np.ones(4_000_000) for name in "abcde"}})
before = peak()
PARQUET.dump(frame, Nowhere())
print(peak() - before)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 40_000_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.text(max_size=9) | st.none(), max_size=6), st.integers(0, 3)), min_size=1, max_size=5
    )
)
def test_text_of_many_pieces_is_put_together_exactly(pieces: list[tuple[list[str | None], int]]) -> None:
    """Pieces of text, slices, empty ones and ones with nulls among them, come out as one array of the same values."""
    from simpleml.save_patterns.serializers.parquet_columns import _joined

    arrays = [pa.array(values, pa.large_string()).slice(skipped) for values, skipped in pieces]
    found = _joined(arrays)
    found.validate(full=True)
    assert found.to_pylist() == [value for array in arrays for value in array.to_pylist()]
