"""`LegacySource`: the database and the filestore of SimpleML 0.14, opened for reading only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from uuid import UUID

from simpleml.encoding.faults import short
from simpleml.errors import LegacyError

HEAD: Final = "5c2f66bdf2ae"
"""The schema revision of SimpleML 0.14."""

TABLES: Final[Mapping[str, str]] = {
    "datasets": "dataset",
    "pipelines": "pipeline",
    "models": "model",
    "metrics": "metric",
}

_SELECTED: Final[Mapping[str, str]] = {
    "datasets": "SELECT * FROM datasets ORDER BY name, version",
    "pipelines": "SELECT * FROM pipelines ORDER BY name, version",
    "models": "SELECT * FROM models ORDER BY name, version",
    "metrics": "SELECT * FROM metrics ORDER BY name, version",
}
_LINKS = ("pipeline_id", "dataset_id", "model_id")
_JSON = ("filepaths", "metadata", "params", "feature_metadata", "values")


@dataclass(frozen=True, slots=True)
class OldRecord:
    """One row of the old database, its JSON read as plain data: what was pickled inside of it stays text."""

    kind: str
    id: UUID
    columns: Mapping[str, Any]
    links: Mapping[str, UUID]

    def __str__(self) -> str:
        return _told(self.kind, self.columns)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row of the old database that cannot be understood, and why."""

    what: str
    why: str


def _told(kind: str, columns: Mapping[str, Any]) -> str:
    return f"{kind} {short(columns['name'])} version {short(columns['version'])}"


class LegacySource:
    """An old database file and the folder its artifacts are in; neither is ever written to."""

    def __init__(self, path: Path, filestore: Path | None = None) -> None:
        """Find the database at `path` (the file, or the old home folder that holds it) and the filestore beside it.

        Raises `LegacyError` if either is missing, or if the database is not of SimpleML 0.14.
        """
        self.database = _database_in(path)
        near = (self.database.parent / "filestore", self.database.parent)
        self.filestore = (filestore or next(folder for folder in near if folder.is_dir())).resolve()
        if not self.filestore.is_dir():
            raise LegacyError(f"there is no folder {self.filestore}: say where the artifacts are, with filestore=")

    def records(self) -> tuple[list[OldRecord], list[Unreadable]]:
        """Return every record, each after those it was made from, and the rows that are none.

        Raises `LegacyError` if the file cannot be read, or if the schema is another one.
        """
        try:
            with closing(sqlite3.connect(f"{self.database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                connection.row_factory = sqlite3.Row
                # Text that is no UTF-8 concerns its own row; what it is then cannot be stored, and is told there.
                connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
                self._check_revision(connection)
                rows = [(kind, row) for table, kind in TABLES.items() for row in _rows(connection, table)]
        except sqlite3.DatabaseError as error:
            raise LegacyError(f"{self.database} is no SQLite database that can be read: {error}") from error
        found: dict[tuple[str, UUID], OldRecord] = {}
        unreadable = []
        for kind, row in rows:
            columns = {name: row[name] for name in row.keys()}  # noqa: SIM118 - iterating a Row gives its values
            try:
                record = _record(kind, columns)
                if (kind, record.id) in found:
                    raise LegacyError(f"it has the id {record.id}, and so has {found[kind, record.id]}")
            except LegacyError as error:
                unreadable.append(Unreadable(_told(kind, columns), str(error)))
            else:
                found[kind, record.id] = record
        return list(_in_order(found)), unreadable

    def _check_revision(self, connection: sqlite3.Connection) -> None:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        missing = sorted(TABLES.keys() - tables)
        if missing:
            raise LegacyError(f"{self.database} is no database of SimpleML: it has no table {', '.join(missing)}")
        if "blobs" in tables:
            raise LegacyError(f"{self.database} is a database of this library already: connect to it instead")
        if "alembic_version" in tables:
            found = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
            if found != [HEAD]:
                raise LegacyError(
                    f"{self.database} has the schema revision {', '.join(map(str, found)) or 'none'}, and this reads {HEAD}, that of "
                    "SimpleML 0.14: upgrade it with SimpleML 0.14 first (simpleml db upgrade)"
                )

    def file(self, where: object) -> Path:
        """Return the file that an old record points to, which lies inside the filestore; `LegacyError` if it cannot be had."""
        if isinstance(where, dict):
            root, where = where.get("source_directory", "filestore"), where.get("filepath")
            if root != "filestore":
                raise LegacyError(
                    f"it was kept in {root!r}, which is not on this machine: copy it into the filestore first"
                )
        if not isinstance(where, str) or not where:
            raise LegacyError(f"the record says that it is in {short(where)}, which is no path")
        parts = PurePosixPath(where).parts
        if where.startswith(("/", "~")) or "\\" in where or ".." in parts:
            raise LegacyError(f"the record says that it is in {short(where)}, which is outside of the filestore")
        tried = [self.filestore / where, self.filestore / "pickle" / where]
        try:
            found = next((path for path in tried if path.is_file() or path.is_dir()), None)
        except OSError as error:  # such as a name that no file can have
            raise LegacyError(f"{short(where)} cannot be looked for: {error.strerror}") from error
        if found is None:
            raise LegacyError(f"the file {short(where)} is not in {self.filestore}")
        if not found.resolve().is_relative_to(self.filestore):
            raise LegacyError(f"the file {where} is a link out of the filestore")
        return found


def _database_in(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise LegacyError(f"there is no {path}: give the SQLite file of SimpleML 0.14, or the folder that holds it")
    folders = (path, path / "filestore")
    found = sorted(file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.suffix == ".db")
    if len(found) != 1:
        names = ", ".join(str(file) for file in found) or "none"
        raise LegacyError(f"{path} should hold one database (a .db file), but there is {names}: give the file itself")
    return found[0]


def _rows(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    columns = {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
    missing = {"id", "hash", "registered_name", "name", "version"} - columns
    if missing:
        raise LegacyError(f"the table {table} has no column {', '.join(sorted(missing))}: it is not of SimpleML 0.14")
    return connection.execute(_SELECTED[table]).fetchall()


def _record(kind: str, columns: Mapping[str, Any]) -> OldRecord:
    read = dict(columns)
    for name in _JSON:
        if isinstance(read.get(name), str):
            try:
                read[name] = json.loads(read[name])
            except (ValueError, RecursionError) as error:
                raise LegacyError(f"its {name} is not JSON that can be read: {error}") from error
    links = {link: _id(link, read[link]) for link in _LINKS if read.get(link) is not None}
    return OldRecord(kind, _id("id", read["id"]), read, links)


def _id(column: str, value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise LegacyError(f"its {column} is {short(value)}, which is no UUID") from error


def _in_order(records: Mapping[tuple[str, UUID], OldRecord]) -> Iterator[OldRecord]:
    """Give each record after those it was made from; of a circle, in the order of the tables."""
    waiting = dict(records)
    while waiting:
        ready = [one for key, one in waiting.items() if not (_parents(one) & waiting.keys()) - {key}]
        for one in ready or list(waiting.values())[:1]:
            del waiting[one.kind, one.id]
            yield one


def _parents(record: OldRecord) -> set[tuple[str, UUID]]:
    return {(link.removesuffix("_id"), id_) for link, id_ in record.links.items()}
