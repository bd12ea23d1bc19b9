"""Checks of what decoders are given: stored JSON is input from anyone, so each look at it names what it expects."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from simpleml.encoding.faults import Fault, short
from simpleml.types import JSON


def text(payload: JSON) -> str:
    """Return the payload, which has to be a string."""
    if type(payload) is not str:
        raise Fault(f"expected a string, found {short(payload)}")
    return payload


def integer(payload: JSON, *, least: int | None = None) -> int:
    """Return the payload, which has to be an integer (not a bool) and at least `least`."""
    if type(payload) is not int:
        raise Fault(f"expected an integer, found {short(payload)}")
    if least is not None and payload < least:
        raise Fault(f"expected an integer of at least {least}, found {payload}")
    return payload


def boolean(payload: JSON) -> bool:
    """Return the payload, which has to be true or false."""
    if type(payload) is not bool:
        raise Fault(f"expected true or false, found {short(payload)}")
    return payload


def items(payload: JSON, length: int | None = None) -> list[JSON]:
    """Return the payload, which has to be a list, of `length` items if that is given."""
    if type(payload) is not list or (length is not None and len(payload) != length):
        wanted = "a list" if length is None else f"a list of {length}"
        raise Fault(f"expected {wanted}, found {short(payload)}")
    return payload


def record(payload: JSON, required: Iterable[str] = (), optional: Iterable[str] = ()) -> dict[str, JSON]:
    """Return the payload, which has to be an object with exactly the `required` keys and perhaps `optional` ones."""
    needed = set(required)
    if type(payload) is not dict or not needed <= payload.keys() <= needed.union(optional):
        raise Fault(f"expected an object with {', '.join(sorted(needed))}, found {short(payload)}")
    return payload


def binary(payload: JSON) -> bytes:
    """Return the bytes that the payload, a base64 string, stands for."""
    try:
        return base64.b64decode(text(payload), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Fault(f"this is no base64 ({error})") from error


def from_binary(data: bytes | bytearray) -> str:
    """Return `data` as the base64 string that `binary` reads."""
    return base64.b64encode(data).decode("ascii")
