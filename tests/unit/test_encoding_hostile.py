"""JSON from anyone: decoding ends in a value or an `EncodingError`, imports nothing and runs nothing."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import os
import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.encoding import Opaque, decode, encode, loads, registry
from simpleml.errors import EncodingError
from tests.unit.test_encoding_oracle import EXAMPLES, Colour, Point, Settings, same

TAG = "__simpleml__"
VALID = [
    encoded
    for encoded in map(
        encode,
        [
            *EXAMPLES,
            [Settings((Point(1), Colour.BLUE))],
            np.array([(1, "a")], dtype=[("x", "i4"), ("y", "U2")]),
            np.array([1, None, (2,)], dtype=object),
            np.float32(1.5),
            np.arange(6).reshape(2, 3),
            pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"])}),
            pd.DataFrame({"t": pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"), "i": pd.array([1, None, 3], "Int8")}),
            pd.Series([1.5], index=pd.MultiIndex.from_tuples([("a", 1)])),
            pd.Timestamp("2024-01-01", tz="UTC"),
            pl.DataFrame({"a": [1]}),
        ],
    )
    if isinstance(encoded, dict | list) and encoded
]  # fmt: skip
TAGS = sorted({*registry.decoders, *registry.LIBRARY_TAGS, "json"})

junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-3, 3),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from(["nan", "1", "0x1", "2024-01-01", "<f8", "|O", "os:system", "builtins:eval", "AAAAAAAA", "Europe/Berlin", "\\0000"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(st.sampled_from(["class", "state", "dtype", "shape", "data", "items", "values", "kind", "at", "zone", "fold"]), inner, max_size=4),
        st.builds(lambda tag, payload: {TAG: tag, "value": payload}, st.sampled_from(TAGS), inner),
    ),
    max_leaves=8,
)  # fmt: skip


def attempt(stored: object) -> None:
    """Decode `stored`; anything but a value or an `EncodingError` fails the test, and `stored` is not changed."""
    before = copy.deepcopy(stored)
    with contextlib.suppress(EncodingError):
        decode(stored)
    assert same(stored, before)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(TAGS), junk)
def test_any_payload_under_any_tag_is_a_value_or_an_error(tag, payload):
    """Any JSON under any of our tags decodes to a value or an `EncodingError`, and is not changed by that."""
    attempt({TAG: tag, "value": payload})


def places(value: object, path: tuple = ()):
    """Every path in `value`."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_part_of_valid_json_may_be_replaced(data):
    """Valid JSON with any part replaced, left out or doubled decodes to a value or an `EncodingError`."""
    stored = copy.deepcopy(data.draw(st.sampled_from(VALID)))
    *way, last = data.draw(st.sampled_from([path for path in places(stored) if path]))
    holder = stored
    for key in way:
        holder = holder[key]
    action = data.draw(st.sampled_from(["replace", "remove", "double", "other"]))
    if action == "replace":
        holder[last] = data.draw(junk)
    elif action == "remove":
        del holder[last]
    elif action == "double":
        holder[last] = [holder[last], holder[last]]
    else:
        holder[last] = copy.deepcopy(data.draw(st.sampled_from(VALID)))
    attempt(stored)


PAYLOADS = [
    None, True, -1, 1.5, "", "x", "x" * 10_000_000, "0x" + "f" * 10_000_000, "9" * 10_000_000, "\\" * 10_000, "\\00", "\\zzzz", "\\0041", [], [1], [[]], [[1]],
    [[1, 2, 3]], [[[], 1]], [1, 1], [1, True], [[1, 2], [1.0, 3]], {}, {"a": 1}, {"factory": "eval", "items": []}, {"maxlen": 0, "items": [1]},
    {"maxlen": -1, "items": []}, [0, 0, 0], [1, 2, 0], ["a", "b", "c"], [0, 0], [2, 4], [1, -2], [10**20, 0, 0], [0, -1, 0], [99999999999, 0, 0],
    "2024-02-30", "2024-01-01T00:00:00+01:00", "20240101", "25:00", {"at": "2024-01-01", "zone": None, "fold": 0}, {"at": "10:00:00", "zone": 1, "fold": 0},
    {"at": "2024-01-01T00:00:00", "zone": None, "fold": 2}, {"at": "2024-01-01T00:00:00", "zone": None, "fold": True}, [[2, 0, 0]], [[0, 0, 0], 1],
    [[0, 0, 0], "a", "b"], "../../etc/passwd", "/etc/passwd", "Europe", "posixrules", "a\0b", "1E+9999999999999999999", " 1", "1_0", "Nan", "0X1F", "0x01",
    "7ff8000000000000", "3ff0000000000000", "{00000000-0000-0000-0000-000000000005}", "{", "[1,]", "NaN", "[" * 100_000, [[1, [2]], [1, 2]],
]  # fmt: skip


@pytest.mark.parametrize("tag", TAGS)
def test_wrong_payloads_of_each_tag(tag):
    """A zoo of wrong payloads (wrong types, huge strings, other spellings, wrong sizes) is never another exception."""
    for payload in PAYLOADS:
        attempt({TAG: tag, "value": payload})


@pytest.mark.parametrize(
    ("tag", "payload"),
    [
        ("tuple", "x"),
        ("set", [1, 1]),
        ("set", [[]]),
        ("dict", [[1, 2], [1, 3]]),
        ("dict", {"a": 1}),
        ("dict", [[[], 1]]),
        ("int", "5g"),
        ("int", "0X5"),
        ("int", "٣"),
        ("float", "Infinity"),
        ("float", "1.5"),
        ("float", "7ff8000000000000"),
        ("str", "\\zzzz"),
        ("str", "a\0"),
        ("bytes", "a"),
        ("complex", [1, 2.0]),
        ("Decimal", "1_0"),
        ("Fraction", [2, 4]),
        ("Fraction", [1, 0]),
        ("Fraction", [{TAG: "int", "value": "0x" + "f" * 10**6}, 1]),
        ("UUID", "5"),
        ("datetime", "2024-01-01"),
        ("datetime", "2024-01-01T00:00:00Z"),
        ("time", "24:00:00"),
        ("date", "20240101"),
        ("timedelta", [0, 86400, 0]),
        ("timezone", [[1, 0, 0]]),
        ("zoneinfo.ZoneInfo", "../../../etc/passwd"),
        ("zoneinfo.ZoneInfo", "/etc/localtime"),
        ("range", [0, 1, 0]),
        ("slice", [0, 1]),
        ("deque", {"maxlen": 1, "items": [1, 2]}),
        ("defaultdict", {"factory": "eval", "items": []}),
        ("PosixPath", 5),
        ("json", "["),
        ("json", "NaN"),
        ("json", 5),
        ("json", "[" * 100_000),
        ("enum", "os:system"),
        ("dataclass", {"class": 5, "state": {}}),
    ],
)
def test_each_check_refuses(tag, payload):
    """A payload that our encoder would never write is refused with an error that names the path."""
    with pytest.raises(EncodingError, match=r"^metadata\['k'\]"):
        decode({"k": {TAG: tag, "value": payload}}, name="metadata")


@pytest.mark.parametrize(
    "stored",
    [
        {TAG: "tuple"},
        {TAG: "tuple", "value": [], "more": 1},
        {TAG: 5, "value": []},
        {TAG: None, "value": []},
        {TAG: ["tuple"], "value": []},
        {TAG: "tuple", "Value": []},
        {1: 2},
        (1, 2),
        b"x",
        {"a": object()},
        float("nan"),
        float("inf"),
        [np.float64(1)],
        {TAG: "new", "value": object()},
        {TAG: "new", "value": float("nan")},
    ],
)
def test_what_is_no_tagged_json_is_refused(stored):
    """A tagged object of another shape, and Python objects that are no JSON, are refused."""
    with pytest.raises(EncodingError):
        decode(stored)


@pytest.mark.parametrize(
    "text",
    ["", "nul", "NaN", "[Infinity]", '{"a":-Infinity}', "1e400", "[1e400]", "1 2", "[1", "{'a':1}", '"\x01"', "9" * 5000, "[" * 10**6, '{"a":' * 10**5, '[{"a":' * 10**5,
     '{"__simpleml__":"tuple","value":[' * 10**4, None, 5, b"1", bytearray(b"1"), "\ufeff1"],
    ids=lambda text: repr(text)[:20],
)  # fmt: skip
def test_text_that_is_no_strict_json_is_refused(text):
    """Text that is not one strict JSON value, or nested absurdly, is an `EncodingError`, not a recursion error."""
    with pytest.raises(EncodingError):
        loads(text)


@pytest.mark.parametrize("tag", [*TAGS, "unknown"])
def test_depth_bombs_are_refused_or_kept(tag):
    """A structure nested twenty thousand deep, under any tag, is an `EncodingError`."""
    bomb: object = 1
    for _ in range(20_000):
        bomb = [bomb]
    try:
        with pytest.raises(EncodingError):
            decode({TAG: tag, "value": bomb})
    finally:
        while isinstance(bomb, list):  # taken apart by hand: freeing it at once recurses
            bomb = bomb.pop()
    deep: object = 1
    for _ in range(150):
        deep = {TAG: tag, "value": [deep]}
    with contextlib.suppress(EncodingError):
        assert isinstance(decode(deep), Opaque)


EVENTS: list[tuple[str, object]] = []
_WATCHED = {
    "import",
    "exec",
    "compile",
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.remove",
    "pickle.find_class",
    "socket.connect",
}
_watching = False


def _audit(event, arguments):
    if _watching and event in _WATCHED:
        EVENTS.append((event, arguments[0] if arguments else None))


sys.addaudithook(_audit)


@contextlib.contextmanager
def watched():
    """Record every import, execution and process that happens inside the block."""
    global _watching
    EVENTS.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False


def test_the_watch_sees_an_import_and_a_pickle():
    """The audit hook that the next tests rely on sees `import`, `exec` and unpickling."""
    data = pickle.dumps(os.getcwd)
    with watched():
        exec("pass")
        with contextlib.suppress(ImportError):
            __import__("no_such_module_at_all")
        pickle.loads(data)
    assert {event for event, _ in EVENTS} >= {"import", "exec", "pickle.find_class"}


EVIL_NAMES = [
    "os:system", "builtins:eval", "builtins:exec", "subprocess:Popen", "antigravity:fly", "this:s", "idlelib.idle:main", "lib2to3:x", "turtledemo:x",
    "simpleml.encoding.registry:Codec.encode", "simpleml.testing:x", "pickle:loads", "numpy:load", "pandas:read_pickle", "functools:partial",
    "types:FunctionType", "types:CodeType", "importlib:import_module", "__main__:__builtins__", "sys:modules", ":", "", "a" * 10**6, "os:", ":system",
    "builtins:object", "builtins:type", "builtins:object.__subclasses__", "enum:Enum", "enum:Flag", "typing:NamedTuple", "dataclasses:Field", "os.path:join",
    "../../etc/passwd", "pickle_serialized->gASV", "!!python/object/apply:os.system", "cos\nsystem\n(S'true'\ntR.", "py/object", "numpy.evil", "pandas.evil", "polars.x",
    "zoneinfo.evil", "numpy.ndarray.__reduce__",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["enum", "dataclass", "namedtuple", "tag"])
def test_names_in_json_are_never_imported_or_run(kind):
    """Tags and class names that name code stay opaque (or are refused): nothing is imported, executed or found to call."""
    for encoded in VALID:
        decode(encoded)  # whatever the libraries load at their first use is loaded now
    modules = set(sys.modules)
    pickled = base64.b64encode(pickle.dumps(os.getcwd)).decode()
    states: list[object] = [{}, {"x": 1}, [1], "RED", [["true"]], pickled, {"args": ["true"]}]
    with watched():
        for name in EVIL_NAMES:
            for state in states:
                stored = (
                    {TAG: name, "value": state}
                    if kind == "tag"
                    else {TAG: kind, "value": {"class": name, "state": state}}
                )
                try:
                    found = decode(stored)
                except EncodingError:
                    continue
                assert isinstance(found, Opaque), (name, found)
                assert encode(found) == stored
    assert EVENTS == []
    assert set(sys.modules) == modules


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([tag for tag in TAGS if tag not in ("zoneinfo.ZoneInfo", "pytz.timezone")]),
    junk.filter(lambda payload: "pytz.timezone" not in repr(payload)),  # our own code for it is looked for each time
)
def test_no_payload_imports_or_runs_anything(tag, payload):
    """No payload under any of our tags leads to an import of what it names, an execution, a process or an unpickling."""
    stored = {TAG: tag, "value": payload}
    attempt(stored)  # the first time, a library may load parts of itself
    with watched():
        attempt(stored)
    assert EVENTS == []


def test_arrays_never_unpickle():
    """Pickled bytes in the place of array data are refused as the wrong number of bytes."""
    data = base64.b64encode(pickle.dumps(os.getcwd)).decode()
    for dtype in ("|O", "<f8", {"string": True}):
        with watched(), pytest.raises(EncodingError):
            decode({TAG: "numpy.ndarray", "value": {"dtype": dtype, "shape": [1], "data": data}})
        assert EVENTS == []


def test_a_string_that_looks_like_a_pickle_is_a_string():
    """The old marker for pickles in JSON is an ordinary string, in a value and in a column name."""
    text = json.dumps(
        {"feature_names": ["pickle_serialized->gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu"]}
    )
    with watched():
        assert loads(text) == json.loads(text)
    assert EVENTS == []
