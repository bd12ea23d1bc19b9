from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.workload import Place


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kill-rounds",
        type=int,
        help="how often a process is killed at a random instant (default: 12 on SQLite, 4 on each server; in full: 200)",
    )


@pytest.fixture
def kill_rounds(pytestconfig: pytest.Config) -> int | None:
    """The number of rounds that was asked for; None: the small default. Given with this folder's path on the command line."""
    rounds: int | None = pytestconfig.getoption("--kill-rounds", default=None)
    return rounds


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """A fresh database on each of SQLite, PostgreSQL and MariaDB, with a store of its own."""
    return Place(database_url, str(tmp_path / "store"), str(tmp_path / "embedded"))


@pytest.fixture
def local_place(tmp_path: Path) -> Place:
    """A fresh SQLite database with a store of its own."""
    return Place(f"sqlite:///{tmp_path / 'local.db'}", str(tmp_path / "store"), str(tmp_path / "embedded"))
