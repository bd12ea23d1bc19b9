"""Power cuts, in two ways.

*Real*: the work runs on an ext4 file system in a file; it stops at a point, the file system is shut down without writing
anything back (`EXT4_IOC_SHUTDOWN`), and mounted again. *Modelled*, where that is not allowed: the store is built again
from what was flushed, the content of a file as of its last `fsync`, the names in a folder as of the folder's; the
database keeps everything that was committed, which is the worst that it can do.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from simpleml import failpoints
from simpleml.orm.tables import Blob, BlobState
from simpleml.testing.faults import Action, Point, kill, points, recorded, stop
from tests.faults.invariants import aftermath
from tests.faults.mounts import make_image, mounted, own_mounts, run
from tests.faults.stages import Child, Say, forked
from tests.faults.twins import Twin, faithful
from tests.faults.workload import Place, work

END = Point("the end")
"""After everything was acknowledged."""

_ANNOUNCED = ("save.intend.after", "save.spool", "put.", "save.commit.before")  # where an intent waits for its commit
_EXT4_IOC_SHUTDOWN, _NOLOGFLUSH = 0x8004587D, 2
NAME = "cut"


def undisturbed(say: Say, place: Place) -> None:
    """Do the work, beginning with no database and no store, and say which failpoints it reaches."""
    with recorded() as reached, place.open() as database:
        work(lambda _: None, database, NAME)
    say(("reached", *reached))


def all_points(place: Place) -> list[Point]:
    """Return every point of the work at which the power may go."""
    status, said = forked(undisturbed, place)
    assert status == 0, said
    return [*points(said[-1][1:]), END]


def _work_until(say: Say, place: Place, point: Point, action: Action) -> None:
    """Do the work from nothing, and `action` at `point`, or at the end."""
    left = point.occurrence

    def hook(name: str) -> None:
        nonlocal left
        left -= name == point.name
        if name == point.name and left == 0:
            action()

    failpoints.install(hook)
    with place.open() as database:
        work(say, database, NAME)
        hook(END.name)


class Durable:
    """What of a folder would be there after a power cut: it looks on at every `os.fsync` of this process."""

    def __init__(self, root: Path) -> None:
        self._root = root.stat().st_ino
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._held: list[int] = []  # so that no number of a file is used again
        self._fsync = os.fsync

    def install(self) -> None:
        """Look on from now."""
        os.fsync = self._flushed  # type: ignore[assignment]

    def _flushed(self, descriptor: int) -> None:
        self._fsync(descriptor)
        status = os.fstat(descriptor)
        self._held.append(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY))
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(descriptor) as entries:
                self._names[status.st_ino] = {
                    entry.name: (entry.inode(), entry.is_dir(follow_symlinks=False)) for entry in entries
                }
        else:
            self._contents[status.st_ino] = os.pread(self._held[-1], status.st_size, 0)

    def rebuild(self, target: Path) -> None:
        """Make `target` what the folder would be."""
        self._rebuild(self._root, target)

    def _rebuild(self, number: int, target: Path) -> None:
        target.mkdir()
        for name, (inner, is_folder) in self._names.get(number, {}).items():
            if is_folder:
                self._rebuild(inner, target / name)
            else:
                (target / name).write_bytes(self._contents.get(inner, b""))


def _modelled_cut(say: Say, place: Place, disk: Path, after: Path, point: Point, twin: Twin) -> None:
    """Work on the folder `disk` up to `point`; leave in `after` what a power cut would leave, and die."""
    twin()
    durable = Durable(disk)
    durable.install()

    def cut() -> None:
        durable.rebuild(after)
        kill()

    _work_until(say, place, point, cut)


def _lose_announcements(say: Say, place: Place) -> None:
    """Take away the intents (T1) that no commit used: their transactions are not flushed by themselves."""
    with place.open() as database:
        database.run(
            lambda connection: connection.execute(delete(Blob).where(Blob.state == BlobState.PENDING)) and None
        )


def _make_schema(say: Say, place: Place) -> None:
    with place.open():
        pass


def modelled(folder: str, twin: Twin = faithful, only: list[Point] | None = None) -> dict[str, list[Any]]:
    """Cut the power at every point, by the model; return what is wrong after each cut."""
    wrong: dict[str, list[Any]] = {}
    trial = _at(Path(folder) / "base0", Path(folder) / "disk0")
    every = only or all_points(trial)
    fresh = Path(folder) / "fresh.db"
    forked(_make_schema, replace(trial, url=f"sqlite:///{fresh}"))
    for number, (point, lossy) in enumerate([(point, lossy) for point in every for lossy in (False, True)], start=1):
        if lossy and not (point.occurrence == 1 and point.name.startswith(_ANNOUNCED)):
            continue
        disk, after = Path(folder) / f"disk{number}", Path(folder) / f"after{number}"
        disk.mkdir()
        place = _at(Path(folder) / f"base{number}", disk)
        Path(place.home).parent.mkdir()
        shutil.copy(fresh, place.url.removeprefix("sqlite:///"))
        status, said = forked(_modelled_cut, place, disk, after, point, twin)
        assert status == -signal.SIGKILL, said
        left = replace(place, store=str(after / "store"))
        if lossy:
            forked(_lose_announcements, left)
        found = [message[1] for message in forked(aftermath, left, said, NAME)[1]]
        if found:
            wrong[f"{point}{' without its announcement' if lossy else ''}"] = found
        shutil.rmtree(disk)
        shutil.rmtree(after)
    return wrong


def _at(base: Path, disk: Path, durability: str = "full") -> Place:
    return Place(f"sqlite:///{base / 'records.db'}", str(disk / "store"), str(base / "home"), durability)


def real(
    folder: str,
    twin: Twin = faithful,
    only: list[Point] | None = None,
    durability: str = "full",
    elsewhere: bool = False,
) -> dict[str, list[Any]]:
    """Cut the power at every point, on a file system of our own; return what is wrong after each cut.

    Before every other cut something unrelated is flushed, which takes the journal with it, so that names get ahead of
    contents. With `elsewhere` the database is on another file system, which loses nothing.
    """
    own_mounts()
    base, image, disk = Path(folder) / "base.img", Path(folder) / "cut.img", Path(folder) / "mnt"
    make_image(base)
    wrong: dict[str, list[Any]] = {}
    every = only or all_points(_at(Path(folder) / "trial", Path(folder) / "trial"))
    for number, point in enumerate(every):
        for flush in (False, True) if only else (number % 2 == 1,):
            run("cp", "--sparse=always", base, image)
            place = _at(Path(folder) / f"database{number}{flush}" if elsewhere else disk, disk, durability)
            with mounted(disk, "-o", "loop", image):
                said = _real_cut(disk, place, point, twin, flush=flush)
            with mounted(disk, "-o", "loop", image):
                found = [message[1] for message in forked(aftermath, place, said, NAME)[1]]
            if found:
                wrong[f"{point}{', journal first' if flush else ''}"] = found
    return wrong


def _stopped(say: Say, place: Place, point: Point, twin: Twin) -> None:
    twin()
    _work_until(say, place, point, stop)


def _real_cut(disk: Path, place: Place, point: Point, twin: Twin, *, flush: bool) -> list[tuple[Any, ...]]:
    """Let a child work up to `point`, shut the file system at `disk` down, and return what the child had said."""
    child = Child(_stopped, place, point, twin)
    assert child.wait_until_stopped(), child.rest()
    if flush:
        with (disk / "unrelated").open("wb") as file:
            file.write(b"unrelated")
            os.fsync(file.fileno())
    descriptor = os.open(disk, os.O_RDONLY)
    fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
    os.close(descriptor)
    child.kill()
    said = child.rest()
    child.end()
    return said


def modelled_durability(folder: str, durability: str) -> tuple[str, int]:
    """Return what SQLite is told in a transaction that writes: its journal mode and its level of `synchronous`."""
    with _at(Path(folder) / durability, Path(folder), durability).open() as database:
        return database.run(
            lambda connection: (
                connection.exec_driver_sql("PRAGMA journal_mode").scalar_one(),
                connection.exec_driver_sql("PRAGMA synchronous").scalar_one(),
            )
        )
