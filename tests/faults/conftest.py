from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import DATABASES
from tests.faults.workload import Place

_ROOM = 500 * 1024 * 1024


@pytest.fixture
def kill_rounds(pytestconfig: pytest.Config) -> int | None:
    """The number of rounds that was asked for; None: the small default."""
    rounds: int | None = pytestconfig.getoption("--kill-rounds", default=None)
    return rounds


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory if there is room: for what is decided by who calls what, not by the medium."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(dir=memory if room else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, new_database: Callable[[str], str], quick: Path) -> Place:
    """A fresh database on each of SQLite, PostgreSQL and MariaDB, with a store of its own."""
    return local(quick) if request.param == "sqlite" else replace(local(quick), url=new_database(request.param))


@pytest.fixture
def local_place(quick: Path) -> Place:
    """A fresh SQLite database with a store of its own."""
    return local(quick)


def local(folder: Path) -> Place:
    """A SQLite database and a store in `folder`."""
    return Place(f"sqlite:///{folder / 'local.db'}", str(folder / "store"), str(folder / "embedded"))
