from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.safetensors import SAFETENSORS
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, SAFETENSORS)

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8"]
BASE = np.arange(6.0)


def same(left, right):
    """Equal in type, order of names, dtype, shape and every bit."""
    if type(left) is not type(right) or [*left] != [*right]:
        return False
    pairs = [(left[name], right[name]) for name in left]
    return all((one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes()) for one, two in pairs)


class TestContract(SerializerContract):
    def serializer(self):
        return SAFETENSORS

    def values(self):
        return [
            {kind: np.arange(3).astype(kind) for kind in KINDS},
            {"b": np.array(1.5), "a": np.zeros((0, 4), "f2"), "größe a.b": np.array([True])},
            OrderedDict(z=np.arange(3.0), a=np.array([np.nan, -0.0])),
        ]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [
            [np.zeros(3)],
            {1: np.zeros(3)},
            {"\ud800": np.zeros(3)},
            {"__metadata__": np.zeros(3)},
            {"a": [1.0]},
            {"a": np.zeros(3, ">f8")},
            {"a": np.zeros(3, "c16")},
            {"a": np.array(["text"])},
            {"a": np.array([None])},
            {"a": np.zeros(3, [("x", "f4")])},
            {"a": np.zeros(3, np.dtype("f8", metadata={"unit": "m"}))},
            {"a": np.ma.array([1.0])},
            {"a": BASE, "b": BASE},
            {"a": BASE[:4], "b": BASE[3:]},
            type("Mine", (dict,), {})(a=np.zeros(3)),
        ]

    def large(self):
        return {"a": np.ones((2000, 3000))[:, ::2], "b": np.ones(3_000_000)}


def test_safetensors_reads_our_files_and_we_read_theirs():
    """`safetensors.numpy.load` reads what we write, and we read what `safetensors.numpy.save` writes."""
    value = {kind: np.arange(4).astype(kind).reshape(2, 2) for kind in KINDS} | {"0d": np.array(2.5)}
    theirs = safetensors.numpy.load(bytes(dump(value)[0]))
    assert all(same({"x": theirs[name]}, {"x": value[name]}) for name in value)
    ours = SAFETENSORS.load(bytearray(safetensors.numpy.save(value)), format=1, details={})
    assert all(same({"x": ours[name]}, {"x": value[name]}) for name in value)


def test_loading_copies_nothing():
    """Loaded arrays are aligned, writable views into the given memory."""
    data, details = dump({"a": np.arange(3.0), "b": np.arange(5, dtype="u1"), "c": np.arange(7, dtype="f4")})
    loaded = SAFETENSORS.load(data, format=1, details=details)
    assert all(np.shares_memory(array, np.frombuffer(data, np.uint8)) for array in loaded.values())
    assert all(array.flags.aligned and array.flags.writeable for array in loaded.values())


def test_what_is_not_contiguous_is_kept_by_its_elements_if_asked():
    """Transposed, reversed and strided arrays are not accepted, because they come back in C order; kept all the same."""
    for array in (BASE.reshape(2, 3).T, BASE[::-1], BASE[::2]):
        assert not SAFETENSORS.accepts({"a": array})
        data, details = dump({"a": array})
        assert np.array_equal(SAFETENSORS.load(data, format=1, details=details)["a"], array)


def test_arrays_that_share_memory_are_named():
    """The error names both, and says what to do."""
    with pytest.raises(SerializationError, match=r"'a' and 'b' share memory.*copy"):
        dump({"a": BASE[:4], "b": BASE[3:]})
    assert SAFETENSORS.accepts({"a": BASE[:3], "b": BASE[3:]})


def headed(header, body=b""):
    """Return a file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return bytearray(len(text).to_bytes(8, "little") + text + body)


ENTRY = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "data",
    [
        headed({"a": ENTRY}, bytes(9)),
        headed({"a": ENTRY}, bytes(7)),
        headed({"a": {**ENTRY, "data_offsets": [8, 16]}}, bytes(16)),
        headed({"a": ENTRY, "b": ENTRY}, bytes(8)),
        headed({"a": {**ENTRY, "shape": [2]}}, bytes(8)),
        headed({"a": {**ENTRY, "shape": [-1, -1]}}, bytes(8)),
        headed({"a": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(8)),
        headed({"a": {**ENTRY, "shape": [True]}}, bytes(8)),
        headed({"a": {**ENTRY, "data_offsets": [-8, 0]}}, bytes(8)),
        headed({"a": {**ENTRY, "dtype": "F12"}}, bytes(8)),
        headed({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}, bytes(8)),
        headed({"a": 1}),
        headed(b'{"a": 1, "a": 1}'),
        headed(b"[" * 100_000),
        headed(b'{"a":' * 100_000),
        bytearray((2**63).to_bytes(8, "little") + b"{}"),
        bytearray((101_000_000).to_bytes(8, "little") + b"{}"),
    ],
    ids=lambda data: str(bytes(data[8:50])),
)
def test_a_false_header_is_a_serialization_error(data):
    """Headers with gaps, overlaps, odd shapes, unknown types, or that are bombs, give an error and nothing else."""
    with pytest.raises(SerializationError, match="safetensors"):
        SAFETENSORS.load(data, format=1, details={})


@given(st.dictionaries(st.text(min_size=1), nps.arrays(nps.scalar_dtypes(), nps.array_shapes(min_dims=0, min_side=0))))
@settings(max_examples=100, deadline=None)
def test_what_is_accepted_comes_back(value):
    """Any dict that is accepted comes back bit by bit, and safetensors itself reads it; others are kept or refused."""
    if not SAFETENSORS.accepts(value):
        return
    data, details = dump(value)
    assert same(SAFETENSORS.load(data, format=1, details=details), value)
    assert safetensors.numpy.load(bytes(data)).keys() == value.keys()


def test_neither_library_is_imported_to_look_at_a_value():
    """Asking whether a dict holds arrays imports neither numpy nor torch."""
    code = (
        "import sys\nfrom simpleml.save_patterns.serializers.safetensors import SAFETENSORS\n"
        "assert not SAFETENSORS.accepts({'a': 1})\nassert not {'numpy', 'torch'} & {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
