"""pandas and polars values: every dtype, index and label comes back exactly, and the frame is not changed."""

from __future__ import annotations

import copy
import importlib.util
import math
from datetime import UTC, date, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal
from polars.testing import assert_frame_equal as assert_polars_equal
from polars.testing import assert_series_equal as assert_polars_series_equal

from simpleml.encoding import Opaque, decode, dumps, encode, loads
from simpleml.errors import EncodingError
from tests.unit.test_encoding_oracle import Colour, same

TAG = "__simpleml__"
TIMES = pd.to_datetime(["2024-01-01 01:02:03.000000004", None, "2024-10-27 00:30:00.000000000"])

COLUMNS = {
    "int": np.array([1, -2, 3]),
    "int8": np.array([1, -2, 3], "i1"),
    "uint64": np.array([1, 2, 2**64 - 1], "u8"),
    "float": [0.1, math.nan, -0.0],
    "float16": np.array([1, 2, 3], "f2"),
    "bool": [True, False, True],
    "complex": [1j, complex(math.nan, 0), 2],
    "str": ["a", "ü🎉", "c"],
    "str_na": pd.array(["a", None, ""], dtype="str"),
    "string": pd.array(["a", None, ""], dtype="string"),
    "string_python": pd.array(["a", "\0", None], dtype="string[python]"),
    "str_python": pd.array(["a", "\ud800", None], dtype=pd.StringDtype("python", na_value=math.nan)),
    "string_pyarrow": pd.array(["a", None, ""], dtype="string[pyarrow]"),
    "object": pd.Series([1, "x", None], dtype=object),
    "object_str": pd.Series(["a", "b", "c"], dtype=object),
    "object_missing": pd.Series([pd.NA, pd.NaT, math.nan], dtype=object),
    "object_deep": pd.Series([(1, 2), {"k": {3}}, [Decimal("1.0"), Colour.RED, date(2024, 1, 1)]], dtype=object),
    "object_numpy": pd.Series([np.float32(1), np.arange(2), np.str_("s")], dtype=object),
    "datetime": TIMES,
    "datetime_s": TIMES.astype("M8[s]"),
    "zone": TIMES.tz_localize("UTC").tz_convert("Europe/Berlin"),
    "zone_us": TIMES.tz_localize("UTC").astype("datetime64[us, America/New_York]"),
    "utc": TIMES.tz_localize(UTC),
    "offset": TIMES.tz_localize(timezone(timedelta(hours=5, minutes=30))),
    "timedelta": pd.to_timedelta(["1D", None, "3ns"]),
    "timedelta_ms": pd.to_timedelta([1, 2, 3], unit="s").astype("m8[ms]"),
    "category": pd.Categorical(["a", None, "b"], categories=["b", "a", "z"]),
    "ordered": pd.Categorical([3, 1, 3], categories=[3, 2, 1], ordered=True),
    "category_mixed": pd.Categorical([1, "x", None], categories=pd.Index([1, "x"], dtype=object)),
    "category_times": pd.Categorical(TIMES),
    "category_named": pd.Series(pd.Categorical(["a", "b", "a"], categories=pd.Index(["a", "b"], name="labels"))),
    "Int8": pd.array([1, None, 3], dtype="Int8"),
    "UInt64": pd.array([1, None, 2**64 - 1], dtype="UInt64"),
    "Int64": pd.array([2**62, None, -1], dtype="Int64"),
    "Float32": pd.array([0.1, None, 3], dtype="Float32"),
    "Float64": pd.arrays.FloatingArray(np.array([math.nan, 1, -0.0]), np.array([False, True, False])),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "period": pd.PeriodIndex(["2024-01", None, "2024-03"], freq="M"),
    "period_q": pd.PeriodIndex(["2024Q1", "2024Q2", "2024Q3"], freq="Q-NOV"),
    "interval": pd.IntervalIndex.from_tuples([(0, 1), (1, 2.5), None], closed="both"),
    "interval_times": pd.interval_range(pd.Timestamp("2024-01-01"), periods=3),
    "sparse": pd.arrays.SparseArray([0.0, 1.5, 0.0], fill_value=0.0),
    "sparse_nan": pd.arrays.SparseArray([math.nan, 1.5, math.nan]),
    "sparse_block": pd.arrays.SparseArray([0, 5, 0], kind="block"),
    "sparse_bool": pd.arrays.SparseArray([True, False, True], fill_value=False),
    "arrow_int": pd.array([1, None, 3], dtype="int64[pyarrow]"),
    "arrow_str": pd.array(["a", None, "c"], dtype=pd.ArrowDtype(pa.string())),
    "arrow_list": pd.array([[1], None, [2, 3]], dtype=pd.ArrowDtype(pa.list_(pa.int8()))),
    "arrow_time": pd.array([1, None, 3], dtype=pd.ArrowDtype(pa.timestamp("ns", "Asia/Tokyo"))),
    "arrow_decimal": pd.array([Decimal("1.10"), None, None], dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
}


def assert_same(one, other):
    """Assert that two pandas objects are equal in class, values, dtypes, labels, names, frequency and notes."""
    assert type(one) is type(other)
    check = {pd.DataFrame: assert_frame_equal, pd.Series: assert_series_equal}.get(type(one), assert_index_equal)
    options = {} if check is assert_index_equal else {"check_freq": True, "check_flags": True}
    if check is assert_frame_equal:
        options["check_column_type"] = True
    check(one, other, check_exact=True, **options)
    for a, b in zip(_parts(one), _parts(other), strict=True):
        assert type(a) is type(b)
        assert a.dtype == b.dtype
        assert same(list(a.array), list(b.array))
    if check is assert_index_equal:
        assert getattr(one, "freq", None) == getattr(other, "freq", None)
        assert same(list(one.names), list(other.names))
    else:
        assert same(one.attrs, other.attrs)
        assert_same(one.index, other.index)


def _parts(value):
    if isinstance(value, pd.DataFrame):
        return [value.iloc[:, i] for i in range(value.shape[1])]
    return list(value.levels) if isinstance(value, pd.MultiIndex) else [value]


@pytest.mark.parametrize("name", COLUMNS)
def test_every_dtype_comes_back(name):
    """A series, a frame and an index of each dtype come back exactly; the input is not changed."""
    series = pd.Series(COLUMNS[name], name=name)
    frame = pd.DataFrame({name: series, "other": 1})
    for value in (series, frame):
        before = copy.deepcopy(value)
        assert_same(loads(dumps({"v": [value]}))["v"][0], value)
        assert_same(value, before)
    if name not in ("object_deep", "object_numpy") and not name.startswith(("sparse", "float16")):
        index = pd.Index(series)
        assert_same(loads(dumps(index)), index)


def test_a_frame_of_all_dtypes_comes_back_without_pyarrow_frames():
    """All dtypes side by side come back in one frame, each column as it was."""
    frame = pd.DataFrame(COLUMNS)
    assert_same(loads(dumps(frame)), frame)


LABELS = [
    pd.RangeIndex(5, 20, 5),
    pd.RangeIndex(3, name="r"),
    pd.Index([3, 1, 3]),
    pd.Index([0.5, math.nan, 2], name=("a", 1)),
    pd.Index(["a", "b", "a"]),
    pd.Index(["a", 1, None], dtype=object, name=3),
    pd.Index([(1, 2), (3,), "x"], dtype=object, tupleize_cols=False),
    pd.Index([(1, 2), (3, 4), (5, 6)], dtype=object, tupleize_cols=False),
    pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("a", 3)], names=["x", None]),
    pd.MultiIndex.from_arrays([[1, 2, None], pd.Categorical(["a", "b", "a"]), TIMES], names=[None, ("n", 1), 2]),
    pd.MultiIndex.from_product([["a"], [1, 2, 3]])[[0, 1, 2]],
    pd.date_range("2024-01-01", periods=3, freq="D"),
    pd.date_range("2024-01-31", periods=3, freq="ME", tz="Europe/Berlin", name="when"),
    pd.date_range("2024-01-01", periods=3, freq="-2h"),
    pd.date_range("2024-01-01", periods=3, freq="W-WED", unit="s"),
    pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-03"]),
    pd.timedelta_range("1h", periods=3, freq="90min"),
    pd.period_range("2024-01", periods=3, freq="M"),
    pd.interval_range(0, 3),
    pd.CategoricalIndex(["a", "b", "a"], ordered=True),
    pd.Index(pd.array([1, None, 3], dtype="Int64")),
    pd.Index([True, False, True]),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: f"{type(labels).__name__}-{labels.dtype}"[:40])
def test_every_kind_of_label_comes_back(labels):
    """Each index class comes back with names and frequency, as rows, as columns, and alone."""
    for value in (labels, pd.Series([1, 2, 3], index=labels), pd.DataFrame({"a": [1, 2, 3]}, index=labels)):
        assert_same(loads(dumps(value)), value)
    frame = pd.DataFrame([[1, "x", None]], columns=labels)
    assert_same(loads(dumps(frame)), frame)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(),
        pd.DataFrame(index=[1, 2]),
        pd.DataFrame(columns=["a", "b"]),
        pd.DataFrame({"a": []}),
        pd.DataFrame([[1, 2.5, "x"]], columns=["a", "a", "a"]),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", ""), ("b", "c")])),
        pd.DataFrame({(1, 2): [1], None: [2], math.nan: [3], 1.5: [4], "__simpleml__": [5]}),
        pd.DataFrame({"a": [1, 2, 3]}, index=[1, 1, 1]),
        pd.DataFrame({"a": range(5), "b": "x"}).iloc[::-2],
        pd.DataFrame(np.arange(6).reshape(2, 3)).T,
    ],
    ids=range(10),
)
def test_odd_frames_come_back(frame):
    """Empty frames, repeated and strange labels, slices and transposed frames come back exactly."""
    assert_same(loads(dumps(frame)), frame)


def test_notes_and_flags_come_back():
    """`attrs` and the ban on duplicate labels come back, deep ones included."""
    for value in (pd.DataFrame({"a": [1]}), pd.Series([1])):
        value.attrs = {"source": ("x", {1})}
        value = value.set_flags(allows_duplicate_labels=False)
        assert_same(loads(dumps(value)), value)


def test_a_restored_frame_can_be_changed():
    """A restored frame is an ordinary one: its cells can be set, and that changes nothing else."""
    stored = encode(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    kept = copy.deepcopy(stored)
    frame = decode(stored)
    frame.loc[0, "a"] = 9
    frame["c"] = frame["b"] + "!"
    assert frame.to_dict("list") == {"a": [9, 2], "b": ["x", "y"], "c": ["x!", "y!"]}
    assert stored == kept


cells = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.floats(), min_size=3, max_size=3),
    st.lists(st.text(max_size=3) | st.none(), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=2)), min_size=3, max_size=3).map(
        lambda found: pd.Series(found, dtype=object).to_numpy()
    ),
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(max_size=3) | st.integers(0, 5), cells, max_size=4))
def test_any_frame_comes_back(columns):
    """Any frame of numbers, text, times and objects comes back exactly."""
    frame = pd.DataFrame(columns)
    assert_same(loads(dumps(frame)), frame)


SCALARS = [
    pd.NaT, pd.NA, pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01 00:00:00.123456789"), pd.Timestamp(0, unit="s"), pd.Timestamp.max,
    pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Berlin"), pd.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert("Europe/Berlin"),
    pd.Timestamp("2024-01-01", tz=timezone(timedelta(hours=2))), pd.Timestamp(year=2024, month=1, day=1, hour=2, fold=1), pd.Timedelta(-5, "ns"),
    pd.Timedelta.max, pd.Timedelta(3, "s").as_unit("s"), pd.Period("2024-01", "M"), pd.Period("2024", "Y-MAR"), pd.Period("2024-01-01 01:00", "3h"),
    pd.Interval(0, 1.5), pd.Interval(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02"), closed="neither"),
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_every_pandas_scalar_comes_back(value):
    """Each pandas scalar comes back with its type, unit, zone and fold; `NaT` and `NA` as themselves."""
    back = loads(dumps({"v": (value,)}))["v"][0]
    assert type(back) is type(value)
    assert repr(back) == repr(value)
    for name in ("unit", "tz", "fold", "value", "freq", "closed"):
        assert getattr(back, name, None) == getattr(value, name, None) or value is pd.NaT
    assert (back is value) if value is pd.NaT or value is pd.NA else (back == value)


@pytest.mark.parametrize(
    "name", [name for name in COLUMNS if isinstance(COLUMNS[name], pd.api.extensions.ExtensionArray)]
)
def test_extension_arrays_come_back(name):
    """An extension array alone comes back as an equal array of its class and dtype."""
    value = COLUMNS[name]
    back = loads(dumps(value))
    assert type(back) is type(value)
    assert_series_equal(pd.Series(back), pd.Series(value), check_exact=True)


class Frame(pd.DataFrame):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Frame({"a": [1]}),
        pd.DataFrame({"a": [object()]}),
        pd.Series([1]).array,
        pd.DataFrame({"a": [1]}, index=pd.date_range("2024-01-01", periods=1, freq=pd.offsets.CustomBusinessDay(holidays=["2024-01-02"]))),
        pd.DataFrame({"a": [1]}).groupby("a"),
        pl.LazyFrame({"a": [1]}),
        pl.DataFrame({"a": [object()]}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_would_come_back_changed_is_refused(value):
    """Subclasses, unencodable cells and frequencies without a faithful name are errors."""
    with pytest.raises(EncodingError):
        encode(value)


def test_a_path_leads_into_a_frame():
    """The error of an unencodable cell names column and position."""
    with pytest.raises(EncodingError, match=r"^value\['v'\]\['col'\]\[1\]: .*object"):
        encode({"v": pd.DataFrame({"col": [1, object()]})})


POLARS = pl.DataFrame(
    {
        "i": [1, None, 3],
        "f": [0.1, math.nan, -0.0],
        "s": ["a", None, "ü"],
        "b": [b"x", None, b"\0"],
        "d": [date(2024, 1, 1), None, None],
        "l": [[1], None, []],
        "st": [{"a": 1, "b": "x"}, None, {"a": None, "b": None}],
    }
).with_columns(
    c=pl.Series(["u", "v", None], dtype=pl.Categorical),
    e=pl.Series(["u", "v", None], dtype=pl.Enum(["v", "u"])),
    t=pl.Series([0, 1, None], dtype=pl.Datetime("ns", "Europe/Berlin")),
    du=pl.Series([0, 1, None], dtype=pl.Duration("ms")),
    de=pl.Series([Decimal("1.10"), None, None], dtype=pl.Decimal(10, 2)),
    a=pl.Series([[1, 2], [3, 4], None], dtype=pl.Array(pl.Int8, 2)),
    u8=pl.Series([1, 2, 255], dtype=pl.UInt8),
    n=pl.Series([None, None, None]),
)


@pytest.mark.parametrize(
    "frame", [POLARS, POLARS.head(0), pl.DataFrame(), POLARS[::-1]], ids=["all", "empty", "none", "slice"]
)
def test_polars_frames_come_back(frame):
    """A polars frame of every dtype comes back with equal schema and values, and is not changed."""
    before = frame.clone()
    back = loads(dumps([frame]))[0]
    assert back.schema == frame.schema
    assert_polars_equal(back, frame, check_exact=True)
    assert_polars_equal(frame, before, check_exact=True)


def test_polars_series_come_back():
    """A polars series comes back with name and dtype."""
    for name in POLARS.columns:
        assert_polars_series_equal(loads(dumps(POLARS[name])), POLARS[name], check_exact=True)


def frame(**changes):
    """A small frame as JSON, with parts replaced."""
    return {TAG: "pandas.DataFrame", "value": {**encode(pd.DataFrame({"a": [1, 2]}))["value"], **changes}}


def series(kind, **parts):
    """A small series as JSON, with such a column."""
    stored = encode(pd.Series([1, 2]))
    stored["value"]["values"] = {"kind": kind, **parts}
    return stored


def raw(value):
    """An array as JSON without its tag."""
    return encode(np.array(value))["value"]


MULTI = encode(pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))["value"]


@pytest.mark.parametrize(
    "stored",
    [
        frame(data=[]),
        frame(data=None),
        frame(data=[1]),
        frame(index=None),
        frame(index={"range": [0, 3, 1], "name": None}),
        frame(index={"range": [0, 3, 0], "name": None}),
        frame(index={"range": [0, 10**30, 1], "name": None}),
        frame(index={"range": [0, 2, 1], "name": []}),
        frame(columns={"range": [0, 10**12, 1], "name": None}),
        frame(columns={**MULTI, "codes": [raw([5, 5]), raw([0, 0])]}),
        frame(columns={**MULTI, "codes": [encode(np.array([5])), encode(np.array([0]))]}),
        frame(columns={**MULTI, "codes": [encode(np.array(["x"])), encode(np.array([0]))]}),
        frame(columns={**MULTI, "levels": []}),
        frame(attrs=[1]),
        frame(extra=1),
        series("numpy"),
        series("numpy", array=raw([[1, 2], [3, 4]])),
        series("numpy", array=raw([1, 2, 3])),
        series("masked", values=raw([1, 2]), mask=raw([True])),
        series("masked", values=raw([1, 2]), mask=raw([1, 0])),
        series("masked", values=raw(["a", "b"]), mask=raw([True, False])),
        series("datetimetz", unit="ns", zone="Europe/Berlin", values=raw([1, 2])),
        series("datetimetz", unit="D", zone=encode(UTC), values=raw([1, 2])),
        series("datetimetz", unit="ns", zone=encode(UTC), values=raw([1.0, 2.0])),
        series("string", storage="os", na=encode(pd.NA), items=["a", "b"]),
        series("string", storage="python", na=None, items=["a", "b"]),
        series("string", storage="python", na=encode(pd.NA), items=["a", 1]),
        series("categorical", codes=raw([0, 9]), categories=encode(pd.Index(["a"]))["value"], ordered=False),
        series("categorical", codes=raw([0, 0]), categories=encode(pd.Index(["a", "a"]))["value"], ordered=False),
        series("categorical", codes=raw([0.0, 0.0]), categories=encode(pd.Index(["a"]))["value"], ordered=False),
        series("period", freq="evil", values=raw([1, 2])),
        series("period", freq="M", values=raw(["a", "b"])),
        series("interval", left=encode(pd.Index([2, 3]))["value"], right=encode(pd.Index([1]))["value"], closed="left"),
        series(
            "interval", left=encode(pd.Index([2, 3]))["value"], right=encode(pd.Index([4, 5]))["value"], closed="evil"
        ),
        series(
            "sparse",
            values=raw([1.0]),
            positions=encode(np.array([9], "i4"))["value"],
            length=2,
            fill=0.0,
            blocks=False,
        ),
        series(
            "sparse",
            values=raw([1.0]),
            positions=encode(np.array([-1], "i4"))["value"],
            length=2,
            fill=0.0,
            blocks=False,
        ),
        series(
            "sparse",
            values=raw([1.0]),
            positions=encode(np.array([0], "i4"))["value"],
            length=10**15,
            fill=0.0,
            blocks=False,
        ),
        series(
            "sparse", values=raw([1.0]), positions=encode(np.array([], "i4"))["value"], length=2, fill=0.0, blocks=False
        ),
        series("arrow", ipc="AAAA"),
        series("arrow", ipc=""),
        {TAG: "pandas.Index", "value": {"values": {"kind": "numpy", "array": raw([1])}, "name": None, "freq": "D"}},
        {
            TAG: "pandas.Index",
            "value": {"values": {"kind": "numpy", "array": raw(TIMES.values)}, "name": None, "freq": "D"},
        },
        {
            TAG: "pandas.Index",
            "value": {"values": {"kind": "numpy", "array": raw(TIMES.values)}, "name": None, "freq": "evil"},
        },
        {TAG: "pandas.array", "value": {"kind": "numpy", "array": raw([1])}},
        {TAG: "pandas.Timestamp", "value": {"value": -(2**63), "unit": "ns", "zone": None, "fold": 0}},
        {TAG: "pandas.Timestamp", "value": {"value": 2**63, "unit": "ns", "zone": None, "fold": 0}},
        {TAG: "pandas.Timestamp", "value": {"value": 0, "unit": "ns", "zone": None, "fold": 7}},
        {TAG: "pandas.Timestamp", "value": {"value": 0, "unit": "ns", "zone": "UTC", "fold": 0}},
        {TAG: "pandas.Timedelta", "value": {"value": 0, "unit": "evil"}},
        {TAG: "pandas.Period", "value": {"ordinal": 2**70, "freq": "M"}},
        {TAG: "pandas.Period", "value": {"ordinal": 0, "freq": "evil"}},
        {TAG: "pandas.Interval", "value": {"left": 2, "right": 1, "closed": "left"}},
        {TAG: "pandas.NaT", "value": 1},
        {TAG: "polars.DataFrame", "value": "AAAA"},
        {TAG: "polars.DataFrame", "value": ""},
        {TAG: "polars.Series", "value": encode(POLARS)["value"]},
        {TAG: "polars.DataFrame", "value": encode(POLARS)["value"][:-400]},
    ],
    ids=lambda stored: str(stored["value"])[-60:],
)
def test_hostile_frames_are_encoding_errors(stored):
    """JSON that no frame is written as is an error that says so, not a frame and not another exception."""
    with pytest.raises(EncodingError):
        decode(stored)


def test_an_unknown_kind_of_column_is_kept():
    """A frame with a column of a kind from the future stays opaque and is written back unchanged."""
    stored = series("from_the_future", whatever=1)
    kept = decode(stored)
    assert isinstance(kept, Opaque)
    assert encode(kept) == stored


def pytz_times():
    """Times in zones of pytz, where that is installed (pandas before version 3 brings it); a fixed offset elsewhere."""
    if importlib.util.find_spec("pytz") is None:
        return [pd.Timestamp("2024-10-27 00:30", tz=timezone(timedelta(hours=1)))]
    pytz = importlib.import_module("pytz")
    zones = [pytz.utc, pytz.timezone("Europe/Berlin"), pytz.FixedOffset(90), pytz.timezone("Etc/GMT+3")]
    return [pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert(zone) for zone in zones]


@pytest.mark.parametrize("moment", pytz_times(), ids=lambda moment: str(moment.tz))
def test_zones_of_other_libraries_come_back(moment):
    """A time, a Python datetime and a column in a zone of pytz come back in the same zone, at the same moment."""
    assert same(loads(dumps(moment)), moment)
    assert same(loads(dumps(moment.to_pydatetime())), moment.to_pydatetime())
    series = pd.Series([moment, pd.NaT, moment + pd.Timedelta(hours=1)])
    assert_same(loads(dumps(series)), series)
