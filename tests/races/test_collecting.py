"""Collecting garbage beside writers: what a writer was told to be saved is never lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from simpleml.orm.database import Database
from simpleml.orm.housekeeping import collect
from tests.races import faults, twins, work
from tests.races.crew import Actor, Crew
from tests.races.work import Note, Place

SETTINGS = {"grace": 0.0}
"""A lease that is over at once: whatever a collector may take, it takes."""

DATA = {"content": "that several writers save"}


def collect_something(database: Database) -> None:
    """Collect until something is removed: a lease may run for another tick of the clock."""
    for _ in range(100):
        if collect(database).removed:
            return
        time.sleep(0.01)
    raise AssertionError("nothing was removed, so this test shows nothing")


def leave_idle_bytes(place: Place) -> None:
    """Leave stored bytes that nothing refers to: those of a record that was deleted."""
    with place.opened(**SETTINGS):
        work.note("gone", DATA).save().delete()


def check(place: Place, saved: dict[Any, object]) -> list[str]:
    """Return everything that is wrong in the end."""
    with place.opened(**SETTINGS) as database:
        time.sleep(0.01)
        return faults.of_everything(database, saved)


def test_nothing_is_lost_beside_four_writers(crew: Crew, place: Place) -> None:
    """4 writers re-save equal contents and delete while a collector runs on and on: what they kept loads, orphans go."""
    settings = {"grace": 0.02}
    with place.opened():
        pass
    collector = crew.start(work.collect_on_and_on, place, settings, 20)
    outcomes = crew.together(4, work.resave, place, 30, settings)
    collector.go()
    assert collector.result() >= 20
    assert faults.of_outcomes(outcomes) == []
    assert check(place, {id_: data for outcome in outcomes for id_, data in outcome.items()}) == []


@pytest.mark.parametrize("point", ["save.intend.after", "put.fsync_folder.after"])
def test_a_writer_that_was_overtaken_stores_again(crew: Crew, place: Place, point: str) -> None:
    """A writer whose announced blob was collected before its commit stores the bytes again and commits."""
    writer = crew.start(work.save_settings, place, "late", DATA, SETTINGS, stops=[f"{point}#1"])
    writer.until(point)
    with place.opened(**SETTINGS) as database:
        collect_something(database)
    writer.go()
    id_, version = writer.result()
    assert version == 1
    assert check(place, {id_: DATA}) == []


def test_a_writer_that_reuses_what_is_collected_stores_again(crew: Crew, place: Place) -> None:
    """A writer that found its bytes stored already stores them again if they are collected before its commit."""
    leave_idle_bytes(place)
    writer = crew.start(
        work.save_settings, place, "late", DATA, SETTINGS, "", {"second": 2}, stops=["save.intend.before#2"]
    )
    writer.until("save.intend.before")
    with place.opened(**SETTINGS) as database:
        collect_something(database)
    writer.go()
    id_, _ = writer.result()
    assert check(place, {id_: DATA}) == []


def test_the_end_of_a_block_stores_again(crew: Crew, place: Place) -> None:
    """A transaction whose blobs were collected while it was open stores them again at its end, and commits all of it."""
    contents: list[object] = [DATA, {"other": 1}, DATA]
    writer = crew.start(work.save_block, place, contents, SETTINGS)
    writer.until("block")
    with place.opened(**SETTINGS) as database:
        collect_something(database)
    writer.go()
    saved = writer.result()
    assert [version for _, version in saved] == [1, 1, 1]
    assert check(place, {id_: data for (id_, _), data in zip(saved, contents, strict=True)}) == []


@pytest.mark.parametrize("end", ["goes on", "dies"])
@pytest.mark.parametrize("point", ["gc.condemn.after", "gc.remove.before", "gc.remove.after"])
def test_a_collector_that_stalls_harms_nobody(crew: Crew, place: Place, point: str, end: str) -> None:
    """Equal bytes saved while a collector stalls between condemning and forgetting are kept; the next one finishes its work."""
    leave_idle_bytes(place)
    time.sleep(0.01)
    collector = crew.start(work.collect_once, place, SETTINGS, stops=[point])
    collector.until(point)
    with place.opened(**SETTINGS):
        saved = work.note("kept", DATA).save()
    if end == "dies":
        collector.kill()
    else:
        collector.go()
        assert collector.result() == 1
    assert check(place, {saved.id: DATA}) == []


def overtake_at_the_worst_instant(crew: Crew, place: Place, twin: str) -> list[str]:
    """A collector condemns what a writer has put; the writer commits; only then the bytes are removed."""
    writer = crew.start(work.save_settings, place, "late", DATA, SETTINGS, twin, stops=["put.fsync_folder.after#1"])
    writer.until("put.fsync_folder.after")
    time.sleep(0.01)
    collector = crew.start(work.collect_once, place, SETTINGS, stops=["gc.remove.before"])
    collector.until("gc.remove.before")
    writer.go()
    id_, _ = writer.result()
    collector.go()
    collector.result()
    return check(place, {id_: DATA})


@pytest.mark.parametrize("twin", ["", "unchecked_commit"])
def test_a_commit_looks_at_its_blobs(crew: Crew, place: Place, twin: str) -> None:
    """A record is never committed on condemned bytes; the twin that does not look loses them."""
    found = overtake_at_the_worst_instant(crew, place, twin)
    assert any(fault.startswith("lost: ArtifactMissingError") for fault in found) == bool(twin)
    assert bool(found) == bool(twin)


@pytest.mark.parametrize("twin", ["", "mark_and_sweep"])
def test_bytes_on_their_way_are_not_garbage(crew: Crew, place: Place, twin: str) -> None:
    """A collection between a put and its commit loses nothing; the twin that sweeps what no record refers to does."""
    writer = crew.start(work.save_settings, place, "late", DATA, SETTINGS, stops=["put.fsync_folder.after#1"])
    writer.until("put.fsync_folder.after")
    time.sleep(0.01)
    assert crew.start(work.collect_once, place, SETTINGS, twin).result() == 1
    writer.go()
    outcome = writer.outcome()
    found = faults.of_outcomes([outcome]) or check(place, {outcome[0]: DATA})
    assert bool(found) == bool(twin)


@pytest.mark.parametrize("instant", ["before listing", "after listing"])
@pytest.mark.parametrize("twin", ["", "rows_before_listing"])
def test_the_sweep_lists_before_it_reads(crew: Crew, place: Place, twin: str, instant: str) -> None:
    """What is saved around the listing of the store survives the sweep; the twin that reads rows first removes it."""
    with place.opened():
        work.note("older", {"content": 0}).save()
    sweeper = crew.start(work.collect_in_steps, place, twin)
    saved: dict[Any, object] = {}
    for label in ("before listing", "after listing"):
        sweeper.until(label)
        if label == instant:
            with place.opened():
                saved[work.note("meanwhile", DATA).save().id] = DATA
        sweeper.go()
    sweeper.result()
    caught = bool(twin) and instant == "before listing"
    assert bool(check(place, saved)) == caught


@pytest.mark.parametrize(
    ("kind", "twin"), [("postgresql", ""), ("mariadb", ""), ("postgresql", "condemn_what_nothing_refers_to")]
)
def test_condemning_asks_the_row_itself(crew: Crew, new_place: Callable[[str], Place], kind: str, twin: str) -> None:
    """A collector that waits for a writer's commit sees its reference; the twin that asks the references does not.

    On SQLite the two cannot meet, for there is one writer at a time; MariaDB reads the references only once it has the row.
    """
    place = new_place(kind)
    writer = crew.start(work.save_settings, place, "late", DATA, SETTINGS, stops=["save.commit.before"])
    writer.until("save.commit.before")
    collector = crew.start(work.collect_once, place, SETTINGS, twin)
    with place.opened() as database:
        wait_until_blocked(database, collector)
    writer.go()
    id_, _ = writer.result()
    found = faults.of_outcomes([collector.outcome()]) + check(place, {id_: DATA})
    assert any(fault.startswith("lost: ArtifactMissingError") for fault in found) == bool(twin)
    assert bool(found) == bool(twin)


def wait_until_blocked(database: Database, actor: Actor) -> None:
    """Return when somebody waits for a lock."""
    for _ in range(200):
        if twins.is_blocked(database):
            return
        time.sleep(0.15)  # MariaDB makes that table anew only if nobody looked at it for 0.1 s
    raise AssertionError(f"nobody waits; the collector says {actor.outcome()}")


def test_a_deleted_record_leaves_the_bytes_of_its_twins(place: Place) -> None:
    """Bytes that several records share go with the last of them, and not before."""
    with place.opened(**SETTINGS) as database:
        first, second = work.note("first", DATA).save(), work.note("second", DATA).save()
        first.delete()
        time.sleep(0.01)
        assert collect(database).removed == 0
        assert Note.load(id=second.id).data == DATA
        second.delete()
        time.sleep(0.01)
        assert collect(database).removed == 1
        assert faults.of_orphans(database) == []
