from __future__ import annotations

import copyreg
import io
import os
import pickle
import struct
import subprocess
import tracemalloc
import zlib

import cloudpickle
import joblib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from simpleml.errors import SerializationError
from simpleml.save_patterns.scan import Scan, runs_code, scan
from simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE
from simpleml.save_patterns.serializers.joblib import JOBLIB
from simpleml.save_patterns.serializers.json import JSON_TEXT
from simpleml.save_patterns.serializers.skops import SKOPS
from simpleml.testing.serializers import WriteOnly

COMPRESSIONS = (("zlib", 3), ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1))


class Runs:
    """Runs `function(*args)` when its pickle is read."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def dump(serializer, value):
    """Return the bytes."""
    stream = WriteOnly()
    serializer.dump(value, stream)
    return stream.data


def outcome(serializer, data):
    """Return the scan, or what the error says; let nothing else pass."""
    try:
        return scan(serializer, data)
    except SerializationError as error:
        return str(error)


def held(evil):
    """Return values that hide `evil` among, behind and inside of arrays of every kind."""
    forest = RandomForestClassifier(2, random_state=0).fit(np.eye(4), [0, 1, 0, 1])
    objects = np.empty(2, object)
    objects[1] = evil
    return [
        {"forest": forest, "evil": evil},
        [np.arange(100_000.0), evil],
        [np.array(["text", "é"]), np.zeros(3, [("a", "f4"), ("b", "U3")]), np.array(["2020"], "M8[D]"), evil],
        [np.zeros((0, 3)), np.array(1.5), np.asfortranarray(np.eye(3)), np.array([b"x"], "V5"), evil],
        objects,
        [np.array([{"a": [objects]}], dtype=object)],
        [pickle.dumps(evil), "text"],
        pickle.dumps([pickle.dumps(evil, 2)]),
    ]


@pytest.mark.parametrize("serializer", [CLOUDPICKLE, JOBLIB], ids=lambda found: found.name)
@pytest.mark.parametrize("case", range(8))
def test_what_runs_code_is_found_and_not_run(serializer, case, tmp_path):
    """A pickle that would create a file is seen for what it is, wherever it hides; the file is not there afterwards."""
    target = tmp_path / "made"
    found = scan(serializer.name, dump(serializer, held(Runs(os.mkdir, str(target)))[case]))
    assert "posix.mkdir" in found.imports
    assert found.executes
    assert found.problem is None
    assert not target.exists()
    assert pickle.loads(pickle.dumps(Runs(os.mkdir, str(target)))) is None  # the known-bad twin: this one did run
    assert target.exists()


@pytest.mark.parametrize("compress", COMPRESSIONS, ids=lambda found: found[0])
def test_compressed_joblib_files_are_looked_through(compress):
    """Whatever joblib compressed is unpacked on the way, arrays and all."""
    stream = io.BytesIO()
    joblib.dump(held(Runs(os.system, "true"))[:6], stream, compress=compress)
    found = scan("joblib", bytearray(stream.getvalue()))
    assert (found.problem, found.runs_code) == (None, ("posix.system",))


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("kind", [bytes, bytearray, str])
def test_no_constant_takes_memory_for_what_it_unpacks_to(kind, count):
    """Of a few hundred KB that unpack to 160 MB, in one constant or in many, not nearly as much is held; all is followed."""
    size = 160_000_000 // count
    constant = "a" * size if kind is str else kind(size)
    packer = zlib.compressobj(1)
    parts = [pickle.dumps(constant, 5)[2:-1] for _ in range(1)] * count  # without the protocol and the end
    data = b"".join(packer.compress(part) for part in (b"\x80\x05", *parts, pickle.dumps(Runs(os.getcwd), 5)[2:]))
    data = bytearray(data + packer.flush())
    assert len(data) < 2_000_000
    del constant, parts
    tracemalloc.start()
    found = scan("joblib", data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.problem, found.imports) == (None, ("posix.getcwd",))
    assert peak < 80_000_000


@pytest.mark.parametrize(
    ("start", "told"),
    [(b"\x80\x05\x8e", "a pickle of 100000000 bytes"), (b"\x80\x05\x95", "a frame of 100000000 bytes")],
)
def test_what_is_too_large_to_be_looked_into_is_told(start, told):
    """A pickle inside of a huge constant, and a huge frame, end the scan with a problem; nothing passes unseen."""
    evil = pickle.dumps([bytes(10), Runs(os.getcwd)]).ljust(100_000_000, b".")
    data = zlib.compress(b"\x80\x05cos\ngetcwd\n0" + start[2:] + struct.pack("<Q", len(evil)) + evil + b".", 1)
    found = scan("joblib", bytearray(data))
    assert told in found.problem


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_understood(protocol):
    """Names are resolved as every protocol writes them, also where they come from the memo."""
    value = [
        Runs(subprocess.check_output, "x"),
        Runs(subprocess.check_call, "x"),
        Runs(eval, "1"),
        Runs(subprocess.check_output, "y"),
    ]
    found = scan("cloudpickle", bytearray(pickle.dumps(value, protocol, fix_imports=False)))
    evaluate = "builtins.eval"
    assert {*found.imports} >= {"subprocess.check_output", "subprocess.check_call", evaluate}
    assert {*found.runs_code} >= {"subprocess.check_output", "subprocess.check_call", evaluate}


HAND_MADE = {
    "instance": (b"(S'echo'\nios\nsystem\n.", "os.system"),
    "global": (b"cos\nsystem\n(S'echo'\ntR.", "os.system"),
    "names from the memo": (
        b"\x80\x04\x8c\x06system\x94\x8c\x02os\x94" + b"00" + b"h\x01h\x00\x93\x8c\x04echo\x85R.",
        "os.system",
    ),
    "names from put and get": (b"\x80\x04\x8c\x02osq\x07\x8c\x06systemq\x090" + b"0h\x07h\x09\x93.", "os.system"),
    "names below a duplicate": (b"\x80\x04\x8c\x02os\x8c\x06system2" + b"0\x93.", "os.system"),
    "names of a computed kind": (b"\x80\x04cos\ngetcwd\n)R\x8c\x06system\x93.", "?.system"),
    "dotted": (b"\x80\x04\x8c\x06shutil\x8c\tos.system\x93.", "shutil.os.system"),
    "object": (b"(cos\nsystem\nS'echo'\no.", "os.system"),
    "stopped short": (b"cos\nsystem\n(S'echo'\ntR" + b"\xff\xff", "os.system"),
    "wrong stack behind": (b"cos\nsystem\n(S'echo'\ntR" + b"000000.", "os.system"),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_pickles_are_understood(name):
    """Every way to name a function is followed, and what is named before bytes stop making sense is listed."""
    data, wanted = HAND_MADE[name]
    for serializer in ("cloudpickle", "joblib"):
        found = scan(serializer, bytearray(data))
        assert wanted in found.imports
        assert wanted in found.runs_code
        assert (found.problem is not None) == ("stopped" in name or "wrong" in name)


def test_extension_codes_are_resolved():
    """A name behind a number of the extension registry is told; an unknown number is told as such."""
    copyreg.add_extension("os", "system", 77)
    try:
        assert scan("cloudpickle", bytearray(b"\x80\x02\x82\x4d.")).runs_code == ("os.system",)
    finally:
        copyreg.remove_extension("os", "system", 77)
    assert scan("cloudpickle", bytearray(b"\x80\x02\x82\x4d.")).runs_code == ("?.extension 77",)


def test_buffers_beside_the_pickle_are_left_out():
    """Of our own form with buffers only the pickle is followed, and functions by value are told to run code."""
    found = scan("cloudpickle", dump(CLOUDPICKLE, [np.ones(100_000), lambda: 1]))
    assert "cloudpickle.cloudpickle._make_function" in found.runs_code
    assert found.problem is None
    assert "numpy" in found.by_package()
    assert "functions" not in str(found)


def test_an_array_inside_of_a_frame_does_not_hide_what_follows():
    """Instructions that joblib reads after an array, though they stand before its bytes, are followed."""
    wrapper = (
        b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\x00\x00\x00shapeK\x04\x85X\x05\x00\x00\x00dtype"
        b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85RX\x05\x00\x00\x00orderX\x01\x00\x00\x00CX\x08\x00\x00\x00subclass"
        b"cnumpy\nndarray\nX\x0a\x00\x00\x00allow_mmap\x89ub"
    )
    inside = wrapper + b"0cos\ngetcwd\n)R."
    data = b"\x80\x04\x95" + struct.pack("<Q", len(inside)) + inside + b"\xff\xfe\xfd\xfc"
    assert joblib.load(io.BytesIO(data)) == os.getcwd()
    assert "os.getcwd" in scan("joblib", bytearray(data)).imports


@pytest.mark.parametrize(
    "odd", [b"K\x01" + b"\x85" * 100_000, b"K\x01\x85" + b"2\x86" * 60], ids=["deeply nested", "doubled sixty times"]
)
def test_a_dtype_that_is_no_text_is_not_spelled_out(odd):
    """A hostile dtype, which would take for ever to print or could not be printed at all, is a problem that is told."""
    data = (
        b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\x00\x00\x00shapeK\x03\x85X\x05\x00\x00\x00dtype"
        b"cnumpy\ndtype\n" + odd + b"\x85Rub."
    )
    found = scan("joblib", bytearray(data))
    assert "an array of unknown type follows" in found.problem
    assert "numpy.dtype" in found.imports


def test_formats_that_run_no_code_say_so():
    """What no pickle is in is said to run no code, without looking; skops lists the types it makes objects of."""
    assert scan("json", dump(JSON_TEXT, [1])) == Scan("json", executes=False)
    assert str(scan("parquet", bytearray())) == "parquet: reading it runs no code"
    found = scan("skops", dump(SKOPS, RandomForestClassifier(2).fit(np.eye(4), [0, 1, 0, 1])))
    assert "sklearn.ensemble._forest.RandomForestClassifier" in found.imports
    assert not found.executes
    assert "makes objects" in str(found)


def test_the_text_is_sorted_by_package_and_marks_what_runs_code():
    """What a person sees: one package after the other, and a mark where commands are run."""
    lines = str(scan("cloudpickle", bytearray(pickle.dumps([Runs(os.system, "x"), np.float64(1)])))).splitlines()
    assert lines[0] == "cloudpickle: reading it runs code"
    assert [line.strip() for line in lines if line.startswith("  ") and line[2] != " "] == ["numpy", "posix"]
    assert "    posix.system   <- runs code" in lines


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("builtins.eval", True),
        ("__builtin__.exec", True),
        ("subprocess.Popen", True),
        ("nt.system", True),
        ("os.execvp", True),
        ("importlib.import_module", True),
        ("shutil.os.system", True),
        ("builtins.getattr", True),
        ("builtins.dict", False),
        ("numpy.dtype", False),
        ("collections.OrderedDict", False),
        ("sklearn.tree._tree.Tree", False),
        ("os.fspath", False),
    ],
)
def test_known_names(name, wanted):
    """Names that run commands are marked, also by other names of their modules; harmless ones are not."""
    assert runs_code(name) is wanted


@given(st.binary(max_size=300), st.sampled_from(["cloudpickle", "joblib", "skops", "keras"]))
@example(b"\x78\x9c" + b"\0" * 20, "joblib")
@example(b"\x1f\x8b" + b"\0" * 20, "joblib")
@example(b"BZh9" + b"\0" * 20, "joblib")
@example(b"\x80\x04\x8e" + b"\xff" * 8, "joblib")
@example(b"\x80\x04\x95" + b"\xff" * 8, "joblib")
@example(b"\x80\x04\x8b" + b"\xff\xff\xff\x7f", "cloudpickle")
@example(b"SMLbuf01" * 4, "cloudpickle")
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_scan_or_a_serialization_error(data, serializer):
    """Random bytes end in a listing or in a `SerializationError`, and import nothing."""
    assert outcome(serializer, bytearray(data))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_flipped_bytes_of_real_files_are_a_scan_or_a_serialization_error(data):
    """So do real files of which some bytes were changed."""
    value = [np.arange(5), {"a": (1, "x")}, Runs(os.getcwd), np.array([None, {}])]
    serializer = data.draw(st.sampled_from([CLOUDPICKLE, JOBLIB]))
    broken = dump(serializer, value)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(serializer.name, broken)


def test_pickles_by_value_are_followed():
    """A class made in a function is pickled by value: what makes it anew is listed, and so are the modules it needs."""

    class Local:
        def work(self):
            return os.getcwd()

    Local.__module__ = "__main__"
    found = scan("cloudpickle", bytearray(cloudpickle.dumps(Local())))
    assert "cloudpickle.cloudpickle._make_skeleton_class" in found.runs_code
