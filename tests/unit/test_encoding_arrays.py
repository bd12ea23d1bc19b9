"""numpy values: every dtype, shape and byte order comes back exactly, without a pickle."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simpleml.encoding import Opaque, decode, dumps, encode, loads
from simpleml.errors import EncodingError
from tests.unit.test_encoding_oracle import Settings, same, values

TAG = "__simpleml__"

_TITLED = np.dtype(
    {"names": ["a", "b"], "formats": ["i4", "U2"], "titles": ["first", None], "offsets": [4, 12], "itemsize": 32}
)
_OBJECTS = np.zeros((2, 1), dtype=[("o", object, (2,)), ("f", ">f4"), ("n", [("m", object)])])
_OBJECTS["o"] = [[["x", (1,)]], [[None, np.float32(2)]]]
_OBJECTS["n"]["m"] = [[{"k": 1}], [math.nan]]
_MIXED = np.empty(7, dtype=object)
_MIXED[:] = [None, "x", 1, 1.0, True, b"", ()]
_NESTED = np.empty((2, 2), dtype=object)
for _i, _item in enumerate([[1, 2], np.arange(3), np.array(5), Settings(1)]):
    _NESTED[divmod(_i, 2)] = 0
    _NESTED.reshape(-1)[_i : _i + 1].fill(_item)

ARRAYS = [
    np.array(1.5), np.array([]), np.zeros((0, 3, 2), "i2"), np.arange(24).reshape(2, 3, 4), np.arange(6)[::-2], np.asfortranarray(np.eye(3)),
    np.arange(6).reshape(2, 3).T, np.broadcast_to(np.int8(3), (2, 2)), np.array([1, 2], ">i4"), np.array([1.5], ">f8"), np.array([True, False]),
    np.array([1j, -0.0]), np.array([1], "c8"), np.array(["a", "äöü🎉"]), np.array(["a"], ">U3"), np.array([b"a", b"bc"]), np.array(["", ""]),
    np.array(["2024-01-01", "NaT"], "M8[D]"), np.array([1, 2], "M8[25s]"), np.array([1], ">m8[us]"), np.array([1], "m8"), np.array([1], "f2"),
    np.array([1, 2], "longlong"), np.array([1], "ulonglong"), np.array([1, 2], "longdouble") / 3, np.array([1], "clongdouble"), np.array([1, 2]).astype(np.dtype("longdouble").newbyteorder(">")),
    np.array([b"\0\x01"], "V2"), np.array([(1, "a", [1, 2])], dtype=[("x", ">i4"), ("y", "U3"), ("z", "f4", (2,))]), np.zeros(3, _TITLED),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), np.zeros(2, [("deep", [("er", [("est", "?")])])]), _OBJECTS, _MIXED, _NESTED,
    np.array(["a", "", "üb\0x"], np.dtypes.StringDType()), np.array(["a", None], np.dtypes.StringDType(na_object=None)),
    np.array(["a", math.nan], np.dtypes.StringDType(na_object=math.nan, coerce=False)), np.array(None), np.zeros((1,) * 32), np.zeros((1,) * 64),
]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype}-{value.shape}"[:40])
def test_every_array_comes_back(value):
    """Each dtype, shape, stride and byte order comes back as an equal writeable array in C order."""
    before = copy.deepcopy(value)
    back = loads(dumps({"v": [value]}))["v"][0]
    assert same(back, value)
    assert same(value, before)
    assert back.flags.writeable
    assert back.flags.c_contiguous


def test_padding_is_not_stored():
    """Bytes between fields and after extended precision are stored as zeros: equal arrays give equal text."""
    padded = np.dtype([("a", "i1"), ("b", "f8"), ("c", "longdouble", (2,))], align=True)
    texts = set()
    for fill in (0, 255):
        value = np.frombuffer(bytes([fill]) * padded.itemsize * 2, dtype=padded).copy()
        value["a"], value["b"], value["c"] = 1, 2, 3
        texts.add(dumps(value))
    assert len(texts) == 1


SCALARS = [
    np.float64(0.1), np.float64(-0.0), np.float64("nan"), np.float64("inf"), np.float32(0.1), np.float16(1), np.float32("-inf"), np.int8(-1),
    np.uint64(2**64 - 1), np.int64(-(2**63)), np.longlong(5), np.ulonglong(2**64 - 1), np.bool_(True), np.complex64(1j), np.complex128(complex(math.nan, -0.0)),
    np.longdouble(1) / 3, np.str_("x"), np.str_("a\0"), np.str_("\ud800"), np.str_(""), np.bytes_(b"x\0"), np.datetime64("2024-01-01T01:02:03.000001"),
    np.datetime64("NaT", "ns"), np.datetime64(3, "25s"), np.timedelta64(-5, "D"), np.timedelta64(5), np.void(b"abc"), _OBJECTS[0, 0], np.zeros((), _TITLED)[()],
    np.frombuffer(b"\x01\x00\xa0\xff", "<f4")[0], np.frombuffer(b"\x01\0\0\0\0\0\xf0\x7f", "<f8")[0], np.frombuffer(b"\x01\xfe", "<f2")[0],
]  # fmt: skip


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: type(value).__name__)
def test_every_scalar_comes_back_as_itself(value):
    """A numpy scalar comes back as the same numpy type, to the bit, never as the Python type it derives from."""
    assert same(loads(dumps(value)), value)
    assert same(decode(encode({"v": (value,)})), {"v": (value,)})


def test_scalars_can_be_queried():
    """Finite numbers, strings and times are stored readably."""
    assert encode(np.float64(0.5)) == {TAG: "numpy.scalar", "value": {"dtype": "<f8", "value": 0.5}}
    assert encode(np.str_("x")) == {TAG: "numpy.scalar", "value": {"dtype": "U", "value": "x"}}
    assert encode(np.datetime64(5, "s")) == {TAG: "numpy.scalar", "value": {"dtype": "<M8[s]", "value": 5}}


@settings(deadline=None, max_examples=100)
@given(
    hnp.arrays(
        dtype=st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(), hnp.byte_string_dtypes(), hnp.array_dtypes(max_size=3)),
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
)  # fmt: skip
def test_any_array_and_its_items_come_back(value):
    """Any array, its dtype and its first item come back exactly, and the array is not changed."""
    before = value.copy()
    assert same(loads(dumps(value)), value)
    assert same(value, before)
    assert same(decode(encode(value.dtype)), value.dtype)
    if value.size:
        first = value.reshape(-1)[0]
        assert same(decode(encode(first)), first)


@settings(deadline=None, max_examples=40)
@given(st.lists(values, max_size=4))
def test_object_arrays_come_back_item_by_item(items):
    """An object array of any values comes back with the same objects in it, lists and arrays included."""
    value = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        value[index : index + 1].fill(item)
    assert same(loads(dumps(value)), value)


class Tagged(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [
        np.ma.masked_array([1, 2], [True, False]),
        np.zeros(2).view(Tagged),
        np.rec.array([(1, 2)], dtype=[("a", int), ("b", int)]),
        np.rec.array([(1, 2)], dtype=[("a", int), ("b", int)]).view(np.ndarray),
        np.zeros(3, np.dtype([])),
        np.array([object()]),
        np.float64,
        np.sum,
        np.random.default_rng(0),
    ],
    ids=lambda value: str(type(value)),
)
def test_what_would_come_back_as_something_else_is_refused(value):
    """Subclasses of arrays, records, functions and unencodable items are errors, never silently plain arrays."""
    with pytest.raises(EncodingError, match=r"^value\['v'\]"):
        encode({"v": value})


def test_a_path_leads_into_an_array():
    """The error of an unencodable item of an object array names the item."""
    with pytest.raises(EncodingError, match=r"^value\['v'\]\[1\]: .*object"):
        encode({"v": np.array([1, object()])})


def array(**changes):
    """A small array as JSON, with parts replaced."""
    return {TAG: "numpy.ndarray", "value": {"dtype": "<i4", "shape": [1], "data": "AAAAAA==", **changes}}


def without(**changes):
    """The same, without its bytes."""
    found = array(**changes)
    del found["value"]["data"]
    return found


STRUCTURED = {"names": ["a"], "formats": ["<i4"], "offsets": [0], "titles": [None], "itemsize": 4, "aligned": False}


@pytest.mark.parametrize(
    "stored",
    [
        array(shape=[2]),
        array(shape=[-1]),
        array(shape=[-1, -1]),
        array(shape=[10**30]),
        array(shape=[2**62, 2**62]),
        array(shape=[0, 10**30], data=""),
        array(shape=[2**63], data="", dtype="|V0"),
        array(shape=[10**12], data="", dtype="<U0"),
        array(shape=[True]),
        array(shape=[1.0]),
        array(shape="1"),
        array(shape=[1] * 65),
        array(shape=[1] * 1000),
        array(shape=None),
        array(data="AAAA"),
        array(data="!!!!"),
        array(data="AAAAAA="),
        array(data="ÄÄÄÄ"),
        array(data=None),
        array(data=[0]),
        array(data="A" * 10_000_000),
        array(dtype="|O"),
        array(dtype="O"),
        array(dtype="object"),
        array(dtype="i4"),
        array(dtype="i4,i4"),
        array(dtype="os:system"),
        array(dtype="<i3"),
        array(dtype="<U99999999999"),
        array(dtype="<M8[xs]"),
        array(dtype="<M8[0s]", data="AAAAAAAAAAA="),
        array(dtype=3),
        array(dtype=None),
        array(dtype={}),
        array(dtype=[["a", "<i4"]]),
        array(dtype={"names": ["a"]}),
        array(dtype={**STRUCTURED, "itemsize": 2}),
        array(dtype={**STRUCTURED, "itemsize": 2**40}),
        array(dtype={**STRUCTURED, "offsets": [-4]}),
        array(dtype={**STRUCTURED, "offsets": [2]}),
        array(dtype={**STRUCTURED, "names": ["a", "a"]}),
        array(dtype={**STRUCTURED, "names": [1]}),
        array(dtype={**STRUCTURED, "titles": [3]}),
        array(dtype={**STRUCTURED, "formats": ["|O"]}),
        array(dtype={**STRUCTURED, "aligned": 1}),
        array(dtype={"base": "<i4", "shape": [1]}),
        array(dtype={"base": "<i4", "shape": [10**12]}),
        array(dtype={"string": 1}),
        array(dtype={"string": True}),
        array(dtype="|b1", data="Ag=="),
        array(dtype="<U1", data="//8R/w=="),
        array(dtype={**STRUCTURED, "formats": ["|b1"]}, data="Ag=="),
        without(),
        without(items=[0]),
        without(dtype="|O"),
        without(dtype="|O", items=[]),
        without(dtype="|O", items=[1, 2]),
        without(dtype="|O", items="x"),
        array(dtype="|O", items=[1]),
        without(dtype={"string": True}, items=[1]),
        without(dtype={"string": True}, items=[None]),
        without(dtype={**STRUCTURED, "formats": ["|O"], "itemsize": 8}, fields=[1]),
        without(dtype={**STRUCTURED, "formats": ["|O"], "itemsize": 8}, fields=[array()]),
        without(dtype={**STRUCTURED, "formats": ["|O"], "itemsize": 8, "offsets": [3]}, fields=[array()]),
        {TAG: "numpy.ndarray", "value": None},
        {TAG: "numpy.ndarray", "value": [1, 2]},
        {TAG: "numpy.scalar", "value": {"dtype": "<i4", "value": 2**40}},
        {TAG: "numpy.scalar", "value": {"dtype": "<i4", "value": 1.5}},
        {TAG: "numpy.scalar", "value": {"dtype": "<f4", "value": 0.1}},
        {TAG: "numpy.scalar", "value": {"dtype": "<f4", "value": 1e300}},
        {TAG: "numpy.scalar", "value": {"dtype": "U", "value": 1}},
        {TAG: "numpy.scalar", "value": {"dtype": "|O", "value": 1}},
        {TAG: "numpy.scalar", "value": {"dtype": "<M8[s]", "value": 2**64}},
        {TAG: "numpy.scalar", "value": {"dtype": "<c8", "value": 1.0}},
        {TAG: "numpy.scalar", "value": {"array": array()["value"]}},
        {TAG: "numpy.scalar", "value": {"array": {"dtype": "|O", "shape": [], "items": [1]}}},
        {TAG: "numpy.dtype", "value": "evil"},
    ],
    ids=lambda stored: str(stored["value"])[:60],
)
def test_hostile_arrays_are_encoding_errors(stored):
    """JSON that no array is written as is an error that says so: no memory is taken, no bytes become objects."""
    with pytest.raises(EncodingError):
        decode(stored)


def test_extended_precision_of_another_processor_is_kept():
    """An array whose extended precision this processor does not have stays opaque."""
    kept = decode(array(dtype="<longdouble112", data="AAAAAAAAAAAAAAAAAAAAAA=="))
    assert isinstance(kept, Opaque)
    assert "processor" in kept.reason
