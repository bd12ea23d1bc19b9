"""What the stores of a database hold, and how a whole store is copied to another place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, ConfigurationError, SimpleMLError
from simpleml.orm import cells
from simpleml.orm.housekeeping.collection import PAGE, place_of, side_by_side
from simpleml.orm.housekeeping.verification import digest_in, references_in
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.tables import Blob, BlobState
from simpleml.progress import Progress
from simpleml.save_patterns.locations.keys import BUNDLES
from simpleml.save_patterns.locations.remote import RemoteStore

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

_blobs: Any = Blob.__table__


@dataclass(frozen=True, slots=True)
class Usage:
    """What one store holds for this database, in bytes and objects.

    `stored` is what is there; `saved` what the records add up to, each artifact counted whenever a record refers to it;
    `idle` is what nothing refers to, which `simpleml gc` removes when its lease is over.
    """

    store: str
    objects: int
    stored: int
    artifacts: int
    saved: int
    idle: int

    @property
    def ratio(self) -> float:
        """How many bytes were saved for each one that is stored; 0 if nothing is."""
        return self.saved / (self.stored - self.idle) if self.stored > self.idle else 0.0


@dataclass(frozen=True, slots=True)
class CopiedStore:
    """What a copy did: objects that were copied, and those that were there already."""

    copied: int
    there: int
    bytes_: int


def usage(database: Database) -> list[Usage]:
    """Return what each store holds for this database; nothing but the database is asked."""
    objects: dict[str, list[int]] = {}
    for store, count, size, idle in database.run(_stored, read=True):
        objects[store] = [count, size, idle]
    artifacts: dict[str, list[int]] = {}
    for kind in database.run(kinds_in, read=True):
        for reference in _references(database, kind):
            counted = artifacts.setdefault(str(reference.get("store")), [0, 0])
            counted[0] += 1
            saved = reference.get("total") or reference.get("size")
            counted[1] += saved if isinstance(saved, int) else 0
    found = []
    for store in sorted({*objects, *artifacts, *database.places.names()}):
        count, size, idle = objects.get(store, [0, 0, 0])
        made, saved = artifacts.get(store, [0, 0])
        found.append(Usage(store, count, size, made, saved, idle))
    return found


def bundles_in(database: Database, store: str) -> int | None:
    """Return how many bundles were pushed to a store, by whichever database; None if that cannot be told without a server."""
    try:
        place = database.places.store(store)
        return None if place.remote else sum(1 for _ in place.keys(BUNDLES))
    except (SimpleMLError, OSError):  # `simpleml store check` says what is wrong
        return None


def _stored(connection: Connection) -> list[tuple[str, int, int, int]]:
    there = _blobs.c.state.in_([BlobState.LIVE, BlobState.DAMAGED])
    counted = select(_blobs.c.store, func.count(), func.coalesce(func.sum(_blobs.c.size), 0)).where(there)
    idle = select(_blobs.c.store, func.sum(_blobs.c.size)).where(there, _blobs.c.refs == 0).group_by(_blobs.c.store)
    unused = {store: int(size) for store, size in connection.execute(idle)}
    rows = connection.execute(counted.group_by(_blobs.c.store))
    return [(store, count, int(size), unused.get(store, 0)) for store, count, size in rows]


def _references(database: Database, kind: str) -> Iterator[dict[str, Any]]:
    """Give every reference of the records of a kind, page by page."""
    cls = record_class(kind)
    statement = select(cls.id, cls.filepaths).order_by(cls.id).limit(PAGE)
    page = database.run(lambda connection: cells.rows(connection, cls, statement), read=True)
    while page:
        for row in page:
            yield from (reference for _, reference in references_in(row[1]) if isinstance(reference, dict))
        following = statement.where(cls.id > page[-1][0])
        page = database.run(lambda connection, next_=following: cells.rows(connection, cls, next_), read=True)  # type: ignore[misc]


def copy_store(database: Database, source: str, target: str, *, dry_run: bool = False) -> CopiedStore:
    """Copy every live object of the store `source` to the place of the store `target`, under the same keys.

    Records go on referring to `source`: change where that is in the settings of each machine when the copy is there. What is
    there already, whole, is left alone, so that a copy can be run again, to go on or to catch up: its digest is compared, as
    the place keeps it (S3, Azure, Google Cloud), else by reading it, and what differs is replaced. Once all others are
    copied, raises `ArtifactDamagedError` or `ArtifactMissingError`, which names every object that is not what was saved.
    """
    one, other = database.places.store(source), database.places.store(target)
    if place_of(database, source) == place_of(database, target):
        raise ConfigurationError(
            f"the stores {source!r} and {target!r} are one place, {one.describe()}: nothing to copy"
        )
    rows = list(database.run(lambda connection: _live(connection, source), read=True))
    copied = size = 0

    failures: list[ArtifactDamagedError | ArtifactMissingError] = []

    def work(row: tuple[str, int, str]) -> bool:
        key, count, digest = row
        there = other.size(key)
        if there == count and _is_whole(other, key, count, digest):
            return False
        try:
            if not dry_run:
                copy_object(one, key, other, key, count, digest, replace=there is not None)
        except (ArtifactDamagedError, ArtifactMissingError) as error:  # the rest can be rescued
            failures.append(error)
        return True

    with Progress("copying", sum(count for _, count, _ in rows), bytes_=True) as bar:
        for row, done in zip(rows, side_by_side(work, rows, [one, other]), strict=True):
            copied += done
            size += row[1] if done else 0
            bar.advance(row[1])
    if failures:
        listed = "\n".join(f"  {error}" for error in failures)
        raise type(failures[0])(
            f"{len(failures)} of {len(rows)} objects of the store {source!r} could not be copied to {target!r}, where all the others "
            f"are now:\n{listed}"
        )
    return CopiedStore(copied, len(rows) - copied, size)


def _live(connection: Connection, store: str) -> list[tuple[str, int, str]]:
    found = select(_blobs.c.key, _blobs.c.size, _blobs.c.digest).where(
        _blobs.c.store == store, _blobs.c.state == BlobState.LIVE
    )
    return [(row.key, row.size, row.digest) for row in connection.execute(found.order_by(_blobs.c.key))]


def _is_whole(store: Store, key: str, size: int, digest: str) -> bool:
    """Whether the object has these very bytes."""
    told = store.told_digest(key) if isinstance(store, RemoteStore) else None
    try:
        return (told or digest_in(store, key, size)) == digest
    except (ArtifactDamagedError, ArtifactMissingError):
        return False


def copy_object(
    source: Store, key: str, target: Store, new_key: str, size: int, digest: str, *, replace: bool = False
) -> None:
    """Copy one object durably, in pieces, checking its digest on the way; one of its size is left alone, unless `replace`."""
    if not replace and target.size(new_key) == size:
        return
    spool = target.spool()
    try:
        found = spool.take(lambda descriptor: source.download(key, size, descriptor), size)
        if found != digest:
            raise ArtifactDamagedError(
                f"the object {key} in the store {source.name!r} ({source.describe()}) is damaged: its digest is {found}, but "
                f"{digest} was saved. Run `simpleml verify --all` to see what it belongs to."
            )
        if replace:
            target.delete(new_key)
        target.put(spool, new_key)
    finally:
        spool.close()
