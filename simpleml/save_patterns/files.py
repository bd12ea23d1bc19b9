"""Files below a folder: which there are, whether they are still the same, and their digests."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from simpleml.errors import ArtifactDamagedError, SavePatternError
from simpleml.hashing.digester import digester
from simpleml.save_patterns.locations.spool import PLAIN, digest_of, write_all
from simpleml.save_patterns.manifest import File
from simpleml.save_patterns.protocols import Buffer

BLOCK = 1024 * 1024
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | PLAIN
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells whether a file is still the one that was looked at."""

    size: int
    changed: int
    inode: int
    executable: bool

    @classmethod
    def of(cls, found: os.stat_result) -> Stamp:
        """Return the stamp of a file with this status."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ino, bool(found.st_mode & stat.S_IXUSR))


def scan(folder: Path) -> tuple[dict[str, Stamp], tuple[str, ...]]:
    """Return the stamp of each file below `folder` by its path, and the paths of its empty folders, both sorted.

    Raises `SavePatternError` for a symbolic link, for what is neither a file nor a folder, and for what is not there (any
    more) or may not be read.
    """
    files: dict[str, Stamp] = {}
    empty: list[str] = []
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with _looking(folder / above), os.scandir(folder / above) as entries:
            found = list(entries)
        if not found and above:
            empty.append(above)
        for entry in found:
            path = f"{above}/{entry.name}" if above else entry.name
            with _looking(folder / path):
                status = os.stat(entry.path, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                raise SavePatternError(
                    f"{folder / path} is a symbolic link, and links are not saved: put what it leads to in its place. "
                    "shutil.copytree(folder, elsewhere) makes such a copy of a whole folder"
                )
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)
            elif stat.S_ISREG(status.st_mode):
                files[path] = Stamp.of(status)
            else:
                raise SavePatternError(
                    f"{folder / path} is neither a file nor a folder (a pipe, a socket, a device), so it cannot be saved: remove it"
                )
    return dict(sorted(files.items())), tuple(sorted(empty))


@contextmanager
def _looking(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SavePatternError(f"{path} is no longer there: save again once nobody writes to its folder") from error
    except OSError as error:
        raise SavePatternError(
            f"{path} cannot be looked at: {error.strerror}. Give this user the right to read it and what is in it"
        ) from error


def opened(path: Path) -> FileIO:
    """Open a regular file for reading, following no link; `SavePatternError` if it is none any more."""
    try:
        file = FileIO(os.open(path, _READ), "rb")
    except OSError as error:
        raise SavePatternError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SavePatternError(f"{path} is no file any more: the folder was changed meanwhile")
    return file


def digest_file(path: Path) -> tuple[Stamp, str]:
    """Return the stamp that a file had before it was read, and its digest."""
    hasher = digester()
    with opened(path) as file:
        stamp = Stamp.of(os.fstat(file.fileno()))
        while block := file.read(BLOCK):
            hasher.update(block)
    return stamp, digest_of(hasher.hexdigest())


def write_file(path: Path, file: File, data: Buffer) -> None:
    """Make a private file of `data`, which is that of `file`: the very bytes that are written have its digest."""
    hasher = digester()
    descriptor = os.open(path, _NEW, 0o700 if file.executable else 0o600)
    try:
        view = memoryview(data)
        for start in range(0, len(view), BLOCK):
            hasher.update(view[start : start + BLOCK])
            write_all(descriptor, view[start : start + BLOCK])
    finally:
        os.close(descriptor)
    if (found := digest_of(hasher.hexdigest())) != file.digest:
        raise ArtifactDamagedError(f"the digest of {path} is {found} as it was written, but {file.digest} was saved")
