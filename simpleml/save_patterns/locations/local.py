"""A store in a folder, with a durable writer of its own.

A put is: private file in the store's own file system → fsync → rename to a key that was never used → fsync of the folder.
Without the first fsync a power cut leaves a committed record with an empty file; without the second it may lose the name
(measured: 60 of 77 and 15 of 80 cut points). A failed fsync is never tried again: the second may lie.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    StoreError,
)
from simpleml.failpoints import reach
from simpleml.hashing.digester import digester
from simpleml.progress import Progress
from simpleml.save_patterns.locations.disk import flush_file, flush_folder, make_folder, start_flushing, store_error
from simpleml.save_patterns.locations.keys import FANOUT, checked, is_key
from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.locations.spool import PLAIN, Spool, clear_spools, digest_of, write_all
from simpleml.save_patterns.protocols import Buffer

_BLOCK = 2 * 1024 * 1024


class LocalStore:
    """Objects as files below `root`; safe for threads, for processes, and for a kill or a power cut at any instant."""

    remote = False
    chunked = False

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._ready: set[str] = set()

    def __repr__(self) -> str:
        return f"LocalStore({self.name!r}, {str(self.root)!r})"

    def describe(self) -> str:
        """The folder on this machine."""
        return str(self.root)

    def guarantees(self) -> Mapping[str, str]:
        """What a file system gives to who flushes it."""
        return {
            "put": "atomic: a private file is renamed to a name that is used once",
            "durable": "when put returns: the file and its folder were flushed to the medium",
            "listing": "sees every object from its put on",
        }

    # writing

    def spool(self) -> Spool:
        """Open a private temporary file in the store's own file system, so that the put is a rename."""
        with self._failures("prepare"):
            self._prepare("tmp", ())
            try:
                self._refuse_link("tmp")
            except FileNotFoundError:
                self._prepare("tmp", (), anew=True)
                self._refuse_link("tmp")
        return Spool(self.root / "tmp", lambda: self._failures("write"))

    def put(self, spool: Spool, key: str) -> None:
        """Make the spooled file durable under `key`: fsync, rename, fsync of the folder."""
        self.put_together([(spool, key)])
        self.settle([key])

    def put_together(self, puts: Sequence[tuple[Spool, str]]) -> None:
        """Do for each spool and key what `put` does, one step for all after the other, but for the fsync of the folders.

        All files are on their way to the medium before the first is waited for, so that one flush of it serves many.
        """
        targets = [checked(key, self.name).split("/") for _, key in puts]
        with self._failures("write"):
            for folder in {folder for folder, _, _ in targets}:
                self._prepare(folder, FANOUT)
            files = [self._materialize(spool) for spool, _ in puts]
            if len(files) > 1:
                for _, descriptor in files:
                    start_flushing(descriptor)
            for _, descriptor in files:
                reach("put.fsync.before")
                flush_file(descriptor)
                reach("put.fsync.after")
            for (spool, _), (path, _), target in zip(puts, files, targets, strict=True):
                reach("put.rename.before")
                self._rename(path, *target)
                spool.keep()
                reach("put.rename.after")

    def settle(self, keys: Iterable[str]) -> None:
        """Flush every folder in which one of the keys is, once."""
        with self._failures("write"):
            for folder in sorted({key.rpartition("/")[0] for key in keys}):
                reach("put.fsync_folder.before")
                flush_folder(self.root / folder)
                reach("put.fsync_folder.after")

    def _materialize(self, spool: Spool) -> tuple[Path, int]:
        try:
            return spool.materialize()
        except FileNotFoundError:  # a small artifact meets the disk only now
            self._prepare("tmp", (), anew=True)
            return spool.materialize()

    def _rename(self, path: Path, folder: str, fan: str, name: str) -> None:
        """Give the file its name; folders that are gone are made again: a store that was moved may have left empty ones behind."""
        try:
            self._move(path, folder, fan, name)
        except FileNotFoundError as error:
            if not path.exists():
                raise self._lost_spool(path) from error
            self._prepare(folder, FANOUT, anew=True)
            self._move(path, folder, fan, name)

    def _move(self, path: Path, folder: str, fan: str, name: str) -> None:
        with self._folder(folder, fan) as inside:
            os.rename(path, name if inside is not None else self.root / folder / fan / name, dst_dir_fd=inside)

    def _lost_spool(self, path: Path) -> StoreError:
        return StoreError(
            f"the temporary file {path} of the store {self.name!r} was removed while it was written: somebody removed or moved "
            "the folder of the store. The save did not happen; save again."
        )

    def _prepare(self, folder: str, below: tuple[str, ...], *, anew: bool = False) -> None:
        """Make `folder` and the folders below it, durably, once; a marker that is written last says that it is done.

        With `anew` nothing that was done before is believed: a folder was found missing.
        """
        top = self.root / folder
        marker = top / ".ready"
        if anew:
            self._ready.discard(folder)
            marker.unlink(missing_ok=True)  # others must not believe it before the names below are durable
        elif folder in self._ready:
            return
        if not marker.exists():
            reach("store.folders.before")
            make_folder(top)
            for name in below:
                (top / name).mkdir(mode=0o700, exist_ok=True)
            flush_folder(top)
            reach("store.folders.after")
            marker.touch(mode=0o600)
        self._ready.add(folder)

    # reading

    def size(self, key: str) -> int | None:
        """Return the size of the file under `key`, or None; a link or a folder is not an object."""
        folder, fan, name = checked(key, self.name).split("/")
        with (
            self._failures("read"),
            suppress(FileNotFoundError, NotADirectoryError),
            self._folder(folder, fan) as inside,
        ):
            there = name if inside is not None else self.root / key
            found = os.stat(there, dir_fd=inside, follow_symlinks=False)
            return found.st_size if stat.S_ISREG(found.st_mode) else None
        return None

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        """Return a private copy of the file and the digest of that copy."""
        with self.opened(key) as descriptor:
            self._check_size(descriptor, key, size)
            data = private_memory(size)
            return data, self._copy(descriptor, data, key, size)

    def download(self, key: str, size: int, descriptor: int) -> str:
        """Copy the file to `descriptor` block by block and return the digest of what was copied."""
        with self.opened(key) as source:
            self._check_size(source, key, size)
            return self._copy(source, descriptor, key, size)

    def _check_size(self, descriptor: int, key: str, size: int) -> None:
        found = os.fstat(descriptor)
        if found.st_size != size or not stat.S_ISREG(found.st_mode):
            has = f"has {found.st_size} bytes" if stat.S_ISREG(found.st_mode) else "is no file"
            raise ArtifactDamagedError(
                f"the object {key} in the store {self.name!r} ({self.root}) {has}, but {size} bytes were saved. "
                "Restore it from a backup, or save the value again if you have it"
            )

    def _copy(self, descriptor: int, target: memoryview | int, key: str, size: int) -> str:
        """Copy `size` bytes into memory, or to another descriptor, and return the digest of the copied bytes."""
        hasher = digester(size)
        block = memoryview(bytearray(0 if isinstance(target, memoryview) else min(size, _BLOCK)))
        with Progress("reading", size, bytes_=True) as bar, open(descriptor, "rb", buffering=0, closefd=False) as file:
            done = 0
            while done < size:
                part = target[done : done + _BLOCK] if isinstance(target, memoryview) else block[: size - done]
                with self._failures("read"):
                    count = file.readinto(part)
                if not count:
                    raise ArtifactDamagedError(
                        f"the object {key} in the store {self.name!r} ended after {done} of {size} bytes"
                    )
                hasher.update(part[:count])
                if isinstance(target, int):
                    write_all(target, part[:count])
                done += count
                bar.advance(count)
        return digest_of(hasher.hexdigest())

    @contextmanager
    def _folder(self, *parts: str) -> Iterator[int | None]:
        """Open a folder of the store, one part after the other, so that no link leads out; None where that cannot be done."""
        if os.open not in os.supports_dir_fd:
            yield None
            return
        flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
        opened = [os.open(self.root, flags)]
        try:
            for part in parts:
                try:
                    opened.append(os.open(part, flags | getattr(os, "O_NOFOLLOW", 0), dir_fd=opened[-1]))
                except OSError as error:
                    if stat.S_ISLNK(os.stat(part, dir_fd=opened[-1], follow_symlinks=False).st_mode):
                        raise self._is_link("/".join(parts)) from error
                    raise
            yield opened[-1]
        finally:
            for descriptor in reversed(opened):
                os.close(descriptor)

    def _refuse_link(self, folder: str) -> None:
        if stat.S_ISLNK(os.lstat(self.root / folder).st_mode):
            raise self._is_link(folder)

    def _is_link(self, what: str) -> StoreError:
        return StoreError(
            f"{what} in the store {self.name!r} ({self.root}) is reached through a symbolic link; links in a store are not "
            "followed, neither to read nor to write. Put the folder or the file itself there."
        )

    @contextmanager
    def opened(self, key: str) -> Iterator[int]:
        """Open the file for reading and give its descriptor; a link is not followed. What fails inside is the caller's."""
        with self._failures("read"):
            descriptor = self._open(checked(key, self.name))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, key: str) -> int:
        parts = key.split("/")
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | PLAIN
        try:
            with self._folder(*parts[:-1]) as inside:
                return os.open(parts[-1] if inside is not None else self.root.joinpath(*parts), flags, dir_fd=inside)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ArtifactMissingError(
                f"the object {key} is not in the store {self.name!r} ({self.root}). If the store was moved, say where it is: "
                f'[stores] {self.name} = "…" in simpleml.toml.'
            ) from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._is_link(key) from error
            raise

    # housekeeping

    def delete(self, key: str) -> None:
        """Remove the file; one that is not there is no error."""
        folder, fan, name = checked(key, self.name).split("/")
        with self._failures("delete"), suppress(FileNotFoundError), self._folder(folder, fan) as inside:
            os.unlink(name if inside is not None else self.root / key, dir_fd=inside)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys below the folder `prefix`, folder by folder."""
        with self._failures("list"):
            for fan in FANOUT:
                try:
                    with self._folder(prefix, fan) as inside:
                        names = sorted(os.listdir(inside if inside is not None else self.root / prefix / fan))
                except FileNotFoundError:
                    continue
                for name in names:
                    if is_key(key := f"{prefix}/{fan}/{name}"):
                        yield key

    def clear_leftovers(self, older_than: float) -> int:
        """Remove the temporary files that no writer has open, or has touched for `older_than` seconds."""
        with self._failures("clear"), suppress(FileNotFoundError), self._folder("tmp"):
            return clear_spools(self.root / "tmp", older_than)
        return 0

    @contextmanager
    def _failures(self, action: str) -> Iterator[None]:
        """Say of any failure of the file system which store it hit, where that is, and what to do."""
        try:
            yield
        except (ArtifactMissingError, StoreError):
            raise
        except OSError as error:
            raise store_error(error, action, self.name, str(self.root)) from error
