"""What `simpleml.hashing` promises of Python's own values: types, order, identity, errors, registration."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import math
import pickle
import re
import struct
import subprocess
import sys
import threading
import uuid
import weakref
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.errors import HashingError
from simpleml.hashing import SCHEME, hash_value, hashers, register_hasher, walker

ROOT = Path(__file__).resolve().parents[2]


class Plain:
    def __init__(self, a):
        self.a = a


class Child(Plain):
    pass


class Slotted(Plain):
    __slots__ = ("b",)


class Text(str):
    __slots__ = ("label",)


class Caching:
    def __init__(self, a):
        self.a = a

    @functools.cached_property
    def costly(self):
        return self.a * 2


class WithState:
    def __init__(self, a, scratch):
        self.a, self.scratch = a, scratch

    def __getstate__(self):
        return {"a": self.a}


@dataclasses.dataclass
class Settings:
    depth: int
    names: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    depth: int
    width: int = 1


class Color(enum.Enum):
    RED = 1
    GREEN = 2


class Number(enum.IntEnum):
    ONE = 1


class Flags(enum.Flag):
    A = 1
    B = 2


class Point(NamedTuple):
    x: int
    y: int


class Place(NamedTuple):
    x: int
    y: int


DISTINCT = [
    None,
    False,
    True,
    0,
    1,
    -1,
    255,
    256,
    -256,
    2**64,
    10**400,
    0.0,
    -0.0,
    1.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    1 + 0j,
    complex(1, -0.0),
    complex(float("nan"), 0),
    "",
    "1",
    "a",
    "\ud83d\ude00",
    "\U0001f600",
    "x" * 5000,
    b"",
    b"a",
    b"x" * 5000,
    bytearray(b"a"),
    memoryview(b"a"),
    memoryview(struct.pack("2i", 1, 2)).cast("i"),
    ...,
    NotImplemented,
    Text("a"),
    [],
    (),
    {},
    set(),
    frozenset(),
    [1, 2],
    [2, 1],
    (1, 2),
    {1, 2},
    frozenset({1, 2}),
    [[1], 2],
    [[1, 2]],
    [1, [2]],
    ["a", "b"],
    ["ab", ""],
    {1: 2},
    {2: 1},
    {1: 2.0},
    {"1": 2},
    [(1, 2)],
    {"a": None},
    {"a": {}},
    collections.OrderedDict(a=1, b=2),
    collections.OrderedDict(b=2, a=1),
    {"a": 1, "b": 2},
    collections.defaultdict(list, a=1),
    collections.defaultdict(set, a=1),
    collections.Counter("aab"),
    collections.deque([1]),
    collections.deque([1], maxlen=3),
    MappingProxyType({1: 2}),
    SimpleNamespace(a=1),
    range(3),
    range(0, 6, 2),
    Point(1, 2),
    Place(1, 2),
    slice(1, 2),
    dt.date(2024, 1, 1),
    dt.datetime(2024, 1, 1),
    dt.datetime(2024, 1, 1, microsecond=1),
    dt.datetime(2024, 1, 1, fold=1),
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC")),
    dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    dt.time(1),
    dt.time(1, tzinfo=dt.UTC),
    dt.timedelta(1),
    dt.timedelta(microseconds=1),
    Decimal("1.0"),
    Decimal("1.00"),
    Decimal("NaN"),
    Decimal("-0"),
    Fraction(1, 3),
    uuid.UUID(int=1),
    Path("a/b"),
    Path("/a/b"),
    re.compile("a"),
    re.compile("a", re.IGNORECASE),
    Color.RED,
    Color.GREEN,
    Number.ONE,
    Flags.A,
    Flags.A | Flags.B,
    Plain(1),
    Plain(1.0),
    Plain([1]),
    Child(1),
    Slotted(1),
    Settings(1),
    Settings(1, ["a"]),
    Frozen(1),
    Frozen(1, 2),
    ValueError("a"),
    ValueError("b"),
    sys,
    re,
    len,
    max,
    int,
    float,
    [].append,
    [1].append,
    "".join,
    str.upper,
    int.__add__,
    dict.fromkeys,
    functools.partial(max, 1),
    functools.partial(min, 1),
    functools.partial(max, 2),
    functools.partial(max, default=1),
    list[int],
    list[str],
    int | None,
]


def test_a_hash_is_the_scheme_and_64_hexadecimal_digits():
    """A hash reads `1:` and the 64 digits of a BLAKE3 digest."""
    assert SCHEME == 1
    assert re.fullmatch(r"1:[0-9a-f]{64}", hash_value({"a": 1}))


def test_different_values_have_different_hashes():
    """No two of a long list of values that differ in type, content, order or nesting share a hash."""
    seen: dict[str, object] = {}
    for value in DISTINCT:
        key = hash_value(value)
        assert key not in seen, f"{value!r} and {seen.get(key)!r}"
        seen[key] = value


@pytest.mark.parametrize("value", DISTINCT)
def test_saving_and_loading_keeps_the_hash(value):
    """A value hashes the same again, and after pickle has written and read it (if pickle can)."""
    assert hash_value(value) == hash_value(value)
    if not isinstance(value, memoryview | MappingProxyType | type(sys)):
        assert hash_value(pickle.loads(pickle.dumps(value))) == hash_value(value)


def test_all_nans_are_alike():
    """Every NaN, whatever its sign and payload, hashes as every other, also inside complex numbers."""
    odd = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    assert hash_value(odd) == hash_value(float("nan"))
    assert hash_value(complex(0, odd)) == hash_value(complex(0, float("nan")))
    assert hash_value(Decimal("sNaN123")) == hash_value(Decimal("NaN"))


def test_equal_ranges_and_paths_are_one_value():
    """Ranges that yield the same integers, and a path written for another platform, hash the same."""
    assert hash_value(range(0)) == hash_value(range(5, 5, 2))
    assert hash_value(range(0, 5, 3)) == hash_value(range(0, 4, 3))
    assert hash_value(Path("a/b")) == hash_value(PurePosixPath("a/b")) == hash_value(PureWindowsPath(r"a\b"))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf")]),
    st.sampled_from(["", "a", "b", "1"]),
    st.sampled_from([b"", b"a", b"1"]),
)
hashables = st.recursive(
    scalars, lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)), max_leaves=5
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashables, inner, max_size=3),
        st.sets(hashables, max_size=3),
        st.builds(Plain, inner),
    ),
    max_leaves=8,
)


def oracle(value):
    """What a value is, by other means: nested tuples and frozensets of types and exact text."""
    name = type(value).__name__
    if isinstance(value, float):
        return name, "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, list | tuple):
        return name, tuple(map(oracle, value))
    if isinstance(value, set | frozenset):
        return name, tuple(sorted((oracle(item) for item in value), key=repr))
    if isinstance(value, dict):
        return name, tuple(sorted(((oracle(key), oracle(item)) for key, item in value.items()), key=repr))
    if isinstance(value, Plain):
        return name, oracle(value.a)
    return name, value if isinstance(value, str | bytes) else repr(value)


@settings(max_examples=250, deadline=None)
@given(values, values)
def test_hashes_agree_exactly_if_values_do(one, other):
    """Two nested values have one hash if, and only if, they are equal in content and in every type."""
    assert (hash_value(one) == hash_value(other)) == (oracle(one) == oracle(other))
    assert hash_value(one) == hash_value(pickle.loads(pickle.dumps(one)))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(hashables, values, max_size=6), st.randoms())
def test_insertion_order_of_dicts_and_sets_does_not_count(mapping, random):
    """A dict or set built in another order has the same hash."""
    items = list(mapping.items())
    random.shuffle(items)
    assert hash_value(dict(items)) == hash_value(mapping)
    assert hash_value({key for key, _ in items}) == hash_value(set(mapping))


def test_sharing_does_not_count():
    """A part that is one object in two places hashes as two equal objects do, however often it is shared."""
    part = [1, [2]]
    assert hash_value([part, part]) == hash_value([[1, [2]], [1, [2]]])
    doubled: list = []
    for _ in range(200):  # 2**200 paths to the innermost list
        doubled = [doubled, doubled]
    assert hash_value(doubled) == hash_value(pickle.loads(pickle.dumps(doubled)))


def test_cycles_are_refused():
    """A container or an instance that holds itself is an error that says so, not an endless walk."""
    items: list = [1]
    items.append({"again": items})
    with pytest.raises(HashingError, match=r"value\[1\]\['again'\]: it is a cycle.*\.$"):
        hash_value(items)
    plain = Plain(None)
    plain.a = plain
    with pytest.raises(HashingError, match=r"value\.a: it is a cycle"):
        hash_value(plain)


def test_depth_is_no_limit():
    """20,000 nested lists have a hash; one more is another."""
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    assert hash_value(deep) != hash_value([deep])


def test_a_value_without_end_is_refused(monkeypatch):
    """An object whose state is a new object for ever is an error, not a crash (the limit is lowered here)."""
    monkeypatch.setattr(walker, "_DEEPEST", 1000)

    class Endless:
        def __getstate__(self):
            return {"next": Endless()}

    with pytest.raises(HashingError, match=r"levels deep"):
        hash_value(Endless())


def test_errors_name_the_way_to_the_part():
    """The error names the attribute path from the name that the caller gave, and both ways out."""
    config = {"a": [1, 2, SimpleNamespace(lock=threading.Lock())]}
    with pytest.raises(HashingError) as caught:
        hash_value(config, name="config")
    message = str(caught.value)
    assert message.startswith("cannot hash config['a'][2].lock: ")
    assert "register_hasher" in message
    assert "Leave it out" in message


def test_long_paths_are_cut_in_the_middle():
    """The path of a part deep inside names both ends of the way only."""
    deep: object = threading.Lock()
    for _ in range(1000):
        deep = [deep]
    with pytest.raises(HashingError) as caught:
        hash_value(deep)
    assert "levels …" in str(caught.value)
    assert len(str(caught.value)) < 600


UNSTABLE = {
    "lock": threading.Lock,
    "generator": lambda: (item for item in ()),
    "iterator": lambda: iter([1]),
    "map": lambda: map(str, []),
    "keys": lambda: {}.keys(),
    "weak reference": lambda: weakref.ref(Plain),
    "weak proxy": lambda: weakref.proxy(Plain),
    "thread": threading.Thread,
    "frame": sys._getframe,
    "held lock": lambda: Plain(threading.Lock()),
    "in a set": lambda: {threading.Lock()},
    "as a key": lambda: {threading.Lock(): 1},
    "in a partial": lambda: functools.partial(max, threading.Lock()),
}


@pytest.mark.parametrize("make", UNSTABLE.values(), ids=UNSTABLE)
def test_what_has_no_value_is_refused(make):
    """Locks, generators, iterators, views, weak references, threads and frames are errors, wherever they are."""
    with pytest.raises(HashingError, match="cannot hash value"):
        hash_value(make())


def test_open_files_are_refused(tmp_path):
    """An open file is an error."""
    with (tmp_path / "file").open("w") as file, pytest.raises(HashingError):
        hash_value({"log": file})


def test_a_failing_getstate_is_named():
    """An exception in a class's own `__getstate__` becomes a HashingError that carries it."""

    class Broken:
        def __getstate__(self):
            raise ZeroDivisionError("no state today")

    with pytest.raises(HashingError, match="no state today") as caught:
        hash_value([Broken()])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_state_is_what_counts_of_an_instance():
    """What `__getstate__` leaves out and what `cached_property` cached do not count; every other attribute does."""
    assert hash_value(WithState(1, "x")) == hash_value(WithState(1, threading.Lock()))
    assert hash_value(WithState(1, "x")) != hash_value(WithState(2, "x"))
    cached = Caching(1)
    before = hash_value(cached)
    assert cached.costly == 2
    assert hash_value(cached) == before
    cached.other = 1
    assert hash_value(cached) != before


def test_subclasses_of_containers_count_their_attributes():
    """A dict's subclass hashes its type, its items and its attributes."""

    class Bag(dict):
        pass

    bag, labelled = Bag(a=1), Bag(a=1)
    labelled.label = "x"
    assert len({hash_value({"a": 1}), hash_value(bag), hash_value(labelled)}) == 3
    assert hash_value(Bag(a=1)) == hash_value(bag)


@pytest.fixture
def registrations():
    """Forget what a test registers."""
    before = dict(hashers._users)
    yield
    hashers._users.clear()
    hashers._users.update(before)
    hashers._found.clear()


def test_a_registered_hasher_stands_in_for_its_type(registrations):
    """A registered function's result is hashed in place of the value, together with the type's name."""

    class Connection:
        def __init__(self, url):
            self.url, self.lock = url, threading.Lock()

    @register_hasher(Connection)
    def by_url(connection: Connection) -> str:
        return connection.url

    assert hash_value([Connection("a")]) == hash_value([Connection("a")])
    assert hash_value(Connection("a")) != hash_value(Connection("b"))
    assert hash_value(Connection("a")) != hash_value("a")


def test_the_most_specific_registration_wins(registrations):
    """Of several classes in the MRO, the first that has a hasher decides, registered or built in."""

    class Base(dict):
        pass

    class Derived(Base):
        pass

    register_hasher(Base, lambda _value: "base")
    assert hash_value(Derived(a=1)) == hash_value(Derived(a=2))
    register_hasher(Derived, dict)
    assert hash_value(Derived(a=1)) != hash_value(Derived(a=2))
    assert hash_value(Base(a=1)) == hash_value(Base(a=2))


def test_registration_by_name_imports_nothing(registrations):
    """A hasher may be registered under a public name, before or without an import of its module."""
    register_hasher("fractions.Fraction", lambda _value: "any fraction")
    register_hasher("no_such_package.Thing", str)
    assert hash_value(Fraction(1, 3)) == hash_value(Fraction(1, 2))
    assert "no_such_package" not in sys.modules


def test_registrations_that_cannot_be_are_refused(registrations):
    """The scheme's own leaves, and what is no type, cannot be given a hasher."""
    with pytest.raises(HashingError, match="part of the scheme"):
        register_hasher(str, len)
    with pytest.raises(HashingError, match="Give a class"):
        register_hasher("Fraction", str)
    with pytest.raises(HashingError, match="Give a class"):
        register_hasher(3, str)  # type: ignore[call-overload]


def test_a_failing_hasher_is_named(registrations):
    """An exception in a registered function is an error that names the type and carries the cause."""
    register_hasher(Plain, lambda _value: 1 // 0)
    with pytest.raises(HashingError, match="Plain") as caught:
        hash_value([Plain(1)], name="items")
    assert "items[0]" in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_hashing_imports_no_optional_library():
    """Importing the package and hashing plain values loads none of the optional libraries."""
    program = (
        "import sys; from simpleml.hashing import hash_value; hash_value({'a': [1, 'b', lambda: 1]});"
        "print([m for m in ('numpy','pandas','polars','pyarrow','scipy','sklearn','torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
