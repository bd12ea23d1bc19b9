"""The answer to a commit is lost, and more goes wrong before it is known what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, MetaData, String
from sqlalchemy.orm import Mapped, mapped_column

from simpleml import failpoints
from simpleml.errors import DatabaseError
from simpleml.orm import blobs
from simpleml.orm.database import Database
from simpleml.orm.record import Record
from simpleml.orm.rows import InsertRow
from tests.backends.client import Server
from tests.races import faults, twins, work
from tests.races.crew import Crew, pause
from tests.races.work import Note, Place, Saved

SERVERS = ("postgresql", "mariadb")
SETTINGS = {"grace": 0.0}


class _Own(Record):
    __abstract__ = True
    metadata = MetaData()


class Word(_Own):
    """A record of a table of somebody else's."""

    __tablename__ = "words"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(50))


class Line(_Own):
    """A record whose key the database counts."""

    __tablename__ = "lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


# what is done in processes of their own


def save_renewed_meanwhile(place: Place, forgetful: bool) -> Saved:
    """Save a version whose commit lands only when its bytes, which seemed to be collected, were stored again."""
    if forgetful:
        twins.blind_repetition()
    with place.opened(**SETTINGS) as database:
        made = work.note("late", {"content": "late"})
        landed = lose_the_blobs_too(database)
        made.save()
        assert landed
        assert made.filepaths == Note.load(id=made.id).filepaths
        return made.id, made.version


def insert_losing_the_answer(place: Place, sort: type[Word | Line], forgetful: bool) -> list[str]:
    """Insert a row that is no persistable's; its commit happens, and the answer does not come. Return the names there."""
    if forgetful:
        InsertRow.landed = lambda *_: False
    with place.opened(**SETTINGS) as database:
        sort.metadata.create_all(database.engine)
        landed, land = twins.lose(database, "save.commit.before", lambda: land())
        sort(name="late").save()
        assert landed
        return [row.name for row in sort.all()]


def insert_and_delete_losing_the_answer(place: Place, forgetful: bool) -> tuple[list[str], list[int]]:
    """Insert a row whose key is counted and delete a note in one block, in the same way. Return the names and notes there."""
    if forgetful:
        InsertRow.landed = lambda *_: False
    with place.opened(**SETTINGS) as database:
        Line.metadata.create_all(database.engine)
        gone = work.note("gone", 1).save()
        landed, land = twins.lose(database, "save.commit.before", lambda: land())
        with database.transaction():
            Line(name="late").save()
            gone.delete()
        assert landed
        return [line.name for line in Line.all()], Note.versions("gone")


def lose_the_blobs_too(database: Database) -> list[str]:
    """Lose the answer to the next commit of a save, and then its blobs; it lands while the renewed ones are claimed.

    One server would let nobody collect them before that transaction has ended: another node of a cluster may.
    """
    tries: list[str] = []
    landed, land = twins.lose(database, "save.commit.before", lambda: tries.append("lost"))
    true = blobs.claim

    def claim(connection: Connection, wanted: Iterable[tuple[UUID, str]], grace: float) -> None:
        pairs = list(wanted)
        if tries == ["lost"]:
            tries.append("renewed")
            raise blobs.BlobsLost(frozenset(key for _, key in pairs))
        true(connection, pairs, grace)
        if tries and not landed:
            land()

    blobs.claim = claim
    return landed


def save_losing_the_server(place: Place, landed: bool) -> tuple[UUID, str, int]:
    """Save while the server goes away at the commit, and again when it is back; return the error, and what came of the second."""
    with place.opened(lock_timeout=1.0, **SETTINGS) as database:
        made = work.note("again", {"content": "again"})
        pause_at_commit(database, landed=landed)
        with pytest.raises(DatabaseError) as caught:
            made.save()
        assert not made.is_saved
        pause("away")
        return made.id, str(caught.value), made.save().version


def pause_at_commit(database: Database, *, landed: bool) -> None:
    """Stop once, at the next commit of a save, right before or right after it, and let the driver find that the server has gone."""
    dialect: Any = database.engine.dialect
    true = dialect.do_commit
    armed: list[str] = []

    def commit(connection: Any) -> None:
        if not armed:
            true(connection)
            return
        armed.clear()
        failpoints.install(None)
        if landed:
            true(connection)
        pause("commit")
        connection.cursor().execute("SELECT 1")

    dialect.do_commit = commit
    failpoints.install(lambda name: armed.append(name) if name == "save.commit.before" else None)


# the tests


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("kind", SERVERS)
def test_a_save_that_lands_while_its_bytes_are_renewed_is_no_conflict(
    crew: Crew, new_place: Callable[[str], Place], kind: str, forgetful: bool
) -> None:
    """It is the version that landed, with the bytes that it was first stored with; the forgetful twin meets its own record."""
    place = new_place(kind)
    outcome = crew.start(save_renewed_meanwhile, place, forgetful).outcome()
    if forgetful:
        assert "VersionConflictError" in outcome.classes
        return
    assert faults.of_outcomes([outcome]) == []
    with place.opened(**SETTINGS) as database:
        assert faults.of_versions(database, "late", [outcome], 1) == []
        assert faults.of_everything(database, {outcome[0]: {"content": "late"}}) == []


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("sort", [Word, Line])
@pytest.mark.parametrize("kind", SERVERS)
def test_a_row_whose_commit_happened_is_not_inserted_again(
    crew: Crew, new_place: Callable[[str], Place], kind: str, sort: type[Word | Line], forgetful: bool
) -> None:
    """It is there once, whoever gave it its key, and that is no error; the forgetful twin meets its own row."""
    outcome = crew.start(insert_losing_the_answer, new_place(kind), sort, forgetful).outcome()
    if forgetful:
        assert "DatabaseError" in outcome.classes
    else:
        assert outcome == ["late"]


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("kind", SERVERS)
def test_a_block_whose_commit_happened_is_not_done_again(
    crew: Crew, new_place: Callable[[str], Place], kind: str, forgetful: bool
) -> None:
    """A row with a counted key is there once and the deletion after it is no error; the forgetful twin meets its own row."""
    outcome = crew.start(insert_and_delete_losing_the_answer, new_place(kind), forgetful).outcome()
    if forgetful:
        assert "DatabaseError" in outcome.classes
    else:
        assert outcome == (["late"], [])


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("kind", SERVERS)
def test_an_outcome_that_is_not_known_is_told(
    crew: Crew, private_server: Callable[..., Server], kind: str, landed: bool, tmp_path: Path
) -> None:
    """A save that gives up without knowing says so; saved again, the object is version 1, there already or not."""
    server = private_server(kind)
    place = Place(server.url, str(tmp_path / "store"))
    saving = crew.start(save_losing_the_server, place, landed)
    saving.until("commit")
    server.stop()
    saving.go()
    saving.until("away")
    server.start()
    saving.go()
    id_, told, second = saving.result()
    assert "cannot be reached" in told
    assert "whether it happened is not known" in told
    with place.opened(**SETTINGS) as database:
        assert faults.of_versions(database, "again", [(id_, 1)], 1) == []
        assert faults.of_everything(database, {id_: {"content": "again"}}) == []
    assert second == 1


@pytest.mark.parametrize("kind", SERVERS)
def test_what_was_never_committed_is_not_said_to_be_unknown(
    crew: Crew, private_server: Callable[..., Server], kind: str, tmp_path: Path
) -> None:
    """A server that went away before anything was sent to it to be committed leaves no doubt."""
    server = private_server(kind)
    with Place(server.url, str(tmp_path / "store")).opened(lock_timeout=1.0):
        made = work.note("note", 1)
        server.stop()
        with pytest.raises(DatabaseError, match="cannot be reached") as caught:
            made.save()
    assert "not known" not in str(caught.value)
