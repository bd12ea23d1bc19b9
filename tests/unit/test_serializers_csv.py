from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.csv import CSV
from simpleml.save_patterns.serializers.feather import FEATHER
from simpleml.save_patterns.serializers.parquet import PARQUET
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, CSV)
there_and_back = partial(dumping.there_and_back, CSV)

UNITS = ("s", "ms", "us", "ns")
DAYS = pd.date_range("2020-01-01", periods=3, freq="D", name="day")
COLUMNS = {
    "float": np.array([0.1, np.nan, -0.0]),
    "tiny": np.array([5e-324, 1.7976931348623157e308, -np.inf]),
    "float32": np.array([0.1, 1e-45, 16777217], "f4"),
    "float16": np.array([0.1, 65504, np.nan], "f2"),
    "int8": np.array([1, -128, 127], "i1"),
    "int64": np.array([2**63 - 1, -(2**63), 0]),
    "uint64": np.array([2**64 - 1, 0, 1], "u8"),
    "bool": np.array([True, False, True]),
    "text": ["", None, 'a "quoted", é\r\nline'],
    "text that looks like something": ["null", "1.5", "true"],
    "object text": pd.Series(["a", None, ""], dtype=object),
    "Int8": pd.array([1, None, 3], dtype="Int8"),
    "Float64": pd.arrays.FloatingArray(np.array([np.nan, 1.0, 2.0]), np.array([False, False, True])),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "category": pd.Categorical(["b", "a", None], categories=["unused", "b", "a"], ordered=True),
    "category of ints": pd.Categorical([7, 3, None], categories=[7, 3, 1]),
    "category of days": pd.Categorical(DAYS),
    "decimal": pd.array([Decimal("1.10"), None, Decimal("-2.00")], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    **{f"datetime {unit}": np.array(["2020-01-01", "NaT", "1950-01-01T01:02:03"], f"M8[{unit}]") for unit in UNITS},
    **{f"timedelta {unit}": np.array([1, "NaT", -5], f"m8[{unit}]") for unit in UNITS},
    **{
        f"zoned {unit}": pd.Series(np.array(["2020-01-01", "NaT", "1950-01-01"], f"M8[{unit}]"))
        .dt.tz_localize("UTC")
        .dt.tz_convert("Europe/Berlin")
        for unit in UNITS
    },
}
POLARS = {
    "ints": pl.Series([1, None, 3], dtype=pl.Int16),
    "floats": pl.Series([1.5, None, float("nan")]),
    "text": ["", None, "a,b"],
    "bool": [True, None, False],
    "moment": pl.Series([1, None, 3], dtype=pl.Datetime("us", "Europe/Berlin")),
    "date": [dt.date(2020, 1, 1), None, dt.date(1, 1, 1)],
    "time": [dt.time(1, 2, 3, 4), None, dt.time(0)],
    "duration": pl.Series([1, None, -3], dtype=pl.Duration("ms")),
    "category": pl.Series(["b", None, "a"], dtype=pl.Categorical()),
    "enum": pl.Series(["b", None, "a"], dtype=pl.Enum(["b", "z", "a"])),
    "big": pl.Series([2**100, None, -1], dtype=pl.Int128),
    "decimal": [Decimal("1.10"), None, Decimal("-2.00")],
    "nothing": [None] * 3,
}
ARROW = pa.table(
    {
        "text": ["a", None, ""],
        "floats": [1.5, None, -0.0],
        "words": pa.array(["b", None, "a"], pa.dictionary(pa.int8(), pa.string())),
        "nothing": pa.nulls(3),
        "zoned": pa.array([1, None, -1], pa.timestamp("us", "+01:00")),
    }
).replace_schema_metadata({"owner": "me"})
REFUSED = [
    pd.DataFrame({"odd one": pd.period_range("2020", periods=3, freq="M")}),
    pd.DataFrame({"odd one": pd.Series([1, "a", None], dtype=object)}),
    pd.DataFrame({"odd one": pd.array([b"x"], dtype=pd.ArrowDtype(pa.binary()))}),
    pd.DataFrame({"odd one": np.array(["10000-01-01"], "M8[s]")}),
    pd.DataFrame({"odd one": np.array(["-0001-01-01"], "M8[us]")}),
    pl.DataFrame({"odd one": [[1]]}),
    pl.DataFrame({"odd one": [b"x"]}),
    pl.DataFrame({"odd one": pl.Series([10**7], dtype=pl.Date)}),
    pa.table({"odd one": pa.nulls(2, pa.struct([("a", pa.int8())]))}),
    pa.table({"'odd one'\0": [1]}),
]


def same(left, right):
    """Equal in type and content, all NaNs alike, zeros with their sign."""
    if type(left) is not type(right):
        return False
    if isinstance(left, pd.DataFrame):
        try:
            pd.testing.assert_frame_equal(left, right, check_exact=True, check_freq=True, check_flags=True)
        except AssertionError:
            return False
        floats = [at for at, kind in enumerate(left.dtypes) if isinstance(kind, np.dtype) and kind.kind == "f"]
        signs = [[np.signbit(frame.iloc[:, at].fillna(0)).tolist() for at in floats] for frame in (left, right)]
        return signs[0] == signs[1]
    if isinstance(left, pl.DataFrame):
        return left.schema == right.schema and left.equals(right, null_equal=True)
    return left.schema.equals(right.schema, check_metadata=True) and left.equals(right)


class TestContract(SerializerContract):
    def serializer(self):
        return CSV

    def values(self):
        return [
            pd.DataFrame({name: values for name, values in COLUMNS.items() if name != "float"}),
            pd.DataFrame(),
            pd.DataFrame(index=range(3)),
            pd.DataFrame([[1, 2]], columns=["a", "a"], index=pd.Index(["x"], name="key")),
            pl.DataFrame(POLARS),
            pl.DataFrame(),
            ARROW,
            pa.table([[1], [2]], names=["a", "a"]),
        ]

    def same(self, left, right):
        return same(left, right)

    def copy(self, value):
        return value if isinstance(value, pa.Table) else super().copy(value)

    def refused(self):
        return [*REFUSED, pd.Series([1]), [1]]

    def large(self):
        return pd.DataFrame({"x": np.random.default_rng(0).normal(size=1_100_000)})


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_pandas_column_comes_back(name):
    """Equal in dtype, values, missing values and signs of zero, as a column of its own, sliced, and as row labels."""
    frame = pd.DataFrame({name: COLUMNS[name]})
    assert CSV.accepts(frame) == (name != "object text")
    for part in (frame, frame.iloc[:0], frame.iloc[::-1], frame.iloc[1:2]):
        assert same(there_and_back(part), part)
    if name != "float16":
        labels = pd.DataFrame({"x": [1, 2, 3]}, index=pd.Index(COLUMNS[name], name=("odd", 1)))
        assert same(there_and_back(labels), labels)


@pytest.mark.parametrize("name", POLARS)
def test_every_kind_of_polars_column_comes_back(name):
    """Accepted, and equal in type and values, also without rows."""
    frame = pl.DataFrame({name: POLARS[name]})
    assert CSV.accepts(frame)
    for part in (frame, frame.clear(), frame[::-1]):
        assert same(there_and_back(part), part)


@pytest.mark.parametrize("frame", REFUSED, ids=lambda frame: f"{type(frame).__module__[:6]}, {frame.shape}")
def test_what_csv_cannot_hold_is_refused_by_name(frame):
    """Not accepted, and refused with the column's name and another pattern to take."""
    assert not CSV.accepts(frame)
    with pytest.raises(SerializationError, match=r"'odd one'.*'pickled'"):
        dump(frame)


@pytest.mark.parametrize("serializer", [CSV, FEATHER, PARQUET])
def test_a_refusal_speaks_of_the_format_that_was_asked_for(serializer):
    """No format names another one as what cannot hold a column, and what is no frame is sent to the pattern that it would get."""
    dump = partial(dumping.dump, serializer)
    for frame in (pd.DataFrame({"a": [object()]}), pl.DataFrame({"a": [object()]}), pd.DataFrame({"a": [1j]})):
        with pytest.raises(
            SerializationError, match=f"cannot be kept exactly as {serializer.name}: .*'?a'? "
        ) as caught:
            dump(frame)
        assert "parquet has no" not in str(caught.value)
        assert "of which parquet" not in str(caught.value)
    for value, pattern in ((np.eye(2), "numpy"), ([1], "json"), (b"x", "bytes"), (pd.Series([1]), "pickled")):
        with pytest.raises(SerializationError, match=f"{serializer.name} keeps data frames.*the pattern '{pattern}'"):
            dump(value)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_text_that_is_no_text_is_refused_before_it_is_kept(kind):
    """Bytes that somebody took for text, which no reader would take, are refused by the column's name; parquet keeps them."""
    data = pa.array(
        [b"K\xf6ln"], {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}.get(kind, pa.binary_view())
    )
    table = pa.table({"city": data.view(kind)})
    for serializer in (CSV, FEATHER):
        with pytest.raises(SerializationError, match=r"'city' has values that are no .*UTF8"):
            dumping.dump(serializer, table)
    if kind != pa.string_view():
        written, details = dumping.dump(PARQUET, table)
        assert PARQUET.load(bytearray(written), format=1, details=details).equals(table)


def test_parquet_is_advised_only_where_it_helps():
    """A frame that parquet does not keep either is sent to pickles alone, and text is spoken of only where there is some."""
    for frame, advice in (
        (pd.DataFrame({"a": pd.period_range("2020", periods=2)}), "the pattern 'pickled'"),
        (pd.DataFrame({"a": [1, 2]}, dtype=object), "the pattern 'pickled'"),
        (pl.DataFrame({"a": [[1], [2]]}), "the pattern 'parquet' or 'pickled'"),
    ):
        with pytest.raises(SerializationError) as caught:
            CSV.dump(frame, io.BytesIO())
        assert advice in str(caught.value)
        assert "beside text" not in str(caught.value)


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_the_ends_of_what_nanoseconds_reach(zone):
    """The first and the last whole second come back; the part of a second before, which would not, is refused by name."""
    first, last = -9_223_372_036 * 10**9, 2**63 - 1
    frame = pa.table({"at": pa.array([first, None, last], pa.timestamp("ns", zone))})
    assert CSV.accepts(frame)
    assert same(there_and_back(frame), frame)
    for early in (first - 1, -(2**63) + 1):
        frame = pa.table({"odd one": pa.array([early], pa.timestamp("ns", zone))})
        assert not CSV.accepts(frame)
        with pytest.raises(SerializationError, match=r"'odd one' has a time before 1677-09-21 00:12:44.*parquet"):
            dump(frame)


@pytest.mark.parametrize("names", [("\n", '"'), ("", " "), ("\r\n", "a,b"), ("\x01", "é\\")])
def test_odd_names_come_back(names):
    """Whatever the columns are called, the line of names is one that the reader finds the end of."""
    frame = pa.table([pa.array([1, None, 3]), pa.array(["a", "", None])], names=list(names))
    for part in (frame, frame.slice(0, 0)):
        assert same(there_and_back(part), part)


def test_the_file_is_what_a_person_expects():
    """Names, plain numbers, ISO dates, quoted text, empty cells for what is missing; the index behind the columns."""
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.1, np.nan],
            "t": ['say "hi"', None],
            "ok": [True, False],
            "at": pd.to_datetime(["2020-01-01", None]).as_unit("us"),
        },
        index=pd.Index(["a", "b"], name="key"),
    )
    assert bytes(dump(frame)[0]).decode() == (
        '"n","x","t","ok","at","key"\n1,0.1,"say ""hi""",true,2020-01-01 00:00:00.000000,"a"\n2,nan,,false,,"b"\n'
    )


def test_other_tools_read_the_file():
    """Pandas and polars read the file themselves and see the same values."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.1, 2.5]})
    data = bytes(dump(frame)[0])
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(data)), frame)
    assert pl.read_csv(data).rows() == [(1, "x", 0.1), (2, None, 2.5)]


def test_an_edited_file_is_refused():
    """Bytes that are not as many as were written, or do not fit the types, are no frame."""
    data, details = dump(pd.DataFrame({"a": [10, 20]}))
    for broken in (data + b"30\n", data.replace(b"10", b"xx"), data.replace(b"10\n", b"1\n\n"), data[:-1]):
        with pytest.raises(SerializationError, match="csv file"):
            CSV.load(bytearray(broken), format=1, details=details)
    with pytest.raises(SerializationError, match="csv file"):
        CSV.load(bytearray(data), format=1, details={**details, "frame": "[]"})


def test_a_row_longer_than_a_block_comes_back():
    """Text of many megabytes in one cell, with line ends in it, is no limit."""
    frame = pl.DataFrame({"t": ["short", "long\n" * 2_000_000, "end"], "n": [1, 2, 3]})
    assert same(there_and_back(frame), frame)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_frame_of_plain_columns_comes_back(data):
    """Frames of any numbers, times and text, of any length, come back equal, whatever the text holds."""
    rows = data.draw(st.integers(0, 12))

    def column(values):
        return data.draw(st.lists(values, min_size=rows, max_size=rows))

    frame = pd.DataFrame(
        {
            "t": pd.Series(column(st.none() | st.text()), dtype="str"),
            "i": np.array(column(st.integers(-(2**63), 2**63 - 1)), "i8"),
            "f": np.array(column(st.floats()), "f8"),
            "g": np.array(column(st.floats(width=32)), "f4"),
            "d": np.array(column(st.datetimes()), "M8[us]"),
        }
    )
    assert CSV.accepts(frame)
    assert same(there_and_back(frame), frame)


@given(st.lists(st.none() | st.text()))
@settings(max_examples=60, deadline=None)
def test_a_single_column_of_text_comes_back(texts):
    """One column alone keeps missing and empty text apart, though a missing one is an empty line."""
    frame = pl.DataFrame({"only": texts}, schema={"only": pl.String})
    assert same(there_and_back(frame), frame)
