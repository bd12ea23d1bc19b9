"""The cache of this machine: what was read over a network, by digest, for all processes of this user.

`objects/<ab>/<digest>` are the entries, `….used` beside one is touched when it is read, `tmp/<digest>-<size>-<attempt>.part`
are downloads on their way, `tmp/<digest>.lock` says that somebody is at it, `estimate` how full the cache is. Locks are a
courtesy that spares work: an entry appears by a rename of a whole and verified file, and its user verifies it again.

Nothing is flushed: after a power cut an entry may hold anything, which its first user finds out.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import uuid4

from blake3 import blake3

from simpleml.errors import ArtifactDamagedError, SimpleMLError
from simpleml.save_patterns.locations.disk import FULL, make_folder
from simpleml.save_patterns.locations.mapping import VerifiedFiles, is_ours
from simpleml.save_patterns.locations.spool import PLAIN, Spool, copied, digest_of, hold, is_held, write_all

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_DIGEST = re.compile(r"blake3:([0-9a-f]{64})", re.ASCII)
_ENTRY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PART = re.compile(r"[0-9a-f]{64}-(\d+)-[0-9a-f]{32}\.part", re.ASCII)
_NEW = os.O_RDWR | os.O_CREAT | PLAIN
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | PLAIN

_TOUCH = 10.0  # seconds between two notes of this process that an entry is in use
_SCAN = 3600.0  # seconds after which the estimate is not believed
_LOW = 0.9  # of the limit is left when something has to go, so that not every fill looks at all entries
_PATIENCE = 20.0  # seconds without progress after which somebody else's download is not waited for
_IDLE = 600.0  # seconds after which a temporary file is nobody's, where locks do nothing
_GAP = 5.0  # the same where they work: nobody takes longer from making a file to locking it


class Cache:
    """Objects as private files in `folder`, at most `limit` bytes in all; what was used least recently goes first.

    Safe for threads and processes, any of which may be killed at any instant. A cache that cannot be written, or has no
    room, says so once in the log and keeps nothing; a `limit` of 0 switches it off.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self.verified = VerifiedFiles(folder / "verified")
        self._touched: dict[str, float] = {}
        self._warned = False

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r}, {self.limit})"

    # reading

    def open(self, digest: str, size: int) -> int | None:
        """Return a descriptor of the entry, which the caller closes, or None; its bytes are not looked at yet.

        Whoever reads them compares their digest, and calls `discard` if it is another.
        """
        name = _name_of(digest)
        if name is None or self.limit <= 0:
            return None
        try:
            descriptor = os.open(self._entry(name), _READ)
        except OSError:  # not there, or not for us to read: either way the bytes come from elsewhere
            return None
        found = os.fstat(descriptor)
        if found.st_size != size or not stat.S_ISREG(found.st_mode):
            self.discard(digest, descriptor)
            os.close(descriptor)
            return None
        self._touch(name)
        return descriptor

    def discard(self, digest: str, descriptor: int) -> None:
        """Throw out an entry that is damaged, unless another file than that of `descriptor` has taken its place."""
        name = _name_of(digest)
        if name is not None:
            with suppress(OSError):
                if os.path.samestat(os.lstat(self._entry(name)), os.fstat(descriptor)):
                    self._remove(self._entry(name))

    def _entry(self, name: str) -> Path:
        return self.folder / "objects" / name[:2] / name

    def _touch(self, name: str) -> None:
        """Note that the entry is in use; on a file beside it, for a new time on itself would make it another file."""
        now = time.monotonic()
        if now - self._touched.get(name, -_TOUCH) < _TOUCH:
            return
        if len(self._touched) > 10_000:
            self._touched = {}
        self._touched[name] = now
        with suppress(OSError):
            used = _used(self._entry(name))
            try:
                os.utime(used)
            except FileNotFoundError:
                os.close(os.open(used, _NEW, 0o600))

    # filling

    def fill(self, digest: str, size: int, write: Callable[[int], str]) -> int | None:
        """Return a descriptor of the entry after `write(descriptor)` filled it, or after another process did.

        `write` returns the digest of what it wrote to the empty file; another than `digest` is an `ArtifactDamagedError`.
        What `write` raises is passed on. None: the cache cannot keep it; the file that is returned may be evicted
        already, and stays readable. The caller closes it.
        """
        name = _name_of(digest)
        if name is None or self.limit <= 0:
            return None
        try:
            if size > self.limit:
                raise OSError(errno.EFBIG, f"the object has {size} bytes and the limit is {self.limit}")
            self._prepare()
            with self._alone(name):
                found = self.open(digest, size)
                return self._download(name, digest, size, write) if found is None else found
        except OSError as error:
            if isinstance(error, SimpleMLError) and error.errno not in FULL:
                raise
            self._say_no(error)
            return None

    def keep(self, spool: Spool) -> bool:
        """Have the bytes of a finished spool that was put into a remote store: its file, or a copy; whether the cache has them now.

        If not (no room, another file system, memory that changed since), the spool is as it was.
        """
        name = _name_of(spool.digest)
        if name is None or spool.size > self.limit or self.limit <= 0:
            return False
        try:
            if self._entry(name).exists():
                return True
            self._prepare()
            held = spool.held
            if held is not None:
                os.close(self._download(name, spool.digest, spool.size, partial(_write_held, held)))
                return self._entry(name).exists()
            path, _ = spool.materialize()
            taken = self._with_room(spool.size, lambda: self._enter(path, name))
        except (OSError, ArtifactDamagedError) as error:
            _log.debug("the cache %s did not take what was uploaded: %s", self.folder, error)
            return False
        if taken is None:
            return False
        spool.keep()
        return True

    def _download(self, name: str, digest: str, size: int, write: Callable[[int], str]) -> int:
        part = self.folder / "tmp" / f"{name}-{size}-{uuid4().hex}.part"
        descriptor = self._with_room(size, lambda: _new_part(part))
        if descriptor is None:
            raise OSError(errno.ENOSPC, f"{size} bytes are wanted, and other downloads take up the {self.limit} bytes")
        try:
            found = write(descriptor)
            if found != digest or os.fstat(descriptor).st_size != size:
                raise ArtifactDamagedError(
                    f"what was downloaded into the cache {self.folder} has the digest {found} and "
                    f"{os.fstat(descriptor).st_size} bytes, but {digest} and {size} bytes were saved"
                )
            try:
                self._enter(part, name)
            except OSError as error:  # the bytes are whole all the same
                self._say_no(error)
                part.unlink(missing_ok=True)
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                part.unlink()
            raise
        return descriptor

    def _enter(self, part: Path, name: str) -> Path:
        entry = self._entry(name)
        try:
            os.replace(part, entry)
        except FileNotFoundError:
            entry.parent.mkdir(mode=0o700, exist_ok=True)
            os.replace(part, entry)
        return entry

    def _prepare(self) -> None:
        """Make the folders, and refuse one of another user: its files would be in his hands, and ours in his way."""
        for folder in (self.folder / "objects", self.folder / "tmp"):
            if not folder.is_dir():
                make_folder(folder)
        found = os.stat(self.folder)
        if not is_ours(found):
            if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "the folder belongs to another user")
            self.folder.chmod(0o700)

    def _say_no(self, error: OSError) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        _log.log(
            level,
            "the cache of remote objects in %s cannot keep an object (%s): it is read over the network each time. Give it "
            "room (cache_size is %d bytes) or another place (cache_folder in the settings).",
            self.folder,
            error.strerror or error,
            self.limit,
        )

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Wait while somebody else is downloading this, as long as it goes on."""
        path = self.folder / "tmp" / f"{name}.lock"
        with _turn(path, lambda: _signs(path.parent.glob(f"{name}-*.part"))) as mine:
            try:
                yield
            finally:
                if mine:
                    with suppress(OSError):
                        path.unlink()

    # room

    def trim(self) -> None:
        """Remove what is more than the limit, which may have been lowered since; never fails."""
        with suppress(OSError):
            self._with_room(0, lambda: None)

    def _with_room(self, size: int, take: Callable[[], _T]) -> _T | None:
        """Return `take()`, called once there is room for `size` more bytes, before anybody else asks; None if there is none."""
        if shutil.disk_usage(self.folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path = self.folder / "estimate"
        with _turn(path):
            total, looked = _read_estimate(path)
            if total + size > self.limit or not 0 <= time.time() - looked < _SCAN:
                total, looked = self._tidy(size), time.time()
            fits = total + size <= self.limit
            path.write_text(f"{total + size * fits} {looked}", "ascii")
            return take() if fits else None

    def _tidy(self, size: int) -> int:
        """Remove what is nobody's, then entries, the least recently used first, if `size` bytes lack; return what is left."""
        listing = self._list()
        going = sum(listing.parts)
        total = going + sum(entry.size for entry in listing.entries)
        if total + size <= self.limit or going + size > self.limit:
            return total
        goal = min(int(self.limit * _LOW), self.limit - size)
        for entry in sorted(listing.entries):
            if total <= goal:
                break
            self._remove(entry.path)
            total -= entry.size
        return total

    def _remove(self, entry: Path) -> None:
        for path in (entry, _used(entry)):
            path.unlink(missing_ok=True)

    def _list(self) -> _Listing:
        listing = _Listing()
        old = time.time() - (_GAP if _locks_work(self.folder / "estimate") else _IDLE)
        for path in (self.folder / "tmp").iterdir():
            with suppress(OSError):
                if path.lstat().st_mtime < old and not is_held(path):
                    path.unlink()
                elif match := _PART.fullmatch(path.name):
                    listing.parts.append(int(match[1]))
        for folder in (self.folder / "objects").iterdir():
            with suppress(OSError):  # a folder that somebody removes meanwhile
                self._list_folder(folder, listing)
        return listing

    def _list_folder(self, folder: Path, listing: _Listing) -> None:
        with os.scandir(folder) as found:
            files = {file.name: file.stat(follow_symlinks=False) for file in found}
        for name, status in files.items():
            if _ENTRY.fullmatch(name):
                used = files.get(_used(Path(name)).name, status)
                moment = max(used.st_mtime_ns, status.st_mtime_ns)
                listing.entries.append(_Entry(moment, status.st_size, folder / name))
            elif name.removesuffix(".used") not in files:
                (folder / name).unlink(missing_ok=True)


class _Entry(NamedTuple):
    moment: int
    size: int
    path: Path


@dataclass(slots=True)
class _Listing:
    entries: list[_Entry] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)


def _name_of(digest: str) -> str | None:
    """Return the hexadecimal digits of a digest; None if it is none, so that no path is ever made of anything else."""
    match = _DIGEST.fullmatch(digest)
    return match[1] if match else None


def _used(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.used")


def _signs(paths: Iterable[Path]) -> list[tuple[int, int, int]]:
    """Return what changes when anything is written to these files, also to one that had its full size from the start."""
    signs = []
    for path in paths:
        with suppress(OSError):
            found = path.stat()
            signs.append((found.st_size, found.st_mtime_ns, getattr(found, "st_blocks", 0)))
    return signs


def _write_held(held: Sequence[memoryview], descriptor: int) -> str:
    """Copy memory to the file, and return the digest of what was copied."""
    hasher = blake3()
    for piece in held:
        for block in copied(piece):
            hasher.update(block)
            write_all(descriptor, block)
    return digest_of(hasher.hexdigest())


def _new_part(path: Path) -> int:
    descriptor = os.open(path, _NEW | os.O_EXCL, 0o600)
    hold(descriptor)
    return descriptor


def _read_estimate(path: Path) -> tuple[int, float]:
    """Return how many bytes there are, and when that was last counted: never, if the file does not say."""
    try:
        total, looked = path.read_text("ascii").split()
        return max(int(total), 0), float(looked)
    except (OSError, ValueError):
        return 0, 0.0


@contextmanager
def _turn(path: Path, sign: Callable[[], object] = lambda: None) -> Iterator[bool]:
    """Hold the lock of `path` in the block; go on without it if its holder gives no new sign for long."""
    descriptor = os.open(path, _NEW, 0o600)
    mine = False
    try:
        seen, moment, pause = sign(), time.monotonic(), 0.001
        while not (mine := hold(descriptor)) and time.monotonic() - moment < _PATIENCE:
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
            if (now := sign()) != seen:
                seen, moment = now, time.monotonic()
        yield mine
    finally:
        if mine:
            _let_go(descriptor)
        os.close(descriptor)


def _let_go(descriptor: int) -> None:
    """Give a lock back: closing would not, if a process forked meanwhile has the file open too."""
    if sys.platform != "win32":
        import fcntl

        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _locks_work(path: Path) -> bool:
    """Whether a second lock of a file is refused while the first is held."""
    first, second = os.open(path, _NEW, 0o600), os.open(path, _NEW, 0o600)
    try:
        hold(first)  # or somebody else holds it
        return not hold(second)
    finally:
        os.close(second)
        os.close(first)
