"""Follows the instructions of a pickle without running them, and notes what they would import.

`pickletools.genops` takes the bytes apart; here is what it leaves out: the stack and the memo, which names are made from,
the frames, and the arrays that joblib writes between the instructions.
"""

from __future__ import annotations

import bz2
import copyreg
import gzip
import io
import lzma
import math
import pickletools
import sys
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self, cast

from simpleml.save_patterns.serializers.memory import MemoryFile

_DEEPEST = 8  # pickles inside of pickles
_INSIDE = 10_000  # how many of them are looked into
_LIMIT = 16 * 1024 * 1024 * 1024  # bytes that a compressed file may unpack to; they are looked through, not kept
_LARGEST = 64 * 1024 * 1024  # bytes of a constant or a frame that are unpacked to be looked at
_KEPT = 4096  # bytes of memory for a constant that may be (part of) a name; more are looked at and let go
_SIDES = 64  # no array of numpy has more
_PIECE = 1024 * 1024
_MARK = object()
_FAULTS = (
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    UnicodeError,
)
_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"


@dataclass(slots=True)
class _Made:
    """What an instruction would have made: of `what` (a dotted name, if known) with `args`, and the state it would get."""

    what: str = "?"
    args: object = None
    state: object = None


@dataclass(slots=True)
class _Items:
    """A dict, as far as its keys are constants."""

    items: dict[object, object] = field(default_factory=dict)


_UNKNOWN = _Made()


class Stream:
    """The bytes of a pickle in the order in which an unpickler takes them; with `framed`, frame by frame as Python's does."""

    def __init__(self, file: BinaryIO, *, framed: bool) -> None:
        self.file = file
        self._framed = framed
        self._frame: io.BytesIO | None = None

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, of the current frame if one is open."""
        if self._frame is not None:
            found = self._frame.read(size)
            if found or not size:
                return found
            self._frame = None
        return self.file.read(size)

    def readline(self) -> bytes:
        """Return a line, of the current frame if one is open."""
        if self._frame is not None:
            found = self._frame.readline()
            if found:
                return found
            self._frame = None
        return self.file.readline()

    def enter(self, size: int) -> None:
        """Open a frame of `size` bytes."""
        if size > _LARGEST:
            raise ValueError(f"a frame of {size} bytes, which no pickler writes")
        if self._framed:
            self._frame = io.BytesIO(self.file.read(size))

    def skip(self, size: int) -> None:
        """Leave `size` bytes out, behind the current frame."""
        while size > 0:
            found = len(self.file.read(min(size, _PIECE)))
            if not found:
                raise ValueError("an array is cut off")
            size -= found


class PickleReader:
    """Reads one pickle; `imports` are the dotted names that it would import, also those of pickles inside its constants."""

    def __init__(self, stream: Stream, imports: set[str] | None = None, depth: int = 0) -> None:
        self.imports: set[str] = set() if imports is None else imports
        self._stream = stream
        self._depth = depth
        self._stack: list[object] = []
        self._memo: dict[object, object] = {}
        self._inside = 0

    def run(self) -> str | None:
        """Follow the pickle to its end; return what stopped it before, or None."""
        try:
            for opcode, arg, _ in pickletools.genops(cast("Any", self._stream)):
                self._step(opcode, arg)
        except _FAULTS as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
        except MemoryError:
            return "it asks for more memory than there is"
        return None

    def _step(self, opcode: Any, arg: object) -> None:
        name, stack = opcode.name, self._stack
        if name == "FRAME":
            self._stream.enter(cast("int", arg))
        elif name in {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            self._memo[len(self._memo) if name == "MEMOIZE" else arg] = stack[-1]
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            stack.append(self._memo[arg])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}:
            self._import(name, arg)
        elif name in {"REDUCE", "NEWOBJ", "NEWOBJ_EX", "OBJ", "BUILD"}:
            self._make(name)
        elif name in {"SETITEM", "SETITEMS", "DICT", "EMPTY_DICT", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}:
            self._gather(name)
        elif not opcode.stack_before and len(opcode.stack_after) == 1:
            stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}.get(name, _kept(arg)))
            self._look_inside(arg)
        else:
            self._other(opcode)

    def _import(self, name: str, arg: object) -> None:
        if name == "STACK_GLOBAL":
            attribute, module = self._stack.pop(), self._stack.pop()
            found = ".".join(part if isinstance(part, str) else "?" for part in (module, attribute))
        elif name.startswith("EXT"):
            known = copyreg._inverted_registry.get(arg)  # type: ignore[attr-defined]  # noqa: SLF001  # only looked at
            found = ".".join(known) if known else f"?.extension {arg}"
        else:
            found = ".".join(str(arg).split(" ", 1))
        self.imports.add(found)
        if name == "INST":
            self._cut()
        self._stack.append(_Made(found) if name == "INST" else _Made("builtins.type", found))

    def _make(self, name: str) -> None:
        stack = self._stack
        if name == "BUILD":
            state, made = stack.pop(), stack[-1]
            if isinstance(made, _Made) and made is not _UNKNOWN:
                made.state = state
                if made.what == _WRAPPER:
                    stack[-1] = _UNKNOWN  # in its place the array
                    self._skip_array(state)
            return
        if name == "OBJ":
            cls, *args = self._cut() or [None]
            made_args: object = tuple(args)
        else:
            if name == "NEWOBJ_EX":
                stack.pop()
            made_args, cls = stack.pop(), stack.pop()
        known = isinstance(cls, _Made) and cls.what == "builtins.type" and isinstance(cls.args, str)
        stack.append(_Made(cast("str", cast("_Made", cls).args) if known else "?", made_args))

    def _gather(self, name: str) -> None:
        stack = self._stack
        if name == "EMPTY_DICT":
            stack.append(_Items())
        elif name.startswith("TUPLE"):
            count = int(name[5:] or 0)
            parts = [stack.pop() for _ in range(count)][::-1] if count else self._cut()
            stack.append(tuple(parts))
        else:
            parts = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else self._cut()
            if name == "DICT":
                stack.append(_Items())
            items = stack[-1]
            if isinstance(items, _Items):
                pairs = zip(parts[::2], parts[1::2], strict=False)
                items.items.update({key: value for key, value in pairs if isinstance(key, str | int)})

    def _other(self, opcode: Any) -> None:
        """Do to the stack what any other instruction does, with unknown results."""
        before, stack = opcode.stack_before, self._stack
        if pickletools.markobject in before:
            self._cut()
            before = before[: before.index(pickletools.markobject)]
        if len(stack) < len(before):
            raise ValueError(f"the instruction {opcode.name} finds too little on the stack")
        kept = stack[len(stack) - len(before) :][: len(opcode.stack_after)] if opcode.stack_after else []
        del stack[len(stack) - len(before) :]
        growing = opcode.name in {"APPEND", "APPENDS", "ADDITEMS"}
        stack += kept if growing else [_UNKNOWN for _ in opcode.stack_after]

    def _cut(self) -> list[object]:
        """Return what is above the topmost mark, and take both away."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                parts = self._stack[place + 1 :]
                del self._stack[place:]
                return parts
        raise ValueError("there is no mark on the stack")

    def _look_inside(self, constant: object) -> None:
        """Follow a constant that looks like a pickle too."""
        data = constant.encode("latin1", "replace") if isinstance(constant, str) else constant
        if not isinstance(data, bytes | bytearray) or len(data) < 4 or data[0] != 0x80 or not 2 <= data[1] <= 5:
            return
        if self._depth < _DEEPEST and self._inside < _INSIDE:
            self._inside += 1
            PickleReader(Stream(cast("BinaryIO", MemoryFile(data)), framed=False), self.imports, self._depth + 1).run()

    def _skip_array(self, state: object) -> None:
        """Step over the elements of an array, which joblib writes behind what describes it."""
        items = state.items if isinstance(state, _Items) else {}
        shape, dtype = items.get("shape"), items.get("dtype")
        if not isinstance(shape, tuple) or len(shape) > _SIDES or not all(map(_is_side, shape)):
            raise ValueError("an array of unknown shape follows")
        size, objects = _dtype_size(dtype)
        if objects:
            if self._depth >= _DEEPEST:
                raise ValueError("arrays of arrays of objects, too deeply nested")
            problem = PickleReader(Stream(self._stream.file, framed=True), self.imports, self._depth + 1).run()
            if problem is not None:
                raise ValueError(problem)
            return
        if items.get("numpy_array_alignment_bytes") is not None:
            self._stream.skip(int.from_bytes(self._stream.file.read(1), "little"))
        self._stream.skip(math.prod(shape) * size)


def _kept(constant: object) -> object:
    """Return a constant that can be kept, as there may be any number of them."""
    return _UNKNOWN if sys.getsizeof(constant) > _KEPT else constant


def _is_side(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _dtype_size(dtype: object) -> tuple[int, bool]:
    """Return the bytes of an element and whether it holds objects, from how numpy pickles a dtype."""
    if isinstance(dtype, _Made) and isinstance(dtype.args, tuple) and dtype.args and isinstance(dtype.args[0], str):
        text, state = dtype.args[0], dtype.state
        if text[:1] == "O":
            return 0, True
        if isinstance(state, tuple) and len(state) >= 8 and isinstance(state[7], int) and state[7] & 1:
            return 0, True
        if text[1:].isdecimal() and text.isascii():
            return int(text[1:]) * (4 if text[0] == "U" else 1), False
        if isinstance(state, tuple) and len(state) >= 6 and isinstance(state[5], int) and state[5] >= 0:
            return state[5], False
    raise ValueError("an array of unknown type follows")


def inflated(view: memoryview, *, compressed: bool = True) -> BinaryIO:
    """Return the bytes as a file, unpacked on the way if they are compressed as joblib does it; lz4 is left to be an error."""
    file: Any = MemoryFile(view)
    start = bytes(view[:6])
    if compressed and start[:1] == b"\x78":
        file = _Inflating(file)
    elif compressed and start[:2] == b"\x1f\x8b":
        file = gzip.GzipFile(fileobj=file)
    elif compressed and start[:2] == b"BZ":
        file = bz2.BZ2File(file)
    elif compressed and (start[:5] == b"\xfd7zXZ" or start[:2] == b"\x5d\x00"):
        file = lzma.LZMAFile(file)  # noqa: SIM115  # whoever gets it reads it
    else:
        return cast("BinaryIO", file)
    return cast("BinaryIO", _Bounded(io.BufferedReader(file, _PIECE)))


class _Inflating(io.RawIOBase):
    """Unpacks a zlib stream piece by piece."""

    def __init__(self, file: MemoryFile) -> None:
        super().__init__()
        self._file = file
        self._zlib = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._file.read(_PIECE)
            found = self._zlib.decompress(packed, len(buffer))
            if found or not packed:
                buffer[: len(found)] = found
                return len(found)
        return 0


class _LeftOut(bytes):
    """In the place of a constant that was read over: of its length, as far as anybody asks."""

    size: int

    def __new__(cls, size: int) -> Self:
        made = super().__new__(cls, b"?")
        made.size = size
        return made

    def __len__(self) -> int:
        return self.size


class _Bounded:
    """A file that may be read up to a limit, and of which no constant is unpacked that is too large to be looked at."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._left = _LIMIT

    def read(self, size: int) -> bytes:
        if size > _LARGEST:
            return self._read_over(size)
        return self._counted(self._file.read(size))

    def readline(self) -> bytes:
        return self._counted(self._file.readline(_PIECE))

    def _read_over(self, size: int) -> bytes:
        start = self.read(2)
        if len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5:
            raise ValueError(f"a pickle of {size} bytes is inside of it, which is too large to be looked into")
        left = size - len(start)
        while left and (found := len(self.read(min(left, _PIECE)))):
            left -= found
        return _LeftOut(size - left)

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {_LIMIT} bytes")
        return data
