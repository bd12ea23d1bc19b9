"""The README is run: its Python blocks in order, its commands; its tables are held against the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy.engine import make_url

from simpleml import migrations
from simpleml.cli import main
from simpleml.cli.app import app
from simpleml.errors import ConfigurationError
from simpleml.orm import dialects
from simpleml.persistables.classes import classes
from simpleml.save_patterns.catalogue import pattern_names, patterns, serializers
from simpleml.save_patterns.locations.opening import locations
from simpleml.settings import Settings
from tests.backends.client import ENVIRONMENT
from tests.docs.markdown import CHECKS, README, ROOT, blocks, rows, script
from tests.integration.old_simpleml import titanic

QUICK_START = 'python3 -m venv .venv && .venv/bin/pip install -e ".[sklearn]" && .venv/bin/simpleml demo'
PAGE = README.read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]


def run_page(page: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the Python blocks of a page as one script in the working folder `folder`."""
    (folder / "readme_checks.py").write_text(CHECKS)
    (folder / "readme.py").write_text(script(page))
    command = [sys.executable, "-W", "error", "readme.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def team(new_database, new_place):
    """A PostgreSQL and an S3 that two machines share, as variables; credentials are where S3's own tools look for them."""
    place = new_place("s3")
    return {
        "TEAM_DATABASE": new_database("postgresql"),
        "TEAM_STORE": place.url,
        "AWS_ACCESS_KEY_ID": place.options["key"],
        "AWS_SECRET_ACCESS_KEY": place.options["secret"],
        "AWS_ENDPOINT_URL": place.options["endpoint_url"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def test_the_python_blocks_run_and_return_what_the_page_says(home, team):
    """In an empty home, run in their order, every line returns or raises what its comment says; nothing warns."""
    done = run_page(PAGE, Path.cwd(), **team)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("README.md:") == PAGE.count("  # raises ")
    made = [path.name for path in (home / ".simpleml").iterdir()]
    assert made == ["cache"], "the blocks name their database and store"
    stored = [path for path in Path("store").glob("objects-*/*/*") if path.is_file()]
    assert len({path.parts[1] for path in stored}) == 2, "two databases share the store"
    assert {stat.S_IMODE(path.stat().st_mode) for path in stored} == {0o600}


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("1 + 1  # → 3", "README.md:4: the page says 3, but it is 2"),
        ("1 / 0  # raises ValueError", "README.md:4: the page says ValueError, but it is ZeroDivisionError"),
        ("1 / 1  # raises ValueError", "README.md:4: the page says ValueError, but nothing was raised"),
        ("nothing", "line 4, in <module>"),
    ],
)
def test_a_page_that_says_something_wrong_fails(tmp_path, block, told):
    """A wrong result, a wrong error, a missing error and code that does not run are found, with the page's own line."""
    done = run_page(f"# title\n\n```python\n{block}\n```\n", tmp_path)
    assert done.returncode != 0
    assert told in done.stderr


def prove(file: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a module of tests in a process of its own, away from this project's settings."""
    file.write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(file.parent), str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=file.parent, env=environment, capture_output=True, text=True, check=False)


def test_the_place_of_the_page_keeps_its_promises(home, tmp_path):
    """The contract that the page recommends passes for the page's own place, and fails for one that does not say what is missing."""
    [place] = [block.text for block in blocks(PAGE, "python") if "class Shelf(" in block.text]
    [contract] = [block.text for block in blocks(PAGE, "python") if "(StoreContract)" in block.text]
    file, text = tmp_path / "test_shelf.py", place.partition("\nsimpleml.connect(")[0] + contract
    done = prove(file, text)
    assert done.returncode == 0, done.stdout
    broken = text.replace("raise FileNotFoundError(key)", "pass")
    assert broken != text
    assert prove(file, broken).returncode == 1


def test_the_lines_of_the_page_come_back_as_they_were(home):
    """Lines that hold what other programs take for the end of a line are kept."""
    [block] = [block.text for block in blocks(PAGE, "python") if "class LinesSerializer" in block.text]
    text = block.partition("\nprefer(Lines")[0].replace("@register_serializer\n", "")
    page: dict[str, Any] = {}
    exec(text, page)
    serializer, lines = page["LinesSerializer"](), page["Lines"](["", "a\rb", "c\u2028d", "e\x1cf\x0b", ""])
    stream = BytesIO()
    assert serializer.accepts(lines)
    details = serializer.dump(lines, stream)
    assert serializer.load(memoryview(stream.getvalue()), format=1, details=details) == lines


def test_the_quick_start_works_from_a_fresh_checkout(tmp_path):
    """The one command line makes an environment, installs the project and runs the demo; the second demo counts on."""
    assert [block.text.strip() for block in blocks(PAGE, "sh")].count(QUICK_START) == 1
    checkout = tmp_path / "simpleml"
    left_out = shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
    shutil.copytree(ROOT, checkout, ignore=left_out)
    environment = _clean_environment(tmp_path / "home")
    done = subprocess.run(
        ["bash", "-c", QUICK_START], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "same to the bit in another process" in done.stdout
    assert (tmp_path / "home/.simpleml/simpleml.db").exists()
    again = subprocess.run(
        [".venv/bin/simpleml", "--json", "demo"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    saved = [(each["name"], each["version"]) for each in json.loads(again.stdout)["saved"]]
    assert saved == [("demo-scaler", 2), ("demo-classifier", 3), ("demo-classifier", 4)]


def _clean_environment(home: Path) -> dict[str, str]:
    """Return an environment with a home of its own, in which pip still has the configuration and cache of the user."""
    home.mkdir()
    dropped = ("PYTHON", "SIMPLEML_", "VIRTUAL_ENV", "XDG_")
    kept = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(dropped)}
    real = Path(ENVIRONMENT.get("HOME", str(home)))
    settings = Path(ENVIRONMENT.get("XDG_CONFIG_HOME") or real / ".config")
    files = [path for path in (settings / "pip/pip.conf", real / ".pip/pip.conf") if path.is_file()]
    kept.setdefault("PIP_CACHE_DIR", str(Path(ENVIRONMENT.get("XDG_CACHE_HOME") or real / ".cache") / "pip"))
    if files:
        kept.setdefault("PIP_CONFIG_FILE", str(files[0]))
    return {**kept, "HOME": str(home)}


def test_the_test_command_is_what_continuous_integration_runs():
    """`./tests/run` is there, can be executed, says how it is used, and `.ci/run` calls it."""
    assert [block.text.strip() for block in blocks(PAGE, "sh")].count("./tests/run") == 1
    assert os.access(ROOT / "tests/run", os.X_OK)
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert 'exec ./tests/run "$@"' in (ROOT / ".ci/run").read_text().splitlines()
    told = subprocess.run(["./tests/run", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.startswith("Run every check")
    assert "./tests/run -k version" in told


def test_no_other_shell_block_is_left_unrun():
    """The two commands of the page are its only shell blocks."""
    assert [block.text.strip() for block in blocks(PAGE, "sh")] == [QUICK_START, "./tests/run"]


COMMANDS = {
    "simpleml demo": ["demo"],
    "simpleml ls [KIND]": ["ls", "model"],
    "simpleml show NAME[:VERSION]": ["show", "demo-classifier:1"],
    "simpleml run FILE": ["run", str(ROOT / "config/titanic-like.toml"), "--dry-run"],
    "simpleml lineage NAME[:VERSION]": ["lineage", "demo-classifier"],
    "simpleml diff A B": ["diff", "demo-classifier:1", "demo-classifier:2"],
    "simpleml scan NAME[:VERSION]": ["scan", "demo-classifier"],
    "simpleml alias NAME[:VERSION] ALIAS": ["alias", "demo-classifier:1", "production"],
    "simpleml alias NAME --list": ["alias", "demo-classifier", "--list"],
    "simpleml alias NAME --history": ["alias", "demo-classifier", "--history"],
    "simpleml alias NAME --drop ALIAS": ["alias", "demo-classifier", "--drop", "production"],
    "simpleml tag NAME[:VERSION] TAG…": ["tag", "demo-classifier:1", "candidate"],
    "simpleml untag NAME[:VERSION] TAG…": ["untag", "demo-classifier:1", "candidate"],
    "simpleml prune NAME… --keep-last N` (or `--all`)": ["prune", "demo-classifier", "--keep-last", "5"],
    "simpleml delete NAME:VERSION": ["delete", "demo-classifier:1"],
    "simpleml import-legacy PATH": ["import-legacy", "old-home"],
    "simpleml export NAME[:VERSION]… FILE.zip": ["export", "demo-classifier", "demo.zip"],
    "simpleml import FILE.zip": ["import", "demo.zip"],
    "simpleml push NAME[:VERSION]… --to STORE": ["push", "demo-classifier", "--to", "disk"],
    "simpleml pull NAME[:VERSION] --from STORE": ["pull", "demo-classifier", "--from", "disk"],
    "simpleml store ls": ["store", "ls"],
    "simpleml store check [STORE…]": ["store", "check"],
    "simpleml store du": ["store", "du"],
    "simpleml store copy FROM TO": ["store", "copy", "default", "imported"],
    "simpleml store gc [STORE…]": ["store", "gc", "default"],
    "simpleml verify NAME[:VERSION]…": ["verify", "demo-scaler:1", "demo-classifier"],
    "simpleml verify --all": ["verify", "--all"],
    "simpleml gc [--dry-run]": ["gc", "--dry-run"],
    "simpleml backup TO": ["backup", "copy"],
    "simpleml restore FROM": ["restore", "copy", "--database", "restored.db", "--store", "restored"],
    "simpleml settings": ["settings"],
    "simpleml db init": ["db", "init"],
    "simpleml db check": ["db", "check"],
    "simpleml db current": ["db", "current"],
    "simpleml db upgrade": ["db", "upgrade"],
    "simpleml db adopt": ["db", "adopt", "--yes"],
    "simpleml db downgrade REVISION": ["db", "downgrade", "base", "--yes"],
}


def test_the_commands_of_the_table_work(home, monkeypatch, capsys):
    """Every command of the table, run in this order in an empty home, ends with 0 and speaks JSON when asked."""
    assert [row[0].strip("`") for row in rows(PAGE, "command")] == list(COMMANDS)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the demo starts a process of its own
    titanic(Path("old-home"))
    for told, arguments in COMMANDS.items():
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--json"])
        said = capsys.readouterr()
        assert left.value.code == 0, f"{told}: {said.err}"
        json.loads(said.out)


def test_every_command_is_in_the_table():
    """No command that `--help` shows is missing from the page."""
    documented = {
        " ".join(re.findall(r"^simpleml ((?:(?:db|store) )?[a-z-]+)", row[0].strip("`")))
        for row in rows(PAGE, "command")
    }
    assert documented == set(_commands(typer.main.get_command(app)))


def _commands(group: object, prefix: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}"


def test_the_settings_file_of_the_page_is_valid(tmp_path):
    """The example settings file is taken, and means what the page says."""
    path = tmp_path / "simpleml.toml"
    path.write_text(next(block.text for block in blocks(PAGE, "toml") if "[database]" in block.text))
    settings = Settings.load(start=tmp_path, environ={"HOME": str(tmp_path), "SIMPLEML_DATABASE_PASSWORD": "secret"})
    assert settings.database == "postgresql+psycopg://simpleml:secret@db.example.org/simpleml"
    assert (settings.project, settings.stores["default"]) == ("flowers", "/srv/simpleml")


def test_the_entry_points_of_the_page_are_those_that_are_looked_for():
    """The groups of the example are the registries' own."""
    offered = tomllib.loads(blocks(PAGE, "toml")[-1].text)["project"]["entry-points"]
    assert set(offered) == {registry._group for registry in (serializers, patterns, locations, classes)}


def test_the_variables_of_the_page_are_taken(tmp_path):
    """Every variable that the page names sets what the page says, and no other is taken."""
    (tmp_path / "named.toml").write_text('author = "someone"\n')
    values = {
        "SIMPLEML_HOME": "elsewhere",
        "SIMPLEML_DATABASE_URL": "sqlite:///app.db",
        "SIMPLEML_STORE": "store",
        "SIMPLEML_STORES_ARCHIVE": "archive",
        "SIMPLEML_CONFIGURATION_FILE": "named.toml",
        "SIMPLEML_TRUST": "safe",
    }
    named = {name for name in re.findall(r"SIMPLEML_[A-Z_]*[A-Z]", PAGE) if name != "SIMPLEML_STORES"}
    parts = {"SIMPLEML_DATABASE_HOST", "SIMPLEML_DATABASE_PASSWORD"}
    assert named == (set(values) - {"SIMPLEML_STORES_ARCHIVE"}) | parts
    settings = Settings.load(start=tmp_path, environ={"HOME": str(tmp_path), **values})
    assert (settings.home, settings.author, settings.trust) == (tmp_path / "elsewhere", "someone", "safe")
    assert settings.database == f"sqlite:///{tmp_path / 'app.db'}"
    assert {name: settings.stores[name] for name in ("default", "archive")} == {
        "default": str(tmp_path / "store"),
        "archive": str(tmp_path / "archive"),
    }
    others = {"SIMPLEML_DATABASE_DRIVERNAME": "mariadb", "SIMPLEML_DATABASE_USERNAME": "me"}
    pair = {"SIMPLEML_DATABASE_HOST": "server", "SIMPLEML_DATABASE_PASSWORD": "secret"}
    by_parts = Settings.load(start=tmp_path, environ={"HOME": str(tmp_path), **others, **pair})
    assert by_parts.database == "mariadb+pymysql://me:secret@server"
    with pytest.raises(ConfigurationError):
        Settings.load(start=tmp_path, environ={"HOME": str(tmp_path), "SIMPLEML_TRUSTED": "safe"})


@pytest.mark.parametrize("row", rows(PAGE, "database"), ids=lambda row: row[0].split()[0].strip(","))
def test_the_database_urls_of_the_page_lead_to_a_driver(row, tmp_path):
    """Each URL is taken, its driver can be imported, and its extra exists and brings that driver."""
    url = row[1].split("`")[1]
    settings = Settings.load(start=tmp_path, environ={"HOME": str(tmp_path)}, database_url=url)
    engine = dialects.make_engine(make_url(settings.database), durability="full", patience=1)
    driver = engine.dialect.dbapi.__name__
    extra = re.search(r'"\.\[(\w+)\]"', row[2])
    if extra is None:
        assert driver.startswith("sqlite3")
    else:
        assert any(requirement.startswith(driver) for requirement in EXTRAS[extra[1]])


def test_what_the_page_says_of_versions_and_formats_is_so(tmp_path):
    """Version, Python, tables, patterns and the reach of stores are those of the code."""
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert "Python 3.11 or later" in PAGE
    assert "Version 0.1:" in PAGE
    assert PROJECT["project"]["version"].startswith("0.1.")
    listed = re.search(r"reads the\ntables: (.*?)\.\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed[1])) == {*migrations.TABLES, migrations.VERSION_TABLE}
    formats = {name: row[2] for row in rows(PAGE, "format") for name in re.findall(r"`(\w+)`", row[0])}
    names = set(pattern_names())
    assert set(formats) <= names
    assert {f"{where}_{name}" for where in ("disk", "cloud", "database") for name in formats} <= names
    executes = {name: serializers.get({"pickled": "cloudpickle"}.get(name, name)).executes for name in formats}
    assert {name: "yes" if does else "no" for name, does in executes.items()} == formats
    for row in rows(PAGE, "pattern"):
        assert set(re.findall(r"`([a-z_]+)`", row[0])) <= names
    for row in rows(PAGE, "place"):
        url = row[1].split("`")[1]
        if "://…" not in url and url != "file:///srv/simpleml":
            assert url.partition("://")[0] in locations
        extra = re.search(r'"\.\[(\w+)\]"', row[3])
        assert extra is None or extra[1] in EXTRAS
