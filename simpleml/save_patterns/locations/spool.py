"""The bytes of one artifact on their way into a store: private, counted and digested while they are written."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from uuid import uuid4

from blake3 import blake3

from simpleml.failpoints import reach
from simpleml.hashing.digester import digester
from simpleml.progress import Progress

ALGORITHM = "blake3"
AS_BYTES = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags for every file that is opened: its bytes as they are, on every system, for this program alone."""

PLAIN = AS_BYTES | getattr(os, "O_NOFOLLOW", 0)
"""The same for a file of our own: not what a link leads to."""

_LENT = 64 * 1024  # less is copied
_IN_MEMORY = 256 * 1024  # smaller artifacts meet the disk only when they are put, or never if their bytes are known
_BLOCK = 4 * 1024 * 1024


def digest_of(hexdigest: str) -> str:
    """Return the form in which references carry a digest."""
    return f"{ALGORITHM}:{hexdigest}"


class Spool:
    """The bytes of one artifact, which can only be added to; at the end a store puts them under a key.

    Few bytes stay in memory. More go to a private temporary file (0600) of `folder`, which a local put renames into place and
    nobody reads before; closing removes it. With `borrows`, memory that was lent is not copied to it before it must be.
    `failures` gives the block in which the file is touched: it says of an `OSError` whose it is. Not for several threads.
    """

    def __init__(
        self, folder: Path, failures: Callable[[], AbstractContextManager[None]] = nullcontext, *, borrows: bool = False
    ) -> None:
        self._folder = folder
        self._failures = failures
        self._borrows = borrows
        self._held: list[bytearray | memoryview] = []  # what met no disk, in order; views are lent
        self._own = 0  # bytes of it that are not lent
        self._hash = blake3()  # of what is in the file; on one core, which writing takes longer than
        self._progress: Progress | None = None
        self._digest = ""  # of everything so far, once it was asked for or somebody else wrote it
        self._closed = False
        self.size = 0
        self.path: Path | None = None
        self.descriptor: int | None = None

    @property
    def digest(self) -> str:
        """The digest of everything written so far."""
        if not self._digest:
            hasher = digester(self.size) if self._held else self._hash
            for piece in self._held:
                hasher.update(piece)
            self._digest = digest_of(hasher.hexdigest())
        return self._digest

    @property
    def held(self) -> list[memoryview] | None:
        """Everything written so far, in order, if it met no disk."""
        return [memoryview(piece) for piece in self._held] if self.path is None else None

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append `data`, whatever its item size, and return the number of bytes taken: always all of them.

        What is digested is what is written, also of memory that somebody changes meanwhile.
        """
        self._demand_open()
        view = memoryview(data).cast("B")
        self._digest = ""
        if self.descriptor is None and self._own + view.nbytes <= _IN_MEMORY:
            if not self._held or isinstance(self._held[-1], memoryview):
                self._held.append(bytearray())
            self._held[-1] += view  # type: ignore[operator] # a bytearray
            self._own += view.nbytes
        else:
            with self._failures():
                _, descriptor = self.materialize()
                self._write(view, descriptor)
        self.size += view.nbytes
        return view.nbytes

    def lend(self, data: bytes | bytearray | memoryview, /) -> int:
        """Append memory that is neither freed nor used for anything else before the spool is closed: it need not be copied.

        If its values change before they are stored, the store says so with `SourceChangedError`; then `own` them.
        """
        view = memoryview(data).cast("B")
        if not self._borrows or self.descriptor is not None or view.nbytes < _LENT:
            return self.write(view)
        self._demand_open()
        self._digest = ""
        self._held.append(view)
        self.size += view.nbytes
        return view.nbytes

    def own(self) -> bool:
        """Copy what was lent, as it is now, to the file; whether there was anything."""
        lent = any(isinstance(piece, memoryview) for piece in self._held)
        if lent:
            with self._failures():
                self.materialize()
        return lent

    def _write(self, view: memoryview, descriptor: int) -> None:
        for block in copied(view):
            self._hash.update(block)
            write_all(descriptor, block)
            if self._progress is None:
                self._progress = Progress("writing", bytes_=True)
            self._progress.advance(block.nbytes)

    def _demand_open(self) -> None:
        if self._closed:
            raise ValueError("this spool is closed: nothing can be written to it any more")

    def take(self, fill: Callable[[int], str], size: int) -> str:
        """Let `fill` write all `size` bytes to the file itself, and return their digest, which it has to say."""
        with self._failures():
            _, descriptor = self.materialize()
            self._digest = fill(descriptor)
        self.size = size
        return self._digest

    def flush(self) -> None:
        """Do nothing: what is durable is decided by the put."""

    def materialize(self) -> tuple[Path, int]:
        """Make sure that the bytes are in the file, and return its path and its descriptor."""
        if self.path is None or self.descriptor is None:
            self._demand_open()
            reach("save.spool.before")
            self.path = self._folder / f"{uuid4().hex}.part"
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | PLAIN, 0o600)
            hold(self.descriptor)
            reach("save.spool.after")
        if self._held:
            self._digest = ""  # what was lent may have changed
            held, self._held = self._held, []
            for piece in held:
                self._write(memoryview(piece), self.descriptor)
        return self.path, self.descriptor

    def keep(self) -> None:
        """Forget the file, which now has a key, and close it."""
        self.path = None
        self.close()

    def close(self) -> None:
        """Close the file, and remove it unless it was kept."""
        self._closed = True
        self._held = []
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
        descriptor, self.descriptor = self.descriptor, None
        path, self.path = self.path, None
        with self._failures():
            if descriptor is not None:
                os.close(descriptor)
            if path is not None:
                path.unlink(missing_ok=True)


def copied(view: memoryview) -> Iterator[memoryview]:
    """Give a copy of each block of memory that others may change, to be digested and written while it is warm in the cache.

    Each is overwritten by the next.
    """
    room = memoryview(bytearray(min(view.nbytes, _BLOCK)))
    for start in range(0, view.nbytes, _BLOCK):
        part = view[start : start + _BLOCK]
        block = room[: part.nbytes]
        block[:] = part
        yield block


def write_all(descriptor: int, view: memoryview) -> None:
    """Write every byte of `view`, however many calls that takes."""
    done = 0
    while done < view.nbytes:
        done += os.write(descriptor, view[done:])


def hold(descriptor: int) -> bool:
    """Say that the file is being written, for as long as it is open; whether nobody else says so.

    It only spares a writer from a sweeper that has no patience: nothing is lost where locks do nothing.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: the file's age decides alone
        return True
    return True


def is_held(path: Path) -> bool:
    """Whether a writer has this temporary file open."""
    try:
        descriptor = os.open(path, os.O_RDWR | PLAIN)  # NFS locks no file that is only read
    except FileNotFoundError:
        raise
    except OSError:  # another user's
        descriptor = os.open(path, os.O_RDONLY | PLAIN)
    try:
        return not hold(descriptor)
    finally:
        os.close(descriptor)


def clear_spools(folder: Path, older_than: float) -> int:
    """Remove the spools in `folder` that no writer has open, or has touched for `older_than` seconds; return how many."""
    removed, limit = 0, time.time() - older_than
    for path in folder.glob("*.part"):
        try:
            if path.lstat().st_mtime < limit and not is_held(path):
                reach("sweep.remove.before")
                path.unlink()
                removed += 1
                reach("sweep.remove.after")
        except FileNotFoundError:  # its writer, or another sweeper, was first
            continue
    return removed
