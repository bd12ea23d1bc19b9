"""`Stream`: what a serializer writes to."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Stream(io.RawIOBase):
    """A binary stream that appends, and takes all that it is given at once; nothing can be read from it or moved in it.

    Closing it, or a wrapper around it, only ends the writing: what was written stays.
    """

    def __init__(self, append: Callable[[memoryview], int]) -> None:
        """Write by `append`, which takes all bytes of what it is given and returns their number."""
        self._append = append

    def writable(self) -> bool:
        """Whether it can be written to: yes."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Append `data`, whatever its item size, and return the number of bytes: always all of them."""
        if self.closed:
            raise ValueError("write to closed file")
        return self._append(memoryview(data))
