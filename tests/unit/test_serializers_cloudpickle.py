from __future__ import annotations

import functools
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers import cloudpickle as module
from simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, CLOUDPICKLE)
there_and_back = partial(dumping.there_and_back, CLOUDPICKLE)

ROOT = Path(__file__).resolve().parents[2]
BIG = 64 * 1024


class Holder:
    def __init__(self, **parts):
        self.__dict__.update(parts)

    def __eq__(self, other):
        return type(other) is Holder and same(vars(self), vars(other))

    __hash__ = None


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


class Hostile:
    def __reduce__(self):
        raise ZeroDivisionError("not today")


def closure(lock):
    """Return a function that holds `lock`."""
    return lambda: lock


def same(left, right):
    """Equal in type and content; arrays also in flags."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        flags = left.flags.writeable == right.flags.writeable and left.flags.fnc == right.flags.fnc
        return flags and left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def readonly(array):
    """Return the array, which nobody can write to any more."""
    array.flags.writeable = False
    return array


class TestContract(SerializerContract):
    def serializer(self):
        return CLOUDPICKLE

    def values(self):
        big = np.arange(10_000.0)
        return [
            *(None, 1, "é", {1, 2}, (1, [2]), b"x" * 100_000, bytearray(b"y" * 100_000)),
            *(
                big,
                big.astype(">f8"),
                np.arange(3.0),
                np.asfortranarray(big.reshape(100, 100)),
                big.reshape(100, 100)[:, ::2],
            ),
            Holder(a=big, b=readonly(big.copy()), c=[big[:9000], {"d": big.astype("f4")}], e="text"),
        ]

    def same(self, left, right):
        return same(left, right)

    def copy(self, value):
        return pickle.loads(pickle.dumps(value, protocol=5))  # deepcopy makes read-only arrays writable

    def refused(self):
        return [threading.Lock(), (number for number in range(3)), Holder(lock=threading.Lock()), Hostile()]

    def large(self):
        return Holder(array=np.zeros(2_000_000), data=b"x" * 20_000_000)


def test_a_small_object_is_an_ordinary_pickle():
    """Without a big buffer the file is a pickle that `pickle.load` reads, nothing before or behind it."""
    value = {"a": [1, "b"], "c": np.arange(100)}
    data, _ = dump(value)
    stream = io.BytesIO(data)
    assert same(pickle.load(stream), value)
    assert stream.read() == b""


def test_big_buffers_lie_aligned_outside_of_the_pickle():
    """Each contiguous buffer of 64 KiB or more is found raw at a multiple of 64 bytes; smaller ones are in the pickle."""
    arrays = [np.random.default_rng(seed).bytes(size) for seed, size in enumerate((BIG, BIG + 1, BIG - 1))]
    data, _ = dump([np.frombuffer(array, np.uint8).copy() for array in arrays])
    size, index, count, magic = struct.unpack("<3Q8s", data[-32:])
    assert (count, magic) == (2, b"SMLbuf01")
    entries = list(struct.iter_unpack("<3Q", data[index:-32]))
    for (offset, length, flag), array in zip(entries, arrays, strict=False):
        assert offset % 64 == 0
        assert flag == 0
        assert data[offset : offset + length] == array
    assert arrays[2] in data[:size]


@pytest.mark.parametrize("value", [{"x": np.arange(20_000.0)}, {"x": 1}], ids=["buffers", "plain"])
def test_the_documented_reader_reads_without_simpleml(tmp_path, value):
    """The reader in the module's docstring, run where simpleml cannot be imported, reads what the serializer writes."""
    reader = re.search(r"```python\n(.*?)```", module.__doc__, re.DOTALL).group(1)
    check = "\nimport json\nprint(json.dumps({'x': float(sum(value['x'])) if hasattr(value['x'], 'sum') else value['x']}))\n"
    check += "assert 'simpleml' not in sys.modules and not any('simpleml' in part for part in sys.path)\n"
    (tmp_path / "reader.py").write_text(reader + check)
    (tmp_path / "artifact").write_bytes(dump(value)[0])
    command = [sys.executable, "-I", "reader.py", "artifact"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ('{"x": 199990000.0}' if hasattr(value["x"], "sum") else '{"x": 1}')


def test_loading_copies_no_big_buffer():
    """A loaded array is a view into the given memory, which it keeps alive: writing to one shows in the other."""
    array = np.arange(100_000.0)
    data, details = dump({"a": array})
    loaded = CLOUDPICKLE.load(data, format=1, details=details)["a"]
    assert np.shares_memory(loaded, np.frombuffer(data, np.uint8))
    loaded[0] = 5
    assert struct.pack("<d", 5) + struct.pack("<d", 1) in data


def test_writable_arrays_come_back_writable_and_read_only_ones_read_only():
    """The write flag of an array survives, whether its buffer is in the pickle or beside it."""
    for size in (10, 100_000):
        loaded = there_and_back([np.zeros(size), readonly(np.zeros(size))])
        assert [array.flags.writeable for array in loaded] == [True, False]


def test_one_array_twice_is_one_array_again():
    """Shared references stay shared, and their bytes are written once."""
    array = np.arange(100_000.0)
    data, _ = dump([array, array])
    assert len(data) < 900_000
    first, second = there_and_back([array, array])
    assert first is second


def test_details_name_the_packages_that_reading_imports():
    """Packages of classes and functions pickled by reference are listed; the standard library and by-value code are not."""
    local = lambda x: np.add(x, 1)  # by value, and refers to a module
    assert dump({"a": [1], "b": Path("x"), "c": functools.partial(len)})[1] == {"packages": []}
    assert dump(np.float64(1))[1] == {"packages": ["numpy"]}
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    assert dump({"model": model})[1]["packages"] == ["numpy", "sklearn"]
    assert set(dump(local)[1]["packages"]) == {"cloudpickle", "numpy"}


def test_a_word_that_is_a_package_name_is_no_import():
    """Text that happens to be the name of an imported package is not taken for an import."""
    assert dump(["numpy", "sklearn", {"pytest": "numpy"}])[1] == {"packages": []}


def test_classes_of_main_travel_by_value(tmp_path):
    """An object of a class defined in a script is read in a process that does not have that script."""
    write = (
        "import sys\nfrom simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE\n"
        "class Mine:\n    def __init__(self, x): self.x = x\n    def double(self): return self.x * 2\n"
        "with open(sys.argv[1], 'wb') as stream: CLOUDPICKLE.dump(Mine(21), stream)\n"
    )
    read = (
        "import sys\nfrom simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE\n"
        "data = bytearray(open(sys.argv[1], 'rb').read())\n"
        "print(CLOUDPICKLE.load(data, format=1, details={}).double())\n"
    )
    path = str(tmp_path / "artifact")
    for code, output in ((write, ""), (read, "42\n")):
        command = [sys.executable, "-c", code, path]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout == output


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Holder(model=Holder(fine=1, lock=threading.Lock())), ".model.lock"),
        (Holder(parts={"a": [1, {"deep": threading.Lock()}]}), ".parts['a'][1]['deep']"),
        (Slotted([threading.Lock()]), ".inner[0]"),
        (closure(threading.Lock()), ".<closure>.lock"),
        ([1, (number for number in range(3))], "[1]"),
        ({"x": Hostile()}, "['x']"),
    ],
    ids=["attribute", "containers", "slots", "closure", "generator", "hostile"],
)
def test_what_does_not_pickle_is_named(value, path):
    """The error names the innermost part that does not pickle, says why and what to do, and carries the cause."""
    with pytest.raises(SerializationError, match=re.escape(f"`{path}`")) as caught:
        dump(value)
    assert caught.value.__cause__ is not None
    assert "__getstate__" in str(caught.value)


def test_a_value_that_itself_does_not_pickle_is_named_by_its_type():
    """With nothing inside to blame, the error names the object's own type."""
    with pytest.raises(SerializationError, match=r"this _thread\.lock cannot be pickled: it raised TypeError"):
        dump(threading.Lock())


def test_an_object_in_a_cycle_is_searched_to_an_end():
    """Looking for the part to blame ends, also if the object refers to itself."""
    value = Holder(lock=threading.Lock())
    value.me = value
    with pytest.raises(SerializationError, match="lock"):
        dump(value)


def test_too_deep_nesting_is_a_serialization_error():
    """A chain too long for the interpreter's stack is refused with the limit in the message, not a crash."""
    value = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SerializationError, match="nested too deeply"):
        dump(value)
    while value:
        value = value.pop()


def test_an_import_that_fails_is_told_as_it_is():
    """A pickle of a package that is not here raises the ImportError that names it."""
    with pytest.raises(ImportError, match="no_such_package"):
        CLOUDPICKLE.load(bytearray(b"cno_such_package\nThing\n."), format=1, details={})


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_index_never_reaches_outside(data):
    """Whatever numbers stand in the index, reading gives an object or a SerializationError, nothing else."""
    good = dump([np.arange(BIG), np.arange(BIG)])[0]
    start = len(good) - 32 - 48
    place = data.draw(st.integers(start, len(good) - 9))
    good[place] = data.draw(st.integers(0, 255))
    try:
        CLOUDPICKLE.load(good, format=1, details={})
    except SerializationError as error:
        assert "bytes" in str(error)  # noqa: PT017


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * BIG), st.sampled_from(["u1", "<i4", ">f8"]), st.booleans(), st.booleans()),
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_arrays_of_any_size_come_back(recipe):
    """Arrays of every size, order and flag come back equal to the bit, in one object and in order."""
    arrays = []
    for size, dtype, frozen, strided in recipe:
        array = np.arange(size).astype(dtype)[:: 2 if strided else 1]
        arrays.append(readonly(array) if frozen else array)
    contents = [(array.dtype, array.tobytes()) for array in arrays]
    assert [(array.dtype, array.tobytes()) for array in there_and_back(arrays)] == contents


@pytest.mark.parametrize("step", ["dump", "load"])
def test_memory_beside_a_big_object_stays_small(tmp_path, step):
    """Dumping and loading an object of 256 MB takes less than a tenth of that beside it (measured on the whole process)."""
    size = 256 * 1024 * 1024
    code = f"""
import resource, sys
import numpy as np
from simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
path, small = sys.argv[1], {{"a": np.ones(BIG := 100_000), "b": [1]}}
with open(path, "wb") as stream: CLOUDPICKLE.dump(small, stream)
CLOUDPICKLE.load(bytearray(open(path, "rb").read()), format=1, details={{}})
if sys.argv[2] == "dump":
    value = {{"a": np.ones({size} // 16), "b": [np.ones({size} // 16)]}}
    before = peak()
    with open(path, "wb") as stream: CLOUDPICKLE.dump(value, stream)
else:
    with open(path, "wb") as stream: CLOUDPICKLE.dump({{"a": np.ones({size} // 8)}}, stream)
    data = bytearray(open(path, "rb").read())
    before = peak()
    value = CLOUDPICKLE.load(data, format=1, details={{}})
    assert value["a"][-1] == 1
print(peak() - before)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "artifact"), step]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(result.stdout) < size / 10
