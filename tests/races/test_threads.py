"""Threads of one process: one database for all of them, or one for each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import StaticPool, create_engine

import simpleml
from simpleml.errors import SimpleMLError
from simpleml.orm import blocks, connections, dialects
from simpleml.orm.database import Database
from tests.races import faults, work
from tests.races.crew import PATIENCE, failure_of
from tests.races.work import Note, Place, Saved

THREADS, SAVES = 8, 30


def in_threads(count: int, function: Callable[[int], object]) -> list[object]:
    """Call `function(number)` in threads that begin together; return results, or failures."""
    gate = threading.Barrier(count)

    def call(number: int) -> object:
        gate.wait(PATIENCE)
        try:
            return function(number)
        except Exception as error:  # the check counts them
            return failure_of(error)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def test_threads_share_a_database(database: Database) -> None:
    """8 threads of 30 saves, loads and queries on one database: every answer is right, every version is given once."""

    def use(number: int) -> list[Saved]:
        saved = []
        for index in range(SAVES):
            data = {"thread": number, "save": index}
            made = work.note("shared", data, author=f"thread-{number}").save()
            found = Note.load("shared", version=made.version)
            assert (found.id, found.data) == (made.id, data)
            assert Note.query(name="shared", author=f"thread-{number}").count() == index + 1
            saved.append((made.id, made.version))
        return saved

    outcomes = in_threads(THREADS, use)
    assert faults.of_outcomes(outcomes) == []
    saved = [each for outcome in outcomes for each in outcome]
    assert faults.of_versions(database, "shared", saved, THREADS * SAVES) == []
    assert faults.of_everything(database, {id_: faults.ANYTHING for id_, _ in saved}) == []


def save_while_another_commits(database: Database) -> list[str]:
    """Let one thread save while another is inside its commit, and return what is wrong afterwards."""
    inside, done = threading.Event(), threading.Event()
    first: list[str] = []

    def hook(name: str) -> None:
        if name == "save.commit.before" and threading.current_thread().name == "first" and not first:
            first.append(name)
            inside.set()
            done.wait(1)  # the other one may have to wait for us, as SQLite's writers do

    def save(name: str) -> object:
        if name == "second":
            assert inside.wait(PATIENCE)
        try:
            made = work.note("pair", {"thread": name}).save()
        except Exception as error:  # the check counts them
            return failure_of(error)
        finally:
            done.set()
        return made.id, made.version

    outcomes: dict[str, object] = {}
    threads = [threading.Thread(target=lambda n=n: outcomes.update({n: save(n)}), name=n) for n in ("first", "second")]
    simpleml.failpoints.install(hook)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    finally:
        simpleml.failpoints.install(None)
    saved = [each for each in outcomes.values() if isinstance(each, tuple)]
    return faults.of_outcomes(outcomes.values()) + faults.of_versions(database, "pair", saved, 2)


@pytest.mark.parametrize("twin", ["", "one connection"])
def test_threads_do_not_share_a_connection(tmp_path: Path, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that saves while another commits is not disturbed; a twin whose threads share one connection is."""
    if twin:
        true = dialects.make_engine

        def wrong(url, **options):
            made = true(url, **options)
            shared = create_engine(
                url,
                poolclass=StaticPool,
                connect_args={"check_same_thread": False},
                json_serializer=made.dialect._json_serializer,
            )
            dialects._prepare_sqlite(shared, "FULL", 60)
            return shared

        monkeypatch.setattr(dialects, "make_engine", wrong)
    with simpleml.connect(
        tmp_path / "threads.db", store=tmp_path / "store", home=tmp_path, lock_timeout=2.0
    ) as database:
        assert bool(save_while_another_commits(database)) == bool(twin)


@pytest.mark.parametrize("twin", ["", "one block for all"])
def test_a_block_is_that_of_its_thread(database: Database, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread saves while a block is open is committed at once, and stays when the block fails."""
    if twin:
        monkeypatch.setattr(blocks, "_units", SimpleNamespace())

    def save() -> Note:
        with database:
            return work.note("beside", 1).save()

    with ThreadPoolExecutor(1) as pool, work.failing_block():
        work.note("inside", 1).save()
        version = pool.submit(save).result().version
    assert (version == 1 and Note.versions("beside") == [1]) != bool(twin)
    assert Note.versions("inside") == []


def test_each_thread_works_with_its_own_database(new_place: Callable[[str], Place]) -> None:
    """6 threads with a database each, two of each kind, never see what the others save; blocks nest."""
    places = [new_place(kind) for kind in ("sqlite", "postgresql", "mariadb") * 2]
    databases = [connections.open_database(place.url, store=place.store) for place in places]

    def use(number: int) -> bool:
        own, other = databases[number], databases[number - 1]
        for index in range(10):
            with own:
                made = work.note("own", {"thread": number, "save": index}).save()
                with other:
                    assert not Note.query(id=made.id).count()
                found = Note.load("own")
                assert found.data == {"thread": number, "save": index}
        return True

    outcomes = in_threads(len(places), use)
    try:
        assert faults.of_outcomes(outcomes) == []
        for database in databases:
            with database:
                assert Note.versions("own") == list(range(1, 11))
                assert faults.of_store(database) == []
    finally:
        for database in databases:
            database.close()


def test_a_thread_without_a_block_works_with_the_default(local: Database, tmp_path: Path) -> None:
    """A block in one thread does not reach into another: that one works with what `connect` opened."""
    other = connections.open_database(tmp_path / "other.db", store=tmp_path / "other")
    with other, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: work.note("from a thread", 1).save()).result()
        with pytest.raises(SimpleMLError):
            Note.load("from a thread")
    assert Note.load("from a thread").data == 1
    other.close()
