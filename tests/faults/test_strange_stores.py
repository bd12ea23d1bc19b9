"""Stores that are not what they were: gone, a file, full of links. Taught errors, and nothing outside is read or written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import simpleml
from simpleml.errors import ArtifactError, ArtifactMissingError, DatabaseReadOnlyError, StoreError
from simpleml.orm.housekeeping import collect, verify
from simpleml.save_patterns.locations.disk import make_folder
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.testing.faults import Point, at
from tests.faults.mounts import can_mount, mounted, own_mounts
from tests.faults.stages import on_stage
from tests.faults.workload import LARGE, SMALL, Place, Sample, content, delete, expire, save


def _say(_: tuple[object, ...]) -> None:
    """Nobody listens."""


def _root(database) -> Path:
    store = database.places.store("default")
    assert isinstance(store, LocalStore)
    return store.root


def _file(database, sample: Sample) -> Path:
    [reference] = sample.filepaths["data"].values()
    return _root(database) / reference["key"]


def _loads(sample: Sample) -> bool:
    return Sample.load(sample.name, version=sample.version).data == content(
        sample.config["seed"], sample.config["size"]
    )


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_store_that_vanished_loses_nothing(local, size):
    """While the folder is gone, loading says which store and where; saving begins it anew, and nothing is taken as there.

    When the old folder's content is back, everything loads and `verify` is clean.
    """
    saved = save(_say, "kept", "a", size)
    root = _root(local)
    away = root.rename(root.with_name("elsewhere"))
    with pytest.raises(ArtifactMissingError, match=r"not in the store 'default' .*If the store was moved") as error:
        _loads(saved)
    assert str(root) in str(error.value)
    assert _loads(save(_say, "kept", "b", size))
    assert _loads(save(_say, "kept", "a", size))  # equal bytes, which are not there any more
    assert {(each.problem, each.record) for each in verify(local).findings} == {
        ("missing", "persistable 'kept' version 1")
    }
    shutil.copytree(away, root, dirs_exist_ok=True)
    assert [_loads(Sample.load("kept", version=version)) for version in (1, 2, 3)] == [True] * 3
    assert verify(local, everything=True).findings == ()
    assert collect(local).keys == ()


def test_a_store_that_vanishes_between_bytes_and_row_is_a_taught_error(local):
    """A folder that goes while a large artifact is written is told; what was there before is unharmed, and saving again works."""
    saved = save(_say, "kept", "a", LARGE)
    root = _root(local)

    def vanish() -> None:
        root.rename(root.with_name("elsewhere"))

    with (
        pytest.raises(StoreError, match=r"artifact 'data' .* of the store 'default' was removed") as error,
        at(Point("put.rename.before"), vanish),
    ):
        save(_say, "kept", "b", LARGE)
    assert str(root) in str(error.value)
    root.with_name("elsewhere").rename(root)
    assert _loads(saved)
    assert _loads(save(_say, "kept", "b", LARGE))
    assert Sample.versions("kept") == [1, 2]
    assert verify(local, everything=True).findings == ()


def test_a_file_where_the_store_should_be_is_a_taught_error(tmp_path):
    """A store whose place is taken by a file refuses to save and to load, and the file stays as it is."""
    (tmp_path / "taken").write_bytes(b"a file")
    database = simpleml.connect(tmp_path / "records.db", store=tmp_path / "taken", home=tmp_path / "home")
    for size in (SMALL, LARGE):
        with pytest.raises(StoreError, match=r"cannot \w+ in the store 'default'"):
            save(_say, "kept", "a", size)
    assert Sample.versions("kept") == []
    with pytest.raises(StoreError, match="cannot list in the store 'default'"):
        collect(database)
    assert (tmp_path / "taken").read_bytes() == b"a file"


def test_a_file_where_the_folder_of_the_database_should_be_is_a_taught_error(tmp_path):
    """Connecting to a database below a file names the folder that cannot be made, and what to do."""
    (tmp_path / "taken").write_bytes(b"a file")
    with pytest.raises(DatabaseReadOnlyError, match=r"cannot make the folder .*taken"):
        simpleml.connect(tmp_path / "taken" / "records.db", store=tmp_path / "store", home=tmp_path / "home")


def _save_below_what_cannot_be_flushed(folder: str) -> list[bool]:
    own_mounts()
    with mounted(Path("/sys/fs"), "-t", "tmpfs", "tmpfs") as disk:
        above = os.open("/sys", os.O_RDONLY)
        with pytest.raises(OSError, match="Invalid argument"):
            os.fsync(above)
        os.close(above)
        with Place(f"sqlite:///{disk}/deep/records.db", f"{disk}/new/store", folder).open():
            return [_loads(save(_say, "kept", "a", size)) for size in (SMALL, LARGE)]


def test_a_store_below_a_folder_that_cannot_be_flushed_is_used(tmp_path):
    """Below a mount whose root has no flush, as with autofs, a database and a store are made, saved to and loaded from."""
    if can_mount():
        assert on_stage(_save_below_what_cannot_be_flushed, str(tmp_path)) == [True, True]
    else:
        print("nothing can be mounted here: a folder of the system stood in")
        make_folder(Path("/proc/self/task"))


@pytest.mark.parametrize("what", ["object", "folder", "ledger's folder"])
def test_links_in_a_store_are_not_followed_when_reading(local, tmp_path, what):
    """An object that is reached through a symbolic link is not read, even if the link leads to the right bytes."""
    saved = save(_say, "kept", "a", SMALL)
    path = {"object": 0, "folder": 1, "ledger's folder": 2}[what]
    linked = [_file(local, saved), *_file(local, saved).parents][path]
    linked.rename(tmp_path / "outside")
    linked.symlink_to(tmp_path / "outside")
    with pytest.raises((StoreError, ArtifactError), match="'data'") as error:
        _loads(saved)
    assert "'default'" in str(error.value)
    [finding] = [each for each in verify(local).findings if each.key]
    assert finding.store == "default"
    linked.unlink()
    (tmp_path / "outside").rename(linked)
    assert _loads(saved)


@pytest.mark.parametrize("what", ["folder", "ledger's folder"])
def test_links_in_a_store_are_not_followed_when_writing(local, tmp_path, what):
    """Nothing is written, listed or removed where a symbolic link in the store leads: saving is refused, collecting sees nothing."""
    saved = save(_say, "kept", "a", SMALL)
    doomed = save(_say, "kept", "b", SMALL)
    delete(_say, doomed)
    root, outside = _root(local), tmp_path / "outside"
    outside.mkdir()
    top = _file(local, saved).parents[1]
    if what == "folder":
        for fan in top.iterdir():
            if fan.is_dir():
                (outside / fan.name).mkdir()
                for each in fan.iterdir():
                    os.link(each, outside / fan.name / each.name)
                fan.rename(root / f"was-{fan.name}")
                fan.symlink_to(outside / fan.name)
    else:
        for fan in [each for each in top.iterdir() if each.is_dir()]:
            (outside / fan.name).mkdir()
            for each in fan.iterdir():
                os.link(each, outside / fan.name / each.name)
        top.rename(root / "was-there")
        top.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    for size in (SMALL, LARGE):
        with pytest.raises(StoreError, match="'data'"):
            save(_say, "kept", f"c{size}", size)
    expire(local)
    with pytest.raises(StoreError, match="'default'"):
        collect(local, leftovers_after=0.0)
    assert sorted(outside.rglob("*")) == before
    assert Sample.versions("kept") == [1]


def test_a_linked_object_is_removed_as_a_link(local, tmp_path):
    """Collecting removes a link that took an object's place, not what it leads to."""
    doomed = save(_say, "kept", "a", SMALL)
    path = _file(local, doomed)
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    delete(_say, doomed)
    expire(local)
    assert collect(local).removed == 1
    assert not path.is_symlink()
    assert (tmp_path / "outside").exists()
