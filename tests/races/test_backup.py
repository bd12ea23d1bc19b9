"""Backup and restore while others write: the restored pair is consistent and lacks nothing that was acknowledged before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from simpleml.errors import SimpleMLError
from simpleml.orm.backup import restore
from simpleml.orm.housekeeping import collect
from tests.races import faults, work
from tests.races.crew import Actor, Crew
from tests.races.work import Note, Place

KINDS = ("sqlite", "postgresql", "mariadb")
SETTINGS = {"grace": 0.0}


def check(place: Place, folder: str, wanted: dict[UUID, object]) -> list[str]:
    """Restore a backup into an empty place, and return everything that is wrong there, or with the restoring."""
    with place.opened() as database:
        try:
            restore(database, Path(folder))
        except (SimpleMLError, OSError) as error:
            return [f"not restored: {type(error).__name__}: {error}"]
        rows = database.select("persistable", {})
        found = faults.of_everything(database, {row["id"]: faults.ANYTHING for row in rows} | wanted)
        for name in {row["name"] for row in rows}:
            version = work.note(name, "the next one").save().version
            if version <= max(row["version"] for row in rows if row["name"] == name):
                found.append(f"the next version of {name} is {version}")
        return found


def acknowledged(writers: list[Actor]) -> dict[UUID, object]:
    """Return what has been acknowledged so far and what nobody began to delete."""
    told = [each for writer in writers for each in list(writer.listen())]
    gone = {each[1] for each in told if each[0] == "deleting"}
    return {each[1]: each[3] for each in told if each[0] == "saved" and each[1] not in gone}


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_beside_writers_is_consistent(
    crew: Crew, new_place: Callable[[str], Place], kind: str, tmp_path: Path
) -> None:
    """While 4 save, one deletes and one collects, the backup is consistent and holds what was acknowledged before it.

    It is restored into SQLite and into the kind of database that it was taken from.
    """
    place = new_place(kind)
    with place.opened():
        pass
    collector = crew.start(work.collect_on_and_on, place, SETTINGS)
    writers = [crew.start(work.save_on_and_on, number, place, {}) for number in range(4)]
    writers.append(crew.start(work.delete_on_and_on, 4, place, {}))
    for writer in writers:
        writer.hear(5)
    before = acknowledged(writers)
    count = crew.start(work.back_up, place, str(tmp_path / "backup"), {}).result()
    for writer in writers:
        writer.hear(len(writer.told) + 1)  # they went on
        writer.go()
    collector.go()
    assert faults.of_outcomes([writer.outcome() for writer in writers] + [collector.outcome()]) == []
    assert not [each for writer in writers for each in writer.told if each[0] == "failed"]
    deleted = before.keys() - acknowledged(writers).keys()
    wanted = {id_: data for id_, data in before.items() if id_ not in deleted}
    assert count >= len(wanted) >= 20
    for target in dict.fromkeys(["sqlite", kind]):
        assert check(new_place(target), str(tmp_path / "backup"), wanted) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("twin", ["", "no_protection"])
def test_what_is_deleted_while_it_is_copied_stays(
    crew: Crew, new_place: Callable[[str], Place], kind: str, twin: str, tmp_path: Path
) -> None:
    """Bytes of the snapshot that lose their record while they are copied are not collected; the twin takes no lease."""
    place, folder = new_place(kind), str(tmp_path / "backup")
    with place.opened(**SETTINGS):
        saved = [work.note("note", {"content": index}).save() for index in range(3)]
        wanted: dict[UUID, object] = {each.id: each.data for each in saved}
    copying = crew.start(work.back_up, place, folder, SETTINGS, twin, stops=["put.fsync.before#1"])
    copying.until("put.fsync.before")
    with place.opened(**SETTINGS) as database:
        for id_ in wanted:
            Note.load(id=id_).delete()
        time.sleep(0.01)
        assert collect(database).removed == (3 if twin else 0)
    copying.go()
    outcome = copying.outcome()
    found = faults.of_outcomes([outcome]) or check(new_place("sqlite"), folder, wanted)
    assert bool(found) == bool(twin)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("twin", ["", "bytes_before_rows"])
def test_rows_are_read_before_bytes_are_copied(
    crew: Crew, new_place: Callable[[str], Place], kind: str, twin: str, tmp_path: Path
) -> None:
    """A record that is saved while bytes are copied leaves the backup consistent; not so if the store is copied first."""
    place, folder = new_place(kind), str(tmp_path / "backup")
    with place.opened():
        before = work.note("note", {"content": 0}).save()
    instant = "copied" if twin else "put.fsync.before"
    copying = crew.start(work.back_up, place, folder, {}, twin, stops=["put.fsync.before#1"])
    copying.until(instant)
    with place.opened():
        work.note("note", {"content": 1}).save()
    copying.go()
    copying.result()
    found = check(new_place("sqlite"), folder, {before.id: {"content": 0}})
    assert bool(found) == bool(twin)


@pytest.mark.parametrize(
    ("kind", "twin"),
    [*((kind, "") for kind in KINDS), ("postgresql", "each_table_by_itself"), ("mariadb", "each_table_by_itself")],
)
def test_all_tables_are_read_at_one_instant(
    crew: Crew, new_place: Callable[[str], Place], kind: str, twin: str, tmp_path: Path
) -> None:
    """A record that is saved between the reading of two tables is in none; on SQLite no reader could do it otherwise."""
    place, folder = new_place(kind), str(tmp_path / "backup")
    with place.opened():
        before = work.note("note", {"content": 0}).save()
    copying = crew.start(work.back_up_in_steps, place, folder, twin)
    copying.until("between tables")
    with place.opened():
        work.note("note", {"content": 1}).save()
    copying.go()
    outcome = copying.outcome()
    found = faults.of_outcomes([outcome]) or check(new_place("sqlite"), folder, {before.id: {"content": 0}})
    assert bool(found) == bool(twin)


@pytest.mark.parametrize("point", ["put.fsync.after#2", "put.rename.after#3"])
def test_an_interrupted_restore_goes_on(crew: Crew, place: Place, tmp_path: Path, point: str) -> None:
    """A restore that was killed between two objects is finished by running it again."""
    source = Place(f"sqlite:///{tmp_path / 'source.db'}", str(tmp_path / "source"))
    with source.opened():
        saved = [work.note("note", {"content": index}).save() for index in range(4)]
        wanted: dict[UUID, Any] = {each.id: each.data for each in saved}
    assert crew.start(work.back_up, source, str(tmp_path / "backup"), {}).result() == 4
    restoring = crew.start(work.bring_back, place, str(tmp_path / "backup"), stops=[point])
    restoring.until(point.partition("#")[0])
    restoring.kill()
    with place.opened() as database:
        assert database.count("persistable", {}) == 0
    assert check(place, str(tmp_path / "backup"), wanted) == []
