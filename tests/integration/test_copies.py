"""A database that was copied, and the one that it was copied from, share a store, and neither loses what the other needs."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from simpleml import migrations
from simpleml.cli import main
from simpleml.errors import DatabaseReadOnlyError, SavePatternError, SchemaError
from simpleml.orm import Database, dialects, identity, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.tables import Ledger
from simpleml.save_patterns.locations.keys import is_key, ledger_folder
from tests.faults.mounts import can_mount, mounted, own_mounts
from tests.faults.stages import on_stage
from tests.integration.kinds import Box
from tests.races.crew import FORK, Crew

NewDatabase = Callable[[str], str]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder that both databases have for their default store."""
    return tmp_path / "store"


@contextmanager
def opened(url: str, store: Path | str, **settings: Any) -> Iterator[Database]:
    """The current database of the block, in which nothing has to wait until it is collected."""
    home = Path(settings.pop("home", Path(str(store)).parent / "embedded"))
    with open_database(url, store=store, home=home, **{"grace": 0, **settings}) as database:
        yield database
    database.close()


def copied(url: str, new_database: NewDatabase) -> str:
    """Copy a database that nobody uses, as its administrator would; return the URL of the copy."""
    source = make_url(url)
    family = source.get_backend_name().replace("mysql", "mariadb")
    made = new_database(family)
    name = make_url(made).database
    if family == "sqlite":
        shutil.copy(str(source.database), str(name))
        return made
    over = source.set(database="postgres") if family == "postgresql" else source
    engine = sa.create_engine(over, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        if family == "postgresql":
            connection.exec_driver_sql(f"DROP DATABASE {name}")
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {source.database}")
            return made
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        for table in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"CREATE TABLE {name}.{table} LIKE {table}")
            connection.exec_driver_sql(f"INSERT INTO {name}.{table} SELECT * FROM {table}")
    return made


def key_of(box: Box) -> str:
    """The key of a saved box's object."""
    [reference] = box.filepaths["data"].values()
    return str(reference["key"])


def stored(store: Path) -> set[str]:
    """The keys of everything that a folder holds."""
    return {key for path in store.rglob("*") if is_key(key := path.relative_to(store).as_posix())}


def ledgers(url: str) -> list[tuple[str, bool]]:
    """The ids that a database has, and whether they are its own."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(Ledger.id, Ledger.own).order_by(Ledger.number))]


def lost_by_sharing(url: str, store: Path, new_database: NewDatabase, *, copy_first: bool) -> list[str]:
    """Save in a database and in a copy of it, delete in the copy, and collect in both; return what is missing anywhere."""
    with opened(url, store):
        for name in ("kept", "doomed", "based"):
            Box(name=name, data=f"{name} in the first").save()
    other = copied(url, new_database)
    with opened(other, store):
        Box(name="copied", data="saved in the copy").save()
        Box(name="same", data="kept in the first").save()
        Box.load("based").new_version().save()
        Box.load("doomed").delete()
    with opened(url, store):
        Box(name="original", data="saved in the first").save()
    for each in (other, url) if copy_first else (url, other):
        with opened(each, store) as database:
            collect(database, leftovers_after=0)
    found = []
    for each in (url, other):
        with opened(each, store) as database:
            found += [f"{database!r}: {finding}" for finding in verify(database, everything=True).findings]
    return found


@pytest.mark.parametrize("copy_first", [False, True])
def test_neither_collects_what_the_other_needs(
    database_url: str, store: Path, new_database: NewDatabase, copy_first: bool
) -> None:
    """After saves in both, a deletion in the copy and gc of both in any order, all that either one's records need is there."""
    assert lost_by_sharing(database_url, store, new_database, copy_first=copy_first) == []


@pytest.mark.parametrize("copy_first", [False, True])
def test_a_copy_that_is_not_noticed_loses_objects(
    database_url: str, store: Path, new_database: NewDatabase, copy_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known-bad twin: with one place for all, the same steps lose what either one has saved."""
    monkeypatch.setattr(dialects, "place_of", lambda _: "everywhere")
    found = lost_by_sharing(database_url, store, new_database, copy_first=copy_first)
    assert "missing" in " ".join(found)


class _Numbers:
    """The numbers of files where every folder is a fresh volume; stands for `os`, and for what cannot be mounted here."""

    def stat(self, path: str) -> SimpleNamespace:
        return SimpleNamespace(st_ino=int(Path(path).exists()))

    def statvfs(self, path: str) -> SimpleNamespace:
        return SimpleNamespace(f_fsid=Path(path).parent.stat().st_ino)


def _on_two_volumes(folder: str, mounting: bool, twin: bool) -> list[str]:
    """Share a store between a database and its copy whose files have one number, each on its own volume; return what is lost."""
    if twin:
        dialects.place_of = dialects.former_place_of
    base = Path(folder)
    with ExitStack() as stack:
        if mounting:
            own_mounts()
            volumes = [stack.enter_context(mounted(base / name, "-t", "tmpfs", "tmpfs")) for name in ("one", "two")]
        else:
            dialects.os = _Numbers()  # type: ignore[attr-defined]
            volumes = [base / "one", base / "two"]
            for volume in volumes:
                volume.mkdir()
        file, copy = (volume / "m.db" for volume in volumes)
        lost = lost_by_sharing(f"sqlite:///{file}", base / "store", lambda _: f"sqlite:///{copy}", copy_first=True)
        if mounting:
            assert file.stat().st_ino == copy.stat().st_ino
        return lost


@pytest.mark.parametrize("mounting", [False, True], ids=["told", "mounted"])
def test_a_copy_on_another_volume_is_noticed_by_that(tmp_path: Path, mounting: bool) -> None:
    """A copy whose file has the number of the original's loses nothing either; known by that number alone, it does."""
    if mounting and not can_mount():
        print("nothing can be mounted here: volumes are only told")
        mounting = False
    found = []
    for twin in (False, True):
        folder = tmp_path / str(twin)
        folder.mkdir()
        found.append(on_stage(_on_two_volumes, str(folder), mounting, twin))
    assert found[0] == []
    assert "missing" in " ".join(found[1])


def test_a_file_that_noted_its_number_alone_is_no_copy(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A database of before file systems counted keeps its id, notes where it is, and is told from a copy from then on."""
    caplog.set_level(logging.WARNING, "simpleml.orm.schema")
    url = f"sqlite:///{tmp_path / 'm.db'}"
    with opened(url, store) as database:
        former = database.run(dialects.former_place_of, read=True)
        database.run(lambda connection: connection.execute(sa.update(Ledger).values(place=former)).close())
        first = database.ledger_id
    for _ in range(2):
        with opened(url, store) as database:
            assert database.identity.own == {ledger_folder(first)}
            place = database.run(lambda connection: connection.execute(sa.select(Ledger.place)).scalar_one(), read=True)
            assert place == database.run(dialects.place_of, read=True) != former
    assert (ledgers(url), caplog.records) == ([(first, True)], [])


def test_what_a_copy_saves_outlives_the_original(database_url: str, store: Path, new_database: NewDatabase) -> None:
    """What was saved in the copy refers to nothing that the original may remove, equal bytes and new versions included."""
    with opened(database_url, store):
        Box(name="kept", data="equal bytes").save()
        Box(name="kept", data="other bytes").save()
    other = copied(database_url, new_database)
    with opened(other, store) as database:
        Box(name="same", data="equal bytes").save()
        Box.load("kept", version=1).new_version().save()
        made = [Box.load("same"), Box.load("kept", version=3)]
        assert all(database.owns(key_of(box)) for box in made)
        assert not database.owns(key_of(Box.load("kept", version=1)))
        assert len({key_of(box) for box in made}) == 1
    with opened(database_url, store) as database:
        for version in (1, 2):
            Box.load("kept", version=version).delete()
        assert collect(database, leftovers_after=0).removed == 2
    with opened(other, store):
        assert [Box.load("same").data, Box.load("kept").data] == ["equal bytes"] * 2


def test_a_copy_collects_its_own(database_url: str, store: Path, new_database: NewDatabase) -> None:
    """Gc of the copy removes the bytes of what it saved, and of what it was copied with the row alone; both are reported."""
    with opened(database_url, store):
        first = key_of(Box(name="kept", data="in the first").save())
    other = copied(database_url, new_database)
    with opened(other, store) as database:
        box = Box(name="mine", data="in the copy").save()
        second, size = key_of(box), next(iter(box.filepaths["data"].values()))["size"]
        assert second.startswith(ledger_folder(database.ledger_id))
        for name in ("kept", "mine"):
            Box.load(name).delete()
        found = collect(database, leftovers_after=0)
        assert (found.removed, found.keys, found.swept) == (2, (second,), 0)
        assert found.freed == size
        assert verify(database, everything=True).blobs == 0
    assert stored(store) == {first}
    with opened(database_url, store) as database:
        Box.load("kept").delete()
        assert collect(database, leftovers_after=0).keys == (first,)
    assert stored(store) == set()


def test_a_copy_is_told_once(
    database_url: str, store: Path, new_database: NewDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """The first to open a copy logs what happened and what to do; nobody else does, and the original says nothing."""
    caplog.set_level(logging.WARNING, "simpleml.orm.schema")
    with opened(database_url, store) as database:
        first = database.ledger_id
    other = copied(database_url, new_database)
    for _ in range(2):
        with opened(other, store) as database:
            second = database.ledger_id
        with opened(database_url, store) as database:
            assert database.ledger_id == first
    assert [record.getMessage().partition(" is a copy of another")[2] != "" for record in caplog.records] == [True]
    assert "simpleml db adopt" in caplog.text
    assert ledgers(other) == [(first, False), (second, True)]
    assert ledgers(database_url) == [(first, True)]


def test_a_copy_of_a_copy(database_url: str, store: Path, new_database: NewDatabase) -> None:
    """Each copy gets an id of its own, knows those before, and owns none of them."""
    urls = [database_url]
    for number in range(3):
        with opened(urls[-1], store):
            Box(name="kept", data=f"number {number}").save()
        if number < 2:
            urls.append(copied(urls[-1], new_database))
    assert [len(ledgers(url)) for url in urls] == [1, 2, 3]
    assert [own for _, own in ledgers(urls[-1])] == [False, False, True]
    for url in reversed(urls):
        with opened(url, store) as database:
            assert collect(database, leftovers_after=0).keys == ()
    for number, url in enumerate(urls):
        with opened(url, store):
            found = [Box.load("kept", version=version).data for version in range(1, number + 2)]
        assert found == [f"number {each}" for each in range(number + 1)]


def test_a_copy_of_an_empty_schema(database_url: str, store: Path, new_database: NewDatabase) -> None:
    """A database that `simpleml db init` made and nobody used is told from its copies, too."""
    with pytest.raises(SystemExit) as left:
        main(["db", "init", "--database", database_url])
    assert left.value.code == 0
    other = copied(database_url, new_database)
    found = []
    for url in (database_url, other):
        with opened(url, store) as database:
            found.append(database.ledger_id)
    assert len(set(found)) == 2


def _open(_: int, url: str, store: Path) -> str:
    with opened(url, store) as database:
        Box(name="raced", data="by all").save()
        return database.ledger_id


def test_eight_that_open_a_copy_at_once_agree(database_url: str, store: Path, new_database: NewDatabase) -> None:
    """8 processes that open a fresh copy at one instant give it one new id, which all of them save under."""
    with opened(database_url, store) as database:
        first = database.ledger_id
    other = copied(database_url, new_database)
    with closing(Crew()) as crew:
        [second] = set(crew.together(8, _open, other, store, context=FORK))
    assert ledgers(other) == [(first, False), (second, True)]
    with opened(other, store) as database:
        assert sorted(box.version for box in Box.query()) == list(range(1, 9))
        assert verify(database, everything=True).findings == ()


def test_a_place_stays(database_url: str, store: Path) -> None:
    """What tells the place is a digest, and the same for every connection; on SQLite also under another name."""
    with opened(database_url, store) as database:
        first = database.run(dialects.place_of, read=True)
        if database.url.get_backend_name() == "mysql":
            database.run(lambda connection: connection.exec_driver_sql("FLUSH TABLES ledger").close())
        database.engine.dispose()
        Box(name="kept", data=1).save()
        assert database.run(dialects.place_of, read=True) == first
    assert first is not None
    assert len(first) == 64
    assert int(first, 16)


def test_a_renamed_file_is_no_copy(tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An SQLite file that was given another name or folder, or a link, stays who it is."""
    caplog.set_level(logging.WARNING, "simpleml.orm.schema")
    file = tmp_path / "m.db"
    with opened(f"sqlite:///{file}", store) as database:
        first = database.ledger_id
    (tmp_path / "folder").mkdir()
    file = file.rename(tmp_path / "folder" / "other.db")
    link = tmp_path / "link.db"
    link.symlink_to(file)
    for each in (file, link):
        with opened(f"sqlite:///{each}", store) as database:
            assert database.ledger_id == first
    assert caplog.records == []


def test_a_database_in_memory_has_no_place(store: Path) -> None:
    """One that lives in its process has no copies, and is told nothing."""
    with opened("sqlite://", store) as database:
        assert database.run(dialects.place_of, read=True) is None
        Box(name="kept", data=1).save()
        assert Box.load("kept").data == 1


def test_postgresql_without_the_number_of_its_cluster(store: Path, new_database: NewDatabase) -> None:
    """Where not everybody may ask for the cluster, a copy is noticed all the same, and a schema's name counts too."""
    url = new_database("postgresql")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with opened(url, store):
        pass
    with engine.begin() as connection:
        whole = dialects.place_of(connection)
        connection.exec_driver_sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        connection.execute(sa.update(Ledger).values(place=dialects.place_of(connection)))
        assert dialects.place_of(connection) not in (None, whole)
    other = copied(url, new_database)
    with opened(other, store):
        assert len(ledgers(other)) == 2
    with opened(url, store):
        assert len(ledgers(url)) == 1
    with engine.begin() as connection:
        before = dialects.place_of(connection)
        connection.exec_driver_sql("CREATE SCHEMA elsewhere")
        connection.exec_driver_sql("CREATE TABLE elsewhere.ledger AS TABLE ledger")
        connection.exec_driver_sql("SET LOCAL search_path TO elsewhere")
        assert dialects.place_of(connection) != before


# older, adopted, restored, offline


def test_an_older_database_gets_its_place_when_it_is_opened(
    database_url: str, store: Path, new_database: NewDatabase
) -> None:
    """A database of the third revision keeps its id and its objects through the upgrade; copies made from then on are noticed."""
    with opened(database_url, store) as database:
        Box(name="kept", data=1).save()
        first = database.ledger_id
        database.run(lambda connection: migrations.downgrade(connection, "0003"))
    with pytest.raises(SystemExit) as left:
        main(["db", "upgrade", "--database", database_url])
    assert left.value.code == 0
    other = copied(database_url, new_database)
    with opened(database_url, store) as database:
        assert database.ledger_id == first
        assert Box.load("kept").data == 1
    with opened(other, store) as database:
        assert database.ledger_id != first
        assert Box.load("kept").data == 1


def test_a_database_without_a_place_gets_one(database_url: str, store: Path) -> None:
    """A place that was never noted is noted by the first who opens the database, without a new id."""
    with opened(database_url, store) as database:
        database.run(lambda connection: connection.execute(sa.update(Ledger).values(place=None)).close())
        first = database.ledger_id
    with opened(database_url, store) as database:
        assert database.ledger_id == first
        place = database.run(lambda connection: connection.execute(sa.select(Ledger.place)).scalar_one(), read=True)
        assert place == database.run(dialects.place_of, read=True)


@pytest.mark.parametrize("was_opened", [False, True])
def test_a_moved_database_is_adopted(
    database_url: str, store: Path, new_database: NewDatabase, was_opened: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `simpleml db adopt` a database collects all that it was copied with, as the one did that is gone."""
    with opened(database_url, store) as database:
        first = key_of(Box(name="kept", data="in the first").save())
    other = copied(database_url, new_database)
    if was_opened:
        with opened(other, store):
            pass
    for adopted in (int(was_opened), 0):
        with pytest.raises(SystemExit) as left:
            main(["db", "adopt", "--yes", "--json", "--database", other])
        assert left.value.code == 0
        assert json.loads(capsys.readouterr().out)["adopted"] == adopted
    with opened(other, store) as database:
        assert len(ledgers(other)) == 1 + was_opened
        assert database.owns(first)
        Box.load("kept").delete()
        assert collect(database, leftovers_after=0).keys == (first,)
    assert stored(store) == set()


def test_adopting_asks_first(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--yes` nothing is adopted unless the answer is yes; of a database that is not there none is made."""
    source = f"sqlite:///{tmp_path / 'm.db'}"
    with opened(source, store):
        pass
    shutil.copy(tmp_path / "m.db", tmp_path / "copy.db")
    other = f"sqlite:///{tmp_path / 'copy.db'}"
    with opened(other, store):
        pass
    for answer, code, own in (("n", 1, False), ("y", 0, True)):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
        with pytest.raises(SystemExit) as left:
            main(["db", "adopt", "--database", other])
        assert left.value.code == code
        assert [each for _, each in ledgers(other)] == [own, True]
    with pytest.raises(SystemExit) as left:
        main(["db", "adopt", "--yes", "--database", f"sqlite:///{tmp_path / 'empty.db'}"])
    assert left.value.code == 1
    assert "makes none" in capsys.readouterr().err
    assert not (tmp_path / "empty.db").exists()


def test_a_backup_of_a_copy_is_restored_as_one(
    database_url: str, store: Path, tmp_path: Path, new_database: NewDatabase
) -> None:
    """What a backup of a copy holds, whoever it was announced by, belongs to the database that it is restored into."""
    with opened(database_url, store):
        Box(name="first", data="in the first").save()
    other = copied(database_url, new_database)
    with opened(other, store) as database:
        Box(name="second", data="in the copy").save()
        backup(database, tmp_path / "backup")
    third = new_database(make_url(database_url).get_backend_name().replace("mysql", "mariadb"))
    with opened(third, store) as database:
        mine = database.ledger_id
        restore(database, tmp_path / "backup")
    with opened(third, store) as database:
        assert database.ledger_id == mine
        assert ledgers(third) == [(mine, True)]
        assert {box.data for box in Box.query()} == {"in the first", "in the copy"}
        assert all(database.owns(key_of(box)) for box in Box.query())
        assert collect(database, leftovers_after=0).keys == ()
        assert verify(database, everything=True).findings == ()


def test_several_ids_do_not_fit_into_an_older_schema(tmp_path: Path, store: Path) -> None:
    """A copy is not downgraded, for an older version would refuse its objects; it goes altogether, and others go back."""
    with opened(f"sqlite:///{tmp_path / 'm.db'}", store) as database:
        Box(name="kept", data=1).save()
    shutil.copy(tmp_path / "m.db", tmp_path / "copy.db")
    with opened(f"sqlite:///{tmp_path / 'copy.db'}", store) as database:
        with pytest.raises(SchemaError, match=r"has 2 ids.*Nothing was changed\. Back it up"):
            database.run(lambda connection: migrations.downgrade(connection, "0003"))
        assert Box.load("kept").data == 1
        database.run(lambda connection: migrations.downgrade(connection, "base"))


def test_a_store_within_the_database_is_copied_with_it(
    tmp_path: Path, database_url: str, new_database: NewDatabase
) -> None:
    """Objects that lie in the database itself are the copy's own from the beginning: it collects them."""
    with opened(database_url, "database://", home=tmp_path / "embedded") as database:
        Box(name="kept", data="in the first").save()
    other = copied(database_url, new_database)
    with opened(other, "database://", home=tmp_path / "embedded") as database:
        box = Box.load("kept")
        box.delete()
        assert collect(database, leftovers_after=0).keys == (key_of(box),)
        assert list(database.places.store("default").keys(key_of(box).partition("/")[0])) == []
    with opened(database_url, "database://", home=tmp_path / "embedded"):
        assert Box.load("kept").data == "in the first"


@pytest.mark.parametrize("family", ["postgresql", "mariadb"])
def test_what_a_copy_was_copied_with_is_there_offline(family: str, store: Path, new_database: NewDatabase) -> None:
    """Records of a copied server that were loaded here are there without the network, and theirs are no copy to be told."""
    url = new_database(family)
    with opened(url, store):
        Box(name="kept", data="in the first").save()
    other = copied(url, new_database)
    with opened(other, store) as database:
        mine = database.ledger_id
        assert Box.load("kept").data == "in the first"
    with opened(other, store, offline=True) as database:
        assert database.is_copy
        assert database.ledger_id == mine
        assert Box.load("kept").data == "in the first"


def test_a_copy_that_cannot_be_written_is_read(tmp_path: Path, store: Path) -> None:
    """Opened by somebody who may not write it, a copy gives what it holds; whoever may not note the new id saves nothing."""
    with opened(f"sqlite:///{tmp_path / 'm.db'}", store):
        Box(name="kept", data="in the first").save()
    shutil.copy(tmp_path / "m.db", tmp_path / "copy.db")
    with opened(f"sqlite:///file:{tmp_path / 'copy.db'}?mode=ro&uri=true", store) as database:
        assert Box.load("kept").data == "in the first"
        assert not database.identity.own
        with pytest.raises(DatabaseReadOnlyError, match="may not write its table ledger"):
            Box(name="new", data=1).save()


def test_a_user_without_the_ledger_saves_nothing_in_a_copy(store: Path, new_database: NewDatabase) -> None:
    """A user who may write every table but the ledger can save in the original, and in the copy only once it is noted."""
    url = new_database("postgresql")
    with opened(url, store):
        Box(name="kept", data="in the first").save()
    name = f"reader_{os.getpid()}"
    other = copied(url, new_database)
    engine = sa.create_engine(other, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
        connection.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        connection.exec_driver_sql(f"REVOKE INSERT, UPDATE ON ledger FROM {name}")
    try:
        lesser = make_url(other).set(username=name, password="pw").render_as_string(hide_password=False)
        with opened(lesser, store):
            assert Box.load("kept").data == "in the first"
            with pytest.raises(DatabaseReadOnlyError, match="may not write its table ledger"):
                Box(name="new", data=1).save()
        with opened(other, store):
            pass
        with opened(lesser, store) as database:
            assert database.owns(key_of(Box(name="new", data=1).save()))
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {name}")
            connection.exec_driver_sql(f"DROP ROLE {name}")


def test_an_id_that_came_later_is_known(tmp_path: Path, store: Path) -> None:
    """Whoever had the database open when it got a new id reads what is saved under it; a stranger's object is refused."""
    url = f"sqlite:///{tmp_path / 'm.db'}"
    with opened(url, store) as database:
        database.run(lambda connection: connection.execute(sa.update(Ledger).values(place="elsewhere")).close())
        with opened(url, store) as later:
            assert later.ledger_id != database.ledger_id
            Box(name="later", data="under the new id").save()
        assert Box.load("later").data == "under the new id"
        assert not database.knows("objects-000000000000/ab/x")
        box = Box.load("later")
        [reference] = box.filepaths["data"].values()
        reference["key"] = f"objects-000000000000/{key_of(box).partition('/')[2]}"
        with pytest.raises(SavePatternError, match="belongs to another database"):
            assert box.data


def test_settling_again_changes_nothing(tmp_path: Path, store: Path) -> None:
    """A copy that was noted is not noted again, by however many calls."""
    with opened(f"sqlite:///{tmp_path / 'm.db'}", store) as database:
        database.run(lambda connection: connection.execute(sa.update(Ledger).values(place="elsewhere")).close())
        found = [database.run(identity.settle) for _ in range(2)]
    assert [moved for _, moved in found] == [True, False]
    assert found[0][0] == found[1][0]
