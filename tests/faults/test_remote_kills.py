"""`kill -9` at random instants of an upload to a far place."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.places import Place
from tests.backends.proxy import Faults, FaultyPlace
from tests.faults import remote
from tests.faults.remote import Far
from tests.faults.stages import on_stage

SIZE = 40_000_000
_FEW = {"s3": 8, "sftp": 4, "azure": 4}
_SLOW = Faults(throttled=1.0, rate=200 << 20)  # each of several connections: kills are to land inside of an upload


@pytest.fixture
def seed() -> int:
    """Where the instants come from; it is in every complaint."""
    return random.randrange(1_000_000)


def test_kill_9_in_an_upload_to_s3(
    faulty_s3: FaultyPlace, new_database: Callable[[str], str], tmp_path: Path, kill_rounds: int | None, seed: int
) -> None:
    """What can be seen is whole, every record loads, and a collection leaves nothing: no object, upload or temporary file.

    100 rounds and more by `pytest tests/faults/test_remote_kills.py -k s3 --kill-rounds 100`.
    """
    faulty_s3.proxy.faults = _SLOW
    far = Far(new_database("sqlite"), faulty_s3.place, str(tmp_path / "home"))
    outcome = on_stage(remote.killed_in_upload, far, faulty_s3.straight, kill_rounds or _FEW["s3"], SIZE, seed)
    print(outcome)
    assert outcome.wrong == []
    assert outcome.hidden > 0


@pytest.mark.parametrize("kind", ["sftp", "azure"])
def test_kill_9_in_an_upload(
    kind: str,
    new_place: Callable[[str], Place],
    new_database: Callable[[str], str],
    tmp_path: Path,
    kill_rounds: int | None,
    seed: int,
) -> None:
    """The same where an upload is a temporary name that is renamed, or blocks that become an object by one call."""
    place = new_place(kind)
    far = Far(new_database("sqlite"), place, str(tmp_path / "home"))
    outcome = on_stage(remote.killed_in_upload, far, place, kill_rounds or _FEW[kind], SIZE, seed)
    print(outcome)
    assert outcome.wrong == []


def test_random_kills_find_uploads_that_nobody_aborts(
    faulty_s3: FaultyPlace, new_database: Callable[[str], str], tmp_path: Path, seed: int
) -> None:
    """A sweep that leaves uploads alone is found within 20 random kills."""
    faulty_s3.proxy.faults = _SLOW
    far = Far(new_database("sqlite"), faulty_s3.place, str(tmp_path / "home"))
    outcome = on_stage(remote.killed_in_upload, far, faulty_s3.straight, 20, SIZE, seed, remote.uploads_are_left, True)
    assert any("upload" in wrong and "is left" in wrong for wrong in outcome.wrong), outcome
