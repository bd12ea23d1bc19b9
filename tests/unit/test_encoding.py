"""The codec on values of the standard library: exact both ways, plain data plain, text that every database takes."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.encoding import MAX_DEPTH, Opaque, decode, dumps, encode, loads
from simpleml.errors import EncodingError
from tests.unit.test_encoding_oracle import EXAMPLES, same, values

ROOT = str(Path(__file__).parents[2])


def strict(text: str) -> object:
    """Parse `text` as a parser would that knows no NaN and no Infinity."""

    def refuse(constant: str) -> object:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def levels(value: object) -> int:
    """How many lists and objects are nested in `value`."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
def test_every_type_comes_back_exactly(value):
    """Each supported type comes back equal in type, value and bits, through JSON structures and through text."""
    assert same(decode(encode(value)), value)
    assert same(loads(dumps(value)), value)


@settings(deadline=None, max_examples=150)
@given(values)
def test_whatever_is_nested_comes_back_exactly(value):
    """Any nesting of supported values comes back exactly, from strict ASCII JSON, and the input is not changed."""
    before = copy.deepcopy(value)
    encoded = encode(value)
    text = dumps(value)
    assert same(value, before)
    assert strict(text) == encoded
    assert text.isascii()
    assert levels(encoded) <= 28
    kept = copy.deepcopy(encoded)
    assert same(decode(encoded), value)
    assert encoded == kept
    assert same(loads(text), value)
    assert dumps(loads(text)) == text


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text('aü€🎉\n"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abü", max_size=3), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(plain)
def test_plain_data_stays_plain(value):
    """What JSON can hold is stored as it is, in its order, so that SQL can query it, and nothing of it is shared."""
    encoded = encode(value)
    assert same(encoded, value)
    if isinstance(value, list | dict):
        assert encoded is not value
        assert decode(encoded) is not encoded


def test_the_readme_example_is_stored_as_written():
    """`{"C": 0.5, "name": "x"}` is stored as exactly that text."""
    assert dumps({"C": 0.5, "name": "x"}) == '{"C":0.5,"name":"x"}'


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x\udfff", {"k\0": 1}, 2**63, -(2**63) - 1, math.nan, math.inf])
def test_what_databases_damage_is_tagged(value):
    """No NUL or surrogate escape, no integer beyond 64 bits and no NaN is in the JSON that is stored."""
    text = dumps(value)
    assert "__simpleml__" in text
    assert "\\u0000" not in text
    assert "\\ud" not in text
    assert all(abs(int(run)) < 2**63 for run in text.replace('"', " ").split() if run.lstrip("-").isdigit())


def test_equal_sets_are_written_alike_in_every_process():
    """The text of a set does not depend on PYTHONHASHSEED."""
    script = "from simpleml.encoding import dumps; print(dumps({'a', 'b', 'c', 'd', (1, 'e'), 7}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ROOT}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(texts) == 1


def test_importing_the_codec_imports_no_library():
    """Importing and using it for plain values imports none of numpy, pandas, polars, pyarrow, sqlalchemy and zoneinfo."""
    script = (
        "import sys; from simpleml.encoding import dumps, loads; loads(dumps({'a': (1, 2.5)}));"
        "print([m for m in ('numpy','pandas','polars','pyarrow','sqlalchemy','zoneinfo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": ROOT}, capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


class Text(str):
    __slots__ = ()


class Number(float):
    pass


class Items(list):
    pass


class Names(dict):
    pass


class Triple(tuple):
    __slots__ = ()


@pytest.mark.parametrize("value", [Text("x"), Number(1), Items(), Names(), Triple(), {Text("k"): 1}, {"a": [Text()]}])
def test_subclasses_of_builtins_are_not_flattened(value):
    """A subclass of a built-in type is an error that says what to do, never a silent change of type."""
    with pytest.raises(EncodingError, match="register_encoder"):
        encode(value)


class Holder:
    def __init__(self) -> None:
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"model": [0, threading.Lock()]},
            r"^config\['model'\]\[1\]: .*_thread\.lock.*register_encoder\(lock.*artifact",
        ),
        ({"model": {(1, 2): (Holder(),)}}, r"^config\['model'\]\[\(1, 2\)\]\[0\]: .*Holder"),
        ({1: {"a": Holder()}}, r"^config\[1\]\['a'\]: .*Holder"),
        ({"f": len}, r"^config\['f'\]: .*builtin_function.*store its name"),
        ({"f": lambda: 0}, r"^config\['f'\]: .*function.*store its name"),
        ({"t": int}, r"^config\['t'\]: .*type.*store its name"),
        ({"m": math}, r"^config\['m'\]: .*module.*store its name"),
        ({"d": defaultdict(lambda: 0)}, r"^config\['d'\]: the default factory .*known: int"),
        (object(), "^config: "),
    ],
)
def test_an_error_names_the_path_and_the_way_out(value, message):
    """What cannot be encoded is an error with the path to it, its type, and what to do."""
    with pytest.raises(EncodingError, match=message):
        encode(value, name="config")


def test_cycles_are_named():
    """A value that contains itself is an error that names where, not a recursion error."""
    inner: dict[str, object] = {}
    inner["again"] = [inner]
    with pytest.raises(EncodingError, match=r"^value\['x'\]\['again'\]\[0\] contains itself"):
        encode({"x": inner})
    pair: list[object] = []
    pair.append((pair, pair))
    with pytest.raises(EncodingError, match="contains itself"):
        dumps(pair)


def nested(depth: int, *, wrap) -> object:
    """Wrap 1 so many times."""
    value: object = 1
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS = [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: {1: v}, lambda v: {"a": [0], "b": {"c": (v,)}}]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("depth", [1, 7, 8, 20, 27, 28, 29, 33])
def test_deep_values_are_folded_to_what_databases_take(wrap, depth):
    """Values nested deep come back exactly, from JSON of no more levels than MariaDB reads (32)."""
    value = nested(depth, wrap=wrap)
    assert levels(encode(value)) <= 28
    assert same(loads(dumps(value)), value)


@pytest.mark.parametrize("wrap", WRAPS[:4])
def test_the_depth_limit_is_exact_and_the_same_both_ways(wrap):
    """What is nested as deep as allowed comes back; one level more is an error, not a recursion error."""
    value = nested(MAX_DEPTH, wrap=wrap)
    assert same(loads(dumps(value)), value)
    with pytest.raises(EncodingError, match=f"deeper than {MAX_DEPTH}"):
        encode(wrap(value))
    with pytest.raises(EncodingError):
        encode(nested(100_000, wrap=wrap))


def test_plain_parts_above_the_fold_stay_plain():
    """In a value that is nested too deep, only the deep part is folded; the rest can be queried."""
    encoded = encode({"C": 0.5, "deep": nested(60, wrap=lambda v: [v])})
    assert encoded["C"] == 0.5
    assert isinstance(encoded["deep"][0][0], list)


def test_an_opaque_value_is_written_back_byte_for_byte():
    """A value of an unknown tag is kept whole, wherever it is, and written back as the same bytes."""
    text = '{"b":[{"__simpleml__":"acme.Money","value":{"z":1,"a":[{"__simpleml__":"tuple","value":[1]}],"f":1e+300}}],"a":1}'
    value = loads(text)
    opaque = value["b"][0]
    assert isinstance(opaque, Opaque)
    assert opaque.tag == "acme.Money"
    assert opaque.payload["f"] == 1e300
    assert dumps(value) == text
    assert dumps(loads(dumps({"x": value}))) == '{"x":' + text + "}"


def test_an_opaque_value_is_a_value():
    """An opaque value is immutable, hashable, equal by content, copies and pickles, and says what it is."""
    one, other = Opaque("t", {"a": [1]}), Opaque("t", {"a": [1]}, "another reason")
    assert one == other
    assert len({one, other, Opaque("u", None)}) == 2
    assert copy.deepcopy(one) == one
    assert copy.copy(one).payload == {"a": [1]}
    assert repr(one) == "<Opaque 't' {\"a\":[1]} (nothing is registered under this tag)>"
    assert len(repr(Opaque("t", "x" * 10_000))) < 200
    with pytest.raises(AttributeError):
        one.tag = "u"
    one.payload["a"].append(2)
    assert one.payload == {"a": [1]}
    assert same(decode(encode({one: 1})), {one: 1})


def test_a_deep_opaque_payload_survives():
    """An opaque payload nested deeper than values may be is written back as it was read."""
    text = '{"__simpleml__":"acme.Deep","value":' + "[" * 300 + "]" * 300 + "}"
    value = loads(text)
    assert isinstance(value, Opaque)
    assert loads(dumps([value])) == [value]


def test_speed_is_near_that_of_a_walk():
    """A small plain configuration costs a constant number of steps per item: every item is visited once."""
    config = {f"k{i}": i for i in range(50)}
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        encode(config)
    finally:
        sys.setprofile(None)
    assert calls <= 2 * len(config) + 10
