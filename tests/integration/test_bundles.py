"""Bundles between databases of different sorts: what comes over, what does not come twice, what is refused, what is resumed."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import ForeignKey, MetaData, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

import simpleml
from simpleml import Artifact, Lineage, Persistable, failpoints
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    BundleError,
    ConfigurationError,
    IdentityError,
    OfflineError,
    RecordNotFoundError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
    TrustError,
    UnknownStoreError,
)
from simpleml.orm import Database, open_database
from simpleml.orm.bundles import Line, Renumbered, Wanted, export_bundle, import_bundle, offers, pull, push
from simpleml.orm.bundles.arriving import Arrival
from simpleml.orm.bundles.manifest import Entry, Manifest, sign
from simpleml.orm.bundles.results import HIGHEST
from simpleml.orm.bundles.shelf import subject_of
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.persistable import ORMModel, ORMPersistable, kinds_in, record_class
from simpleml.orm.tables import Blob
from simpleml.persistables.ports import keys_of
from simpleml.save_patterns.folder import Folder
from simpleml.save_patterns.locations.keys import BUNDLES, SHARED, bundle_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.memory import MemoryTransport
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.retries import Retries
from simpleml.save_patterns.locations.spool import hold
from simpleml.save_patterns.locations.transport import Source
from simpleml.save_patterns.protocols import Store
from simpleml.testing.faults import kill
from tests.backends.places import Place
from tests.integration.kinds import Box, Cleaner, Corpus, Guess, Pair, Score

ANOTHER = {"sqlite": "postgresql", "postgresql": "mariadb", "mariadb": "sqlite"}
Opened = Callable[..., Database]


@pytest.fixture
def second(new_database: Callable[[str], str], tmp_path: Path) -> Iterator[Opened]:
    """`second(database)` → another database, of another sort than the first, with a home and a store of its own."""
    made: list[Database] = []

    def make(first: Database, **arguments: Any) -> Database:
        kind = {"postgresql": "postgresql", "sqlite": "sqlite"}.get(first.url.get_backend_name(), "mariadb")
        home = tmp_path / f"second-{len(made)}"
        made.append(open_database(new_database(ANOTHER[kind]), store=home / "store", home=home, **arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


@contextmanager
def local_database(folder: Path, **arguments: Any) -> Iterator[Database]:
    """Give an SQLite database in a folder of its own, as the current one."""
    with open_database(folder / "local.db", store=folder / "store", home=folder, **arguments) as made:
        yield made
    made.close()


def save_score(weights: Any = None) -> Score:
    """Save a metric of a model with a pipeline that was fitted on a dataset, and return it."""
    raw = Corpus(name="raw", rows=np.arange(1000.0), author="ann").save()
    cleaner = Cleaner(name="clean", fitted={"mean": 1.5}, dataset=raw)
    cleaner.params = {"shape": (2, 3), "when": datetime(2026, 1, 2, tzinfo=UTC)}
    cleaner.save()
    derived = Corpus(name="derived", rows=np.arange(10), pipeline=cleaner).save()
    model = Guess(name="guess", weights=weights or {"w": [0.1, 2]}, pipeline=cleaner, corpus=derived, config={"c": 1})
    model.save()
    score = Score(name="score", model=model, dataset=derived)
    score.values = {"accuracy": 0.5}
    return score.save()


def rows(database: Database) -> dict[Any, dict[str, Any]]:
    """Return every record by its id, without where its objects are."""
    found = {}
    for kind in database.run(kinds_in, read=True):
        for row in database.select(kind, {}):
            filepaths = row.pop("filepaths") or {}
            digests = {
                (artifact, pattern): reference["digest"]
                for artifact, patterns in filepaths.items()
                for pattern, reference in patterns.items()
            }
            found[row["id"]] = {
                **row,
                "kind": kind,
                "digests": digests,
                "edges": set(database.parents(kind, row["id"])),
            }
    return found


def is_empty(database: Database, folder: Path) -> bool:
    """Whether there are neither records nor rows of objects, nor files in the stores."""
    blobs = database.run(lambda connection: connection.execute(select(func.count()).select_from(Blob)).scalar_one())
    stored = [
        path for path in folder.rglob("*") if path.is_file() and "objects-" in str(path) and path.name != ".ready"
    ]
    return not rows(database) and blobs == 0 and not stored


def exported(tmp_path: Path, *wanted: Wanted) -> Path:
    """Return the file of a bundle of these, from the current database."""
    path = tmp_path / "bundle.zip"
    export_bundle(simpleml.orm.current(), wanted, path, force=True)
    return path


# there and back


def test_everything_comes_over(database: Database, second: Opened, tmp_path: Path) -> None:
    """A metric brings its model, pipeline and datasets: same ids, versions, hashes, times, lineage, values and bytes."""
    score = save_score()
    made = export_bundle(database, [Wanted("score")], tmp_path / "bundle.zip")
    assert {line.kind for line in made.records} == {"dataset", "pipeline", "model", "metric"}
    target = second(database)
    with target:
        result = import_bundle(target, tmp_path / "bundle.zip")
        assert (len(result.records), result.copied, result.skipped, result.renumbered) == (5, 4, (), ())
        assert result.bytes_ == made.bytes_
        assert result.digest == made.digest
        assert rows(target) == rows(database)
        found = Score.load(id=score.id)
        assert found.values == {"accuracy": 0.5}  # noqa: PD011 - no frame
        assert found.model.weights == {"w": [0.1, 2]}
        assert found.model.pipeline.params == {"shape": (2, 3), "when": datetime(2026, 1, 2, tzinfo=UTC)}
        assert found.model.corpus.pipeline.dataset.author == "ann"
        np.testing.assert_array_equal(found.dataset.pipeline.dataset.rows, np.arange(1000.0))
        assert verify(target, everything=True).findings == ()
        export_bundle(target, [Wanted("score")], tmp_path / "again.zip")
        assert found.save() is found
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "bundle.zip").read_bytes()


def test_a_second_import_does_nothing(database: Database, second: Opened, tmp_path: Path) -> None:
    """What is here already is left as it is, and no byte is copied for it; what is new besides comes in."""
    save_score()
    path = exported(tmp_path, Wanted("score"))
    target = second(database)
    with target:
        import_bundle(target, path)
        before = rows(target)
        again = import_bundle(target, path)
        assert (again.records, again.copied, again.bytes_, len(again.skipped)) == ((), 0, 0, 5)
        assert rows(target) == before
    Score(name="score", model=Guess.load(name="guess")).save()
    with target:
        more = import_bundle(target, exported_from(database, tmp_path, Wanted("score", every=True)))
        assert [(line.kind, line.version) for line in more.records] == [("metric", 2)]
        assert (more.copied, len(more.skipped)) == (0, 5)


def exported_from(database: Database, tmp_path: Path, *wanted: Wanted) -> Path:
    """Return the file of a bundle of these, from a database."""
    with database:
        return exported(tmp_path, *wanted)


def test_a_dry_run_tells_and_writes_nothing(database: Database, second: Opened, tmp_path: Path) -> None:
    """What a dry run says is what then happens, and nothing is there after it."""
    with second(database) as target:
        Box(name="x", data=1).save()
    box = Box(name="x", data=2).save()
    with pytest.raises(ConfigurationError, match="folder"):
        export_bundle(database, [Wanted("x")], tmp_path)
    planned = export_bundle(database, [Wanted("x")], tmp_path / "x.zip", dry_run=True)
    assert not (tmp_path / "x.zip").exists()
    assert export_bundle(database, [Wanted("x")], tmp_path / "x.zip") == planned
    before = rows(target)
    told = import_bundle(target, tmp_path / "x.zip", dry_run=True)
    assert told.renumbered == (Renumbered("persistable", "x", 1, 2, box.id),)
    assert rows(target) == before
    assert import_bundle(target, tmp_path / "x.zip") == told


def test_pickles_of_others_are_not_read_until_the_user_says_so(
    database: Database, second: Opened, tmp_path: Path
) -> None:
    """What came in by a bundle and would run code is refused by name of the setting; trusted, it is read."""
    Box(name="x", data=Box).save()
    path = exported(tmp_path, Wanted("x"))
    target = second(database)
    with target:
        import_bundle(target, path)
        with pytest.raises(TrustError, match=r"'imported' is not trusted.*trusted_stores"):
            Box.load(name="x").data  # noqa: B018
        with open_database(
            target.settings.database, home=tmp_path / "second-0", trusted_stores=("imported",)
        ) as trusting:
            assert Box.load(name="x").data is Box
        trusting.close()


def test_another_store_may_be_named(local: Database, tmp_path: Path) -> None:
    """Objects go to the store that was named, which has to be one; a name of none changes nothing."""
    Box(name="x", data=[1]).save()
    path = exported(tmp_path, Wanted("x"))
    with local_database(tmp_path / "second") as target:
        with pytest.raises(UnknownStoreError, match="nowhere"):
            import_bundle(target, path, store="nowhere")
        assert import_bundle(target, path, store="default").store == "default"
        [reference] = Box.load(name="x").filepaths["data"].values()
        assert reference["store"] == "default"
        assert Box.load(name="x").data == [1]


def test_a_bundle_says_nothing_of_where_it_was_made(local: Database, tmp_path: Path) -> None:
    """Neither the folders, nor the names of stores, nor the id of the database are in the file."""
    box = Box(name="x", data=[1]).save()
    data = exported(tmp_path, Wanted("x")).read_bytes()
    [reference] = box.filepaths["data"].values()
    for told in (str(tmp_path), local.ledger_id[:12], "objects-", reference["key"], '"store":"d', "file:"):
        assert told.encode() not in data


# versions


def test_a_version_that_is_taken_gets_the_next_number(database: Database, second: Opened, tmp_path: Path) -> None:
    """Of two bundled versions, the one that is free here stays, the other goes above both; saves go on from there."""
    with second(database) as target:
        mine = Box(name="x", data="mine").save()
    boxes = [Box(name="x", data=number).save() for number in range(2)]
    path = exported(tmp_path, Wanted("x", every=True))
    with target:
        result = import_bundle(target, path)
        assert result.renumbered == (Renumbered("persistable", "x", 1, 3, boxes[0].id),)
        assert {line.id: line.version for line in result.records} == {boxes[0].id: 3, boxes[1].id: 2}
        assert (Box.load(name="x", version=1).id, Box.load(name="x", version=3).data) == (mine.id, 0)
        assert import_bundle(target, path).records == ()
        assert Box(name="x", data="next").save().version == 4


def test_a_version_that_is_free_is_kept_and_counted(database: Database, second: Opened, tmp_path: Path) -> None:
    """A later version keeps its number, and those that come next go on above it, also an earlier one that was left behind."""
    for number in range(3):
        Box(name="x", data=number).save()
    late, early = exported(tmp_path, Wanted("x")), tmp_path / "early.zip"
    export_bundle(database, [Wanted("x", version=2)], early)
    with second(database) as target:
        assert [line.version for line in import_bundle(target, late).records] == [3]
        assert Box(name="x", data="next").save().version == 4
        planned = import_bundle(target, early, dry_run=True)
        assert [(each.old, each.new) for each in planned.renumbered] == [(2, 5)]
        assert import_bundle(target, early) == planned
        assert Box.versions("x") == [3, 4, 5]


def test_an_absurd_version_leaves_room_for_those_to_come(database: Database, second: Opened, tmp_path: Path) -> None:
    """A version so high that the name could not go on is renumbered, as planned and as told; the highest that stays, stays."""
    Box(name="x", version=HIGHEST, data=1).save()
    poison = Box(name="x", version=2**31 - 1, data=2).save()
    path = exported(tmp_path, Wanted("x", version=2**31 - 1))
    with second(database) as target:
        Box(name="x", data="mine").save()
        planned = import_bundle(target, path, dry_run=True)
        assert planned.renumbered == (Renumbered("persistable", "x", 2**31 - 1, 2, poison.id),)
        assert str(HIGHEST) in planned.renumbered[0].why
        assert import_bundle(target, path) == planned
        assert Box(name="x", data="next").save().version == 3
        export_bundle(database, [Wanted("x", version=HIGHEST)], tmp_path / "high.zip")
        assert import_bundle(target, tmp_path / "high.zip").renumbered == ()
        assert Box(name="x", data="after").save().version == HIGHEST + 1


def test_only_formats_that_run_code_are_told(local: Database, tmp_path: Path) -> None:
    """An import says which of its formats may run code, planned or done: none of JSON alone, and the pickle."""
    Box(name="plain", data=[1]).save()
    Box(name="pickled", data=Box).save()
    plain, both = tmp_path / "plain.zip", tmp_path / "both.zip"
    export_bundle(local, [Wanted("plain")], plain)
    export_bundle(local, [Wanted("plain"), Wanted("pickled")], both)
    with local_database(tmp_path / "second") as target:
        assert import_bundle(target, plain).executes == ()
        assert import_bundle(target, both, dry_run=True).executes == ("cloudpickle",)
        assert import_bundle(target, both).executes == ("cloudpickle",)
        assert import_bundle(target, both).executes == ()


@pytest.mark.parametrize("deleted", [0, 1, 3])
def test_the_number_of_a_deleted_version_is_not_used_again(
    database: Database, second: Opened, tmp_path: Path, deleted: int
) -> None:
    """Versions up to the last one that was deleted here go above all others; where the name was never used, they stay."""
    boxes = [Box(name="x", data=number).save() for number in range(3)]
    path = exported(tmp_path, Wanted("x", every=True))
    with second(database) as target:
        for number in range(deleted):
            mine = Box(name="x", data=f"mine {number}").save()
            target.delete("persistable", mine.id)
        planned = import_bundle(target, path, dry_run=True)
        result = import_bundle(target, path)
        expected = {0: [1, 2, 3], 1: [4, 2, 3], 3: [4, 5, 6]}[deleted]
        numbers = {line.id: line.version for line in result.records}
        assert [numbers[box.id] for box in boxes] == expected
        moved = [(old, new) for old, new in enumerate(expected, 1) if old != new]
        assert [(each.old, each.new) for each in result.renumbered] == moved
        assert (result.records, result.renumbered) == (planned.records, planned.renumbered)
        assert Box.versions("x") == sorted(expected)
        assert Box(name="x", data="next").save().version == max(expected) + 1


def test_metrics_are_counted_within_their_model(database: Database, second: Opened, tmp_path: Path) -> None:
    """The same name and version for two models are two metrics, also in a bundle, and none is renumbered."""
    first = save_score()
    other = Guess(name="guess", weights={"w": [9]}).save()
    Score(name="score", model=other).save()
    path = exported(tmp_path, Wanted("score", every=True))
    with second(database) as target:
        result = import_bundle(target, path)
        assert result.renumbered == ()
        assert len([line for line in result.records if line.kind == "metric"]) == 2
        assert Score(name="score", model=Guess.load(id=first.model.id)).save().version == 2


def test_another_record_under_the_same_id_is_refused(database: Database, second: Opened, tmp_path: Path) -> None:
    """A record that is here under the same id with another hash, or as another kind, stops the import; nothing changes."""
    box = Box(name="x", data=[1]).save()
    path = exported(tmp_path, Wanted("x"))
    target = second(database)
    with target:
        import_bundle(target, path)
        cls: Any = record_class("persistable")
        edited = update(cls.__table__).where(cls.id == box.id).values(hash="1:" + "0" * 64)
        target.run(lambda connection: connection.execute(edited).close())
        before = rows(target)
        with pytest.raises(BundleError, match=r"another persistable 'x' here.*Nothing was imported"):
            import_bundle(target, path)
        assert rows(target) == before
    with local_database(tmp_path / "third") as third:
        Corpus(name="y", id=box.id, rows=[1]).save()
        with pytest.raises(BundleError, match="another dataset 'y' here"):
            import_bundle(third, path)


# failures and companions


class Broken(LocalStore):
    """A store that takes some puts and then no more."""

    def __init__(self, root: Path, left: int) -> None:
        super().__init__("broken", root)
        self.left = left
        self.taken: list[str] = []
        self._lock = threading.Lock()

    def put(self, spool: Any, key: str) -> None:
        """Take it, or fail as a full disk does."""
        with self._lock:
            self.left -= 1
            if self.left < 0:
                raise StoreError("the disk is on fire")
        super().put(spool, key)
        self.taken.append(key)


def break_store(database: Database, name: str, root: Path, left: int) -> Broken:
    """Let the store of this name take only so many more puts."""
    broken = Broken(root, left)
    broken.name = name
    database.places._stores[name] = broken
    return broken


def save_many(count: int = 12) -> Pair:
    """Save an object with many others behind it, each with bytes of its own."""
    below = Box(name="box", data=list(range(1000))).save()
    for number in range(count):
        below = Pair(name="pair", left=[number], source=below).save()
    return below


def test_an_import_that_failed_goes_on(database: Database, second: Opened, tmp_path: Path) -> None:
    """After a store that failed in the middle there is no record, and the next import copies only what is missing."""
    save_many()
    path = exported(tmp_path, Wanted("pair"))
    target = second(database)
    with target:
        broken = break_store(target, "imported", tmp_path / "imported", 5)
        with pytest.raises(StoreError, match="on fire"):
            import_bundle(target, path)
        assert rows(target) == {}
        broken.left = 100
        result = import_bundle(target, path)
        assert (len(result.records), result.objects, result.copied) == (13, 13, 8)
        assert len(broken.taken) == 13
        assert rows(target) == rows(database)
        assert verify(target, everything=True).findings == ()


@pytest.mark.parametrize(
    ("point", "left"), [("put.rename.after", 8), ("save.commit.before", 0), ("save.commit.after", 0)]
)
def test_a_killed_import_goes_on(local: Database, tmp_path: Path, point: str, left: int) -> None:
    """Killed while it copies, and before or after its commit: no record or all, and the next import does the rest."""
    save_many()
    path = exported(tmp_path, Wanted("pair"))
    counting, reached = threading.Lock(), []

    def hook(name: str) -> None:
        with counting:
            reached.extend([name] if name == point else [])
            if len(reached) == (10 if left else 1):
                kill()

    def work() -> None:
        with local_database(tmp_path / "second") as target:
            failpoints.install(hook)
            import_bundle(target, path)

    assert killed(work)
    with local_database(tmp_path / "second") as target:
        committed = point == "save.commit.after"
        assert len(rows(target)) == (13 if committed else 0)
        result = import_bundle(target, path)
        assert len(result.records) == (0 if committed else 13)
        assert result.copied <= left
        assert rows(target) == rows(local)
        assert verify(target, everything=True).findings == ()


def killed(work: Callable[[], None]) -> bool:
    """Whether a process that does `work` is killed by it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(7)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def test_objects_that_are_collected_meanwhile_come_again(
    database: Database, second: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection between the copying and the commit, with leases that are over, costs a second copy and nothing else."""
    save_score()
    path = exported(tmp_path, Wanted("score"))
    target = second(database, grace=0)
    bring, collected = Arrival._bring, []

    def bring_and_collect(self: Arrival, names: Any, copied: Any) -> Any:
        keys = bring(self, names, copied)
        if not collected:
            target.run(lambda connection: connection.execute(update(Blob).values(lease_until=0.0)).close())
            collected.append(collect(target, leftovers_after=0).removed)
        return keys

    monkeypatch.setattr(Arrival, "_bring", bring_and_collect)
    with target:
        assert len(import_bundle(target, path).records) == 5
        assert collected == [4]
        assert verify(target, everything=True).findings == ()
        assert collect(target, leftovers_after=0).keys == ()


def test_many_import_the_same_at_once(database: Database, second: Opened, tmp_path: Path) -> None:
    """Four at a time: every one ends well, every record is there once, and nothing is damaged."""
    save_score()
    path = exported(tmp_path, Wanted("score"))
    target = second(database)
    results, failures = [], []

    def work() -> None:
        try:
            results.append(import_bundle(target, path))
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(len(result.records) for result in results) == 5
    with target:
        assert rows(target) == rows(database)
        assert verify(target, everything=True).findings == ()


def test_what_is_exported_is_whole(database: Database, tmp_path: Path) -> None:
    """Damaged bytes are told and leave no file, neither do names of nothing; one that is there is kept unless forced."""
    box = Box(name="x", data=[1]).save()
    path = exported(tmp_path, Wanted("x"))
    there = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"is there already.*--force"):
        export_bundle(database, [Wanted("x")], path)
    with pytest.raises(RecordNotFoundError, match=r"known: x"):
        export_bundle(database, [Wanted("y")], tmp_path / "y.zip")
    with pytest.raises(RecordNotFoundError, match="known versions: 1"):
        export_bundle(database, [Wanted("x", 7)], tmp_path / "y.zip")
    with pytest.raises(ConfigurationError, match="in a folder that is there"):
        export_bundle(database, [Wanted("x")], tmp_path / "nowhere" / "y.zip")
    with pytest.raises(ConfigurationError, match="File name too long"):
        export_bundle(database, [Wanted("x")], tmp_path / ("y" * 300))
    with pytest.raises(ConfigurationError, match="cannot be the name of a file"):
        export_bundle(database, [Wanted("x")], tmp_path / "y\0.zip")
    with pytest.raises(BundleError, match="null byte"):
        import_bundle(database, tmp_path / "y\0.zip")
    [reference] = box.filepaths["data"].values()
    stored = tmp_path / "store" / reference["key"]
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactDamagedError, match=r"is damaged.*verify --all"):
        export_bundle(database, [Wanted("x")], path, force=True)
    assert path.read_bytes() == there
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith((".part", ".zip"))] == ["bundle.zip"]


@pytest.mark.parametrize("name", ["模" * 83 + ".zip", "x" * 33 + "模" * 72 + ".z"], ids=["wide", "mixed"])
def test_the_longest_name_can_be_exported_to(local: Database, tmp_path: Path, name: str) -> None:
    """A file whose name takes all the 255 bytes, or nearly, and has characters of several bytes, can be a bundle."""
    Box(name="x", data=[1]).save()
    export_bundle(local, [Wanted("x")], tmp_path / name)
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith((".part", ".zip", ".z"))] == [name]


def test_what_a_killed_export_left_goes_with_the_next(local: Database, tmp_path: Path) -> None:
    """The unfinished file of an export that was killed is removed by the next one to that name; what is written to now stays."""
    Box(name="x", data=[1]).save()

    def part(name: str, number: int) -> Path:
        made = tmp_path / f".{name}.{number:032x}.part"
        made.write_bytes(b"half")
        os.utime(made, (0, 0))
        return made

    left, other, fresh, held = part("x[1].zip", 1), part("y.zip", 2), part("x[1].zip", 3), part("x[1].zip", 4)
    os.utime(fresh)
    with held.open("rb") as file:
        assert hold(file.fileno())
        export_bundle(local, [Wanted("x")], tmp_path / "x[1].zip")
    assert [each.exists() for each in (left, other, fresh, held)] == [False, True, True, True]


def test_a_name_of_several_kinds_has_to_be_told_apart(local: Database, tmp_path: Path) -> None:
    """A name that several kinds have is refused with them; with the kind, it is exported."""
    Box(name="x", data=[1]).save()
    Corpus(name="x", rows=[2]).save()
    with pytest.raises(IdentityError, match=r"several kinds: dataset, persistable.*--kind dataset"):
        export_bundle(local, [Wanted("x")], tmp_path / "x.zip")
    assert export_bundle(local, [Wanted("x", kind="dataset")], tmp_path / "x.zip").records[0].kind == "dataset"


# push and pull


def places(tmp_path: Path) -> dict[str, str]:
    """Return the settings of a store that several databases share."""
    return {"shared": str(tmp_path / "common")}


def pushed_files(tmp_path: Path, folder: str) -> list[Path]:
    """Return what was pushed into that store."""
    return sorted(path for path in (tmp_path / "common" / folder).glob("*/*") if path.is_file())


def test_what_was_pushed_is_pulled(database_url: str, second: Opened, tmp_path: Path) -> None:
    """Two databases that share nothing but a store; a second push and a second pull transfer nothing."""
    first = simpleml.connect(database_url, store=tmp_path / "store", home=tmp_path / "home", stores=places(tmp_path))
    save_score()
    made = push(first, [Wanted("score")], "shared")
    assert (made.copied, made.objects, len(made.records), len(made.digests)) == (4, 4, 5, 1)
    before = {path: path.stat().st_mtime_ns for path in pushed_files(tmp_path, "*")}
    again = push(first, [Wanted("score")], "shared")
    assert (again.copied, again.bytes_, again.digests) == (0, 0, made.digests)
    assert {path: path.stat().st_mtime_ns for path in pushed_files(tmp_path, "*")} == before
    target = second(first, stores=places(tmp_path))
    with target:
        [offer] = offers(target, "shared")
        assert (offer.kind, offer.name, offer.version, offer.records, offer.problem) == ("metric", "score", 1, 5, "")
        assert rows(target) == {}
        result = pull(target, Wanted("score"), "shared")
        assert (len(result.records), result.copied, result.digest) == (5, 4, made.digests[0])
        assert rows(target) == rows(first)
        again_ = pull(target, Wanted("score"), "shared")
        assert (again_.records, again_.copied) == ((), 0)
        np.testing.assert_array_equal(Corpus.load(name="raw").rows, np.arange(1000.0))
        for database in (first, target):  # nobody collects what was pushed
            assert collect(database, leftovers_after=0).keys == ()
        assert verify(target, everything=True).findings == ()
    assert {path: path.stat().st_mtime_ns for path in pushed_files(tmp_path, "*")} == before
    first.close()


def test_versions_of_a_name_are_chosen_in_a_store(local: Database, tmp_path: Path) -> None:
    """Without a version the latest comes, of one version the one that was changed last; what is not there is told."""
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        for number in range(3):
            Box(name="x", data=[number]).save()
        push(first, [Wanted("x", every=True)], "shared")
        box = Box.load(name="x", version=3)
        box.metadata_["note"] = "changed later"
        box.save()
        push(first, [Wanted("x")], "shared")
        Box(name="other", data=[1]).save()
        push(first, [Wanted("other")], "shared")
    with local_database(tmp_path / "second", stores=places(tmp_path)) as target:
        assert len(offers(target, "shared")) == 5
        assert [line.version for line in pull(target, Wanted("x", 2), "shared").records] == [2]
        pull(target, Wanted("x"), "shared")
        assert Box.versions("x") == [2, 3]
        assert Box.load(name="x").metadata_["note"] == "changed later"
        with pytest.raises(RecordNotFoundError, match="known versions: 1, 2, 3"):
            pull(target, Wanted("x", 9), "shared")
        with pytest.raises(RecordNotFoundError, match=r"nobody pushed 'oter'.*did you mean 'other'.*--list"):
            pull(target, Wanted("oter"), "shared")
        with pytest.raises(RecordNotFoundError, match="none is known"):
            pull(target, Wanted("x"), "default")


def test_a_push_that_failed_goes_on(tmp_path: Path) -> None:
    """After a failure in the middle nothing is offered; the next push puts only what is missing, the manifest last."""
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        save_many()
        broken = break_store(first, "shared", tmp_path / "common", 5)
        with pytest.raises(StoreError, match="on fire"):
            push(first, [Wanted("pair")], "shared")
        assert offers(first, "shared") == ()
        assert len(pushed_files(tmp_path, SHARED)) == 5
        broken.left = 100
        assert push(first, [Wanted("pair")], "shared").copied == 8
        assert broken.taken[-1].startswith(f"{BUNDLES}/")
        assert len(broken.taken) == 14


def test_what_was_changed_in_a_store_is_not_pulled(tmp_path: Path) -> None:
    """A manifest or an object with one other bit, and one under another's key, are refused; no record comes in."""
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        Box(name="x", data=[1, 2, 3]).save()
        push(first, [Wanted("x")], "shared")
    [manifest], [stored] = pushed_files(tmp_path, BUNDLES), pushed_files(tmp_path, SHARED)
    spoilt = tmp_path / "second"
    with local_database(spoilt, stores=places(tmp_path)) as target:
        for path in (manifest, stored):
            data = path.read_bytes()
            place = data.rindex(b"1")
            path.write_bytes(data[:place] + b"7" + data[place + 1 :])
            with pytest.raises(BundleError, match=r"changed after it was pushed|is no bundle that|is damaged"):
                pull(target, Wanted("x"), "shared")
            assert is_empty(target, spoilt)
            path.write_bytes(data)
        whole = stored.read_bytes()
        for bad in (b"", whole[:-1], whole + b"more", b"x" * 5_000_000):
            stored.write_bytes(bad)
            with pytest.raises(ArtifactDamagedError, match=f"{len(whole)} bytes were saved"):
                pull(target, Wanted("x"), "shared")
        stored.unlink()
        with pytest.raises(ArtifactMissingError):
            pull(target, Wanted("x"), "shared")
        assert is_empty(target, spoilt)
        stored.write_bytes(whole)
        other = manifest.rename(manifest.with_name(manifest.name[:-32] + "0" * 32))
        with pytest.raises(BundleError, match="not what its key says"):
            pull(target, Wanted("x"), "shared")
        assert [bool(offer.problem) for offer in offers(target, "shared")] == [True]
        other.rename(manifest)
        pull(target, Wanted("x"), "shared")
        assert Box.load(name="x").data == [1, 2, 3]


def test_a_broken_bundle_stands_in_no_others_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A manifest that cannot be read is passed over, with a warning, where another fits, and raised where none does."""
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        for number in range(3):
            Box(name="x", data=[number]).save()
            push(first, [Wanted("x")], "shared")
            if not number:
                [oldest] = pushed_files(tmp_path, BUNDLES)
    oldest.write_bytes(oldest.read_bytes()[:-3])
    with local_database(tmp_path / "second", stores=places(tmp_path)) as target:
        for asked in (Wanted("x", 2), Wanted("x")):
            caplog.clear()
            pull(target, asked, "shared")
            assert oldest.name in caplog.text
        assert Box.load(name="x").data == [2]
        with pytest.raises(BundleError, match=oldest.name):
            pull(target, Wanted("x", 1), "shared")
        assert [bool(offer.problem) for offer in offers(target, "shared")] == [True, False, False]


def test_a_strange_owner_stands_in_no_others_way(tmp_path: Path) -> None:
    """A manifest whose metric is of an array, or of a model without a name, is told as broken, or of nothing; others are pulled."""
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        save_score()
        push(first, [Wanted("score")], "shared")
    model, strange = uuid4(), np.arange(3)
    for model_id, name in ((strange, "m"), (model, strange)):
        row = {"id": uuid4(), "name": "odd", "version": 1, "model_id": model_id}
        owner = Entry("model", {"id": model, "name": name, "version": 1})
        text = Manifest((row["id"],), (owner, Entry("metric", row)), {}).write()
        path = tmp_path / "common" / bundle_key(subject_of("metric", "odd"), sign(text))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    with local_database(tmp_path / "second", stores=places(tmp_path)) as target:
        assert [(each.name, each.of, bool(each.problem)) for each in offers(target, "shared")] == [
            ("", "", True),
            ("odd", "", False),
            ("score", "guess:1", False),
        ]
        with pytest.raises(BundleError):
            pull(target, Wanted("odd"), "shared")
        assert len(pull(target, Wanted("score"), "shared", of="guess").records) == 5


class Refusing(MemoryTransport):
    """A place that takes nothing, for a reason that no second try changes."""

    reason: OSError
    tries = 0

    def create(self, key: str, source: Source) -> None:
        """Refuse."""
        type(self).tries += 1
        raise self.reason


@pytest.mark.parametrize(
    ("reason", "error"),
    [(OSError(errno.ENOSPC, "full"), StoreFullError), (PermissionError("no"), StoreReadOnlyError), (TimeoutError("off"), StoreUnreachableError)],
)  # fmt: skip
def test_a_push_that_cannot_work_is_not_repeated(tmp_path: Path, reason: OSError, error: type[StoreError]) -> None:
    """Where a place is full, refuses us or is away, an object is sent there once."""
    Refusing.reason, Refusing.tries = reason, 0
    store = RemoteStore("shared", lambda: Refusing("memory://x", {}), tmp_path, place="memory://x", retries=Retries(0))
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        first.places._stores["shared"] = store
        Box(name="x", data=[1]).save()
        with pytest.raises(error):
            push(first, [Wanted("x")], "shared")
    assert Refusing.tries == 1


@pytest.mark.parametrize("harm", ["gone", "damaged", "unknown"])
def test_bytes_that_are_kept_twice_are_shared_as_long_as_one_is_whole(tmp_path: Path, harm: str) -> None:
    """What a load gets by its second save pattern, because the first one's object or store is lost, an export and a push take along."""
    home = tmp_path / "first"
    stores = places(tmp_path) | {"cloud": str(tmp_path / "cloud")}
    with local_database(home, stores=stores) as first:
        box = Box(name="x", data=[1, 2], save_patterns={"data": ["cloud_json", "disk_json"]}).save()
        path = tmp_path / "cloud" / box.filepaths["data"]["cloud_json"]["key"]
        path.unlink() if harm == "gone" else path.write_bytes(path.read_bytes().replace(b"1", b"7"))
    if harm == "unknown":
        del stores["cloud"]
    with local_database(home, stores=stores) as first:
        assert Box.load(name="x").data == [1, 2]
        assert push(first, [Wanted("x")], "shared").copied == 1
        export_bundle(first, [Wanted("x")], tmp_path / "x.zip")
    with local_database(tmp_path / "second", stores=places(tmp_path)) as target:
        pull(target, Wanted("x"), "shared")
        assert import_bundle(target, tmp_path / "x.zip").records == ()
        assert Box.load(name="x").data == [1, 2]


def test_an_object_of_the_wrong_size_is_put_again(tmp_path: Path) -> None:
    """What lies under an object's key in a store and cannot be it is replaced by the next push."""
    with local_database(tmp_path / "first", stores=places(tmp_path)) as first:
        Box(name="x", data=[1, 2, 3]).save()
        push(first, [Wanted("x")], "shared")
        [stored] = pushed_files(tmp_path, SHARED)
        whole = stored.read_bytes()
        stored.write_bytes(b"torn")
        assert push(first, [Wanted("x")], "shared").copied == 1
        assert stored.read_bytes() == whole


@contextmanager
def pushed(tmp_path: Path, url: str) -> Iterator[tuple[Database, str]]:
    """Give a database that pushed `x` into the store `shared` at this URL, and the key of its object there."""
    with local_database(tmp_path / "first", stores={"shared": url}) as first:
        Box(name="x", data=[1, 2, 3]).save()
        push(first, [Wanted("x")], "shared")
        [key] = first.places.store("shared").keys(SHARED)
        yield first, key


def put_anew(store: Store, key: str, data: bytes) -> None:
    """Let these bytes be under a key, whatever was there."""
    store.delete(key)
    with closing(store.spool()) as spool:
        spool.write(data)
        store.put(spool, key)


def content(store: Store, key: str) -> bytes:
    """Return the bytes under a key."""
    return bytes(store.read(key, store.size(key) or 0)[0])


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_what_is_damaged_in_a_store_is_replaced_by_a_push_that_looks(
    tmp_path: Path, new_place: Callable[[str], Place], kind: str
) -> None:
    """A pull names the command that repairs; a push goes by sizes, one with `verify` replaces objects and manifests, once."""
    url = str(tmp_path / "common") if kind == "local" else new_place(kind).url
    with pushed(tmp_path, url) as (first, key):
        store = first.places.store("shared")
        good = {name: content(store, name) for name in (key, *store.keys(BUNDLES))}
        with local_database(tmp_path / "second", stores={"shared": url}) as target:
            put_anew(store, key, bytes([good[key][0] ^ 1]) + good[key][1:])
            with pytest.raises(BundleError, match=r"damaged.*simpleml push x:1 --verify --to"):
                pull(target, Wanted("x"), "shared")
            put_anew(store, key, b"torn")
            with pytest.raises(ArtifactDamagedError, match=r"were saved\. .*simpleml push x:1 --verify --to"):
                pull(target, Wanted("x"), "shared")
        for name, data in good.items():
            put_anew(store, name, bytes([data[0] ^ 1]) + data[1:])
        assert push(first, [Wanted("x")], "shared").copied == 0
        assert push(first, [Wanted("x")], "shared", verify=True, dry_run=True).copied == 1
        assert all(content(store, name) != data for name, data in good.items())
        assert push(first, [Wanted("x")], "shared", verify=True).copied == 1
        assert push(first, [Wanted("x")], "shared", verify=True).copied == 0
        assert {name: content(store, name) for name in good} == good


@pytest.mark.parametrize("moment", ["before the last look", "after the last look", "after the put"])
def test_two_repairs_at_once_leave_the_object_there(
    tmp_path: Path, new_place: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whatever another repair does between two steps of this one, the object is there; one that is seen whole is not deleted."""
    with pushed(tmp_path, new_place("memory").url) as (first, key):
        store: Any = first.places.store("shared")
        good, kind = content(store, key), type(store)
        steps = {name: getattr(kind, name) for name in ("spool", "delete", "put")}
        done: list[str] = []

        def other() -> None:
            with monkeypatch.context() as undone:
                for name, step in steps.items():
                    undone.setattr(kind, name, step)
                put_anew(store, key, good)

        def watched(name: str) -> Callable[..., Any]:
            def step(self: Any, *arguments: Any) -> Any:
                done.append(name)
                if (moment, name, done.count(name)) in {
                    ("before the last look", "spool", 1),
                    ("after the last look", "delete", 1),
                }:
                    other()
                result = steps[name](self, *arguments)
                if (moment, name, done.count("put")) == ("after the put", "put", 1):
                    steps["delete"](self, key)  # by one who looked before it
                return result

            return step

        put_anew(store, key, b"torn")
        for name in steps:
            monkeypatch.setattr(kind, name, watched(name))
        push(first, [Wanted("x")], "shared")
        assert content(store, key) == good
        assert ("delete" in done) == (moment != "before the last look")
        assert done.count("put") == (2 if moment == "after the put" else 1)


def test_nothing_is_asked_of_a_server_offline(tmp_path: Path) -> None:
    """Without the network each way to share with a remote store is refused by the setting, before anything is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        far = {"url": "s3://bucket/here", "endpoint_url": endpoint, "key": "k", "secret": "s"}
        with local_database(tmp_path / "first", stores={"far": far, **places(tmp_path)}, offline=True) as database:
            Box(name="x", data=[1]).save()
            push(database, [Wanted("x")], "shared")
            path = exported(tmp_path, Wanted("x"))
            attempts: list[Callable[[], Any]] = [
                lambda: offers(database, "far"),
                lambda: push(database, [Wanted("x")], "far"),
                lambda: push(database, [Wanted("x")], "far", dry_run=True),
                lambda: pull(database, Wanted("x"), "far"),
                lambda: pull(database, Wanted("x"), "shared", store="far"),
                lambda: import_bundle(database, path, store="far"),
            ]
            for attempt in attempts:
                with pytest.raises(OfflineError, match="offline"):
                    attempt()
            with pytest.raises(BlockingIOError):
                server.accept()
            assert [offer.name for offer in offers(database, "shared")] == ["x"]


@pytest.mark.parametrize("kind", ["memory", "s3"])
def test_what_was_pushed_to_a_server_is_pulled(tmp_path: Path, new_place: Callable[[str], Place], kind: str) -> None:
    """Two machines with nothing in common but a place on a server: large and small objects come over, once."""
    place = new_place(kind)
    settings = {"stores": {"shared": {"url": place.url, **place.options}}}
    large = np.arange(1_000_000)
    with local_database(tmp_path / "first", **settings) as first:
        save_score()
        Box(name="large", data=large).save()
        assert push(first, [Wanted("score"), Wanted("large")], "shared").copied == 5
        again = push(first, [Wanted("score"), Wanted("large")], "shared")
        assert (again.copied, len(again.digests)) == (0, 2)
        before = rows(first)
    with local_database(tmp_path / "second", **settings) as target:
        assert [offer.name for offer in offers(target, "shared")] == ["score", "large"]
        assert pull(target, Wanted("score"), "shared", store="shared").copied == 4
        pull(target, Wanted("large"), "shared")
        assert rows(target) == before
        np.testing.assert_array_equal(Box.load(name="large").data, large)
        np.testing.assert_array_equal(Corpus.load(name="raw").rows, np.arange(1000.0))
        export_bundle(target, [Wanted("score"), Wanted("large")], tmp_path / "back.zip")
        assert verify(target, everything=True).findings == ()
    with local_database(tmp_path / "third") as third:
        import_bundle(third, tmp_path / "back.zip")
        assert rows(third) == before


# kinds of users, and artifacts of several objects


class ORMGadget(ORMPersistable):
    """A mapped class of a user's own kind, in a schema of its own, with a parent of ours."""

    __tablename__ = "gadgets"
    metadata = MetaData()
    kind = "gadget"
    size: Mapped[int | None] = mapped_column()
    guess_id: Mapped[UUID | None] = mapped_column(ForeignKey(ORMModel.__table__.c.id))  # type: ignore[attr-defined]


class Gadget(Persistable):
    """The native class of that kind."""

    kind = "gadget"
    record_fields = ("size",)
    size: int | None = None
    data: Artifact[Any] = Artifact()
    guess: Lineage[Guess] = Lineage("model")


def test_kinds_of_users_come_over(database: Database, second: Opened, tmp_path: Path) -> None:
    """A kind with a table of its own brings its columns and what it was made from; its table is made on the way."""
    gadget = Gadget(name="mine", data=[1], guess=Guess(name="guess", weights=[2]).save())
    gadget.size = 7
    gadget.save()
    path = exported(tmp_path, Wanted("mine"))
    with second(database) as target:
        assert import_bundle(target, path, dry_run=True).records == import_bundle(target, path).records
        found = Gadget.load(name="mine")
        assert (found.id, found.size, found.data, found.guess.weights) == (gadget.id, 7, [1], [2])
        assert rows(target) == rows(database)


def test_a_table_and_its_frame_come_over(database: Database, second: Opened, tmp_path: Path) -> None:
    """A frame that is kept as a table of the database is the same frame elsewhere, by the same pattern; so are blobs."""
    frame = pd.DataFrame({"a": [1, 2, None], "b": ["x", "ü", None]}, index=[3, 1, 2]).astype({"a": "Int64"})
    box = Box(name="frame", save_patterns={"data": ["database_table", "database_parquet"]})
    box.data = frame
    box.save()
    path = exported(tmp_path, Wanted("frame"))
    with second(database) as target:
        assert import_bundle(target, path).copied == 2
        found = Box.load(name="frame")
        assert list(found.filepaths["data"]) == ["database_table", "database_parquet"]
        pd.testing.assert_frame_equal(found.data, frame)
        assert found.save() is found
        assert verify(target, everything=True).findings == ()


def test_artifacts_of_many_objects_come_over(local: Database, tmp_path: Path) -> None:
    """A folder and an artifact in chunks bring every part; equal parts are in the bundle once."""
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for name in ("a", "b", "below/c"):
        (folder / name).write_bytes(b"same" * 1000 if name != "b" else b"other")
    noise = np.random.default_rng(1).integers(0, 255, 6_000_000, dtype=np.uint8)
    chunked = {"stores": {"disk": {"url": str(tmp_path / "chunked"), "chunked": True}}}
    with local_database(tmp_path / "first", **chunked) as first:
        box = Box(name="folder", save_patterns={"data": ["folder"]})
        box.data = Folder(folder)
        box.save()
        chunks = Box(name="chunks", data=np.concatenate([noise, noise]), save_patterns={"data": ["disk_numpy"]}).save()
        assert len(keys_of(chunks.filepaths)) > 10
        made = export_bundle(first, [Wanted("folder"), Wanted("chunks")], tmp_path / "parts.zip")
        assert made.objects == 1 + 2 + len(keys_of(chunks.filepaths))
        assert made.bytes_ < 1.5 * noise.nbytes
    with local_database(tmp_path / "second") as target:
        import_bundle(target, tmp_path / "parts.zip")
        np.testing.assert_array_equal(Box.load(name="chunks").data, np.concatenate([noise, noise]))
        found = Box.load(name="folder").data.path
        assert {str(path.relative_to(found)): path.read_bytes() for path in found.rglob("*") if path.is_file()} == {
            "a": b"same" * 1000,
            "b": b"other",
            "below/c": b"same" * 1000,
        }
        assert verify(target, everything=True).findings == ()


# the command line


def test_the_commands_share(tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """`export`, `import`, `push` and `pull` do it from the command line, tell what happened, and end with taught errors."""
    from simpleml.cli import main

    def run(*arguments: str, where: str = "one") -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--database", str(tmp_path / f"{where}.db"), "--store", str(tmp_path / where)])
        return (int(left.value.code or 0), *capsys.readouterr())

    (home / "work" / "simpleml.toml").write_text(
        f'[stores]\ncommon = "{tmp_path / "common"}"\nfar = "s3://nowhere/at-all"\n'
    )
    with open_database(tmp_path / "one.db", store=tmp_path / "one") as first:
        for number in range(2):
            Box(name="x", data=[number]).save()
    first.close()
    code, out, err = run("export", "x", "x.zip", "--all-versions")
    assert (code, err) == (0, "")
    assert "2 records, 2 stored objects" in out
    assert run("export", "x", "x.zip")[2].startswith("error: x.zip is there already")
    told = json.loads(run("import", "x.zip", "--dry-run", "--json", where="two")[1])
    assert (len(told["records"]), told["dry_run"], told["store"]) == (2, True, "imported")
    code, out, _ = run("import", "x.zip", where="two")
    assert (code, "trusted_stores" in out, "2 records (0 here already)" in out) == (0, False, True)
    assert json.loads(run("import", "x.zip", "--json", where="two")[1])["records"] == []
    assert run("alias", "x:1", "good")[0] == 0
    assert run("push", "x@good", "--to", "common")[0] == 0
    pushed = {row["store"]: row["bundles"] for row in json.loads(run("store", "ls", "--json")[1])}
    assert (pushed["common"], pushed["default"], pushed["far"]) == (1, 0, None)
    assert "bundles" in run("store", "ls")[1]
    assert "0 of 1 stored object were not there whole" in run("push", "x@good", "--to", "common", "--verify")[1]
    [offer] = json.loads(run("pull", "--from", "common", "--list", "--json", where="three")[1])
    assert (offer["name"], offer["version"], offer["problem"]) == ("x", 1, "")
    assert "version" in run("pull", "--from", "common", "--list", where="three")[1]
    assert len(json.loads(run("pull", "x", "--from", "common", "--json", where="three")[1])["records"]) == 1
    assert run("pull", "x:2", "--from", "common", where="three")[0] == 1
    assert run("pull", "--from", "common", where="three")[0] == 2
    assert "nowhere" in run("push", "x", "--to", "nowhere")[2]
    assert re.search(r"FROM and TO are names of stores.*\[stores\] archive", run("store", "copy", "default", "/x")[2])
    assert "'s3://b::c' cannot be the name of a store" in run("push", "x", "--to", "s3://b::c")[2]
    assert Line.__slots__ == ("kind", "name", "version", "id")
