"""Many processes fill, read and empty one cache at once, and some of them are killed or stopped in the middle of it."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from simpleml.errors import StoreUnreachableError
from simpleml.save_patterns.fetching import Fetcher
from simpleml.save_patterns.locations import cache as caching
from simpleml.save_patterns.locations.cache import Cache
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.spool import write_all
from simpleml.save_patterns.protocols import Buffer
from tests.races.crew import Crew, pause, tell

USERS = 12
SIZE = 100_000
OBJECTS = 20
ROOM = 6  # objects that the cache holds
_PIECES = 10


class SlowStore(LocalStore):
    """A store behind a slow line: a download comes in pieces, and is counted."""

    remote = True

    def __init__(self, folder: str, *, stop: bool = False, pace: float = 0.0) -> None:
        super().__init__("far", Path(folder) / "store")
        self.downloads = 0
        self._stop = stop
        self._pace = pace

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        """Return the object; stop before that, if the test wants it."""
        self.downloads += 1
        if self._stop:
            pause("half")
        time.sleep(self._pace * _PIECES)
        return super().read(key, size)

    def download(self, key: str, size: int, descriptor: int) -> str:
        """Write the object piece by piece; stop half-way, if the test wants that."""
        self.downloads += 1
        data, digest = super().read(key, size)
        for piece in range(_PIECES):
            if self._stop and piece == _PIECES // 2:
                pause("half")
            write_all(descriptor, memoryview(data)[size * piece // _PIECES : size * (piece + 1) // _PIECES])
            time.sleep(self._pace)
        return digest


def content(number: int) -> bytes:
    """What an object holds."""
    return number.to_bytes(4, "little") * (SIZE // 4)


def put_all(folder: str, count: int = OBJECTS) -> list[tuple[str, int, str]]:
    """Put the objects and return what references say of them."""
    store = LocalStore("far", Path(folder) / "store")
    found = []
    for number in range(count):
        spool = store.spool()
        spool.write(content(number))
        found.append((make_key("0" * 12, spool.digest, f"{number:032x}"), SIZE, spool.digest))
        store.put(spool, found[-1][0])
        spool.close()
    return found


def open_cache(folder: str, twin: str = "") -> Cache:
    """The cache of the test, or one with a fault in it."""
    cache = Cache(Path(folder) / "cache", ROOM * SIZE)
    if twin == "in place":  # the entry is written where it is read
        cache._enter = lambda part, _: part  # type: ignore[method-assign]
        caching._new_part = partial(_in_place, cache)
    elif twin == "boundless":
        cache._tidy = lambda size: 0 * size  # type: ignore[method-assign]
    elif twin == "alone":
        caching.hold = lambda _: True
    return cache


def _in_place(cache: Cache, part: Path) -> int:
    entry = cache._entry(part.name[:64])
    entry.parent.mkdir(exist_ok=True)
    return os.open(entry, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)


def fetch_one(number: int, folder: str, reference: tuple[str, int, str], twin: str = "") -> tuple[bool, int]:
    """Fetch one object that everybody wants; whether it is right, and how often it was downloaded for that."""
    store = SlowStore(folder, pace=0.02)
    data = Fetcher(open_cache(folder, twin)).fetch(store, *reference, mmap=number % 2 == 0)
    return bytes(data) == content(0), store.downloads


def fetch_many(number: int, folder: str, references: list[tuple[str, int, str]], rounds: int, twin: str = "") -> int:
    """Fetch objects at random, mapped and not, look at every byte, and return how many were wrong; maybe damage entries."""
    chance = random.Random(number)
    store, wrong = SlowStore(folder), 0
    for _ in range(rounds):
        which = chance.randrange(len(references))
        cache = open_cache(folder, twin)
        data = Fetcher(cache).fetch(store, *references[which], mmap=chance.random() < 0.5)
        wrong += bytes(data) != content(which)
        data[:4] = b"mine"
        if twin == "damage" and chance.random() < 0.2:
            _damage(cache._entry(references[which][2][7:]))
    return wrong


def _damage(entry: Path) -> None:
    try:
        entry.unlink()
        entry.write_bytes(bytes(SIZE))
    except OSError:
        return


def fetch_forever(folder: str, references: list[tuple[str, int, str]], seed: int) -> None:
    """Fetch until killed, after saying so."""
    tell("begun")
    while True:
        seed += 1
        fetch_many(seed, folder, references, 20)


def stop_half_way(folder: str, reference: tuple[str, int, str]) -> bool:
    """Download one object and wait in the middle of it."""
    fetcher = Fetcher(open_cache(folder))
    return bytes(fetcher.fetch(SlowStore(folder, stop=True), *reference)) == content(0)


def fetch_without_patience(folder: str, reference: tuple[str, int, str]) -> tuple[bool, int]:
    """Fetch what somebody else is downloading, and wait for that only a moment."""
    caching._PATIENCE = 0.3
    return fetch_one(1, folder, reference)


def held(folder: str) -> int:
    """How many bytes entries and downloads take up at this moment, in which nobody is given room."""
    sizes = {}
    with caching._turn(Path(folder) / "cache" / "estimate") as mine:
        assert mine
        for path in (Path(folder) / "cache").rglob("*"):
            with suppress(FileNotFoundError):
                if path.suffix == ".part" or path.parent.parent.name == "objects":
                    found = path.stat()
                    sizes[found.st_ino] = found.st_size  # it may be seen twice, before and after it was renamed
    return sum(sizes.values())


def damaged_entries(folder: str, references: list[tuple[str, int, str]]) -> list[int]:
    """The objects whose entry is there and wrong."""
    entries = {number: open_cache(folder)._entry(digest[7:]) for number, (_, _, digest) in enumerate(references)}
    return [number for number, path in entries.items() if path.exists() and path.read_bytes() != content(number)]


@pytest.mark.parametrize("twin", ["", "alone"])
def test_one_downloads_for_all(crew: Crew, tmp_path: Path, twin: str) -> None:
    """12 processes that want the same object at one instant download it once; where locks do nothing, often, and rightly."""
    (reference,) = put_all(str(tmp_path), 1)
    outcomes = crew.together(USERS, fetch_one, str(tmp_path), reference, twin)
    assert [right for right, _ in outcomes] == [True] * USERS
    downloads = sum(count for _, count in outcomes)
    assert downloads > 1 if twin else downloads == 1
    assert damaged_entries(str(tmp_path), [reference]) == []
    assert list((tmp_path / "cache" / "tmp").glob("*.part")) == []


@pytest.mark.parametrize("twin", ["", "boundless"])
def test_a_crowd_keeps_to_the_limit(crew: Crew, tmp_path: Path, twin: str) -> None:
    """12 processes fetch and evict at random: the bytes are right, and the limit holds at any time (not if nothing goes)."""
    folder = str(tmp_path)
    references = put_all(folder)
    (tmp_path / "cache").mkdir()
    actors = [crew.start(fetch_many, n, folder, references, 30, twin) for n in range(USERS)]
    most = 0
    while any(actor._answer is None for actor in actors):
        most = max(most, held(folder))
        time.sleep(0.02)
        for actor in actors:
            actor.listen()
    assert [actor.outcome() for actor in actors] == [0] * USERS
    assert most > ROOM * SIZE if twin else ROOM * SIZE // 2 < most <= ROOM * SIZE
    assert list((tmp_path / "cache" / "tmp").glob("*.part")) == []


def test_a_crowd_among_damaged_entries(crew: Crew, tmp_path: Path) -> None:
    """8 processes fetch at random while entries are replaced by wrong ones: none of them ever gets a wrong byte."""
    folder = str(tmp_path)
    references = put_all(folder, ROOM)
    actors = [crew.start(fetch_many, n, folder, references, 30, "damage") for n in range(8)]
    assert [actor.outcome() for actor in actors] == [0] * 8


def test_killed_while_filling(crew: Crew, tmp_path: Path) -> None:
    """After kill -9 at random instants no entry is half there, everything is read rightly, and what was left is swept."""
    folder = str(tmp_path)
    references = put_all(folder)
    chance = random.Random(1)
    for number in range(6):
        actors = [crew.start(fetch_forever, folder, references, 1000 * number + 100 * each) for each in range(1, 4)]
        for actor in actors:
            actor.hear(1)
        time.sleep(chance.random() * 0.2)
        for actor in actors:
            actor.kill()
        assert damaged_entries(folder, references) == []
    for path in (tmp_path / "cache" / "tmp").iterdir():
        os.utime(path, (1000, 1000))
    (tmp_path / "cache" / "estimate").unlink(missing_ok=True)
    assert crew.start(fetch_many, 99, folder, references, 40).result() == 0
    assert os.listdir(tmp_path / "cache" / "tmp") == []


@pytest.mark.parametrize("twin", ["", "in place"])
def test_killed_half_way(crew: Crew, tmp_path: Path, twin: str) -> None:
    """A download that is killed half-way leaves no entry, and the next one need not wait; written in place, it would."""
    folder = str(tmp_path)
    (reference,) = put_all(folder, 1)
    actor = crew.start(_stop_with, folder, reference, twin)
    actor.until("half")
    actor.kill()
    assert damaged_entries(folder, [reference]) == ([0] if twin else [])
    assert crew.start(fetch_one, 1, folder, reference).result() == (True, 1)
    assert damaged_entries(folder, [reference]) == []


def _stop_with(folder: str, reference: tuple[str, int, str], twin: str) -> None:
    Fetcher(open_cache(folder, twin)).fetch(SlowStore(folder, stop=True), *reference, mmap=True)


def test_who_waits_uses_what_comes(crew: Crew, tmp_path: Path) -> None:
    """Who wants what is being downloaded waits for it and does not download."""
    folder = str(tmp_path)
    (reference,) = put_all(folder, 1)
    first = crew.start(stop_half_way, folder, reference)
    first.until("half")
    others = [crew.start(fetch_one, number, folder, reference) for number in range(3)]
    time.sleep(0.2)
    first.go()
    assert first.result()
    assert [other.result() for other in others] == [(True, 0)] * 3


def test_a_failed_download_is_taken_over(crew: Crew, tmp_path: Path) -> None:
    """Who waits for a download that fails makes it instead."""
    folder = str(tmp_path)
    (reference,) = put_all(folder, 1)
    first = crew.start(cut_half_way, folder, reference)
    first.until("half")
    other = crew.start(fetch_one, 0, folder, reference)
    first.go()
    assert first.result() == "cut"
    assert other.result() == (True, 1)


def cut_half_way(folder: str, reference: tuple[str, int, str]) -> str:
    """Download one object, and lose the line in the middle of it."""

    class CutStore(SlowStore):
        def download(self, key: str, size: int, descriptor: int) -> str:
            os.write(descriptor, b"half")
            pause("half")
            raise StoreUnreachableError(f"the line is cut at {key} of {size} bytes")

    try:
        Fetcher(open_cache(folder)).fetch(CutStore(folder), *reference, mmap=True)
    except StoreUnreachableError:
        return "cut"
    return "whole"


def test_a_stopped_process_stops_nobody(crew: Crew, tmp_path: Path) -> None:
    """A process that was stopped in the middle of a download is waited for as long as patience lasts, and no longer."""
    folder = str(tmp_path)
    (reference,) = put_all(folder, 1)
    stopped = crew.start(stop_half_way, folder, reference)
    stopped.until("half")
    os.kill(stopped._process.pid, signal.SIGSTOP)
    other = crew.start(fetch_without_patience, folder, reference)
    assert other.result() == (True, 1)
    os.kill(stopped._process.pid, signal.SIGCONT)
    stopped.go()
    assert stopped.result()
    assert damaged_entries(folder, [reference]) == []
