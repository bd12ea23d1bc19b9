"""Plain values, as text of `simpleml.encoding`: exact both ways, readable by eye, and read without running code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import BinaryIO
from uuid import UUID
from zoneinfo import ZoneInfo

from simpleml import encoding
from simpleml.errors import EncodingError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.types import JSON

_CHUNK = 1024 * 1024
_LARGEST = (
    1_000_000  # elements, and bytes of `bytes`, of which base64 makes more: beyond these a value is not plain enough
)
_DEPTH = 64  # deeper values are left to formats that have no limit; also ends cycles
_SCALARS = frozenset({bool, int, float, complex, str, bytes, bytearray, Decimal, date, timedelta, UUID})
_GROUPS = (list, tuple, set, frozenset)


class JSONSerializer:
    """Keeps whatever `simpleml.encoding` encodes, as one line of UTF-8; `accepts` values and containers of the standard library."""

    name = "json"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is made of plain data alone: numbers, text, bytes, times, None, and lists, tuples, sets and dicts of them.

        No subclass of those counts, nor what refers to itself, is nested deeply or large.
        """
        left = _LARGEST
        level: list[object] = [value]
        for _ in range(_DEPTH):
            below: list[object] = []
            for item in level:
                parts = _parts(item)
                if parts is None:
                    return False
                left -= len(item) if isinstance(item, bytes | bytearray) else len(parts)
                if left < 0:
                    return False
                below += parts
            if not below:
                return True
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


def _parts(item: object) -> Collection[object] | None:
    """Return the direct parts of a plain value, or None if it is not plain."""
    kind = type(item)
    if item is None or kind in _SCALARS:
        return ()
    if kind in _GROUPS:
        return item  # type: ignore[return-value]
    if isinstance(item, dict) and kind is dict:
        return item.values() if all(type(key) is str for key in item) else [*item, *item.values()]
    if isinstance(item, datetime | time) and kind in (datetime, time):
        return () if _is_known(item.tzinfo) else None
    return None


def _is_known(zone: tzinfo | None) -> bool:
    """Whether another machine finds this zone by what is written of it: no offset, a fixed one, or a name of the IANA database."""
    if zone is None or type(zone) is timezone:
        return True
    try:
        return type(zone) is ZoneInfo and ZoneInfo(zone.key) is zone
    except (LookupError, ValueError, TypeError, OSError):  # of a file that is not in the database, or without a name
        return False
