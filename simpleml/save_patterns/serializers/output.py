"""`Output`: what picklers and arrow write to, in front of the stream that an artifact goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from simpleml.save_patterns.stream import lend, write


class Output:
    """Passes on what is written, in pieces; knows how much that was, and the stream's failure, which is not the value's fault."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        """Write to the stream; without one, nowhere."""
        self._stream = stream
        self.position = 0
        self.error: Exception | None = None
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Pass on `data`, which may be a whole column; after a failure nothing, as arrow tries to finish its file."""
        return self._pass_on(data, write)

    def lend(self, data: bytes | memoryview) -> int:
        """Pass on memory that stays what it is until the artifact is stored."""
        return self._pass_on(data, lend)

    def _pass_on(self, data: bytes | memoryview, way: Callable[[BinaryIO, memoryview], None]) -> int:
        view = memoryview(data).cast("B")
        if self._stream is not None and self.error is None and not self.closed:
            try:
                way(self._stream, view)
            except Exception as error:
                self.error = error
                raise
        self.position += len(view)
        return len(view)

    def tell(self) -> int:
        """Return how much was written: joblib aligns arrays by that."""
        return self.position

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """The stream is not ours to close."""
