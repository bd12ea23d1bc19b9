"""Records of a kind whose module is not imported: every command that passes over them says so, and their bytes are verified."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

import simpleml
from simpleml.errors import DatabaseError
from simpleml.orm import Database
from simpleml.orm.backup import backup
from simpleml.orm.housekeeping import verify
from simpleml.orm.unmapped import Unmapped, unmapped
from tests.integration.kinds import Box

Cli = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).resolve().parents[2]
KIND = """
import simpleml
from simpleml import Artifact, Persistable
from simpleml.orm import ORMPersistable

class ORMReport(ORMPersistable):
    __tablename__ = "reports"
    kind = "report"

class Report(Persistable):
    kind = "report"
    text = Artifact()
"""
FOUND = Unmapped("reports", 2, "ownkinds")
TOLD = "the table 'reports' holds 2 records of a kind that is not known here"


@pytest.fixture
def there(database_url: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that lead to a database with two reports, saved by a process that has their module, and a box."""
    Path("ownkinds.py").write_text(KIND)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = str(tmp_path / "store")
    script = (
        "import sys, simpleml, ownkinds; simpleml.connect(sys.argv[1], store=sys.argv[2])\n"
        "for text in ('It went well.', 'It went better.'): ownkinds.Report(name='annual', text=text).save()"
    )
    subprocess.run([sys.executable, "-c", script, database_url, store], check=True)
    with simpleml.connect(database_url, store=store):
        Box(name="box", data="known").save()
    simpleml.disconnect()
    return ["--database", database_url, "--store", store]


@pytest.fixture
def database(there: list[str]) -> Database:
    """That database, opened where `ownkinds` is not imported."""
    return simpleml.connect(there[1], store=there[3])


def stored(database: Database) -> list[Path]:
    """Return the files of all objects, the one of the box last."""
    store = Path(database.settings.stores["default"])
    [known] = Box.load("box").filepaths["data"].values()
    files = [path for path in store.glob("objects-*/*/*") if path != store / known["key"]]
    return [*sorted(files), store / known["key"]]


def test_they_are_found_by_their_table(database: Database) -> None:
    """The table, the number of its records and the module of their class are told, of no other table, and not once it is empty."""
    assert database.run(unmapped, read=True) == [FOUND]
    assert str(FOUND).startswith(TOLD)
    assert "--import ownkinds" in str(FOUND)
    database.run(lambda connection: connection.exec_driver_sql("CREATE TABLE others (version INTEGER, name INTEGER)"))
    assert database.run(unmapped, read=True) == [FOUND]
    database.run(lambda connection: connection.exec_driver_sql("DELETE FROM reports"))
    assert database.run(unmapped, read=True) == []


def test_an_odd_table_of_somebody_elses_stops_nothing(database: Database, tmp_path: Path) -> None:
    """One with the same columns is told without a module, whatever it holds, and no other is told; verifying goes on."""

    def make(connection: Connection) -> None:
        for name, sort, value in (
            ("jsons", "JSON", '{"__simpleml__": "?", "value": 1}'),
            ("notes", "VARCHAR(20)", "no JSON"),
        ):
            columns = f"registered_name INTEGER, filepaths INTEGER, metadata {sort}, version INTEGER"
            connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
            connection.exec_driver_sql(f"INSERT INTO {name} (metadata) VALUES ('{value}')")
        connection.exec_driver_sql("CREATE VIEW seen AS SELECT * FROM notes")

    database.run(make)
    odd = (Unmapped("jsons", 1), Unmapped("notes", 1), FOUND)
    found = verify(database, everything=True)
    assert (found.records, found.findings, found.unmapped) == (1, (), odd)


def test_a_virtual_table_whose_module_is_not_there_stops_nothing(local: Database, tmp_path: Path) -> None:
    """An SQLite file with such a table, which nothing can describe, is verified and backed up."""
    Box(name="box", data="known").save()
    local.close()
    with closing(sqlite3.connect(tmp_path / "local.db")) as file:
        file.execute("PRAGMA writable_schema=ON")
        made = ("table", "vectors", "vectors", 0, "CREATE VIRTUAL TABLE vectors USING not_there(embedding)")
        file.execute("INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES (?, ?, ?, ?, ?)", made)
        file.commit()
    found = verify(local, everything=True)
    assert (found.records, found.findings, found.unmapped) == (1, (), ())
    assert backup(local, tmp_path / "backup").records == 1


def test_their_objects_are_verified_with_everything(database: Database) -> None:
    """Damage to the bytes of a record that nothing here maps is found and marked, and believed to be cured once it is."""
    whole = verify(database, everything=True)
    assert (whole.records, whole.blobs, whole.findings, whole.unmapped) == (1, 3, (), (FOUND,))
    path, *_ = stored(database)
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    found = verify(database, everything=True)
    assert [(each.problem, each.record, each.key) for each in found.findings] == [
        ("damaged", "", "/".join(path.parts[-3:]))
    ]
    assert verify(database).findings == ()  # what the known records refer to is whole
    path.write_bytes(data)
    assert verify(database, everything=True).findings == ()
    path.unlink()
    assert [each.problem for each in verify(database, everything=True).findings] == ["missing"]


def test_what_nothing_refers_to_is_not_verified(database: Database) -> None:
    """An object that waits for its collection is not missed."""
    *_, path = stored(database)
    Box.load("box").delete()
    path.unlink()
    assert verify(database, everything=True).findings == ()


@pytest.mark.parametrize("command", ["ls", "verify --all", "store du", "prune --all --keep-last 1"])
def test_a_command_that_passes_over_them_says_so(command: str, there: list[str], cli: Cli) -> None:
    """The note names the table, the number of records and the option, on stderr, so that `--json` stays JSON."""
    code, out, err = cli(*there, *command.split())
    assert (code, err.count(TOLD), err.count("--import ownkinds")) == (0, 1, 1)
    assert "nothing is saved" not in out
    code, out, err = cli(*there, "--json", *command.split())
    assert (code, err.count(TOLD)) == (0, 1)
    assert isinstance(json.loads(out), list | dict)


def test_an_unknown_name_may_be_one_of_them(there: list[str], cli: Cli) -> None:
    """`show` and `verify` of a name that is not there say that it may be among these records; with --import it is found."""
    for command in ("show", "verify"):
        code, _, err = cli(*there, command, "annual")
        assert code == 1
        assert TOLD in err
        assert "--import ownkinds" in err
    done = subprocess.run(
        [sys.executable, "-m", "simpleml", "--import", "ownkinds", *there, "verify", "--all"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.startswith("3 records, 3 stored objects"), done.stderr) == (True, "")


def test_damage_to_them_is_told_by_the_command_line(there: list[str], cli: Cli, database: Database) -> None:
    """`verify --all` leaves with exit code 1 when only the bytes of an unknown kind are damaged."""
    stored(database)[0].write_bytes(b"?")
    code, out, err = cli(*there, "verify", "--all")
    assert (code, "damaged" in out, TOLD in err) == (1, True, True)


def test_a_backup_without_them_leaves_nothing_behind(database: Database, tmp_path: Path, there: list[str]) -> None:
    """A backup is refused before anything is written, so that it can be taken to the same folder with the module imported."""
    with pytest.raises(DatabaseError, match=f"{TOLD}.*--import ownkinds"):
        backup(database, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    command = [sys.executable, "-m", "simpleml", "--import", "ownkinds", *there, "backup", str(tmp_path / "backup")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 records" in done.stdout
