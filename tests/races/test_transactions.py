"""Blocks: everything that one saves, updates and deletes is committed together, or nothing is."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

import simpleml
from simpleml.errors import ImmutableVersionError, ReferencedError
from simpleml.orm.database import Database
from simpleml.orm.persistable import ORMGeneral
from tests.races import faults, work
from tests.races.crew import CONTEXT, Crew
from tests.races.work import Note, Place


def everything(database: Database) -> list[tuple[str, int]]:
    """Return the name and version of every record."""
    return sorted((row["name"], row["version"]) for row in database.select("persistable", {}))


def test_a_block_commits_everything_together(database: Database) -> None:
    """Versions are None and nothing is visible until the block ends; then all of it is there, with its artifacts."""
    with simpleml.transaction():
        saved = [work.note(name, {"name": name}).save() for name in ("b", "a", "b")]
        assert [each.version for each in saved] == [None, None, None]
        assert everything(database) == []
    assert [each.version for each in saved] == [1, 1, 2]
    assert everything(database) == [("a", 1), ("b", 1), ("b", 2)]
    assert faults.of_everything(database, {each.id: each.data for each in saved}) == []


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    """An exception in the block leaves the database as it was, and objects that can be saved again."""
    older = work.note("older", 1).save()
    with work.failing_block():
        lost = work.note("lost", 2).save()
        older.state["seen"] = True
        older.save()
    assert everything(database) == [("older", 1)]
    assert Note.load("older").state == {}
    assert (lost.version, lost.is_saved) == (None, False)
    assert lost.save().version == 1
    assert faults.of_records(database, {older.id: 1, lost.id: 2}) + faults.of_store(database) == []


def test_blocks_nest_into_the_outermost(database: Database) -> None:
    """An inner block commits with the outer one; if the outer one fails, nothing of the inner one is left."""
    with simpleml.transaction():
        work.note("outer", 1).save()
        with simpleml.transaction():
            inner = work.note("inner", 1).save()
        assert inner.version is None
    assert everything(database) == [("inner", 1), ("outer", 1)]
    with work.failing_block(), simpleml.transaction():
        work.note("inner", 2).save()
    assert everything(database) == [("inner", 1), ("outer", 1)]


def test_an_inner_block_that_raises_is_taken_back_alone(database: Database) -> None:
    """What a failed inner block asked for is left out, and the outer one commits the rest."""
    with simpleml.transaction():
        outer = work.note("outer", 1).save()
        with work.failing_block():
            inner = work.note("inner", 2).save()
        later = work.note("later", 3).save()
    assert (inner.version, inner.is_saved) == (None, False)
    assert everything(database) == [("later", 1), ("outer", 1)]
    assert faults.of_records(database, {outer.id: 1, later.id: 3}) + faults.of_store(database) == []


def test_parent_and_child_are_saved_in_one_block(database: Database) -> None:
    """A child can refer to a parent that the same block saves; afterwards the parent cannot be deleted."""
    with simpleml.transaction():
        parent = work.note("parent", 1).save()
        child = work.note("child", 2, source=parent).save()
    found = Note.load("child")
    assert found.source.id == parent.id
    with pytest.raises(ReferencedError, match="'child' version 1"):
        Note.load("parent").delete()
    assert faults.of_everything(database, {parent.id: 1, child.id: 2}) == []


def test_updates_and_deletions_wait_for_the_end(database: Database) -> None:
    """A block saves, updates and deletes at one instant, in the order in which it was asked to."""
    changed, gone = work.note("changed", 1).save(), work.note("gone", 2).save()
    with simpleml.transaction():
        added = work.note("added", 3).save()
        changed.state["seen"] = True
        changed.save()
        gone.delete()
        assert everything(database) == [("changed", 1), ("gone", 1)]
        assert Note.load("changed").state == {}
    assert everything(database) == [("added", 1), ("changed", 1)]
    assert Note.load("changed").state == {"seen": True}
    assert faults.of_records(database, {changed.id: 1, added.id: 3}) + faults.of_store(database) == []


def test_what_a_block_saves_can_be_updated_in_it(database: Database) -> None:
    """A second save in the same block takes the new state; a changed artifact is refused, and then nothing is there."""
    with simpleml.transaction():
        saved = work.note("twice", 1).save()
        saved.state["seen"] = True
        saved.save()
    assert everything(database) == [("twice", 1)]
    assert Note.load("twice").state == {"seen": True}
    with pytest.raises(ImmutableVersionError, match="new_version"), simpleml.transaction():
        work.save_changed("refused")
    assert everything(database) == [("twice", 1)]


def test_the_verbs_of_records_join_the_block(database: Database) -> None:
    """Active-record verbs write with the block: all of them at its end, or none if it raises."""
    kept, gone = work.note("kept", 1).save(), work.note("gone", 2).save()
    with work.failing_block():
        ORMGeneral.find_or_fail(kept.id).update(version_description="never")
        ORMGeneral.destroy(gone.id)
    assert ORMGeneral.find_or_fail(kept.id).version_description == ""
    assert everything(database) == [("gone", 1), ("kept", 1)]
    with simpleml.transaction():
        work.note("added", 3).save()
        ORMGeneral.find_or_fail(kept.id).update(version_description="told")
        ORMGeneral.destroy(gone.id)
        assert ORMGeneral.where(name="gone").count() == 1
    assert ORMGeneral.find_or_fail(kept.id).version_description == "told"
    assert everything(database) == [("added", 1), ("kept", 1)]
    assert faults.of_store(database) == []


@pytest.mark.parametrize(
    ("point", "there"), [("block", False), ("save.commit.before", False), ("save.commit.after", True)]
)
def test_a_killed_block_is_all_or_nothing(crew: Crew, place: Place, point: str, there: bool) -> None:
    """A block whose process dies before the commit leaves nothing but garbage; right after it, all of it is there."""
    contents: list[object] = [{"content": index} for index in range(3)]
    settings = {"grace": 0.0}
    writer = crew.start(work.save_block, place, contents, settings, stops=[point])
    writer.until("block")
    if point != "block":
        writer.go()
        writer.until(point)
    writer.kill()
    with place.opened(**settings) as database:
        rows = database.select("persistable", {}, order_by=("name",))
        assert [row["name"] for row in rows] == (["block-0", "block-1", "block-2"] if there else [])
        assert (
            faults.of_everything(database, {row["id"]: data for row, data in zip(rows, contents, strict=False)}) == []
        )


def test_blocks_that_save_crosswise_do_not_meet(crew: Crew, place: Place) -> None:
    """Two processes whose blocks save the same two names in opposite order see no error and get every version once."""
    count = 15
    outcomes = crew.together(2, work.save_both, place, count)
    assert faults.of_outcomes(outcomes) == []
    saved = [each for outcome in outcomes for each in outcome]
    with place.opened() as database:
        for name in ("left", "right"):
            own = {row["id"] for row in database.select("persistable", {"name": name})}
            assert faults.of_versions(database, name, [each for each in saved if each[0] in own], 2 * count) == []
        assert faults.of_everything(database, {id_: faults.ANYTHING for id_, _ in saved}) == []


@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        ("sqlite", ""),
        ("postgresql", ""),
        ("mariadb", ""),
        ("postgresql", "no_repetition"),
        ("mariadb", "no_repetition"),
    ],
)
def test_a_deadlock_is_tried_again(crew: Crew, new_place: Callable[[str], Place], kind: str, twin: str) -> None:
    """Two blocks that each hold the row which the other wants both commit; the twin that does not try again fails.

    On SQLite they cannot hold one each: the second begins when the first has ended.
    """
    place = new_place(kind)
    with place.opened():
        ids: list[UUID] = [work.note(name, name).save().id for name in ("left", "right")]
    outcomes = crew.together(2, work.update_both, place, ids, CONTEXT.Barrier(2), twin)
    with place.opened() as database:
        found = faults.of_outcomes(outcomes)
        for id_ in ids:
            if Note.load(id=id_).state.keys() & {"by-0", "by-1"} == set():
                found.append(f"not updated: {id_}")
        assert faults.of_store(database) == []
    assert bool(found) == bool(twin)
