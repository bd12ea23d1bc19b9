from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.numpy import NUMPY
from simpleml.testing.serializers import SerializerContract, WriteOnly

ROOT = Path(__file__).resolve().parents[2]
MANY = np.dtype([(f"a_field_with_a_rather_long_name_{number:05}", "f4") for number in range(1500)])


def bits(array):
    """Return all that makes an array what it is."""
    return type(array), array.dtype, array.dtype.str, array.shape, array.flags.fnc, array.tobytes("A")


def dump(value):
    """Return the bytes."""
    stream = WriteOnly()
    assert NUMPY.dump(value, stream) == {}
    return stream.data


def there_and_back(value):
    """Return what comes back."""
    return NUMPY.load(dump(value), format=1, details={})


def readonly(array):
    """Return the array, which nobody can write to any more."""
    array.flags.writeable = False
    return array


ARRAYS = {
    "floats": np.array([1.5, np.nan, -0.0, np.inf]),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "three dimensions, fortran": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "big endian": np.arange(5, dtype=">i8"),
    "no dimension": np.array(3.5),
    "empty": np.empty((0, 5), dtype="f4"),
    "empty text": np.array([], dtype="U"),
    "text of no length": np.array(["", ""], dtype="U0"),
    "void of no length": np.zeros(3, dtype="V0"),
    "bool": np.array([True, False]),
    "half": np.arange(3, dtype="f2"),
    "long double": np.array([1, 2], dtype=np.longdouble) / 3,
    "complex": np.array([1j, 2], dtype="c8"),
    "text": np.array(["a", "éé", "\U0001f600"]),
    "bytes": np.array([b"a", b"\xff\x00b"]),
    "void": np.array([b"abc", b"\0\0\0"], dtype="V3"),
    "datetime": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "datetime, odd unit": np.array([1, 2], dtype="M8[25s]"),
    "datetime, no unit": np.array(["NaT"], dtype="M8"),
    "timedelta": np.array([1, "NaT"], dtype="m8[us]"),
    "records": np.array([(1, 2.5, "x")], dtype=[("a", "<i4"), ("b", ">f8"), ("c", "U3")]),
    "records, padded": np.zeros(
        3, np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 24})
    ),
    "records, odd names": np.zeros(2, dtype=[("größe", "f4"), ("a b", "i2", (2, 3))]),
    "records, many fields": np.zeros(2, MANY),
    "nested records": np.zeros(2, dtype=[("in", [("x", "f4"), ("y", "i8")]), ("z", "?")]),
}


class TestContract(SerializerContract):
    def serializer(self):
        return NUMPY

    def values(self):
        return list(ARRAYS.values())

    def same(self, left, right):
        return bits(left) == bits(right)

    def copy(self, value):
        memory = bytearray(value.tobytes("A"))  # `copy` leaves out what lies between the fields of a record
        return np.ndarray(value.shape, value.dtype, memory, order="F" if value.flags.fnc else "C")

    def refused(self):
        return [
            np.array([{}, None], dtype=object),
            np.zeros(2, dtype=[("a", object)]),
            np.ma.array([1, 2], mask=[0, 1]),
            np.zeros((2, 2)).view(type("Mine", (np.ndarray,), {})),
            np.recarray(2, dtype=[("a", "f4")]),
            np.zeros(2, dtype=np.dtype((np.record, [("a", "f4")]))),
            np.zeros(2, dtype=[("a", np.dtype((np.record, [("b", "f4")])))]),
            np.float64(1),
            [1, 2],
            np.array(["a", "b"], dtype=np.dtypes.StringDType()),
            np.zeros(2, dtype=np.dtype("f8", metadata={"unit": "m"})),
            np.zeros(2, dtype=[("a", np.dtype("f8", metadata={"unit": "m"}))]),
            np.zeros(2, dtype=np.dtype([("a", "u1"), ("b", "f8")], align=True)),
            np.zeros(2, dtype=np.dtype({"names": ["a", "b"], "formats": ["u4", "u2"], "offsets": [0, 2]})),
        ]

    def large(self):
        return np.arange(6_000_000.0).reshape(2000, 3000)[:, ::2]


@pytest.mark.parametrize("name", ARRAYS)
def test_every_kind_of_array_is_accepted_and_comes_back(name):
    """Accepted, and equal in dtype, byte order, shape, memory order and every byte; and numpy itself reads the file."""
    array = ARRAYS[name]
    assert NUMPY.accepts(array)
    loaded = there_and_back(array)
    assert bits(loaded) == bits(array)
    assert loaded.flags.writeable
    theirs = np.load(io.BytesIO(dump(array)), allow_pickle=False, max_header_size=1_000_000)
    assert (theirs.dtype, theirs.shape, repr(theirs)) == (array.dtype, array.shape, repr(array))


@given(
    nps.arrays(
        dtype=nps.scalar_dtypes() | nps.array_dtypes(),
        shape=nps.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=5),
        fill=st.nothing(),
    ),
    st.data(),
)
@settings(max_examples=100, deadline=None)
def test_any_view_of_any_array_comes_back(array, data):
    """Any dtype, shape, transposition and stride comes back with the same elements, bit by bit."""
    view = array.T if data.draw(st.booleans()) else array
    view = view[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in view.shape)]
    view = np.asarray(view)
    if NUMPY.accepts(view):
        loaded = there_and_back(view)
        assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (view.dtype, view.shape, view.tobytes())
    else:
        with pytest.raises(SerializationError):
            dump(view)


def test_a_read_only_or_repeated_array_comes_back_as_elements():
    """Read-only and broadcast arrays are kept by their elements, and come back writable."""
    for array in (readonly(np.arange(5)), np.broadcast_to(np.arange(3), (4, 3))):
        loaded = there_and_back(array)
        assert np.array_equal(loaded, array)
        assert loaded.flags.writeable


def test_loading_copies_nothing():
    """The loaded array is a view into the given memory, which it keeps alive."""
    data = dump(np.arange(10))
    loaded = NUMPY.load(data, format=1, details={})
    assert np.shares_memory(loaded, np.frombuffer(data, np.uint8))


def test_elements_begin_at_a_multiple_of_64_bytes():
    """The elements are aligned, so that mapped files give aligned arrays."""
    for array in (np.arange(3), ARRAYS["records, odd names"], ARRAYS["records, many fields"]):
        assert (len(dump(array)) - array.nbytes) % 64 == 0


@pytest.mark.parametrize("strided", [False, True])
def test_dumping_takes_little_memory(strided):
    """Whether contiguous or not, an array of 128 MB is written with less than a tenth of that beside it."""

    class Nowhere:
        def write(self, data):
            return len(data)

    array = np.ones((2 if strided else 1) * 16_000_000)[:: 2 if strided else 1]
    tracemalloc.start()
    NUMPY.dump(array, Nowhere())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < array.nbytes / 10


def head(text, version=(1, 0)):
    """Return the beginning of a file with this header."""
    coded = text.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(coded)) + coded


@pytest.mark.parametrize(
    "data",
    [
        head("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"\0" * 8,
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (10**18, 10**18)}"),
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999)}"),
        head("{'descr': '<f8', 'fortran_order': 2, 'shape': ()}") + b"\0" * 8,
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}") + b"\0" * 9,
        head("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}"),
        head("__import__('os')"),
        head("[" * 5000 + "]" * 5000),
        head("{'shape': 1}"),
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} " * 2) + b"\0" * 8,
        head("{'descr': '<f8' 'fortran_order': False, 'shape': (1,)}") + b"\0" * 8,
        head("{'descr', '<f8', 'fortran_order', False, 'shape', (1,)}") + b"\0" * 8,
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (1,"),
        head("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", (9, 0)) + b"\0" * 8,
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1),
    ],
    ids=lambda data: str(bytes(data[8:60])),
)
def test_a_false_header_is_a_serialization_error(data):
    """Headers that lie, ask for objects, or are code or bombs give an error and nothing else."""
    with pytest.raises(SerializationError, match="npy"):
        NUMPY.load(bytearray(data), format=1, details={})


def test_what_lies_between_fields_is_not_leaked():
    """The bytes between the fields of a record are the array's own, or zeros; never leftovers of other memory."""
    dtype = np.dtype({"names": ["a"], "formats": ["u1"], "offsets": [8], "itemsize": 16})
    array = np.frombuffer(b"\x07" * 1600, dtype)
    assert set(dump(array)[-1600:]) == {7}
    strided = dump(array[::2])[-800:]
    assert set(strided[8::16]) == {7}
    assert set(strided) == {0, 7}


def test_headers_of_numpys_own_are_read():
    """Files that `numpy.save` wrote are read, whatever the names of their fields."""
    for dtype in (
        "f8",
        [("it's", "f4"), ('"quoted"\\', "i2"), ("\x00\t", "u1"), ("größe€😀", "S3", (2, 1))],
        [(("title", "n"), "f4")],
    ):
        array = np.zeros((2, 3), dtype)
        stream = io.BytesIO()
        with warnings.catch_warnings(action="ignore"):  # of the version of the format that odd names need
            np.save(stream, array)
        loaded = NUMPY.load(bytearray(stream.getvalue()), format=1, details={})
        assert bits(loaded) == bits(array)


def test_numpy_is_not_imported_to_look_at_a_value():
    """Asking whether a value is an array does not import numpy."""
    code = (
        "import sys\nfrom simpleml.save_patterns.serializers.numpy import NUMPY\n"
        "assert not NUMPY.accepts([1, 2])\nassert 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
