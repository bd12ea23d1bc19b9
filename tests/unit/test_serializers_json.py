from __future__ import annotations

import json
import math
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zoneinfo import TZPATH, ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.json import JSON_TEXT
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, JSON_TEXT)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class Text(str):  # noqa: SLOT000
    pass


class Mapping(dict):
    pass


def same(left, right):
    """Equal in type and content, floats to the bit but for the payload of a NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, datetime | time):
        return repr(left) == repr(right)  # with zone and fold
    return left == right


class TestContract(SerializerContract):
    def serializer(self):
        return JSON_TEXT

    def values(self):
        return [
            *(None, True, 0, -(10**40), 0.1, -0.0, math.nan, math.inf, "", "é\n\0", "\ud800", [], {}, [[], {}]),
            *({"b": 1, "a": [1, 1.0, True, None]}, {"": {"x": "y"}}, 12345, "ends in 12"),
            *((1, 2), {1: "a"}, b"bytes", {3, 4}, Decimal("1.10")),
        ]

    def same(self, left, right):
        return same(left, right)

    def refused(self):
        return [object(), [lambda: None], {"deep": [object()]}]

    def large(self):
        return ["x" * 1000] * 25_000


@given(PLAIN)
@settings(max_examples=150, deadline=None)
def test_plain_values_are_accepted_and_come_back(value):
    """Every value of plain JSON types is accepted, and comes back equal in type, order and every bit that JSON can hold."""
    assert JSON_TEXT.accepts(value)
    data, details = dump(value)
    assert same(JSON_TEXT.load(data, format=1, details=details), value)


OFFSET = timezone(timedelta(hours=5, minutes=30), "IST")


@pytest.mark.parametrize(
    "value",
    [
        *((1, (2.5, ())), {1: 2}, {None: 1, (1, "x"): 2, "k": [3]}, b"x", bytearray(b"x"), {1, 2}, frozenset({(1, b"x")}), 1j, -0j),
        *(Decimal("1.10"), UUID(int=7), date(2020, 2, 29), timedelta(1, 2, 3), time(1, 2, fold=1), datetime.max, {date.min: {Decimal(1)}}),
        *(datetime(2020, 1, 1, tzinfo=UTC), time(1, tzinfo=OFFSET), [datetime(2020, 1, 1, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))]),
    ],
    ids=repr,
)  # fmt: skip
def test_plain_data_of_the_standard_library_is_accepted_and_comes_back(value):
    """Tuples, sets, keys of any plain type, bytes, decimals and times are accepted, at any place, and come back exactly."""
    for held in (value, {"a": [value]}, (value,), {1: value}):
        assert JSON_TEXT.accepts(held)
        data, details = dump(held)
        assert same(JSON_TEXT.load(data, format=1, details=details), held)


@pytest.mark.parametrize(
    "wrap", [lambda value: (value,), lambda value: frozenset({value}), lambda value: {1: value}, lambda value: [value]]
)
def test_as_deep_as_it_is_accepted_it_comes_back(wrap):
    """Whatever the levels are made of, the deepest value that is accepted is written and read, and a deeper one is not accepted."""
    value = datetime(2020, 1, 1, tzinfo=OFFSET)
    while JSON_TEXT.accepts(wrap(value)):
        value = wrap(value)
    data, details = dump(value)
    assert repr(JSON_TEXT.load(data, format=1, details=details)) == repr(value)


class Zone(tzinfo):
    pass


class Pair(NamedTuple):
    left: int


with open(next(path for folder in TZPATH if (path := Path(folder, "Europe/Berlin")).exists()), "rb") as _file:
    NAMELESS = ZoneInfo.from_file(_file)


@pytest.mark.parametrize(
    "value",
    [
        *(
            Text("x"),
            Mapping(a=1),
            [Text("x")],
            {Text("k"): 1},
            Pair(1),
            object,
            range(3),
            bytes(2_000_000),
            memoryview(b"x"),
        ),
        *(datetime(2020, 1, 1, tzinfo=Zone()), datetime(2020, 1, 1, tzinfo=NAMELESS)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_are_not_accepted(value):
    """Subclasses, long bytes, times of zones that have no name and all else are left to other patterns when nobody asked for json."""
    for held in (value, {"a": [value]}, (value,), {1: value}):
        assert not JSON_TEXT.accepts(held)


def test_cycles_and_monsters_are_not_accepted():
    """Values that refer to themselves, are nested very deeply or have more than a million elements are looked at briefly."""
    cycle = {}
    cycle["me"] = [cycle]
    deep = []
    for _ in range(1000):
        deep = [deep]
    bush = []
    for _ in range(60):
        bush = [bush, bush]
    assert [JSON_TEXT.accepts(value) for value in (cycle, deep, bush, [0] * 2_000_000)] == [False] * 4
    assert JSON_TEXT.accepts([0] * 900_000)


def test_a_cycle_is_refused():
    """Dumping a value that refers to itself is a taught error, not an endless loop."""
    cycle = []
    cycle.append(cycle)
    with pytest.raises(SerializationError, match="pickled"):
        dump(cycle)


def test_the_file_is_one_line_of_json_in_utf8():
    """Any JSON reader reads plain values, and the line ends where the file ends."""
    data, _ = dump({"a": [1, "é\n"], "b": None})
    assert json.loads(bytes(data).decode()) == {"a": [1, "é\n"], "b": None}
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1


def test_text_longer_than_a_piece_comes_back():
    """Characters of several bytes are not torn where the text is cut into pieces."""
    value = ["aé" * 700_000, "𝄞" * 300_000]
    data, details = dump(value)
    assert JSON_TEXT.load(data, format=1, details=details) == value


def test_accepting_does_not_recurse():
    """The check needs no stack of its own, so it answers in a thread or frame that is already deep."""
    value = "leaf"
    for _ in range(60):
        value = {"k": [value]} if _ % 2 else [value]

    def at(depth):
        return at(depth - 1) if depth else JSON_TEXT.accepts([1, {"a": value}])

    assert at(sys.getrecursionlimit() // 3) in {True, False}
    assert JSON_TEXT.accepts([[[1]]])
