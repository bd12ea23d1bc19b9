"""Backup, restore, collection and verification where something is wrong: told in our words, and nothing half done."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update

import simpleml
from simpleml import failpoints
from simpleml.cli.face import Face
from simpleml.cli.upkeep import run_gc
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ConfigurationError,
    DatabaseError,
    SavePatternError,
    SimpleMLError,
    StoreError,
    UnknownStoreError,
)
from simpleml.orm import Database, ORMGeneral, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.inventory import copy_store
from simpleml.orm.tables import Blob, VersionCounter
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.memory import MemoryTransport
from simpleml.save_patterns.locations.opening import open_store, register_location
from simpleml.settings.stores import StorePlace
from tests.faults.mounts import can_mount, mounted, own_mounts
from tests.faults.stages import on_stage
from tests.integration.kinds import Box

SIZES = (10, 400_000)  # in the spool's memory until it is put; in its file


@pytest.fixture(autouse=True)
def _no_hook() -> Iterator[None]:
    yield
    failpoints.install(None)


def reference(box: Box) -> dict[str, Any]:
    """Return the one reference of a saved box."""
    [found] = box.filepaths["data"].values()
    return dict(found)


def damage(box: Box, store: Path) -> None:
    """Change one byte of a saved box."""
    path = store / reference(box)["key"]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def expire(database: Database) -> None:
    """End every lease."""
    database.run(lambda connection: connection.execute(update(Blob).values(lease_until=0.0)).close())


def entries(folder: Path) -> dict[str, tuple[int, int]]:
    """Return everything in a folder, itself included, with its size and the time of its last change."""
    found = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


# backup


def test_a_backup_with_damaged_bytes_is_refused(database: Database, tmp_path: Path) -> None:
    """A record whose bytes are known to be damaged is named, with what to do; without that version the backup is made."""
    Box(name="whole", data="w").save()
    box = Box(name="broken", data="b").save()
    damage(box, tmp_path / "store")
    assert len(verify(database).findings) == 1
    with pytest.raises(ArtifactDamagedError, match=r"persistable 'broken' version 1\. .*verify --all.*delete") as error:
        backup(database, tmp_path / "backup")
    assert "whole" not in str(error.value)
    assert not (tmp_path / "backup" / "backup.json").exists()
    with pytest.raises(ConfigurationError, match="was not finished"):
        backup(database, tmp_path / "backup")
    box.delete()
    assert backup(database, tmp_path / "again").records == 1


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/simpleml/backup"])
def test_a_backup_to_an_impossible_place_is_a_taught_error(local: Database, tmp_path: Path, place: str) -> None:
    """A backup onto a file, below a file, or where no folder can be made says where and what to do."""
    (tmp_path / "file").write_bytes(b"a file")
    with pytest.raises(ConfigurationError, match=r"no backup can be written to .*Give a folder") as error:
        backup(local, tmp_path / place)
    assert str(tmp_path / place) in str(error.value)
    assert (tmp_path / "file").read_bytes() == b"a file"


def test_a_failure_of_the_backups_file_is_not_told_as_the_databases(database: Database, tmp_path: Path) -> None:
    """Rows that the file of the backup refuses are told with its path, not as a failure of the database."""
    Box(name="a", data=[1]).save()
    database.run(lambda connection: connection.execute(update(Blob).values(refs=0)).close())
    with pytest.raises(DatabaseError, match=r"do not fit together.*records\.sqlite.*verify --all") as error:
        backup(database, tmp_path / "backup")
    assert repr(database) not in str(error.value)


# restore


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A backup of two records."""
    with open_database(tmp_path / "saved.db", store=tmp_path / "saved", home=tmp_path / "embedded") as source:
        for data in ("one", "two"):
            Box(name="kept", data=data).save()
        backup(source, tmp_path / "backup")
    source.close()
    return tmp_path / "backup"


def is_empty(database: Database, store: Path) -> bool:
    """Whether there are neither records nor objects."""
    return not database.count("persistable", {}) and not list(store.glob("objects-*/*/*"))


def spoil(file: Path, how: str) -> None:
    """Damage the records of a backup."""
    data = bytearray(file.read_bytes())
    if how == "one bit":
        data[data.rindex(b"kept")] ^= 1
    file.write_bytes({"no database": b"not a database" * 500, "cut": data[:5000]}.get(how, data))


@pytest.mark.parametrize("how", ["no database", "cut", "one bit"])
def test_damaged_records_are_not_restored(local: Database, tmp_path: Path, saved: Path, how: str) -> None:
    """A backup whose records were changed in any way is refused before anything is copied."""
    spoil(saved / "records.sqlite", how)
    with pytest.raises(ConfigurationError, match=r"damaged: .*records\.sqlite.*another backup"):
        restore(local, saved)
    assert is_empty(local, tmp_path / "store")


@pytest.mark.parametrize("how", ["no database", "cut"])
def test_records_that_cannot_be_read_are_a_taught_error(local: Database, tmp_path: Path, saved: Path, how: str) -> None:
    """Even without the digest of its records, a backup that SQLite cannot read is told as such."""
    mark = saved / "backup.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"digest": ""}))
    spoil(saved / "records.sqlite", how)
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*records\.sqlite") as error:
        restore(local, saved)
    assert repr(local) not in str(error.value)
    assert is_empty(local, tmp_path / "store")


def test_missing_records_are_not_made(local: Database, tmp_path: Path, saved: Path) -> None:
    """A backup without its records is refused, and stays as it is."""
    (saved / "records.sqlite").unlink()
    before = entries(saved)
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*records\.sqlite"):
        restore(local, saved)
    assert entries(saved) == before
    assert is_empty(local, tmp_path / "store")


@pytest.mark.parametrize("place", ["backup/backup.json", "nowhere"])
def test_what_is_no_backup_is_a_taught_error(local: Database, tmp_path: Path, saved: Path, place: str) -> None:
    """Restoring from a file or from nothing says which folder is wanted."""
    with pytest.raises(ConfigurationError, match=r"Give the folder|give the folder"):
        restore(local, tmp_path / place)


def test_a_database_that_only_counts_versions_is_not_restored_into(
    database: Database, tmp_path: Path, saved: Path
) -> None:
    """A database whose records were all deleted still has version numbers: it is refused before anything is copied."""
    Box(name="kept", data=None).save().delete()
    before = sorted((tmp_path / "store").rglob("*"))
    with pytest.raises(DatabaseError, match=r"is not empty .*version_counters.*new database"):
        restore(database, saved)
    assert sorted((tmp_path / "store").rglob("*")) == before
    assert database.count("persistable", {}) == 0


def test_a_save_during_a_restore_is_a_taught_error(database: Database, tmp_path: Path, saved: Path) -> None:
    """A version that is counted while objects are copied makes the restore fail as a whole, in our words."""

    def count(name: str) -> None:
        if name == "put.rename.after":
            failpoints.install(None)
            counter: Any = VersionCounter.__table__
            row = {"kind": "persistable", "name": "kept", "scope": "", "last": 1}
            database.run(lambda connection: connection.execute(counter.insert(), [row]).close())

    failpoints.install(count)
    with pytest.raises(DatabaseError, match=r"is not empty .*version_counters"):
        restore(database, saved)
    assert database.count("persistable", {}) == 0


def test_a_restore_only_reads_the_backup(database: Database, saved: Path) -> None:
    """A restore leaves no trace in the folder of the backup, not even for a moment."""
    before = entries(saved)
    assert {path.name for path in saved.iterdir() if path.is_file()} == {"backup.json", "records.sqlite"}
    assert restore(database, saved).records == 2
    assert entries(saved) == before
    assert [Box.load(name="kept", version=version).data for version in (1, 2)] == ["one", "two"]


def restore_mounted(saved: Path, folder: Path) -> list[Any]:
    """Restore a backup from a file system that is mounted read-only (in a stage)."""
    own_mounts()
    with mounted(folder / "mounted", "--bind", "-o", "ro", saved) as place:
        return restore_new(place, folder)


def restore_new(saved: Path, folder: Path) -> list[Any]:
    """Restore a backup into a new place and return what is there."""
    database = open_database(folder / "new.db", store=folder / "new", home=folder / "embedded")
    try:
        with database:
            restore(database, saved)
            return [Box.load(name="kept", version=version).data for version in (1, 2)]
    finally:
        database.close()


def test_a_backup_that_cannot_be_written_is_restored(tmp_path: Path, saved: Path) -> None:
    """A backup on a read-only medium is restored."""
    if can_mount():
        assert on_stage(restore_mounted, saved, tmp_path) == ["one", "two"]
        return
    for path in [saved, *saved.rglob("*")]:
        path.chmod(0o500)
    try:
        assert restore_new(saved, tmp_path) == ["one", "two"]
    finally:
        for path in [saved, *saved.rglob("*")]:
            path.chmod(0o700)


# collect and verify


def orphan(database: Database) -> str:
    """Put an object that no row announces; return its key."""
    store = database.places.store("default")
    spool = store.spool()
    spool.write(b"nobody's")
    key = make_key(database.ledger_id, spool.digest, uuid4().hex)
    store.put(spool, key)
    return key


def test_a_store_with_two_names_is_swept_once(database: Database) -> None:
    """An object without a row is counted once, though `default` and `disk` are the same folder."""
    assert database.places.store("default").describe() == database.places.store("disk").describe()
    key = orphan(database)
    for dry_run in (True, False):
        found = collect(database, dry_run=dry_run)
        assert (found.swept, found.keys) == (1, (key,))
    assert collect(database).keys == ()


def test_only_stores_that_are_known_are_collected(database: Database) -> None:
    """A single text is one store; one that this machine does not know is told with the setting to add."""
    orphan(database)
    assert collect(database, stores="database").swept == 0
    with pytest.raises(UnknownStoreError, match=r"the store 'defualt' is; .*did you mean 'default'"):
        collect(database, stores=["default", "defualt"])
    assert collect(database, stores="default").swept == 1


def test_a_collection_counts_what_it_removed(database: Database, database_url: str, tmp_path: Path) -> None:
    """A blob that a writer takes up while others are removed is not counted as removed."""
    for data in ("first", "other"):
        Box(name=data, data=data).save().delete()
    expire(database)

    def revive(name: str) -> None:
        if name == "gc.remove.before":
            failpoints.install(None)
            for data in ("first", "other"):
                Box(name=data, data=data).save()

    would = collect(database, dry_run=True)
    assert would.removed == 2
    failpoints.install(revive)
    done = collect(database)
    assert done.removed == len(done.keys) == 1
    assert 0 < done.freed < would.freed
    assert [Box.load(name=data).data for data in ("first", "other")] == ["first", "other"]
    assert verify(database, everything=True).findings == ()


def test_a_lease_may_end_after_the_last_date_there_is(cli: Callable[..., tuple[int, str, str]], home: Path) -> None:
    """A grace of millennia, which keeps everything, is no error of a collection: it says that the lease ends at the end of time."""
    database = simpleml.connect(home / "records.db", store=home / "store", grace=1e12)
    Box(name="a", data=[1]).save().delete()
    found = collect(database)
    assert (found.removed, found.waiting, found.waiting_from) == (0, 1, datetime.max.replace(microsecond=0, tzinfo=UTC))
    code, out, _ = cli("gc", "--database", str(home / "records.db"))
    assert (code, "the first from 9999-12-31 23:59:59 UTC" in out) == (0, True)


def test_a_store_that_cannot_be_opened_is_left_alone(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection does its whole work in the stores it can open, and names the others, also on the command line."""
    monkeypatch.setenv("SIMPLEML_STORES_CLOUD", "s3://bucket/prefix")
    monkeypatch.setenv("SIMPLEML_STORES_ARCHIVE", str(home / "archive"))
    database = simpleml.connect(home / "records.db", store=home / "store")
    Box(name="a", data=[1]).save().delete()
    expire(database)
    key = orphan(database)
    done = collect(database)
    assert (done.removed, done.swept, done.unreachable) == (1, 1, ("cloud",))
    assert key in done.keys
    run_gc(Face(database=str(home / "records.db")), dry_run=True, temporary_after=None)
    assert "left alone, because they cannot be opened here: the stores cloud" in capsys.readouterr().out
    run_gc(Face(as_json=True, database=str(home / "records.db")), dry_run=True, temporary_after=None)
    assert json.loads(capsys.readouterr().out)["unreachable"] == ["cloud"]


def test_a_store_with_wrong_options_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose options are found to be wrong once something in it is to be removed keeps no other one from being collected."""
    monkeypatch.setenv("SIMPLEML_STORES_CLOUD", "memory://wrong-options")
    database = simpleml.connect(home / "records.db", store=home / "store", grace=0)
    Box(name="a", data=[1], save_patterns={"data": ["pickled", "cloud_pickled"]}).save().delete()
    expire(database)
    database.close()
    monkeypatch.delenv("SIMPLEML_STORES_CLOUD")
    (home / "simpleml.toml").write_text('[stores.cloud]\nurl = "s3://bucket/x"\nkey = "k"\npasword = "x"\n')
    monkeypatch.setenv("SIMPLEML_CONFIGURATION_FILE", str(home / "simpleml.toml"))
    database = simpleml.connect(home / "records.db", store=home / "store", grace=0)
    key = orphan(database)
    done = collect(database)
    assert (done.removed, done.keys[-1], done.unreachable) == (1, key, ("cloud",))


def test_an_object_that_is_missing_is_found_once(database: Database, tmp_path: Path) -> None:
    """With the rows of blobs checked as well, what is missing or damaged is one finding, however often it is looked for."""
    boxes = [Box(name=name, data=name).save() for name in ("gone", "broken")]
    (tmp_path / "store" / reference(boxes[0])["key"]).unlink()
    damage(boxes[1], tmp_path / "store")
    for _ in range(2):
        found = verify(database, everything=True).findings
        assert sorted(each.problem for each in found) == ["damaged", "missing"]
        assert all(each.record for each in found)


def test_a_collection_brings_the_cache_down(home: Path) -> None:
    """A cache whose size was lowered is brought down to it by the next collection, not only by the next thing that is kept."""
    database = simpleml.connect(home / "records.db", store=home / "store", cache_size=0)
    entry = database.settings.cache / "objects" / "objects" / "ab" / ("ab" * 32)
    for folder in (entry.parent, entry.parents[2] / "tmp"):
        folder.mkdir(parents=True)
    entry.write_bytes(b"of an earlier time")
    collect(database, dry_run=True)
    assert entry.exists()
    collect(database)
    assert not entry.exists()


class Account(MemoryTransport):
    """A place in one of several accounts, of which its description says nothing."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        super().__init__(f"memory://{options['account']}", {})

    def describe(self) -> str:
        """The same for every account."""
        return "account://models"


def test_places_that_are_described_alike_may_be_two(home: Path) -> None:
    """Two accounts with folders of one name are copied between and collected in, each; one place by two names is refused."""
    register_location("account")(Account)
    accounts = [uuid4().hex for _ in range(2)]
    one, other = (StorePlace("account://models", {"account": account}) for account in accounts)
    stores = {"default": one, "old": one, "new": other, "disk": str(home / "disk"), "same": f"file://{home / 'disk'}"}
    database = simpleml.connect(home / "records.db", stores=stores, grace=0)
    Box(name="a", data=[1]).save()
    assert (copy_store(database, "default", "new").copied, copy_store(database, "default", "new").there) == (1, 1)
    with pytest.raises(ConfigurationError, match=r"'default' and 'old' are one place, account://models"):
        copy_store(database, "default", "old")
    Box(name="b", data=[2], save_patterns={"data": ["disk_json"]}).save()
    assert (copy_store(database, "disk", "same").copied, copy_store(database, "disk", "same").there) == (0, 1)
    assert Box.load(name="b").data == [2]
    lost = make_key(database.ledger_id, f"blake3:{'0' * 64}", "0" * 32)
    for name in ("default", "new"):
        with closing(database.places.store(name).spool()) as spool:
            spool.write(b"nobody's")
            database.places.store(name).put(spool, lost)
    assert collect(database, leftovers_after=0).swept == 2
    assert [database.places.store(name).size(lost) for name in ("default", "new")] == [None, None]


def test_a_copy_of_a_store_rescues_all_that_can_be(local: Database, tmp_path: Path) -> None:
    """Objects that are damaged or missing are named once all others are copied; a copy with a flipped bit is made anew."""
    boxes = [Box(name=name, data=name).save() for name in ("gone", "broken", "flipped", "short", "whole")]
    keys = [reference(box)["key"] for box in boxes]
    settings = local.settings.replace(stores={**local.settings.stores, "copy": str(tmp_path / "copy")})
    with Database(settings) as database:
        assert (copy_store(database, "default", "copy").copied, copy_store(database, "default", "copy").there) == (5, 5)
        (tmp_path / "store" / keys[0]).unlink()
        damage(boxes[1], tmp_path / "store")
        for name in keys[:2]:
            (tmp_path / "copy" / name).unlink()
        damage(boxes[2], tmp_path / "copy")
        (tmp_path / "copy" / keys[3]).write_bytes(b"short")
        assert copy_store(database, "default", "copy", dry_run=True).copied == 4
        with pytest.raises((ArtifactDamagedError, ArtifactMissingError), match="2 of 5 objects") as caught:
            copy_store(database, "default", "copy")
        assert all(key in str(caught.value) for key in keys[:2])
        assert not any(key in str(caught.value) for key in keys[2:])
    copied = LocalStore("copy", tmp_path / "copy")
    whole = [reference(box) for box in boxes[2:]]
    assert [copied.read(each["key"], each["size"])[1] for each in whole] == [each["digest"] for each in whole]


def test_every_record_of_a_damaged_object_is_named(database: Database, tmp_path: Path) -> None:
    """Records that share an object that is damaged, or missing, are all found; the object is read once."""
    boxes = [Box(name=name, data="shared").save() for name in ("a", "b", "c")]
    Box(name="d", data="another").save()
    assert len({reference(box)["key"] for box in boxes}) == 1
    damage(boxes[0], tmp_path / "store")
    found = verify(database)
    assert [each.problem for each in found.findings] == ["damaged"] * 3
    assert {each.record for each in found.findings} == {f"persistable {name!r} version 1" for name in "abc"}
    assert found.blobs == 2
    assert found.bytes_ == reference(boxes[0])["size"] + reference(Box.load(name="d"))["size"]
    (tmp_path / "store" / reference(boxes[0])["key"]).unlink()
    assert [each.problem for each in verify(database, names=["a", "c"]).findings] == ["missing"] * 2


def test_an_object_that_is_whole_again_is_trusted_again(database: Database, tmp_path: Path) -> None:
    """After the bytes were put back, one verification is enough for all records, and for a backup."""
    boxes = [Box(name=name, data="shared").save() for name in ("a", "b")]
    damage(boxes[0], tmp_path / "store")
    assert len(verify(database).findings) == 2
    damage(boxes[0], tmp_path / "store")  # the same bit again
    assert verify(database).findings == ()
    assert backup(database, tmp_path / "backup").blobs == 1


# stores


@pytest.mark.parametrize("size", SIZES)
def test_a_store_without_its_empty_folders_is_used(local: Database, tmp_path: Path, size: int) -> None:
    """A store that was moved by something that leaves empty folders behind is saved to as before."""
    kept = Box(name="kept", data="k").save()
    for folder, _, _ in os.walk(tmp_path / "store", topdown=False):
        if not os.listdir(folder):
            Path(folder).rmdir()
    local.close()
    simpleml.connect(tmp_path / "local.db", store=tmp_path / "store", home=tmp_path / "embedded")
    for number in range(20):
        Box(name="new", data=f"{number}" * size).save()
    assert Box.load(name="new", version=20).data == "19" * size
    assert Box.load(id=kept.id).data == "k"
    assert verify(simpleml.orm.current(), everything=True).findings == ()


@pytest.mark.parametrize("size", SIZES)
def test_a_store_that_was_removed_is_made_again(local: Database, tmp_path: Path, size: int) -> None:
    """A process that is at work goes on saving after the folder of the store, or its folder `tmp`, was removed."""
    Box(name="before", data="b" * size).save()
    for number, gone in enumerate([tmp_path / "store", tmp_path / "store" / "tmp", tmp_path / "store"]):
        shutil.rmtree(gone)
        Box(name="after", data=f"{number}" * size).save()
        assert Box.load(name="after", version=number + 1).data == f"{number}" * size
    assert Box.load(name="after").version == 3
    [objects] = (tmp_path / "store").glob("objects-*")
    assert len(list(objects.iterdir())) == 257  # and the marker


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gone", ["", "tmp", "objects-0123456789ab"])
def test_folders_that_vanish_under_a_spool(tmp_path: Path, size: int, gone: str) -> None:
    """What vanishes between the spool and the put is made again; if the bytes went with it, the error says to save again."""
    store = LocalStore("default", tmp_path / "store")

    def save(between: Path | None) -> bytes:
        spool = store.spool()
        try:
            spool.write(b"x" * size)
            if between is not None:
                shutil.rmtree(between)
            key = make_key("0123456789ab", spool.digest, uuid4().hex)
            store.put(spool, key)
        finally:
            spool.close()
        return bytes(store.read(key, size)[0])

    assert save(None) == b"x" * size
    if size > 256 * 1024 and gone != "objects-0123456789ab":
        with pytest.raises(StoreError, match=r"was removed while it was written.*save again"):
            save(tmp_path / "store" / gone)
        assert save(None) == b"x" * size
    else:
        assert save(tmp_path / "store" / gone) == b"x" * size


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a%20b", "/a b"),
        ("file://localhost/a/%C3%A4", "/a/ä"),
        ("file:///a%2525", "/a%25"),
        (Path("/ what? 100%#\udcff").as_uri(), "/ what? 100%#\udcff"),
        ("/a%20b", "/a%20b"),
    ],
    ids=["encoded", "this host", "once", "any byte", "a path"],
)
def test_a_file_url_names_the_folder_it_means(url: str, path: str, tmp_path: Path) -> None:
    """What is %-encoded in a `file://` URL is decoded, once; a path is taken as it is."""
    assert open_store("s", url, spool=tmp_path).describe() == path


@pytest.mark.parametrize(
    "url", ["file://server/share", "file://relative", "file://~/store", "file:///a%00b", "nfs://b"]
)
def test_a_url_that_leads_elsewhere_is_refused(url: str, tmp_path: Path) -> None:
    """A host, or what would be taken for one, is not silently left out, and names no folder here."""
    with pytest.raises(ConfigurationError, match=r"the store 's' is at"):
        open_store("s", url, spool=tmp_path)


def test_errors_are_of_our_tree(local: Database, tmp_path: Path) -> None:
    """Whatever place a backup is sent to or restored from, what comes is a backup or an error of ours."""
    (tmp_path / "file").touch()
    os.symlink("loop", tmp_path / "loop")
    for place in (tmp_path / "file", tmp_path / "loop", tmp_path / ("n" * 300), Path("/dev/null/x"), Path("/")):
        for act in (backup, restore):
            with pytest.raises(SimpleMLError):
                act(local, place)


def test_an_edited_reference_is_found(database: Database) -> None:
    """A record that was made to refer to another one's object is found, though every byte is as it was saved."""
    first, second = (Box(name=name, data=name * 9).save() for name in "ab")
    edited = {"data": {"json": reference(second)}}
    database.run(
        lambda connection: connection.execute(
            update(ORMGeneral).where(ORMGeneral.id == first.id).values(filepaths=edited)
        )
    )
    found = verify(database)
    assert {(each.problem, each.key) for each in found.findings} == {
        ("unclaimed", reference(second)["key"]),
        ("unused", reference(first)["key"]),
    }


def test_a_wrong_digest_in_a_record_harms_no_object(database: Database) -> None:
    """What a record says wrongly of an object is the record's fault: the object stays in use for others."""
    boxes = [Box(name=name, data="shared").save() for name in "ab"]
    for change in ({"digest": "blake3:" + "0" * 64}, {"size": 3}):
        edited = {"data": {"json": {**reference(boxes[0]), **change}}}
        database.run(
            lambda connection, edited=edited: connection.execute(
                update(ORMGeneral).where(ORMGeneral.id == boxes[0].id).values(filepaths=edited)
            )
        )
        assert [each.problem for each in verify(database).findings] == ["edited"]
        assert reference(Box(name="c", data="shared").save())["key"] == reference(boxes[1])["key"]


def test_objects_of_another_database_are_not_taken(local: Database, tmp_path: Path) -> None:
    """A reference to an object that another database announced is refused, also when the store is the same."""
    box = Box(name="a", data="mine").save()
    other = open_database(tmp_path / "other.db", store=tmp_path / "store")
    try:
        with other:
            theirs = reference(Box(name="b", data="theirs").save())
    finally:
        other.close()
    edited = {"data": {"json": theirs}}
    local.run(
        lambda connection: connection.execute(
            update(ORMGeneral).where(ORMGeneral.id == box.id).values(filepaths=edited)
        )
    )
    with pytest.raises(SavePatternError, match="belongs to another database"):
        _ = Box.load(name="a").data
    assert {each.problem for each in verify(local).findings} == {"unclaimed", "unused"}
