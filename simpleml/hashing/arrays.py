"""NumPy arrays, scalars, types and random states: dtype, shape and the values in C order, never their layout."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from blake3 import blake3

from simpleml.hashing.hashers import opens
from simpleml.hashing.origins import resolve, type_name
from simpleml.hashing.scalars import utf8
from simpleml.hashing.tokens import Node, Refusal, digest, leaf, seal
from simpleml.hashing.walker import item_label

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_BLOCK = 1 << 20  # bytes that are looked at and hashed while they are in a cache
_PIECE = 1 << 23  # bytes of a scattered array that are copied at a time
_X87 = 10  # bytes that count in an extended-precision number; the others are padding


@opens("numpy.ndarray", "numpy.memmap")
def open_array(value: Array) -> bytes | Node:
    """An array is its dtype, its shape and its values; a subclass also its type and attributes."""
    if type(value) is np.ndarray or type(value) is np.memmap:
        return array_token(value)
    state = getattr(value, "__dict__", {})
    return Node(b"array subclass", type_name(type(value)), (value.view(np.ndarray), dict(state)), ("", ".__dict__"))


def array_token(value: Array) -> bytes | Node:
    """Return the token of a plain array, or the node of one that holds objects or is a structure of such."""
    dtype, shape = describe(value.dtype), repr(value.shape).encode()
    little = _little(value.dtype)
    if little != value.dtype:
        value = value.astype(little)
    fields = _Fields.of(value.dtype) if value.dtype.names is not None else None
    if value.dtype.hasobject or value.dtype.kind == "T" or (fields is not None and not fields.plain):
        names = value.dtype.names
        if names is not None:
            columns = [value[name] for name in names]
            return Node(b"structure", dtype + shape, columns, lambda _node, index: f"[{names[index]!r}]")
        return _objects(value, dtype, shape)
    return seal(b"ndarray", dtype, shape, _content(value, fields))


def _objects(value: Array, dtype: bytes, shape: bytes) -> bytes | Node:
    items: list[object] = value.ravel(order="C").tolist()
    if items and set(map(type, items)) == {str}:
        return seal(b"strings", dtype, shape, *strings_content(items))
    return Node(b"objects", dtype + shape, items, item_label)


def strings_content(items: list[Any]) -> tuple[bytes, bytes]:
    """Return the digests of where each string ends and of all of them in UTF-8, as Arrow lays them out."""
    joined = utf8("".join(items))
    lengths = map(len, items) if joined.isascii() else (len(utf8(item)) for item in items)
    if not joined.isascii():  # pieces of two strings may not join to what their own bytes are: surrogates
        joined = b"".join(map(utf8, items))
    offsets = np.zeros(len(items) + 1, np.dtype("<i8"))
    np.cumsum(np.fromiter(lengths, np.int64, len(items)), out=offsets[1:])
    return digest(_bytes(offsets)), digest(joined)


def no_nulls(missing: Array) -> bytes:
    """Return the digest of which values are missing; empty if none is."""
    return digest(np.packbits(missing).data) if missing.any() else b""


@lru_cache(maxsize=1024)
def describe(dtype: np.dtype[Any]) -> bytes:
    """Return the text of a dtype without its byte order: kind, size, unit; names, types and places of fields."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return describe(base) + repr(shape).encode()
    if dtype.fields is not None and dtype.names is not None:
        parts = [
            utf8(name) + b":" + describe(dtype.fields[name][0]) + b"@%d" % dtype.fields[name][1] for name in dtype.names
        ]
        return seal(b"fields", b"%d" % dtype.itemsize, *parts)
    if dtype.kind == "T":
        return b"StringDType"
    if dtype.kind == "V" and dtype.type is not np.void:  # a third party's number type: `bfloat16`
        return b"V:" + utf8(dtype.name)
    return _little(dtype).str.encode()


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "T" else dtype.newbyteorder("<")


def _content(value: Array, fields: _Fields | None) -> bytes:
    """Return the digest of a little-endian array's values in C order, all NaNs alike, padding blank."""
    if value.nbytes == 0:
        return digest(b"")
    if fields is None and value.dtype.kind not in "fc":
        if value.flags.c_contiguous:
            return digest(_bytes(value))
        return _digest(map(_bytes, _pieces(value)))
    if fields is None:
        value = _reals(value)
        if value.dtype.itemsize <= 8 and value.flags.c_contiguous and not _has_nan(value.reshape(-1)):
            return digest(_bytes(value))
    clean = _clean_reals if fields is None else fields.clean
    blocks = chain.from_iterable(_blocks(piece.reshape(-1)) for piece in _pieces(value))
    return _digest(_bytes(clean(block)) for block in blocks)


def _digest(buffers: Iterator[memoryview]) -> bytes:
    hasher = blake3()
    for buffer in buffers:
        hasher.update(buffer)
    return hasher.digest()


def _bytes(value: Array) -> memoryview:
    return value.reshape(-1).view(np.uint8).data


def _reals(value: Array) -> Array:
    """View complex numbers as pairs of reals."""
    if value.dtype.kind != "c":
        return value
    real = np.dtype(f"f{value.dtype.itemsize // 2}")
    return np.ascontiguousarray(value).reshape(-1).view(real)


def _pieces(value: Array) -> Iterator[Array]:
    """Yield an array's values in C order, contiguous, without copying more than a piece of it at once."""
    if value.flags.c_contiguous:
        yield value
    elif value.ndim and value.shape[0] > 1 and value.nbytes > _PIECE:
        step = max(1, value.shape[0] * _PIECE // value.nbytes)
        for start in range(0, value.shape[0], step):
            yield np.ascontiguousarray(value[start : start + step])
    else:
        yield np.ascontiguousarray(value)


def _blocks(flat: Array) -> Iterator[Array]:
    step = max(1, _BLOCK // flat.dtype.itemsize)
    return (flat[start : start + step] for start in range(0, len(flat), step))


def _has_nan(flat: Array) -> bool:
    return any(np.isnan(block).any() for block in _blocks(flat))


def _clean_reals(block: Array) -> Array:
    """Return the numbers with one NaN for all; of extended precision only the bytes that count."""
    nans = np.isnan(block)
    if nans.any():
        block = block.copy()
        block[nans] = np.nan
    if block.dtype.itemsize > 8 and np.finfo(block.dtype).nmant == 63:
        return block.view(np.uint8).reshape(len(block), -1)[:, :_X87].copy()
    return block


class _Fields:
    """What has to be looked at in the bytes of one structured dtype: reals that may be NaN, and padding."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        names = dtype.names or ()
        kinds = {name: dtype[name] for name in names}
        self.dtype = dtype
        self.reals = [name for name in names if kinds[name].kind == "f"]
        used = np.zeros(dtype.itemsize, np.uint8)
        for name in names:
            start = dtype.fields[name][1] if dtype.fields is not None else 0
            used[start : start + kinds[name].itemsize] += 1
        simple = all(
            kind.subdtype is None
            and kind.names is None
            and kind.kind != "c"
            and (kind.kind != "f" or kind.itemsize <= 8)
            for kind in kinds.values()
        )
        self.plain = simple and bool((used <= 1).all()) and dtype.itemsize > 0  # else field by field
        self.padded = not used.all()
        self.words: list[tuple[int, np.uint64]] = []  # place of each aligned word that has padding, and its mask
        if self.plain and self.padded and dtype.itemsize % 8 == 0:
            masks = np.where(used == 0, 255, 0).astype(np.uint8).view(np.uint64)
            self.words = [(place, mask) for place, mask in enumerate(masks) if mask]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(dtype: np.dtype[Any]) -> _Fields:
        """Return what is known of `dtype`."""
        return _Fields(dtype)

    def clean(self, block: Array) -> Array:
        """Return the rows with one NaN for all and zeros for padding."""
        with_nan = [name for name in self.reals if np.isnan(block[name]).any()]
        if not with_nan and not (self.padded and self._soiled(block)):
            return block
        fresh = np.zeros(len(block), self.dtype)
        for name in self.dtype.names or ():
            fresh[name] = block[name]
        for name in with_nan:
            fresh[name][np.isnan(block[name])] = np.nan
        return fresh

    def _soiled(self, block: Array) -> bool:
        if not self.words:
            return True
        rows = block.view(np.uint64).reshape(len(block), -1)
        return any(np.bitwise_or.reduce(rows[:, place]) & mask for place, mask in self.words)


@opens("numpy.generic")
def open_scalar(value: np.generic) -> bytes | Node:
    """A NumPy scalar is its dtype and its value; it is not the Python number that it equals."""
    token = array_token(np.asarray(value))
    return seal(b"scalar", token) if isinstance(token, bytes) else Node(b"scalar", b"", (np.asarray(value),), ("",))


@opens("numpy.dtype")
def open_dtype(value: np.dtype[Any]) -> bytes:
    """A dtype is its text, without byte order."""
    return leaf(b"t", describe(value))


@opens("numpy.ma.MaskedArray")
def open_masked(value: np.ma.MaskedArray[Any, Any]) -> bytes | Node:
    """A masked array is its mask, its fill value and what is not masked; what lies under the mask does not count."""
    if value is np.ma.masked:
        return leaf(b"K", b"masked")
    mask = np.ma.getmaskarray(value)
    if value.dtype.names is not None:
        columns = tuple(value[name] for name in value.dtype.names)
        return Node(b"masked structure", describe(value.dtype), (columns, value.fill_value), ("", ".fill_value"))
    data = np.where(mask, np.zeros((), value.dtype), np.ma.getdata(value)).astype(value.dtype)
    parts = (data, mask, value.fill_value)
    return Node(b"masked", type_name(type(value)), parts, (".data", ".mask", ".fill_value"))


@opens("numpy.ufunc")
def open_ufunc(value: np.ufunc) -> bytes:
    """A universal function is its name in NumPy or SciPy."""
    for module in ("numpy", "scipy.special"):
        if resolve(module, value.__name__) is value:
            return leaf(b"F", f"{module}:{value.__name__}".encode())
    raise Refusal(f"the ufunc {value.__name__!r} is none of NumPy's or SciPy's, and does not show what it computes")


@opens("numpy.random.RandomState")
def open_random_state(value: np.random.RandomState) -> Node:
    """A RandomState is what it will draw next."""
    return Node(b"random state", b"", (value.get_state(legacy=False),), (".get_state()",))


@opens("numpy.random.Generator")
def open_generator(value: np.random.Generator) -> Node:
    """A Generator is what it will draw and spawn next."""
    return Node(b"generator", b"", (value.bit_generator,), (".bit_generator",))


@opens("numpy.random.BitGenerator")
def open_bit_generator(value: np.random.BitGenerator) -> Node:
    """A bit generator is its state and its seed sequence."""
    seeds: Any = getattr(value, "seed_seq", None)
    state = seeds.state if isinstance(seeds, np.random.SeedSequence) else None
    return Node(b"bit generator", b"", (dict(value.state), state), (".state", ".seed_seq"))


@opens("numpy.random.SeedSequence")
def open_seed_sequence(value: np.random.SeedSequence) -> Node:
    """A seed sequence is its entropy, its place in the tree of spawns and how often it spawned."""
    return Node(b"seed sequence", b"", (value.state,), (".state",))
