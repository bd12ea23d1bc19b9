"""Sixteen processes open a database and a store that are not there yet, at one instant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from simpleml.orm.tables import Ledger
from simpleml.save_patterns.locations.keys import FANOUT, ledger_folder
from tests.races import faults, work
from tests.races.crew import CONTEXT, Crew
from tests.races.work import Place

USERS = 16
KINDS = ("sqlite", "postgresql", "mariadb")


def check(place: Place, outcomes: list[Any]) -> list[str]:
    """Return everything that is wrong after the first use."""
    found = faults.of_outcomes(outcomes)
    if found:
        return found
    with place.opened() as database:
        ledgers = database.run(lambda connection: connection.execute(select(func.count()).select_from(Ledger)).scalar())
        if ledgers != 1 or {ledger for ledger, _, _ in outcomes} != {database.ledger_id}:
            found.append(f"{ledgers} ledgers, told as {sorted({ledger for ledger, _, _ in outcomes})}")
        folders = sorted(path.name for path in Path(place.store).glob("objects-*"))
        fanned = sorted(path.name for path in Path(place.store).glob("objects-*/*") if path.is_dir())
        if folders != [ledger_folder(database.ledger_id)] or fanned != list(FANOUT):
            found.append(f"the store has {len(folders)} trees with {len(fanned)} folders")
        found += faults.of_versions(database, "first", [(id_, version) for _, id_, version in outcomes], USERS)
        wanted = {id_: {"user": user} for user, (_, id_, _) in enumerate(outcomes)}
        return found + faults.of_everything(database, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_first_use_by_sixteen_at_once(
    crew: Crew, new_place: Callable[[str], Place], kind: str, pytestconfig: pytest.Config
) -> None:
    """16 processes that open, save and load at one instant make one schema and one store; all 16 saves are there."""
    for _ in range(pytestconfig.getoption("--first-use-rounds")):
        place = new_place(kind)
        outcomes = crew.together(USERS, work.use_first, place)
        assert check(place, outcomes) == []


@pytest.mark.parametrize("kind", KINDS)
def test_looking_and_then_creating_is_caught(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """The twin that looks and then creates, without a lock, fails the same check: all but one user see an error."""
    users = 4
    place = new_place(kind)
    outcomes = crew.together(users, work.use_first, place, "look_then_create", CONTEXT.Barrier(users))
    assert len(faults.of_outcomes(outcomes)) >= users - 1
