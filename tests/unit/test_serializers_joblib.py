from __future__ import annotations

import io
import threading
import tracemalloc
from functools import partial

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.joblib import JOBLIB
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, JOBLIB)


class Hostile:
    def __reduce__(self):
        raise ZeroDivisionError("not today")


def same(left, right):
    """Equal in type and content; arrays also in dtype, byte order and memory order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        if left.dtype.hasobject:
            return left.dtype == right.dtype and left.tolist() == right.tolist()
        return (left.dtype.str, left.shape, left.flags.fnc, left.tobytes()) == (
            right.dtype.str,
            right.shape,
            right.flags.fnc,
            right.tobytes(),
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


class TestContract(SerializerContract):
    def serializer(self):
        return JOBLIB

    def values(self):
        return [
            None,
            {"a": [1, "x", b"y" * 100_000], "b": (1.5, {2, 3})},
            np.arange(12.0).reshape(3, 4),
            [np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(3, dtype=">i4"), np.array(["a", "éé"])],
            np.array([{"a": 1}, None], dtype=object),
            {"empty": np.zeros((0, 3)), "strided": np.arange(10)[::2].copy(), "type": dict, "function": np.linalg.norm},
        ]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [lambda: None, threading.Lock(), Hostile(), {"deep": [Hostile()]}]

    def large(self):
        return {"text": "x" * 21_000_000, "array": np.ones(3_000_000)}


def test_joblib_reads_our_files_and_we_read_joblibs():
    """`joblib.load` reads what we write, and we read what `joblib.dump` writes, compressed or not."""
    forest = RandomForestClassifier(3, random_state=0).fit(np.eye(4), [0, 1, 0, 1])
    data, details = dump(forest)
    assert {"sklearn", "numpy", "joblib"} <= {*details["packages"]}
    assert joblib.load(io.BytesIO(data)).predict(np.eye(4)).tolist() == forest.predict(np.eye(4)).tolist()
    for compress in (0, ("zlib", 3), ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1)):
        stream = io.BytesIO()
        joblib.dump(forest, stream, compress=compress)
        loaded = JOBLIB.load(bytearray(stream.getvalue()), format=1, details={})
        assert loaded.predict_proba(np.eye(4)).tolist() == forest.predict_proba(np.eye(4)).tolist()


def test_arrays_are_copied_once():
    """Reading takes the memory of the arrays and little more; writing takes far less than they have."""
    array = np.ones(8_000_000)

    class Nowhere:
        def write(self, data):
            return len(data)

    data, details = dump([array])
    for work, limit in (
        (lambda: JOBLIB.dump([array], Nowhere()), 0.6),
        (lambda: JOBLIB.load(data, format=1, details=details), 1.2),
    ):
        tracemalloc.start()
        work()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < limit * array.nbytes


def test_what_is_refused_is_told_why():
    """The error names the type, what went wrong, and the pattern that may keep it."""
    with pytest.raises(SerializationError, match=r"this function cannot be kept as joblib: .*lambda.*'pickled'"):
        dump(lambda: None)
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError, match="nested too deeply"):
        dump(nested)
