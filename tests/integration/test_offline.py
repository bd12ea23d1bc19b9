"""What was loaded once can be loaded again without the network: bytes from the cache, records from their copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import simpleml
from simpleml.errors import LineageError, OfflineError, RecordNotFoundError
from simpleml.orm import Database, open_database
from simpleml.orm.backup import backup
from simpleml.orm.housekeeping import collect
from simpleml.orm.inventory import copy_store
from simpleml.orm.offline import OfflineDatabase
from simpleml.orm.record_copies import RecordCopy, path_of
from simpleml.orm.retention import prune
from simpleml.save_patterns.locations.checking import check
from tests.integration.kinds import Box, Pair


@pytest.fixture
def server(
    new_database: Callable[[str], str], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., Database]:
    """Opens one database on a server, as one machine (one home) after another."""
    url = new_database(getattr(request, "param", "postgresql"))

    def connect(home: str = "a", **arguments: Any) -> Database:
        simpleml.disconnect()
        return simpleml.connect(url, store=tmp_path / "store", home=tmp_path / home, **arguments)

    return connect


@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)
def test_what_was_loaded_is_there_offline(server: Callable[..., Database]) -> None:
    """By name, version, id and along the lineage; with metadata, artifacts and hash as they were."""
    server("a")
    box = Box(name="x", data={"a": [1, 2.5]}, config={"k": 1}).save()
    made = Pair(name="y", source=box, left=[3]).save()
    Box(name="never", data=1).save()
    online = server("b")
    assert Pair.load(name="y").source.data == {"a": [1, 2.5]}
    online.close()
    offline = server("b", offline=True)
    assert isinstance(offline, OfflineDatabase)
    for found in (Pair.load(name="y"), Pair.load(name="y", version=1), Pair.load(id=made.id)):
        assert (found.hash_, found.version, found.source.id) == (made.hash_, 1, box.id)
        assert found.source.config == {"k": 1}
    assert Box.load(name="x").data == {"a": [1, 2.5]}
    assert Box.versions("x") == [1]
    with pytest.raises(RecordNotFoundError, match="; known: x, y"):
        Box.load(name="never")


def test_nothing_can_be_saved_offline(server: Callable[..., Database]) -> None:
    """Saving, deleting and changing state are refused in words that name the setting, and leave the object as it was."""
    server("a")
    Box(name="x", data=1).save()
    assert Box.load(name="x").data == 1
    server("a", offline=True)
    box = Box(name="x", data=2)
    with pytest.raises(OfflineError, match="offline = true"):
        box.save()
    assert box.version is None
    found = Box.load(name="x")
    for act in (found.save, found.delete):
        with pytest.raises(OfflineError, match="offline = true"):
            act()
    server("a")
    assert box.save().version == 2


def test_a_machine_that_never_loaded_anything_is_told_so(server: Callable[..., Database]) -> None:
    """Offline without copies is an error that says how to get them."""
    server("a")
    Box(name="x", data=1).save()
    with pytest.raises(OfflineError, match=r"nothing was loaded on this machine from .* yet"):
        server("fresh", offline=True)


def test_the_latest_offline_is_the_latest_that_was_loaded(server: Callable[..., Database]) -> None:
    """A newer version that this machine never saw is not known offline; one that was changed is known as last loaded."""
    server("a")
    box = Box(name="x", data=1).save()
    server("b")
    assert Box.load(name="x").version == 1
    server("a")
    Box(name="x", data=2).save()
    again = Box.load(name="x", version=1)
    again.state["seen"] = True
    again.save()
    server("b", offline=True)
    assert (Box.load(name="x").version, Box.load(name="x").state) == (1, {})
    server("b")
    assert Box.load(name="x", version=1).state == {"seen": True}
    server("b", offline=True)
    assert (Box.load(name="x").id, Box.load(name="x").state) == (box.id, {"seen": True})


def test_an_alias_is_known_offline(server: Callable[..., Database]) -> None:
    """What was loaded by an alias is found by that alias without the network, also after the alias was moved and seen."""
    server("a")
    first, second = Box(name="x", data=1).save(), Box(name="x", data=2).save()
    first.alias("production")
    server("b")
    assert Box.load("x", alias="production").version == 1
    server("b", offline=True)
    assert Box.load("x", alias="production").id == first.id
    server("a")
    Box.load("x", version=2).alias("production")
    server("b")
    assert Box.load("x", alias="production").version == 2
    server("b", offline=True)
    assert Box.load("x", alias="production").id == second.id


def test_an_alias_that_moved_back_is_known_offline(server: Callable[..., Database]) -> None:
    """One process sees an alias go to another version and come back: offline it is where it was seen last."""
    server("a")
    first, second = Box(name="x", data=1).save(), Box(name="x", data=2).save()
    for each in (first, second, first):
        each.alias("production")
        assert Box.load("x", alias="production").id == each.id
    server("a", offline=True)
    assert Box.load("x", alias="production").id == first.id


@pytest.mark.parametrize("folder", ["a?b", "a%41b", "a#b", "a b"])
def test_the_cache_may_be_in_any_folder(tmp_path: Path, folder: str) -> None:
    """Records are read offline from the very file that they were copied to, whatever its path means in a URL."""
    with open_database(tmp_path / "here.db", store=tmp_path / "store") as here:
        box = Box(name="x", data=1).save()
        settings = here.settings.replace(
            database_url="postgresql://me@server/db", cache_folder=tmp_path / folder, offline=True
        )
        [row] = here.select(Box.kind, {})
        RecordCopy(path_of(settings), here.identity).keep(Box.kind, row)
    with OfflineDatabase(settings):
        assert Box.load("x").id == box.id
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("a")) == [folder]


def test_copies_hold_no_password_and_are_private(server: Callable[..., Database]) -> None:
    """The file of copies is readable by its owner alone, and its name tells nothing of the server's URL."""
    database = server("a")
    Box(name="x", data=1).save()
    Box.load(name="x")
    path = path_of(database.settings)
    assert path.stat().st_mode & 0o077 == 0
    assert path.stem.isalnum()
    assert len(path.stem) == 32


def test_copies_that_cannot_be_kept_disturb_nobody(
    server: Callable[..., Database], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the cache cannot be written, loading works as before, and one warning says what is missing."""
    server("a")
    Box(name="x", data=1).save()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cache").write_text("in the way")
    server("b")
    for _ in range(3):
        assert Box.load(name="x").data == 1
    assert [record.levelname for record in caplog.records if "offline use" in record.message] == ["WARNING"]


def test_copies_of_another_schema_are_made_anew(server: Callable[..., Database]) -> None:
    """A file of copies that an older version left is replaced, not trusted."""
    database = server("a")
    Box(name="x", data=1).save()
    Box.load(name="x")
    path = path_of(database.settings)
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE simpleml_version SET version_num = '0001'"))
    engine.dispose()
    server("a")
    assert Box.load(name="x").data == 1
    server("a", offline=True)
    assert Box.load(name="x").version == 1


def test_a_local_database_is_itself_offline(tmp_path: Path) -> None:
    """An SQLite file needs no copies: offline it is read and written as ever, and only remote stores are refused."""
    simpleml.connect(
        tmp_path / "l.db", store=tmp_path / "store", home=tmp_path, stores={"cloud": "s3://offline"}, offline=True
    )
    assert Box(name="x", data=1).save().version == 1
    assert Box.load(name="x").data == 1
    with pytest.raises(OfflineError, match=r"'cloud' .* is not on this machine, and `offline` is set"):
        Box(name="x", data=1, save_patterns={"data": "cloud_json"}).save()


def test_what_was_never_asked_for_is_known_offline(server: Callable[..., Database], tmp_path: Path) -> None:
    """What a loaded record was made from is known although nobody looked at it; what is not known is refused, not empty."""
    server("a")
    box = Box(name="x", data=1).save()
    Pair(name="y", source=box, left=[3]).save().tag("good", "old")
    Pair.load("y").alias("best")
    server("b")
    online = Pair.load("y")
    offline = server("b", offline=True)
    found = Pair.load("y")
    for asked in (
        lambda: found.tags,
        lambda: Pair.query(tags__has="good").all(),
        lambda: Pair.query(tags__has="good").count(),
        lambda: prune(offline, None, keep_last=1, dry_run=True),
    ):
        with pytest.raises(OfflineError, match="tag"):
            asked()
    assert found.new_version()._parent_ids == online.new_version()._parent_ids == {"source": box.id}
    assert f"persistable {box.id} (not in this database)" in str(found.lineage())
    with pytest.raises(LineageError, match=f"{box.id}, which is not in the database"):
        _ = found.source
    with pytest.raises(OfflineError, match="how the aliases of 'y' moved"):
        Pair.alias_history("y", "best")
    with pytest.raises(OfflineError, match="nothing was written"):
        backup(offline, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_nothing_is_collected_by_who_knows_nothing(server: Callable[..., Database], tmp_path: Path) -> None:
    """Collecting on the copies of a server's records is refused: they say nothing of what the store holds."""
    server("a")
    box = Box(name="x", data=1).save()
    assert Box.load(name="x").data == 1
    offline = server("a", offline=True)
    with pytest.raises(OfflineError, match="nothing was removed"):
        collect(offline, leftovers_after=0)
    server("b")
    assert Box.load(id=box.id).data == 1


def test_no_store_far_away_is_asked_offline(tmp_path: Path) -> None:
    """Collecting and verifying leave a remote store alone and say so; copying from it is refused."""
    simpleml.connect(
        tmp_path / "l.db", store=tmp_path / "s", home=tmp_path, stores={"cloud": "s3://offline"}, offline=True
    )
    database = simpleml.orm.connections.current()
    assert collect(database).unreachable == ("cloud",)
    for call in (
        lambda: copy_store(database, "cloud", "disk"),
        lambda: check(database.places.store("cloud"), database.ledger_id),
    ):
        found = None
        try:
            found = call()
        except OfflineError:
            continue
        assert getattr(found, "copied", 0) == 0
        assert not getattr(found, "ok", False)
