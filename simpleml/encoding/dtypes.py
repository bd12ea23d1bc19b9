"""numpy dtypes as JSON: the array protocol's own strings for plain ones, objects for the others.

| dtype | JSON |
|---|---|
| plain | `"<f8"`, `"|b1"`, `"<U5"`, `"<M8[ns]"`, `"|O"` |
| a C type with a twin of equal size | `"<longlong8"` |
| extended precision | `"<longdouble63"` (bits of its mantissa: it differs between processors) |
| variable-width strings | `{"string": coerce}` or `{"string": coerce, "na": value}` |
| structured | `{"names", "formats", "offsets", "titles", "itemsize", "aligned"}` |
| subarray | `{"base", "shape"}` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simpleml.encoding import payloads
from simpleml.encoding.faults import Fault, Unreadable, short
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

DType: TypeAlias = "np.dtype[Any]"

_PLAIN = re.compile(
    r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]c(8|16)|\|S\d{1,9}|[<>]U\d{1,9}|\|V\d{1,9}|\|O"
    r"|[<>][mM]8(\[([1-9]\d{0,8})?(Y|M|W|D|h|m|s|ms|us|μs|ns|ps|fs|as)\])?"
)
_TWIN = re.compile(r"([<>])(longlong|ulonglong|intc|uintc|long|ulong)([48])")
_LONG = re.compile(r"([<>])(longdouble|clongdouble)(\d{2,3})")
_TWIN_NAMES = {"q": "longlong", "Q": "ulonglong", "i": "intc", "I": "uintc", "l": "long", "L": "ulong"}
_LONG_NAMES = {"g": "longdouble", "G": "clongdouble"}
_MANTISSA = int(np.finfo(np.longdouble).nmant)


def encode_dtype(dtype: DType, walk: Encoder) -> JSON:
    """Return the JSON of `dtype`; one that holds more than JSON can say is a fault."""
    if dtype.names is not None:
        return _encode_structured(dtype, walk)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": encode_dtype(base, walk), "shape": list(shape)}
    if dtype.kind == "T":
        spec: dict[str, JSON] = {"string": bool(dtype.coerce)}  # type: ignore[attr-defined]
        return {**spec, "na": walk.encode(dtype.na_object)} if hasattr(dtype, "na_object") else spec
    if dtype.char in _LONG_NAMES:
        return f"{dtype.str[0]}{_LONG_NAMES[dtype.char]}{_MANTISSA}"
    if dtype.char in _TWIN_NAMES and np.dtype(dtype.str).char != dtype.char:
        return f"{dtype.str[0]}{_TWIN_NAMES[dtype.char]}{dtype.itemsize}"
    if _PLAIN.fullmatch(dtype.str) is None or dtype.type is np.record:
        raise Fault(f"the dtype {short(dtype)} cannot be stored")
    return dtype.str


def decode_dtype(spec: JSON, walk: Decoder) -> DType:
    """Return the dtype that `spec` stands for; nothing but what `encode_dtype` writes is handed to numpy."""
    if type(spec) is dict:
        if "string" in spec:
            return _decode_string(spec, walk)
        return _decode_subarray(spec, walk) if "base" in spec else _decode_structured(spec, walk)
    text = payloads.text(spec)
    if _PLAIN.fullmatch(text):
        dtype = np.dtype(text)
        if dtype.str != text:
            raise Fault(f"{short(text)} is no dtype")
        return dtype
    if found := _LONG.fullmatch(text):
        if int(found[3]) != _MANTISSA:
            raise Unreadable(f"extended precision has {_MANTISSA} bits on this processor, and {found[3]} in this value")
        return np.dtype(found[2]).newbyteorder(found[1])  # type: ignore[arg-type]
    if found := _TWIN.fullmatch(text):
        dtype = np.dtype(found[2])
        if dtype.itemsize != int(found[3]):
            raise Unreadable(f"{found[2]} has {dtype.itemsize} bytes on this platform, and {found[3]} in this value")
        return dtype.newbyteorder(found[1])  # type: ignore[arg-type]
    raise Fault(f"{short(text)} is no dtype")


def _encode_structured(dtype: DType, walk: Encoder) -> JSON:
    if dtype.type is not np.void:
        raise Fault(f"records of {short(dtype.type)} cannot be stored: use a plain structured dtype")
    walk.deepest = max(walk.deepest, 50)  # structured types nest without values, so the depth has to be counted
    names = dtype.names or ()
    layout: Mapping[str, Any] = dtype.fields or {}
    fields = [layout[name] for name in names]
    return {
        "names": [walk.encode(name) for name in names],
        "formats": [encode_dtype(field[0], walk) for field in fields],
        "offsets": [field[1] for field in fields],
        "titles": [walk.encode(field[2] if len(field) > 2 else None) for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _decode_structured(spec: dict[str, JSON], walk: Decoder) -> DType:
    payloads.record(spec, ("names", "formats", "offsets", "titles", "itemsize", "aligned"))
    names = walk.each(payloads.items(spec["names"]))
    titles = walk.each(payloads.items(spec["titles"], len(names)))
    if any(type(name) is not str for name in names) or any(type(title) not in (str, type(None)) for title in titles):
        raise Fault("the names and titles of a structured dtype have to be strings")
    formats = [decode_dtype(item, walk) for item in payloads.items(spec["formats"], len(names))]
    offsets = [payloads.integer(item, least=0) for item in payloads.items(spec["offsets"], len(names))]
    size = payloads.integer(spec["itemsize"], least=0)
    if size > 2**31 - 1 or any(start + part.itemsize > size for start, part in zip(offsets, formats, strict=True)):
        raise Fault("the fields of this structured dtype do not fit into its size")
    layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
    if any(title is not None for title in titles):
        layout["titles"] = titles
    return np.dtype(layout, align=payloads.boolean(spec["aligned"]))  # type: ignore[call-overload, no-any-return]


def _decode_subarray(spec: dict[str, JSON], walk: Decoder) -> DType:
    payloads.record(spec, ("base", "shape"))
    shape = tuple(payloads.integer(size, least=0) for size in payloads.items(spec["shape"]))
    return np.dtype((decode_dtype(spec["base"], walk), shape))


def _decode_string(spec: dict[str, JSON], walk: Decoder) -> DType:
    payloads.record(spec, ("string",), ("na",))
    coerce = payloads.boolean(spec["string"])
    if "na" not in spec:
        return np.dtypes.StringDType(coerce=coerce)
    return np.dtypes.StringDType(coerce=coerce, na_object=walk.decode(spec["na"]))
