"""Single values of the standard library: text, bytes, numbers, identifiers and paths."""

from __future__ import annotations

import struct
from decimal import Decimal, DecimalException
from fractions import Fraction
from math import isnan
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING
from uuid import UUID

from simpleml.encoding import payloads
from simpleml.encoding.faults import Fault, Unreadable, short
from simpleml.encoding.registry import Codec, add, leaf
from simpleml.encoding.strings import escape, unescape
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

_DOUBLE = struct.Struct(">d")
_NAN = _DOUBLE.pack(float("nan"))
_FRACTION_BITS = 1 << 17  # reducing larger fractions takes time that grows with the square of their size


def _decode_str(payload: JSON) -> str:
    return unescape(payloads.text(payload))


def _decode_int(payload: JSON) -> int:
    digits = payloads.text(payload)
    value = int(digits, 16)
    if hex(value) != digits:
        raise Fault(f"expected a hexadecimal integer, found {short(digits)}")
    return value


def _encode_float(value: float) -> JSON:
    bits = _DOUBLE.pack(value)
    return bits.hex() if isnan(value) and bits != _NAN else repr(value)  # every NaN keeps its sign and payload


def _decode_float(payload: JSON) -> float:
    stored = payloads.text(payload)
    value = float(stored) if stored in ("nan", "inf", "-inf") else float(_DOUBLE.unpack(bytes.fromhex(stored))[0])
    if _encode_float(value) != stored:
        raise Fault(f"expected nan, inf, -inf or the bits of a NaN, found {short(stored)}")
    return value


def _encode_complex(value: complex, walk: Encoder) -> JSON:
    return [walk.encode(value.real), walk.encode(value.imag)]


def _decode_complex(payload: JSON, walk: Decoder) -> complex:
    parts = walk.each(payloads.items(payload, 2))
    if type(parts[0]) is not float or type(parts[1]) is not float:
        raise Fault(f"expected two floats, found {short(payload)}")
    return complex(parts[0], parts[1])


def _decode_decimal(payload: JSON) -> Decimal:
    digits = payloads.text(payload)
    try:
        value = Decimal(digits)
    except DecimalException as error:
        raise Fault(f"{short(digits)} is no decimal number") from error
    if str(value) != digits:
        raise Fault(f"{short(digits)} is no decimal number that was written by simpleml.encoding")
    return value


def _encode_fraction(value: Fraction, walk: Encoder) -> JSON:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _FRACTION_BITS:
        raise Fault(f"a fraction of more than {_FRACTION_BITS} bits: keep it as an artifact")
    return [walk.encode(value.numerator), walk.encode(value.denominator)]


def _decode_fraction(payload: JSON, walk: Decoder) -> Fraction:
    numerator, denominator = walk.each(payloads.items(payload, 2))
    if type(numerator) is not int or type(denominator) is not int or denominator < 1:
        raise Fault(f"expected a numerator and a denominator, found {short(payload)}")
    if max(numerator.bit_length(), denominator.bit_length()) > _FRACTION_BITS:
        raise Fault(f"a fraction of more than {_FRACTION_BITS} bits")
    value = Fraction(numerator, denominator)
    if value.denominator != denominator:
        raise Fault(f"{numerator}/{denominator} is not in lowest terms")
    return value


def _decode_uuid(payload: JSON) -> UUID:
    value = UUID(payloads.text(payload))
    if str(value) != payload:
        raise Fault(f"{short(payload)} is no UUID in its usual form")
    return value


def _path_codec(cls: type) -> Codec:
    def encode(value: object, walk: Encoder) -> JSON:
        return walk.encode(str(value))

    def decode(payload: JSON, walk: Decoder) -> object:
        stored = walk.decode(payload)
        if type(stored) is not str:
            raise Fault(f"expected a path, found {short(payload)}")
        try:
            return cls(stored)
        except NotImplementedError as error:
            raise Unreadable("paths of this kind do not exist on this operating system") from error

    return Codec(cls.__name__, encode, decode)


add(None, leaf("str", escape, _decode_str))
add(None, leaf("int", hex, _decode_int))
add(float, leaf("float", _encode_float, _decode_float))
add(complex, Codec("complex", _encode_complex, _decode_complex))
add(bytes, leaf("bytes", payloads.from_binary, payloads.binary))
add(bytearray, leaf("bytearray", payloads.from_binary, lambda payload: bytearray(payloads.binary(payload))))
add(Decimal, leaf("Decimal", str, _decode_decimal))
add(Fraction, Codec("Fraction", _encode_fraction, _decode_fraction))
add(UUID, leaf("UUID", str, _decode_uuid))
for _path in (PosixPath, WindowsPath, PurePosixPath, PureWindowsPath):
    add(_path, _path_codec(_path))
