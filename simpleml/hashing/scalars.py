"""Values without parts: numbers, text, bytes, times, identifiers, paths, enumerations."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, Flag
from pathlib import PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from simpleml.hashing.hashers import LEAVES, opens
from simpleml.hashing.instances import attributes
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node, Refusal, leaf

_DOUBLE = struct.Struct("<d")
_NAN = struct.pack("<Q", 0x7FF8000000000000)  # one of the many, for all of them

_TOKEN_NONE, _TOKEN_TRUE, _TOKEN_FALSE = leaf(b"N", b""), leaf(b"o", b"1"), leaf(b"o", b"0")


def _double(value: float) -> bytes:
    return _DOUBLE.pack(value) if value == value else _NAN  # noqa: PLR0124 - NaN is what differs from itself


def _integer(value: int) -> bytes:
    return leaf(b"i", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def utf8(value: str) -> bytes:
    """Return the bytes of any string, lone surrogates included; no two strings have the same."""
    return value.encode("utf-8", "surrogatepass")


LEAVES.update(
    {
        type(None): lambda _value: _TOKEN_NONE,
        bool: lambda value: _TOKEN_TRUE if value else _TOKEN_FALSE,
        int: _integer,
        float: lambda value: leaf(b"f", _double(value)),
        complex: lambda value: leaf(b"c", _double(value.real) + _double(value.imag)),
        str: lambda value: leaf(b"s", utf8(value)),
        bytes: lambda value: leaf(b"y", value),
    }
)

_PLAIN: dict[type, Callable[[Any], object]] = {
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
    bytes: bytes.__bytes__,
}


@opens(int, float, complex, str, bytes)
def open_subclass(value: Any) -> Node:
    """An instance of a subclass is its type, its plain value and its attributes."""
    plain = next(read for base, read in _PLAIN.items() if isinstance(value, base))
    return Node(b"scalar", type_name(type(value)), (plain(value), attributes(value)), ("", ""))


@opens(bytearray, memoryview)
def open_buffer(value: bytearray | memoryview) -> Node:
    """A mutable or shared buffer is its bytes, and for a view its item format and shape; strides do not count."""
    view = memoryview(value)
    shape = view.shape if isinstance(value, memoryview) else None
    return Node(b"buffer", type_name(type(value)), (view.format, shape, view.tobytes()), ("", "", ""))


@opens(type(Ellipsis), type(NotImplemented))
def open_constant(value: object) -> bytes:
    """A constant is its name."""
    return leaf(b"K", repr(value).encode())


@opens(dt.datetime)
def open_datetime(value: dt.datetime) -> Node:
    """A moment is its wall clock (with `fold`) and its zone."""
    clock = dt.datetime.isoformat(value.replace(tzinfo=None))
    return Node(b"datetime", _subtype(value, dt.datetime), (clock, value.fold, value.tzinfo), ("", ".fold", ".tzinfo"))


@opens(dt.time)
def open_time(value: dt.time) -> Node:
    """A time of day is its wall clock (with `fold`) and its zone."""
    clock = dt.time.isoformat(value.replace(tzinfo=None))
    return Node(b"time", _subtype(value, dt.time), (clock, value.fold, value.tzinfo), ("", ".fold", ".tzinfo"))


@opens(dt.date)
def open_date(value: dt.date) -> Node:
    """A day is its year, month and day."""
    return Node(b"date", _subtype(value, dt.date), (dt.date.isoformat(value),), ("",))


@opens(dt.timedelta)
def open_timedelta(value: dt.timedelta) -> Node:
    """A duration is its days, seconds and microseconds."""
    return Node(
        b"timedelta", _subtype(value, dt.timedelta), (value.days, value.seconds, value.microseconds), ("", "", "")
    )


@opens(dt.timezone)
def open_timezone(value: dt.timezone) -> Node:
    """A fixed zone is its offset, which is also what makes two of them equal; its display name does not count."""
    return Node(b"timezone", b"", (value.utcoffset(None),), ("",))


@opens(ZoneInfo)
def open_zone(value: ZoneInfo) -> Node:
    """A named zone is its name."""
    if value.key is None:
        raise Refusal("this ZoneInfo was read from a file and has no key")
    return Node(b"zone", b"", (value.key,), ("",))


@opens(Decimal)
def open_decimal(value: Decimal) -> Node:
    """A decimal is its exact text, with the zeros at its end; all NaNs are alike."""
    plain = "NaN" if value.is_nan() else Decimal.__str__(value)
    return Node(b"decimal", _subtype(value, Decimal), (plain,), ("",))


@opens(UUID)
def open_uuid(value: UUID) -> Node:
    """A UUID is its 16 bytes."""
    return Node(b"uuid", _subtype(value, UUID), (value.bytes,), ("",))


@opens(PurePath)
def open_path(value: PurePath) -> Node:
    """A path is its text with forward slashes, on every platform; what is stored there does not count."""
    return Node(b"path", b"", (value.as_posix(),), ("",))


@opens(Enum)
def open_member(value: Enum) -> Node:
    """A member is its enumeration's name, its own name and its value (of flags the value alone: combinations vary in name)."""
    name = None if isinstance(value, Flag) else value._name_
    return Node(b"enum", type_name(type(value)), (name, value._value_), ("", ".value"))


def _subtype(value: object, base: type) -> bytes:
    return b"" if type(value) is base else type_name(type(value))
