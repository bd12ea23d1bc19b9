"""What a race must leave behind. Each check returns the faults that it finds, so that claim and twin share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select

from simpleml.errors import SimpleMLError
from simpleml.orm.database import Database
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.tables import Blob
from tests.races.crew import Failure
from tests.races.work import Note, Saved

ANYTHING = object()
"""In place of a content: any will do."""


def of_outcomes(outcomes: Iterable[object]) -> list[str]:
    """Errors that a caller saw."""
    return [f"error: {outcome}" for outcome in outcomes if isinstance(outcome, Failure)]


def of_versions(database: Database, name: str, saved: Iterable[Saved], count: int) -> list[str]:
    """Versions other than 1…count, each once, each of the record that was told."""
    rows = database.select("persistable", {"name": name}, order_by=("version",))
    found = [row["version"] for row in rows]
    faults = []
    if len(set(found)) != len(found):
        faults.append(f"duplicate: {sorted(version for version in set(found) if found.count(version) > 1)}")
    if set(found) != set(range(1, count + 1)):
        faults.append(f"gap: {len(found)} of {count} versions, up to {max(found, default=0)}")
    if {(row["id"], row["version"]) for row in rows} != set(saved):
        faults.append("lie: the versions that were told are not those that are there")
    return faults


def of_records(database: Database, wanted: Mapping[UUID, object]) -> list[str]:
    """Records that are not there, or whose artifact is not what was saved."""
    faults = []
    for id_, data in wanted.items():
        try:
            found = Note.load(id=id_).data
        except SimpleMLError as error:
            faults.append(f"lost: {type(error).__name__}: {error}")
        else:
            if data is not ANYTHING and found != data:
                faults.append(f"wrong: {id_} holds {found!r}, but {data!r} was saved")
    return faults


def of_store(database: Database) -> list[str]:
    """Whatever verification finds."""
    return [f"{each.problem}: {each.record} {each.message}" for each in verify(database, everything=True).findings]


def of_orphans(database: Database) -> list[str]:
    """Objects, rows and temporary files that are left over after a collection, when nobody writes any more."""
    collect(database, leftovers_after=0)
    rows: Any = Blob.__table__
    read = database.run(lambda connection: connection.execute(select(rows.c.key, rows.c.refs)).all(), read=True)
    root = Path(database.settings.stores["default"])
    files = {str(path.relative_to(root)) for path in root.glob("objects-*/*/*")}
    faults = [f"orphan: {key}" for key in sorted(files - {row.key for row in read})]
    faults += [f"orphan row: {row.key}" for row in read if row.refs == 0]
    faults += [f"missing: {row.key}" for row in read if row.key not in files]
    return faults + [f"temporary: {path.name}" for path in (root / "tmp").glob("*.part")]


def of_everything(database: Database, wanted: Mapping[UUID, Any]) -> list[str]:
    """Records, store and orphans together."""
    return of_records(database, wanted) + of_store(database) + of_orphans(database)
