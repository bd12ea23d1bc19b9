"""Collecting what nothing refers to, beside writers.

`collect` condemns a blob by one guarded update of its own row before it touches the bytes, so a writer either refers to it
first, or finds it condemned and stores the bytes again. It may be killed at any instant: the next one goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from simpleml.errors import (
    ConfigurationError,
    MissingDependencyError,
    OfflineError,
    SimpleMLError,
    StoreCredentialsError,
    StoreError,
    StoreUnreachableError,
)
from simpleml.failpoints import reach
from simpleml.orm import blobs
from simpleml.orm.locations.database import DatabaseStore
from simpleml.progress import Progress
from simpleml.save_patterns.locations.workers import Workers
from simpleml.save_patterns.workspace import Workspace
from simpleml.settings.stores import options_of
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

PAGE = 500
_LAST = datetime.max.replace(microsecond=0, tzinfo=UTC)  # leases may be longer than dates go
_WORKERS = 8  # deleting and reading wait for places far away most of the time


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed, or would remove; `unreachable` are the stores that could not be opened and were left alone.

    `removed` counts also what was left to the database that this one was copied from; `freed` and `keys` do not. `leftovers` are
    temporary files, which are counted when they are removed. `waiting` is
    how many objects nothing refers to whose lease is not over; the first of these leases ends at `waiting_from`.
    """

    removed: int
    freed: int
    swept: int
    leftovers: int
    keys: tuple[str, ...]
    unreachable: tuple[str, ...] = ()
    waiting: int = 0
    waiting_bytes: int = 0
    waiting_from: datetime | None = None


def collect(
    database: Database, *, dry_run: bool = False, leftovers_after: float | None = None, stores: str | Sequence[str] = ()
) -> Collected:
    """Remove the blobs that nothing refers to and whose lease is over, then sweep the stores of this ledger.

    A lease runs for `grace` seconds after the last announcement or deletion. The sweep removes objects without a row (a
    power cut may lose an announcement) and temporary files that no writer touched for `leftovers_after` seconds. Stores
    that this machine cannot get at are left alone, with all that is in them; what fails in another one is raised when all are
    gone through. With `stores`, so is every other one; `UnknownStoreError` if one of them is not known.
    """
    if database.is_copy:
        raise OfflineError(
            f"{database!r} does not know what the stores hold, so nothing can be collected while offline = true; nothing was removed"
        )
    opened, closed = open_stores(database, database.places.chosen(stores))
    found = list(_idle(database, opened))
    failures = _Failures(set(closed))
    gone = found if dry_run else _remove_all(database, found, opened, failures)
    swept: list[str] = []
    leftovers = 0
    patience = database.settings.grace if leftovers_after is None else leftovers_after
    roots: list[tuple[str, Mapping[str, JSON]]] = []  # one place may have several names
    if not dry_run:
        with failures.noted("the workspace"):
            leftovers += Workspace(database.places.workspace).clear(patience)
        database.places.trim_cache()
    for name, store in opened.items():
        with failures.noted(name):
            if (root := place_of(database, name)) not in roots:
                roots.append(root)
                swept += _sweep(database, store, dry_run=dry_run)
            leftovers += 0 if dry_run else store.clear_leftovers(patience)  # each name has spools of its own
    failures.raise_first()
    removed = [(key, size) for key, store, size in gone if _is_ours(database, opened[store], key)]
    keys = tuple(key for key, _ in removed) + tuple(swept)
    waiting, waiting_bytes, first = database.run(lambda connection: blobs.waiting(connection, opened), read=True)
    return Collected(
        len(gone),
        sum(size for _, size in removed),
        len(swept),
        leftovers,
        keys,
        tuple(sorted(failures.unreachable)),
        waiting,
        waiting_bytes,
        None if first is None else datetime.fromtimestamp(min(first, _LAST.timestamp()), UTC),
    )


_AWAY = (StoreUnreachableError, StoreCredentialsError, OfflineError, ConfigurationError, MissingDependencyError)
"""What keeps this machine from getting at a store at all."""


@dataclass(slots=True)
class _Failures:
    """What went wrong in single stores, while the others were gone through to the end."""

    unreachable: set[str]
    others: dict[str, SimpleMLError] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.unreachable or name in self.others

    def add(self, name: str, error: SimpleMLError) -> None:
        """Leave a store alone from now on."""
        if isinstance(error, _AWAY):
            _log.warning("the store %r is left alone: %s", name, error)
            self.unreachable.add(name)
        else:
            self.others.setdefault(name, error)

    @contextmanager
    def noted(self, name: str) -> Iterator[None]:
        """Go on after what goes wrong in the block."""
        try:
            yield
        except SimpleMLError as error:
            self.add(name, error)

    def raise_first(self) -> None:
        """Raise what went wrong in a store that can be reached, if anything did."""
        for error in self.others.values():
            raise error


def _remove_all(
    database: Database, found: Sequence[tuple[str, str, int]], opened: Mapping[str, Store], failures: _Failures
) -> list[tuple[str, str, int]]:
    """Remove blobs, and return those that were; a blob whose bytes cannot be removed stays condemned, for the next time."""

    def work(row: tuple[str, str, int]) -> bool:
        key, name, _ = row
        try:
            return name not in failures and _remove(database, key, name)
        except (StoreError, *_AWAY) as error:
            failures.add(name, error)
            return False

    places = {name: opened[name] for _, name, _ in found}.values()
    gone = []
    with Progress("collecting", len(found)) as bar:
        for row, removed in zip(found, side_by_side(work, found, places), strict=True):
            gone += [row] if removed else []
            bar.advance()
    return gone


def open_stores(database: Database, names: Sequence[str]) -> tuple[dict[str, Store], tuple[str, ...]]:
    """Return the stores by name, and the names of those that this version or this machine cannot open."""
    stores: dict[str, Store] = {}
    unreachable: list[str] = []
    for name in names:
        try:
            stores[name] = database.places.store(name)
        except SimpleMLError:  # reported: what is in the others need not wait for it
            unreachable.append(name)
    return stores, tuple(unreachable)


def place_of(database: Database, name: str) -> tuple[str, Mapping[str, JSON]]:
    """Return where the settings say that a store is, equal only for one place: what is described alike may be two.

    A place that is written in two ways is taken for two, which does no harm: what one collection or copy did, the next finds done.
    """
    at = database.settings.stores[name]
    return str(at), options_of(at)


def _idle(database: Database, known: Container[str]) -> Iterator[tuple[str, str, int]]:
    """List what can be collected, a page at a time, leaving out stores that this machine does not know."""
    after = ""
    while True:
        page = database.run(lambda connection, last=after: blobs.idle_keys(connection, last, PAGE), read=True)  # type: ignore[misc]
        yield from (row for row in page if row[1] in known)
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _remove(database: Database, key: str, store: str) -> bool:
    """Condemn, remove the bytes, forget the row; whether it came to that. The next collection takes up what a crash cut short."""

    def condemn(connection: Connection) -> bool:
        return blobs.condemn(connection, key) or blobs.is_condemned(connection, key)

    # Durable whatever the settings say: a condemnation that a crash undoes would leave a live row without bytes.
    if not database.run(condemn, durability="full", failpoint="gc.condemn"):
        return False  # a writer was first
    reach("gc.remove.before")
    place = database.places.store(store)
    if _is_ours(database, place, key):
        place.delete(key)
    reach("gc.remove.after")
    database.run(lambda connection: blobs.forget(connection, key), failpoint="gc.forget")
    return True


def _sweep(database: Database, store: Store, *, dry_run: bool) -> list[str]:
    """Remove objects without a row: list the store first, then read rows; the other order loses what is just being saved."""
    swept: list[str] = []
    page: list[str] = []

    def remove(key: str) -> None:
        reach("sweep.remove.before")
        store.delete(key)
        reach("sweep.remove.after")

    def check() -> None:
        listed = list(page)
        page.clear()
        found = database.run(lambda connection: blobs.without_row(connection, listed), read=True)
        if not dry_run:
            list(side_by_side(remove, found, [store]))
        swept.extend(found)

    for key in (key for folder in sorted(_ours(database, store)) for key in store.keys(folder)):
        page.append(key)
        if len(page) == PAGE:
            check()
    if page:
        check()
    return swept


def _ours(database: Database, store: Store) -> frozenset[str]:
    """Return the folders of a store whose objects nobody else refers to: what lies within the database was copied with it."""
    inside = isinstance(store, DatabaseStore) and store.database is database
    return database.identity.known if inside else database.identity.own


def _is_ours(database: Database, store: Store, key: str) -> bool:
    return key.partition("/")[0] in _ours(database, store)


def side_by_side(work: Callable[[T], R], items: Iterable[T], stores: Iterable[Store]) -> Iterator[R]:
    """Give `work(item)` for each of `items`, in order; several at a time if one of the stores is far away.

    When one of them fails, what is under way is waited for, and not tried again.
    """
    if not any(store.remote for store in stores):
        yield from map(work, items)
        return
    waiting = iter(items)
    with Workers(_WORKERS) as pool:
        running = [pool.submit(work, item) for item in islice(waiting, 2 * _WORKERS)]
        while running:
            yield running.pop(0).result()
            running += [pool.submit(work, item) for item in islice(waiting, 1)]
