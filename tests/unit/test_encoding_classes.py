"""Registered classes, and enums, dataclasses and named tuples that are found by their names."""

from __future__ import annotations

import dataclasses
import enum
import sys
import types
from collections import namedtuple
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

import pytest

from simpleml.encoding import Opaque, decode, dumps, encode, loads, register_encoder, registry
from simpleml.encoding import registration as registration_module
from simpleml.errors import DuplicateNameError, EncodingError
from tests.unit.test_encoding_oracle import Colour, Frozen, Mode, Point, Settings, same

TAG = "__simpleml__"


@pytest.fixture(autouse=True)
def _own_registrations():
    """Give back the registries as they were."""
    tables = (registry.encoders, registry.decoders, registry.class_names, registration_module._owners)
    before = [dict(table) for table in tables]
    classes = set(registry.registered)
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
    registry.registered.clear()
    registry.registered.update(classes)


class Money:
    def __init__(self, amount: int, currency: str) -> None:
        self.amount, self.currency = amount, currency

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((self.amount, self.currency))


def register_money(**options):
    """Register `Money` with these options."""
    return register_encoder(
        Money, encode=lambda m: (m.amount, m.currency), decode=lambda state: Money(*state), **options
    )


def test_a_registered_class_comes_back():
    """A registered class is stored under its name, with whatever encodable value its encoder returns."""
    assert register_money() is Money
    assert encode(Money(3, "EUR")) == {TAG: "Money", "value": {TAG: "tuple", "value": [3, "EUR"]}}
    assert loads(dumps({Money(3, "EUR"): [Money(4, "CHF")]})) == {Money(3, "EUR"): [Money(4, "CHF")]}


def test_a_class_may_bring_its_own_encoder_by_decorator():
    """A decorated class with `__encode__` and `__decode__` is registered under the given tag."""

    @register_encoder(tag="geo.Spot")
    class Spot:
        def __init__(self, x):
            self.x = x

        def __encode__(self):
            return {"x": self.x}

        @classmethod
        def __decode__(cls, state):
            return cls(state["x"])

    encoded = encode(Spot((1,)))
    assert encoded[TAG] == "geo.Spot"
    assert decode(encoded).x == (1,)


def test_a_decorated_dataclass_needs_nothing_else():
    """A registered dataclass, named tuple or enum is stored by fields or name under its tag, even a local one."""

    @register_encoder
    @dataclass
    class Local:
        a: object
        b: object = None

    @register_encoder
    class Couple(NamedTuple):
        a: object

    @register_encoder
    class Kind(enum.Enum):
        ONE = object()

    value = [Local((1,), {2}), Couple(b"x"), Kind.ONE]
    assert encode(value[0]) == {TAG: "Local", "value": {"a": encode((1,)), "b": encode({2})}}
    assert decode(encode(value)) == value
    assert decode(encode(value))[2] is Kind.ONE


def test_old_tags_stay_readable():
    """JSON under a former tag, or a former module, is read as the class that took the alias."""
    old_structure = encode(Settings(1))
    old_structure["value"]["class"] = "old.place:Conf"
    register_money(aliases=("Geld", "Currency"))
    assert decode({TAG: "Geld", "value": [1, "EUR"]}) == Money(1, "EUR")
    assert isinstance(decode(old_structure), Opaque)
    register_encoder(Settings, "settings", aliases=("old.place:Conf",))
    assert same(decode(old_structure), Settings(1))
    assert encode(Settings(1))[TAG] == "settings"


def test_a_class_that_moves_to_a_new_tag_reads_its_old_one():
    """Registering the same class under another tag keeps what is stored under the first readable."""
    register_money(tag="m1")
    stored = encode(Money(1, "EUR"))
    register_money(tag="m2")
    assert encode(Money(1, "EUR"))[TAG] == "m2"
    assert decode(stored) == Money(1, "EUR")


def test_a_notebook_cell_can_be_run_again():
    """The same class, defined anew, replaces its registration; new JSON and old come back as the new class."""

    def cell():
        @register_encoder
        @dataclass
        class Cell:
            x: int

        return Cell

    first = cell()
    stored = encode(first(1))
    second = cell()
    assert type(decode(stored)) is second
    with pytest.raises(EncodingError, match="register_encoder"):
        encode(first(1))


def test_a_taken_tag_is_refused():
    """A different class under a taken tag or alias, one of our own tags, and a class we know are refused."""
    register_money()
    for tag, aliases in (("Money", ()), ("x", ("Money",)), ("tuple", ()), ("numpy.ndarray", ()), ("json", ())):
        with pytest.raises(DuplicateNameError, match="tag="):
            register_encoder(Holder, tag, encode=vars, decode=Holder, aliases=aliases)
    for known in (int, dict, tuple, bytes, type(None)):
        with pytest.raises(DuplicateNameError):
            register_encoder(known, "mine", encode=repr, decode=repr)
    assert decode({TAG: "x", "value": 1}) == Opaque("x", 1)


class Holder:
    def __init__(self, state: object = None) -> None:
        self.state = state


def test_a_class_without_encoder_is_refused():
    """Registering a class that is no structure and brings no pair of functions is an error."""
    for options in ({}, {"encode": vars}, {"decode": Holder}):
        with pytest.raises(EncodingError, match="both encode= and decode="):
            register_encoder(Holder, **options)


class Text(str):
    __slots__ = ()


def test_a_subclass_of_a_builtin_can_be_registered():
    """A registered subclass of `str` comes back as itself, as value and as key."""
    register_encoder(Text, encode=str, decode=Text)
    back = decode(encode({Text("k"): Text("v")}))
    assert [type(item) for pair in back.items() for item in pair] == [Text, Text]


class Animal:
    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return type(self) is type(other) and self.name == other.name

    __hash__ = None


class Dog(Animal):
    pass


class Puppy(Dog):
    pass


def test_subclasses_take_the_most_specific_encoder_that_gives_them_back():
    """A subclass uses the encoder of its nearest registered base if that restores the subclass, else it is refused."""
    register_encoder(Animal, encode=lambda a: a.name, decode=Animal)
    assert decode(encode(Animal("a"))) == Animal("a")
    with pytest.raises(EncodingError, match=r"register_encoder\(Puppy"):
        encode(Puppy("p"))
    kinds = {"Dog": Dog, "Puppy": Puppy}
    register_encoder(Dog, encode=lambda d: (type(d).__name__, d.name), decode=lambda state: kinds[state[0]](state[1]))
    assert decode(encode([Dog("d"), Puppy("p"), Animal("a")])) == [Dog("d"), Puppy("p"), Animal("a")]


def test_a_failing_encoder_or_decoder_is_an_encoding_error():
    """What a registered function raises is the cause of an error that names path and class."""

    def fail(value):
        raise KeyError("inner")

    register_encoder(Holder, encode=fail, decode=fail)
    with pytest.raises(EncodingError, match=r"^value\['h'\]: .*Holder.*KeyError") as caught:
        encode({"h": Holder()})
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(EncodingError, match=r"^value\[0\]: .*'Holder'.*KeyError"):
        decode([{TAG: "Holder", "value": 1}])


def test_structures_are_stored_readably():
    """Enums are stored by name, dataclasses and named tuples by field."""
    module = Settings.__module__
    assert encode(Colour.ROUGE) == {TAG: "enum", "value": {"class": f"{module}:Colour", "state": "RED"}}
    assert encode(Point(1)) == {TAG: "namedtuple", "value": {"class": f"{module}:Point", "state": {"x": 1, "y": 0}}}
    stored = encode(Settings(1, names=["n"]))
    assert stored["value"]["state"] == {"alpha": 1, "beta": 2, "names": ["n"]}


LOG: list[str] = []


@dataclass
class Loud:
    x: int
    hidden: InitVar[int] = 0
    made: int = field(init=False, default=7)

    def __new__(cls, *_args, **_kwargs):
        LOG.append("new")
        return super().__new__(cls)

    def __post_init__(self, hidden):
        LOG.append("post_init")

    def __setattr__(self, name, value):
        LOG.append("setattr")
        super().__setattr__(name, value)


class LoudPair(namedtuple("LoudPair", "a b")):  # noqa: PYI024
    __slots__ = ()

    def total(self):
        return self.a + self.b


def test_no_code_of_a_dataclass_runs_when_it_is_restored():
    """Restoring a dataclass runs neither `__new__` nor `__init__`, `__post_init__` or `__setattr__`."""
    value = Loud(3)
    value.made = 9
    encoded = encode(value)
    LOG.clear()
    back = decode(encoded)
    assert LOG == []
    assert (back.x, back.made) == (3, 9)
    assert decode(encode(LoudPair(1, 2))).total() == 3


class Grabby(namedtuple("Grabby", "a")):  # noqa: PYI024
    __slots__ = ()

    def __new__(cls, a):
        LOG.append("new")
        return super().__new__(cls, a)


@dataclass
class Deleting:
    x: int = 0

    def __del__(self):
        LOG.append("del")


@dataclass
class Failure(Exception):
    x: int = 0


@dataclass
class Undecorated(Settings):
    extra: object = 3


class Plain(Settings):
    pass


@dataclass
class Guarded:
    x: int = 1

    @property
    def y(self):
        return self.x


def _guarded() -> object:
    cls = dataclasses.make_dataclass("Sneaky", ["x"], namespace={"__module__": __name__})
    cls.x = property(lambda _: 1, lambda _, value: LOG.append(f"set {value}"))
    globals()["Sneaky"] = cls
    return object.__new__(cls)


@pytest.mark.parametrize("make", [lambda: Grabby(1), Deleting, Failure, lambda: Plain(1), _guarded])
def test_structures_that_need_their_code_are_refused(make):
    """A class whose instances only its own code can make, or that runs code when collected, has to be registered."""
    with pytest.raises(EncodingError, match="register_encoder"):
        encode(make())


def test_such_structures_are_not_restored_either():
    """JSON that names a class with `__del__` or a built-in base stays opaque: none of its code runs."""
    LOG.clear()
    for name in ("Deleting", "Failure"):
        stored = {TAG: "dataclass", "value": {"class": f"{__name__}:{name}", "state": {"x": 1}}}
        assert isinstance(decode(stored), Opaque)
    assert LOG == []


def test_cached_values_are_no_state_and_other_attributes_are_refused():
    """A cached property is left out (it is computed again); any other attribute that is no field is an error."""
    value = Settings(1)
    assert value.double == (1, 1)
    assert same(decode(encode(value)), Settings(1))
    value.surprise = 1
    with pytest.raises(EncodingError, match="'surprise'"):
        encode(value)


def test_inherited_dataclasses_and_slots_come_back():
    """A decorated subclass of a dataclass and a slotted, frozen one come back with all fields."""
    assert decode(encode(Undecorated(1, extra=(2,)))) == Undecorated(1, extra=(2,))
    assert decode(encode(Guarded(5))).y == 5
    back = decode(encode(Frozen([1])))
    assert back == Frozen([1])
    with pytest.raises(dataclasses.FrozenInstanceError):
        back.value = 2


def test_a_local_class_has_to_be_registered():
    """A class that cannot be found by its name is refused when it is encoded, not when it is too late."""

    @dataclass
    class Local:
        x: int = 0

    with pytest.raises(EncodingError, match="cannot be found again as"):
        encode(Local())


def test_a_redefined_class_is_named():
    """An instance of a class that was defined anew since is refused, and the message says so."""
    module = types.ModuleType("a_notebook")
    sys.modules["a_notebook"] = module
    try:
        made = [dataclasses.make_dataclass("Cfg", ["x"], namespace={"__module__": "a_notebook"}) for _ in range(2)]
        module.Cfg = made[1]
        assert decode(encode(made[1](1))) == made[1](1)
        with pytest.raises(EncodingError, match="defined anew"):
            encode(made[0](1))
    finally:
        del sys.modules["a_notebook"]


def version_of(*fields, **options):
    """Put a class `a_module:Cfg` with these fields in place, and return it."""
    module = sys.modules.setdefault("a_module", types.ModuleType("a_module"))
    module.Cfg = dataclasses.make_dataclass("Cfg", fields, namespace={"__module__": "a_module"}, **options)
    return module.Cfg


@pytest.mark.parametrize("slots", [False, True])
def test_a_dataclass_that_changed_is_filled_or_kept_opaque(slots):
    """New fields get their defaults if that runs no code; lost or new required fields leave the value opaque, unharmed."""
    try:
        stored = encode(version_of("a", slots=slots)(1))
        text = dumps(version_of("a", slots=slots)(1))
        added = ("b", int, field(default=2)), ("c", list, field(default_factory=list))
        back = decode(stored)
        assert back.a == 1
        version_of("a", *added, slots=slots)
        back = decode(stored)
        assert (back.a, back.b, back.c) == (1, 2, [])
        for fields in (["b"], ["a", "b"], ["a", ("b", int, field(default_factory=lambda: LOG.append("factory")))], []):
            LOG.clear()
            version_of(*fields, slots=slots)
            kept = decode(stored)
            assert isinstance(kept, Opaque)
            assert "field" in kept.reason
            assert dumps(kept) == text
            assert LOG == []
    finally:
        del sys.modules["a_module"]


def test_a_lost_enum_member_or_class_is_kept_opaque():
    """An enum member, an enum class or a module that is gone leaves an opaque value that is written back unchanged."""
    for name, state in (
        (f"{__name__}:Nope", "X"),
        ("no.such.module:Cls", "X"),
        (f"{Colour.__module__}:Colour", "GREEN"),
    ):
        stored = {TAG: "enum", "value": {"class": name, "state": state}}
        kept = decode(stored)
        assert isinstance(kept, Opaque)
        assert encode(kept) == stored


class Greedy(enum.Flag):
    ONE = 1

    @classmethod
    def _missing_(cls, value):
        LOG.append("missing")
        return cls.ONE


def test_no_code_of_an_enum_runs():
    """An unknown value of a flag with its own `_missing_` stays opaque; a plain flag combines its members."""
    LOG.clear()
    stored = {TAG: "enum", "value": {"class": f"{__name__}:Greedy", "state": [64]}}
    assert isinstance(decode(stored), Opaque)
    assert LOG == []
    assert decode(encode(Mode.A | Mode.B)) is Mode.A | Mode.B
    stored["value"]["class"] = f"{Colour.__module__}:Rights"
    assert isinstance(decode(stored), Opaque)


def test_a_module_attribute_hook_never_runs():
    """A class is looked up in namespaces only: no `__getattr__`, descriptor, alias or value that is no class is used."""
    module = types.ModuleType("trap")
    module.__getattr__ = lambda name: LOG.append(name)
    module.Alias = Settings
    module.value = 3
    sys.modules["trap"] = module
    LOG.clear()
    try:
        for name in (
            "trap:Missing",
            "trap:Alias",
            "trap:value",
            "trap:value.real",
            "trap:",
            ":",
            "trap",
            "trap:Alias.alpha",
        ):
            stored = {TAG: "dataclass", "value": {"class": name, "state": {"alpha": 1}}}
            assert isinstance(decode(stored), Opaque), name
    finally:
        del sys.modules["trap"]
    assert LOG == []
