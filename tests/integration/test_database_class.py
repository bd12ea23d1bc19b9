"""`Database()`, as SimpleML's README opens it: it takes the settings, becomes the current one, and upgrades if asked to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

import simpleml
from simpleml import migrations
from simpleml.errors import ConfigurationError, DatabaseError, OfflineError, SchemaError, SimpleMLError
from simpleml.orm import Database, dialects
from simpleml.orm.connections import current
from tests.integration.kinds import Box, Vocabulary


@pytest.fixture
def older(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> str:
    """The URL of a database whose schema is of an older revision, which the settings name."""
    monkeypatch.setenv("SIMPLEML_DATABASE_URL", database_url)
    monkeypatch.setenv("SIMPLEML_HOME", str(tmp_path / "embedded"))
    with Database() as database:
        Vocabulary(name="words", tokens={"a": 1}).save()

        def back(connection: Connection) -> None:
            with dialects.schema_lock(connection, 60):
                migrations.downgrade(connection, "0002")

        database.run(back)
    database.close()
    return database_url


def test_initialize_makes_it_current(database_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Database().initialize()` opens what the settings name, makes the schema, and is what everything works with then."""
    monkeypatch.setenv("SIMPLEML_DATABASE_URL", database_url)
    database = Database().initialize()
    assert current() is database
    assert simpleml.Database is Database
    Vocabulary(name="words", tokens={"a": 1}).save()
    assert Vocabulary.load("words").tokens == {"a": 1}
    database.close()


def test_an_older_schema_is_upgraded_if_asked_to(older: str) -> None:
    """With an older schema `initialize()` is refused with the command to run, and `initialize(upgrade=True)` keeps all."""
    with pytest.raises(SchemaError, match="simpleml db upgrade"):
        Database().initialize()
    database = Database().initialize(upgrade=True)
    assert Vocabulary.load("words").tokens == {"a": 1}
    assert database.initialize(upgrade=True) is database
    database.close()


def test_what_is_not_initialized_opens_when_it_is_used(older: str, new_database: Callable[[str], str]) -> None:
    """Making one touches no schema; its first use does, and refuses an older one as `connect` would."""
    database = Database()
    with pytest.raises(SchemaError, match="simpleml db upgrade"), database:
        Vocabulary.load("words")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = database.nothing
    database.close()
    other = Database(uri=new_database("sqlite"))
    assert len(other.ledger_id) == 32
    other.close()


def test_a_database_may_be_named(tmp_path: Path, home: Path) -> None:
    """`uri` is a path or a URL, every setting may be given by name, and a mistake is told as `connect` tells it."""
    database = Database(uri=tmp_path / "named.db", store=tmp_path / "store", author="ada").initialize()
    assert Vocabulary(name="words", tokens={}).save().author == "ada"
    assert (tmp_path / "named.db").exists()
    database.close()
    with pytest.raises(ConfigurationError, match="configuration_section"):
        Database(configuration_section="x")
    with pytest.raises(ConfigurationError, match=r"it is empty.*or the path"):
        Database(uri="")
    for besides in ({"uri": tmp_path / "other.db"}, {"author": "ada"}):
        with pytest.raises(ConfigurationError, match=r"settings\.replace"):
            Database(database.settings, **besides)


def test_offline_needs_connect(home: Path) -> None:
    """A server cannot be opened by its class while `offline` is set: the error names `connect`, which has the copies."""
    with pytest.raises(OfflineError, match=r"simpleml\.connect\(\)"):
        Database(uri="postgresql+psycopg://nobody@127.0.0.1:1/x", offline=True)


def test_after_a_connect_that_failed_nothing_goes_to_another_database(tmp_path: Path, home: Path) -> None:
    """Until one is opened there is none, not even the one that the settings name; one that was open before stays current."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SimpleMLError):
        simpleml.connect(tmp_path / "file" / "team.db")
    for _ in range(2):
        with pytest.raises(DatabaseError, match=r"connect\(\) failed \(cannot make the folder"):
            Box(name="x", data=1).save()
    assert not any(home.rglob("*.db"))
    simpleml.connect(tmp_path / "mine.db", store=tmp_path / "store")
    with pytest.raises(SimpleMLError):
        simpleml.connect(tmp_path / "file" / "team.db")
    assert Box(name="x", data=1).save().version == 1
    simpleml.disconnect()
    assert Box(name="x", data=1).save().version == 1
    assert any(home.rglob("*.db"))
