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
from sqlalchemy import text

import simpleml
from simpleml import Artifact, Folder, Persistable
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ArtifactUnsetError,
    IdentityError,
    ImmutableVersionError,
    LineageError,
    SavePatternError,
    StoreUnreachableError,
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


def lexicon(*artifacts: str) -> Any:
    """Return the class as its author has it at some time: with artifacts of these names."""
    return type("Lexicon", (Persistable,), {name: Artifact() for name in artifacts})


def test_a_renamed_artifact_is_not_lost(local: Database) -> None:
    """Reading and saving tell which artifacts the record has and the class declares; a new version is not made without them."""
    told = "the record has the artifacts: both, old; Lexicon declares: both, new"
    lexicon("both", "old")(name="l", both=1, old={"a": 1}).save()
    now = lexicon("both", "new")
    found = now.load("l")
    with pytest.raises(ArtifactUnsetError, match=rf"'new' of .* never set.*{told}.*get_artifact\('OLD NAME'\)"):
        _ = found.new
    found.state["seen"] = 1
    with pytest.raises(ImmutableVersionError, match=rf"the class \({told}\) changed since"):
        found.save()
    following = found.new_version()
    with pytest.raises(SavePatternError, match=rf"would lose artifacts: {told}.*forget_artifact\('OLD NAME'\)"):
        following.save()
    following.new = following.get_artifact("old")
    following.forget_artifact("old")
    assert following.save().version == 2
    assert (now.load("l").both, now.load("l").new, list(following.filepaths)) == (1, {"a": 1}, ["both", "new"])


def test_an_artifact_may_be_added_to_a_class(local: Database) -> None:
    """What was saved before it was there can be read, its state saved, and a new version made of it, with it or without."""
    lexicon("old")(name="l", old=1).save()
    now = lexicon("old", "new")
    found = now.load("l")
    found.state["seen"] = 1
    assert found.save().version == 1
    assert list(found.new_version().save().filepaths) == ["old"]
    following = found.new_version()
    following.new = 2
    assert list(following.save().filepaths) == ["old", "new"]
    with pytest.raises(ArtifactUnsetError, match=r"before it is read$"):
        _ = now.load("l", version=1).new


def test_a_renamed_class_is_told_how_to_find_its_records(local: Database) -> None:
    """The error names the line that the new class needs, which works."""
    lexicon("data")(name="l", data=1).save()
    classes.drop("Lexicon")
    with pytest.raises(
        LookupError, match=r"'Lexicon'.*if the class was renamed, write registered_name = 'Lexicon' in it"
    ):
        Box.load("l")
    renamed: Any = type("Thesaurus", (Persistable,), {"registered_name": "Lexicon", "data": Artifact()})
    assert renamed.load("l").data == 1


@pytest.mark.parametrize("edit", [{"digest": "blake3:" + 64 * "0"}, {"size": 1}], ids=["digest", "size"])
def test_an_edited_record_does_not_make_its_object_bad(local: Database, edit: dict[str, Any]) -> None:
    """What is not what an edited record says is still what was stored: the next save of the same value shares it."""
    box = Box(name="a", data=[1]).save()
    reference = box.filepaths["data"]["json"]
    local.update("persistable", box.id, {"filepaths": {"data": {"json": {**reference, **edit}}}})
    with pytest.raises(ArtifactDamagedError):
        _ = Box.load("a").data
    assert Box(name="b", data=[1]).save().filepaths["data"]["json"]["key"] == reference["key"]


def test_mapping_is_wanted_or_not(local: Database) -> None:
    """`mmap` is a truth value: a text, which is true whatever it says, is refused by both ways to load."""
    Box(name="m", data=1).save()
    for load in (Box.load, lambda name, mmap: simpleml.load("persistable", name, mmap=mmap)):
        with pytest.raises(IdentityError, match=r"load\(.*mmap = 'no' \(str\), but must be True or False"):
            load("m", mmap="no")
        assert load("m", mmap=True).data == 1


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


# what several change at once, and what a version inherits


def test_what_two_copies_change_is_merged_by_key(database: Database) -> None:
    """Of two copies each saves the keys it changed: set, replaced, taken away, in place; of one key the later value stays."""
    start = {"gone": 1, "kept": {"deep": [1]}, "both": 0}
    Box(name="a", data=1, state=start, metadata_={"mine": 1, "theirs": 1}).save()
    left, right = Box.load("a"), Box.load("a")
    left.state.update(left=1, both="left")
    del left.state["gone"], left.metadata_["mine"]
    left.version_description = "by the left one"
    left.save()
    right.state.update(right=np.arange(3), both="right")
    right.state["kept"]["deep"].append(2)
    right.metadata_["theirs"] = 2.0
    right.save()
    found = Box.load("a")
    assert {**found.state, "right": found.state["right"].tolist()} == {
        "kept": {"deep": [1, 2]},
        "both": "right",
        "left": 1,
        "right": [0, 1, 2],
    }
    assert ("mine" in found.metadata_, found.metadata_["theirs"]) == (False, 2.0)
    assert found.version_description == "by the left one"
    left.state["both"] = "left again"
    found.state["right"] += 1
    found.save()
    left.save()
    assert (Box.load("a").state["both"], Box.load("a").state["right"].tolist()) == ("left again", [1, 2, 3])


@pytest.mark.parametrize("there", ["[1]", '{"state": [1]}'])
def test_metadata_that_was_edited_to_something_else_is_told(database: Database, there: str) -> None:
    """Changes cannot be merged into what is no mapping: that is said, with what is there, and nothing is written."""
    box = Box(name="a", data=1).save()
    box.state["k"] = 1
    database.run(lambda connection: connection.execute(text(f"UPDATE persistables SET metadata = '{there}'")))
    with pytest.raises(IdentityError, match=r"(metadata|state) is \[1\] \(list\), but must be a mapping"):
        box.save()
    now = text("SELECT CAST(metadata AS CHAR(16)) FROM persistables")
    assert database.run(lambda connection: connection.execute(now).scalar_one(), read=True).strip() == there


def test_a_block_that_is_rolled_back_leaves_the_changes_to_be_saved(database: Database) -> None:
    """What a failed transaction did not write is written by the next save, with what was saved meanwhile beside it."""
    box = Box(name="a", data=1).save()
    box.state["a"] = 1
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        box.save()
        raise ZeroDivisionError
    other = Box.load("a")
    other.state["b"] = 2
    other.save()
    with simpleml.transaction():
        new = Box(name="new", data=1).save()
        new.state["c"] = 3
        new.save()
        box.save()
    assert (Box.load("a").state, Box.load("new").state) == ({"a": 1, "b": 2}, {"c": 3})


@pytest.mark.parametrize("harm", ["missing", "shorter"])
def test_a_new_version_does_not_refer_to_bytes_that_are_not_there(
    database: Database, tmp_path: Path, harm: str
) -> None:
    """What a version inherits unread is looked at before its record is written; with no copy left there is no record."""
    Box(name="a", data=list(range(100))).save()
    [stored] = [path for path in (tmp_path / "store").rglob("*-*") if path.is_file()]
    stored.unlink() if harm == "missing" else stored.write_bytes(stored.read_bytes()[:-1])
    wanted = ArtifactMissingError if harm == "missing" else ArtifactDamagedError
    with pytest.raises(wanted, match="artifact 'data' of <Box 'a'"):
        Box.load("a").new_version().save()
    assert Box.versions("a") == [1]


def test_a_new_version_is_made_whole_from_the_copy_that_is_left(database: Database, tmp_path: Path) -> None:
    """If one of the inherited patterns lost its bytes, the new version has them again; the old one stays as it is."""
    old = Box(name="a", data=[1, 2], save_patterns={"data": ["json", "disk_pickled"]}).save()
    database.places.store("default").delete(old.filepaths["data"]["json"]["key"])
    new = Box.load("a").new_version().save()
    assert list(new.filepaths["data"]) == ["json", "disk_pickled"]
    database.places.store("disk").delete(new.filepaths["data"]["disk_pickled"]["key"])
    assert Box.load("a").data == [1, 2]


def test_a_part_that_is_gone_is_noticed(local: Database, tmp_path: Path) -> None:
    """Of an artifact in several objects each one is looked at, and no byte is read while they are there."""
    (tmp_path / "folder").mkdir()
    for name in "abc":
        (tmp_path / "folder" / name).write_text(name)
    box = Box(name="a", data=Folder(tmp_path / "folder")).save()
    assert Box.load("a").new_version().save().filepaths == box.filepaths
    local.places.store("default").delete(box.filepaths["data"]["folder"]["parts"][1])
    with pytest.raises(ArtifactMissingError):
        Box.load("a").new_version().save()
    assert Box.versions("a") == [1, 2]


def test_a_store_that_cannot_be_asked_is_believed(local: Database, tmp_path: Path) -> None:
    """A machine whose settings do not name a store makes a new version of what is in it, and reads nothing."""
    with simpleml.connect(tmp_path / "local.db", stores={"cloud": str(tmp_path / "cloud")}):
        box = Box(name="a", data=1, save_patterns={"data": "cloud_json"}).save()
    with simpleml.connect(tmp_path / "local.db"):
        new = Box.load("a").new_version().save()
    assert (new.version, new.filepaths) == (2, box.filepaths)


def test_a_store_that_does_not_answer_is_believed(local: Database, tmp_path: Path) -> None:
    """While a store is away, what is in it goes over into a new version unread; a value that is to be put there does not."""
    with simpleml.connect(tmp_path / "local.db", stores={"cloud": str(tmp_path / "cloud")}):
        box = Box(name="a", data=1, save_patterns={"data": "cloud_json"}).save()
    away = {"cloud": {"url": "ftp://127.0.0.1:1/mine", "retries_for": 0}}
    with simpleml.connect(tmp_path / "local.db", stores=away):
        new = Box.load("a").new_version().save()
        with pytest.raises(StoreUnreachableError):
            Box(name="b", data=2, save_patterns={"data": "cloud_json"}).save()
    assert (new.version, new.filepaths) == (2, box.filepaths)


def test_a_load_that_falls_back_says_so(local: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The log has one warning for each pattern that failed, with the object, the pattern and the error; a whole one is silent."""
    box = Box(name="a", data=[1, 2], save_patterns={"data": ["json", "pickled", "disk_pickled"]}).save()
    assert Box.load("a").data == [1, 2]
    assert caplog.records == []
    for pattern in ("json", "pickled"):
        local.places.store("default").delete(box.filepaths["data"][pattern]["key"])
    assert Box.load("a").data == [1, 2]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    for pattern, message in zip(("json", "pickled"), told, strict=True):
        assert f"artifact 'data' of <Box 'a' version 1>, by {pattern!r}: " in message
        assert message.endswith("it was loaded by 'disk_pickled' instead")
        assert box.filepaths["data"][pattern]["key"] in message
    assert ".;" not in "".join(told)
