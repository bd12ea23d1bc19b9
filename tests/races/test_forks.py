"""Processes that are forked from one that is connected, and objects that are sent to another process."""

from __future__ import annotations

import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import simpleml
from simpleml import Persistable, failpoints
from simpleml.errors import RecordNotFoundError, TransactionError
from simpleml.orm import forks
from simpleml.orm.database import Database
from tests.races import faults, twins, work
from tests.races.crew import FORK, Crew, Failure, pause
from tests.races.work import Note, Place

CHILDREN, SAVES = 4, 10


def use(number: int) -> tuple[list[work.Saved], bool]:
    """Save and load in a forked child, on the database that its parent had opened, without any preparation."""
    saved = [work.note("forked", {"child": number, "save": index}).save() for index in range(SAVES)]
    right = all(Note.load(id=each.id).data == each.data for each in saved)
    return [(each.id, each.version) for each in saved], right


def test_forked_children_have_connections_of_their_own(database: Database, crew: Crew) -> None:
    """4 children of a connected parent save and load beside it, with no preparation, and every answer is right."""
    work.note("forked", "warm").save()
    children = [crew.start(use, number, context=FORK) for number in range(CHILDREN)]
    outcomes = [use(CHILDREN), *(child.outcome() for child in children)]
    assert faults.of_outcomes(outcomes) == []
    assert all(right for _, right in outcomes)
    saved = [each for outcome, _ in outcomes for each in outcome]
    saved.append((Note.load("forked", version=1).id, 1))
    assert faults.of_versions(database, "forked", saved, (CHILDREN + 1) * SAVES + 1) == []
    assert faults.of_everything(database, {id_: faults.ANYTHING for id_, _ in saved}) == []


def connections_in(database: Database) -> set[str]:
    """Return what this process is connected by: the server's number of the connection, or the open files of SQLite."""
    if database.engine.dialect.name == "sqlite":
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return {link for link in links if link.startswith(str(database.url.database))}
    question = "SELECT pg_backend_pid()" if database.engine.dialect.name == "postgresql" else "SELECT connection_id()"
    return {str(database.run(lambda connection: connection.execute(text(question)).scalar_one(), read=True))}


@pytest.fixture
def hook(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fork hook as it is, or taken away until the test ends."""
    monkeypatch.setattr(forks, "opened", forks.opened)
    twins.put_in(request.param)
    return str(request.param)


@pytest.mark.parametrize("hook", ["", "no_fork_hook"], indirect=True)
def test_a_child_shares_no_connection(database: Database, crew: Crew, hook: str) -> None:
    """A child inherits no connection and no open file of its parent; without the hook it does, and the check sees it."""
    work.note("parent", 1).save()
    ours = connections_in(database)
    assert ours
    theirs = crew.start(connections_in, database, context=FORK).result()
    assert bool(ours & theirs) == bool(hook)
    assert work.note("parent", 2).save().version == 2


def save_around_closing(database: Database) -> list[work.Saved]:
    """Save in a child before and after its parent closes the database."""
    saved = [work.note("child", "before").save()]
    pause("saved")
    saved += [work.note("child", {"after": index}).save() for index in range(5)]
    return [(each.id, each.version) for each in saved]


@pytest.mark.parametrize(
    ("database_url", "hook"),
    [("sqlite", ""), ("sqlite", "no_fork_hook"), ("postgresql", ""), ("mariadb", "")],
    indirect=True,
)
def test_a_parent_that_closes_takes_nothing_from_its_child(database: Database, crew: Crew, hook: str) -> None:
    """What a child saves after its parent closed the database is there: SQLite's log is not removed below the child.

    Without the hook the child takes its parent's lock on the file for its own, and every version but the first is lost.
    """
    work.note("parent", 1).save()
    child = crew.start(save_around_closing, database, context=FORK)
    child.until("saved")
    database.close()
    child.go()
    saved = child.result()
    assert [version for _, version in saved] == [1, 2, 3, 4, 5, 6]
    found = faults.of_versions(database, "child", saved, 6) + faults.of_everything(
        database, {id_: faults.ANYTHING for id_, _ in saved}
    )
    assert bool(found) == bool(hook)


@pytest.mark.parametrize("hook", ["", "no_fork_hook"], indirect=True)
def test_a_fork_waits_for_a_thread_that_commits(tmp_path: Path, crew: Crew, hook: str) -> None:
    """A fork beside a thread that is committing waits for its end; without the hook SQLite stays locked in the child."""
    inside = threading.Event()

    def reached(name: str) -> None:
        if name == "save.commit.before" and threading.current_thread() is not threading.main_thread():
            inside.set()
            time.sleep(0.5)  # the fork comes now

    with Place(f"sqlite:///{tmp_path / 'forks.db'}", str(tmp_path / "store")).opened(lock_timeout=3.0) as database:
        writer = threading.Thread(target=save_beside, args=(database,))
        failpoints.install(reached)
        try:
            writer.start()
            assert inside.wait(10)
            child = crew.start(use, 0, context=FORK)
            writer.join()
        finally:
            failpoints.install(None)
        assert bool(faults.of_outcomes([child.outcome()])) == bool(hook)
        assert Note.versions("beside") == [1]


def save_beside(database: Database) -> None:
    """Save one version, in a thread."""
    with database:
        work.note("beside", 1).save()


def test_a_fork_in_mid_transaction_is_told(local: Database, crew: Crew) -> None:
    """A child that was forked by a thread inside a transaction refuses to use that SQLite file; its parent goes on."""
    children = []

    def fork(name: str) -> None:
        if name == "save.commit.before" and not children:
            children.append(crew.start(use, 0, context=FORK))

    failpoints.install(fork)
    try:
        assert work.note("parent", 1).save().version == 1
    finally:
        failpoints.install(None)
    outcome = children[0].outcome()
    assert isinstance(outcome, Failure)
    assert "TransactionError" in outcome.classes
    assert "'spawn' or 'forkserver'" in outcome.text
    assert work.note("parent", 2).save().version == 2


def test_a_child_does_not_inherit_an_open_block(database: Database, crew: Crew) -> None:
    """A child that is forked inside a block saves at once and for itself; the parent's block fails and leaves its own out."""
    with work.failing_block():
        work.note("parent", 1).save()
        saved, right = crew.start(use, 0, context=FORK).result()
        assert right
    assert faults.of_versions(database, "forked", saved, SAVES) == []
    assert Note.versions("parent") == []


def test_a_child_that_leaves_a_block_of_its_parents_commits_nothing(local: Database) -> None:
    """A child that was forked inside a block goes on after it like any code; what was saved is the parent's to commit, once."""
    with simpleml.transaction():
        made = work.note("parent", 1).save()
        child = os.fork()
    if not child:
        os._exit(9 if made.is_saved or made.version else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert (made.version, Note.versions("parent")) == (1, [1])


def test_forks_beside_threads_that_save(database: Database, crew: Crew) -> None:
    """Children that are forked while other threads save are not stopped by a lock that one of those held."""
    stop = threading.Event()

    def go_on(number: int) -> int:
        count = 0
        while not stop.is_set():
            work.note(f"thread-{number}", {"save": count}).save()
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        threads = [pool.submit(go_on, number) for number in range(3)]
        try:
            outcomes = [crew.start(use, number, context=FORK).outcome() for number in range(4)]
        finally:
            stop.set()
        counts = [thread.result() for thread in threads]
    assert faults.of_outcomes(outcomes) == []
    saved = [each for outcome, _ in outcomes for each in outcome]
    assert faults.of_versions(database, "forked", saved, 4 * SAVES) == []
    assert [len(Note.versions(f"thread-{number}")) for number in range(3)] == counts
    assert faults.of_store(database) == []


# sent to another process

LARGE = {"content": list(range(20_000))}


@pytest.mark.parametrize("twin", ["", "by value"])
def test_a_saved_object_travels_as_a_reference(
    place: Place, crew: Crew, twin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process gets of a saved object is its id: it loads from there, and its artifact did not travel."""
    if twin:
        monkeypatch.setattr(Persistable, "__reduce__", lambda self: (work.note, (self.name, self.data)))
    with place.opened():
        saved = work.note("sent", LARGE).save()
        sent = pickle.dumps(saved)
        came = crew.start(work.load_sent, place, sent).result()
    right = came == ("Note", saved.id, 1, True, LARGE) and len(sent) < 500
    assert right != bool(twin)


def test_an_unsaved_object_travels_by_value(place: Place, crew: Crew) -> None:
    """An unsaved object arrives unsaved, with its artifacts and its config; the other process can save it."""
    with place.opened():
        made = work.note("sent", LARGE)
        made.config["depth"] = 3
        sent = pickle.dumps(made)
        came = crew.start(work.save_sent, place, sent).result()
        assert came == ("Note", made.id, None, False, LARGE)
        found = Note.load("sent")
        assert (found.id, found.version, found.data, found.config) == (made.id, 1, LARGE, {"depth": 3})


def test_a_next_version_travels_by_value(place: Place, crew: Crew) -> None:
    """An unsaved next version of a saved object arrives with the artifacts that nobody has read yet, and can be saved."""
    with place.opened():
        work.note("sent", LARGE).save()
        sent = pickle.dumps(Note.load("sent").new_version())
        assert len(sent) < 2_000
        assert crew.start(work.save_sent, place, sent).result()[2:] == (None, False, LARGE)
        assert Note.load("sent", version=2).data == LARGE


def test_what_a_block_has_queued_travels_by_value(place: Place, crew: Crew) -> None:
    """What a block has queued is not in the database yet, so no reference is made that would lead nowhere."""
    with place.opened(), simpleml.transaction():
        queued = work.note("queued", LARGE).save()
        assert crew.start(work.load_sent, place, pickle.dumps(queued)).result()[2:] == (None, False, LARGE)


def test_a_reference_into_another_database_is_told(new_place: Any, crew: Crew) -> None:
    """A reference that arrives where its record is not raises an error that names the database."""
    here, there = new_place("sqlite"), new_place("sqlite")
    with here.opened():
        sent = pickle.dumps(work.note("sent", 1).save())
    with there.opened(), pytest.raises(RecordNotFoundError, match="connect to the database that the sender uses"):
        pickle.loads(sent)


def test_a_database_refuses_to_travel(database: Database) -> None:
    """Pickling a database raises an error that says what to do instead."""
    with pytest.raises(TransactionError, match=r"simpleml\.connect"):
        pickle.dumps(database)
