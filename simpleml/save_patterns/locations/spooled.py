"""`Spooled`: the bytes of a finished spool, on their way to a place far away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from simpleml.errors import SourceChangedError, StoreError
from simpleml.hashing.digester import digester
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.save_patterns.locations.transport import MEBIBYTE

_PIECE = 8 * MEBIBYTE  # what is read at once


class Spooled:
    """Gives the bytes of a finished spool, copied; never all of them if they are not, any more, those of the digest."""

    def __init__(self, size: int, digest: str, read: Callable[[int, int], bytes]) -> None:
        self.size = size
        self.digest = digest
        self._read = read

    def whole(self) -> bytes:
        """Return all of them."""
        return b"".join(self.pieces(self.size))

    def pieces(self, length: int = _PIECE) -> Iterator[bytes]:
        """Give all of them, `length` at a time."""
        hasher = digester(length)
        for start in range(0, self.size, length or 1):
            stop = min(start + length, self.size)
            data = self._read(start, stop)
            hasher.update(data)
            if stop == self.size and digest_of(hasher.hexdigest()) != self.digest:
                raise SourceChangedError(
                    "the bytes of an artifact changed between the moment when they were announced and the one when they were stored. "
                    "The save did not happen; save again"
                )
            yield data


def read_file(descriptor: int, start: int, stop: int) -> bytes:
    """Return the bytes of a file from `start` to `stop`, which have to be there."""
    pieces = []
    while start < stop:
        piece = os.pread(descriptor, stop - start, start)
        if not piece:
            raise StoreError(f"a temporary file of a save ended after {start} bytes: somebody cut it; save again")
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_memory(held: Sequence[memoryview], start: int, stop: int) -> bytes:
    """Return the bytes from `start` to `stop` of what lies one after the other in `held`."""
    found, at = [], 0
    for piece in held:
        found.append(piece[max(0, start - at) : max(0, stop - at)])
        at += piece.nbytes
    return b"".join(found)
