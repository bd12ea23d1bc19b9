"""A network and a server that fail all the time: nothing is lost, nothing is torn, and nothing stays behind."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.backends.proxy import Faults, FaultyPlace
from tests.faults import remote
from tests.faults.remote import Far, Told
from tests.faults.stages import on_stage
from tests.faults.twins import Twin, faithful

FAULTS = Faults(
    cut_request=0.05,
    cut_response=0.05,
    refused=0.08,
    lost_answer=0.06,
    delayed=0.04,
    throttled=0.02,
    delay=0.1,
    rate=8 << 20,
)
"""At about every third request something happens, and at every fourth something that it fails of."""

KINDS = {"cut_request", "cut_response", "refused", "lost_answer", "delayed", "throttled"}


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    """How many saves and loads there are."""
    count: int = pytestconfig.getoption("--remote-fault-rounds")
    return count


@pytest.fixture
def far(faulty_s3: FaultyPlace, new_database: Callable[[str], str], tmp_path: Path) -> Far:
    """A fresh database on SQLite, and a fresh place on S3 behind a proxy, as one machine sees them."""
    return Far(new_database("sqlite"), faulty_s3.place, str(tmp_path / "home"))


CARELESS = Faults(lost_answer=0.4, refused=0.1)


def weathered(
    far: Far, faulty: FaultyPlace, rounds: int, seed: int, twin: Twin = faithful, faults: Faults = FAULTS
) -> tuple[Told, list[str]]:
    """Work in the storm, wait for the calm, and return what was told and what is wrong."""
    faulty.proxy._random.seed(seed)
    faulty.proxy.faults = faults
    start = time.monotonic()
    told: Told = on_stage(remote.storm, far, rounds, seed, twin)
    lasted = time.monotonic() - start
    faulty.proxy.calm()
    print(
        f"{rounds} rounds in {lasted:.0f} s: saved {dict(told.saved)}, loaded {told.loaded}, gave up {dict(told.failed)}"
    )
    print(f"the proxy: {dict(faulty.proxy.counts)}")
    return told, on_stage(remote.calm_after, replace(far, place=faulty.straight), told, twin)


def test_nothing_is_lost_torn_or_left_over_in_a_storm(far: Far, faulty_s3: FaultyPlace, rounds: int) -> None:
    """Every save that returned loads whole elsewhere, every other left nothing to be seen, and collecting leaves nothing.

    In full by `pytest tests/faults/test_remote_faults.py --remote-fault-rounds 500`.
    """
    seed = random.randrange(1_000_000)
    told, wrong = weathered(far, faulty_s3, rounds, seed)
    assert wrong == [], f"seed {seed}"
    assert told.saved.total() + told.failed.total() >= rounds
    assert told.saved[remote.PARTS] > 0
    assert told.loaded > rounds / 2
    counts = faulty_s3.proxy.counts
    assert set(counts) > KINDS
    assert sum(counts[kind] for kind in KINDS) > counts["requests"] / 5


@pytest.mark.parametrize(
    ("twin", "told"),
    [
        (remote.lost_answers_are_good_news, "does not load|load failed|is gone"),
        (remote.uploads_are_left, "upload .* is left in the place"),
        (remote.torn_put, "bytes were saved|does not load"),
    ],
)
def test_the_storm_finds_who_takes_failures_lightly(far: Far, faulty_s3: FaultyPlace, twin: Twin, told: str) -> None:
    """A put that takes failures for lost answers, one that cleans up after none, and one that takes halves, are caught."""
    faults = CARELESS if twin is remote.uploads_are_left else FAULTS
    for seed in range(5):
        _, wrong = weathered(far, faulty_s3, 24, seed * 100, twin, faults)
        if any(re.search(told, each) for each in wrong):
            return
    pytest.fail(f"{twin.__name__} was not caught")
