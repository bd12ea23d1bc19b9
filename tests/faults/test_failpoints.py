"""Every named step of save, delete, gc and sweep: a kill, a full disk and a broken disk right before and right after it."""

from __future__ import annotations

import re

import pytest

from simpleml.failpoints import NAMES
from simpleml.testing.faults import Point, at, fail, recorded
from tests.faults import twins
from tests.faults.exploring import KILL, explore, reached_points
from tests.faults.stages import on_stage


def test_the_work_reaches_every_failpoint(local_place):
    """No name in `NAMES` is left out of the tests below: a step that was renamed or never reached shows here."""
    assert {point.name for point in on_stage(reached_points, local_place)} == set(NAMES)


@pytest.mark.parametrize("fault", [KILL, "ENOSPC", "EIO"])
def test_a_fault_at_any_step_leaves_no_half_state(place, fault):
    """Whatever step is killed or fails, acknowledged versions load, nothing is half there, and the same work succeeds."""
    assert on_stage(explore, place, fault) == {}


@pytest.mark.parametrize(
    ("twin", "fault", "point", "wrong"),
    [
        (twins.row_first, KILL, Point("put.rename.before"), "at once: .* does not load: .* is not in the store"),
        (twins.in_place, KILL, Point("put.fsync.before"), "after the same work: .* does not load: .* bytes, but"),
        (twins.torn_put, KILL, Point("save.commit.after"), "at once: .* does not load: .* bytes, but"),
        (twins.bytes_deleted_first, KILL, Point("delete.commit.before"), "at once: .* is not in the store"),
        (twins.highest_plus_one, KILL, Point("delete.commit.after", 2), "was given out 2 times"),
        (twins.never_swept, KILL, Point("sweep.remove.after"), "the file .* is left"),
        (twins.swallowed, "ENOSPC", Point("put.fsync.before"), "0 errors came out(.|\n)*is not in the store"),
        (twins.row_first, "EIO", Point("put.rename.before"), "after the error: .* is not in the store"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_each_twin_is_caught(local_place, twin, fault, point, wrong):
    """The check of the test above says what is wrong with a protocol that has one promise less."""
    [found] = on_stage(explore, local_place, fault, twin, [point]).values()
    assert re.search(wrong, "\n".join(found)), found


def test_a_hook_is_gone_after_its_block(local_place):
    """Neither a fault nor a recording outlives its block, and a misspelt failpoint is refused at once."""
    with pytest.raises(ValueError, match=r"no failpoint 'put\.fsnc\.before'"), at(Point("put.fsnc.before"), fail(5)):
        pass
    with local_place.open() as database:
        from tests.faults.workload import work

        with pytest.raises(OSError, match="Input/output"), at(Point("save.commit.before"), fail(5)):
            work(lambda _: None, database, "hooked")
        with recorded() as reached:
            pass
        work(lambda _: None, database, "unhooked")
    assert reached == []
