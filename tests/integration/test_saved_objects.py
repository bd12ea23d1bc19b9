"""What a saved object notices, what it refuses, and what stays as it was when something fails."""

from __future__ import annotations

import copy
import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simpleml
from simpleml import Artifact, Persistable
from simpleml.errors import (
    ArtifactUnsetError,
    IdentityError,
    ImmutableVersionError,
    LineageError,
    VersionConflictError,
)
from simpleml.orm import Database, ORMGeneral
from simpleml.orm.housekeeping import collect
from simpleml.persistables.classes import classes
from tests.integration.kinds import Box, Pair

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: setattr(x, "version", 77), "version"),
        (lambda x: setattr(x, "id", Box(name="other", data=1).save().id), "id"),
        (lambda x: setattr(x, "author", "eve"), "author"),
        (lambda x: setattr(x, "left", [2]), "artifact 'left'"),
        (lambda x: setattr(x, "right", itertools.count(99)), "artifact 'right'"),
        (lambda x: setattr(x, "source", Box(name="twin", data="same").save()), "source"),
        (lambda x: x.set_save_patterns("left", "pickled"), "save patterns of artifact 'left'"),
        (lambda x: delattr(x, "left"), "artifact 'left'"),
    ],
    ids=["version", "id", "author", "artifact", "artifact without a hash", "equal parent", "pattern", "removed"],
)
def test_every_change_of_a_saved_version_is_noticed(
    database: Database, change: Callable[[Pair], Any], told: str
) -> None:
    """Whatever a version stands for cannot change unseen, also what has no hash, and no other record is written."""
    pair = Pair(name="p", left=[1], right=itertools.count(3), source=Box(name="one", data="same").save()).save()
    change(pair)
    with pytest.raises(ImmutableVersionError, match=told):
        pair.save()
    again = Pair.load(name="p")
    assert (again.version, again.left, next(again.right), again.source.name) == (1, [1], 3, "one")


def test_the_keys_that_saving_writes_belong_to_saving(database: Database) -> None:
    """Replacing the metadata of a saved object keeps what loading needs; giving such keys at construction is refused."""
    box = Box(name="a", data=[1]).save()
    kept = {key: box.metadata_[key] for key in ("artifacts", "library_versions", "platform", "module")}
    box.metadata_ = {"config": {}, "state": {"seen": 1}, "library_versions": 3, "artifacts": "none"}
    box.save()
    again = Box.load(name="a")
    assert {key: again.metadata_[key] for key in kept} == kept
    assert again.state == {"seen": 1}
    with pytest.raises(IdentityError, match="platform"):
        Box(name="b", metadata_={"platform": "mine"})


def test_a_loaded_object_chooses_patterns_anew_for_new_values(local: Database) -> None:
    """What the type of a value chose binds no later version; what the user chose does."""
    Box(name="a", data=[1]).save()
    following = Box.load(name="a").new_version()
    following.data = np.arange(3)
    assert list(following.save().filepaths["data"]) == ["numpy"]
    Box(name="b", data=[1], save_patterns={"data": ["pickled", "json"]}).save()
    assert list(Box.load(name="b").new_version().save().filepaths["data"]) == ["pickled", "json"]
    other = Box.load(name="b").new_version()
    other.set_save_patterns("data", "json")
    assert list(other.save().filepaths["data"]) == ["json"]


def test_connecting_again_is_the_same_database(database: Database, database_url: str, tmp_path: Path) -> None:
    """Objects of an earlier connection to the same database are its own: as parents, and inside a block."""
    box = Box(name="a", data=[1]).save()
    simpleml.connect(database_url, store=tmp_path / "store")
    Pair(name="p", left=1, source=box).save()
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        box.state["lost"] = 1
        box.save()
        raise ZeroDivisionError
    assert Box.load(name="a").state == {}


def test_an_inner_block_that_fails_is_taken_back_alone(database: Database) -> None:
    """What an inner block saved and deleted is undone when it raises; the outer one goes on and is committed."""
    kept = Box(name="kept", data=1).save()
    with simpleml.transaction():
        Box(name="outer", data=1).save()
        with pytest.raises(KeyError), simpleml.transaction():
            inner = Box(name="inner", data=1).save()
            kept.delete()
            raise KeyError
        assert not inner.is_saved
        assert kept.is_saved
        Box(name="after", data=1).save()
    assert [Box.versions(name) for name in ("kept", "outer", "inner", "after")] == [[1], [1], [], [1]]


def test_a_change_between_save_and_the_end_of_the_block_is_noticed(database: Database) -> None:
    """What is committed is what was saved; what was changed after that is no part of it, and the next save says so."""
    with simpleml.transaction():
        box = Box(name="a", data=[1], config={"k": 1}).save()
        box.name = "b"
        box.data = [2]
    assert Box.load(name="a", version=1).data == [1]
    with pytest.raises(ImmutableVersionError, match="name, artifact 'data' changed"):
        box.save()


def test_a_failed_save_leaves_the_object_as_it_was(database: Database) -> None:
    """After a conflict, and after a block that failed, every attribute is what it was before `save()`."""
    Box(name="a", data=1, version=3).save()
    box = Box(name="a", data=1, version=3, metadata_={"mine": 1})
    before = box.to_dict()
    with pytest.raises(VersionConflictError):
        box.save()
    assert box.to_dict() == before
    box.version = before["version"] = None
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        box.save()
        raise ZeroDivisionError
    assert box.to_dict() == before
    assert box.save().version == 4


def test_copies_are_unsaved_and_share_nothing_that_changes(local: Database) -> None:
    """Copies have ids of their own; nested config is not shared; unsaved changes are kept."""
    given = {"deep": {"k": 1}}
    box = Box(name="a", data=[1], config=given).save()
    given["deep"]["k"] = 2
    box.state["s"] = 1
    for made in (copy.copy(box), copy.deepcopy(box), box.new_version(), Box.from_dict(**box.to_dict())):
        assert made.state == {"s": 1}
        made.config["deep"]["k"] = 3
        assert box.config == {"deep": {"k": 1}}
    deep = copy.deepcopy(box)
    deep.data.append(2)
    box.save()
    first, second = Box(name="u", data=1), copy.deepcopy(Box(name="u", data=1))
    assert first.save().id != second.save().id
    with simpleml.transaction():
        pending = Box(name="pending", data=[5]).save()
        assert pickle.loads(pickle.dumps(pending)).data == [5]


def test_a_class_that_travels_by_value_keeps_its_registered_name(local: Database, tmp_path: Path) -> None:
    """A class of `__main__` comes with its reference, and is registered under its explicit name in the receiver."""
    connect = f"import simpleml, cloudpickle; simpleml.connect({str(tmp_path / 'local.db')!r}, store={str(tmp_path / 'store')!r})\n"
    sender = (
        f"{connect}from simpleml import Artifact, Persistable\n"
        "class Travelling(Persistable):\n    registered_name = 'explicit.name'\n    data = Artifact()\n"
        "open('sent', 'wb').write(cloudpickle.dumps(Travelling(name='t', data=[1]).save()))"
    )
    receiver = (
        f"{connect}from simpleml.persistables.classes import classes\n"
        "found = cloudpickle.load(open('sent', 'rb')); print(found.data, sorted(set(classes.names()) - {'Persistable'}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    for code, printed in ((sender, ""), (receiver, "[1] ['explicit.name']\n")):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout == printed, done.stderr


def test_unset_artifacts_are_missing_attributes(local: Database) -> None:
    """`hasattr` and `getattr` with a default work for artifacts that were never set, or were taken away."""
    box = Box(name="a")
    assert not hasattr(box, "data")
    assert getattr(box, "data", "none") == "none"
    box.data = 1
    del box.data
    with pytest.raises(ArtifactUnsetError, match="never set"):
        _ = box.data


def test_a_class_has_to_call_our_init(local: Database) -> None:
    """A forgotten `super().__init__` is told at construction."""

    class Forgetful(Persistable):
        def __init__(self) -> None:
            self.x = 1

    with pytest.raises(IdentityError, match=r"super\(\).__init__"):
        Forgetful()


def test_queries_only_ever_narrow(database: Database) -> None:
    """Conditions add up, also on one column; no limit is exceeded; an empty frame has its columns."""
    for _ in range(4):
        Box(name="a", data=1).save()
    assert Box.query(version__gt=2).where(version__gt=0).count() == 2
    assert Pair.query(registered_name__in=["Box"]).count() == 0
    assert Box.query(name="a").limit(0).first() is None
    assert "version" in Box.query(name="none").to_pandas().columns


def test_a_state_update_needs_no_class_of_its_parents(database: Database) -> None:
    """The hash of a parent is asked for by its id; its object is not made."""

    class Boss(Persistable):
        data: Artifact[Any] = Artifact()

    Pair(name="p", left=1, source=Boss(name="b", data=1).save()).save()  # type: ignore[arg-type]
    classes.drop("Boss")
    found = Pair.load(name="p")
    found.state["k"] = 1
    assert found.save().state == {"k": 1}
    with pytest.raises(LookupError, match="Boss"):
        _ = found.source


def test_records_keep_references_in_step_with_their_filepaths(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Other filepaths claim their blobs; what a version stands for cannot be changed through its record either."""
    simpleml.connect(database_url, store=tmp_path / "store", grace=0)
    first, second = Box(name="a", data=["a"]).save(), Box(name="b", data=["b"]).save()
    ORMGeneral.save_record(second.id, filepaths=first.filepaths)
    first.delete()
    collect(simpleml.orm.current(), leftovers_after=0)
    assert Box.load(name="b").data == ["a"]
    with pytest.raises(ImmutableVersionError, match="name"):
        ORMGeneral.find_or_fail(second.id).update(name="zzz")
    with pytest.raises(ImmutableVersionError, match="hash_"):
        ORMGeneral.save_record(second.id, hash_="other")
    assert Box.versions("zzz") == []


def test_lineage_to_what_is_gone_is_told(database: Database) -> None:
    """Reading a parent by the id of no record says so."""
    pair = Pair(name="p", left=1, source_id="00000000-0000-0000-0000-000000000001")
    with pytest.raises(LineageError, match="not in the database"):
        pair.save()
