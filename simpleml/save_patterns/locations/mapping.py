"""Files as memory: mapped where they lie (`load(mmap=True)`), or read into private memory.

A mapping is private and writable: what its owner writes stays with it, and whatever nobody wrote to is one set of pages for
all processes of the machine. Before the first use of a file its digest is compared, and that this was done is remembered
for exactly this file: device, inode, size, and the times of its last change in nanoseconds.
"""

from __future__ import annotations

import logging
import mmap
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from blake3 import blake3

from simpleml.hashing.digester import digester
from simpleml.progress import Progress
from simpleml.save_patterns.locations.disk import make_folder
from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.locations.spool import PLAIN, digest_of, write_all
from simpleml.save_patterns.protocols import Buffer

_log = logging.getLogger(__name__)

_LEAST = 64 * 1024  # each mapping costs an open file up to Python 3.12; smaller files are read
_BLOCK = 4 * 1024 * 1024  # two of them fit the processor's cache
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TICK = 20_000_000  # nanoseconds: two changes within one tick of the system's clock leave the same time on a file


def map_file(descriptor: int, size: int, digest: str, verified: VerifiedFiles, *, durable: bool) -> tuple[Buffer, str]:
    """Return the file as memory of the caller's own, and its digest: found now, or `digest` if that is remembered.

    The file must have `size` bytes. `durable` says that it was flushed to the medium, so that what was verified holds
    beyond a restart of the machine. Small files, and those that cannot be mapped, are read instead.
    """
    if size < _LEAST:
        return read_file(descriptor, size)
    before = os.fstat(descriptor)
    mark = _mark(before, digest, durable=durable)
    found = digest
    if mark not in verified:
        settled = _settle(before)
        found = digest_file(descriptor, size)
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):  # somebody is writing to it
            return read_file(descriptor, size)
        if found == digest and settled and after.st_ctime_ns == before.st_ctime_ns:
            verified.add(mark)
    try:
        return _mapped(descriptor, size), found
    except OSError as error:  # too many open files, or a file system that maps nothing
        _log.debug("a file of %d bytes cannot be mapped and is read instead: %s", size, error)
        return read_file(descriptor, size)


class MappedFile(mmap.mmap):
    """A private mapping of a file, as opposed to memory that nothing stands behind."""


def _mapped(descriptor: int, size: int) -> memoryview:
    options: dict[str, Any] = {"access": mmap.ACCESS_COPY}
    if sys.version_info >= (3, 13):
        options["trackfd"] = False  # a mapping needs no open file; thousands of artifacts would use up all of them
    return memoryview(MappedFile(descriptor, size, **options))


def let_go(data: Buffer, start: int, stop: int) -> None:
    """Take what lies between, of a whole mapped file, out of this process's memory; whoever touches it has it read again.

    Nobody may have written there. All other memory is left alone.
    """
    with memoryview(data) as view:
        pages, size = view.obj, view.nbytes
    if not isinstance(pages, MappedFile) or len(pages) != size or not hasattr(mmap, "MADV_DONTNEED"):
        return
    start += -start % mmap.PAGESIZE
    length = (stop - start) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        pages.madvise(mmap.MADV_DONTNEED, start, length)


def read_file(descriptor: int, size: int) -> tuple[Buffer, str]:
    """Return `size` bytes of the file in private memory, fewer if it is shorter, and the digest of that very memory."""
    data = private_memory(size)
    hasher = digester()
    done = 0
    with _file(descriptor) as file, Progress("reading", size, bytes_=True) as bar:
        while done < size and (count := file.readinto(data[done : done + _BLOCK])):
            hasher.update(data[done : done + count])
            done += count
            bar.advance(count)
    return data[:done], digest_of(hasher.hexdigest())


def digest_file(descriptor: int, size: int) -> str:
    """Return the digest of the file, which has about `size` bytes, with a few megabytes of memory.

    It is read, not mapped: a medium that fails is then an `OSError`, where touching a mapping would end the process.
    """
    try:
        return _digest_of(_read_ahead(descriptor), size)
    except RuntimeError:  # no thread to be had: too many of them, or the interpreter is ending
        return _digest_of(_read(descriptor), size)


def _digest_of(blocks: Iterator[memoryview], size: int) -> str:
    hasher = digester()
    with Progress("verifying", size, bytes_=True) as bar:
        for block in blocks:
            hasher.update(block)
            bar.advance(len(block))
    return digest_of(hasher.hexdigest())


def _read_ahead(descriptor: int) -> Iterator[memoryview]:
    """Yield the file block by block; each is valid until the next, which another thread reads meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    ready, spare = memoryview(bytearray(_BLOCK)), memoryview(bytearray(_BLOCK))
    with _file(descriptor) as file, ThreadPoolExecutor(1) as reader:
        count = file.readinto(ready)
        while count:
            coming = reader.submit(file.readinto, spare)
            yield ready[:count]
            ready, spare = spare, ready
            count = coming.result()


def _read(descriptor: int) -> Iterator[memoryview]:
    block = memoryview(bytearray(_BLOCK))
    with _file(descriptor) as file:
        while count := file.readinto(block):
            yield block[:count]


def _file(descriptor: int) -> Any:
    file = open(descriptor, "rb", buffering=0, closefd=False)  # noqa: SIM115 - the caller's block closes it
    file.seek(0)
    return file


# what was verified


def _mark(found: os.stat_result, digest: str, *, durable: bool) -> bytes:
    """Return what stands for "this file, as it is now, has this digest": another file or another content gives another."""
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    # What was never flushed may have changed in a power cut, and its times have not: it counts until the next start.
    return blake3(repr((*identity, digest, "" if durable else machine_start())).encode()).digest()


@cache
def machine_start() -> str:
    """Return what this start of the machine is known by: a power cut may empty what was not flushed.

    Where nothing tells, it is a new one for each process.
    """
    try:
        return _BOOT.read_text("ascii").strip() or uuid4().hex
    except (OSError, ValueError):
        return uuid4().hex


def _settle(found: os.stat_result) -> bool:
    """Wait until a later change of the file would show in its times; False if it will not show (clocks that differ)."""
    changed = max(found.st_mtime_ns, found.st_ctime_ns)
    age = time.time_ns() - changed
    if 0 <= age < _TICK:
        time.sleep((_TICK - age) / 1e9)
    return time.time_ns() - changed >= _TICK


class VerifiedFiles:
    """Remembers marks, in memory and, given a path, in a small file that all processes of this user share.

    It may forget and never errs the other way: a mark is 32 bytes of a hash, so a file that is damaged, cut off or written
    by many at once only loses some. Safe for threads and processes.
    """

    MOST = 1024 * 1024
    """The bytes that the file may have; then the older half goes."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._marks: set[bytes] = set()

    def __contains__(self, mark: bytes) -> bool:
        if mark not in self._marks and mark in self._stored():
            self._remember(mark)
        return mark in self._marks

    def add(self, mark: bytes) -> None:
        """Remember a mark; if the file cannot be written, in this process only."""
        self._remember(mark)
        if self._path is None:
            return
        try:
            try:
                size = self._append(mark)
            except FileNotFoundError:
                make_folder(self._path.parent)
                size = self._append(mark)
            if size > self.MOST:
                self._shorten()
        except OSError as error:
            _log.debug("what was verified is not remembered in %s: %s", self._path, error)

    def _remember(self, mark: bytes) -> None:
        if len(self._marks) > self.MOST // len(mark):
            self._marks = set()
        self._marks.add(mark)

    def _stored(self) -> bytes:
        """Return the content of the file; nothing if somebody else could have written it."""
        if self._path is None:
            return b""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | PLAIN)
        except OSError:
            return b""
        with open(descriptor, "rb", buffering=0) as file, suppress(OSError):
            found = os.fstat(descriptor)
            file.seek(max(found.st_size - 2 * self.MOST, 0))
            return file.read(2 * self.MOST) if is_ours(found) else b""
        return b""

    def _append(self, mark: bytes) -> int:
        assert self._path is not None  # noqa: S101 - for the type checker
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | PLAIN, 0o600)
        try:
            write_all(descriptor, memoryview(mark))
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _shorten(self) -> None:
        """Keep the newer half; what others append meanwhile may be lost, and is then verified once more."""
        assert self._path is not None  # noqa: S101 - for the type checker
        kept = self._stored()[-self.MOST // 2 :]
        part = self._path.with_name(f"{self._path.name}-{uuid4().hex}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | PLAIN, 0o600)
        try:
            write_all(descriptor, memoryview(kept))
        finally:
            os.close(descriptor)
            os.replace(part, self._path)


def is_ours(found: os.stat_result) -> bool:
    """Whether nobody but this user (and the system's own) can have written this file or folder."""
    if not hasattr(os, "geteuid"):
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
