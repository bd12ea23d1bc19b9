"""Dicts of arrays or of torch tensors, in the safetensors format: read by `safetensors` anywhere, and runs no code.

The format: the length of the header as unsigned 64 bit little-endian, the header (JSON: name → `dtype`, `shape`,
`data_offsets`; text under `__metadata__`), the elements. Every byte behind the header belongs to exactly one tensor.
Here the header is padded to a multiple of 64 bytes and wider elements come first, so that all are aligned.
"""

from __future__ import annotations

import json
import math
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO, cast

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.stream import lend
from simpleml.types import JSON

_ALIGN = 64
_CHUNK = 8 * 1024 * 1024
_LONGEST = 100_000_000  # bytes of a header, as in safetensors itself

_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip
_TORCH = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64", "C64": "complex64",
    "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip


class Refused(Exception):  # noqa: N818  # not an error of its own: `dump` turns it into one, `accepts` into False
    """Why a tensor would not come back as it is."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One entry of the file: `array` gives its elements as a numpy array in which each is as wide as in the file."""

    dtype: str
    shape: tuple[int, ...]
    array: Any
    address: int


class SafetensorsSerializer:
    """Keeps a dict (or OrderedDict) from names to numpy arrays, or to torch tensors on the CPU; never imports torch to look.

    Elements and shapes are kept, not strides: what is not contiguous comes back in C order, so it is not accepted,
    but kept when asked. What shares memory is refused, because it would come back as two.
    """

    name = "safetensors"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a non-empty dict of contiguous arrays, or of contiguous tensors, none overlapping another."""
        if type(value) not in {dict, OrderedDict} or not value:
            return False
        try:
            tensors = _tensors(cast("dict[Any, Any]", value))
        except Refused:
            return False
        return all(tensor.array.flags.c_contiguous for tensor in tensors.values())

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the arrays without a copy, those that are not contiguous one slice after the other."""
        try:
            if not isinstance(value, dict) or type(value) not in {dict, OrderedDict}:
                raise Refused(f"it is a {type(value).__module__}.{type(value).__qualname__}")
            tensors = _tensors(value)
        except Refused as error:
            raise SerializationError(
                f"safetensors keeps a dict from names to numpy arrays or torch tensors, and {error}. Keep it with the pattern "
                "'pickled' if that cannot be changed."
            ) from error
        order = sorted(tensors, key=lambda name: -tensors[name].array.itemsize)
        library = "torch" if _is_tensor(next(iter(value.values()), None)) else "numpy"
        stream.write(_header(tensors, order, library))
        for name in order:
            array = tensors[name].array
            if array.nbytes and array.flags.c_contiguous:
                lend(stream, array.reshape(-1).view("u1").data)
            elif array.nbytes:
                for chunk in _chunks(array):  # noqa: FURB122  (a spool has no more than `write`)
                    stream.write(chunk)
        details: dict[str, JSON] = {"library": library, "names": [*value]}
        if type(value) is OrderedDict:
            details["ordered"] = _versions(value)
        return details

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the dict; its arrays or tensors are writable views into `data`."""
        library = details.get("library", "numpy")
        make = _make_tensor if library == "torch" else _make_array
        view = memoryview(data).cast("B")
        try:
            start, entries = _read_header(view)
            found = {name: make(view, start + begin, kind, shape) for name, (begin, kind, shape) in entries.items()}
            names = details.get("names", [*found])
            if library not in {"torch", "numpy"} or not isinstance(names, list) or {*found} != {*names}:
                raise ValueError("the names in it are not those that were saved")
            pairs = [(str(name), found[str(name)]) for name in names]
        except (ValueError, TypeError, LookupError, OverflowError, MemoryError, RecursionError) as error:
            raise SerializationError(f"these {len(view)} bytes are no whole safetensors file: {error}") from error
        return dict(pairs) if "ordered" not in details else _ordered(pairs, details["ordered"])


SAFETENSORS = SafetensorsSerializer()


def _is_tensor(value: object) -> bool:
    return type(value) is getattr(sys.modules.get("torch"), "Tensor", None)


def _tensors(value: dict[Any, Any]) -> dict[str, _Tensor]:
    """Return what to write of each value, or raise `Refused`."""
    array_class = getattr(sys.modules.get("numpy"), "ndarray", None)
    tensors: dict[str, _Tensor] = {}
    kinds = {type(each) for each in value.values()}
    for name, each in value.items():
        if type(name) is not str or name == "__metadata__" or not name.isprintable():
            raise Refused(f"the name {name!r:.80} cannot stand in its header: use printable text")
        if len(kinds) > 1 or not (type(each) is array_class or _is_tensor(each)):
            raise Refused(
                f"the value of {name!r:.80} is a {type(each).__module__}.{type(each).__qualname__}{_advice(each)}"
            )
        try:
            tensors[name] = _of_tensor(each) if _is_tensor(each) else _of_array(each)
        except Refused as error:
            raise Refused(f"that of {name!r:.80} {error}") from error
    _check_overlaps(tensors)
    return tensors


def _advice(value: object) -> str:
    if type(value).__name__ == "Parameter":
        return " (pass module.state_dict(), or the parameter's .data)"
    return " (all values have to be of one of the two types, no subclasses)"


def _of_array(array: Any) -> _Tensor:
    name = next((name for name, text in _NUMPY.items() if array.dtype == text), None)
    if name is None:
        known = ", ".join(_NUMPY.values())
        raise Refused(
            f"is of dtype {array.dtype!s:.80} ({array.dtype.str[:80]}): convert it with .astype to one of {known}"
        )
    if array.dtype.metadata:
        raise Refused("has dtype metadata, for which there is no room")
    return _Tensor(name, array.shape, array, array.__array_interface__["data"][0])


def _of_tensor(tensor: Any) -> _Tensor:
    import torch

    name = next((name for name, kind in _TORCH.items() if tensor.dtype is getattr(torch, kind, None)), None)
    if name is None:
        raise Refused(f"is of {tensor.dtype}: convert it with .to(...) to one of {', '.join(_TORCH.values())}")
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        raise Refused(f"is {tensor.layout} on {tensor.device}: pass tensor.to_dense().cpu()")
    if tensor.requires_grad:
        raise Refused("requires a gradient, which would be forgotten: pass tensor.detach()")
    if tensor.is_conj() or tensor.is_neg():
        raise Refused("is a view that conjugates or negates another: pass tensor.resolve_conj().resolve_neg()")
    width = tensor.element_size()
    same_width = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
    return _Tensor(name, tuple(tensor.shape), tensor.view(same_width).numpy(), tensor.data_ptr())


def _check_overlaps(tensors: dict[str, _Tensor]) -> None:
    """Raise `Refused` if two tensors, or two elements of one, may lie in the same memory."""
    spans = []
    for name, tensor in tensors.items():
        array = tensor.array
        if array.size:
            steps = list(zip(array.strides, array.shape, strict=True))
            low = tensor.address + sum(min(0, step * (side - 1)) for step, side in steps)
            high = tensor.address + sum(max(0, step * (side - 1)) for step, side in steps) + array.itemsize
            spans.append((low, high, name))
    spans.sort()
    for (_, high, one), (low, _, other) in pairwise(spans):
        if low < high:
            raise Refused(
                f"{one!r:.80} and {other!r:.80} share memory, so they would come back as two: leave one of them out, or pass a "
                "copy of it if that is what is wanted"
            )


def _header(tensors: dict[str, _Tensor], order: list[str], library: str) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt" if library == "torch" else "np"}}
    position = 0
    for name in order:
        tensor = tensors[name]
        stop = position + tensor.array.nbytes
        entries[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [position, stop]}
        position = stop
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % _ALIGN)
    if len(text) > _LONGEST:
        raise SerializationError(
            f"safetensors allows a header of {_LONGEST:,} bytes, and the names of these {len(tensors):,} tensors need "
            f"{len(text):,}: split the dict, or keep it with the pattern 'pickled'"
        )
    return len(text).to_bytes(8, "little") + text


def _chunks(array: Any) -> Iterator[memoryview]:
    """Yield the bytes of the elements in C order, copied."""
    import numpy as np

    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        buffersize=_CHUNK // array.itemsize,
        order="C",
    )
    for piece in pieces:
        yield np.ascontiguousarray(piece).view(np.uint8).data


def _read_header(view: memoryview) -> tuple[int, dict[str, tuple[int, str, tuple[int, ...]]]]:
    """Return where the elements begin, and begin, dtype and shape of each tensor; the offsets were all checked."""
    length = int.from_bytes(view[:8], "little")
    if len(view) < 8 or length > _LONGEST or 8 + length > len(view) or bytes(view[8:9]) != b"{":
        raise ValueError(f"its header of {length} bytes is not whole")
    header = json.loads(str(view[8 : 8 + length], "utf-8"), object_pairs_hook=_unique)
    header.pop("__metadata__", None)
    entries, spans = {}, []
    for name, entry in header.items():
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if any(type(number) is not int or number < 0 for number in (begin, end, *shape)):
            raise ValueError(f"shape or offsets of {name!r:.80} are no numbers")
        spans.append((begin, end))
        entries[name] = (begin, dtype, shape)
        if end - begin != math.prod(shape) * _width(dtype):
            raise ValueError(f"{name!r:.80} has {end - begin} bytes, and its shape {shape!s:.80} does not")
    spans.sort()
    ends = [0, *(end for _, end in spans)]
    if [begin for begin, _ in spans] != ends[:-1] or 8 + length + ends[-1] != len(view):
        raise ValueError("there are gaps or overlaps between its tensors, or bytes that belong to none")
    return 8 + length, entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is in its header twice")
    return found


def _width(dtype: str) -> int:
    if dtype not in _TORCH:
        raise ValueError(f"the dtype {dtype!r:.40} is unknown")
    return 1 if dtype in {"BOOL", "U8", "I8"} or dtype.startswith("F8") else int(dtype.lstrip("BCFIU")) // 8


def _make_array(view: memoryview, start: int, dtype: str, shape: tuple[int, ...]) -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise MissingDependencyError("these are numpy arrays: pip install numpy") from error
    if dtype not in _NUMPY:
        raise ValueError(f"numpy has no dtype {dtype}, only torch has")
    return np.ndarray(shape, np.dtype(_NUMPY[dtype]), buffer=view, offset=start)


def _make_tensor(view: memoryview, start: int, dtype: str, shape: tuple[int, ...]) -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            "these are torch tensors: pip install torch (for this machine's hardware, see pytorch.org)"
        ) from error
    kind = getattr(torch, _TORCH[dtype])
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(view, dtype=kind, count=count, offset=start).reshape(shape)


def _versions(value: OrderedDict[str, Any]) -> JSON:
    """Return what `state_dict` notes of the versions of its modules, as far as it is plain; null if there is none."""
    noted = getattr(value, "_metadata", None)
    try:
        plain = cast("JSON", json.loads(json.dumps(noted)))
    except (TypeError, ValueError):
        return None
    return plain if plain == noted else None


def _ordered(pairs: list[tuple[str, Any]], versions: JSON) -> OrderedDict[str, Any]:
    found: Any = OrderedDict(pairs)
    if isinstance(versions, dict):
        found._metadata = OrderedDict(versions)  # noqa: SLF001  # where torch looks for it
    return cast("OrderedDict[str, Any]", found)
