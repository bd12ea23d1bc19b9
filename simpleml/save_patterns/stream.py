"""`Stream`: what a serializer writes to."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_CHUNK = 8 * 1024 * 1024


class Stream(io.RawIOBase):
    """A binary stream that appends, and takes all that it is given at once; nothing can be read from it or moved in it.

    Closing it, or a wrapper around it, only ends the writing: what was written stays.
    """

    def __init__(self, append: Callable[[memoryview], int], borrow: Callable[[memoryview], int] | None = None) -> None:
        """Write by `append`, which takes all bytes of what it is given and returns their number; `borrow` need not copy them."""
        self._append = append
        self._borrow = borrow or append

    def writable(self) -> bool:
        """Whether it can be written to: yes."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Append `data`, whatever its item size, and return the number of bytes: always all of them."""
        return self._open(self._append)(memoryview(data))

    def lend(self, data: ReadableBuffer, /) -> int:
        """Append `data` as `write` does: memory that is neither freed nor used for anything else before the artifact is stored."""
        return self._open(self._borrow)(memoryview(data))

    def _open(self, way: Callable[[memoryview], int]) -> Callable[[memoryview], int]:
        if self.closed:
            raise ValueError("write to closed file")
        return way


def lend(stream: BinaryIO, data: ReadableBuffer) -> None:
    """Write memory that stays what it is until the artifact is stored, such as an array of it: a `Stream` need not copy it."""
    if isinstance(stream, Stream):
        stream.lend(data)
    else:
        write(stream, data)


def write(stream: BinaryIO, data: ReadableBuffer) -> None:
    """Write `data`, whatever its size: a file may take no more than 2 GiB at once."""
    view = memoryview(data).cast("B")
    for start in range(0, view.nbytes, _CHUNK):  # noqa: FURB122  (a spool has no `writelines`)
        stream.write(view[start : start + _CHUNK])
