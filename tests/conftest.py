"""What every test may ask for: a clean home, fresh databases, a database server to kill."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.backends import places
from tests.backends.client import VARIABLES, Server, Servers
from tests.backends.databases import fresh
from tests.backends.places import Place
from tests.backends.proxy import FaultProxy, FaultyPlace

if TYPE_CHECKING:
    from simpleml.orm import Database

DATABASES = ("sqlite", "postgresql", "mariadb")

# Two busy cores make any deadline a coin toss; a failure prints how to repeat it.
settings.register_profile("simpleml", deadline=None, print_blob=True)
settings.load_profile("simpleml")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the number of rounds be chosen of what is run a few times by default and many times in full."""
    parser.addoption(
        "--kill-rounds",
        type=int,
        help="how often a process is killed at a random instant (default: 12 on SQLite, 4 on each server; in full: 200)",
    )
    parser.addoption(
        "--remote-fault-rounds",
        type=int,
        default=60,
        help="saves and loads of artifacts over a network that fails (500: the full count)",
    )
    group = parser.getgroup("races")
    group.addoption("--fire", type=int, default=64, help="saves of each of the 16 processes under fire")
    group.addoption(
        "--first-use-rounds", type=int, default=4, help="rounds of 16 first users at once (20: the full count)"
    )


def _move_home(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in os.environ:
        if name.startswith("SIMPLEML_") and not name.startswith("SIMPLEML_TEST_"):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    for variable, folder in {
        "XDG_CONFIG_HOME": ".config",
        "XDG_CACHE_HOME": ".cache",
        "XDG_DATA_HOME": ".local/share",
        "XDG_STATE_HOME": ".local/state",
    }.items():
        patch.setenv(variable, str(home / folder))


@pytest.fixture(scope="session", autouse=True)
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the home of whoever runs it, asked for or not."""
    with pytest.MonkeyPatch.context() as patch:
        _move_home(patch, tmp_path_factory.mktemp("home"))
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new empty home folder, with the working folder `work` in it, and no `SIMPLEML_*` variable but the tests' own."""
    folder = tmp_path / "home"
    (folder / "work").mkdir(parents=True)
    _move_home(monkeypatch, folder)
    monkeypatch.chdir(folder / "work")
    return folder


@pytest.fixture(scope="session")
def servers(_session_home: None) -> Iterator[Servers]:
    """The servers of this session (of this worker, if they are not given by URL), each started at its first use."""
    shared = Servers()
    try:
        yield shared
    finally:
        shared.close()


@pytest.fixture
def new_database(tmp_path: Path, servers: Servers) -> Iterator[Callable[[str], str]]:
    """`new_database("postgresql")` → the URL of a fresh, empty database; as many as wanted, gone after the test."""
    with ExitStack() as stack:
        count = iter(range(1_000_000))

        def make(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path / f'simpleml-{next(count)}.db'}"
            return stack.enter_context(fresh(servers.url(kind)))

        yield make


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """The URL of a fresh, empty database, on each of SQLite, PostgreSQL and MariaDB."""
    return new_database(request.param)


@pytest.fixture(scope="session")
def _roots(servers: Servers) -> Iterator[Callable[[str], Place]]:
    """`_roots("s3")` → the bucket, container or folder that holds all of this session's places of one kind."""
    with ExitStack() as stack:
        yield cache(lambda kind: stack.enter_context(places.root(kind, servers.url(kind))))


@pytest.fixture
def new_place(tmp_path: Path, _roots: Callable[[str], Place]) -> Iterator[Callable[[str], Place]]:
    """`new_place("s3")` → a fresh, empty place on a real server, with the options that fsspec needs to get there.

    Kinds are local, memory, s3, azure and sftp; as many places as wanted.
    """
    with ExitStack() as stack:
        count = iter(range(1_000_000))

        def make(kind: str) -> Place:
            if kind == "local":
                folder = tmp_path / f"place-{next(count)}"
                folder.mkdir()
                return Place("local", folder.as_uri())
            if kind == "memory":
                return stack.enter_context(places.in_memory())
            return stack.enter_context(places.fresh(_roots(kind)))

        yield make


@pytest.fixture
def faulty_s3(new_place: Callable[[str], Place]) -> Iterator[FaultyPlace]:
    """A fresh place on S3 behind a proxy that does no harm until its `faults` are set."""
    straight = new_place("s3")
    with FaultProxy(straight.options["endpoint_url"]) as proxy:
        yield FaultyPlace(straight.but(endpoint_url=proxy.url), straight, proxy)


@pytest.fixture
def private_server() -> Iterator[Callable[..., Server]]:
    """`private_server("mariadb", durable=True)` → a server for this test alone, with `url`, `start`, `stop`, `kill`."""
    with ExitStack() as stack:

        def make(kind: str, *, durable: bool = True) -> Server:
            assert kind in VARIABLES, f"no server is made of {kind!r}: take one of {', '.join(VARIABLES)}"
            server = Server(kind, durable=durable)
            stack.callback(server.close)
            return server

        yield make


@pytest.fixture(autouse=True)
def _nothing_is_inherited() -> Iterator[None]:
    """No test inherits the current database of the one before, nor the classes that it made for itself."""
    yield
    connections = sys.modules.get("simpleml.orm.connections")
    if connections is not None:
        connections.disconnect()
    registry = sys.modules.get("simpleml.persistables.classes")
    if registry is not None:
        for name, cls in registry.classes.live().items():
            if "<locals>" in cls.__qualname__:
                registry.classes.drop(name)


@pytest.fixture
def database(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """The current database, fresh and empty, with a store of its own, on each of SQLite, PostgreSQL and MariaDB."""
    import simpleml

    opened = simpleml.connect(database_url, store=tmp_path / "store", home=tmp_path / "embedded")
    yield opened
    opened.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Database]:
    """The current database, fresh and empty, on SQLite alone: for what no database has a part in."""
    import simpleml

    opened = simpleml.connect(tmp_path / "local.db", store=tmp_path / "store", home=tmp_path / "embedded")
    yield opened
    opened.close()


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`cli("ls", "--json")` → exit code, standard output and standard error of the command line, in this process."""
    from simpleml.cli import main

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(arguments)
        return (int(left.value.code or 0), *capsys.readouterr())

    return run
