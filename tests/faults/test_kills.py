"""`kill -9` at random instants of `save()` of a 50 MB artifact."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sqlalchemy import make_url

from tests.faults.conftest import local
from tests.faults.killing import killed_at_random
from tests.faults.stages import on_stage
from tests.faults.twins import in_place, row_first

SIZE = 50_000_000
_FEW = {"sqlite": 12, "postgresql": 4, "mysql": 4}


@pytest.fixture
def seed() -> int:
    """Where the instants come from; it is in every complaint."""
    return random.randrange(1_000_000)


def test_kill_9_at_any_instant_leaves_every_record_whole(database_url, tmp_path, kill_rounds, seed):
    """No record without all of its bytes, no acknowledged version lost, no gap; collecting removes the orphans alone.

    200 rounds and more by `pytest tests/faults/test_kills.py --kill-rounds 200`.
    """
    place = replace(local(tmp_path), url=database_url)  # on a real disk, where a save takes its time
    rounds = kill_rounds or _FEW[make_url(database_url).get_backend_name()]
    outcome = on_stage(killed_at_random, place, rounds, SIZE, seed)
    print(outcome)
    assert outcome.wrong == []
    assert outcome.interrupted == rounds


@pytest.mark.parametrize("twin", [row_first, in_place])
def test_random_kills_catch_what_is_written_in_the_wrong_order(tmp_path, seed, twin):
    """Rows before bytes, and bytes in place under a name that others trust, are found within 60 random kills."""
    outcome = on_stage(killed_at_random, local(tmp_path), 60, SIZE // 5, seed, twin, True)
    print(outcome)
    assert any("does not load" in wrong for wrong in outcome.wrong)
