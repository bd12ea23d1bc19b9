"""numpy arrays, scalars and dtypes: raw bytes in C order for plain items, item by item for objects, never a pickle.

An array comes back with its dtype (byte order included) and shape, writeable and in C order.
"""

from __future__ import annotations

from math import isnan, prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simpleml.encoding import payloads
from simpleml.encoding.dtypes import DType, decode_dtype, encode_dtype
from simpleml.encoding.faults import Fault, short
from simpleml.encoding.registry import Codec, add, families
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

Array: TypeAlias = "np.ndarray[Any, Any]"

_LARGEST_CODE_POINT = 0x10FFFF
_MOST_DIMENSIONS = 64  # of numpy 2


def encode_array(value: Array, walk: Encoder) -> dict[str, JSON]:
    """Return dtype, shape and content of `value`."""
    dtype = value.dtype
    result: dict[str, JSON] = {"dtype": encode_dtype(dtype, walk), "shape": list(value.shape)}
    if dtype.kind in "OT":
        result["items"] = walk.at("", list(value.flat), value)
    elif dtype.hasobject:
        result["fields"] = [walk.at(f"[{short(name)}]", value[name], value) for name in dtype.names or ()]
    elif value.size and not dtype.itemsize:
        raise Fault("an array whose items have no size cannot be stored")
    else:
        result["data"] = payloads.from_binary(_content(value))
    return result


def _content(value: Array) -> bytes:
    """Return the bytes of `value` in C order, with zeros where a dtype pads: what was in memory there is no value."""
    data = value.tobytes()
    if value.dtype.names is None and value.dtype.char not in "gG":
        return data
    used = _used_bytes(value.dtype)
    if used.all():
        return data
    items = np.frombuffer(data, dtype=np.uint8).reshape(value.size, -1).copy()
    items[:, ~used] = 0
    return items.tobytes()


def _used_bytes(dtype: DType) -> Array:
    """Return which bytes of an item of `dtype` belong to its value."""
    if dtype.subdtype is not None:
        return np.tile(_used_bytes(dtype.base), prod(dtype.shape))
    used = np.ones(dtype.itemsize, dtype=bool)
    if dtype.names is not None:
        used[:] = False
        for name in dtype.names:
            start = (dtype.fields or {})[name][1]  # type: ignore[index]
            used[start : start + dtype[name].itemsize] |= _used_bytes(dtype[name])
    elif dtype.char in "gG" and np.finfo(dtype).nmant == 63:  # the x87 format: ten bytes, then padding
        parts = used.reshape(2 if dtype.char == "G" else 1, -1)
        parts[:, slice(10, None) if dtype.str[0] == "<" else slice(None, -10)] = False
    return used


def decode_array(payload: JSON, walk: Decoder) -> Array:
    """Return the array of which `encode_array` wrote the payload; sizes are checked before memory is taken."""
    stored = payloads.record(payload, ("dtype", "shape"), ("data", "items", "fields"))
    dtype = decode_dtype(stored["dtype"], walk)
    shape: tuple[int, ...] = tuple(payloads.integer(size, least=0) for size in payloads.items(stored["shape"]))
    content = "items" if dtype.kind in "OT" else "fields" if dtype.hasobject else "data"
    payloads.record(payload, ("dtype", "shape", content))
    if dtype.subdtype is not None or len(shape) > _MOST_DIMENSIONS:
        raise Fault("no array has this dtype or so many dimensions")
    if content == "items":
        return _from_items(stored[content], dtype, shape, walk)
    if content == "fields":
        return _from_fields(stored[content], dtype, shape, walk)
    data = payloads.binary(stored[content])
    count = prod(shape)
    if count * dtype.itemsize != len(data) or (count and not data):
        raise Fault(f"the shape {short(shape)} of {short(dtype)} does not match {len(data)} bytes")
    if not data:
        return _of_dtype(np.zeros(shape, dtype), dtype)
    value = np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    _check_items(value)
    return value


def _from_items(payload: JSON, dtype: DType, shape: tuple[int, ...], walk: Decoder) -> Array:
    walk.depth += 1  # the encoder walked over them as one list
    found = walk.each(payloads.items(payload, prod(shape)))
    walk.depth -= 1
    flat = np.empty(len(found), dtype=dtype)
    for index, item in enumerate(found):
        if dtype.kind == "T" and type(item) is not str and not _is_na(item, dtype):
            raise Fault(f"expected a string, found {short(item)}")
        flat[index : index + 1] = _boxed(item) if dtype.kind == "O" else item
    return flat.reshape(shape)


def _boxed(item: object) -> Array:
    """Return an array of one object, so that assigning it never unpacks `item`."""
    box = np.empty(1, dtype=object)
    box.fill(item)
    return box


def _is_na(item: object, dtype: DType) -> bool:
    na = getattr(dtype, "na_object", "")
    return item is na or (type(item) is float and type(na) is float and isnan(item) and isnan(na))


def _from_fields(payload: JSON, dtype: DType, shape: tuple[int, ...], walk: Decoder) -> Array:
    names = dtype.names or ()
    parts: list[tuple[str, Array]] = []
    for name, part in zip(names, walk.each(payloads.items(payload, len(names))), strict=True):
        kind = dtype[name]
        if not isinstance(part, np.ndarray) or part.dtype != kind.base or part.shape != shape + kind.shape:
            raise Fault(f"the field {short(name)} does not match the dtype and shape of its array")
        parts.append((name, part))
    value = _of_dtype(np.zeros(shape, dtype), dtype)
    for name, part in parts:
        value[name] = part
    return value


def _of_dtype(value: Array, dtype: DType) -> Array:
    if value.dtype != dtype:  # numpy widens `U0` and its like when it makes an array
        raise Fault(f"there is no array of {short(dtype)}")
    return value


def _check_items(value: Array) -> None:
    """Raise where bytes are no valid items: a bool beside 0 and 1, a character beyond Unicode."""
    dtype = value.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _check_items(value[name])
    elif dtype.kind == "b" and value.size and (np.ascontiguousarray(value).view(np.uint8) > 1).any():
        raise Fault("a bool that is neither 0 nor 1")
    elif dtype.kind == "U" and value.size and dtype.itemsize:
        points = np.ascontiguousarray(value).reshape(-1).view(np.dtype(np.uint32).newbyteorder(dtype.str[0]))
        if (points > _LARGEST_CODE_POINT).any():
            raise Fault("a character beyond Unicode")


def _encode_array(value: Array, walk: Encoder) -> JSON:
    return encode_array(value, walk)


def _encode_scalar(value: np.generic, walk: Encoder) -> JSON:
    dtype = value.dtype
    if isinstance(value, np.str_ | np.bytes_):  # sliced, because `item()` drops NULs at the end
        plain = str.__getitem__(value, slice(None)) if isinstance(value, str) else bytes.__getitem__(value, slice(None))
        return {"dtype": dtype.kind, "value": walk.encode(plain)}
    spec = encode_dtype(dtype, walk)
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        number = value.item()
        if dtype.type(number).tobytes() == value.tobytes():  # else a NaN with bits of its own
            return {"dtype": spec, "value": walk.encode(number)}
    if dtype.kind in "mM":
        return {"dtype": spec, "value": int(value.view(np.int64))}
    box = np.empty((), dtype=dtype)
    box[()] = value
    return {"array": encode_array(box, walk)}


def _decode_scalar(payload: JSON, walk: Decoder) -> object:
    if isinstance(payload, dict) and "array" in payload:
        value = decode_array(payloads.record(payload, ("array",))["array"], walk)
        if value.ndim or value.dtype.kind == "O":
            raise Fault("expected one item, found an array")
        return value[()].copy()
    stored = payloads.record(payload, ("dtype", "value"))
    plain = walk.decode(stored["value"])
    for kind, python, scalar in (("U", str, np.str_), ("S", bytes, np.bytes_)):
        if stored["dtype"] == kind:
            if type(plain) is not python:
                raise Fault(f"expected {python.__name__}, found {short(plain)}")
            return scalar(plain)
    dtype = decode_dtype(stored["dtype"], walk)
    wanted = {"b": bool, "i": int, "u": int, "f": float, "m": int, "M": int}.get(dtype.kind)
    if wanted is None or type(plain) is not wanted:
        raise Fault(f"{short(plain)} is no item of {short(dtype)}")
    if dtype.kind in "mM":
        return np.array(plain, dtype=np.int64).view(dtype.newbyteorder("="))[()]
    with np.errstate(over="ignore"):
        result = dtype.type(plain)
    if result.item() != plain and not isnan(plain):  # type: ignore[arg-type]  # a number, by `wanted`
        raise Fault(f"{short(plain)} is no item of {short(dtype)}")
    return result


def _encode_dtype(value: DType, walk: Encoder) -> JSON:
    return encode_dtype(value, walk)


add(np.ndarray, Codec("numpy.ndarray", _encode_array, decode_array))
_SCALAR = Codec("numpy.scalar", _encode_scalar, _decode_scalar)
for _scalar in {*np.sctypeDict.values(), np.void} - {np.object_}:
    add(_scalar, _SCALAR)
_DTYPE = Codec("numpy.dtype", _encode_dtype, decode_dtype)
add(None, _DTYPE)
families[np.dtype] = _DTYPE  # each dtype is of a class of its own
