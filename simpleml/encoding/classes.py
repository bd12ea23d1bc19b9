"""Enums, dataclasses and named tuples, by their structure: no constructor, setter or hook of theirs ever runs.

A class is found again as a registered one, or by `module:qualname` if it is imported already. A dataclass instance is
made with `object.__new__` and its fields are set directly: `__init__`, `__post_init__` and `__setattr__` do not run.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
from collections.abc import Callable
from types import MemberDescriptorType
from typing import TYPE_CHECKING, TypeAlias

from simpleml.encoding import payloads, registry
from simpleml.encoding.faults import Fault, Unreadable, short, type_name
from simpleml.encoding.registry import Codec
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

# A new field with one of these factories is filled in when a record from before it is read; any other would run code.
_SAFE_FACTORIES = (list, dict, set, tuple, frozenset)


def is_enum(cls: type) -> bool:
    """Return whether `cls` is an `Enum` class."""
    return issubclass(type(cls), enum.EnumMeta)


def is_dataclass(cls: type) -> bool:
    """Return whether `cls` itself is decorated as a dataclass."""
    return "__dataclass_fields__" in vars(cls)


def is_namedtuple(cls: type) -> bool:
    """Return whether `cls` is a named tuple class, or a class that only adds methods to one."""
    fields = inspect.getattr_static(cls, "_fields", None)
    return (
        issubclass(cls, tuple)
        and type(fields) is tuple
        and all(type(name) is str for name in fields)
        and not any(set(vars(base)) & {"__new__", "__init__"} for base in cls.__mro__[: _own_bases(cls)])
    )


def structural(cls: type) -> Codec | None:
    """Return the codec that writes `cls` by its structure, if it has one and can be found again by its name."""
    kind = _kind(cls)
    return None if kind is None or registry.find_class(registry.name_of(cls)) is not cls else _BY_NAME[kind]


def reason(cls: type) -> str:
    """Return what keeps `cls` from being written by its structure, as the end of a sentence part (or nothing)."""
    if _kind(cls) is None:
        return ""
    found = registry.find_class(registry.name_of(cls))
    if found is None:
        return f" (it cannot be found again as {registry.name_of(cls)!r})"
    return f" (its class was defined anew since as {registry.name_of(cls)!r}: make the object anew)"


def structure_codec(cls: type, tag: str) -> Codec | None:
    """Return a codec for the enum, dataclass or named tuple `cls` under a tag of its own; `None` if it is none."""
    kind = _kind(cls)
    if kind is None:
        return None
    write, restore, _ = _KINDS[kind]
    return Codec(tag, write, lambda payload, walk: restore(cls, payload, walk))


def _kind(cls: type) -> str | None:
    return next((kind for kind, (_, _, matches) in _KINDS.items() if matches(cls)), None)


def _own_bases(cls: type) -> int:
    """Return how many classes of the MRO of a named tuple stand before the one that made it."""
    return next((i for i, base in enumerate(cls.__mro__) if "_fields" in vars(base)), 0)


def _write_enum(value: enum.Enum, walk: Encoder) -> JSON:
    if type(value)._member_map_.get(value._name_) is value:
        return walk.encode(value._name_)
    return walk.encode([value._value_])  # flags combined: no member has this name


def _restore_enum(cls: type, payload: JSON, walk: Decoder) -> object:
    members: dict[str, object] = inspect.getattr_static(cls, "_member_map_")
    stored = walk.decode(payload)
    if type(stored) is str:
        if stored not in members:
            raise Unreadable(f"{type_name(cls)} has no member {short(stored)} any more")
        return members[stored]
    if type(stored) is not list or len(stored) != 1:
        raise Fault(f"expected the name of a member, found {short(payload)}")
    if not issubclass(cls, enum.Flag) or type(stored[0]) is not int:
        raise Fault(f"expected the name of a member of {type_name(cls)}, found {short(stored)}")
    known: dict[object, object] = inspect.getattr_static(cls, "_value2member_map_")
    if stored[0] in known:
        return known[stored[0]]
    own = {"_missing_", "__new__", "_generate_next_value_"}
    if any(own & set(vars(base)) for base in cls.__mro__[: cls.__mro__.index(enum.Flag)] if base is not enum.IntFlag):
        raise Unreadable(f"combining members of {type_name(cls)} would run its code")
    try:
        return cls(stored[0])
    except ValueError as error:
        raise Unreadable(f"{type_name(cls)} has no value {stored[0]} any more") from error


def _write_dataclass(value: object, walk: Encoder) -> JSON:
    cls = type(value)
    names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
    _require_restorable(cls, names, Fault)
    stored: dict[str, JSON] = {}
    for name in names:
        try:
            current = getattr(value, name)
        except AttributeError as error:
            raise Fault(f"the field {name!r} of this {type_name(cls)} has no value: set it first") from error
        stored[name] = walk.at(f".{name}", current, value)
    extra = [
        name
        for name in getattr(value, "__dict__", {})
        if name not in stored and type(inspect.getattr_static(cls, name, None)) is not functools.cached_property
    ]
    if extra:
        raise Fault(
            f"this {type_name(cls)} has attributes that are no fields ({', '.join(map(repr, extra))}), which would "
            f"be lost: declare them, or use simpleml.encoding.register_encoder({cls.__name__}, encode=…, decode=…)"
        )
    return stored


def _restore_dataclass(cls: type, payload: JSON, walk: Decoder) -> object:
    stored = payloads.record(payload, (), payload if isinstance(payload, dict) else ())
    fields: dict[str, dataclasses.Field[object]] = {field.name: field for field in dataclasses.fields(cls)}
    _require_restorable(cls, list(fields), Unreadable)
    unknown = sorted(stored.keys() - fields.keys())
    if unknown:
        raise Unreadable(f"{type_name(cls)} has no field {', '.join(map(short, unknown))} any more")
    values = {
        name: walk.at(f".{name}", stored[name], stored) if name in stored else _default(cls, field)
        for name, field in fields.items()
    }
    result: object = object.__new__(cls)
    for name, value in values.items():
        slot = inspect.getattr_static(cls, name, None)
        if type(slot) is MemberDescriptorType:
            slot.__set__(result, value)
        else:
            object.__getattribute__(result, "__dict__")[name] = value
    return result


def _default(cls: type, field: dataclasses.Field[object]) -> object:
    """Return what a field that was added since is filled with, if that runs no code."""
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory in _SAFE_FACTORIES:
        return field.default_factory()
    raise Unreadable(f"{type_name(cls)} has a new field {field.name!r}, which the stored value does not have")


def _require_restorable(cls: type, names: list[str], problem: type[Fault | Unreadable]) -> None:
    """Raise unless an instance can be made without running any code of its class, now or when it is collected."""
    advice = f"use simpleml.encoding.register_encoder({cls.__name__}, encode=…, decode=…)"
    if any("__del__" in vars(base) for base in cls.__mro__):
        raise problem(f"{type_name(cls)} has a __del__, which would run on a restored object: {advice}")
    if inspect.isabstract(cls) or any(
        base is not object and not base.__flags__ & _MADE_BY_CLASS_STATEMENT for base in cls.__mro__
    ):
        raise problem(f"{type_name(cls)} is abstract or inherits from a built-in class: {advice}")
    for name in names:
        attribute = inspect.getattr_static(cls, name, None)
        if type(attribute) is not MemberDescriptorType and "__set__" in dir(type(attribute)):
            raise problem(f"the field {name!r} of {type_name(cls)} is a property or descriptor: {advice}")


_MADE_BY_CLASS_STATEMENT = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def _write_namedtuple(value: tuple[object, ...], walk: Encoder) -> JSON:
    cls = type(value)
    names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
    if len(names) != len(value) or getattr(value, "__dict__", None):
        raise Fault(f"this {type_name(cls)} holds more than its fields {', '.join(names)}")
    return {name: walk.at(f".{name}", item, value) for name, item in zip(names, value, strict=True)}


def _restore_namedtuple(cls: type, payload: JSON, walk: Decoder) -> object:
    stored = payloads.record(payload, (), payload if isinstance(payload, dict) else ())
    names: tuple[str, ...] = inspect.getattr_static(cls, "_fields")
    if set(names) != stored.keys():
        raise Unreadable(f"the fields of {type_name(cls)} are not {', '.join(map(short, stored))} any more")
    if any("__del__" in vars(base) for base in cls.__mro__):
        raise Unreadable(f"{type_name(cls)} has a __del__, which would run on a restored object")
    return tuple.__new__(cls, [walk.at(f".{name}", stored[name], stored) for name in names])


_Write: TypeAlias = Callable[..., JSON]
_Restore: TypeAlias = "Callable[[type, JSON, Decoder], object]"
_KINDS: dict[str, tuple[_Write, _Restore, Callable[[type], bool]]] = {
    "enum": (_write_enum, _restore_enum, is_enum),
    "dataclass": (_write_dataclass, _restore_dataclass, is_dataclass),
    "namedtuple": (_write_namedtuple, _restore_namedtuple, is_namedtuple),
}


def _named_codec(kind: str) -> Codec:
    """Return the codec of `kind` for classes that are found by their name."""
    write, restore, matches = _KINDS[kind]

    def encode(value: object, walk: Encoder) -> JSON:
        return {"class": registry.name_of(type(value)), "state": write(value, walk)}

    def decode(payload: JSON, walk: Decoder) -> object:
        stored = payloads.record(payload, ("class", "state"))
        name = payloads.text(stored["class"])
        cls = registry.find_class(name)
        if cls is None:
            raise Unreadable(f"no class {name} is registered or imported")
        if not matches(cls):
            raise Unreadable(f"{name} is no {kind} class")
        return restore(cls, stored["state"], walk)

    return Codec(kind, encode, decode)


_BY_NAME = {kind: _named_codec(kind) for kind in _KINDS}
for _codec in _BY_NAME.values():
    registry.add(None, _codec)
