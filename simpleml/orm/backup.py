"""A backup of a database and its stores, consistent with each other, taken while writers go on.

The order makes it consistent. First every blob row that exists is put under a lease, so that nothing which a record of the
snapshot may refer to is collected meanwhile. Then the records are read in one snapshot of the database. Then the objects
that they refer to are copied: bytes never change, and they were durable before their record was committed.

A backup is a folder: `backup.json` (written last: a folder without it is not a backup), `records.sqlite` (the schema's
tables, in SQLite whatever the database was), and `objects-…/` (the bytes, under their keys).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, delete, func, insert, inspect, select, update
from sqlalchemy.engine import URL

from simpleml import migrations
from simpleml.errors import ArtifactDamagedError, ConfigurationError, DatabaseError
from simpleml.orm import blobs, dialects
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.tables import Blob, BlobState, Ledger, metadata
from simpleml.progress import Progress
from simpleml.save_patterns.locations.keys import is_key, moved_key
from simpleml.save_patterns.locations.local import LocalStore, flush_file, flush_folder, make_folder

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

FORMAT = 1
_MARK = "backup.json"
_RECORDS = "records.sqlite"
_PAGE = 500
_MARKS = {"registered_name", "filepaths", "metadata", "version"}  # columns by which a table of records is known
_blobs: Any = Blob.__table__


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds."""

    format: int
    schema: str
    ledger: str
    taken: str
    records: int
    blobs: int
    bytes_: int


def backup(database: Database, folder: Path) -> BackedUp:
    """Write a backup of `database` and of everything it refers to into a new folder; writers need not stop.

    What was saved before the call is in it. Raises `ConfigurationError` if the folder holds anything, and
    `ArtifactDamagedError` if an object is missing or damaged: such a backup would not be one.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} is not empty: give a folder that is not there yet, so that no other backup is harmed"
        )
    make_folder(folder)
    _protect(database)
    target = _open_file(folder / _RECORDS)
    try:
        records = _copy_snapshot(database, target)
        with target.connect() as connection:
            wanted = _live(connection)
    finally:
        target.dispose()
    copied = LocalStore("backup", folder)
    size = sum(count for _, _, count, _ in wanted)
    with Progress("copying", size, bytes_=True) as bar:
        for key, store, count, digest in wanted:
            _copy_object(database.places.store(store), key, copied, key, count, digest)
            bar.advance(count)
    made = BackedUp(
        FORMAT, migrations.HEAD, database.ledger_id, datetime.now(UTC).isoformat(), records, len(wanted), size
    )
    _write_mark(folder, made)
    return made


def restore(database: Database, folder: Path) -> BackedUp:
    """Bring a backup back into an empty `database` and its stores; run again after a failure, it goes on where it stopped.

    Objects are written before the rows, which come in one transaction. Stores keep their names; objects get keys of the
    new database, so that it may share a store with the old one and neither collects what the other refers to. Raises
    `ConfigurationError` if the folder is no backup, and `DatabaseError` if the database holds records already.
    """
    folder = Path(folder)
    made = _read_mark(folder)
    if database.run(_count_records, read=True):
        raise DatabaseError(
            f"{database!r} holds records already: restore into an empty one (connect to a new database)"
        )
    source = _open_file(folder / _RECORDS)
    saved = LocalStore("backup", folder)
    try:
        with source.connect() as connection:
            wanted = _live(connection)
        with Progress("restoring", made.bytes_, bytes_=True) as bar:
            for key, store, count, digest in wanted:
                target = database.places.store(store)
                _copy_object(saved, key, target, moved_key(key, database.ledger_id), count, digest)
                bar.advance(count)
        with source.connect() as connection:
            database.run(lambda rows: _copy_tables(connection, rows, ledger=database.ledger_id))
    finally:
        source.dispose()
    return made


def _protect(database: Database) -> None:
    """Put every blob under a lease, in pages, so that nothing which the snapshot sees is collected while it is copied."""
    lease = blobs.lease(max(database.settings.grace, 24 * 3600.0))
    last = ""
    while True:
        following = select(_blobs.c.key).where(_blobs.c.key > last).order_by(_blobs.c.key).limit(_PAGE)
        keys = database.run(lambda connection, page=following: list(connection.execute(page).scalars()), read=True)  # type: ignore[misc]
        if not keys:
            return
        extend = (
            update(Blob).where(_blobs.c.key.in_(keys), _blobs.c.state != BlobState.CONDEMNED).values(lease_until=lease)
        )
        database.run(lambda connection, page=extend: connection.execute(page).close())  # type: ignore[misc]
        last = keys[-1]


def _copy_snapshot(database: Database, target: Engine) -> int:
    """Copy the tables as they are at one instant; return how many records there are."""

    def copy(source: Connection) -> int:
        with target.begin() as connection:
            migrations.upgrade(connection)
            _copy_tables(source, connection)
        return _count_records(source)

    return database.run(copy, read=True, snapshot=True)


def _copy_tables(source: Connection, target: Connection, *, ledger: str | None = None) -> None:
    """Copy every row, parents before children, as it is or under keys of another ledger.

    Blobs that only a writer under way knows of are left out.
    """
    for table in _tables(source):
        if table.name not in migrations.TABLES:
            table.create(target, checkfirst=True)
        if table.name == "ledger":
            if ledger is None:
                target.execute(delete(Ledger))
            else:
                continue  # the target stays who it is
        for page in _pages(source, table):
            target.execute(insert(table), [_moved(row, ledger) for row in page] if ledger else page)
    _link_datasets(source, target)


def _moved(row: dict[str, Any], ledger: str) -> dict[str, Any]:
    """Return a row, or a reference in one, whose keys are those of another ledger."""
    if is_key(row.get("key")):
        return {**row, "key": moved_key(row["key"], ledger)}
    if row.get("filepaths"):
        moved = {
            artifact: {pattern: _moved(reference, ledger) for pattern, reference in patterns.items()}
            for artifact, patterns in row["filepaths"].items()
        }
        return {**row, "filepaths": moved}
    return row


def _tables(source: Connection) -> list[Table]:
    """Return the tables to copy, parents first; `DatabaseError` names those of kinds that this process has not imported."""
    own: list[Any] = [record_class(kind).__table__ for kind in kinds_in(source)]
    ours = [table for table in metadata.sorted_tables if table.name in migrations.TABLES]
    found = ours + [table for table in own if table.name not in migrations.TABLES]
    names = {table.name for table in found}
    look = inspect(source)
    for name in look.get_table_names():
        if name not in names and _MARKS.issubset(column["name"] for column in look.get_columns(name)):
            raise DatabaseError(
                f"the table {name!r} holds records of a kind that is not known here: import the module that maps it first, "
                "so that nothing is left out"
            )
    return found


def _pages(source: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Give the rows of a table in pages; the one pair of tables that refer to each other is linked afterwards."""
    statement = select(table)
    if table.name == "blobs":
        statement = statement.where(table.c.state.in_([BlobState.LIVE, BlobState.DAMAGED]), table.c.refs > 0)
    unlinked = {"pipeline_id"} if table.name == "datasets" else set()
    for page in source.execute(statement).mappings().partitions(_PAGE):
        yield [{key: None if key in unlinked else value for key, value in row.items()} for row in page]


def _link_datasets(source: Connection, target: Connection) -> None:
    """Set the pipelines of derived datasets, now that both are there."""
    table = metadata.tables["datasets"]
    for row in source.execute(select(table.c.id, table.c.pipeline_id).where(table.c.pipeline_id.is_not(None))).all():
        target.execute(update(table).where(table.c.id == row.id).values(pipeline_id=row.pipeline_id))


def _live(connection: Connection) -> list[tuple[str, str, int, str]]:
    columns = (_blobs.c.key, _blobs.c.store, _blobs.c.size, _blobs.c.digest)
    rows = connection.execute(select(*columns).where(_blobs.c.state == BlobState.LIVE).order_by(_blobs.c.key))
    return [(row.key, row.store, row.size, row.digest) for row in rows]


def _count_records(connection: Connection) -> int:
    counted = (select(func.count()).select_from(record_class(kind)) for kind in kinds_in(connection))
    return sum(connection.execute(count).scalar_one() for count in counted)


def _copy_object(source: Store, key: str, target: Store, new_key: str, size: int, digest: str) -> None:
    """Copy one object durably, checking its digest on the way; one that is there already is left alone."""
    if target.size(new_key) == size:
        return
    data, found = source.read(key, size)
    if found != digest:
        raise ArtifactDamagedError(
            f"the object {key} in the store {source.name!r} ({source.describe()}) is damaged: its digest is {found}, but {digest} "
            "was saved. Run `simpleml verify --all` to see what it belongs to."
        )
    spool = target.spool()
    try:
        spool.write(data)
        target.put(spool, new_key)
    finally:
        spool.close()


def _open_file(path: Path) -> Engine:
    return dialects.make_engine(URL.create("sqlite", database=str(path)), durability="full", patience=60)


def _write_mark(folder: Path, made: BackedUp) -> None:
    """Write the mark that makes the folder a backup, last and durably."""
    part = folder / f"{_MARK}.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(asdict(made), file, indent=2)
        file.flush()
        flush_file(file.fileno())
    os.replace(part, folder / _MARK)
    flush_folder(folder)


def _read_mark(folder: Path) -> BackedUp:
    try:
        made = BackedUp(**json.loads((folder / _MARK).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{folder} is no backup (it has no {_MARK}): give the folder that `simpleml backup` wrote to the end"
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{folder / _MARK} is damaged: {error}") from error
    if made.format != FORMAT or made.schema != migrations.HEAD:
        raise ConfigurationError(
            f"{folder} was made with format {made.format} and schema {made.schema}; this version reads format {FORMAT} and schema "
            f"{migrations.HEAD}: restore it with the version of simpleml that made it, then run `simpleml db upgrade`"
        )
    return made
