"""Arrays, in numpy's own `.npy` format: `numpy.load` reads the file anywhere, and reading it runs no code.

The format is that of `numpy.lib.format`: a magic number and a version, the length of the header, the header (a Python literal
with `descr`, `fortran_order` and `shape`, padded so that the elements begin at a multiple of 64 bytes), the elements.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, cast

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.stream import lend
from simpleml.types import JSON

if TYPE_CHECKING:
    import numpy as np

_MAGIC = b"\x93NUMPY"
_ALIGN = 64
_CHUNK = 4 * 1024 * 1024
_LONGEST = 256 * 1024  # no dtype describes itself at such length; a bomb of brackets might


class NumpySerializer:
    """Keeps arrays exactly: dtype with byte order, shape, C or Fortran order and every bit; read-only ones come back writable."""

    name = "numpy"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a plain array (no subclass) of a dtype without Python objects."""
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) is not numpy.ndarray:
            return False
        return _refusal(cast("np.ndarray[Any, Any]", value).dtype) is None

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the array; a contiguous one without a copy, any other in C order, a few megabytes at a time."""
        numpy = sys.modules.get("numpy")
        if numpy is None or type(value) is not numpy.ndarray:
            raise SerializationError(
                f"numpy keeps plain arrays, and this is a {type(value).__module__}.{type(value).__qualname__}: pass "
                "numpy.asarray(value) if the elements are all there is to it, or keep it with the pattern 'pickled'."
            )
        array = cast("np.ndarray[Any, Any]", value)
        refusal = _refusal(array.dtype)
        if refusal is not None:
            raise SerializationError(
                f"an array of dtype {array.dtype!s:.200} cannot be kept as npy: {refusal}. Convert it with "
                "`array.astype(...)`, or keep it with the pattern 'pickled'."
            )
        stream.write(_header(array))
        if array.nbytes and array.flags.forc:
            flat = array.reshape(-1, order="C" if array.flags.c_contiguous else "F")
            lend(stream, flat.view(numpy.uint8).data)
        elif array.nbytes:
            for chunk in _chunks(array):  # noqa: FURB122  (a spool has no more than `write`)
                stream.write(chunk)
        return {}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the array; it is a view into `data`."""
        try:
            import numpy as np
        except ImportError as error:
            raise MissingDependencyError("reading an npy artifact needs numpy: pip install numpy") from error
        view = memoryview(data)
        try:
            start, fields = _read_header(view)
            dtype = np.lib.format.descr_to_dtype(fields["descr"])
            shape, fortran = fields["shape"], fields["fortran_order"]
            if dtype.hasobject or not isinstance(fortran, bool):
                raise ValueError("the header describes Python objects or no order")
            if not isinstance(shape, tuple) or any(type(side) is not int or side < 0 for side in shape):
                raise ValueError(f"the header describes no shape ({shape!r:.80})")
            array = np.ndarray(shape, dtype, buffer=view, offset=start, order="F" if fortran else "C")
            if start + array.nbytes != len(view):
                raise ValueError(
                    f"the header describes {array.nbytes} bytes of elements, and {len(view) - start} follow it"
                )
        except (ValueError, TypeError, LookupError, SyntaxError, MemoryError, OverflowError, struct.error) as error:
            raise SerializationError(f"these {len(view)} bytes are no whole npy file: {error}") from error
        return array


NUMPY = NumpySerializer()


def _refusal(dtype: np.dtype[Any]) -> str | None:
    """Return why arrays of this dtype would not come back as they are, or None if they would."""
    import numpy as np

    if dtype.hasobject:
        return "its elements are Python objects"
    if any(part.kind not in "biufcmMSUV" for part in _leaves(dtype)):
        return "the format does not know this dtype"
    if any(part.metadata for part in _leaves(dtype)):
        return "the format has no room for dtype metadata"
    if any(part.kind == "V" and part.type is not np.void for part in _leaves(dtype)):
        return "the format forgets that its elements are records, whose fields are attributes"
    try:
        back = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    except (ValueError, TypeError) as error:
        return str(error)
    if back != dtype or back.isalignedstruct != dtype.isalignedstruct:
        return f"the format would make it {back!s:.200}"
    if len(repr(dtype.descr)) > _LONGEST // 2:
        return "it has too many fields"
    return None


def _leaves(dtype: np.dtype[Any]) -> Iterator[np.dtype[Any]]:
    """Yield a dtype and all that it is made of."""
    yield dtype
    if dtype.subdtype is not None:
        yield from _leaves(dtype.subdtype[0])
    for field in (dtype.fields or {}).values():
        yield from _leaves(field[0])


def _header(array: np.ndarray[Any, Any]) -> bytes:
    """Return everything before the elements, in the oldest version of the format that holds it."""
    import numpy as np

    fields = np.lib.format.header_data_from_array_1_0(array)
    text = "{" + "".join(f"'{key}': {value!r}, " for key, value in sorted(fields.items())) + "}"
    version, layout, coded = (1, 0), "<H", text.encode("utf-8")
    if not text.isascii():
        version, layout = (3, 0), "<I"
    elif len(coded) + 80 > 0xFFFF:
        version, layout = (2, 0), "<I"
    before = len(_MAGIC) + 2 + struct.calcsize(layout)
    padding = -(before + len(coded) + 1) % _ALIGN
    coded += b" " * padding + b"\n"
    return _MAGIC + bytes(version) + struct.pack(layout, len(coded)) + coded


def _chunks(array: np.ndarray[Any, Any]) -> Iterator[memoryview]:
    """Yield the bytes of the elements in C order, copied."""
    import numpy as np

    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        buffersize=max(_CHUNK // array.itemsize, 1),
        order="C",
    )
    for piece in pieces:
        block = np.zeros(len(piece), array.dtype)  # zeros: what lies between the fields of a record is not copied
        block[...] = piece
        yield block.view(np.uint8).data


def _read_header(view: memoryview) -> tuple[int, dict[str, Any]]:
    """Return where the elements begin and what the header says."""
    if view[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it does not begin like one")
    version = bytes(view[6:8])
    layout = {b"\x01\x00": "<H", b"\x02\x00": "<I", b"\x03\x00": "<I"}.get(version)
    if layout is None:
        raise ValueError(f"its version {tuple(version)} is unknown")
    begin = 8 + struct.calcsize(layout)
    (length,) = struct.unpack(layout, view[8:begin])
    if length > _LONGEST or begin + length > len(view):
        raise ValueError(f"its header of {length} bytes is not whole")
    text = str(view[begin : begin + length], "utf-8" if version == b"\x03\x00" else "latin1")
    fields = _Literal(text).read()
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header has other fields than descr, fortran_order and shape")
    return begin + length, fields


class _Literal:
    """Reads the part of Python's literals that headers consist of.

    `ast.literal_eval` would read more, but up to Python 3.12 it fails now and then if other threads use it (SystemError:
    AST constructor recursion depth mismatch).
    """

    _TOKEN = re.compile(
        r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(?P<word>True|False|-?\d+)|(?P<sign>[][(){},:]))"""
    )
    _CLOSING: ClassVar[dict[str, str]] = {"(": ")", "[": "]", "{": "}"}
    _DEEPEST = 50

    def __init__(self, text: str) -> None:
        self._text = text.strip()
        self._place = 0
        self._depth = 0

    def read(self) -> object:
        """Return the value of the whole text."""
        value = self._value(self._next())
        if self._place != len(self._text):
            raise ValueError("something follows the literal of its header")
        return value

    def _next(self) -> re.Match[str]:
        match = self._TOKEN.match(self._text, self._place)
        if match is None:
            raise ValueError(f"its header is no literal at {self._text[self._place : self._place + 40]!r}")
        self._place = match.end()
        return match

    def _value(self, token: re.Match[str]) -> object:
        if token["text"] is not None:  # the detour turns characters beyond latin1 into escapes, which then are undone
            return token["text"][1:-1].encode("latin1", "backslashreplace").decode("unicode_escape")
        if token["word"] is not None:
            return {"True": True, "False": False}[token["word"]] if token["word"][0] in "TF" else int(token["word"])
        return self._container(token["sign"])

    def _container(self, opening: str) -> object:
        if opening not in self._CLOSING or self._depth == self._DEEPEST:
            raise ValueError("its header is no literal, or nested too deeply")
        self._depth += 1
        items: list[object] = []
        commas = 0
        while (token := self._next())["sign"] != self._CLOSING[opening]:
            items.append(self._value(token))
            if opening == "{":
                self._expect(":")
                items.append(self._value(self._next()))
            if (token := self._next())["sign"] == self._CLOSING[opening]:
                break
            if token["sign"] != ",":
                raise ValueError("a comma is missing in its header")
            commas += 1
        self._depth -= 1
        if opening == "{":
            return dict(zip(items[::2], items[1::2], strict=True))
        if opening == "[":
            return items
        return items[0] if len(items) == 1 and not commas else tuple(items)

    def _expect(self, sign: str) -> None:
        if self._next()["sign"] != sign:
            raise ValueError(f"{sign!r} is missing in its header")
