"""Versions under fire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from simpleml.orm.database import Database
from tests.races import faults, work
from tests.races.crew import Crew
from tests.races.work import Place


def open_fire(crew: Crew, place: Place, processes: int, count: int, twin: str = "") -> list[str]:
    """Let processes save `count` versions of one name each, and return what is wrong afterwards."""
    outcomes = crew.together(processes, work.save_many, place, "fire", count, twin)
    with place.opened() as database:
        return check(database, "fire", outcomes, processes * count) + faults.of_store(database)


def check(database: Database, name: str, outcomes: list[Any], count: int) -> list[str]:
    """Return everything that is wrong with `count` versions of one name."""
    saved = [each for outcome in outcomes if isinstance(outcome, list) for each in outcome]
    return faults.of_outcomes(outcomes) + faults.of_versions(database, name, saved, count)


def drop_unique_constraint(place: Place) -> None:
    """Take away what would turn a duplicate into an error."""
    with place.opened() as database, database.engine.begin() as connection:
        what = "CONSTRAINT" if place.kind == "postgresql" else "INDEX"
        connection.execute(text(f"ALTER TABLE persistables DROP {what} uq_persistables_name_version"))


def test_sixteen_processes_get_every_version_once(crew: Crew, place: Place, pytestconfig: pytest.Config) -> None:
    """16 processes that save one name get the versions from 1 on, no gap, no duplicate, and no caller sees an error."""
    assert open_fire(crew, place, 16, pytestconfig.getoption("--fire")) == []


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_duplicates_under_fire_are_caught(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """Asking for the highest version and adding one, with no unique constraint, gives duplicates, and the check sees them."""
    place = new_place(kind)
    drop_unique_constraint(place)
    found = open_fire(crew, place, 4, 4, "highest_plus_one")
    assert any(fault.startswith("duplicate") for fault in found)


@pytest.mark.parametrize("twin", ["", "highest_plus_one"])
def test_a_writer_that_comes_while_another_commits(crew: Crew, place: Place, twin: str) -> None:
    """A writer that counts while another is about to commit gets the next version; the twin makes it fail every time."""
    late = crew.start(work.save_many, 1, place, "pair", 1, twin, stops=["put.fsync_folder.after", "twin.asked"])
    late.until("put.fsync_folder.after")
    early = crew.start(work.save_many, 2, place, "pair", 1, twin, stops=["save.commit.before"])
    early.until("save.commit.before")
    late.go()
    if twin:
        late.pass_by("twin.asked")
    early.go()
    outcomes = [late.outcome(), early.outcome()]
    with place.opened() as database:
        assert bool(check(database, "pair", outcomes, 2)) == bool(twin)
