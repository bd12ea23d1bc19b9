"""What a serializer of one's own may do to the stream that it is given, and what it may return."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest

from simpleml.errors import SerializationError
from simpleml.orm import Database
from simpleml.orm.housekeeping import verify
from simpleml.save_patterns.catalogue import serializers
from simpleml.save_patterns.decorators import register_serializer
from simpleml.save_patterns.stream import Stream
from tests.integration.kinds import Box

BYTES = os.urandom(600_000)  # more than a spool holds in memory


@pytest.fixture
def registered() -> Iterator[Callable[[Callable[[BinaryIO], Any]], None]]:
    """`registered(write)` makes the pattern `mine`, whose bytes `write` writes."""

    def register(write: Callable[[BinaryIO], Any]) -> None:
        class Mine:
            name, format, executes = "mine", 1, False

            def accepts(self, value: object) -> bool:
                return True

            def dump(self, value: object, stream: BinaryIO) -> Any:
                return write(stream)

            def load(self, data: Any, *, format: int, details: Any) -> object:
                return bytes(data)

        register_serializer(Mine)

    yield register
    if "mine" in serializers:
        serializers.drop("mine")


def closing(stream: BinaryIO) -> dict[str, Any]:
    """Write, and close what was lent."""
    with stream:
        stream.write(BYTES)
    stream.close()
    return {}


def wrapping(stream: BinaryIO) -> dict[str, Any]:
    """Write by a wrapper that closes what it wraps."""
    with io.TextIOWrapper(stream, "utf-8", newline="") as text:
        csv.writer(text).writerows([["ü", number] for number in range(60_000)])
    return {}


@pytest.mark.parametrize("write", [closing, wrapping])
@pytest.mark.parametrize("where", ["disk", "database"])
def test_a_stream_that_is_closed_loses_nothing(
    local: Database, registered: Callable[[Any], None], write: Callable[[BinaryIO], dict[str, Any]], where: str
) -> None:
    """A serializer, or a wrapper around its stream, may close the stream: what was written is what is stored."""
    registered(write)
    Box(name="a", data=1, save_patterns={"data": f"{where}_mine"}).save()
    found = Box.load(name="a").data
    assert found == BYTES if write is closing else found.decode().splitlines()[-1] == "ü,59999"
    assert verify(local, everything=True).findings == ()


def test_nothing_is_appended_after_the_end(local: Database, registered: Callable[[Any], None]) -> None:
    """A stream that a serializer kept takes nothing more once the artifact is saved, and no file is left."""
    kept: list[BinaryIO] = []
    registered(lambda stream: {"kept": kept.append(stream), "count": stream.write(BYTES)})
    Box(name="a", data=1, save_patterns={"data": "mine"}).save()
    with pytest.raises(ValueError, match="closed"):
        kept[0].write(BYTES)
    assert Box.load(name="a").data == BYTES


def test_writers_of_the_standard_library_take_it() -> None:
    """gzip, zipfile and buffers write to a stream as they do to a file; moving in it is refused."""
    written = bytearray()

    def append(data: memoryview) -> int:
        written.extend(data)
        return data.nbytes

    with Stream(append) as stream:
        with gzip.GzipFile(fileobj=stream, mode="wb") as packed:
            packed.write(b"abc")
        assert gzip.decompress(written) == b"abc"
        written.clear()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a", b"abc")
        assert zipfile.ZipFile(io.BytesIO(written)).read("a") == b"abc"
        for move in (lambda: stream.seek(0), lambda: stream.truncate(0)):
            with pytest.raises(io.UnsupportedOperation):
                move()


def test_details_that_are_no_mapping_are_told(local: Database, registered: Callable[[Any], None]) -> None:
    """What `dump` returns has to be a mapping, or nothing; the message says what came and what to return."""
    registered(lambda stream: [stream.write(b"x")])
    box = Box(name="a", data=1, save_patterns={"data": "mine"})
    with pytest.raises(SerializationError, match=r"'mine' returned \[1\] from `dump`, not a mapping.*return \{\}"):
        box.save()
    assert Box.versions("a") == []
