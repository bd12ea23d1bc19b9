"""The oracle of the codec's tests (`same`), and the values and strategies that they share."""

from __future__ import annotations

import dataclasses
import enum
import math
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import strategies as st


class Colour(enum.Enum):
    RED = 1
    BLUE = ("b", 2)
    ROUGE = 1  # noqa: PIE796  (an alias is what is tested)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.IntFlag):
    A = 1
    B = 4


class Point(NamedTuple):
    x: object
    y: object = 0


Pair = namedtuple("Pair", "left right")  # noqa: PYI024  (the untyped kind is what is tested)


@dataclass
class Settings:
    alpha: object
    beta: object = 2
    names: list[object] = field(default_factory=list)

    @cached_property
    def double(self) -> object:
        return (self.alpha, self.alpha)


@dataclass(frozen=True, slots=True)
class Frozen:
    value: object
    more: object = None


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def _same_zone(one: tzinfo | None, other: tzinfo | None) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, ZoneInfo):
        return one.key == other.key
    if not isinstance(one, timezone):  # none, or of pytz, which has one object for each
        return one is other
    return one.__getinitargs__() == other.__getinitargs__()


def _same_array(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.dtype.char != other.dtype.char or one.shape != other.shape:
        return False
    if one.dtype.names:
        return all(_same_array(one[name], other[name]) for name in one.dtype.names)
    if one.dtype.kind in "OT":
        return all(same(a, b) for a, b in zip(one.flat, other.flat, strict=True))
    if one.dtype.char in "gG":  # padded: its bytes hold more than the value
        return np.array_equal(one, other, equal_nan=True) and np.array_equal(
            np.signbit(one.real), np.signbit(other.real)
        )
    return one.tobytes() == other.tobytes()


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal in type and value, floats to the bit, all the way down."""
    if type(one) is not type(other):
        return False
    if type(one).__name__ in {"NAType", "NaTType"}:
        return one is other
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    if isinstance(one, np.generic):
        if isinstance(one, np.str_ | np.bytes_):
            return len(one) == len(other) and list(one) == list(other)
        return _same_array(np.array(one, dtype=one.dtype), np.array(other, dtype=other.dtype))
    if isinstance(one, np.dtype):
        return one == other and one.char == other.char
    if isinstance(one, float):
        return _bits(one) == _bits(other)
    if isinstance(one, complex):
        return _bits(one.real) == _bits(other.real) and _bits(one.imag) == _bits(other.imag)
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, datetime | time):
        naive = one.replace(tzinfo=None) == other.replace(tzinfo=None)
        return naive and one.fold == other.fold and _same_zone(one.tzinfo, other.tzinfo)
    if isinstance(one, tzinfo):
        return _same_zone(one, other)
    if isinstance(one, enum.Enum):
        return one is other
    if isinstance(one, slice):
        return same((one.start, one.stop, one.step), (other.start, other.stop, other.step))
    if isinstance(one, range):
        return (one.start, one.stop, one.step) == (other.start, other.stop, other.step)
    if dataclasses.is_dataclass(one) and isinstance(one, Settings | Frozen):
        names = [item.name for item in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, Mapping):
        factories = getattr(one, "default_factory", None) is getattr(other, "default_factory", None)
        return factories and same(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple | deque):
        bounds = getattr(one, "maxlen", None) == getattr(other, "maxlen", None)
        return bounds and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        rest = list(other)
        for item in one:
            match = next((i for i, candidate in enumerate(rest) if same(item, candidate)), None)
            if match is None:
                return False
            rest.pop(match)
        return not rest
    return bool(one == other)


def _float(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


ODD_FLOATS = [
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    -math.nan,
    _float(0x7FF0000000000001),
    5e-324,
    sys.float_info.max,
]
ZONES = [None, UTC, timezone(timedelta(hours=-3, seconds=7)), timezone(timedelta(0), "Z"), ZoneInfo("Europe/Berlin")]

EXAMPLES: list[object] = [
    None, True, 0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**5000, 1.0, "", "x", "ü€🎉", "\0", "\ud800", "\ud83d\ude00",
    "a\\0000", *ODD_FLOATS, b"", b"\0\xff", bytearray(b"ab"), 1j, complex(-0.0, math.nan), (), (1, (2,)), [], [[]], {},
    {"a": {"b": [1, 2.5, None]}}, {1: "int", "1": "str", 1.5: 0, (1, 2): 0, None: 0}, {"__simpleml__": "tuple", "value": [1]},
    {"__simpleml__": 1}, {"a": {"__simpleml__": "x"}}, {"\0": 1}, {"\ud800": 1}, {True: 1, 0: 2}, set(), {1, "a", (2,)}, frozenset({None}),
    range(3), range(10, -(10**30), -7), slice(None, 3), slice("a", None, (1,)), deque([1, 2]), deque([1], maxlen=3), OrderedDict(b=1, a=2),
    defaultdict(list, {"a": [1]}), defaultdict(None, {1: 2}), Counter("abca"), Counter({"x": -1}), Decimal("1.10"), Decimal("-0"),
    Decimal("NaN"), Decimal("-sNaN123"), Decimal("Infinity"), Decimal("1E+999999"), Decimal("1E-400"), Fraction(-3, 7), Fraction(2**100, 3),
    UUID(int=5), Path("a/b c"), PurePosixPath("/x"), PureWindowsPath("C:\\x"), Path("\udcff"), date(1, 1, 1), date.max, datetime.min, datetime.max,
    datetime(2024, 10, 27, 2, 30, fold=1), timedelta.min, timedelta.max, timedelta(microseconds=-1), UTC, timezone(timedelta(hours=5), "X"),
    *(datetime(2024, 10, 27, 2, 30, 1, 5, tzinfo=zone, fold=fold) for zone in ZONES for fold in (0, 1)),
    *(time(2, 30, 0, 7, tzinfo=zone, fold=1) for zone in ZONES), ZoneInfo("UTC"), ZoneInfo("America/Argentina/Buenos_Aires"),
    *Colour, *Level, *Word, Rights.READ, Rights.READ | Rights.WRITE, Rights(0), Mode.A | Mode.B, Mode(64 | 1), Point(1), Point((1,), {2: 3}), Pair(1, [2]),
    Settings((1, 2)), Settings(1, None, [Frozen({3})]), Frozen(Frozen(b"x")),
]  # fmt: skip


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 2**64 - 1).map(_float),
    st.sampled_from(ODD_FLOATS),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.binary(max_size=8),
    st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number)),
    st.dates(),
    st.timedeltas(),
    st.sampled_from([*Colour, *Level, *Word, Rights.READ | Rights.WRITE]),
    st.fractions(),
    st.decimals(allow_nan=False),
    st.text("ab/. ", max_size=6).map(Path),
)
moments = st.one_of(
    st.datetimes(timezones=st.none() | st.sampled_from(ZONES) | st.timezones()),
    st.times(timezones=st.sampled_from(ZONES)),
)
leaves = st.one_of(
    scalars,
    moments,
    st.decimals(),
    st.complex_numbers(),
    st.binary(max_size=8).map(bytearray),
    st.builds(range, st.integers(), st.integers(), st.integers().filter(bool)),
    st.builds(slice, scalars, scalars, scalars),
)
keys = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=5) | st.sampled_from(["__simpleml__", "value"]), inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.dictionaries(keys, inner, max_size=3).map(lambda found: defaultdict(int, found)),
        st.sets(keys, max_size=4),
        st.lists(inner, max_size=3).map(lambda found: deque(found, maxlen=5)),
        st.builds(Point, inner, inner),
        st.builds(Settings, inner, inner, st.lists(inner, max_size=2)),
        st.builds(Frozen, inner, inner),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        (math.nan, -math.nan),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1}, {1.0}),
        ({1}, frozenset({1})),
        (Decimal("1.0"), Decimal("1.00")),
        (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC"))),
        (datetime(2024, 1, 1), datetime(2024, 1, 1, fold=1)),
        (deque([1]), deque([1], maxlen=1)),
        (defaultdict(int), defaultdict(list)),
        (Settings(1), Settings(1.0)),
        (np.float64(1), 1.0),
        (np.int64(1), np.longlong(1)),
        (np.zeros(2, "<i4"), np.zeros(2, ">i4")),
        (np.array([1, None]), np.array([1.0, None])),
        (np.zeros((2, 0)), np.zeros((0, 2))),
    ],
)
def test_the_oracle_sees_what_equality_hides(one, other):
    """The oracle tells apart values that differ in type, bits, order, zone or bounds only."""
    assert same(one, one)
    assert not same(one, other)
