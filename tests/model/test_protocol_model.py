"""The save protocol explored exhaustively, and its known-bad twins, each of which the same search must catch.

Every scenario of `SCENARIOS` is run with the real protocol: not one broken state may be reachable. Every twin is run in one
of these same scenarios: it must break there, in its own way, so that the silence about the real protocol means something.
Run with `-rP` to see the numbers of states and the shortest way to each twin's fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.model import twins
from tests.model.explorer import Exploration, TooManyStatesError, explore
from tests.model.protocol import SaveProtocol
from tests.model.versions import Shelf, Versions
from tests.model.world import Blob, Database, File, Record, Role, World

W1, W2 = Role("w1", "writer"), Role("w2", "writer")
W1_DELETES = Role("w1", "writer", deletes=True)
W1_OTHER = Role("w1", "writer", digest="B")
L1, L2 = Role("w1", "local_writer"), Role("w2", "local_writer")
L1_DELETES = Role("w1", "local_writer", deletes=True)
C1, C2 = Role("c1", "collector"), Role("c2", "collector")
SWEEPER = Role("s", "sweeper")


def with_old_blob(state: str, refs: int, *files: File) -> Callable[[type[SaveProtocol]], SaveProtocol]:
    """Return a scenario of a writer, a collector and a sweeper that begins with a blob whose object is not what it was."""
    records = (Record("old", "A-old", "A"),) * refs
    database = Database((Blob("A-old", "A", state, refs),), records)
    return lambda protocol: protocol(W1, C1, SWEEPER, database=database, files=files)


SCENARIOS: dict[str, Callable[[type[SaveProtocol]], SaveProtocol]] = {
    "equal content, one deletes, 2 collectors": lambda protocol: protocol(W1_DELETES, W2, C1, C2),
    "equal content, one deletes, collector and sweeper": lambda protocol: protocol(W1_DELETES, W2, C1, SWEEPER),
    "one writer, deletes, 2 collectors and sweeper": lambda protocol: protocol(W1_DELETES, C1, C2, SWEEPER),
    "other content": lambda protocol: protocol(W1_OTHER, W2, C1),
    "power cut, 2 local writers, collector": lambda protocol: protocol(L1, L2, C1, cut="power"),
    "power cut, 2 local writers, sweeper": lambda protocol: protocol(L1, L2, SWEEPER, cut="power"),
    "power cut, local writer deletes, collector and sweeper": lambda protocol: protocol(
        L1_DELETES, C1, SWEEPER, cut="power"
    ),
    "database server cut, one deletes, collector": lambda protocol: protocol(W1_DELETES, W2, C1, cut="database"),
    "database server cut, 2 writers, sweeper": lambda protocol: protocol(W1, W2, SWEEPER, cut="database"),
    "commit's answer lost, 2 writers, collector": lambda protocol: protocol(W1, W2, C1, losses=1),
    "commit's answer lost, deletes, collector and sweeper": lambda protocol: protocol(
        W1_DELETES, C1, SWEEPER, losses=1
    ),
    "live blob whose object is missing": with_old_blob("live", 1),
    "live blob whose object is short": with_old_blob("live", 1, File("A-old", "A", "short")),
    "blob marked as damaged": with_old_blob("damaged", 1, File("A-old", "A", "flipped")),
    "unreferenced live blob whose object is missing": with_old_blob("live", 0),
}

MISSING = r"record w\d is committed and its object \S+ is missing"
REFUSED = r"the save of w\d was refused and its record is there"

# twin, the scenario that it breaks in, how, and a step without which its story cannot be told
TWINS: list[tuple[type[SaveProtocol], str, str, str]] = [
    (twins.MarkSweepByAge, "equal content, one deletes, collector and sweeper", MISSING, "sweep"),
    (twins.MarkSweepLookAgain, "equal content, one deletes, collector and sweeper", MISSING, "look_again"),
    (twins.UncheckedCommit, "equal content, one deletes, 2 collectors", r"blob \S+ is condemned", "condemn"),
    (twins.UncheckedCommit, "database server cut, 2 writers, sweeper", r"blob \S+ is unknown", "database cut"),
    (twins.KeyIsDigest, "equal content, one deletes, 2 collectors", MISSING, "forget"),
    (twins.RowsThenList, "equal content, one deletes, collector and sweeper", MISSING, "sweep"),
    (twins.CondemnBySnapshot, "equal content, one deletes, 2 collectors", r"blob \S+ is condemned", "search"),
    (twins.RemoveThenCondemn, "equal content, one deletes, 2 collectors", MISSING, "search"),
    (twins.RowFirst, "equal content, one deletes, 2 collectors", MISSING, "T3"),
    (twins.InPlace, "other content", r"its object churn is short, of [AB]", "truncate"),
    (twins.ReuseWithoutLooking, "live blob whose object is missing", MISSING, "look"),
    (twins.ReuseWithoutLooking, "live blob whose object is short", r"its object A-old is short", "look"),
    (twins.ReuseWithoutLooking, "unreferenced live blob whose object is missing", MISSING, "look"),
    (twins.ReuseDamaged, "blob marked as damaged", r"its object A-old is flipped", "look"),
    (twins.DeleteOnUnknown, "commit's answer lost, 2 writers, collector", MISSING, "T3 lands"),
    (twins.ForgottenLoss, "commit's answer lost, 2 writers, collector", REFUSED, "T3 lands"),
    (twins.NoFileFsync, "power cut, 2 local writers, collector", r"its object \S+ is short", "power cut"),
    (twins.NoFolderFsync, "power cut, 2 local writers, collector", MISSING, "power cut"),
    (twins.LazyCommit, "power cut, 2 local writers, collector", r"acknowledged and its record is gone", "power cut"),
    (twins.LazyCondemn, "database server cut, one deletes, collector", MISSING, "database cut"),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_reachable_state_of_the_protocol_is_broken(scenario):
    """Whatever the order, whoever dies or stalls, whatever a cut takes: no record dangles, and gc and sweep leave nothing over."""
    found = explore(SCENARIOS[scenario](SaveProtocol))
    print(f"{scenario}: {found}")
    assert found.problem is None, str(found)


@pytest.mark.parametrize(
    ("twin", "scenario", "problem", "step"), TWINS, ids=[f"{t.__name__}-{s}" for t, s, _, _ in TWINS]
)
def test_every_known_bad_twin_is_caught(twin, scenario, problem, step):
    """The same search, in a scenario that the real protocol passes, finds the twin's own fault and shows the way to it."""
    found = explore(SCENARIOS[scenario](twin))
    print(f"{twin.__name__}, {scenario}: {found}")
    assert found.problem is not None, f"{twin.__name__} passes, so the search proves nothing: {found}"
    assert re.search(problem, found.problem), str(found)
    assert step in found.trace, str(found)


def test_every_twin_is_put_to_the_test():
    """No class of `twins` is left out of the table above."""
    defined = {cls for cls in vars(twins).values() if isinstance(cls, type) and issubclass(cls, SaveProtocol)}
    assert defined - {SaveProtocol} == {twin for twin, *_ in TWINS}


def test_the_search_takes_every_step():
    """The scenarios are not vacuous: every step of every program, every death, cut and late commit is taken somewhere."""
    small = [
        "one writer, deletes, 2 collectors and sweeper",
        "power cut, local writer deletes, collector and sweeper",
        "database server cut, 2 writers, sweeper",
        "commit's answer lost, deletes, collector and sweeper",
    ]
    taken = {label.split(" ", 1)[1] for scenario in small for label in explore(SCENARIOS[scenario](SaveProtocol)).steps}
    programs = (SaveProtocol.writer, SaveProtocol.local_writer, SaveProtocol.collector, SaveProtocol.sweeper)
    assert taken == {step for program in programs for step in program} | {
        "delete",
        "look_up",
        "crash",
        "T3 lands",
        "cut",
    }


class Reaches(SaveProtocol):
    """The real protocol, with a situation in the place of the invariants: the search shows whether it can come about."""

    situations: dict[str, Callable[[World], bool]] = {
        "two records share one blob": lambda world: any(blob.refs == 2 for blob in world.database.blobs),
        "a writer was refused and tries a third key": lambda world: any(p.attempt == 3 for p in world.processes),
        "a condemned row has lost its object": lambda world: any(
            blob.state == "condemned" and not world.file(blob.key) for blob in world.database.blobs
        ),
        "an object has no row": lambda world: any(not world.database.blob(file.name) for file in world.files),
        "two collectors hold the same blob": lambda world: (
            len(world.processes) > 3 and world.processes[2].names == world.processes[3].names != ()
        ),
    }
    wanted = ""

    def broken(self, world: World) -> str | None:
        """Say that the wanted situation is there."""
        return self.wanted if self.situations[self.wanted](world) else None


@pytest.mark.parametrize("situation", Reaches.situations)
def test_the_situations_that_the_protocol_is_made_for_come_about(situation):
    """The exploration really goes through sharing, refusal, half-done collection, orphans and collectors in each other's way."""
    wanted = type("Wanted", (Reaches,), {"wanted": situation})
    assert explore(SCENARIOS["equal content, one deletes, 2 collectors"](wanted)).problem == situation


@pytest.mark.parametrize("deletes", [False, True])
def test_the_counter_row_gives_every_version_once_and_leaves_none_out(deletes):
    """Three writers, an abort possible at every step, records deleted or not: no duplicate, no gap, no number used again."""
    found: Exploration[Shelf] = explore(Versions("counter", deletes=deletes))
    print(found)
    assert found.problem is None, str(found)
    assert found.states > 20


@pytest.mark.parametrize(
    ("way", "writers", "deletes", "problem"),
    [
        ("max_plus_one", 2, False, "given twice"),
        ("max_plus_one", 3, False, "given twice"),
        ("max_plus_one_alone", 2, True, "given twice"),  # one after the other, and the latest deleted in between
        ("sequence", 2, False, "gap"),
    ],
)
def test_other_ways_to_count_versions_are_caught(way, writers, deletes, problem):
    """max+1 gives a number twice, by a race or after a delete; a number taken in a transaction of its own leaves a gap."""
    found: Exploration[Shelf] = explore(Versions(way, writers=writers, deletes=deletes))
    print(found)
    assert found.problem is not None, f"{way} passes, so the search proves nothing: {found}"
    assert problem in found.problem, str(found)


def test_the_trace_is_the_shortest_way_and_shows_each_world():
    """A counterexample is one numbered line a step, with the tables and the store after it; no shorter one exists."""
    found = explore(SCENARIOS["equal content, one deletes, 2 collectors"](twins.RowFirst))
    assert [line.split()[:3] for line in found.trace.splitlines()] == [
        ["1", "w1", "look"],
        ["2", "w1", "T1"],
        ["3", "w1", "T3"],
    ]
    assert "records[w1->A-w1.1] store[]" in found.trace.splitlines()[-1]


def test_a_model_without_an_end_is_reported():
    """The search stops with an error that says so when there are more states than it was told to expect."""
    with pytest.raises(TooManyStatesError, match="more than 10 states"):
        explore(SCENARIOS["other content"](SaveProtocol), limit=10)
