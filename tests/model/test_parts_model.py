"""Writers of several blobs explored exhaustively, as `test_protocol_model.py` does it for one blob, and their known-bad twins."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.model import parts_twins as twins
from tests.model.explorer import explore
from tests.model.parts import Batch, PartsProtocol, Plan, plan_of
from tests.model.world import Blob, Database, File, Record, Role, World


def writer(number: int, contents: str, program: str = "writer", *, deletes: bool = False) -> Role:
    """Return the writer with this number."""
    return Role(f"w{number}", program, contents, deletes)


C1, C2 = Role("c1", "collector"), Role("c2", "collector")
SWEEPER = Role("s", "sweeper")
HEIR, DELETER = Role("heir", "heir", "AB"), Role("old", "deleter", "AB")
LIVE = Database((Blob("A-old", "A", "live", 0),))
WHOLE = (File("A-old", "A"),)
SHORT = (File("A-old", "A", "short"),)
OLD_RECORD = Database(
    (Blob("A-old", "A", "live", 1), Blob("B-old", "B", "live", 1)),
    (Record("old", "A-old", "A"), Record("old", "B-old", "B")),
)
OLD_FILES = (File("A-old", "A"), File("B-old", "B"))

SCENARIOS: dict[str, Callable[[type[PartsProtocol]], PartsProtocol]] = {
    "equal parts": lambda protocol: protocol(writer(1, "AB"), writer(2, "AB"), C1),
    "shared part, live already": lambda protocol: protocol(
        writer(1, "AB"), writer(2, "A"), C1, database=LIVE, files=WHOLE
    ),
    "equal artifacts in opposite orders": lambda protocol: protocol(writer(1, "A+B"), writer(2, "B+A"), C1),
    "one part shared": lambda protocol: protocol(writer(1, "AB.M"), writer(2, "B"), C1),
    "one part shared and deleted": lambda protocol: protocol(writer(1, "AB"), writer(2, "B", deletes=True), C1),
    "deleted, 2 collectors": lambda protocol: protocol(writer(1, "AB", deletes=True), C1, C2),
    "manifest, collector and sweeper": lambda protocol: protocol(writer(1, "AB.M"), C1, SWEEPER),
    "manifest, one part live already, vague": lambda protocol: protocol(
        writer(1, "A.B.M"), C1, database=LIVE, files=WHOLE, vague=True
    ),
    "several artifacts, vague": lambda protocol: protocol(
        writer(1, "A+BC.M"), C1, database=LIVE, files=WHOLE, vague=True
    ),
    "several artifacts, 2 collectors": lambda protocol: protocol(writer(1, "A+B"), C1, C2, vague=True),
    "commit's answer lost, deletes": lambda protocol: protocol(
        writer(1, "AB", deletes=True), C1, losses=1, database=LIVE, files=WHOLE
    ),
    "commit's answer lost, 2 writers": lambda protocol: protocol(writer(1, "AB"), writer(2, "B"), C1, losses=1),
    "database server cut, collector": lambda protocol: protocol(
        writer(1, "AB.M"), C1, database=LIVE, files=WHOLE, cut="database"
    ),
    "database server cut, 2 writers, sweeper": lambda protocol: protocol(
        writer(1, "AB.M"), writer(2, "B"), SWEEPER, cut="database"
    ),
    "power cut, collector": lambda protocol: protocol(writer(1, "AB.M", "local_writer"), C1, cut="power"),
    "power cut, sweeper": lambda protocol: protocol(writer(1, "AB.M", "local_writer"), SWEEPER, cut="power"),
    "imported and saved": lambda protocol: protocol(writer(1, "A", "importer"), writer(2, "AB"), C1),
    "imported and saved, database server cut": lambda protocol: protocol(
        writer(1, "A", "importer"), writer(2, "A"), C1, cut="database"
    ),
    "inherited and deleted": lambda protocol: protocol(
        HEIR, DELETER, writer(1, "B"), C1, database=OLD_RECORD, files=OLD_FILES
    ),
    "live part whose object is short": lambda protocol: protocol(writer(1, "AB.M"), C1, database=LIVE, files=SHORT),
    "live part whose object is missing": lambda protocol: protocol(writer(1, "AB"), writer(2, "A"), database=LIVE),
}

MISSING = r"record \w+ is committed and its object \S+ is missing"
CONDEMNED = r"record \w+ is committed and its blob \S+ is condemned"

# twin, the scenario that it breaks in, how, and a step without which its story cannot be told
TWINS: list[tuple[type[PartsProtocol], str, str, str]] = [
    (twins.ManifestOnly, "manifest, collector and sweeper", r"its blob [AB]-w1\S+ is condemned", "c1 condemn"),
    (twins.ManifestOnly, "database server cut, 2 writers, sweeper", r"its blob [AB]-w1\S+ is unknown", "database cut"),
    (twins.AnyRow, "equal parts", CONDEMNED, "c1 condemn"),
    (twins.ReuseUnchecked, "shared part, live already", r"its blob A-old is condemned", "look"),
    (twins.ReuseUnchecked, "one part shared and deleted", r"its blob B-w2\S+ is condemned", "w2 delete"),
    (twins.InheritUnchecked, "inherited and deleted", r"record heir is committed and its blob", "old delete"),
    (twins.KeepsStaleKey, "several artifacts, 2 collectors", CONDEMNED, "c2 condemn"),
    (twins.ReferredBeforeChecked, "equal parts", r"blob \S+ has refs = 1 and 0 records", "c1 condemn"),
    (twins.CountsManifestOnly, "manifest, collector and sweeper", r"its blob [AB]-w1\S+ is condemned", "w1 T3"),
    (twins.ClaimedTwice, "commit's answer lost, 2 writers", r"has refs = 2 and 1 records", "T3 lands"),
    (twins.RecordBeforeParts, "equal parts", MISSING, "w1 T3"),
    (twins.DeletesOnFailure, "one part shared", MISSING, "fail"),
    (twins.SameKeyAgain, "deleted, 2 collectors", MISSING, "remove"),
    (twins.NoteWithoutGuard, "imported and saved", MISSING, "w1 note"),
    (twins.ReuseWithoutLook, "live part whose object is short", r"its object A-old is short", "look"),
    (twins.ReuseWithoutLook, "live part whose object is missing", MISSING, "look"),
    (twins.FlushesManifestFolder, "power cut, collector", MISSING, "power cut"),
    (twins.BelievesItsList, "equal parts", CONDEMNED, "c1 idle"),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_reachable_state_of_several_blobs_is_broken(scenario):
    """Whatever is shared, condemned, refused, cut or lost: a record has all its blobs or is not there, and nothing is left over."""
    found = explore(SCENARIOS[scenario](PartsProtocol))
    print(f"{scenario}: {found}")
    assert found.problem is None, str(found)


@pytest.mark.parametrize(
    ("twin", "scenario", "problem", "step"), TWINS, ids=[f"{t.__name__}-{s}" for t, s, _, _ in TWINS]
)
def test_every_known_bad_twin_for_several_blobs_is_caught(twin, scenario, problem, step):
    """The same search, in a scenario that the real protocol passes, finds the twin's own fault and shows the way to it."""
    found = explore(SCENARIOS[scenario](twin))
    print(f"{twin.__name__}, {scenario}: {found}")
    assert found.problem is not None, f"{twin.__name__} passes, so the search proves nothing: {found}"
    assert re.search(problem, found.problem), str(found)
    assert step in found.trace, str(found)


def test_every_twin_for_several_blobs_is_put_to_the_test():
    """No class of `parts_twins` is left out of the table above."""
    defined = {cls for cls in vars(twins).values() if isinstance(cls, type) and issubclass(cls, PartsProtocol)}
    assert defined - {PartsProtocol} == {twin for twin, *_ in TWINS}


def test_the_search_takes_every_step_of_several_blobs():
    """The scenarios are not vacuous: whatever a thread, a collector or a sweeper can do is done somewhere."""
    small = [
        "inherited and deleted",
        "power cut, collector",
        "power cut, sweeper",
        "commit's answer lost, deletes",
        "live part whose object is short",
    ]
    taken = {label.split(" ", 1)[1] for name in small for label in explore(SCENARIOS[name](PartsProtocol)).steps}
    writing = {
        "T1",
        "put",
        "fail",
        "flush",
        "look",
        "distrust",
        "again",
        "inherit",
        "T3",
        "T3 lands",
        "look_up",
        "delete",
    }
    assert taken == writing | {*PartsProtocol.collector, *PartsProtocol.sweeper, "crash", "cut"}


class Reaches(PartsProtocol):
    """The real protocol, with a situation in the place of the invariants: the search shows whether it can come about."""

    situations: dict[str, tuple[str, Callable[[World], bool]]] = {
        "a part that is reused is condemned before T3": (
            "shared part, live already",
            lambda world: any(
                blob.state == "condemned" and blob.key == "A-old" in process.key.split()
                for process in world.processes
                for blob in world.database.blobs
            ),
        ),
        "two records share one part, and each has another": (
            "one part shared",
            lambda world: sorted(blob.refs for blob in world.database.blobs if blob.refs) == [1, 1, 2],
        ),
        "one artifact is stored anew and the other keeps its key": (
            "several artifacts, 2 collectors",
            lambda world: any(process.names[:1] == ("A-w1.1",) and not process.rows for process in world.processes),
        ),
        "two writers store the same bytes under two keys": (
            "equal parts",
            lambda world: (
                {record.key for record in world.database.records}
                == {
                    "A-w1.1",
                    "B-w1.1",
                    "A-w2.1",
                    "B-w2.1",
                }
            ),
        ),
        "an object comes to be when its row is gone": (
            "manifest, collector and sweeper",
            lambda world: any(not world.database.blob(file.name) for file in world.files),
        ),
    }
    wanted = ""

    def broken(self, world: World) -> str | None:
        """Say that the wanted situation is there."""
        return self.wanted if self.situations[self.wanted][1](world) else None


@pytest.mark.parametrize("situation", Reaches.situations)
def test_the_situations_of_several_blobs_come_about(situation):
    """The exploration really goes through reuse that is lost, sharing of one part, renewal of one artifact and late puts."""
    wanted = type("Wanted", (Reaches,), {"wanted": situation})
    assert explore(SCENARIOS[Reaches.situations[situation][0]](wanted)).problem == situation


def test_what_is_saved_is_written_as_text():
    """`AB.M+C` is an artifact of two parts and a manifest that waits for them, and then another of one blob."""
    batches = (Batch((0, 1), True), Batch((2,), True), Batch((3,), True))
    assert plan_of("AB.M+C") == Plan(("A", "B", "M", "C"), ((0, 1, 2), (3,)), batches)
    assert [batch.waits for batch in plan_of("A.B.M").batches] == [True, False, True]
