"""Memory as a file: what libraries that read from files get, so that nothing is copied but what they ask for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simpleml.save_patterns.protocols import Buffer

_LINE = 4096


class MemoryFile(io.RawIOBase):
    """A file for reading whose content is `data`, of which it makes no copy."""

    def __init__(self, data: Buffer | bytes) -> None:
        super().__init__()
        self._view = memoryview(data).cast("B")
        self._place = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place and return it; beyond the end nothing is read."""
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._view)}[whence]
        if place < 0:
            raise ValueError(f"there is no place {place} in a file")
        self._place = place
        return place

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left without."""
        stop = len(self._view) if size is None or size < 0 else self._place + size
        found = bytes(self._view[self._place : stop])
        self._place += len(found)
        return found

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read()

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # any writable buffer
        """Fill `buffer` as far as there is something left and return how many bytes that were."""
        target = memoryview(buffer).cast("B")
        found = self._view[self._place : self._place + len(target)]
        target[: len(found)] = found
        self._place += len(found)
        return len(found)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return what is left up to and with the next line end, or `size` bytes of it."""
        limit = len(self._view) if size is None or size < 0 else min(len(self._view), self._place + size)
        start, place = self._place, self._place
        while place < limit:
            found = bytes(self._view[place : min(place + _LINE, limit)]).find(b"\n")
            place = min(place + _LINE, limit) if found < 0 else place + found + 1
            if found >= 0:
                break
        self._place = max(start, place)
        return bytes(self._view[start:place])
