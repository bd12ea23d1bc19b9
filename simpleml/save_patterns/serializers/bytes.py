"""Bytes, as they are: the file is what they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from simpleml.errors import SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.text import check_size
from simpleml.save_patterns.stream import lend
from simpleml.types import JSON


class BytesSerializer:
    """Keeps `bytes` and `bytearray`, each as what it was; the details carry which, and how many bytes."""

    name = "bytes"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is plain `bytes` or a plain `bytearray`."""
        return type(value) in {bytes, bytearray}

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the bytes without a copy."""
        if not isinstance(value, bytes | bytearray) or type(value) not in {bytes, bytearray}:
            raise SerializationError(
                f"bytes keeps bytes and bytearray, and this is a {type(value).__module__}.{type(value).__qualname__}: pass "
                "value.encode() of text or bytes(value) of another buffer, or keep it with the pattern 'pickled'."
            )
        lend(stream, value)
        return {"type": type(value).__name__, "size": len(value)}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the bytes; a bytearray is `data` itself if that is one."""
        check_size(data, details, "bytes")
        if details.get("type") == "bytes":
            return bytes(data)
        if details.get("type") == "bytearray":
            return data if isinstance(data, bytearray) else bytearray(data)
        raise SerializationError(
            f"these bytes are said to be a {details.get('type')!r:.40}, which simpleml never writes"
        )


BYTES = BytesSerializer()
