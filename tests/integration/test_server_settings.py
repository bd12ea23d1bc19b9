"""Servers, databases and environments with settings of their own: what is saved there comes back all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest
from sqlalchemy import create_engine, make_url, text

import simpleml
from simpleml.errors import DatabaseError, DatabaseReadOnlyError, VersionConflictError
from simpleml.orm.housekeeping import verify
from tests.integration.kinds import Box

NewDatabase = Callable[[str], str]


def told(url: str, statement: str) -> None:
    """Run a statement on the server, outside of any transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def saved_and_loaded(url: str, store: Path) -> None:
    """Save a frame as a table and as bytes in the database, under a name that is not ASCII, and load both in a new connection."""
    frame = pd.DataFrame(
        {"city": ["Köln", "Málaga"], "at": pd.to_datetime(["2026-02-01", "1999-12-31"]), "n": [1.5, 2]}
    )
    with simpleml.connect(url, store=store):
        for pattern in ("database_table", "database_pickled"):
            Box(name=f"Größe {pattern}", data=frame, save_patterns={"data": pattern}).save()
    simpleml.disconnect()
    with simpleml.connect(url, store=store, home=store.parent / "another") as database:
        for pattern in ("database_table", "database_pickled"):
            box = Box.load(f"Größe {pattern}")
            pd.testing.assert_frame_equal(box.data, frame)
            assert box.created_timestamp.utcoffset() is not None
        assert verify(database, everything=True).findings == ()


@pytest.mark.parametrize("way", ["database", "environment", "url", "encoding"])
def test_other_encodings_of_the_client(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Whatever says that text is sent as Latin-1: it is sent, and read by everybody, as what it is."""
    url = new_database("postgresql")
    if way == "database":
        told(url, f"ALTER DATABASE {make_url(url).database} SET client_encoding = 'LATIN1'")
    elif way == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    elif way == "url":
        url = make_url(url).update_query_dict({"client_encoding": "latin1"}).render_as_string(hide_password=False)
    else:
        url = recoded(url, "LATIN1")
    try:
        saved_and_loaded(url, tmp_path / "store")
    finally:
        simpleml.disconnect()
        if way == "encoding":
            told(new_database("postgresql"), f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


def recoded(url: str, encoding: str) -> str:
    """Make a database that keeps text in another encoding, and return its URL."""
    name = f"simpleml_{uuid4().hex}"
    told(url, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def test_what_an_encoding_lacks_is_told(new_database: NewDatabase, tmp_path: Path) -> None:
    """A name with a character that the database has not is refused with the server's words, not as a version that is used up."""
    plain = new_database("postgresql")
    url = recoded(plain, "LATIN1")
    try:
        with simpleml.connect(url, store=tmp_path / "store"):
            with pytest.raises(DatabaseError, match="LATIN1") as caught:
                Box(name="10 €", data=1).save()
            assert not isinstance(caught.value, VersionConflictError)
            assert Box(name="10 EUR", data=1).save().version == 1
    finally:
        simpleml.disconnect()
        told(plain, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_other_styles_of_dates(new_database: NewDatabase, tmp_path: Path, style: str) -> None:
    """Moments are read whatever the database calls its style of dates."""
    url = new_database("postgresql")
    told(url, f"ALTER DATABASE {make_url(url).database} SET datestyle = {style!r}")
    saved_and_loaded(url, tmp_path / "store")


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "ANSI", "ORACLE", "NO_BACKSLASH_ESCAPES"])
def test_other_modes_of_sql(new_database: NewDatabase, tmp_path: Path, mode: str) -> None:
    """A MariaDB whose sessions begin in another dialect of SQL is spoken to in the usual one from the first statement on."""
    url = make_url(new_database("mariadb")).update_query_dict({"init_command": f"SET SESSION sql_mode = '{mode}'"})
    saved_and_loaded(url.render_as_string(hide_password=False), tmp_path / "store")


@pytest.mark.parametrize(("threshold", "prepared"), [("none", False), ("0", True)])
def test_statements_are_prepared_as_the_url_says(
    new_database: NewDatabase, tmp_path: Path, threshold: str, prepared: bool
) -> None:
    """A pooler of connections may not know prepared statements: with `prepare_threshold=none` there are none."""
    url = make_url(new_database("postgresql")).update_query_dict({"prepare_threshold": threshold})
    with simpleml.connect(url.render_as_string(hide_password=False), store=tmp_path / "store") as database:
        for number in range(8):
            Box(name="x", data=number).save()
        there = text("SELECT count(*) FROM pg_prepared_statements")
        assert (database.run(lambda connection: connection.execute(there).scalar_one()) > 0) == prepared


def test_a_server_that_took_over_is_found(new_database: NewDatabase, tmp_path: Path) -> None:
    """A connection to a server that only reads is not kept: once the address leads to one that writes, saving works."""
    url, another = new_database("postgresql"), new_database("postgresql")
    name = make_url(url).database
    with simpleml.connect(url, store=tmp_path / "store") as database:
        Box(name="x", data=1).save()
        database.engine.dispose()
        told(another, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        box = Box(name="x", data=2)
        with pytest.raises(DatabaseReadOnlyError):
            box.save()
        told(another, f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert box.save().version == 2
