"""Plain values, as text of `simpleml.encoding`: exact both ways, readable by eye, and read without running code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from simpleml import encoding
from simpleml.errors import EncodingError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.types import JSON

_CHUNK = 1024 * 1024
_ELEMENTS = 1_000_000  # beyond these a value is not plain enough to be looked through
_DEPTH = 64  # deeper values are left to formats that have no limit; also ends cycles
_SCALARS = frozenset({bool, int, float, str})


class JSONSerializer:
    """Keeps whatever `simpleml.encoding` encodes, as one line of UTF-8; `accepts` only None, bool, int, float, str, list, dict."""

    name = "json"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is made of plain JSON types alone (no subclasses, string keys), acyclic and of moderate size."""
        left = _ELEMENTS
        level: list[object] = [value]
        for _ in range(_DEPTH):
            below: list[object] = []
            for item in level:
                parts = _parts(item)
                if parts is None:
                    return False
                if len(below) + len(parts) > left:
                    return False
                below += parts
            if not below:
                return True
            left -= len(below)
            level = below
        return False

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the text of `value` and a line end, in UTF-8; it needs the memory of the text, not twice that."""
        try:
            text = encoding.dumps(value)
            for start in range(0, len(text), _CHUNK):
                part = text[start : start + _CHUNK].encode()
                stream.write(part)
        except (EncodingError, UnicodeEncodeError) as error:
            raise SerializationError(
                f"this {type(value).__qualname__} cannot be kept as json: {error}. Keep it with the pattern 'pickled'."
            ) from error
        stream.write(b"\n")
        return {}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the value; nothing of `data` is kept."""
        if bytes(data[-1:]) != b"\n":
            raise SerializationError(
                f"these {len(data)} bytes are no json that simpleml wrote, or are cut off: no line end"
            )
        try:
            return encoding.loads(str(data, "utf-8"))
        except (EncodingError, UnicodeDecodeError) as error:
            raise SerializationError(f"these {len(data)} bytes are no json that simpleml wrote: {error}") from error


JSON_TEXT = JSONSerializer()


def _parts(item: object) -> list[object] | None:
    """Return the direct parts of a plain value, or None if it is not plain."""
    kind = type(item)
    if item is None or kind in _SCALARS:
        return []
    if isinstance(item, list) and kind is list:
        return item
    if isinstance(item, dict) and kind is dict and all(type(key) is str for key in item):
        return list(item.values())
    return None
