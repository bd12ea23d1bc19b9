"""The command line: every command, its examples, its exit code, for people and for machines."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import make_dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import typer.main

import simpleml
from simpleml import Folder
from simpleml.cli import main
from simpleml.cli.app import app
from simpleml.cli.face import printable, shown
from simpleml.cli.naming import split_version
from simpleml.errors import IdentityError, SimpleMLError
from tests.integration.kinds import Box, Pair, SpecialBox
from tests.integration.old_simpleml import titanic

ROOT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, "-m", "simpleml"]


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has a home of its own, child processes find the package, and no connection outlives a test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    simpleml.disconnect()
    yield
    simpleml.disconnect()


@pytest.fixture
def there(database_url: str, tmp_path: Path) -> list[str]:
    """The options that lead to a fresh database, on each of the three, and to a store of its own."""
    return ["--database", database_url, "--store", str(tmp_path / "store")]


def fill(options: list[str], *boxes: Any) -> None:
    """Save objects where `options` say, which stays the current database."""
    simpleml.connect(options[1], store=options[3])
    for each in boxes:
        each.save()


def box(name: str, data: Any = None, cls: type[Box] = Box, **identity: Any) -> Box:
    """Return an unsaved box."""
    made = cls(name=name, **identity)
    made.data = data
    return made


def parsed(result: tuple[int, str, str], code: int = 0) -> Any:
    """Return the JSON that a command printed, which is all that it printed."""
    assert (result[0], result[2]) == (code, "")
    return json.loads(result[1])


# every command


def commands(group: Any = None, path: tuple[str, ...] = ("simpleml",)) -> Iterator[tuple[str, Any]]:
    """Give every command and group with the words that call it."""
    group = group or typer.main.get_command(app)
    yield " ".join(path), group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def examples_of(command: Any) -> list[str]:
    """Return the example lines that end the help of a command."""
    return [line.strip() for line in (command.epilog or "").splitlines() if "simpleml " in line]


@pytest.mark.parametrize(("words", "command"), list(commands()), ids=[words for words, _ in commands()])
def test_every_command_is_documented(cli, words, command):
    """Each command says what it does, explains every option and argument, and ends with examples that call it."""
    code, out, err = cli(*words.split()[1:], "--help")
    assert (code, err) == (0, "")
    assert command.help
    assert command.help.strip().endswith((".", "differs", "differ.", "why not."))
    assert examples_of(command)
    assert all(words in example for example in examples_of(command))
    assert all(example in out for example in examples_of(command))
    for parameter in command.params:
        assert getattr(parameter, "help", ""), f"{words}: {parameter.name} is not explained"


def test_every_example_works(cli, monkeypatch):
    """The examples of all commands, in the order of the help, each leave with exit code 0 in a home that they filled."""
    assert cli("demo")[0] == 0
    for number in range(3):
        box("churn", number).save()
    simpleml.disconnect()
    Path("mykinds.py").write_text("")
    shutil.copytree(ROOT / "config", "config")
    titanic(Path("old-home"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    every = [example for _, command in commands() for example in examples_of(command)]
    assert len(every) > 20
    for example in every:
        piped, _, call = example.rpartition(" | ")
        if piped:
            monkeypatch.setattr(sys, "stdin", StringIO(shlex.split(piped)[1]))
        code, out, err = cli(*shlex.split(call)[1:])
        assert code == 0, f"{example}: {err}"
        assert out, example
    assert cli("db", "current")[1].startswith("the schema is at none")


def test_the_module_is_the_command_line_and_says_its_version():
    """`python -m simpleml --version` works from any folder, and calling nothing is wrong usage."""
    done = subprocess.run([*PYTHON, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("simpleml ")
    assert subprocess.run(PYTHON, capture_output=True, check=False).returncode == 2


def test_help_imports_nothing_heavy():
    """Asking for help loads neither SQLAlchemy nor numpy, scikit-learn or pandas."""
    script = (
        "import sys; from simpleml.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print({'sqlalchemy', 'alembic', 'numpy', 'sklearn', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


# exit codes and errors


@pytest.mark.parametrize(
    "wrong",
    [
        ["nonsense"],
        ["ls", "--nonsense"],
        ["show"],
        ["verify"],
        ["verify", "--all", "x"],
        ["gc", "--temporary-after", "-1"],
        ["db"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(cli, wrong):
    """An unknown command or option, and what is missing or contradicts itself, end with 2 and a hint, and do nothing."""
    code, out, err = cli(*wrong)
    assert code == 2
    assert "Usage:" in out + err


def test_an_error_of_ours_is_one_line_and_exit_code_1(cli, monkeypatch):
    """What cannot be done is told on standard error without a traceback; `--traceback` shows where it came from."""
    code, out, err = cli("show", "nothing")
    assert (code, out) == (1, "")
    assert err.startswith("error: no 'nothing' in Database(")
    with pytest.raises(SimpleMLError):
        main(["--traceback", "show", "nothing"])
    monkeypatch.setenv("SIMPLEML_TRUSTT", "safe")
    assert cli("settings")[0] == 1


@pytest.mark.parametrize("url", ["foo://bar", "postgresql://u:hunter2@127.0.0.1:1/db"], ids=["unknown", "nobody there"])
@pytest.mark.parametrize("command", ["check", "current", "init", "upgrade"])
def test_a_database_that_cannot_be_opened_is_an_error_without_a_password(cli, url, command):
    """Schema commands tell what is wrong with the address, and never show its password."""
    code, out, err = cli("db", command, "--database", url)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "hunter2" not in err


def test_what_is_stored_cannot_drive_the_terminal(cli):
    """Control characters in a name are printed as escapes, in tables and in errors; line breaks too within tables."""
    evil = "red\x1b[31m\nname"
    box(evil, 1).save()
    code, out, _ = cli("ls")
    assert code == 0
    assert r"red\x1b[31m\nname" in out
    assert "\x1b" not in out + "".join(cli("show", evil)[1:]) + "".join(cli("show", evil + "\x1b")[1:])
    assert printable("a\tb\nü€\x9b") == "a\tb\nü€\\x9b"


def test_programs_read_lists_and_text() -> None:
    """In the JSON of a result tuples are lists, times and ids are text, at any depth, and no name ends in an underscore."""
    moment, id_ = datetime(2026, 1, 2, tzinfo=UTC), UUID(int=7)
    fields = [("bytes_", int), ("found", tuple), ("moment", datetime)]
    result = make_dataclass("Result", fields)(1, ({"id": id_}, ("a", None)), moment)
    assert shown(result) == {
        "bytes": 1,
        "found": [{"id": str(id_)}, ["a", None]],
        "moment": "2026-01-02T00:00:00+00:00",
    }


def test_a_terminal_without_the_letters_shows_escapes():
    """Output that cannot be encoded is escaped, not a crash."""
    box("größe", 1).save()
    simpleml.disconnect()
    done = subprocess.run(
        [*PYTHON, "ls"], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True
    )
    assert rb"gr\xf6\xdfe" in done.stdout


def test_tables_are_drawn_in_a_terminal_and_plain_elsewhere():
    """A terminal gets a drawn table; a pipe gets plain aligned columns without any escape code."""
    box("thing", 1).save()
    simpleml.disconnect()
    leader, follower = pty.openpty()
    subprocess.run([*PYTHON, "ls"], stdout=follower, check=True, env={**os.environ, "COLUMNS": "120", "TERM": "xterm"})
    os.close(follower)
    drawn = os.read(leader, 65536).decode()
    os.close(leader)
    plain = subprocess.run([*PYTHON, "ls"], capture_output=True, text=True, check=True).stdout
    assert "thing" in drawn
    assert "─" in drawn
    assert plain.splitlines()[1].split()[:5] == ["persistable", "thing", "1", "1", "Box"]
    assert plain.isascii()
    assert plain.isprintable() is False
    assert "\x1b" not in plain


# ls and show


def test_ls_tells_of_every_name_and_its_latest_version(cli, there):
    """One line a name, of all kinds or of one: number of versions, and class, size and time of the latest."""
    latest = box("b", "second longer", SpecialBox)
    fill(there, box("b", "first", version=3), latest, box("a", 1))
    found = parsed(cli("ls", "--json", *there))
    assert [(each["kind"], each["name"], each["versions"], each["latest"], each["class"]) for each in found] == [
        ("persistable", "a", 1, 1, "Box"),
        ("persistable", "b", 2, 4, "SpecialBox"),
    ]
    assert found[1]["size"] == latest.filepaths["data"]["json"]["size"]
    assert found[1]["created"].endswith("+00:00")
    assert parsed(cli("--json", "ls", "persistable", *there)) == found
    assert parsed(cli("ls", "model", "--json", *there)) == []
    code, out, _ = cli(*there, "ls")
    assert code == 0
    assert out.splitlines()[2].split()[:6] == ["persistable", "b", "2", "4", "SpecialBox", "16"]


def test_ls_of_an_empty_database_says_what_to_do(cli):
    """Nothing saved is no error; a kind that does not exist is."""
    code, out, _ = cli("ls")
    assert code == 0
    assert "simpleml demo" in out
    code, _, err = cli("ls", "modle")
    assert code == 1
    assert "known: dataset, " in err


def test_show_tells_all_that_the_row_says(cli, there):
    """Identity, config, state, artifacts with store, key, digest and size, library versions, and lineage."""
    source = box("raw", 1, config={"n": 2}, state={"seen": 3}, author="ada")
    pair = Pair(name="pair", source=source)
    pair.left, pair.right = 1, {"k": [1, 2]}
    fill(there, source, pair)
    shown = parsed(cli("show", "raw:1", "--json", *there))
    assert (shown["kind"], shown["name"], shown["version"], shown["class"]) == ("persistable", "raw", 1, "Box")
    assert (shown["config"], shown["state"], shown["author"]) == ({"n": 2}, {"seen": 3}, "ada")
    assert (shown["hash"], shown["id"]) == (source.hash_, str(source.id))
    [artifact] = shown["artifacts"]
    assert artifact == {"artifact": "data", "pattern": "json", **source.filepaths["data"]["json"]}
    assert shown["library_versions"]["python"] == sys.version.split()[0]
    lineage = parsed(cli("show", "pair", "--json", *there))["lineage"]
    assert lineage == {
        "source": {"kind": "persistable", "name": "raw", "version": 1, "hash": source.hash_, "id": str(source.id)}
    }
    code, out, _ = cli("show", "pair", *there)
    assert code == 0
    assert "source: persistable raw:1" in out
    assert pair.filepaths["right"]["json"]["digest"] in out


def test_sizes_are_those_of_the_artifacts(cli, there):
    """What is stored as several objects counts as what it holds, not as the list of its objects, for `ls`, `show` and notebooks."""
    folder = Path("folder")
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(f"{number}" * 1000)
    kept = box("kept", Folder(folder), save_patterns={"data": "folder"})
    fill(there, kept)
    assert kept.filepaths["data"]["folder"]["size"] < 1000
    assert [row["size"] for row in parsed(cli("ls", "--json", *there))] == [3000]
    assert "3.0 kB" in cli("ls", *there)[1]
    assert "data by folder: 3.0 kB, " in cli("show", "kept", *there)[1]
    assert "folder (3.0 kB)" in kept._repr_html_()


def test_show_takes_the_latest_or_the_version_that_is_named(cli):
    """`NAME` is the latest, `NAME:VERSION` that one; a version or name that is not there is told with those that are."""
    for number in range(3):
        box("n", number).save()
    assert parsed(cli("show", "n", "--json"))["version"] == 3
    assert parsed(cli("show", "n:2", "--json"))["version"] == 2
    assert "'n' has no alias 'best' in" in (err := cli("show", "n@best")[2])
    assert "it has none at all" in err
    code, _, err = cli("show", "n:9")
    assert code == 1
    assert "known versions: 1, 2, 3" in err
    assert "did you mean 'n'?" in cli("show", "nn")[2]


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("a", ("a", None)),
        ("a:1", ("a", 1)),
        ("a:b", ("a:b", None)),
        ("a:b:12", ("a:b", 12)),
        ("a:", ("a:", None)),
        ("a:-1", ("a:-1", None)),
        ("a:²", ("a:²", None)),
        (":1", (":1", None)),
        ("a:0", ("a:0", None)),
        ("a:2147483647", ("a", 2147483647)),
        ("a:2147483648", ("a:2147483648", None)),
        ("a:20261122235959", ("a:20261122235959", None)),
    ],
)
def test_a_name_may_have_colons(what, found):
    """The last colon parts name and version only if a number follows it that a version can have."""
    assert split_version(what) == found


@pytest.mark.parametrize("what", ["", "x" * 300])
def test_a_name_that_nothing_can_have_is_refused(what):
    """An empty or too long name is an error that says so."""
    with pytest.raises(IdentityError):
        split_version(what)


@pytest.mark.parametrize("name", [":1", "run:1", "run:0", "run:20261122235959", "a@b", "@", "a:b:2147483648"])
def test_whatever_was_saved_can_be_named(cli, name):
    """Names that look like a version or an alias of another are found by every command, also by their aliases."""
    box(name, [name]).save().alias("x@y")
    for command in ("show", "verify", "lineage", "scan"):
        assert cli(command, "--", name)[0] == 0, command
    assert parsed(cli("show", "--json", "--", f"{name}@x@y"))["name"] == name
    assert parsed(cli("show", "--json", "--", f"{name}:1"))["name"] == name
    assert cli("export", "--", name, "a.zip")[0] == 0
    assert cli("push", "--to", "default", "--", name)[0] == 0
    assert [each["name"] for each in parsed(cli("pull", "--from", "default", "--json", "--", name))["skipped"]] == [
        name
    ]
    code, _, err = cli("show", "run:" + "9" * 5000)
    assert code == 1
    assert "name has 5004 characters" in err


def test_one_name_of_several_kinds_needs_the_kind(cli):
    """The kinds that share a name are listed; `--kind` chooses."""
    box("same", 1).save()
    assert cli("demo")[0] == 0
    box("demo-scaler", 1).save()
    code, _, err = cli("show", "demo-scaler")
    assert code == 1
    assert "model, persistable" in err
    assert parsed(cli("show", "demo-scaler", "--kind", "model", "--json"))["class"] == "SklearnModel"
    assert parsed(cli("show", "same", "--json"))["kind"] == "persistable"


def test_looking_imports_nothing_of_the_users(cli, home):
    """`ls`, `show` and `verify` work where the class of a record does not exist."""
    script = (
        "from simpleml import Artifact, Persistable\n"
        "class Elsewhere(Persistable):\n"
        "    data = Artifact()\n"
        "made = Elsewhere(name='far'); made.data = [1]; made.save()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert parsed(cli("show", "far", "--json"))["class"] == "Elsewhere"
    assert [each["class"] for each in parsed(cli("ls", "--json"))] == ["Elsewhere"]
    assert cli("verify", "far")[0] == 0


KIND = """
from simpleml import Artifact, Persistable, connect
from simpleml.orm import ORMPersistable

class ORMThing(ORMPersistable):
    __tablename__ = "things"
    kind = "thing"

class Thing(Persistable):
    kind = "thing"
    data = Artifact()
"""


def test_kinds_of_ones_own_are_listed_once_their_module_is_imported(home: Path, tmp_path: Path):
    """`--import` makes a kind with a table of its own known to ls, show, verify and backup; one that fails is an error."""
    Path("mykinds.py").write_text(KIND)
    script = (
        "from mykinds import *; ORMThing.__table__.create(connect().engine)\n"
        "made = Thing(name='mine'); made.data = [1]; made.save()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*PYTHON, *arguments], capture_output=True, text=True, check=False)

    assert [each["kind"] for each in json.loads(run("--import", "mykinds", "--json", "ls").stdout)] == ["thing"]
    assert json.loads(run("--import", "mykinds", "show", "mine", "--json").stdout)["kind"] == "thing"
    assert run("--import", "mykinds", "verify", "mine").returncode == 0
    assert run("--import", "mykinds", "backup", str(tmp_path / "backup")).returncode == 0
    assert run("ls", "thing").returncode == 1
    missing = run("--import", "nokinds", "ls")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: --import nokinds")


SALE = """
from uuid import UUID
import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from simpleml import Artifact, Persistable, connect
from simpleml.orm import ORMGeneral, ORMPersistable

class Box(Persistable):
    data = Artifact()

class ORMSale(ORMPersistable):
    __tablename__ = "sales"
    kind = "sale"
    shops = sa.Table("shops", ORMPersistable.metadata, sa.Column("id", sa.Integer, primary_key=True))
    shop: Mapped[int] = mapped_column(sa.ForeignKey(shops.c.id))
    box_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(ORMGeneral.__table__.c.id))
"""


def test_what_refers_to_a_table_of_the_users_is_shown(home: Path):
    """A column that refers to no record is a column like any other; one that does is lineage."""
    Path("sales.py").write_text(SALE)
    script = (
        "from sales import *; engine = connect().engine; made = Box(name='part', data=1).save()\n"
        "ORMSale.shops.create(engine); ORMSale.__table__.create(engine)\n"
        "with engine.begin() as connection: connection.execute(sa.insert(ORMSale.shops).values(id=7))\n"
        "ORMSale.create(name='s', hash_='h', registered_name='Sale', shop=7, box_id=made.id)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    show = [*PYTHON, "--import", "sales", "show", "s", "--json"]
    found = json.loads(subprocess.run(show, capture_output=True, text=True, check=True).stdout)
    assert (found["shop"], found["lineage"]["box"]["name"]) == (7, "part")


def test_the_schema_of_kinds_of_ones_own_is_checked(cli, home: Path):
    """`db check` compares the tables of what `--import` names too, once they are made; what cannot be imported is told."""
    Path("mykinds.py").write_text(KIND)
    Path("otherkinds.py").write_text(KIND.replace("hing", "ale"))  # of which nothing is saved
    check = [*PYTHON, "--import", "mykinds", "--import", "otherkinds", "--json", "db", "check"]
    subprocess.run([sys.executable, "-c", "from mykinds import *; connect(); ORMThing.all()"], check=True)
    for column, expected in (("", []), ("extra", ["things: the column extra is not declared"])):
        if column:
            with simpleml.connect().engine.begin() as connection:
                connection.execute(sa.text(f"ALTER TABLE things ADD {column} INTEGER"))
        found = subprocess.run(check, capture_output=True, text=True, check=False)
        assert json.loads(found.stdout)["differences"] == expected
        assert found.returncode == len(expected)
    assert "error: --import nokinds" in cli("--import", "nokinds", "db", "check")[2]


# verify, gc, backup, restore


def stored(options: list[str], made: Box) -> Path:
    """Return the file that holds the data of a box."""
    return Path(options[3]) / next(iter(made.filepaths["data"].values()))["key"]


def test_verify_finds_what_is_damaged_and_missing(cli, there):
    """Everything whole is exit code 0; one changed byte or a missing file is exit code 1, with record, artifact and key."""
    good, bad, gone = box("good", "a" * 50), box("bad", "b" * 50), box("gone", "c" * 50)
    fill(there, good, bad, gone)
    assert parsed(cli("verify", "--all", "--json", *there))["findings"] == []
    file = stored(there, bad)
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b"b", b"x", 1))
    stored(there, gone).unlink()
    assert cli("verify", "good", *there)[0] == 0
    found = parsed(cli("verify", "--all", "--json", *there), code=1)["findings"]
    told = {(each["problem"], each["record"], each["artifact"]) for each in found}
    assert {
        ("damaged", "persistable 'bad' version 1", "data"),
        ("missing", "persistable 'gone' version 1", "data"),
    } <= told
    code, out, _ = cli("verify", "bad", *there)
    assert code == 1
    assert "damaged" in out
    assert str(next(iter(bad.filepaths["data"].values()))["key"]) in out


def test_verify_takes_names_and_versions(cli, there):
    """`NAME:VERSION` verifies that version only, `NAME` all of a name, which may have a colon of its own."""
    fill(there, *(box(name, [number]) for number, name in enumerate(["n", "n", "n", "n:1:7", "n:1:7"])))
    for names, count in ((["n"], 3), (["n:2"], 1), (["n:1:7"], 2), (["n:1", "n:3", "n:1:7:2"], 3)):
        assert parsed(cli("verify", *names, "--json", *there))["records"] == count


def test_verify_refuses_names_that_are_not_there(cli):
    """A mistyped name, or a version that there is not, does not pass as verified."""
    box("right", 1).save()
    assert "no 'right' version 2 in" in (err := cli("verify", "right:1", "right:2")[2])
    assert "known versions: 1. " in err
    code, _, err = cli("verify", "right", "rihgt")
    assert code == 1
    assert "no 'rihgt' in" in err
    assert "did you mean 'right'?" in err


def test_gc_removes_what_nothing_refers_to_and_says_so_first(cli, there, monkeypatch):
    """A dry run lists and leaves; the real one removes the bytes of a deleted record and nothing else."""
    monkeypatch.setenv("SIMPLEML_GRACE", "0")
    kept, dropped = box("kept", "k" * 50), box("dropped", "d" * 50)
    fill(there, kept, dropped)
    file = stored(there, dropped)
    key = next(iter(dropped.filepaths["data"].values()))["key"]
    dropped.delete()
    would = parsed(cli("gc", "--dry-run", "--json", *there))
    assert (would["removed"], would["keys"], would["dry_run"]) == (1, [key], True)
    assert key in (told := cli("gc", "--dry-run", *there)[1])
    assert "0 temporary" not in told  # which nobody looked for
    assert file.exists()
    assert parsed(cli("gc", "--json", "--temporary-after", "0", *there))["removed"] == 1
    assert not file.exists()
    assert stored(there, kept).exists()
    assert parsed(cli("gc", "--json", *there))["removed"] == 0
    assert cli("verify", "--all", *there)[0] == 0


def test_gc_tells_of_what_is_waiting(cli, there):
    """What nothing refers to, and may not go yet, is told with its number, its size and when the first of it may go."""
    dropped = box("dropped", "d" * 50)
    fill(there, dropped, box("kept", 1))
    assert parsed(cli("gc", "--json", *there))["waiting"] == 0
    assert "may go" not in cli("gc", *there)[1]
    before = datetime.now(UTC)
    dropped.delete()
    found = parsed(cli("gc", "--json", *there))
    size = next(iter(dropped.filepaths["data"].values()))["size"]
    assert (found["removed"], found["waiting"], found["waiting_bytes"]) == (0, 1, size)
    assert timedelta(days=6) < datetime.fromisoformat(found["waiting_from"]) - before < timedelta(days=8)
    told = cli("gc", *there)[1].splitlines()[-1]
    assert told.startswith(
        f"1 unreferenced object ({size} B) may go later, the first from {found['waiting_from'][:10]}"
    )
    [used] = [used for used in parsed(cli("store", "du", "--json", *there)) if used["idle"]]
    assert used["idle"] == size
    other = next(name for name in ("disk", "database") if name != used["store"])
    assert parsed(cli("store", "gc", other, "--json", *there))["waiting"] == 0


def test_a_backup_comes_back_elsewhere(cli, there, tmp_path):
    """What was backed up from any database is restored into another with a store of its own, whole; never over anything."""
    made = box("n", {"a": 1})
    fill(there, made, box("n", 2))
    target = str(tmp_path / "backup")
    assert parsed(cli("backup", target, "--json", *there))["records"] == 2
    code, _, err = cli("backup", target, *there)
    assert code == 1
    assert "is not empty" in err
    simpleml.disconnect()
    elsewhere = ["--database", f"sqlite:///{tmp_path}/other.db", "--store", str(tmp_path / "other")]
    assert parsed(cli("restore", target, "--json", *elsewhere))["records"] == 2
    assert cli("verify", "--all", *elsewhere)[0] == 0
    here, before = (cli("show", "n:1", "--json", *place)[1] for place in (elsewhere, there))
    assert re.sub("objects-[0-9a-f]{12}", "", here) == re.sub("objects-[0-9a-f]{12}", "", before)
    assert here != before  # its objects have keys of its own
    assert cli("restore", target, *elsewhere)[0] == 1
    with simpleml.connect(elsewhere[1], store=elsewhere[3]):
        assert Box.load("n", version=1).data == {"a": 1}


@pytest.mark.parametrize("command", [["check"], ["gc"], ["gc", "--dry-run"], ["copy", "default"]])
def test_a_store_that_is_not_in_the_settings_is_an_error(cli, command):
    """A mistyped name is not taken for a store in which all is well: the names that there are, and the key to add, are said."""
    code, out, err = cli("store", *command, "defualt")
    assert (code, out) == (1, "")
    assert re.search(r"'defualt'.*known: database, default.*\[stores\] defualt = ", err)


def test_a_path_is_no_store(cli):
    """A path in place of the name of a store is told with what to write instead."""
    box("n", 1).save()
    code, _, err = cli("push", "n", "--to", "./pushed")
    assert code == 1
    assert "'./pushed' cannot be the name of a store; known: " in err
    assert '[stores] archive = "<path or URL>", and goes by that name everywhere' in err


def test_restore_refuses_what_is_no_backup(cli, tmp_path):
    """A folder that `simpleml backup` did not finish is refused."""
    (tmp_path / "folder").mkdir()
    code, _, err = cli("restore", str(tmp_path / "folder"))
    assert code == 1
    assert "is no backup" in err


def test_settings_show_values_and_sources_but_no_secret(cli, monkeypatch):
    """Every setting with its source; a password is masked, for people and for machines."""
    monkeypatch.setenv("SIMPLEML_DATABASE_URL", "postgresql://me:hunter2@host/db")
    monkeypatch.setenv("SIMPLEML_GRACE", "60")
    rows = {each["key"]: each for each in parsed(cli("settings", "--json", "--store", "./here"))}
    assert rows["grace"] == {"key": "grace", "value": "60.0", "source": "SIMPLEML_GRACE"}
    assert rows["stores.default"]["source"] == "argument"
    assert "***" in rows["database"]["value"]
    assert "hunter2" not in str(rows) + cli("settings")[1]


# the schema


def test_the_schema_is_made_checked_and_taken_back(cli, there):
    """init, current, check, upgrade and downgrade do what they say on every database, and repeating one is no error."""
    assert parsed(cli("db", "current", "--json", *there))["revision"] is None
    code, _, err = cli("db", "check", *there)
    assert code == 1
    assert "simpleml db init" in err
    assert parsed(cli("db", "init", "--json", *there))["changed"] is True
    assert parsed(cli("db", "init", "--json", *there))["changed"] is False
    assert parsed(cli("db", "check", "--json", *there))["differences"] == []
    assert parsed(cli("db", "upgrade", "--json", *there))["changed"] is False
    assert parsed(cli("db", "downgrade", "base", "--yes", "--json", *there)) == {"revision": None, "changed": True}
    assert parsed(cli("db", "upgrade", "--json", *there)) == {
        "revision": simpleml.orm.database.migrations.HEAD,
        "changed": True,
    }
    assert cli("ls", *there)[0] == 0


def test_a_changed_schema_is_found(cli, there):
    """A table that is not as declared is exit code 1, with what is different."""
    assert cli("db", "init", *there)[0] == 0
    engine = simpleml.connect(there[1], store=there[3]).engine
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE models ADD COLUMN extra INTEGER"))
    found = parsed(cli("db", "check", "--json", *there), code=1)["differences"]
    assert len(found) == 1
    assert "models" in found[0]
    assert "extra" in found[0]
    assert found[0] in cli("db", "check", *there)[1]


def test_a_newer_schema_is_refused_with_what_to_do(cli):
    """A revision that this version does not know is told by every command that opens the database."""
    database = simpleml.connect()
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE simpleml_version SET version_num = '9999'"))
    for command in (["ls"], ["db", "upgrade"], ["db", "check"], ["db", "init"]):
        code, _, err = cli(*command)
        assert code == 1
        assert "9999" in err
        assert "pip install -U simpleml" in err
    assert parsed(cli("db", "current", "--json"))["revision"] == "9999"


@pytest.mark.parametrize(
    "command", ["ls", "show x", "verify --all", "gc", "store ls", "store check", "store du", "lineage x"]
)
def test_looking_at_a_database_that_was_mistyped_creates_nothing(cli, tmp_path, command):
    """A file that was named and is not there is told, and stays so; the embedded default is made silently."""
    path = tmp_path / "none" / "x.db"
    code, _, err = cli(*command.split(), "--database", str(path))
    assert (code, err.count("\n")) == (1, 1)
    assert f"there is no database {path} (argument" in err
    assert not path.parent.exists()


@pytest.mark.parametrize("command", ["upgrade", "downgrade base --yes", "adopt --yes"])
def test_changing_a_schema_that_was_mistyped_creates_nothing(cli, tmp_path, command):
    """Only `db init` makes the file of a database that was named and is not there; the others say that it is mistyped."""
    path = tmp_path / "none" / "x.db"
    code, _, err = cli("db", *command.split(), "--database", str(path))
    assert code == 1
    assert f"there is no database {path} (argument" in err
    assert "simpleml db init" in err
    assert not path.parent.exists()


@pytest.mark.parametrize("command", [["db", "init"], ["db", "check"], ["ls"]])
@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mysql+mysqldb://me@127.0.0.1:1/db", "write mysql+pymysql:// in the URL, and pip install 'simpleml[mysql]'"),
        ("oracle://me@127.0.0.1:1/db", "simpleml works with SQLite, PostgreSQL and MariaDB or MySQL, not with oracle"),
        ("postgresql://me@127.0.0.1:1/db", "cannot be reached"),
    ],
)
def test_every_command_says_the_same_of_a_database_that_cannot_be_opened(cli, command, url, advice):
    """What is advised works: no driver that simpleml cannot use, and no package that there is not."""
    code, _, err = cli(*command, "--database", url)
    assert (code, advice in err) == (1, True), err


def test_a_saving_command_makes_the_database(cli, tmp_path):
    """What saves something makes the database that was named."""
    assert cli("demo", "--database", str(tmp_path / "new" / "x.db"), "--store", str(tmp_path / "store"))[0] == 0


@pytest.mark.parametrize("where", ["/dev/full", "closed pipe"])
@pytest.mark.parametrize("command", [["settings"], ["--help"], ["settings", "--json"]])
def test_output_that_nobody_takes_is_one_line_and_exit_code_1(where, command):
    """When standard output is full or closed, that is told in one line, without a traceback."""
    if where == "/dev/full":
        with open(where, "w") as full:
            done = subprocess.run([*PYTHON, *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([*PYTHON, *command], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writing)
    assert done.returncode == 1
    assert re.fullmatch(r"(error: \[Errno \d+\] .*\n)?", done.stderr)
    assert done.stderr or where != "/dev/full"


def test_looking_at_a_schema_creates_nothing(cli, tmp_path):
    """`db current` and `db check` of a file that is not there leave it so."""
    path = tmp_path / "none" / "x.db"
    cli("db", "current", "--database", str(path))
    cli("db", "check", "--database", str(path))
    assert not path.parent.exists()


def test_a_downgrade_asks_first(cli, monkeypatch):
    """Without `--yes` and a yes nothing is changed; no answer is no."""
    box("precious", 1).save()
    for given in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", StringIO(given))
        code, out, err = cli("db", "downgrade", "base")
        assert code != 0
        assert "[y/N]" in out + err
    assert parsed(cli("show", "precious", "--json"))["version"] == 1
    monkeypatch.setattr(sys, "stdin", StringIO("y\n"))
    assert cli("db", "downgrade", "base")[0] == 0
    assert parsed(cli("ls", "--json")) == []


def test_a_downgrade_to_nowhere_asks_nothing(cli):
    """A revision that there is not is refused before anybody is asked to risk the data."""
    box("precious", 1).save()
    code, out, err = cli("db", "downgrade", "9999")
    assert (code, out) == (1, "")
    assert err.startswith("error: there is no revision '9999' to downgrade to; known: base, ")
