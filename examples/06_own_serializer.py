"""Teach simpleml a format of your own, prove it with the contract suite, and keep it in a store of your own.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import simpleml
from simpleml import Artifact, Persistable
from simpleml.errors import SerializationError
from simpleml.orm import current
from simpleml.save_patterns.catalogue import patterns, prefer, serializers
from simpleml.save_patterns.decorators import register_serializer
from simpleml.save_patterns.pattern import ObjectPattern
from simpleml.save_patterns.protocols import Buffer
from simpleml.testing.serializers import SerializerContract
from simpleml.types import JSON


class Lines(list[str]):
    """Lines of text, which a text editor should be able to open."""


@register_serializer
class LinesSerializer:
    """Keeps lines as UTF-8 text: their number, then one after the other."""

    name = "lines"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether each line is text that UTF-8 can hold, without a line end."""
        return type(value) is Lines and all(map(_is_line, value))

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write one line after the other."""
        if not isinstance(value, Lines) or not self.accepts(value):
            raise SerializationError(f"{value!r:.80} is not made of lines; keep it with the pattern 'pickled'")
        stream.write(f"{len(value)} lines\n".encode())
        for line in value:  # noqa: FURB122 - the stream of a store has `write` alone
            stream.write(f"{line}\n".encode())
        return {}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> Lines:
        """Return the lines, if they are all there."""
        try:
            first, *lines, rest = str(data, "utf-8").split("\n")
        except ValueError as error:  # not UTF-8, or no line end at all
            raise SerializationError(f"these bytes are no lines: {error}") from error
        if rest or first != f"{len(lines)} lines":
            raise SerializationError(f"these bytes are no lines, or are cut off: they begin with {first!r:.40}")
        return Lines(lines)


def _is_line(line: object) -> bool:
    return type(line) is str and "\n" not in line and line == line.encode(errors="ignore").decode()


class LinesContract(SerializerContract):
    """In your own tests its name begins with `Test`, and pytest runs it."""

    def serializer(self) -> LinesSerializer:
        """Return what is to be proved."""
        return LinesSerializer()

    def values(self) -> list[object]:
        """Return what must come back equal."""
        return [Lines(["one", "zwei", "три"]), Lines(), Lines([""]), Lines(["\r", "\x85"])]

    def refused(self) -> list[object]:
        """Return what must be refused."""
        return [["one"], Lines(["one\ntwo"]), Lines(["\ud800"]), 1]

    def large(self) -> object:
        """Return what makes more than 20 MB."""
        return Lines(["x" * 99_999] * 300)


class Note(Persistable):
    """A text."""

    text: Artifact[Lines] = Artifact()


def prove() -> int:
    """Run every test of the contract; return how many there were."""
    suite = LinesContract()
    tests = [name for name in dir(suite) if name.startswith("test_")]
    for name in tests:
        getattr(suite, name)()
    return len(tests)


def main(archive: Path) -> None:
    """Save by the new format: as it is preferred, and in a store of its own."""
    print(f"contract  {prove()} tests passed")

    prefer(Lines, "disk_lines")
    note = Note(name="shopping", text=Lines(["bread", "milk"])).save()
    [(pattern, reference)] = note.filepaths["text"].items()
    assert (pattern, reference["serializer"]) == ("disk_lines", "lines")
    assert Note.load("shopping").text == Lines(["bread", "milk"])
    assert type(Note.load("shopping").text) is Lines
    path = Path(current().places.store("disk").describe()) / reference["key"]
    assert path.read_text() == "2 lines\nbread\nmilk\n"
    print(f"stored    {note} by {pattern}: {path.read_text()!r}")

    patterns.register("archive_lines", ObjectPattern("archive_lines", serializers.get("lines"), store="archive"))
    kept = Note(name="shopping", text=Lines(["tea"]), save_patterns={"text": ["disk_lines", "archive_lines"]}).save()
    both = kept.filepaths["text"]
    assert (archive / both["archive_lines"]["key"]).read_text() == "1 lines\ntea\n"

    # Patterns are tried in their order: if the first copy is lost, the second is read, and the log says so.
    (path.parents[2] / both["disk_lines"]["key"]).unlink()
    assert Note.load("shopping").text == Lines(["tea"])
    print(f"second    {kept} was read from the archive")


if __name__ == "__main__":
    logging.basicConfig(format="warning   %(message)s", stream=sys.stdout)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.get("SIMPLEML_HOME", folder))
        simpleml.connect(home=home, stores={"archive": home / "archive"})
        main(home / "archive")
        simpleml.disconnect()
