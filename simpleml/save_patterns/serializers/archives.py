"""What a zip archive says of itself, looked at before any of it is unpacked."""

from __future__ import annotations

import zipfile
import zlib

from simpleml.errors import SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.memory import MemoryFile

FREE = 64 * 1024 * 1024
"""An archive may unpack to this many bytes, however small it is."""
RATIO = 100
"""Beyond that, to so many times its own size: parameters of models shrink by a factor of ten at the very most."""

FAULTS: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError),
    *(LookupError, TypeError, AttributeError, RuntimeError, OverflowError, MemoryError),
)
"""What reading a broken archive, or the JSON in it, raises."""


def open_archive(data: Buffer, what: str) -> zipfile.ZipFile:
    """Return the archive in `data`, of which no copy is made; `SerializationError` if it is broken or unpacks to too much.

    What it unpacks to is bounded by what it declares, because reading a member ends there.
    """
    try:
        archive = zipfile.ZipFile(MemoryFile(data))
    except FAULTS as error:
        raise SerializationError(f"these {len(data)} bytes are no whole {what}: {error}") from error
    members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise SerializationError(f"these {len(data)} bytes are no {what} that simpleml wrote: a name is in it twice")
    total = sum(member.file_size for member in members)
    if total > max(FREE, RATIO * len(data)):
        raise SerializationError(
            f"this {what} of {len(data)} bytes would unpack to {total}: more than {RATIO} times its size is refused, because "
            "no model shrinks that much and it would fill the memory"
        )
    return archive
