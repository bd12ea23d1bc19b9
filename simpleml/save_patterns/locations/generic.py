"""Any other filesystem of fsspec: a temporary name that is moved to the key, with what the place makes of that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any
from uuid import uuid4

from simpleml.save_patterns.locations.filesystem import make_filesystem
from simpleml.save_patterns.locations.transport import Source, Stat, Transport


class GenericTransport(Transport):
    """Objects as files of a filesystem of which nothing more is known; `url_to_fs` of fsspec says how to get there."""

    noun = "folder"
    workers = 4

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = options

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        from fsspec.registry import get_filesystem_class

        protocol = self._url.partition("://")[0]
        inherited: dict[str, Any] = {}
        with contextlib.suppress(ImportError):  # said with the pip line by `make_filesystem`
            inherited = get_filesystem_class(protocol)._get_kwargs_from_urls(self._url)  # noqa: SLF001 - as `url_to_fs`
        filesystem = make_filesystem(protocol, {"use_listings_cache": False, **inherited, **self._options})
        return filesystem, str(filesystem._strip_protocol(self._url)).rstrip("/")  # noqa: SLF001 - as `url_to_fs`

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    def _at(self, key: str) -> str:
        return f"{self._opened[1]}/{key}"

    def create(self, key: str, source: Source) -> None:
        """Write a temporary file and move it, after looking that nothing is there."""
        if self._fs.exists(self._at(key)):
            raise FileExistsError(key)
        temporary = self._at(f"tmp/{uuid4().hex}.part")
        self._fs.makedirs(self._at("tmp"), exist_ok=True)
        self._fs.makedirs(self._at(key).rpartition("/")[0], exist_ok=True)
        try:
            with self._fs.open(temporary, "wb") as file:
                for piece in source.pieces():
                    file.write(piece)
            self._fs.mv(temporary, self._at(key))
        except BaseException:
            with contextlib.suppress(Exception):  # what counts is the first failure; the sweep removes the rest
                self._fs.rm_file(temporary)
            raise

    def stat(self, key: str) -> Stat | None:
        """Return the size."""
        try:
            return Stat(int(self._fs.info(self._at(key))["size"]))
        except FileNotFoundError:
            return None

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Read a range of the file."""
        with self._fs.open(self._at(key), "rb", cache_type="none") as file:
            file.seek(start)
            data = file.read(len(target))
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """Remove the file."""
        self._fs.rm_file(self._at(key))

    def list(self, folder: str) -> Iterable[str]:
        """Walk over the files below."""
        top = self._at("").lstrip("/")
        found = (str(self._fs._strip_protocol(path)).lstrip("/") for path in self._fs.find(self._at(folder)))  # noqa: SLF001
        return [path.removeprefix(top) for path in found if path.startswith(top)]

    def clear_leftovers(self, older_than: float) -> int:
        """Remove old temporary files, where the place knows how old they are."""
        removed, limit = 0, time.time() - older_than
        with contextlib.suppress(FileNotFoundError):
            for path in self._fs.ls(self._at("tmp"), detail=False):
                try:
                    old = self._fs.modified(path).timestamp() < limit
                except NotImplementedError:
                    return removed
                if old and str(path).endswith(".part"):
                    self._fs.rm_file(path)
                    removed += 1
        return removed

    def guarantees(self) -> Mapping[str, str]:
        """What may be hoped for."""
        return {
            "put": "a temporary name is moved to the key; whether the place does that at once is not known",
            "durable": "not known",
            "listing": "not known",
        }
