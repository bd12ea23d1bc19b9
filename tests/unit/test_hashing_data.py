"""What `simpleml.hashing` promises of arrays, frames, tables, sparse matrices and estimators."""

from __future__ import annotations

import datetime as dt
import pickle
import threading
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from simpleml.errors import HashingError
from simpleml.hashing import hash_value


def unlike(*values):
    """Whether every value has a hash of its own."""
    return len({hash_value(value) for value in values}) == len(values)


def alike(*values):
    """Whether all values have one hash."""
    return len({hash_value(value) for value in values}) == 1


def loaded(value):
    """Return what pickle reads back."""
    return pickle.loads(pickle.dumps(value))


# Arrays

dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.datetime64_dtypes(),
    hnp.unicode_string_dtypes(max_len=4),
    hnp.byte_string_dtypes(max_len=4),
    hnp.array_dtypes(),
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


@settings(max_examples=150, deadline=None)
@given(arrays)
def test_layout_of_an_array_does_not_count(array):
    """C and Fortran order, strides, byte order, copies, mapping and pickling leave an array's hash as it is."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype) if array.ndim else array
    if array.ndim:
        wide[..., ::2] = array
        wide = wide[..., ::2]
    swapped = array.astype(array.dtype.newbyteorder())
    assert alike(array, np.asfortranarray(array).reshape(array.shape), wide, swapped, loaded(array))
    assert hash_value(array) != hash_value(array[None])


@settings(max_examples=100, deadline=None)
@given(st.data(), hnp.arrays(st.sampled_from(["i4", "f8", "U3", "?"]), hnp.array_shapes(max_side=4)))
def test_any_cell_of_an_array_counts(data, array):
    """Changing one cell, wherever it is, changes the hash."""
    where = data.draw(st.tuples(*[st.integers(0, side - 1) for side in array.shape]))
    changed = array.copy()
    changed[where] = {"i": 77, "f": 77, "U": "~~", "b": not array[where]}[array.dtype.kind]
    same = bool(changed[where] == array[where])
    assert (hash_value(changed) == hash_value(array)) == same


def test_dtype_and_shape_of_an_array_count():
    """The same zeros in another dtype, shape, unit or width are another value; so are a scalar and an empty array."""
    zeros = [
        np.zeros(4, dtype)
        for dtype in [
            "?",
            "i1",
            "i2",
            "i4",
            "i8",
            "u1",
            "u8",
            "f2",
            "f4",
            "f8",
            "c8",
            "c16",
            "g",
            "U1",
            "U2",
            "S1",
            "M8[s]",
            "M8[ns]",
            "m8[s]",
        ]
    ]
    others = [np.zeros(2), np.zeros((2, 2)), np.zeros((4, 1)), np.zeros(()), np.float64(0), 0.0, [0.0] * 4]
    empty = [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0), np.zeros(0, "i8"), np.array(["", ""], "U1")]
    objects = [np.array([0, 0.0], dtype=object), np.array(["a", "b"], dtype=object), np.array(["ab", ""], dtype=object)]
    assert unlike(
        *zeros, *others, *empty, *objects, np.array(["a", "b"], np.dtypes.StringDType()), np.array(["a", "b"])
    )


def test_numpy_scalars_are_not_python_numbers():
    """`np.int64(1)`, `np.int32(1)`, `1`, `1.0`, `True`, `np.True_` and `np.array(1)` are seven values."""
    assert unlike(np.int64(1), np.int32(1), 1, 1.0, True, np.True_, np.array(1), np.float64(1), np.str_("1"), "1")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "c8", "c16"])
def test_nans_of_an_array_are_alike_and_zeros_are_not(dtype):
    """NaNs of any sign hash alike in every float type, in small and large arrays; the sign of zero counts."""
    for size in (3, 200_000):
        array = np.ones(size, dtype)
        array[1] = np.nan
        other = array.copy()
        other.real[1] = -np.float64(np.nan)
        assert alike(array, other, np.concatenate([other, other])[size:])
        negative = np.zeros(size, dtype)
        positive = negative.copy()
        negative.real[2] = -0.0
        assert unlike(array, positive, negative)


def test_nan_payloads_do_not_count():
    """A NaN with other bits is the same NaN, in a row, a column and a field."""
    odd = np.array([1.0, np.nan, 3.0])
    odd.view("u8")[1] = 0xFFF8_0000_0000_0123
    plain = np.array([1.0, np.nan, 3.0])
    assert odd.tobytes() != plain.tobytes()
    assert alike(odd, plain)
    assert alike(pd.DataFrame({"a": odd}), pd.DataFrame({"a": plain}))
    assert alike(pa.array(odd, from_pandas=False), pa.array(plain, from_pandas=False))
    fields = np.zeros((2, 3), [("x", "f8"), ("n", "i4")])
    fields["x"] = odd, plain
    assert alike(fields[0], fields[1])


def test_large_scattered_arrays_are_hashed_by_value():
    """An array of many megabytes in Fortran order or with strides hashes as its compact copy."""
    array = np.arange(3_000_000, dtype="f8").reshape(3000, 1000)
    assert alike(array, np.asfortranarray(array))
    assert alike(array[::2, ::3], array[::2, ::3].copy())
    array[17, 3] = np.nan
    assert alike(array, np.asfortranarray(array))


@pytest.mark.parametrize("align", [True, False])
def test_padding_between_fields_does_not_count(align):
    """Bytes between and after the fields of a record do not count; every field, name, type and place does."""
    dtype = np.dtype([("a", "i1"), ("b", "f8"), ("c", "S2")], align=align)
    clean, dirty = np.zeros(1000, dtype), np.empty(1000, dtype)
    dirty.view("u1")[:] = 7
    for name in dtype.names:
        dirty[name] = clean[name]
    assert alike(clean, dirty, loaded(dirty))
    hashes = {hash_value(clean)}
    for name in dtype.names:
        changed = clean.copy()
        changed[name][999] = b"x" if name == "c" else 1
        hashes.add(hash_value(changed))
        hashes.add(
            hash_value(clean[["a", "b", "c"]].astype([(n if n != name else "z", dtype[n]) for n in dtype.names]))
        )
    assert len(hashes) == 7


def test_records_of_objects_and_records_are_hashed_field_by_field():
    """Nested records, sub-arrays and object fields take part with every value."""
    dtype = np.dtype([("a", "i4", (2,)), ("b", [("c", "f8"), ("d", "O")])])
    one, other = np.zeros(2, dtype), np.zeros(2, dtype)
    other["b"]["d"][1] = "changed"
    assert alike(one, one.copy())
    assert unlike(one, other)


def test_masked_arrays_ignore_what_is_masked():
    """A masked value does not count; the mask, the fill value and each visible value do."""
    one, other = np.ma.array([1, 2, 3], mask=[0, 1, 0]), np.ma.array([1, 9, 3], mask=[0, 1, 0])
    assert alike(one, other, loaded(one))
    filled = np.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=5)
    assert unlike(
        one, filled, np.ma.array([1, 2, 3]), np.ma.array([1, 2, 4], mask=[0, 1, 0]), np.array([1, 2, 3]), np.ma.masked
    )


def test_random_states_are_what_they_will_draw():
    """Generators and RandomStates hash alike from one seed, after pickling, and no more after a draw or a spawn."""
    for make in (np.random.default_rng, np.random.RandomState):
        one = make(3)
        assert alike(one, make(3), loaded(one))
        before = hash_value(one)
        one.random(1)
        assert hash_value(one) != before
    spawning = np.random.default_rng(3)
    spawning.spawn(1)
    assert unlike(spawning, np.random.default_rng(3), np.random.default_rng(4), np.random.SeedSequence(3))


def test_array_subclasses_differ_from_arrays(tmp_path):
    """An instance of a subclass counts its type and attributes; an array mapped from a file is what was written."""

    class Labelled(np.ndarray):
        label = ""

    array = np.arange(4.0).reshape(2, 2)
    one, other = array.view(Labelled), array.view(Labelled)
    other.label = "x"
    assert unlike(array, one, other)
    np.save(tmp_path / "a.npy", array)
    assert alike(array, np.load(tmp_path / "a.npy", mmap_mode="r"))


# pandas


def frame() -> pd.DataFrame:
    """Return one column of every kind, without a repetition in any of them."""
    return pd.DataFrame(
        {
            "int": np.array([1, 2, 3]),
            "float": [1.5, np.nan, 3.0],
            "bool": [True, False, True],
            "str": pd.Series(["a", None, "ü"], dtype="str"),
            "string": pd.array(["a", None, "ü"], dtype="string"),
            "object": pd.Series([1, "a", {2: [3]}], dtype=object),
            "category": pd.Categorical(["x", "y", "x"]),
            "ordered": pd.Categorical(["x", "y", "x"], ordered=True),
            "time": pd.date_range("2024", periods=3),
            "zoned": pd.date_range("2024", periods=3, tz="Europe/Berlin"),
            "delta": pd.to_timedelta([1, 2, 3], unit="s"),
            "period": pd.period_range("2024-01", periods=3, freq="M"),
            "interval": pd.interval_range(0, 3),
            "Int64": pd.array([1, None, 3], dtype="Int64"),
            "Float64": pd.array([1.5, None, 3], dtype="Float64"),
            "boolean": pd.array([True, None, False], dtype="boolean"),
            "sparse": pd.arrays.SparseArray([0.0, 1.0, 2.0]),
            "arrow": pd.array([1, None, 3], dtype=pd.ArrowDtype(pa.int64())),
            "arrow_str": pd.array(["a", None, "b"], dtype=pd.ArrowDtype(pa.string())),
        }
    )


COLUMNS = list(frame().columns)


def test_how_a_frame_came_about_does_not_count():
    """Copies, slices of longer frames, pickles, other blocks, attrs and a written-out range leave the hash as it is."""
    one = frame()
    pieces = pd.concat([one, one]).iloc[3:]
    rebuilt = pd.DataFrame({name: one[name] for name in one})
    marked = one.copy()
    marked.attrs["note"] = "x"
    assert alike(one, one.copy(), loaded(one), pieces, rebuilt, marked, one.set_axis(np.arange(3)))


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_counts(name):
    """Its values' order, its name, its place, its absence, and its dtype as object each change the frame's hash."""
    one = frame()
    swapped = one.copy()
    swapped[name] = one[name].iloc[[1, 0, 2]].set_axis(one.index)
    moved = one[[name, *[other for other in COLUMNS if other != name]]]
    variants = [one, swapped, one.rename(columns={name: "new"}), one.drop(columns=name)]
    if name != COLUMNS[0]:
        variants.append(moved)
    if name != "object":
        variants.append(one.astype({name: object}))
    assert unlike(*variants)
    assert alike(one[name], loaded(one[name]), pd.concat([one, one])[name].iloc[3:])


def test_rows_labels_and_names_of_a_frame_count():
    """Row order, one cell, the index's values, dtype and name, and the name of the columns each count."""
    one = frame()
    cell = one.copy()
    cell.loc[2, "float"] = 3.5
    assert unlike(
        one,
        cell,
        one.iloc[::-1],
        one.iloc[:2],
        one.iloc[:0],
        one.set_axis([0, 1, 3]),
        one.set_axis([0.0, 1.0, 2.0]),
        one.rename_axis("row"),
        one.rename_axis(columns="column"),
        one.iloc[::-1].reset_index(drop=True),
        one["int"],
        one[["int"]],
        one["int"].index,
    )


def test_columns_of_one_name_count_by_place():
    """A frame with two columns of one name is hashed, and swapping them is another frame."""
    one = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    assert unlike(one, one.iloc[:, ::-1])
    assert alike(one, one.copy())


def test_dtypes_of_equal_values_count():
    """The same numbers, texts, categories or times in another dtype, unit, zone or category order are another series."""
    times = pd.Series(pd.date_range("2024", periods=2, unit="us"))
    assert unlike(
        *[
            pd.Series([0, 1], dtype=dtype)
            for dtype in ("int64", "int32", "float64", "Int64", "object", "int64[pyarrow]")
        ]
    )
    assert unlike(*[pd.Series(["a", "b"], dtype=dtype) for dtype in ("str", "string", "object", "category")])
    zoned = times.dt.tz_localize("UTC")
    assert unlike(times, times.astype("datetime64[ns]"), zoned, zoned.dt.tz_convert("Europe/Berlin"))
    categories = [["x", "y"], ["y", "x"], ["x", "y", "z"]]
    assert unlike(
        *[pd.Categorical(["x", "y"], categories=each) for each in categories], pd.Categorical(["x", "y"], ordered=True)
    )


def test_what_holds_strings_does_not_count():
    """Strings held by Arrow and by Python hash alike, with and without missing ones; empty and missing differ."""
    for na in (np.nan, pd.NA):
        arrow, python = (pd.StringDtype(storage, na_value=na) for storage in ("pyarrow", "python"))
        for items in (["a", "", "üñ"], ["a", None, "b"], [], [None]):
            assert alike(pd.Series(items, dtype=arrow), pd.Series(items, dtype=python))
        assert unlike(*[pd.Series(items, dtype=arrow) for items in (["a", None], ["a", ""], ["", "a"], ["a"])])


def test_values_under_nulls_do_not_count():
    """What lies behind a missing value of a nullable array does not count."""
    one = pd.arrays.IntegerArray(np.array([1, 2]), np.array([False, True]))
    other = pd.arrays.IntegerArray(np.array([1, 9]), np.array([False, True]))
    assert alike(one, other)
    assert unlike(one, pd.arrays.IntegerArray(np.array([1, 2]), np.array([False, False])))


def test_a_range_is_its_integers():
    """A RangeIndex and the same integers are one index; constant, broken and overflowing rows are themselves."""
    assert alike(pd.RangeIndex(3), pd.Index([0, 1, 2]))
    assert alike(pd.RangeIndex(4, 0, -2), pd.Index([4, 2]))
    assert alike(pd.RangeIndex(0), pd.Index([], dtype="int64"), pd.RangeIndex(5, 5))
    assert alike(pd.RangeIndex(7, 8), pd.Index([7]))
    far = np.arange(200_000)
    far[150_000] += 1
    edges = [[5, 5], [5, 5, 5], [0, 1, 3], [2**62, -(2**62)], [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1, -(2**63)]]
    assert unlike(pd.RangeIndex(200_000), pd.Index(far), *[pd.Index(edge) for edge in edges])


def test_a_multiindex_is_its_labels():
    """Unused levels do not count; order, labels and level names do."""
    index = pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["x", "y"])
    assert alike(index[:2], index[:2].remove_unused_levels(), loaded(index[:2]))
    assert unlike(index, index[::-1], index.swaplevel(), index.rename(["x", "z"]), index[:2])


def test_pandas_scalars_have_hashes():
    """Timestamps, durations, periods, intervals, `NA` and `NaT` are values of their own."""
    stamp = pd.Timestamp("2024-01-01")
    scalars = [
        stamp,
        stamp.tz_localize("UTC"),
        stamp.tz_localize("Europe/Berlin"),
        dt.datetime(2024, 1, 1),
        pd.Timedelta("1s"),
        dt.timedelta(seconds=1),
        pd.Period("2024-01"),
        pd.Interval(0, 1),
        pd.NA,
        pd.NaT,
        None,
        pd.CategoricalDtype(["a"]),
        pd.offsets.MonthEnd(),
    ]
    assert unlike(*scalars)
    assert all(alike(scalar, loaded(scalar)) for scalar in scalars)


def test_a_frame_names_the_cell_that_cannot_be_hashed():
    """The error names column and row of an object that has no hash."""
    with pytest.raises(HashingError, match=r"data\['b'\]\[1\]: a lock"):
        hash_value(pd.DataFrame({"a": [1, 2], "b": [1, threading.Lock()]}), name="data")


def test_a_subclass_of_a_frame_counts_its_metadata():
    """A subclass hashes its type, and the attributes that it declares in `_metadata`."""

    class Labelled(pd.DataFrame):
        _metadata = ["label"]

    one, other = Labelled({"a": [1]}), Labelled({"a": [1]})
    one.label, other.label = "x", "y"
    assert unlike(one, other, pd.DataFrame({"a": [1]}))


# Arrow and polars


def table() -> pa.Table:
    """Return one column of every Arrow type that has a layout of its own."""
    return pa.table(
        {
            "int": [1, None, 3],
            "float": [1.5, None, float("nan")],
            "bool": [True, None, False],
            "string": ["a", None, "ü"],
            "view": pa.array(["a", None, "a text too long for a view"], pa.string_view()),
            "binary": [b"x", None, b"yz"],
            "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
            "dictionary": pa.array(["a", "b", "c"]).dictionary_encode(),
            "list": [[1], None, [2, 3]],
            "pairs": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2)),
            "struct": [{"q": 1, "r": "x"}, None, {"q": 3, "r": None}],
            "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
            "time": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
            "date": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)],
            "decimal": [Decimal("1.50"), None, Decimal("2.25")],
            "interval": pa.array([None, (1, 2, 3), (4, 5, 6)], pa.month_day_nano_interval()),
        }
    )


ARROW = table().column_names


def test_how_a_table_is_cut_does_not_count():
    """Chunks, slices, batches, schema metadata and dictionaries of other chunks leave a table's hash as it is."""
    one = table()
    twice = pa.concat_tables([one, one])
    assert alike(one, twice.slice(3), twice.slice(0, 3), one.to_batches()[0], one.replace_schema_metadata({"a": "b"}))
    assert alike(one, pa.concat_tables([one.slice(0, 1), one.slice(1)]), loaded(one))
    assert alike(twice, twice.combine_chunks())
    wide = one.set_column(3, "string", one["string"].cast(pa.large_string()))
    assert alike(one, wide)


@pytest.mark.parametrize("name", ARROW)
def test_every_arrow_column_counts(name):
    """Order, name and absence of each column change the table's hash, and a slice of it hashes as its copy."""
    one = table()
    place = ARROW.index(name)
    column = one[name]
    reordered = pa.chunked_array([pa.concat_arrays([column.chunk(0).slice(at, 1) for at in (1, 0, 2)])])
    renamed = one.rename_columns(["new" if other == name else other for other in ARROW])
    assert unlike(one, one.set_column(place, name, reordered), renamed, one.drop_columns([name]), one.slice(0, 2))
    twice = pa.chunked_array([column.chunk(0), column.chunk(0)])
    assert alike(
        twice.slice(2, 3), pa.chunked_array([pa.concat_arrays([column.chunk(0).slice(2), column.chunk(0).slice(0, 2)])])
    )


def test_bytes_under_arrow_nulls_do_not_count():
    """Equal columns whose hidden bytes differ hash alike: numbers, texts and lists."""
    valid = pa.py_buffer(np.packbits([1, 0, 1], bitorder="little"))
    numbers = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, 99, 3]))])
    assert alike(numbers, pa.array([1, None, 3]))
    offsets = pa.py_buffer(np.array([0, 1, 3, 4], "i4"))
    texts = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(b"aXXc")])
    assert alike(texts, pa.array(["a", None, "c"]))
    lists = pa.Array.from_buffers(pa.list_(pa.int64()), 3, [valid, offsets], children=[pa.array([1, 8, 9, 2])])
    assert alike(lists, pa.array([[1], None, [2]]))
    assert unlike(pa.array([1, None]), pa.array([1, 0]), pa.array(["a", None]), pa.array(["a", ""]), pa.nulls(2))


def test_types_of_arrow_columns_count():
    """Equal values of another Arrow type are another column, also when there are none."""
    kinds = [
        pa.int64(),
        pa.int32(),
        pa.float64(),
        pa.string(),
        pa.binary(),
        pa.timestamp("us"),
        pa.timestamp("us", "UTC"),
    ]
    kinds += [
        pa.bool_(),
        pa.date32(),
        pa.list_(pa.int64()),
        pa.struct([("a", pa.int64())]),
        pa.null(),
        pa.decimal128(5, 2),
    ]
    assert unlike(*[pa.array([], kind) for kind in kinds])
    assert unlike(*[pa.array([None], kind) for kind in kinds])
    assert unlike(pa.array([1]), pa.scalar(1), [1], pa.int64(), pa.schema([("a", pa.int64())]))


def polars_frame() -> pl.DataFrame:
    """Return one column of every polars type that has a layout of its own."""
    return pl.DataFrame(
        {
            "int": [1, 2, None],
            "float": [1.5, float("nan"), None],
            "str": ["x", "ü", None],
            "category": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
            "enum": pl.Series(["u", "v", "u"], dtype=pl.Enum(["u", "v"])),
            "list": [[1], [2, 3], None],
            "struct": [{"q": 1}, {"q": 2}, {"q": None}],
            "time": [dt.datetime(2024, 1, day) for day in (1, 2, 3)],
            "delta": [dt.timedelta(day) for day in (1, 2, 3)],
            "big": pl.Series([1, 2, 2**100], dtype=pl.Int128),
            "object": pl.Series([Decimal(1), 1, "a"], dtype=pl.Object),
        }
    )


def test_polars_frames_are_their_rows_and_names():
    """Chunks do not count; every column's values, name, place and type do."""
    one = polars_frame()
    plain = one.drop("object")
    assert alike(one, one.clone())
    assert alike(plain, loaded(plain), pl.concat([plain, plain], rechunk=False)[3:])
    variants = [one, one[::-1], one[:2], one.select(reversed(one.columns)), one.to_dict(), plain.drop("big").to_arrow()]
    variants += [one.rename({name: "new"}) for name in one.columns]
    variants += [
        one.with_columns(pl.Series(name, one[name].to_list()[::-1], dtype=one[name].dtype))
        for name in ("int", "big", "str")
    ]
    variants += [one.with_columns(pl.col("int").cast(pl.Int32)), one.with_columns(pl.col("enum").cast(pl.String))]
    variants += [one.with_columns(pl.col("enum").cast(pl.Enum(["v", "u"])))]
    assert unlike(*variants)


def test_categories_of_polars_are_their_text():
    """A categorical hashes the same whatever was seen before it in the process."""
    first = hash_value(pl.Series(["b", "a"], dtype=pl.Categorical))
    pl.Series(["z", "a", "b"], dtype=pl.Categorical)
    assert hash_value(pl.Series(["b", "a"], dtype=pl.Categorical)) == first


def test_a_lazy_frame_is_refused():
    """A query is an error that says to collect it."""
    with pytest.raises(HashingError, match="collect"):
        hash_value(polars_frame().lazy())


# SciPy and scikit-learn


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_sparse_matrices_are_their_entries(form):
    """Order of entries, duplicates and index width do not count; value, place, shape, format, dtype and class do."""
    base = sp.coo_matrix(([1.0, 2.0, 3.0], ([0, 0, 1], [3, 1, 2])), shape=(4, 4))
    mixed = sp.coo_matrix(([2.0, 2.0, 1.0, 1.0], ([0, 1, 1, 0], [1, 2, 2, 3])), shape=(4, 4))
    one, other = base.asformat(form), mixed.asformat(form)
    assert alike(one, other, loaded(one), one.copy())
    changed = base.copy()
    changed.data[0] = 9
    array = sp.csr_array(base).asformat(form)
    wider = sp.coo_matrix(([1.0, 2.0, 3.0], ([0, 0, 1], [3, 1, 2])), shape=(4, 8)).asformat(form)
    next_format = base.asformat("csc" if form == "csr" else "csr")
    assert unlike(one, changed.asformat(form), one.T.asformat(form), one.astype("f4"), array, wider, next_format)


X, y = load_iris(return_X_y=True)
ESTIMATORS = {
    "logistic": lambda: LogisticRegression(C=0.5, max_iter=1000),
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0),
    "boosting, own scorer": lambda: HistGradientBoostingClassifier(
        max_iter=3, random_state=0, early_stopping=True, scoring=None
    ),
    "neighbors": lambda: KNeighborsClassifier(algorithm="kd_tree"),
    "birch": Birch,
    "pipeline": lambda: make_pipeline(StandardScaler(), FunctionTransformer(lambda z: z * 2), LogisticRegression()),
    "columns": lambda: ColumnTransformer([("scale", StandardScaler(), [0, 1])], remainder="passthrough"),
    "search": lambda: GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_is_its_parameters_and_fitted_state(name):
    """Unfitted, fitted and fitted on other rows differ; using it, and saving it, do not change it."""
    make = ESTIMATORS[name]
    fitted = make().fit(X, y)
    before = hash_value(fitted)
    assert unlike(make(), fitted, make().fit(X[::2], y[::2]))
    assert alike(make(), make())
    if hasattr(fitted, "predict"):
        fitted.predict(X)
    assert hash_value(fitted) == before
    if name not in {"pipeline", "search"}:  # a lambda cannot be pickled; a search holds the seconds it took
        assert alike(fitted, loaded(fitted))
        assert alike(fitted, make().fit(X, y))


def test_parameters_of_an_estimator_count_by_type():
    """One changed parameter, also deep in a pipeline or in type only, is another estimator."""
    assert unlike(*[LogisticRegression(C=c) for c in (1.0, 1, np.float64(1), 0.5)])
    assert unlike(*[make_pipeline(StandardScaler(with_mean=flag), LogisticRegression()) for flag in (True, False)])


def test_one_number_of_a_fitted_estimator_counts():
    """Changing one coefficient, or one threshold in one tree of a forest, changes the hash."""
    model = LogisticRegression(max_iter=1000).fit(X, y)
    before = hash_value(model)
    model.coef_[1, 2] = np.nextafter(model.coef_[1, 2], np.inf)
    assert hash_value(model) != before
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    before = hash_value(forest)
    forest.estimators_[2].tree_.threshold[0] += 1e-9
    assert hash_value(forest) != before


def test_addresses_in_an_estimator_do_not_count():
    """A vectorizer that remembers the address of its stop words hashes the same with an equal list."""
    texts = ["a word and another", "one more"]
    assert alike(*[CountVectorizer(stop_words=["and", "one"]).fit(texts) for _ in range(3)])
    assert unlike(CountVectorizer(stop_words=["and"]).fit(texts), CountVectorizer(stop_words=["one"]).fit(texts))
