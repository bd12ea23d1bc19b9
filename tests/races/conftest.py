"""How often the races are run, and where: a place is a database with a store beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.races.crew import Crew
from tests.races.work import Place


@pytest.fixture
def crew() -> Iterator[Crew]:
    """The processes of one test, all of which end with it."""
    started = Crew()
    yield started
    started.close()


@pytest.fixture
def place(database_url: str, tmp_path: Path) -> Place:
    """A place that nobody has used yet, on each of SQLite, PostgreSQL and MariaDB."""
    return Place(database_url, str(tmp_path / "store"))


@pytest.fixture
def new_place(new_database: Callable[[str], str], tmp_path: Path) -> Callable[[str], Place]:
    """`new_place("postgresql")` → another place that nobody has used; as many as wanted."""
    count = iter(range(1_000_000))

    def make(kind: str) -> Place:
        return Place(new_database(kind), str(tmp_path / f"store-{next(count)}"))

    return make
