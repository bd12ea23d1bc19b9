"""Folders as artifacts: what is stored of them, what comes back, and what collecting, verifying and a kill do to parts."""

from __future__ import annotations

import copy
import errno
import fcntl
import gc
import json
import os
import pickle
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from simpleml import failpoints
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    HashingError,
    ImmutableVersionError,
    SavePatternError,
    SerializationError,
    SimpleMLError,
    StoreError,
)
from simpleml.hashing import hash_value
from simpleml.orm import Database, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.tables import Blob
from simpleml.save_patterns import folder as folders
from simpleml.save_patterns import workspace as workspaces
from simpleml.save_patterns.catalogue import find_pattern, pattern_names
from simpleml.save_patterns.files import scan
from simpleml.save_patterns.folder import Folder, FolderPattern
from simpleml.save_patterns.locations import mapping
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.manifest import parts_of
from simpleml.save_patterns.workspace import Workspace
from simpleml.types import Reference
from tests.faults.stages import Say, forked, on_stage
from tests.integration.kinds import Box

CONTENT = {
    "config.json": b'{"layers": 2}',
    "weights/part-1.bin": bytes(range(256)) * 4000,
    "weights/part-2.bin": b"second" * 100_000,
    "weights/again.bin": b"second" * 100_000,
    "empty.txt": b"",
    "Ünïcode name.txt": "ü".encode(),
    "run.sh": b"#!/bin/sh\n",
}


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    failpoints.install(None)


def make(where: Path, content: dict[str, bytes] = CONTENT) -> Folder:
    """Make a folder with these files, an empty folder, and one file that can be executed."""
    for name, data in content.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(data)
    (where / "logs" / "none").mkdir(parents=True)
    (where / "run.sh").chmod(0o755)
    return Folder(where)


def box(value: object, name: str = "model") -> Box:
    """Return a saved box that keeps a folder."""
    made = Box(name=name, data=value, save_patterns={"data": ["folder"]})
    made.save()
    return made


def content(of: Folder) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.as_posix(): (of / path).read_bytes() for path in of}


def reference(of: Box) -> Reference:
    """Return the one reference of a saved box."""
    [found] = of.filepaths["data"].values()
    return json.loads(json.dumps(found))


def objects(store: Path) -> set[str]:
    """Return the keys of all objects in a store."""
    return {path.relative_to(store).as_posix() for path in store.glob("objects-*/*/*") if path.is_file()}


def expire(database: Database) -> None:
    """End every lease."""
    database.run(lambda connection: connection.execute(update(Blob).values(lease_until=0.0)).close())


# what comes back


def test_a_folder_comes_back_with_all_its_files(database: Database, tmp_path: Path) -> None:
    """Bytes, paths, executable bits and empty folders come back, in a private folder that is usable as a path."""
    original = make(tmp_path / "model")
    box(original)
    loaded = Box.load(name="model").data
    assert isinstance(loaded, Folder)
    assert loaded.path != original.path
    assert content(loaded) == CONTENT
    assert (loaded / "logs" / "none").is_dir()
    assert os.access(loaded / "run.sh", os.X_OK)
    assert not os.access(loaded / "config.json", os.X_OK) or os.geteuid() == 0
    assert stat.S_IMODE(os.stat(loaded / "config.json").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(loaded.path).st_mode) == 0o700
    assert os.listdir(loaded) == os.listdir(str(loaded)) == os.listdir(loaded.path)


def test_a_folder_needs_no_pattern(local: Database, tmp_path: Path) -> None:
    """A `Folder` is kept as one without being told so, and each place has a pattern for folders."""
    made = Box(name="model", data=make(tmp_path / "model"))
    made.save()
    assert [*made.filepaths["data"]] == ["folder"]
    assert reference(made)["layout"] == "folder"
    assert content(Box.load(name="model").data) == CONTENT
    for name, store in (
        ("folder", "default"),
        ("disk_folder", "disk"),
        ("cloud_folder", "cloud"),
        ("database_folder", "database"),
    ):
        assert find_pattern(name) == FolderPattern(name, store)
        assert name in pattern_names()


def test_loading_again_gives_the_same_folder_and_reads_nothing(
    local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second load, here or in another version, has the same path, and no file is read for it."""
    box(make(tmp_path / "model"))
    box(Folder(tmp_path / "model"))
    first = Box.load(name="model", version=1).data
    before = {path: os.stat(first / path).st_mtime_ns for path in first}
    monkeypatch.setattr("simpleml.save_patterns.workspace.digest_file", lambda path: pytest.fail(f"{path} is read"))
    second = Box.load(name="model").data
    assert second == first
    assert {path: os.stat(second / path).st_mtime_ns for path in second} == before
    monkeypatch.undo()
    monkeypatch.setattr("simpleml.save_patterns.workspace.machine_start", lambda: "another start of the machine")
    assert Box.load(name="model").data == first


def test_where_no_start_is_told_each_process_reads_again(
    local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a system without an identity of its start, what a power cut left of a file is found out by the next process."""
    monkeypatch.setattr(mapping, "_BOOT", tmp_path / "none")
    box(make(tmp_path / "model"))
    try:
        mapping.machine_start.cache_clear()
        first = Box.load(name="model").data
        assert Box.load(name="model").data == first
        path, status = first / "config.json", os.stat(first / "config.json")
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        mapping.machine_start.cache_clear()  # as another process
        assert content(Box.load(name="model").data) == CONTENT
    finally:
        mapping.machine_start.cache_clear()


def test_an_empty_folder_is_an_artifact(local: Database, tmp_path: Path) -> None:
    """A folder without a file has a manifest, no parts, and comes back empty."""
    (tmp_path / "void").mkdir()
    saved = box(Folder(tmp_path / "void"))
    assert reference(saved)["parts"] == []
    loaded = Box.load(name="model").data
    assert list(loaded.path.iterdir()) == list(loaded) == []
    assert verify(local, everything=True).findings == ()


def test_the_hash_is_that_of_the_content(local: Database, tmp_path: Path) -> None:
    """Equal content elsewhere has the same hash, a loaded folder too; any change of bytes, names or folders has another."""
    original = make(tmp_path / "one")
    wanted = hash_value(original)
    assert hash_value(make(tmp_path / "two")) == wanted
    saved = box(original)
    loaded = Box.load(name="model")
    assert hash_value(loaded.data) == wanted
    loaded.save()  # unchanged, so only state and metadata are written
    assert loaded.hash_ == saved.hash_
    os.utime(tmp_path / "two" / "config.json", (5, 5))
    assert hash_value(Folder(tmp_path / "two")) == wanted
    changes: dict[str, Callable[[Path], object]] = {
        "bytes": lambda path: (path / "config.json").write_bytes(b'{"layers": 3}'),
        "name": lambda path: (path / "config.json").rename(path / "config2.json"),
        "more": lambda path: (path / "more").write_bytes(b""),
        "less": lambda path: (path / "run.sh").unlink(),
        "empty folder": lambda path: (path / "logs" / "none").rmdir(),
    }
    for name, change in changes.items():
        made = make(tmp_path / name)
        hash_value(made)
        change(made.path)
        assert hash_value(made) != wanted, name


def test_a_digest_is_remembered_only_where_a_change_would_show(tmp_path: Path) -> None:
    """A file that was changed just now is read each time: a second change may have left its size and its time alone."""
    made = make(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    first = hash_value(made)
    status = os.stat(path)
    path.write_bytes(b'{"layers": 9}')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hash_value(made) != first
    os.utime(path, (5, 5))
    hash_value(made)
    assert made._known.keys() == {"config.json"}


def test_a_saved_folder_that_was_changed_is_another_version(local: Database, tmp_path: Path) -> None:
    """Saving again after a change says so; as a new version it is saved, and the old one stays what it was."""
    saved = box(make(tmp_path / "model"))
    (tmp_path / "model" / "config.json").write_bytes(b"{}")
    with pytest.raises(ImmutableVersionError, match=r"artifact 'data' changed.*new_version"):
        saved.save()
    saved.new_version().save()
    assert content(Box.load(name="model", version=1).data) == CONTENT
    assert content(Box.load(name="model", version=2).data) == {**CONTENT, "config.json": b"{}"}


# what is stored


def test_unchanged_files_are_stored_once(database: Database, tmp_path: Path) -> None:
    """Equal files are one object; a version with one changed file adds that file and a manifest, nothing else."""
    first = box(make(tmp_path / "model"))
    store = tmp_path / "store"
    before = objects(store)
    assert len(before) == len(set(CONTENT.values())) + 1
    assert len(reference(first)["parts"]) == len(CONTENT)
    (tmp_path / "model" / "config.json").write_bytes(b'{"layers": 3}')
    second = first.new_version()
    second.data = Folder(tmp_path / "model")
    second.save()
    added = objects(store) - before
    assert len(added) == 2
    assert reference(second)["key"] in added
    assert reference(second)["total"] == sum(map(len, CONTENT.values()))
    assert verify(database, everything=True).findings == ()


def test_collecting_keeps_what_another_version_shares(database: Database, tmp_path: Path) -> None:
    """Deleting one of two versions frees what only it had; deleting both frees everything."""
    store = tmp_path / "store"
    first = box(make(tmp_path / "model"))
    before = objects(store)
    (tmp_path / "model" / "config.json").write_bytes(b"{}")
    second = box(Folder(tmp_path / "model"))
    first.delete()
    expire(database)
    collected = collect(database)
    assert collected.removed == len(before - objects(store)) == 2
    assert content(Box.load(name="model").data) == {**CONTENT, "config.json": b"{}"}
    assert verify(database, everything=True).findings == ()
    second.delete()
    expire(database)
    collect(database)
    assert objects(store) == set()


def test_collecting_keeps_chunks_that_another_version_shares(database: Database, tmp_path: Path) -> None:
    """The same holds for the chunks of one big artifact."""
    database.places.store("default").chunked = True
    store = tmp_path / "store"
    data = np.random.default_rng(0).random(1_000_000)
    first = Box(name="big", data=data)
    first.save()
    changed = data.copy()
    changed[500_000:510_000] = 0.25
    second = Box(name="big", data=changed)
    second.save()
    shared = {*reference(first)["parts"]} & {*reference(second)["parts"]}
    assert len(shared) > 40
    first.delete()
    expire(database)
    collect(database)
    assert objects(store) == {reference(second)["key"], *reference(second)["parts"]}
    assert (Box.load(name="big").data == changed).all()
    second.delete()
    expire(database)
    collect(database)
    assert objects(store) == set()


@pytest.mark.parametrize("kind", ["folder", "chunks"])
def test_verify_finds_a_damaged_part(local: Database, tmp_path: Path, kind: str) -> None:
    """A part whose bytes are wrong or gone is a finding, loading says so, and the next save stores it again."""
    local.places.store("default").chunked = True

    def save() -> Box:
        if kind == "folder":
            return box(Folder(tmp_path / "model"), "b")
        made = Box(name="b", data=np.random.default_rng(0).random(1_000_000))
        made.save()
        return made

    make(tmp_path / "model")
    found = reference(save())
    assert verify(local).findings == ()
    store = local.places.store("default")
    parts = parts_of(found, store.read(found["key"], found["size"])[0])
    assert [key for key, _, _ in parts] == found["parts"]
    key = max(parts, key=lambda part: part[1])[0]
    path = tmp_path / "store" / key
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert [(finding.problem, finding.key) for finding in verify(local).findings] == [("damaged", key)]
    with pytest.raises(ArtifactDamagedError, match=key):
        _ = Box.load(name="b").data
    path.unlink()
    assert [finding.problem for finding in verify(local).findings] == ["missing"]
    with pytest.raises(ArtifactMissingError, match=key):
        _ = Box.load(name="b").data
    again = reference(save())
    assert key not in again["parts"]
    assert Box.load(name="b").data is not None


def test_a_backup_holds_every_part(database: Database, tmp_path: Path, new_database: Callable[[str], str]) -> None:
    """After a restore elsewhere, under keys of another database, folders and chunks are whole."""
    database.places.store("default").chunked = True
    box(make(tmp_path / "model"))
    data = np.random.default_rng(0).random(1_000_000)
    Box(name="big", data=data).save()
    backup(database, tmp_path / "backup")
    shutil.rmtree(tmp_path / "store")
    with open_database(new_database("sqlite"), store=tmp_path / "other", home=tmp_path / "else") as restored:
        restore(restored, tmp_path / "backup")
        assert verify(restored, everything=True).findings == ()
        assert content(Box.load(name="model").data) == CONTENT
        assert (Box.load(name="big").data == data).all()


# what is refused


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # the name of a socket must be short
        made.bind(path.name)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to a file": (lambda path: (path / "l").symlink_to("config.json"), "symbolic link.*copytree"),
    "a link to a folder": (lambda path: (path / "l").symlink_to("weights"), "symbolic link"),
    "a link to nothing": (lambda path: (path / "weights" / "l").symlink_to("/nowhere"), "symbolic link"),
    "a pipe": (lambda path: _pipe(path / "p"), "neither a file nor a folder"),
    "a socket": (lambda path: _socket(path / "s"), "neither a file nor a folder"),
    "a backslash": (lambda path: (path / "a\\b").write_bytes(b""), "backslash"),
    "names that differ in case": (lambda path: (path / "Config.json").write_bytes(b""), "upper and lower case"),
    "a name that is no text": (lambda path: open(os.fsencode(path) + b"/\xff", "wb").close(), "UTF-8"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_kept_everywhere_is_refused(local: Database, tmp_path: Path, what: str) -> None:
    """Links, special files and names that another machine could not have: a taught error, and nothing is saved."""
    spoil, message = REFUSED[what]
    made = make(tmp_path / "model")
    spoil(made.path)
    with pytest.raises(SavePatternError, match=message):
        box(made)
    assert Box.versions("model") == []
    assert list((tmp_path / "store" / "tmp").glob("*")) in ([], [tmp_path / "store" / "tmp" / ".ready"])


def test_what_is_no_folder_is_refused(local: Database, tmp_path: Path) -> None:
    """A path that is none or a file, and a value that is not wrapped, say what to give instead."""
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(SavePatternError, match="is no folder"):
            Folder(path)
    make(tmp_path / "model")
    for value in (tmp_path / "model", str(tmp_path / "model"), 5):
        with pytest.raises(SavePatternError, match=r"give Folder\(path\)"):
            box(value)
    gone = Folder(tmp_path / "model")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(SavePatternError, match="is no longer there"):
        box(gone)
    with pytest.raises(HashingError, match="is no longer there"):
        hash_value(gone)


@pytest.mark.parametrize("mode", [0, 0o600, 0o300], ids=["nothing", "no way through", "no list"])
def test_what_may_not_be_read_is_told(local: Database, tmp_path: Path, mode: int) -> None:
    """A folder inside, or the folder itself, that this user may not look into is named, when it is given and when it is saved."""
    made = make(tmp_path / "model")
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    for path in (tmp_path, made.path, made / "weights"):
        os.chown(path, user, -1)
    os.chmod(made / "weights", mode)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.chdir(tmp_path)  # what is above is not for this user to read
            os.setuid(user)
            with pytest.raises(SavePatternError, match=r"weights.* cannot be looked at: Permission denied"):
                scan(Path("model"))
            if mode != 0o300:
                with pytest.raises(SavePatternError, match="none that this user may see"):
                    Folder("model/weights/below")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    os.chmod(made / "weights", 0o700)
    assert status == 0


def test_a_file_that_goes_while_it_is_looked_at_is_told(
    local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of a folder and the look at a file of it, somebody may take the file away."""
    made = make(tmp_path / "model")
    real = os.stat

    def look(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("config.json"):
            (made / "config.json").unlink(missing_ok=True)
        return real(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", look)
        with pytest.raises(SavePatternError, match=r"config\.json is no longer there: save again"):
            scan(made.path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "bytes of a file that was stored": lambda path: (path / "Ünïcode name.txt").write_bytes(b"uu"),
    "bytes of a file to come": lambda path: (path / "weights" / "part-2.bin").write_bytes(b"third" * 100_000),
    "a file more": lambda path: (path / "more").write_bytes(b""),
    "a file less": lambda path: (path / "empty.txt").unlink(),
    "a file that became a link": lambda path: ((path / "run.sh").unlink(), (path / "run.sh").symlink_to("config.json")),
    "a folder less": lambda path: (path / "logs" / "none").rmdir(),
    "an executable bit": lambda path: (path / "run.sh").chmod(0o644),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_folder_that_changes_while_it_is_saved_is_refused(
    local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whatever changes between the first look and the last file, nothing is saved, and the error names the path."""
    made = make(tmp_path / "model")
    right, count = folders._stored, iter(range(100))

    def stored(*args: Any) -> Any:
        if next(count) == len(CONTENT) // 2:
            CHANGES[what](made.path)
        return right(*args)

    monkeypatch.setattr(folders, "_stored", stored)
    with pytest.raises(SavePatternError, match=r"was changed while|symbolic link|cannot be read"):
        box(made)
    assert Box.versions("model") == []


# the workspace


def edited(database: Database, of: Box, **changes: Any) -> None:
    """Change the reference in the record, as whoever may write to the database could."""
    [(pattern, found)] = of.filepaths["data"].items()
    values = {"filepaths": {"data": {pattern: {**found, **changes}}}}
    table = database.table_of("persistable").__table__
    database.run(lambda connection: connection.execute(table.update().values(**values)).close())


def forged(database: Database, manifest: dict[str, Any]) -> dict[str, Any]:
    """Put a manifest into the store and return the fields of a reference to it."""
    store = database.places.store("default")
    spool = store.spool()
    spool.write(json.dumps(manifest, separators=(",", ":")).encode())
    found = {"digest": spool.digest, "size": spool.size}
    found["key"] = database.places.ledger.intend(digest=spool.digest, size=spool.size, store="default").key
    store.put(spool, found["key"])
    return found


@pytest.mark.parametrize(
    "path", ["../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "C:/escaped", "a\0b", ""]
)
def test_a_path_that_leads_out_is_refused_before_anything_is_written(
    local: Database, tmp_path: Path, path: str
) -> None:
    """A tampered manifest is a typed error, and the workspace is not even made."""
    saved = box(make(tmp_path / "model"))
    store = local.places.store("default")
    found = reference(saved)
    part = parts_of(found, store.read(found["key"], found["size"])[0])[0]
    file = [path, 0, part[1], part[2]]
    fields = forged(local, {"format": 1, "layout": "folder", "files": [file], "folders": []})
    edited(local, saved, **fields, parts=[part[0]], total=part[1])
    before = {entry for entry in tmp_path.rglob("*") if "store" not in entry.parts}
    with pytest.raises(SerializationError, match="no manifest that simpleml wrote"):
        _ = Box.load(name="model").data
    assert {entry for entry in tmp_path.rglob("*") if "store" not in entry.parts} == before


def test_an_edited_record_never_gives_another_folder(local: Database, tmp_path: Path) -> None:
    """Other keys, another total, layout, format or serializer: each is a typed error."""
    saved = box(make(tmp_path / "model"))
    parts = reference(saved)["parts"]
    for changes in (
        {"parts": parts[::-1]},
        {"parts": parts[1:]},
        {"total": 5},
        {"layout": "chunks"},
        {"format": 2},
        {"serializer": "json"},
    ):
        edited(local, saved, **changes)
        with pytest.raises(SimpleMLError):
            _ = Box.load(name="model").data
    assert [path for path in local.places.workspace.glob("*") if path.suffix != ".json"] == []
    edited(local, saved)
    assert content(Box.load(name="model").data) == CONTENT


SPOILED: dict[str, Callable[[Path], object]] = {
    "changed bytes": lambda path: (path / "config.json").write_bytes(b'{"layers": 5}'),
    "a file more": lambda path: (path / "mine.txt").write_bytes(b"work of hours"),
    "a file less": lambda path: (path / "config.json").unlink(),
    "a link": lambda path: ((path / "config.json").unlink(), (path / "config.json").symlink_to("run.sh")),
    "an executable bit": lambda path: (path / "run.sh").chmod(0o600),
    "all gone": shutil.rmtree,
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_changed_folder_in_the_workspace_is_left_and_made_again(local: Database, tmp_path: Path, what: str) -> None:
    """Whoever loads gets what was saved, from a new place; what somebody did to the old one is not thrown away."""
    box(make(tmp_path / "model"))
    first = Box.load(name="model").data
    SPOILED[what](first.path)
    left = sorted(path.relative_to(first.path) for path in first.path.rglob("*")) if first.path.exists() else None
    second = Box.load(name="model").data
    assert content(second) == CONTENT
    assert second.path != first.path
    if left is not None:
        assert sorted(path.relative_to(first.path) for path in first.path.rglob("*")) == left
    assert Box.load(name="model").data.path == second.path


@pytest.mark.parametrize(
    "mark", [b"", b"{", b"[]", b'{"folder":"../..","boot":"","files":{}}', b'{"folder":5,"boot":"","files":{}}']
)
def test_a_damaged_mark_only_costs_time(local: Database, tmp_path: Path, mark: bytes) -> None:
    """Whatever stands in it, the folder is made again, below the workspace."""
    box(make(tmp_path / "model"))
    first = Box.load(name="model").data
    [path] = first.path.parent.glob("*.json")
    path.write_bytes(mark)
    again = Box.load(name="model").data
    assert content(again) == CONTENT
    assert again.path.parent == first.path.parent


def test_many_who_load_at_once_get_one_folder(local: Database, tmp_path: Path) -> None:
    """Every one of them gets the whole, and afterwards all get the same."""
    box(make(tmp_path / "model"))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_in(local), range(16)))
    assert all(content(each) == CONTENT for each in found)
    assert len({Box.load(name="model").data.path for _ in range(3)}) == 1
    assert [path.name for path in local.places.workspace.glob("*.part")] == []


def load_in(database: Database) -> Folder:
    """Load the folder in this thread."""
    with database:
        return Box.load(name="model").data


def test_clearing_takes_what_is_old_and_ours_alone(local: Database, tmp_path: Path) -> None:
    """Folders that nobody asked for lately and half-made ones go; used ones, and what is not ours, stay."""
    workspace = Workspace(local.places.workspace)
    assert workspace.clear(0.0) == 0
    box(make(tmp_path / "model"))
    box(make(tmp_path / "other", {"run.sh": b"other"}), "other")
    old, used = Box.load(name="model").data, Box.load(name="other").data
    half = workspace.root / f"{'ab' * 16}-{'cd' * 16}.part"
    theirs = workspace.root / "notes"
    for path in (half, theirs):
        path.mkdir()
        os.utime(path, (5, 5))
    for path in workspace.root.glob("*"):
        if path.suffix == ".json" and old.path.name in path.read_text():
            os.utime(path, (5, 5))
    for folder in (old, used):
        os.utime(folder, (5, 5))
    gone = old.path
    Box.load(name="model")
    del old
    gc.collect()
    assert workspace.clear(3600.0) == 2
    assert (gone.exists(), half.exists()) == (False, False)
    assert (used.path.exists(), theirs.exists()) == (True, True)
    assert content(Box.load(name="model").data) == CONTENT


def test_clearing_leaves_what_a_process_uses(local: Database, tmp_path: Path) -> None:
    """A folder stays as long as an object of any process stands for it, however old it is; then it goes, with its mark."""
    box(make(tmp_path / "model"))
    workspace = Workspace(local.places.workspace)
    again, used = Box.load(name="model").data, Box.load(name="model").data
    path = used.path
    assert on_stage(_clearing, str(workspace.root)) == 0
    del again
    gc.collect()
    assert workspace.clear(-1.0) == on_stage(_clearing, str(workspace.root)) == 0
    assert content(used) == CONTENT
    assert Box.load(name="model").data.path == path
    del used
    gc.collect()
    assert on_stage(_clearing, str(workspace.root)) == 1
    assert [*workspace.root.iterdir()] == []


def _clearing(root: str) -> int:
    return Workspace(Path(root)).clear(-1.0)


def test_clearing_leaves_what_is_just_made(local: Database, tmp_path: Path) -> None:
    """A sweep without patience takes no folder from who makes it, nor from who is just looking at it."""
    box(make(tmp_path / "model"))
    workspace = Workspace(local.places.workspace)
    found: list[int] = []
    plain = folders.write_file

    def write(*arguments: Any) -> None:
        found.append(workspace.clear(-1.0))
        plain(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "write_file", write)
        assert content(Box.load(name="model").data) == CONTENT
    assert found == [0] * len(CONTENT)


MOMENTS: dict[str, tuple[object, str]] = {
    "before it is in use": (workspaces, "_in_use"),
    "before it has its name": (workspaces, "scan"),
    "before its mark is written": (Workspace, "_write_mark"),
    "before its mark has its name": (os, "replace"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_sweep_without_patience_costs_no_load(
    local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whenever it sweeps while a folder is made, who loads has the folder, and it stays."""
    box(make(tmp_path / "model"))
    workspace = Workspace(local.places.workspace)
    owner, name = MOMENTS[moment]
    plain, swept = getattr(owner, name), []

    def late(*arguments: Any) -> Any:
        if not swept:
            swept.append(workspace.clear(-1.0))
        return plain(*arguments)

    monkeypatch.setattr(owner, name, late)
    loaded = Box.load(name="model").data
    assert swept == [moment == "before it is in use"]
    assert workspace.clear(-1.0) == 0
    assert content(loaded) == CONTENT
    assert content(Box.load(name="model").data) == CONTENT


def test_what_is_gone_when_a_sweep_comes_to_it_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two sweeps that list the same folder one removes it, and the other counts nothing and goes on."""
    half = tmp_path / f"{'ab' * 16}-{'cd' * 16}.part"
    half.mkdir()
    plain = workspaces._alone

    def late(path: Path) -> Any:
        monkeypatch.undo()
        assert Workspace(tmp_path).clear(-1.0) == 1
        return plain(path)

    monkeypatch.setattr(workspaces, "_alone", late)
    assert Workspace(tmp_path).clear(-1.0) == 0
    assert not half.exists()


def test_a_broken_workspace_keeps_no_store_from_being_swept(local: Database, tmp_path: Path) -> None:
    """What is wrong with the workspace is raised when all stores are gone through."""
    found = forged(local, {})
    expire(local)
    local.places.workspace.parent.mkdir(parents=True, exist_ok=True)
    local.places.workspace.write_bytes(b"")
    lost = tmp_path / "store" / make_key(found["key"][8:20], found["digest"], "0" * 32)
    lost.parent.mkdir(exist_ok=True)
    lost.write_bytes(b"no row")
    with pytest.raises(StoreError, match="no folder can be made or removed in"):
        collect(local)
    assert not lost.exists()


def test_where_locks_do_nothing_age_decides(local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that knows no locks a folder is loaded all the same, and is cleared by its age alone."""

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    box(make(tmp_path / "model"))
    monkeypatch.setattr(fcntl, "flock", unknown)
    used = Box.load(name="model").data
    assert content(used) == CONTENT
    workspace = Workspace(local.places.workspace)
    assert workspace.clear(3600.0) == 0
    assert workspace.clear(-1.0) == 1


def test_many_loaded_folders_take_one_descriptor(local: Database, tmp_path: Path) -> None:
    """Objects that stand for one folder share what keeps it, and give it back."""
    box(make(tmp_path / "model"))
    one = Box.load(name="model").data
    there = len(os.listdir("/proc/self/fd"))
    more = [Box.load(name="model").data for _ in range(20)]
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= there
    del one, more
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) < there


def test_a_workspace_that_cannot_be_written_is_told(local: Database, tmp_path: Path) -> None:
    """A file in its place is a taught error that names the setting."""
    box(make(tmp_path / "model"))
    local.places.workspace.parent.mkdir(parents=True, exist_ok=True)
    local.places.workspace.write_bytes(b"")
    with pytest.raises(StoreError, match=r"no folder can be made or removed in .*cache_folder"):
        _ = Box.load(name="model").data


def test_a_folder_is_known_by_its_path(tmp_path: Path) -> None:
    """Its repr is the path, copies are the same folder, and another folder is another, whatever is in it."""
    made = make(tmp_path / "model")
    assert repr(made) == f"Folder(path={made.path!r})"
    assert copy.copy(made) is copy.deepcopy([made])[0] is made
    assert make(tmp_path / "b") != made


@pytest.mark.parametrize("pattern", ["cloudpickle", "joblib", None])
def test_a_folder_inside_another_value_is_refused(local: Database, tmp_path: Path, pattern: str | None) -> None:
    """A pickle would keep the path alone, under the hash of the content: no pattern saves that, and the error says what to do."""
    made = make(tmp_path / "model")
    with pytest.raises(SerializationError, match="without its files: make it an artifact of its own"):
        pickle.dumps({"model": made})
    wrong = Box(name="wrong", data={"model": made}, save_patterns={"data": [pattern]} if pattern else None)
    with pytest.raises(SerializationError, match=r"make it an artifact of its own \(pattern 'folder'\)"):
        wrong.save()
    assert Box.versions("wrong") == []
    box(made)
    assert content(Box.load(name="model").data) == CONTENT


# a kill in the middle


def _saving(say: Say, root: str, kind: str, when: int) -> None:
    """Save until the `when`-th object has its name, and die there."""
    count = iter(range(10**6))

    def die(name: str) -> None:
        if name == "put.rename.after" and next(count) == when:
            os.kill(os.getpid(), 9)

    with open_in(root) as database:
        failpoints.install(die)
        if kind == "folder":
            box(Folder(Path(root) / "model"), "killed")
        else:
            database.places.store("default").chunked = True
            Box(name="killed", data=np.random.default_rng(0).random(1_000_000)).save()
    say(("survived",))


def _killed(root: str, kind: str, whens: list[int]) -> list[int]:
    return [forked(_saving, root, kind, when)[0] for when in whens]


def open_in(root: str) -> Database:
    """Open the database below `root`."""
    return open_database(Path(root) / "k.db", store=Path(root) / "kept", home=Path(root) / "embedded")


@pytest.mark.parametrize("kind", ["folder", "chunks"])
def test_a_kill_in_the_middle_leaves_nothing_half_visible(tmp_path: Path, kind: str) -> None:
    """No record, what was saved before is whole, and the collection removes every part that the kills left."""
    make(tmp_path / "model")
    store = tmp_path / "kept"
    with open_in(str(tmp_path)) as database:
        box(make(tmp_path / "first", {"config.json": CONTENT["config.json"], "run.sh": b"first"}), "before")
        before = objects(store)
        database.close()
    assert on_stage(_killed, str(tmp_path), kind, [0, 2, 4]) == [-9, -9, -9]
    assert len(objects(store) - before) >= 3
    with open_in(str(tmp_path)) as database:
        assert Box.versions("killed") == []
        assert verify(database, everything=True).findings == ()
        expire(database)
        collect(database, leftovers_after=0.0)
        assert objects(store) == before
        assert list((store / "tmp").glob("*.part")) == []
        assert content(Box.load(name="before").data)["run.sh"] == b"first"
        database.close()
