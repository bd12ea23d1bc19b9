"""Text, as UTF-8 and nothing else: any editor shows the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from simpleml.errors import SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.types import JSON

_CHUNK = 1024 * 1024


class TextSerializer:
    """Keeps a `str` exactly, line ends as they are; the details carry the number of bytes, so that a cut is noticed."""

    name = "text"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a plain `str` without halves of surrogate pairs."""
        if type(value) is not str:
            return False
        try:
            for start in range(0, len(value), _CHUNK):
                value[start : start + _CHUNK].encode()
        except UnicodeEncodeError:
            return False
        return True

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the text, a megabyte at a time."""
        if type(value) is not str:
            raise SerializationError(
                f"text keeps a str, and this is a {type(value).__module__}.{type(value).__qualname__}: pass "
                "value.decode() of bytes or str(value) if that is all there is to it, or keep it with the pattern 'pickled'."
            )
        size = 0
        for start in range(0, len(value), _CHUNK):
            try:
                part = value[start : start + _CHUNK].encode()
            except UnicodeEncodeError as error:
                raise SerializationError(
                    f"the character at position {start + error.start} ({value[start + error.start]!a}) is half of a surrogate "
                    "pair, which UTF-8 has no bytes for. Decode the bytes it came from anew, replace it "
                    "(`text.encode('utf-8', 'replace').decode()`), or keep the text with the pattern 'pickled'."
                ) from error
            stream.write(part)
            size += len(part)
        return {"size": size}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the text; nothing of `data` is kept."""
        check_size(data, details, "text")
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise SerializationError(f"these {len(data)} bytes are no UTF-8: {error}") from error


TEXT = TextSerializer()


def check_size(data: Buffer, details: Mapping[str, JSON], what: str) -> None:
    """Raise `SerializationError` if there are more or fewer bytes than `details` say: what ends anywhere has no end of its own."""
    if details.get("size") != len(data) or isinstance(details.get("size"), bool):
        raise SerializationError(
            f"these {len(data)} bytes are no whole {what} that simpleml wrote: their reference says {details.get('size')!r:.40}"
        )
