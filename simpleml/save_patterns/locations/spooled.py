"""`Spooled`: the bytes of a finished spool, on their way to a place far away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from simpleml.errors import StoreError
from simpleml.save_patterns.locations.transport import MEBIBYTE

_PIECE = 8 * MEBIBYTE  # what is read at once


class Spooled:
    """Gives the bytes of a finished spool, some at a time, by `read`, which takes where to start and to stop."""

    def __init__(self, size: int, digest: str, read: Callable[[int, int], bytes]) -> None:
        self.size = size
        self.digest = digest
        self.read = read

    def pieces(self) -> Iterator[bytes]:
        """Give all of them."""
        for start in range(0, self.size, _PIECE):
            yield self.read(start, min(start + _PIECE, self.size))


def read_range(descriptor: int, start: int, stop: int) -> bytes:
    """Return the bytes of a file from `start` to `stop`, which have to be there."""
    pieces = []
    while start < stop:
        piece = os.pread(descriptor, stop - start, start)
        if not piece:
            raise StoreError(f"a temporary file of a save ended after {start} bytes: somebody cut it; save again")
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
