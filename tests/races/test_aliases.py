"""Aliases and tags moved, deleted and pruned at once: the moves are a chain, and nothing points to what is gone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, select, update

import simpleml
from simpleml.errors import ReferencedError, SimpleMLError
from simpleml.orm import aliases, deletion, retention
from simpleml.orm.database import Database
from simpleml.orm.persistable import record_class
from simpleml.orm.retention import prune
from simpleml.orm.tables import Alias, Tag
from tests.races import faults, twins, work
from tests.races.crew import PATIENCE, Crew, pause
from tests.races.work import Note, Place

BEFORE = "save.commit.before"  # every lock is held, nothing is committed
BEFORE_DELETING = "delete.commit.before"


# what is wrong in the twins


def no_lock_of_the_name() -> None:
    """Who moves an alias looks where it points to without keeping others from moving it meanwhile."""
    aliases.count_up = lambda *_, **__: 0


def no_lock_of_the_record() -> None:
    """Who moves an alias looks whether the version is there without keeping others from deleting it meanwhile."""

    def wrong(connection: Connection, kind: str, id_: UUID) -> tuple[str, str, int]:
        cls = record_class(kind)
        name, version = connection.execute(select(cls.name, cls.version).where(cls.id == id_)).one()
        return name, "", version

    aliases.locked = wrong


def look_before_the_row_is_taken() -> None:
    """Who deletes looks for aliases first, and takes the row then."""
    true, look = deletion.delete_record, aliases.pointing_to

    def wrong(connection: Connection, kind: str, id_: UUID, grace: float) -> None:
        if look(connection, kind, id_):
            raise ReferencedError(str(id_))
        aliases.pointing_to = lambda *_: ()
        true(connection, kind, id_, grace)

    deletion.delete_record = wrong


def prune_what_was_planned() -> None:
    """Who prunes deletes what was planned without asking again."""
    retention._refuse_needed = lambda *_: None


FAULTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (no_lock_of_the_name, no_lock_of_the_record, look_before_the_row_is_taken, prune_what_was_planned)
}


# what the processes do


def move(place: Place, version: int, twin: str = "") -> None:
    """Let the alias point to this version."""
    FAULTS.get(twin, lambda: None)()
    with place.opened():
        Note.load("churn", version=version).alias("best")


def tag(place: Place, version: int) -> None:
    """Tag this version."""
    with place.opened():
        Note.load("churn", version=version).tag("candidate")


def remove(place: Place, version: int, twin: str = "") -> None:
    """Delete this version."""
    FAULTS.get(twin, lambda: None)()
    with place.opened():
        Note.load("churn", version=version).delete()


def derive(place: Place, version: int) -> None:
    """Save something that was made from this version."""
    with place.opened():
        work.note("derived", version, source=Note.load("churn", version=version)).save()


def prune_all_but_one(place: Place, twin: str = "", keep_tagged: bool = True) -> tuple[list[int], list[int]]:
    """Keep the latest version alone, and stop before the first deletion; return what was deleted and what was kept."""
    FAULTS.get(twin, lambda: None)()
    true = retention._plan

    def planned(*given: Any) -> Any:
        plan = true(*given)
        pause("planned")
        return plan

    retention._plan = planned
    with place.opened() as database:
        done = prune(database, ["churn"], keep_last=1, keep_tagged=keep_tagged)
        return [each.version for each in done.deleted], [each.version for each in done.kept]


def change_cut_after(place: Place, change: str, twin: str = "") -> bool:
    """Drop the alias of version 2; or let it point to where it is and delete version 1; and lose the answer to the commit."""
    twins.put_in(twin)
    with place.opened() as database:
        first, second = (Note.load("churn", version=version) for version in (1, 2))
        cut = twins.cut_after_commit(database)
        if change == "drop":
            second.drop_alias("best")
        else:
            with simpleml.transaction():
                second.alias("best")
                first.delete()
        return bool(cut)


def move_at_random(number: int, place: Place, count: int) -> int:
    """Move the alias to any version, drop it, delete what it does not point to; return how often it was set."""
    dice, moved = random.Random(number), 0
    with place.opened():
        for _ in range(count):
            try:
                chosen = Note.load("churn", version=dice.choice(Note.versions("churn")))
                if dice.random() < 0.7:
                    chosen.alias("best").tag("seen")
                    moved += 1
                elif dice.random() < 0.5:
                    chosen.drop_alias("best")
                else:
                    chosen.delete()
                    work.note("churn", number).save()
            except LookupError:  # another deleted the version, or moved the alias away
                continue
            except ReferencedError:  # the alias points to it
                continue
    return moved


# what must hold afterwards


def of_aliases(database: Database) -> list[str]:
    """Return everything that is wrong: gaps between moves, an alias that is not where it was moved last, what dangles."""
    moves = Note.alias_history("churn", "best")
    found = [
        f"gap: to {before.to_version}, then from {after.from_version}"
        for before, after in pairwise(moves)
        if (before.to_version, before.to_id) != (after.from_version, after.from_id)
    ]
    now = Note.aliases("churn").get("best")
    last = moves[-1].to_version if moves else None
    if now != last:
        found.append(f"lie: it points to {now}, but was moved to {last}")
    cls = record_class("persistable")
    for column in (Alias.record, Tag.record):
        gone = select(column).where(column.not_in(select(cls.id)))
        rows = database.run(lambda connection, lost=gone: connection.execute(lost).all(), read=True)
        found += [f"dangling: {column} {row[0]}" for row in rows]
    if now is not None:
        try:
            loaded = Note.load("churn", alias="best").version
        except SimpleMLError as error:
            found.append(f"lost: {error}")
        else:
            found += [f"lost: version {loaded} was loaded"] if loaded != now else []
    return found


def saved(place: Place, count: int = 3) -> None:
    """Save some versions."""
    with place.opened():
        for index in range(count):
            work.note("churn", index).save()


def wait_until_blocked(place: Place) -> None:
    """Return when some process waits for a lock; on SQLite, whose writers wait by themselves, after a moment."""
    if place.kind == "sqlite":
        time.sleep(0.3)
        return
    deadline = time.monotonic() + PATIENCE
    with place.opened() as database:
        while not twins.is_blocked(database):
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.15)  # MariaDB makes that table anew only if nobody looked at it for 0.1 s


def meet(crew: Crew, place: Place, first: tuple[Any, ...], second: tuple[Any, ...]) -> tuple[list[Any], list[str]]:
    """Let `second` go on while `first` is about to commit; return the outcomes, and what is wrong afterwards.

    Who prunes has made its plan before `first` begins.
    """
    point, *first_work = first
    late = crew.start(*second) if second[0] is prune_all_but_one else None
    if late is not None:
        late.until("planned")
    early = crew.start(*first_work, stops=[point])
    early.until(point)
    if late is not None:
        late.go()
    else:
        late = crew.start(*second)
    wait_until_blocked(place)
    early.go()
    outcomes = [early.outcome(), late.outcome()]
    with place.opened() as database:
        return outcomes, of_aliases(database)


# the claims


def test_two_moves_at_once_are_a_chain(crew: Crew, place: Place) -> None:
    """Who moves an alias that another is moving waits, comes last, and its record begins where the other's ended."""
    saved(place)
    outcomes, found = meet(crew, place, (BEFORE, move, place, 1), (move, place, 2))
    assert faults.of_outcomes(outcomes) + found == []
    with place.opened():
        assert [each.to_version for each in Note.alias_history("churn", "best")] == [1, 2]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_moves_without_a_lock_are_no_chain(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """The twin that does not lock the name leaves a gap between two moves, and the check sees it."""
    place = new_place(kind)
    saved(place)
    move(place, 3)
    found = meet(crew, place, (BEFORE, move, place, 1, "no_lock_of_the_name"), (move, place, 2, "no_lock_of_the_name"))[
        1
    ]
    assert any(fault.startswith("gap") for fault in found)


def test_a_deletion_waits_for_an_alias(crew: Crew, place: Place) -> None:
    """Who deletes a version that an alias is being moved to waits, and is refused."""
    saved(place)
    (moved, removed), found = meet(crew, place, (BEFORE, move, place, 1), (remove, place, 1))
    assert faults.of_outcomes([moved]) + found == []
    assert "ReferencedError" in removed.classes
    assert "'best'" in removed.text


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_deletion_that_looks_too_early(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """The twin that looks for aliases before it takes the row leaves one that points to nothing, and the check sees it."""
    place = new_place(kind)
    saved(place)
    late = (remove, place, 1, "look_before_the_row_is_taken")
    found = meet(crew, place, (BEFORE, move, place, 1), late)[1]
    assert any(fault.startswith("dangling") for fault in found)


def test_an_alias_waits_for_a_deletion(crew: Crew, place: Place) -> None:
    """Who moves an alias to a version that is being deleted waits, and is told that it is gone; the alias stays."""
    saved(place)
    move(place, 2)
    (removed, moved), found = meet(crew, place, (BEFORE_DELETING, remove, place, 1), (move, place, 1))
    assert faults.of_outcomes([removed]) + found == []
    assert "RecordNotFoundError" in moved.classes
    with place.opened():
        assert Note.aliases("churn") == {"best": 2}


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_an_alias_that_does_not_wait(crew: Crew, new_place: Callable[[str], Place], kind: str) -> None:
    """The twin that does not lock the version lets an alias point to what is deleted, and the check sees it."""
    place = new_place(kind)
    saved(place)
    early = crew.start(remove, place, 1, stops=[BEFORE_DELETING])
    early.until(BEFORE_DELETING)
    crew.start(move, place, 1, "no_lock_of_the_record").result()
    early.go()
    early.result()
    with place.opened() as database:
        assert any(fault.startswith("dangling") for fault in of_aliases(database))


@pytest.mark.parametrize("twin", ["", "prune_what_was_planned"])
@pytest.mark.parametrize("change", [tag, move])
def test_pruning_beside_somebody_who_needs_a_version(
    crew: Crew, place: Place, change: Callable[..., None], twin: str
) -> None:
    """A version that is tagged or aliased after the plan of a pruning, and before its deletion, is kept, and said to be.

    The twin, which does not ask again, deletes what has a tag; an alias protects itself.
    """
    saved(place)
    (changed, pruned), found = meet(crew, place, (BEFORE, change, place, 1), (prune_all_but_one, place, twin))
    assert faults.of_outcomes([changed]) + found == []
    lost = bool(twin) and change is tag
    assert pruned == (([1, 2], []) if lost else ([2], [1]))


@pytest.mark.parametrize("keep_tagged", [True, False])
def test_pruning_beside_somebody_who_derives(crew: Crew, place: Place, keep_tagged: bool) -> None:
    """A version from which something is being made is kept, whether the pruning or the database itself finds that out."""
    saved(place)
    early, late = (BEFORE, derive, place, 1), (prune_all_but_one, place, "", keep_tagged)
    (derived, pruned), found = meet(crew, place, early, late)
    assert faults.of_outcomes([derived]) + found == []
    assert pruned == ([2], [1])


def test_a_tag_waits_for_a_deletion(crew: Crew, place: Place) -> None:
    """Who tags a version that is being deleted waits, and is told that it is gone; no tag is left of it."""
    saved(place)
    (removed, tagged), found = meet(crew, place, (BEFORE_DELETING, remove, place, 1), (tag, place, 1))
    assert faults.of_outcomes([removed]) + found == []
    assert "RecordNotFoundError" in tagged.classes


def test_a_deletion_takes_a_tag_that_just_came(crew: Crew, place: Place) -> None:
    """Who deletes a version that is being tagged waits, and the tag goes with the version."""
    saved(place)
    outcomes, found = meet(crew, place, (BEFORE, tag, place, 1), (remove, place, 1))
    assert faults.of_outcomes(outcomes) + found == []


def test_two_who_prune_leave_the_latest(crew: Crew, place: Place) -> None:
    """Two prunings at once, of which one sees a newer version go, never delete the last one that is left."""
    saved(place, 2)
    (removed, pruned), found = meet(crew, place, (BEFORE_DELETING, remove, place, 2), (prune_all_but_one, place))
    assert faults.of_outcomes([removed]) + found == []
    assert pruned == ([], [1])


@pytest.mark.parametrize("twin", ["", "blind_repetition"])
@pytest.mark.parametrize("change", ["drop", "block"])
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_change_whose_answer_is_lost_is_done(
    crew: Crew, new_place: Callable[[str], Place], kind: str, change: str, twin: str
) -> None:
    """A change that happened although the client saw its connection die is no error and is recorded once.

    The twin repeats it blindly, and finds nothing left to drop or to delete.
    """
    place = new_place(kind)
    saved(place)
    move(place, 2)
    outcome = crew.start(change_cut_after, place, change, twin).outcome()
    if twin:
        assert "RecordNotFoundError" in outcome.classes
    else:
        assert outcome is True
    with place.opened() as database:
        assert of_aliases(database) == []
        assert len(Note.alias_history("churn", "best")) == (2 if change == "drop" else 1)
        assert Note.versions("churn") == ([1, 2, 3] if change == "drop" else [2, 3])


def test_aliases_under_fire(crew: Crew, place: Place) -> None:
    """Four processes move, drop, tag and delete at random: the moves stay a chain, and nothing dangles."""
    saved(place, 4)
    outcomes = crew.together(4, move_at_random, place, 20)
    assert faults.of_outcomes(outcomes) == []
    assert sum(outcomes) > 20, "nothing was moved, so this test shows nothing"
    with place.opened() as database:
        assert of_aliases(database) == []
        assert len(Note.alias_history("churn", "best")) > 10


def test_the_checks_find_what_is_wrong(database: Database) -> None:
    """An alias that was moved behind the back of its history, and tags of nothing, are found."""
    work.note("churn", 1).save().alias("best").tag("seen")
    assert of_aliases(database) == []
    database.run(lambda connection: connection.execute(update(Alias).values(version=7)).close())
    database.run(lambda connection: connection.execute(update(Tag).values(record=uuid4())).close())
    assert [fault.partition(":")[0] for fault in of_aliases(database)] == ["lie", "dangling", "lost"]
