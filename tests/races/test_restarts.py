"""The server goes away while others save: a save happened or it did not, and whoever asked for it is told which."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from simpleml.errors import DatabaseError
from simpleml.orm.database import Database
from tests.backends.client import Server
from tests.races import faults, work
from tests.races.crew import Actor, Crew, Failure
from tests.races.work import Note, Place

SERVERS = ("postgresql", "mariadb")
SETTINGS = {"grace": 0.0}
"""What an announcement whose answer was lost leaves behind can be collected at once, in the end."""


def check_told(database: Database, told: list[tuple]) -> list[str]:
    """Return what is wrong with records that were acknowledged, refused, or neither."""
    saved = {each[1]: (each[2], each[3]) for each in told if each[0] == "saved"}
    failed = {each[1]: each[2] for each in told if each[0] == "failed"}
    found = [f"not ours: {failure}" for failure in failed.values() if not failure.ours]
    there: dict[UUID, int] = {row["id"]: row["version"] for row in database.select("persistable", {})}
    found += [f"unheard of: {id_}" for id_ in there.keys() - saved.keys() - failed.keys()]
    found += [f"lie: {id_} is {there.get(id_)}" for id_, (version, _) in saved.items() if there.get(id_) != version]
    return found + faults.of_everything(database, {id_: data for id_, (_, data) in saved.items()})


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_restarts_loses_nothing(
    crew: Crew, private_server: Callable[..., Server], kind: str, tmp_path: Path
) -> None:
    """3 writers go on over a restart in good order and one by SIGKILL: no save is lost, doubled, half there or refused."""
    server = private_server(kind)
    place = Place(server.url, str(tmp_path / "store"))
    with place.opened():
        pass
    writers = [crew.start(work.save_on_and_on, number, place, SETTINGS) for number in range(3)]
    hear_more(writers)
    for end in (server.stop, server.kill):
        end()
        time.sleep(0.2)  # they meet a server that is not there
        server.start()
        hear_more(writers)
    for writer in writers:
        writer.go()
    assert faults.of_outcomes([writer.outcome() for writer in writers]) == []
    told = [each for writer in writers for each in writer.told]
    assert [str(each[2]) for each in told if each[0] == "failed"] == []
    with place.opened() as database:
        assert check_told(database, told) == []
        for number in range(3):
            saved = [each[1:3] for each in writers[number].told]
            assert faults.of_versions(database, f"writer-{number}", saved, len(saved)) == []


def hear_more(writers: list[Actor]) -> None:
    """Return when every writer has saved five more."""
    for writer in writers:
        writer.hear(len(writer.listen()) + 5)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_stays_away_is_told(
    crew: Crew, private_server: Callable[..., Server], kind: str, tmp_path: Path
) -> None:
    """A save that gives up after `lock_timeout` raises one of our errors that names the database; it left no record."""
    server = private_server(kind)
    place = Place(server.url, str(tmp_path / "store"))
    with place.opened(lock_timeout=1.0) as database:
        saved = work.note("note", 1).save()
        refused = work.note("note", 2)
        server.stop()
        outcome = crew.start(work.save_settings, place, "note", 3, {"lock_timeout": 1.0}).outcome()
        assert isinstance(outcome, Failure)
        assert "DatabaseError" in outcome.classes
        with pytest.raises(DatabaseError, match="cannot be reached"):
            refused.save()
        assert refused.version is None
        server.start()
        assert faults.of_versions(database, "note", [(saved.id, 1)], 1) == []
        assert refused.save().version == 2
        assert faults.of_everything(database, {saved.id: 1, refused.id: 2}) == []


@pytest.mark.parametrize(
    "point", ["save.intend.before", "save.intend.after", "save.commit.before", "save.commit.after"]
)
@pytest.mark.parametrize("kind", SERVERS)
def test_a_connection_that_is_cut_costs_nothing(
    crew: Crew, new_place: Callable[[str], Place], kind: str, point: str
) -> None:
    """The server ends the connection right before or after a commit: the save happens once, and its caller sees no error."""
    place = new_place(kind)
    outcome = crew.start(work.save_cut_before, place, point).outcome()
    assert faults.of_outcomes([outcome]) == []
    with place.opened() as database:
        assert faults.of_versions(database, "cut", [outcome], 1) == []
        assert faults.of_everything(database, {outcome[0]: {"content": "cut"}}) == []


@pytest.mark.parametrize("twin", ["", "blind_repetition"])
@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("kind", SERVERS)
def test_a_commit_whose_answer_is_lost_counts_once(
    crew: Crew, new_place: Callable[[str], Place], kind: str, block: bool, twin: str
) -> None:
    """A commit that happened although the client saw its connection die is found by its id; the twin repeats it blindly."""
    place = new_place(kind)
    outcome = crew.start(work.save_cut_after, place, block, twin).outcome()
    with place.opened() as database:
        found = faults.of_outcomes([outcome])
        if not found:
            for name, saved in outcome.items():
                found += faults.of_versions(database, name, [saved], 1)
            found += faults.of_everything(database, {id_: {"content": "cut"} for id_, _ in outcome.values()})
    assert bool(found) == bool(twin)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_deletion_whose_answer_is_lost_is_done(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """A deletion that happened although the client saw its connection die is no error, and counts references once."""
    place = new_place(kind)
    with place.opened():
        kept, gone = (work.note(name, {"content": "same"}).save() for name in ("kept", "gone"))
    assert crew.start(work.delete_cut_after, place, gone.id).result() is True
    with place.opened(grace=0.0) as database:
        assert database.count("persistable", {"id": gone.id}) == 0
        assert faults.of_everything(database, {kept.id: {"content": "same"}}) == []
        assert Note.versions("gone") == []


@pytest.mark.parametrize("kind", SERVERS)
def test_a_deletion_that_lands_late_is_not_refused(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """A deletion that lands only after the look whether it did, and just before it is tried again, is no error."""
    place = new_place(kind)
    with place.opened():
        kept, gone = (work.note(name, {"content": "same"}).save() for name in ("kept", "gone"))
    outcome = crew.start(work.delete_landing_late, place, gone.id).outcome()
    assert faults.of_outcomes([outcome]) == []
    with place.opened(grace=0.0) as database:
        assert faults.of_everything(database, {kept.id: {"content": "same"}}) == []
        assert Note.versions("gone") == []


@pytest.mark.parametrize("kind", SERVERS)
def test_a_save_that_lands_late_is_no_conflict(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """A save that lands only when it is tried again, and whose bytes are distrusted just then, is the version that it is."""
    place = new_place(kind)
    outcome = crew.start(work.save_landing_late, place).outcome()
    assert faults.of_outcomes([outcome]) == []
    with place.opened() as database:
        assert faults.of_versions(database, "late", [outcome], 1) == []
        assert Note.load("late").data == {"content": "late"}
