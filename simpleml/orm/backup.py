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
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    delete,
    exc,
    func,
    insert,
    literal,
    select,
    update,
)

from simpleml import migrations
from simpleml.errors import (
    ArtifactDamagedError,
    ConfigurationError,
    DatabaseError,
    EncodingError,
    OfflineError,
    SimpleMLError,
    StoreFullError,
)
from simpleml.orm import blobs, cells
from simpleml.orm.backup_records import check, open_saved, settle
from simpleml.orm.backup_records import open_new as _open_file
from simpleml.orm.inventory import copy_object
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.tables import OBJECT_TABLES, PASSING_TABLES, Blob, BlobRef, BlobState, Ledger, metadata
from simpleml.orm.unmapped import unmapped
from simpleml.progress import Progress
from simpleml.save_patterns.locations.disk import FULL, flush_file, flush_folder, make_folder
from simpleml.save_patterns.locations.keys import is_key, moved_key
from simpleml.save_patterns.locations.local import LocalStore

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

FORMAT = 1
_MARK = "backup.json"
_RECORDS = "records.sqlite"
_PAGE = 500
_SHOWN = 10
_blobs: Any = Blob.__table__
_refs: Any = BlobRef.__table__


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds; `digest` is that of its records."""

    format: int
    schema: str
    ledger: str
    taken: str
    records: int
    blobs: int
    bytes_: int
    digest: str = ""


def backup(database: Database, folder: Path) -> BackedUp:
    """Write a backup of `database` and of everything it refers to into a new folder; writers need not stop.

    What was saved before the call is in it. Raises `ConfigurationError` if the folder cannot be made or holds anything,
    `ArtifactDamagedError` if an object is missing or damaged (such a backup would not be one), and `OfflineError`.
    """
    folder = Path(folder)
    if database.is_copy:
        raise OfflineError(
            f"{database!r} has only the records that were loaded here, and no list of what the stores hold, so there is nothing to "
            "back up while offline = true; nothing was written"
        )
    database.run(_refuse_unmapped, read=True)  # before anything is there that a second try would stumble over
    with _writing(folder):
        _make_empty(folder)
    _protect(database)
    target = _open_file(folder / _RECORDS)
    try:
        records = _copy_snapshot(database, target)
        with target.connect() as connection:
            _refuse_damaged(connection)
            wanted = _live(connection)
    finally:
        target.dispose()
    with _writing(folder):
        known = settle(folder / _RECORDS)
    stores = _stores(database, wanted)
    copied = LocalStore("backup", folder)
    size = sum(count for _, _, count, _ in wanted)
    with Progress("copying", size, bytes_=True) as bar:
        for key, store, count, digest in wanted:
            copy_object(stores[store], key, copied, key, count, digest)
            bar.advance(count)
    now = datetime.now(UTC).isoformat()
    made = BackedUp(FORMAT, migrations.HEAD, database.ledger_id, now, records, len(wanted), size, known)
    with _writing(folder):
        _write_mark(folder, made)
    return made


def restore(database: Database, folder: Path) -> BackedUp:
    """Bring a backup back into an empty `database` and its stores; run again after a failure, it goes on where it stopped.

    Objects are written before the rows, which come in one transaction. Stores keep their names; objects get keys of the
    new database, so that it may share a store with the old one and neither collects what the other refers to. The backup
    is only read. Raises `ConfigurationError` if the folder is no backup, or damaged, and `DatabaseError` if the database
    holds anything, be it the version numbers of deleted records.
    """
    folder = Path(folder)
    made = _read_mark(folder)
    check(folder / _RECORDS, made.digest)
    database.run(lambda connection: _refuse_filled(database, connection), read=True)
    source = open_saved(folder / _RECORDS)
    saved = LocalStore("backup", folder)
    with source.connect() as connection:
        _refuse_unmapped(connection)  # before anything is copied
        wanted = _live(connection)
        stores = _stores(database, wanted)
        with Progress("restoring", made.bytes_, bytes_=True) as bar:
            for key, store, count, digest in wanted:
                copy_object(saved, key, stores[store], moved_key(key, database.ledger_id), count, digest)
                bar.advance(count)
        _fill(database, connection, made)
    return made


def _fill(database: Database, source: Connection, made: BackedUp) -> None:
    """Copy all rows into the empty `database`, in one transaction."""

    def work(target: Connection) -> bool:
        _refuse_filled(database, target)
        _copy_tables(source, target, ledger=database.ledger_id)
        return True

    def landed(target: Connection) -> bool | None:
        return True if _filled(target) and _count_records(target) == made.records else None

    try:
        database.run(work, landed=landed)
    except exc.IntegrityError as error:
        raise DatabaseError(
            f"{database!r} refused the rows of the backup: {error.orig}. Nothing was restored. Somebody may have saved into it at "
            "the same time: restore into an empty database that nobody uses yet"
        ) from error


def _filled(connection: Connection) -> list[str]:
    """Return the names of the tables that hold rows, but for who the database is."""
    own: list[Any] = [record_class(kind).__table__ for kind in kinds_in(connection)]
    tables = {table.name: table for table in [*metadata.sorted_tables, *own]}
    ours = (migrations.TABLES | {table.name for table in own}) - {Ledger.__tablename__} - OBJECT_TABLES - PASSING_TABLES
    one = literal(1)
    return [
        name
        for name in sorted(ours)
        if connection.execute(select(one).select_from(tables[name]).limit(1)).first() is not None
    ]


def _refuse_filled(database: Database, connection: Connection) -> None:
    filled = _filled(connection)
    if filled:
        raise DatabaseError(
            f"{database!r} is not empty (there are rows in {', '.join(filled)}): restore into a new database. One whose records "
            "were deleted still counts their versions, which would get mixed up with those of the backup"
        )


def _stores(database: Database, wanted: Iterable[tuple[str, str, int, str]]) -> dict[str, Store]:
    """Return the stores of these objects by name, so that one that cannot be opened is told before anything is copied."""
    return {name: database.places.store(name) for name in sorted({store for _, store, _, _ in wanted})}


def _make_empty(folder: Path) -> None:
    """Make the folder of a new backup; one that holds anything is refused."""
    if folder.exists() and any(folder.iterdir()):
        broken = (folder / _RECORDS).exists() and not (folder / _MARK).exists()
        what = "holds a backup that was not finished: remove it, or" if broken else "is not empty:"
        raise ConfigurationError(
            f"{folder} {what} give a folder that is not there yet, so that no other backup is harmed"
        )
    make_folder(folder)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say of a failure in the block that it hit the backup, and what to do."""
    try:
        yield
    except SimpleMLError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise StoreFullError(
                f"no room for the backup in {folder}: {error.strerror}. Remove that folder, free some space and back up again."
            ) from error
        raise ConfigurationError(
            f"no backup can be written to {folder}: {error.strerror}. Give a folder that is not there yet, in a place where this "
            "user may write"
        ) from error
    except sqlite3.Error as error:
        raise DatabaseError(f"the records of the backup in {folder} could not be finished: {error}") from error


def _refuse_damaged(connection: Connection) -> None:
    """Refuse a snapshot with records whose bytes are known to be gone or wrong."""
    bad = select(_blobs.c.key).where(_blobs.c.state == BlobState.DAMAGED)
    keys = connection.execute(bad).scalars().all()
    if not keys:
        return
    records = select(_refs.c.record).where(_refs.c.key.in_(bad))
    hit: list[str] = []
    for kind in kinds_in(connection):
        cls = record_class(kind)
        found = select(cls.name, cls.version).where(cls.id.in_(records)).order_by(cls.name, cls.version)
        hit += [f"{kind} {name!r} version {version}" for name, version in connection.execute(found)]
    shown = ", ".join(hit[:_SHOWN]) + (f", … ({len(hit)} in all)" if len(hit) > _SHOWN else "")
    raise ArtifactDamagedError(
        f"{len(keys)} stored objects are missing or damaged, and without them this would be no backup: they belong to {shown}. "
        "Run `simpleml verify --all` to see what is wrong; put their bytes back and verify again, or delete those versions, then "
        "back up again."
    )


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
            try:
                _copy_tables(source, connection)
            except EncodingError as error:
                raise _edited(source) or error from error
            return _count_records(source)  # before the copy is committed: it may be tried anew

    return database.run(copy, read=True, snapshot=True)


def _edited(source: Connection) -> EncodingError | None:
    """Return what is wrong with the first record that has a JSON cell which is none."""
    classes = map(record_class, kinds_in(source))
    found = (cells.refusal(source, cls, select(cls.id).order_by(cls.name, cls.version)) for cls in classes)
    return next(filter(None, found), None)


def _copy_tables(source: Connection, target: Connection, *, ledger: str | None = None) -> None:
    """Copy every row, parents before children, as it is or under keys of another ledger.

    Blobs that only a writer under way knows of are left out.
    """
    tables = _tables(source)
    for table in tables:  # before any row: where making a table commits, nothing half done is committed with it
        if table.name not in migrations.TABLES:
            table.create(target, checkfirst=True)
    for table in tables:
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
        moved_parts = {"parts": [moved_key(key, ledger) for key in row["parts"]]} if row.get("parts") else {}
        return {**row, "key": moved_key(row["key"], ledger), **moved_parts}
    if row.get("filepaths"):
        moved = {
            artifact: {pattern: _moved(reference, ledger) for pattern, reference in patterns.items()}
            for artifact, patterns in row["filepaths"].items()
        }
        return {**row, "filepaths": moved}
    return row


def _tables(source: Connection) -> list[Table]:
    """Return the tables to copy, parents first; `DatabaseError` names one of a kind that this process has not imported."""
    _refuse_unmapped(source)
    own: list[Any] = [record_class(kind).__table__ for kind in kinds_in(source)]
    # What a store keeps in tables is copied as objects, wherever they are.
    copied = migrations.TABLES - OBJECT_TABLES - PASSING_TABLES
    ours = [table for table in metadata.sorted_tables if table.name in copied]
    return ours + [table for table in own if table.name not in migrations.TABLES]


def _refuse_unmapped(connection: Connection) -> None:
    for one in unmapped(connection):
        raise DatabaseError(f"{one}, so that nothing is left out")


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
    except OSError as error:
        raise ConfigurationError(
            f"{folder / _MARK} cannot be read: {error.strerror}. Give the folder that `simpleml backup` wrote, as a user who may "
            "read it"
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{folder / _MARK} is damaged: {error}") from error
    if made.format != FORMAT or made.schema != migrations.HEAD:
        raise ConfigurationError(
            f"{folder} was made with format {made.format} and schema {made.schema}; this version reads format {FORMAT} and schema "
            f"{migrations.HEAD}: restore it with the version of simpleml that made it, then run `simpleml db upgrade`"
        )
    return made
