"""What a verification reads, and what it does not: a run that goes on from another, a store that is away, large objects."""

from __future__ import annotations

import os
import resource
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

import simpleml
from simpleml.errors import ArtifactDamagedError, IdentityError, RecordNotFoundError
from simpleml.orm import Database
from simpleml.orm.housekeeping import verification, verify
from simpleml.orm.housekeeping.done import Done
from simpleml.orm.tables import Blob, BlobState
from simpleml.save_patterns.folder import Folder
from simpleml.save_patterns.locations import opening
from simpleml.save_patterns.locations.keys import ledger_folder
from simpleml.save_patterns.locations.memory import MemoryTransport
from simpleml.save_patterns.locations.opening import register_location
from tests.integration.kinds import Box

CutShort = Callable[[Database, int], list[str]]

LARGE = 17 * 1024 * 1024  # bytes: more than is read at once


def reference(box: Box) -> dict[str, Any]:
    """Return the one reference of a saved box."""
    [found] = box.filepaths["data"].values()
    return dict(found)


def flip(path: Path, old: bytes = b"", new: bytes = b"") -> None:
    """Change the last byte of a file, or some text in it."""
    data = path.read_bytes()
    path.write_bytes(data.replace(old, new) if old else data[:-1] + bytes([data[-1] ^ 1]))


def state(database: Database, key: str) -> BlobState:
    """Return the state of a blob."""
    return database.run(lambda connection: connection.execute(select(Blob.state).where(Blob.key == key)).scalar_one())


@pytest.fixture
def cut_short(monkeypatch: pytest.MonkeyPatch) -> CutShort:
    """`cut_short(database, count)` verifies, is interrupted after `count` objects, and returns the keys of these."""

    def verified(database: Database, count: int) -> list[str]:
        read: list[str] = []
        real = verification.digest_in

        def cut(store: Any, key: str, size: int) -> str:
            if len(read) == count:
                raise KeyboardInterrupt
            read.append(key)
            return real(store, key, size)

        with monkeypatch.context() as patch:
            patch.setattr(verification, "digest_in", cut)
            with pytest.raises(KeyboardInterrupt):
                verify(database)
        return read

    return verified


def test_what_was_saved_is_asked_for_page_by_page(database: Database) -> None:
    """However many objects are read, the database is asked as often as there are pages."""
    asked: list[object] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    def statements(count: int) -> int:
        for number in range(count):
            Box(name="b", data=[count, number]).save()
        asked.clear()
        assert verify(database, everything=True).findings == ()
        return len(asked)

    assert statements(1) == statements(20)


def test_only_names_that_are_there_are_verified(database: Database) -> None:
    """A single text is one name; one that is nobody's is told with what there is; many names with versions are no problem."""
    for number in range(3):
        Box(name="iris", data=number).save()
    gone = reference(Box.load(name="iris", version=2))
    database.places.store("default").delete(gone["key"])
    for names, records in (("iris", 3), (["iris", ("iris", 2)], 3), ([("iris", 2), ("iris", 3)], 2)):
        found = verify(database, names=names)
        assert (found.records, [each.key for each in found.findings]) == (records, [gone["key"]])
    with pytest.raises(RecordNotFoundError, match=r"nothing is saved as 'irsi'.*did you mean 'iris'"):
        verify(database, names=["iris", "irsi"])
    with pytest.raises(RecordNotFoundError, match=r"nothing is saved as 'iris' version 4, .*1997 in all"):
        verify(database, names=[("iris", number) for number in range(1, 2001)])
    for wrong in ([5], [None], [("iris",)], [("iris", "1")]):
        with pytest.raises(IdentityError):
            verify(database, names=wrong)  # type: ignore[arg-type]


# resumed


def test_a_run_that_was_cut_short_goes_on(local: Database, cut_short: CutShort) -> None:
    """With `resume`, only what was not read yet is read; a run that came to its end leaves nothing to go on from."""
    kept = [reference(Box(name=name, data=name).save()) for name in ("a", "bb", "ccc")]
    read = cut_short(local, 2)
    [left] = [each["size"] for each in kept if each["key"] not in read]
    found = verify(local, resume=True)
    assert (found.resumed, found.blobs, found.bytes_, found.findings) == (2, 3, left, ())
    assert verify(local, resume=True).resumed == 0


@pytest.mark.parametrize("repaired", [False, True])
def test_what_was_found_damaged_since_is_read_again(
    local: Database, tmp_path: Path, cut_short: CutShort, repaired: bool
) -> None:
    """An object that was whole for the run that was cut short, and damaged for another since, is believed when it is read."""
    boxes = [Box(name=name, data=name).save() for name in "abc"]
    key = cut_short(local, 2)[0]
    flip(tmp_path / "store" / key)
    local.places.ledger.distrust(key)  # as a verification on another machine does
    if repaired:
        flip(tmp_path / "store" / key)
    found = verify(local, resume=True, everything=True)
    assert found.resumed == 1
    assert [(each.problem, each.key) for each in found.findings] == ([] if repaired else [("damaged", key)])
    [box] = [box for box in boxes if reference(box)["key"] == key]
    again = Box(name="again", data=box.data if repaired else box.name).save()
    assert (reference(again)["key"] == key) is repaired
    assert Box.load("again").data == box.name


def test_a_manifest_that_was_whole_is_compared_again(local: Database, tmp_path: Path, cut_short: CutShort) -> None:
    """A manifest that changed since a run that was cut short is found, though all that it names now is there, whole."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.txt").write_text("text")
    key = reference(Box(name="kept", data=Folder(tmp_path / "folder")).save())["key"]
    assert cut_short(local, 1) == [key]
    flip(tmp_path / "store" / key, b"one.txt", b"two.txt")
    found = verify(local, resume=True)
    assert [(each.problem, each.key) for each in found.findings] == [("damaged", key)]
    assert "its digest is" in found.findings[0].message
    assert state(local, key) is BlobState.DAMAGED


# away


class Far(MemoryTransport):
    """A place behind a network that is cut when it was read as often as it allows."""

    remote = True
    allowed: threading.Semaphore
    asked: set[str]

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        self.asked.add(key)
        if not self.allowed.acquire(blocking=False):
            raise ConnectionResetError("the network is cut")
        return super().fetch(key, start, target)


@contextmanager
def far(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database whose default store is far away, and whose failures last a moment."""
    (home / "simpleml.toml").write_text('cache_size = 0\n[stores.default]\nurl = "far://x"\nretries_for = 0.1\n')
    monkeypatch.setenv("SIMPLEML_CONFIGURATION_FILE", str(home / "simpleml.toml"))
    monkeypatch.setattr(Far, "asked", set(), raising=False)
    monkeypatch.setattr(Far, "allowed", threading.Semaphore(1_000), raising=False)
    register_location("far")(Far)
    database = simpleml.connect(home / "records.db")
    try:
        yield database
    finally:
        store = database.places.store("default")
        for key in store.keys(ledger_folder(database.ledger_id)):
            store.delete(key)
        database.close()
        opening.locations.drop("far")


def test_a_store_that_is_away_is_waited_for_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a store could not be reached, nothing more is asked of it; when it is back, `resume` goes on with what was read."""
    with far(home, monkeypatch) as database:
        for number in range(40):
            Box(name=f"box{number}", data=number).save()
        Far.asked.clear()
        Far.allowed = threading.Semaphore(3)
        found = verify(database)
        assert {each.problem for each in found.findings} == {"unreadable"}
        assert len(found.findings) == 37
        assert len(Far.asked) <= 3 + 8  # what eight threads were at
        Far.allowed = threading.Semaphore(1_000)
        found = verify(database, resume=True)
        assert (found.resumed, found.findings) == (3, ())


# large


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file of this process grow beyond 4 MB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("url", ["folder", "database://", "far://x"])
def test_large_objects_need_no_disk(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit onto the disk of this machine once more is verified, wherever it is, and so is its size."""
    with far(home, monkeypatch) as database:
        place = str(home / "store") if url == "folder" else url
        settings = database.settings.replace(stores={**database.settings.stores, "default": place})
        with Database(settings) as other:
            key = reference(Box(name="large", data=os.urandom(LARGE)).save())["key"]
            with small_files():
                found = verify(other)
                with pytest.raises(ArtifactDamagedError, match=f"{LARGE} bytes, but {LARGE + 1} bytes were saved"):
                    verification.digest_in(other.places.store("default"), key, LARGE + 1)
        other.close()
    assert (found.blobs, found.bytes_, found.findings) == (1, LARGE, ())


class Everything(Done):
    """A run that found all objects whole."""

    def __contains__(self, wanted: object) -> bool:
        return True


def test_an_object_that_was_looked_at_takes_little_memory(local: Database) -> None:
    """A verification keeps less than 1 KB for each object, its key and its digest included."""
    look = verification._Look(local, Everything(local, resume=True))
    tracemalloc.start()
    try:
        for number in range(2_000):
            look._compare((f"objects/ab/{number:0100x}", "default", 5, f"blake3:{number:064x}"), None)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        look.done.close(finished=True)
    assert look.resumed == 2_000
    assert taken < 2_000 * 1_000
