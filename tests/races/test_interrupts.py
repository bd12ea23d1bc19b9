"""A save is interrupted: in a statement, at its commit, or anywhere in between; the exceptions are kept, with their tracebacks."""

from __future__ import annotations

import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import event

import simpleml
from simpleml import failpoints
from simpleml.errors import DatabaseError, VersionConflictError
from simpleml.orm import interrupts, open_database
from simpleml.orm.database import Database
from tests.races import faults, work
from tests.races.work import Note

SORTS = (KeyboardInterrupt, SystemExit)
ROUNDS = 40  # of random instants


class Interrupter:
    """Interrupts at the instant of this number, where `reach` is called at each; none: only counts them."""

    def __init__(self, sort: type[BaseException] = KeyboardInterrupt) -> None:
        self.sort = sort
        self.at, self.count = 0, 0

    def arm(self, at: int) -> None:
        """Count anew, up to this instant."""
        self.at, self.count = at, 0

    def reach(self, *_: object) -> None:
        """Interrupt, if it is time."""
        self.count += 1
        if self.count == self.at:
            raise self.sort

    def trace(self, frame: FrameType, what: str, _: object) -> None:
        """Reach an instant at each call within SQLAlchemy and what is about it."""
        name = frame.f_globals.get("__name__", "")
        if what == "call" and name.startswith(("sqlalchemy.", "simpleml.orm.")):
            self.reach()


@contextmanager
def commits_of(database: Database, interrupter: Interrupter, *, landed: bool) -> Iterator[None]:
    """Let each commit in the block be an instant, right after it (`landed`) or right before it."""
    dialect: Any = database.engine.dialect
    true = dialect.do_commit

    def commit(connection: Any) -> None:
        if not landed:
            interrupter.reach()
        true(connection)
        if landed:
            interrupter.reach()

    dialect.do_commit = commit
    try:
        yield
    finally:
        dialect.do_commit = true


@contextmanager
def calls_to(interrupter: Interrupter) -> Iterator[None]:
    """Let each call of a function in the block be an instant."""
    before = sys.gettrace()
    sys.settrace(interrupter.trace)
    try:
        yield
    finally:
        sys.settrace(before)


def check(database: Database, other: Database, made: list[Note]) -> None:
    """Somebody else can save under the same name at once, and so can we, also what was interrupted; everything is there once."""
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    interrupted = made[-1]
    with other:
        made.append(work.note("note", len(made)).save())
    interrupted.save()
    assert interrupted.version == Note.load(id=interrupted.id).version
    assert sorted(note.version for note in made if note.version) == list(range(1, len(made) + 1))


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database, opened by somebody who waits for two seconds at most."""
    settings = database.settings
    opened = open_database(settings.database, store=settings.stores["default"], home=settings.home, lock_timeout=2.0)
    yield opened
    opened.close()


@pytest.mark.parametrize("sort", SORTS)
def test_an_interrupt_in_a_statement_leaves_nothing_behind(
    database: Database, other: Database, sort: type[BaseException]
) -> None:
    """It comes out as itself, before or after any statement of a save; nobody waits, and the next save is the next version."""
    interrupter = Interrupter(sort)
    event.listen(database.engine, "before_cursor_execute", interrupter.reach)
    event.listen(database.engine, "after_cursor_execute", interrupter.reach)
    made, kept = [work.note("note", "first").save(), work.note("note", "second").save()], []
    interrupter.arm(0)
    made.append(work.note("note", "third").save())
    for at in range(1, interrupter.count + 1):
        made.append(work.note("note", at))
        interrupter.arm(at)
        with pytest.raises(sort) as caught:
            made[-1].save()
        kept.append(caught.value)
        check(database, other, made)
    assert len(kept) > 10


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_an_interrupt_at_the_commit_leaves_the_save_to_be_done_again(
    database: Database, other: Database, sort: type[BaseException], landed: bool
) -> None:
    """Saved again, the object is the version that landed, or a new one if none did."""
    interrupter, made, kept = Interrupter(sort), [work.note("note", "first").save()], []
    with commits_of(database, interrupter, landed=landed):
        interrupter.arm(0)
        made.append(work.note("note", "second").save())
        for at in range(1, interrupter.count + 1):  # the last one is that of the record
            made.append(work.note("note", f"interrupted at {at}"))
            interrupter.arm(at)
            with pytest.raises(sort) as caught:
                made[-1].save()
            kept.append(caught.value)
            assert not made[-1].is_saved
            check(database, other, made)
    interrupted, beside = made[-2:]
    assert interrupted.version is not None
    assert beside.version is not None
    assert (interrupted.version < beside.version) is landed
    assert faults.of_records(database, {note.id: note.data for note in made}) + faults.of_store(database) == []


@contextmanager
def interrupted_when_landed(database: Database) -> Iterator[None]:
    """Interrupt the block right after the commit of a record."""
    interrupter = Interrupter()
    failpoints.install(lambda name: interrupter.arm(1) if name == "save.commit.before" else None)
    try:
        with pytest.raises(KeyboardInterrupt), commits_of(database, interrupter, landed=True):
            yield
    finally:
        failpoints.install(None)


def test_what_changed_since_is_saved_with_the_version_that_landed(database: Database) -> None:
    """State and description may change of a version, so they are brought up to date; a number that was chosen is its number."""
    made = Note(name="note", version=7, state={"seen": 1, "gone": True})
    with interrupted_when_landed(database):
        made.save()
    made.state.update(seen=2)
    del made.state["gone"]
    made.version_description = "again"
    assert made.save().version == 7
    found = Note.load("note")
    assert (found.id, found.state, found.version_description) == (made.id, {"seen": 2}, "again")
    made.state["seen"] = 3
    made.save()
    assert Note.load("note").state == {"seen": 3}


def test_a_block_takes_what_landed_and_saves_the_rest(database: Database) -> None:
    """The version that landed before the block is its own; the alias and the other version of the block are new."""
    made, beside = work.note("note", 1), work.note("note", 2)
    with interrupted_when_landed(database):
        made.save()
    with simpleml.transaction():
        beside.save()
        made.save().alias("best")
    assert (made.version, beside.version) == (1, 2)
    assert Note.load("note", alias="best").id == made.id


@pytest.mark.parametrize("change", [{"name": "another"}, {"data": "else"}, {"more": "else"}, {"project": "another"}])
def test_something_else_under_the_id_stays_a_conflict(database: Database, change: dict[str, Any]) -> None:
    """Another name, project or artifact is another version, and what landed is left as it was."""
    made = work.note("note", "as it was", project="one")
    with interrupted_when_landed(database):
        made.save()
    for name, value in change.items():
        setattr(made, name, value)
    with pytest.raises(VersionConflictError, match="there is a persistable with the id"):
        made.save()
    assert not made.is_saved
    assert [note.data for note in Note.query()] == ["as it was"]


@pytest.mark.parametrize("plain", [False, True])
def test_a_kept_traceback_keeps_no_lock(
    new_database: Callable[[str], str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    """What is saved while the interrupt is handled is saved; with the driver's own connections the file stays locked."""
    if plain:
        monkeypatch.setattr(interrupts, "SQLiteConnection", sqlite3.Connection)
    database = simpleml.connect(new_database("sqlite"), store=tmp_path / "store", lock_timeout=0.5)
    interrupter = Interrupter()

    @event.listens_for(database.engine, "after_cursor_execute")
    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "version_counters" in statement:
            interrupter.reach()

    interrupter.arm(1)
    try:
        work.note("note", 1).save()
    except KeyboardInterrupt:
        if plain:
            with pytest.raises(DatabaseError, match="stayed busy"):
                work.note("checkpoint", 2).save()
        else:
            assert work.note("checkpoint", 2).save().version == 1
    assert interrupter.count
    database.close()


def test_an_interrupt_anywhere_within_leaves_nothing_behind(local: Database) -> None:
    """At every 29th call of a function of a save, SQLAlchemy's own and its pool's, it is as at a statement."""
    settings = local.settings
    other = open_database(settings.database, store=settings.stores["default"], home=settings.home, lock_timeout=2.0)
    interrupter, made, kept = Interrupter(), [work.note("note", "first").save(), work.note("note", "second").save()], []
    with calls_to(interrupter):
        made.append(work.note("note", "third").save())
    for at in range(1, interrupter.count, 29):
        made.append(work.note("note", at))
        interrupter.arm(at)
        with pytest.raises(KeyboardInterrupt) as caught, calls_to(interrupter):
            made[-1].save()
        kept.append(caught.value)
        check(local, other, made)
    assert len(kept) > 20
    other.close()


def test_interrupts_at_random_instants_leave_nothing_behind(local: Database) -> None:
    """Whenever a timer interrupts a save, it comes out as itself, and the save is done once when it is asked for again."""
    settings, kept = local.settings, []
    other = open_database(settings.database, store=settings.stores["default"], home=settings.home, lock_timeout=2.0)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    made = [work.note("note", "first").save()]
    try:
        for number in range(ROUNDS):
            made.append(work.note("note", number))
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.02))
                made[-1].save()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt as interrupt:
                kept.append(interrupt)
            check(local, other, made)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        other.close()
    assert faults.of_records(local, {note.id: note.data for note in made}) + faults.of_store(local) == []
