"""A power cut at every step: really, on a file system of our own, where this machine allows it; by a model everywhere."""

from __future__ import annotations

import re

import pytest

from simpleml.testing.faults import Point
from tests.faults import twins
from tests.faults.cutting import END, modelled, modelled_durability, real
from tests.faults.mounts import can_cut
from tests.faults.stages import on_stage

TWINS = [
    (twins.row_first, Point("put.fsync.before"), "is not in the store"),
    (twins.no_file_fsync, END, "0 bytes, but"),
    (twins.no_folder_fsync, END, "is not in the store"),
    (twins.no_parent_fsync, END, "is not in the store"),  # not on ext4, whose journal takes new folders with it,
    (twins.never_settled, END, "is not in the store"),  # and the names of chunks with the manifest
]


def _expect(wrong: str, found: dict[str, list[str]]) -> None:
    told = "\n".join(each for every in found.values() for each in every)
    assert re.search(f"at once: .* does not load: .* {wrong}", told), found


def test_a_modelled_power_cut_loses_nothing_acknowledged(quick):
    """With only what was flushed, and with or without unused announcements, everything acknowledged loads after each step."""
    assert on_stage(modelled, str(quick)) == {}


@pytest.mark.parametrize(("twin", "point", "wrong"), TWINS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_model_catches_what_is_not_flushed(quick, twin, point, wrong):
    """A row before its bytes, and a missing flush of a file, of its folder, of those of chunks or of a new folder, each show in the model."""
    _expect(wrong, on_stage(modelled, str(quick), twin, [point]))


def test_a_power_cut_at_any_step_loses_nothing_acknowledged(quick):
    """Database and store on one disk whose power goes at any step: acknowledged versions load, nothing is half there."""
    if can_cut():
        assert on_stage(real, str(quick)) == {}
    else:
        print("no file system of our own can be cut off here: the model stood in")
        assert on_stage(modelled, str(quick)) == {}


def test_a_power_cut_of_the_store_alone_loses_nothing_acknowledged(quick):
    """A store whose power goes while the database keeps all of its commits still holds the bytes of each of them."""
    ends = [Point("save.commit.before"), Point("save.commit.after", 2), Point("gc.remove.after"), END]
    if can_cut():
        assert on_stage(real, str(quick), twins.faithful, ends, "full", True) == {}
    else:
        print("no file system of our own can be cut off here: the model stood in")
        assert on_stage(modelled, str(quick), twins.faithful, ends) == {}


@pytest.mark.parametrize(("twin", "point", "wrong"), TWINS[:3], ids=lambda value: getattr(value, "__name__", ""))
def test_power_cuts_catch_what_is_not_flushed(quick, twin, point, wrong):
    """The same twins show on a real file system, with or without its journal being ahead."""
    if can_cut():
        found = on_stage(real, str(quick), twin, [point], "full", True)
    else:
        print("no file system of our own can be cut off here: the model stood in")
        found = on_stage(modelled, str(quick), twin, [point])
    _expect(wrong, found)


def test_acknowledged_commits_are_on_the_medium(quick):
    """SQLite keeps every acknowledged commit over a power cut as we set it up, and `durability = "normal"` may lose one."""
    if can_cut():
        (quick / "full").mkdir()
        (quick / "normal").mkdir()
        assert on_stage(real, str(quick / "full"), twins.faithful, [END]) == {}
        lost = on_stage(real, str(quick / "normal"), twins.faithful, [END], "normal")
        assert "the acknowledged ('cut', 4)" in str(lost)
    else:
        print("no file system of our own can be cut off here: what SQLite is told stood in")
        assert on_stage(modelled_durability, str(quick), "full") == ("wal", 2)
        assert on_stage(modelled_durability, str(quick), "normal") == ("wal", 1)
