from __future__ import annotations

import io
import tracemalloc
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.feather import FEATHER
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, FEATHER)
there_and_back = partial(dumping.there_and_back, FEATHER)

UNITS = ("s", "ms", "us", "ns")
COLUMNS = {
    "float": np.array([1.5, np.nan, -0.0]),
    "float32": np.array([1, 2, np.inf], "f4"),
    "int8": np.array([1, -2, 3], "i1"),
    "uint64": np.array([2**64 - 1, 0, 1], "u8"),
    "bool": np.array([True, False, True]),
    "str": ["a", None, "é"],
    "object text": pd.Series(["a", None, ""], dtype=object),
    "string NA": pd.array(["a", None, "é"], dtype=pd.StringDtype("pyarrow", na_value=pd.NA)),
    "string python": pd.array(["a", None, "é"], dtype=pd.StringDtype("python")),
    "Int8": pd.array([1, None, 3], dtype="Int8"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "category": pd.Categorical(["b", "a", None], categories=["unused", "b", "a"], ordered=True),
    "category of int32": pd.Categorical(np.array([7, 3, 7], "i4"), categories=np.array([7, 3, 1], "i4")),
    "arrow lists": pd.array([[1], None, [2, None]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    **{f"datetime {unit}": np.array(["2020-01-01", "NaT", "1950-01-01T01:02:03"], f"M8[{unit}]") for unit in UNITS},
    **{f"timedelta {unit}": np.array([1, 2, -5], f"m8[{unit}]") for unit in UNITS},
    **{
        f"zoned {unit}": pd.Series(np.array(["2020-01-01", "2021-07-01", "1950-01-01"], f"M8[{unit}]"))
        .dt.tz_localize("UTC")
        .dt.tz_convert("Europe/Berlin")
        for unit in UNITS
    },
}
POLARS = {
    "ints": pl.Series([1, None, 3], dtype=pl.Int16),
    "floats": pl.Series([1.5, None, float("nan")]),
    "text": ["short", None, "more than twelve bytes long"],
    "bool": [True, None, False],
    "time": pl.Series([1, None, 3], dtype=pl.Datetime("us", "Europe/Berlin")),
    "category": pl.Series(["b", None, "a"], dtype=pl.Categorical()),
    "enum": pl.Series(["b", None, "a"], dtype=pl.Enum(["b", "z", "a"])),
    "big": pl.Series([2**100, None, -1], dtype=pl.Int128),
    "lists": [["a"], None, ["b", None]],
    "struct": [{"a": 1, "b": "x"}, None, {"a": None, "b": None}],
    "nothing": [None] * 3,
}
ARROW = pa.table(
    {
        "text": ["a", None, "é"],
        "views": pa.array(["a", None, "more than twelve bytes long"], pa.string_view()),
        "floats": [1.5, None, -0.0],
        "seconds": pa.array([1, None, 3], pa.timestamp("s")),
        "words": pa.array(["b", None, "a"], pa.dictionary(pa.int8(), pa.string())),
        "lists": [[1], None, []],
        "nothing": pa.nulls(3),
    }
).replace_schema_metadata({"owner": "me"})


def same(left, right):
    """Equal in type and all of the content that the library can tell apart."""
    if type(left) is not type(right):
        return False
    if isinstance(left, pd.DataFrame):
        try:
            pd.testing.assert_frame_equal(left, right, check_exact=True, check_freq=True, check_flags=True)
        except AssertionError:
            return False
        return True
    if isinstance(left, pl.DataFrame):
        return left.schema == right.schema and left.equals(right, null_equal=True)
    return left.schema.equals(right.schema, check_metadata=True) and left.equals(right)


def lies_in(memory, address):
    """Whether an address is one of this memory."""
    start = pa.py_buffer(memory).address
    return start <= address < start + len(memory)


class TestContractWithPandas(SerializerContract):
    def serializer(self):
        return FEATHER

    def values(self):
        odd = pd.DataFrame({"v": range(4)}, index=pd.MultiIndex.from_product([["a", "b"], [1, 2]])).loc[["b"]]
        return [pd.DataFrame(COLUMNS), pd.DataFrame(), pd.DataFrame([[1, 2]], columns=["a", "a"], index=["x"]), odd]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [
            pd.DataFrame({"x": pd.period_range("2020", periods=3, freq="M")}),
            pd.DataFrame({"x": pd.Series([1, "a", None], dtype=object)}),
            pd.DataFrame({"x": np.array([1j])}),
            pd.Series([1]),
            [1],
        ]

    def large(self):
        return pd.DataFrame({"x": np.random.default_rng(0).normal(size=3_000_000), "b": True})


class TestContractWithPolars(SerializerContract):
    def serializer(self):
        return FEATHER

    def values(self):
        return [pl.DataFrame(POLARS), pl.DataFrame(), pl.DataFrame({"": [1], "a.b": [2.0]})]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [pl.DataFrame({"x": [object()]}), pl.DataFrame(height=3), pl.Series([1])]

    def large(self):
        return pl.DataFrame({"x": np.random.default_rng(0).normal(size=3_000_000)})


class TestContractWithArrow(SerializerContract):
    def serializer(self):
        return FEATHER

    def values(self):
        return [ARROW, pa.table({}), pa.table([[1], [2]], names=["a", "a"]), pa.concat_tables([ARROW, ARROW])]

    def same(self, left, right):
        return same(left, right)

    def copy(self, value):
        return value  # tables never change

    def refused(self):
        return [pa.table({"x": pa.nulls(2, pa.uuid())}), pa.record_batch({"x": [1]})]

    def large(self):
        return pa.table({"x": np.random.default_rng(0).normal(size=3_000_000)})


@pytest.mark.parametrize("name", COLUMNS)
def test_every_kind_of_pandas_column_comes_back(name):
    """Accepted where the type alone can tell, and equal in dtype, values and missing values, also sliced and as row labels."""
    frame = pd.DataFrame({name: COLUMNS[name]})
    assert FEATHER.accepts(frame) == (name != "object text")
    for part in (frame, frame.iloc[:0], frame.iloc[::-1], frame.iloc[1:]):
        assert same(there_and_back(part), part)
    if name != "arrow lists":
        labels = pd.DataFrame({"x": [1, 2, 3]}, index=pd.Index(COLUMNS[name], name="k"))
        assert same(there_and_back(labels), labels)


@pytest.mark.parametrize("name", POLARS)
def test_every_kind_of_polars_column_comes_back(name):
    """Accepted, and equal in type and values, also without rows and in several chunks."""
    frame = pl.DataFrame({name: POLARS[name]})
    assert FEATHER.accepts(frame)
    for part in (frame, frame.clear(), pl.concat([frame, frame], rechunk=False), frame[::-1]):
        assert same(there_and_back(part), part)


def test_arrow_columns_are_views_of_the_memory():
    """Loading an arrow table allocates nothing for its columns: every buffer lies in the given memory."""
    data, details = dump(ARROW.select(["text", "floats", "lists", "views"]))
    loaded = FEATHER.load(data, format=1, details=details)
    buffers = [buffer for column in loaded.columns for buffer in column.chunk(0).buffers() if buffer is not None]
    assert len(buffers) >= 9
    assert all(lies_in(data, buffer.address) for buffer in buffers)


def test_polars_columns_are_views_of_the_memory():
    """Loading a polars frame copies neither numbers nor the bytes of long text."""
    numbers, text = list(range(1000)), ["more than twelve bytes long"] * 1000
    data, details = dump(pl.DataFrame({"n": numbers, "t": text}))
    loaded = FEATHER.load(data, format=1, details=details)
    assert lies_in(data, loaded["n"].to_numpy().ctypes.data)
    assert loaded["t"].to_list() == text


@pytest.mark.parametrize("name", ["float", "int8", "uint64", "timedelta ns", "timedelta us"])
def test_pandas_numbers_are_writable_views_of_the_memory(name):
    """A column of numbers or times, without missing times, is a view into the given memory that may be written to."""
    frame = pd.DataFrame({name: COLUMNS[name], "other": [1, 2, 3]})
    data, details = dump(frame)
    loaded = FEATHER.load(data, format=1, details=details)
    values = loaded[name].array._ndarray
    assert lies_in(data, values.ctypes.data)
    loaded.loc[0, "other"] = 9
    assert loaded["other"].tolist() == [9, 2, 3]


def test_pandas_text_is_a_view_of_the_memory():
    """Text that pandas holds as arrow does is not copied either."""
    data, details = dump(pd.DataFrame({"t": ["a", "b", None]}))
    loaded = FEATHER.load(data, format=1, details=details)
    assert all(
        lies_in(data, buffer.address)
        for chunk in loaded["t"].array._pa_array.chunks
        for buffer in chunk.buffers()
        if buffer
    )


def test_the_memory_is_kept_alive_and_may_be_a_read_only_map():
    """What was loaded from memory that nobody else holds stays what it is; read-only memory gives read-only columns."""
    frame = pd.DataFrame({"x": np.arange(1000.0)})
    data, details = dump(frame)
    loaded = FEATHER.load(memoryview(bytes(data)), format=1, details=details)
    del data
    assert same(loaded, frame)
    assert not loaded["x"].array._ndarray.flags.writeable


def test_other_tools_read_the_file():
    """Pandas, polars and arrow read the file themselves and see the same values."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [True, False]})
    data = bytes(dump(frame)[0])
    pd.testing.assert_frame_equal(pd.read_feather(io.BytesIO(data)), frame)
    assert pl.read_ipc(io.BytesIO(data), use_pyarrow=False).rows() == [(1, "x", True), (2, None, False)]
    assert pa.ipc.open_file(data).read_all().num_rows == 2


def test_writing_numbers_takes_little_memory():
    """A frame of 128 MB of numbers and flags is written with less than half of that beside it, in arrow's memory and Python's."""

    class Nowhere:
        def write(self, data):
            return len(data)

    frame = pd.DataFrame({"x": np.ones(15_000_000), "flag": np.ones(15_000_000, bool)})
    before = pa.total_allocated_bytes()
    peaks = []

    class Watching(Nowhere):
        def write(self, data):
            peaks.append(pa.total_allocated_bytes() - before)
            return super().write(data)

    tracemalloc.start()
    FEATHER.dump(frame, Watching())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak + max(peaks) < 64_000_000


@pytest.mark.parametrize("how", ["zstd", "lz4"])
def test_compressed_batches_are_refused(how):
    """A file that could inflate is no file of ours: it is refused before anything is unpacked."""
    table = pa.table({"x": pa.array(np.zeros(1_000_000))}).replace_schema_metadata(ARROW.schema.metadata)
    stream = io.BytesIO()
    with pa.ipc.new_file(stream, table.schema, options=pa.ipc.IpcWriteOptions(compression=how)) as writer:
        writer.write_table(table)
    with pytest.raises(SerializationError, match="compressed"):
        FEATHER.load(bytearray(stream.getvalue()), format=1, details={})


def test_offsets_that_point_outside_are_refused():
    """Text whose offsets were changed is refused, never read from memory that is not the file's."""
    data, details = dump(pa.table({"t": pa.array(["abc", "defg", "hi"])}))
    place = data.index((0).to_bytes(4, "little") + (3).to_bytes(4, "little") + (7).to_bytes(4, "little"))
    for wrong in (2**31 - 1, -5, 1_000_000):
        broken = bytearray(data)
        broken[place + 4 : place + 8] = wrong.to_bytes(4, "little", signed=True)
        with pytest.raises(SerializationError):
            FEATHER.load(broken, format=1, details=details)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_frame_of_plain_columns_comes_back(data):
    """Frames of any numbers and text, of any length, come back equal."""
    rows = data.draw(st.integers(0, 20))
    frame = pd.DataFrame(
        {
            "i": data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows)),
            "f": data.draw(st.lists(st.floats(), min_size=rows, max_size=rows)),
            "t": pd.Series(data.draw(st.lists(st.none() | st.text(), min_size=rows, max_size=rows)), dtype="str"),
        }
    ).astype({"i": "int64", "f": "float64"})
    assert same(there_and_back(frame), frame)
