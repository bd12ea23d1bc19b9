"""Any other filesystem of fsspec: a temporary name that is moved to the key, with what the place makes of that."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from uuid import uuid4

from simpleml.save_patterns.locations.filesystem import make_filesystem
from simpleml.save_patterns.locations.transport import MEBIBYTE, Fault, Source, Stat, Transport

_T = TypeVar("_T")

_UNDER_WAY = "tmp"  # the folder of temporary files


class GenericTransport(Transport):
    """Objects as files of a filesystem of which nothing more is known; `url_to_fs` of fsspec says how to get there.

    Only what fsspec runs in its event loop is used by several threads at once: the others are not said to bear it.
    """

    noun = "folder"
    workers = 4

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = options
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._opened: tuple[Any, str] | None = None

    def _connected(self) -> tuple[Any, str]:
        from fsspec.registry import get_filesystem_class

        with self._lock:
            if self._opened is None:
                protocol = self._url.partition("://")[0]
                inherited: dict[str, Any] = {}
                with contextlib.suppress(ImportError):  # said with the pip line by `make_filesystem`
                    inherited = get_filesystem_class(protocol)._get_kwargs_from_urls(self._url)  # noqa: SLF001 - as `url_to_fs`
                filesystem = make_filesystem(protocol, {"use_listings_cache": False, **inherited, **self._options})
                self._opened = filesystem, str(filesystem._strip_protocol(self._url)).rstrip("/")  # noqa: SLF001 - as `url_to_fs`
            return self._opened

    def _run(self, work: Callable[[Any, str], _T]) -> _T:
        """Return what `work` does with the filesystem and the folder; a connection that broke is made anew the next time."""
        opened = self._connected()
        with contextlib.nullcontext() if opened[0].async_impl else self._turn:
            try:
                return work(*opened)
            except Exception as error:
                if self.fault(error) is Fault.TRANSIENT and self._opened is opened:
                    self._opened = None
                raise

    def close(self) -> None:
        """Let the filesystem go, which closes what it has open."""
        self._opened = None

    def create(self, key: str, source: Source) -> None:
        """Write a temporary file and move it, after looking that nothing is there."""
        if self.stat(key) is not None:
            raise FileExistsError(key)

        def write(filesystem: Any, root: str) -> None:
            temporary, target = f"{root}/{_UNDER_WAY}/{uuid4().hex}.part", f"{root}/{key}"
            filesystem.makedirs(f"{root}/{_UNDER_WAY}", exist_ok=True)
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                with filesystem.open(temporary, "wb", block_size=8 * MEBIBYTE) as file:
                    for piece in source.pieces():
                        file.write(piece)
                filesystem.mv(temporary, target)
            except BaseException:
                with contextlib.suppress(Exception):  # what counts is the first failure; the sweep removes the rest
                    filesystem.rm_file(temporary)
                raise

        self._run(write)

    def stat(self, key: str) -> Stat | None:
        """Return the size."""
        try:
            return Stat(int(self._run(lambda filesystem, root: filesystem.info(f"{root}/{key}"))["size"]))
        except FileNotFoundError as error:
            if self.fault(error) is Fault.MISSING:
                return None
            raise

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Read a range of the file."""

        def read(filesystem: Any, root: str) -> bytes:
            with filesystem.open(f"{root}/{key}", "rb", cache_type="none") as file:
                file.seek(start)
                return bytes(file.read(len(target)))

        data = self._run(read)
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """Remove the file; of what fails, only a look tells whether it was there."""
        try:
            self._run(lambda filesystem, root: filesystem.rm_file(f"{root}/{key}"))
        except Exception:  # what is not there is removed; a look that fails is told itself
            if self.stat(key) is not None:
                raise

    def list(self, folder: str) -> Iterable[str]:
        """Walk over the files below."""

        def names(filesystem: Any, root: str) -> list[str]:
            top = f"{root}/".lstrip("/")
            found = (str(filesystem._strip_protocol(path)).lstrip("/") for path in filesystem.find(f"{root}/{folder}"))  # noqa: SLF001
            return [path.removeprefix(top) for path in found if path.startswith(top)]

        return self._run(names)

    def clear_leftovers(self, older_than: float) -> int:
        """Remove old temporary files, where the place knows how old they are."""
        limit = time.time() - older_than

        def clear(filesystem: Any, root: str) -> int:
            removed = 0
            with contextlib.suppress(FileNotFoundError):
                for path in filesystem.ls(f"{root}/{_UNDER_WAY}", detail=False):
                    try:
                        old = filesystem.modified(path).timestamp() < limit
                    except NotImplementedError:
                        return removed
                    if old and str(path).endswith(".part"):
                        filesystem.rm_file(path)
                        removed += 1
            return removed

        return self._run(clear)

    def guarantees(self) -> Mapping[str, str]:
        """What may be hoped for."""
        return {
            "put": "a temporary name is moved to the key; whether the place does that at once is not known",
            "durable": "not known",
            "listing": "not known",
        }
