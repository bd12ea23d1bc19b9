"""What saving and loading costs the database, in SQL statements: the same however much there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, insert

from simpleml.orm.database import Database
from simpleml.orm.persistable import ORMGeneral
from simpleml.orm.tables import Blob, BlobRef, BlobState, VersionCounter
from simpleml.orm.units import column_values
from tests.races import work
from tests.races.work import Note

STEPS = (
    "save",
    "save of equal bytes",
    "save without artifact",
    "load by name",
    "load by version",
    "load by id",
    "read",
    "update",
    "delete",
)
COSTS = {
    # A save announces (is it there? then a lease, else a row), and commits: the blob, the reference to it, the counter, the
    # record: 6. SQLite adds the BEGIN of each of the two transactions; PostgreSQL adds what an announcement need not
    # survive; MariaDB asks for the number that it counted. An update asks what the object was made from, and what the metadata is by then; a
    # deletion asks
    # for children, frees the bytes, removes lineage and record, asks for aliases, and removes tags. What is loaded from a server
    # is kept for when there is no network, with its lineage, where a column of the record does not show that.
    "sqlite": dict(zip(STEPS, (8, 8, 3, 2, 2, 2, 0, 5, 9), strict=True)),
    "postgresql": dict(zip(STEPS, (7, 7, 2, 2, 2, 2, 0, 3, 8), strict=True)),
    "mysql": dict(zip(STEPS, (7, 7, 3, 2, 2, 2, 0, 3, 8), strict=True)),
}


@contextmanager
def counting(database: Database) -> Iterator[list[str]]:
    """Collect the statements of the block; a PRAGMA is none, for it sets what SQLite does within this process."""
    seen: list[str] = []

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("PRAGMA"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", before)


def costs(database: Database) -> dict[str, int]:
    """Return how many statements each thing takes now."""
    found: dict[str, int] = {}

    def measure(name: str, action: Callable[[], Any]) -> Any:
        with counting(database) as seen:
            result = action()
        found[name] = len(seen)
        return result

    warm = work.note("many", {"content": str(uuid4())}).save()
    new = {"content": str(uuid4())}
    saved = measure("save", work.note("many", new).save)
    measure("save of equal bytes", work.note("many", new).save)
    measure("save without artifact", Note(name="many").save)
    measure("load by name", lambda: Note.load("many"))
    measure("load by version", lambda: Note.load("many", version=warm.version))
    loaded = measure("load by id", lambda: Note.load(id=saved.id))
    assert measure("read", lambda: loaded.data) == new
    saved.state["seen"] = True
    measure("update", saved.save)
    measure("delete", warm.delete)
    return found


def fill(database: Database, count: int) -> None:
    """Insert rows as saves would: half of them versions of the name that is measured, each with bytes of its own."""
    columns = column_values(ORMGeneral, work.note("many", 1).save().to_dict())

    def work_(connection: Any) -> None:
        first = Note.versions("many")[-1] + 1
        now = datetime.now(UTC)
        rows, blobs, refs = [], [], []
        for index in range(count):
            id_, own = uuid4(), index % 2
            key = f"objects-000000000000/ab/{id_.hex}-{id_.hex}"
            name = "many" if own else id_.hex
            version = first + index // 2 if own else 1
            rows.append({**columns, "id": id_, "name": name, "version": version, "created_timestamp": now})
            blob = {
                "key": key,
                "digest": f"blake3:{id_.hex * 2}",
                "size": 1,
                "store": "default",
                "state": BlobState.LIVE,
            }
            blobs.append({**blob, "refs": 1, "lease_until": 0.0})
            refs.append({"record": id_, "key": key})
        for table, values in ((Blob, blobs), (ORMGeneral.__table__, rows), (BlobRef, refs)):
            connection.execute(insert(table), values)
        connection.execute(
            VersionCounter.__table__.update().where(VersionCounter.name == "many").values(last=first + count // 2)
        )

    database.run(work_)


def one_select_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin that finds the ids first and then fetches one record after the other."""
    true = Database.select

    def wrong(self: Database, kind: str, filters: Any, *, limit: int | None = None, **options: Any) -> list[Any]:
        found = [row for id_ in true(self, kind, filters, **options) for row in true(self, kind, {"id": id_["id"]})]
        return found[:limit]

    monkeypatch.setattr(Database, "select", wrong)


@pytest.mark.parametrize("twin", ["", "one select a row"])
def test_the_number_of_statements_is_constant(database: Database, twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save, load, update and delete take the stated number of statements, with 10 rows and with 2,000 alike.

    Half of the rows are versions of the very name; a twin that asks row by row does not pass.
    """
    if twin:
        one_select_a_row(monkeypatch)
    family = database.engine.dialect.name.replace("mariadb", "mysql")
    fill(database, 10)
    few = costs(database)
    fill(database, 300 if twin else 2000)
    assert (few == COSTS[family] == costs(database)) != bool(twin)
