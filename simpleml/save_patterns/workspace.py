"""The workspace: folders of this machine, each made of a manifest, for libraries that read from files.

`<digest head>-<attempt>` is a folder, `….part` one that is being made, `<digest>.json` the mark that says which folder holds
the content of the manifest with this digest, and how its files looked when they were verified. A mark is written last, so a
folder is there as a whole or not at all. A folder that somebody changed is left to him, and another is made. Whoever uses a
folder holds a shared lock on it, so that no sweep takes it away; where locks do nothing, its age decides alone.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from uuid import uuid4
from weakref import WeakValueDictionary, finalize

from simpleml.errors import SavePatternError, SimpleMLError, StoreError, StoreFullError
from simpleml.save_patterns.files import Stamp, digest_file, scan
from simpleml.save_patterns.locations.disk import FULL
from simpleml.save_patterns.locations.mapping import machine_start
from simpleml.save_patterns.locations.spool import PLAIN, hold
from simpleml.save_patterns.manifest import File, Tree

_log = logging.getLogger(__name__)

_FOLDER = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}", re.ASCII)
_OURS = re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}(\.part|\.mark)?|[0-9a-f]{64}\.json", re.ASCII)
_THEN = 946_684_800  # 2000-01-01: the time of files that nobody changed


class Use:
    """A folder that is in use by this process, for as long as this object lives: no sweep of any process removes it."""

    __slots__ = ("__weakref__",)

    def __init__(self, descriptor: int | None) -> None:
        if descriptor is not None:
            finalize(self, os.close, descriptor).atexit = False  # then the system closes it


_uses: WeakValueDictionary[Path, Use] = WeakValueDictionary()  # one descriptor for all who use a folder in this process


@dataclass(frozen=True, slots=True)
class Found:
    """A folder with the content that was asked for, how its files look, and what keeps it there."""

    path: Path
    stamps: dict[str, Stamp]
    use: Use


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders below `root`. Safe for threads and processes, any of which may be killed at any instant."""

    root: Path

    def find(self, digest: str, tree: Tree) -> Found | None:
        """Return the folder that was made of the manifest with this digest, if it is there and exactly as it was made.

        That costs a look at each file; its bytes are read again only if the file was touched, or the machine was started anew
        (where no start is known from another, by each process).
        """
        mark = self._mark(digest)
        noted = _read_mark(mark)
        if noted is None:
            return None
        name, boot, known = noted
        path = self.root / name
        try:
            use = _in_use(path)
            stamps = _verified(path, tree, known if boot == machine_start() else {})
        except FileNotFoundError:
            return None
        except SavePatternError as error:
            _log.warning("%s is not as it was made (%s): it is left as it is, and made again beside it", path, error)
            return None
        with suppress(OSError):  # a workspace that cannot be written can still be read
            if boot == machine_start() and stamps == known:
                os.utime(mark)
            else:
                self._write_mark(digest, name, stamps)
        return Found(path, stamps, use)

    def make(self, digest: str, tree: Tree, fill: Callable[[list[tuple[File, Path]]], object]) -> Found:
        """Return the folder after `fill` wrote every file to its place, or what somebody else made of it meanwhile."""
        with self._failures():
            part, use = self._part(digest)
            try:
                for folder in sorted({*tree.folders, *(file.path.rpartition("/")[0] for file in tree.files)}):
                    (part / folder).mkdir(parents=True, exist_ok=True)
                fill([(file, part / file.path) for file in tree.files])
                for file in tree.files:
                    os.utime(part / file.path, (_THEN, _THEN))
                stamps, _ = scan(part)
                made = part.with_suffix("")
                part.rename(made)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
            if (first := self.find(digest, tree)) is not None:
                shutil.rmtree(made, ignore_errors=True)
                return first
            with suppress(FileNotFoundError):  # a sweep took the mark: then the next who asks makes another folder
                self._write_mark(digest, made.name, stamps)
            return Found(made, stamps, _uses.setdefault(made, use))

    def _part(self, digest: str) -> tuple[Path, Use]:
        """Make a folder that is in use, and stays so under the name that it is given."""
        while True:
            part = self.root / f"{_head(digest)}-{uuid4().hex}.part"
            part.mkdir(mode=0o700, parents=True)
            with suppress(FileNotFoundError):  # a sweep that leaves nobody time was first
                return part, _in_use(part)

    def clear(self, older_than: float) -> int:
        """Remove the folders that were not asked for in the last `older_than` seconds, and what was never finished.

        Returns how many folders went. Those that any process uses stay, and whatever in the workspace is not ours.
        """
        limit = time.time() - older_than
        with self._failures():
            there = self.root.iterdir() if self.root.exists() else ()
            old = [path for path in there if _OURS.fullmatch(path.name) and _is_older(path, limit)]
            for path in old:
                if path.suffix in {".json", ".mark"} and not self._is_mark_of_used(path):
                    path.unlink(missing_ok=True)
            noted = (_read_mark(path) for path in self.root.glob("*.json"))
            used = {found[0] for found in noted if found is not None}
            gone = [path for path in old if not path.suffix or path.suffix == ".part"]
            return sum(_removed(path) for path in gone if path.name not in used)

    def _is_mark_of_used(self, path: Path) -> bool:
        noted = _read_mark(path) if path.suffix == ".json" else None
        if noted is None:
            return False
        with _alone(self.root / noted[0]) as alone:
            return not alone

    def _mark(self, digest: str) -> Path:
        return self.root / f"{digest.partition(':')[2]}.json"

    def _write_mark(self, digest: str, name: str, stamps: dict[str, Stamp]) -> None:
        part = self.root / f"{_head(digest)}-{uuid4().hex}.mark"
        noted = {
            "folder": name,
            "boot": machine_start(),
            "files": {path: astuple(stamp) for path, stamp in stamps.items()},
        }
        part.write_text(json.dumps(noted), encoding="utf-8")
        os.replace(part, self._mark(digest))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Say of a failure of the file system that it hit the workspace, and what to do."""
        try:
            yield
        except SimpleMLError:
            raise
        except OSError as error:
            kind = StoreFullError if error.errno in FULL else StoreError
            raised = kind(
                f"no folder can be made or removed in {self.root}: {error.strerror or error}. What is stored is unharmed. Free some "
                "space there, or set cache_folder in simpleml.toml to a place where this user may write"
            )
            raised.errno = error.errno
            raise raised from error


def _in_use(path: Path) -> Use:
    """Say that this process uses the folder; `FileNotFoundError` if it is gone, or just being removed."""
    found = _uses.get(path)
    return found if found is not None else _uses.setdefault(path, Use(_shared(path)))


def _shared(path: Path) -> int | None:
    """Open the folder under a lock that users share; None where that cannot be done."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | PLAIN)
    except FileNotFoundError:
        raise
    except OSError:  # too many open files, or what is no folder, which is told by who looks into it
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise FileNotFoundError(path) from error
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody uses the folder, nor begins to as long as the block runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | PLAIN)
    except OSError:  # it is gone, or cannot be opened on this system
        yield True
        return
    try:
        yield hold(descriptor)
    finally:
        os.close(descriptor)


def _removed(path: Path) -> bool:
    with _alone(path) as alone:
        if alone:
            try:
                shutil.rmtree(path)
            except FileNotFoundError:  # its maker gave it its name, or another sweep was first
                return False
        return alone


def _verified(path: Path, tree: Tree, known: dict[str, Stamp]) -> dict[str, Stamp]:
    """Return the stamps of the files of a folder that is exactly `tree`; `SavePatternError` says what is different."""
    if not path.is_dir():
        raise FileNotFoundError(path)
    stamps, empty = scan(path)
    wanted = {file.path: file for file in tree.files}
    odd = sorted(stamps.keys() ^ wanted.keys() | {*empty} ^ {*tree.folders})
    if odd:
        raise SavePatternError(f"{odd[0]} is there and should not be, or the other way round")
    for name, stamp in stamps.items():
        file = wanted[name]
        same = stamp.size == file.size and (stamp.executable == file.executable or os.name == "nt")
        if not same or (stamp != known.get(name) and digest_file(path / name) != (stamp, file.digest)):
            raise SavePatternError(f"{name} was changed")
    return stamps


def _read_mark(mark: Path) -> tuple[str, str, dict[str, Stamp]] | None:
    """Return what a mark says: the folder's name, when the machine had been started, the stamps; None if there is no good one."""
    try:
        noted = json.loads(mark.read_text(encoding="utf-8"))
        name, boot = noted["folder"], noted["boot"]
        stamps = {path: Stamp(*stamp) for path, stamp in noted["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return (name, boot, stamps) if isinstance(name, str) and _FOLDER.fullmatch(name) else None


def _head(digest: str) -> str:
    return digest.partition(":")[2][:32]


def _is_older(path: Path, limit: float) -> bool:
    try:
        return path.lstat().st_mtime < limit
    except FileNotFoundError:  # its maker, or another, was first
        return False
