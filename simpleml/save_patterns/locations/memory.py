"""`memory://`: the memory of this process, for tests and trials; it is gone when the process ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from simpleml.save_patterns.locations.filesystem import make_filesystem
from simpleml.save_patterns.locations.transport import Source, Stat, Transport


class MemoryTransport(Transport):
    """Objects in fsspec's memory filesystem, of which there is one in a process, whoever asks for it."""

    noun = "folder"
    remote = False

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._root = "/" + url.partition("://")[2].strip("/")
        self._options = options

    @cached_property
    def _fs(self) -> Any:
        return make_filesystem("memory", self._options)

    def describe(self) -> str:
        """The folder."""
        return f"memory:/{self._root}"

    def create(self, key: str, source: Source) -> None:
        """Keep the bytes."""
        self._fs.pipe_file(self._at(key), source.whole(), mode="create")

    def stat(self, key: str) -> Stat | None:
        """Return the size."""
        try:
            return Stat(self._fs.size(self._at(key)))
        except FileNotFoundError:
            return None

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Copy a range."""
        data = self._fs.cat_file(self._at(key), start=start, end=start + len(target))
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """Let go of the bytes."""
        self._fs.rm_file(self._at(key))

    def list(self, folder: str) -> Iterable[str]:
        """List what is below."""
        return [path.removeprefix(self._at("")) for path in self._fs.find(self._at(folder))]

    def guarantees(self) -> Mapping[str, str]:
        """What memory gives."""
        return {
            "put": "atomic: an object is one value",
            "durable": "never: it ends with this process",
            "listing": "sees every object from its put on",
        }

    def _at(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key}"
