"""`Output`: what picklers and arrow write to, in front of the stream that an artifact goes to."""

from __future__ import annotations

from typing import BinaryIO

_CHUNK = 8 * 1024 * 1024  # a write of more than 2 GiB may be cut short by the system


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
        view = memoryview(data).cast("B")
        if self._stream is not None and self.error is None and not self.closed:
            try:
                for start in range(0, len(view), _CHUNK):
                    self._stream.write(view[start : start + _CHUNK])
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
