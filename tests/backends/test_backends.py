"""The servers that other tests stand on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from tests.backends import azurite
from tests.backends.client import DATABASES, ENVIRONMENT, ROOT, VARIABLES, BackendError, Keeper
from tests.backends.daemon import wait_ended
from tests.backends.debian import unpacked


def _execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in one transaction on a connection of their own, and return the last one's rows."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        results = [connection.execute(sa.text(statement)) for statement in statements]
        return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []


def test_each_database_is_fresh_and_empty(database_url):
    """A test's database has no table, whatever the test before it made, and takes text of any language."""
    assert sa.inspect(sa.create_engine(database_url, poolclass=sa.NullPool)).get_table_names() == []
    _execute(database_url, "create table marks (name varchar(20))", "insert into marks values ('chürn 🐦')")
    assert _execute(database_url, "select name from marks") == [("chürn 🐦",)]


@pytest.mark.parametrize("kind", DATABASES)
def test_a_database_is_dropped_even_under_an_open_transaction(kind, servers):
    """A connection that a test forgot neither blocks the cleaning up nor keeps the database alive."""
    from tests.backends.databases import fresh

    with fresh(servers.url(kind)) as url:
        _execute(url, "create table marks (name varchar(20))")
        forgotten = sa.create_engine(url).connect()
        forgotten.execute(sa.text("insert into marks values ('a')"))
    with pytest.raises(DBAPIError):
        _execute(url, "select 1")
    forgotten.invalidate()


@pytest.mark.parametrize("kind", DATABASES)
def test_a_server_is_in_a_time_zone_of_its_own(kind, servers):
    """A timestamp that the server makes in its local time differs from UTC, so a confusion of the two shows."""
    clock = {"postgresql": "localtimestamp", "mariadb": "now()"}[kind]
    utc = {"postgresql": "now() at time zone 'utc'", "mariadb": "utc_timestamp()"}[kind]
    [(local, world)] = _execute(servers.url(kind), f"select {clock}, {utc}")
    assert round((local - world).total_seconds() / 60) == 5 * 60 + 45


@pytest.mark.parametrize("kind", DATABASES)
def test_a_private_server_comes_back_with_what_was_committed(kind, private_server):
    """Over stop and over SIGKILL a durable server refuses while it is away, and returns with its data under its URL."""
    server = private_server(kind)
    url = server.url
    _execute(url, "create table marks (name varchar(20))")
    for end in (server.stop, server.kill):
        _execute(url, f"insert into marks values ('before {end.__name__}')")
        end()
        with pytest.raises(DBAPIError):
            _execute(url, "select name from marks")
        server.start()
    assert server.url == url
    assert _execute(url, "select name from marks order by name") == [("before kill",), ("before stop",)]
    with pytest.raises(BackendError, match="runs already"):
        server.start()


def test_a_keeper_of_nothing_still_keeps_a_folder():
    """When every server is given by URL, the keeper has none to start and its folder is there all the same."""
    with Keeper() as asked:
        assert asked.urls == {}
        assert asked.folder.is_dir()
    assert not asked.folder.exists()


def _servers_of(keeper: psutil.Process) -> list[psutil.Process]:
    """Every process below the keeper: at least one of each kind, when all are up."""
    running = keeper.children(recursive=True)
    commands = [" ".join(each.cmdline()) for each in running]
    for mark in ("postgres", "mariadbd", "swift_server", "azurite", "sshd"):
        assert any(mark in command for command in commands), commands
    return running


def test_servers_do_not_outlive_whoever_started_them():
    """After the death of the process that asked, even by SIGKILL, no server and no folder is left."""
    script = (
        f"import sys, time; from tests.backends.client import Keeper; keeper = Keeper(*{tuple(VARIABLES)!r});"
        "print(keeper.folder, keeper._process.pid, flush=True); time.sleep(600)"
    )
    asker = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    folder, pid = asker.stdout.readline().split()
    keeper = psutil.Process(int(pid))
    running = _servers_of(keeper)
    asker.kill()
    asker.communicate()
    assert wait_ended([keeper, *running], 60) == []
    assert not Path(folder).exists()


def test_servers_do_not_outlive_their_keeper():
    """Even if the keeper itself is killed, the kernel ends the servers."""
    with Keeper(*VARIABLES) as asked:
        folder = asked.folder
        keeper = psutil.Process(asked._process.pid)
        running = _servers_of(keeper)
        keeper.kill()
        assert wait_ended(running, 60) == []
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_server_that_cannot_be_had_is_an_error_with_the_reason(tmp_path, monkeypatch):
    """Without a system server, a cached one, or apt, the message names what to install or to set."""
    monkeypatch.setattr("tests.backends.debian.ENVIRONMENT", {**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    probe = ("usr/sbin/mariadbd", "--version")
    with pytest.raises(BackendError, match=r"no apt to fetch it with\. Set X"):
        unpacked("mariadb-server-core", probe=probe, answer="Ver", advice="Set X")
    monkeypatch.setattr(azurite, "_wheel", lambda: None)
    with pytest.raises(BackendError, match="SIMPLEML_TEST_AZURE_URL"):
        azurite._node()
    with pytest.raises(BackendError, match="there is no npm"):
        azurite._program(tmp_path / "node")
    assert [each.name for each in (tmp_path / "simpleml-tests").iterdir()] == []
