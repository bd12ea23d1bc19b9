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


def meet(crew: Crew, place: Place, twin: str) -> list[str]:
    """Let one writer count while another is about to commit, and return what is wrong afterwards."""
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
        return check(database, "pair", outcomes, 2)


@pytest.mark.parametrize("twin", ["", "highest_plus_one"])
def test_a_writer_that_comes_while_another_commits(crew: Crew, place: Place, twin: str) -> None:
    """A writer that counts while another is about to commit gets the next version; the twin's caller sees an error."""
    found = meet(crew, place, twin)
    assert bool(found) == bool(twin)
    assert not twin or found[0].startswith("error")


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_duplicate_is_caught(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """The same twin where the unique constraint is missing gives both writers version 1, and the check sees that."""
    place = new_place(kind)
    drop_unique_constraint(place)
    assert "duplicate: [1]" in meet(crew, place, "highest_plus_one")
