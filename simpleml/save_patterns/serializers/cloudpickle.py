"""Any picklable object, as a pickle whose big buffers lie beside it: written and read without copying them.

A file in format 1 is a pickle (protocol 5). If the object holds no contiguous buffer of 64 KiB or more, that is all: the
file is read by `pickle.load` anywhere. Otherwise, numbers being unsigned 64 bit little-endian:

```
0                 the pickle, its buffers out of band
                  each buffer in the order of the pickle, starting at a multiple of 64 bytes, zeros between
index             a triple for each buffer: offset, length, 1 if it was read-only else 0
size - 32         the length of the pickle, the offset of the index, the number of buffers, the 8 bytes `SMLbuf01`
```

A pickle ends with `.`, so the last bytes tell the two apart. This reads both, without simpleml:

```python
import pickle, struct, sys
data = memoryview(bytearray(open(sys.argv[1], "rb").read()))
size, buffers = len(data), []
if data[-8:] == b"SMLbuf01":
    size, index, count = struct.unpack("<3Q", data[-32:-8])
    for start, length, readonly in struct.iter_unpack("<3Q", data[index : index + 24 * count]):
        part = data[start : start + length]
        buffers.append(part.toreadonly() if readonly else part)
value = pickle.loads(data[:size], buffers=buffers)
```
"""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any, BinaryIO

from cloudpickle import CloudPickler

from simpleml.errors import SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.output import Output
from simpleml.save_patterns.trust import unpickle
from simpleml.types import JSON

_BIG = 64 * 1024
_ALIGN = 64
_TRIPLE = struct.Struct("<3Q")
_TAIL = struct.Struct("<3Q8s")
_MAGIC = b"SMLbuf01"


class CloudpickleSerializer:
    """Keeps any object that pickles, with classes and functions of `__main__` by value; equal arrays, equal flags."""

    name = "cloudpickle"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """True: whether an object pickles is known only once it did."""
        return True

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write `value`; the returned details name the third-party packages that reading it will import."""
        output = Output(stream)
        buffers: list[memoryview] = []
        pickler = _Pickler(output, _keep_big(buffers))
        try:
            pickler.dump(value)
        except MemoryError:
            raise
        except Exception as error:  # the object's own methods are called, so any exception may come out
            if error is output.error:
                raise
            raise _explain(value, error) from error
        if buffers:
            _write_buffers(output, buffers)
        return {"packages": [*pickler.packages()]}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the object; its big arrays are views into `data`."""
        view = memoryview(data)
        if view[-len(_MAGIC) :] == _MAGIC:
            size, buffers = _read_index(view)
            return unpickle(view[:size], buffers)
        if bytes(view[-1:]) != pickle.STOP:
            raise SerializationError(
                f"these {len(view)} bytes are no pickle: they end neither like one nor with the index of its buffers. "
                "They were not written by the serializer 'cloudpickle', or are cut off."
            )
        return unpickle(view)


CLOUDPICKLE = CloudpickleSerializer()


class _Pickler(CloudPickler):  # type: ignore[misc]  # cloudpickle ships no types
    """A cloudpickler that notes the modules of what it pickles by reference."""

    def __init__(self, output: Output, buffer_callback: Callable[[pickle.PickleBuffer], bool]) -> None:
        super().__init__(output, protocol=5, buffer_callback=buffer_callback)
        self._modules: set[object] = set()
        self._array = getattr(sys.modules.get("numpy"), "ndarray", None)

    def reducer_override(self, obj: Any) -> Any:
        """Called for every class, function and instance, so it is kept short: 6 to 9 % of the time of a dump."""
        reduced = CloudPickler.reducer_override(self, obj)
        if reduced is NotImplemented:
            if type(obj) is self._array and not obj.flags.forc and not obj.dtype.hasobject:
                return _compact(obj).__reduce_ex__(5)  # its own way copies too, and forgets the byte order
            self._modules.add(obj.__name__ if isinstance(obj, ModuleType) else getattr(obj, "__module__", None))
        return reduced

    def packages(self) -> list[str]:
        """Return the top-level packages outside the standard library that the pickle imports, sorted."""
        tops = {module.partition(".")[0] for module in self._modules if isinstance(module, str)}
        return sorted(top for top in tops if top not in sys.stdlib_module_names and top != "__main__")


def _compact(array: Any) -> Any:
    copy = array.copy()
    copy.flags.writeable = array.flags.writeable
    return copy


def _keep_big(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return a callback that takes big contiguous buffers out of the pickle and leaves the others in it."""

    def callback(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if raw.nbytes < _BIG:
            return True
        buffers.append(raw)
        return False

    return callback


def _write_buffers(output: Output, buffers: list[memoryview]) -> None:
    size = output.position
    index = []
    for buffer in buffers:
        output.write(bytes(-output.position % _ALIGN))
        index.append((output.position, buffer.nbytes, int(buffer.readonly)))
        output.lend(buffer)
    start = output.position
    output.write(b"".join(_TRIPLE.pack(*entry) for entry in index))
    output.write(_TAIL.pack(size, start, len(index), _MAGIC))


def _read_index(view: memoryview) -> tuple[int, list[memoryview]]:
    """Return the length of the pickle and views of its buffers, all inside `view`."""
    end = len(view) - _TAIL.size
    if end >= 0:
        size, start, count, _ = _TAIL.unpack(view[end:])
        if size <= start and start + count * _TRIPLE.size == end:
            entries = list(_TRIPLE.iter_unpack(view[start:end]))
            if all(size <= offset and offset + length <= start and flag <= 1 for offset, length, flag in entries):
                parts = [(view[offset : offset + length], flag) for offset, length, flag in entries]
                return size, [part.toreadonly() if flag else part for part, flag in parts]
    raise SerializationError(
        f"the index of the buffers at the end of these {len(view)} bytes points outside of them: they were not written by "
        "the serializer 'cloudpickle', or are cut off."
    )


_DEEP = 8  # how far down a value is searched for what does not pickle
_WIDE = 200  # how many parts of each container are tried


def _explain(value: object, error: Exception) -> SerializationError:
    kind = _kind(value)
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return SerializationError(
            f"this {kind} is nested too deeply to be pickled (the interpreter's limit is {sys.getrecursionlimit()} calls): "
            "give its class a __getstate__ and __setstate__ that keep it flat, or raise sys.setrecursionlimit, here and "
            "wherever it is loaded."
        )
    path, part, reason = _blame(value, error)
    where = f"its part `{path}`, a {_kind(part)}," if path else "it"
    return SerializationError(
        f"this {kind} cannot be pickled: {where} raised {type(reason).__name__}: {str(reason)[:300]}. "
        f"Leave that out of the state (a __getstate__ without it, and a __setstate__ that makes it anew), or keep it "
        "outside of the artifact."
    )


def _blame(value: object, error: Exception) -> tuple[str, object, Exception]:
    """Return the path to the innermost part that does not pickle by itself, that part, and what it raised."""
    path = ""
    for _ in range(_DEEP):
        for label, part in islice(_parts(value), _WIDE):
            reason = _failure(part)
            if reason is not None:
                path, value, error = path + label, part, reason
                break
        else:
            break
    return path, value, error


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield what a value is made of, each with how Python would write the way there."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield f"[{repr(key)[:80]}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for position, part in enumerate(value):
            yield f"[{position}]", part
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=False)
        yield from ((f".<closure>.{name}", cell.cell_contents) for name, cell in cells)
    if isinstance(value, type | FunctionType | ModuleType):
        return
    try:
        state = value.__getstate__()
    except Exception:  # noqa: BLE001 - a state that cannot be had has no parts; the failure itself gets reported
        return
    for attributes in state if isinstance(state, tuple) else (state,):
        if isinstance(attributes, dict):
            yield from ((f".{name}", part) for name, part in attributes.items())


def _failure(value: object) -> Exception | None:
    """Return what pickling `value` raises, writing nothing."""
    try:
        _Pickler(Output(), lambda _: False).dump(value)
    except Exception as error:  # noqa: BLE001 - what went wrong is what is asked for
        return error
    return None


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
