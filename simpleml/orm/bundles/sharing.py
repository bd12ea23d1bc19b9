"""Bundles in a store: pushed for others, who need no common database to pull them.

Objects are put first, under keys that follow from their digests, and the manifest last: a bundle is there whole, or not at
all; what is there already is not put again. None of it belongs to a ledger, so no database ever collects it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from simpleml.errors import (
    StoreCredentialsError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.orm.bundles.arriving import IMPORTED, Arrival
from simpleml.orm.bundles.carrying import Piece, as_done, damaged, is_whole, workers
from simpleml.orm.bundles.gathering import Gathered, Whereabouts, gather, readable
from simpleml.orm.bundles.manifest import sign
from simpleml.orm.bundles.results import Imported, Offer, Pushed
from simpleml.orm.bundles.shelf import Shelf, Shelved, not_offered, several_owners, subject_of
from simpleml.orm.bundles.wanted import Wanted, several_kinds
from simpleml.progress import Progress
from simpleml.save_patterns.locations.keys import bundle_key, shared_key
from simpleml.save_patterns.protocols import FileStore

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.locations.spool import Spool
    from simpleml.save_patterns.protocols import Store

_log = logging.getLogger(__name__)

_TRIES = 3


def push(
    database: Database, wanted: Sequence[Wanted], to: str, *, verify: bool = False, dry_run: bool = False
) -> Pushed:
    """Put what is asked for, and all that it was made from, into the store `to`, one bundle for each record asked for.

    A second push of the same transfers nothing; one after a failure goes on. What is there already is told by its size;
    with `verify` it is read, and what is damaged is replaced. Raises what `export_bundle` does, and `StoreError`.
    """
    database.places.refuse_offline(to)
    target = database.places.store(to)
    bundles = [(one, one.manifest.write()) for one in gather(database, wanted, apart=True)]
    sizes = {name: size for one, _ in bundles for name, size in one.manifest.objects.items()}
    missing = _missing(target, sizes, verify=verify)
    if not dry_run:
        places = {name: found for one, _ in bundles for name, found in one.places.items()}
        _push_objects(database, target, readable(database, places, missing), verify=verify)
        for one, text in bundles:
            kept = _Kept(target, _key_of(one, text), len(text), sign(text))
            kept.put(lambda spool, text=text: spool.write(text), verify=verify)  # type: ignore[misc]
    lines = {line.id: line for one, _ in bundles for line in one.manifest.lines}
    return Pushed(
        store=to,
        digests=tuple(sign(text) for _, text in bundles),
        records=tuple(lines.values()),
        objects=len(sizes),
        copied=len(missing),
        bytes_=sum(sizes[name] for name in missing),
    )


def pull(
    database: Database,
    wanted: Wanted,
    source: str,
    *,
    of: str | None = None,
    store: str = IMPORTED,
    dry_run: bool = False,
) -> Imported:
    """Bring what somebody pushed into the store `source` into `database`, as `import_bundle` does with a file.

    `of` is the model whose metric is meant, as `NAME` or `NAME:VERSION`. Without a version, the latest is taken, of the latest such model; of several
    bundles of one version, the one that was changed last. One that cannot be read is told in the log, and passed over if
    another fits. Raises `RecordNotFoundError`, which tells what there is, `IdentityError` for a name of several kinds or
    models, and `BundleError`.
    """
    database.places.refuse_offline(store)
    shelf = Shelf.of_store(database, source)
    there, broken = shelf.of(wanted)
    found = [bundle for bundle in there if bundle.fits(wanted, of)]
    if not found:
        raise broken[0] if broken else not_offered(shelf, wanted, of, there)
    for problem in broken:
        _log.warning("another bundle of %s may be what was asked for, and is passed over: %s", wanted, problem)
    kinds = sorted({bundle.subject.kind for bundle in found})
    if len(kinds) > 1:
        raise several_kinds(wanted, kinds)
    if of is None and wanted.scope is None and len({bundle.of for bundle in found}) > 1:
        raise several_owners(wanted, found)
    latest = max(found, key=_age)
    arrival = Arrival(database, latest.manifest, latest.digest, shelf.objects(latest), store, far=[shelf.store])
    return arrival.plan() if dry_run else arrival.land()


def offers(database: Database, source: str) -> tuple[Offer, ...]:
    """Return what can be pulled from the store `source`, and what is broken there, in the order of names and versions."""
    shelf = Shelf.of_store(database, source)

    def look(key: str) -> Offer:
        found = shelf.look(key)
        if isinstance(found, Shelved):
            return _offer(found)
        return Offer("", "", 0, "", "", None, None, 0, 0, key, problem=str(found))

    found = as_done(look, shelf.keys(), workers(shelf.store))
    return tuple(sorted(found, key=lambda offer: (offer.kind, offer.name, offer.of, offer.version, offer.digest)))


# pushing


def _key_of(gathered: Gathered, text: bytes) -> str:
    [asked] = [entry for entry in gathered.manifest.entries if entry.id == gathered.manifest.wanted[0]]
    return bundle_key(subject_of(asked.kind, asked.row["name"]), sign(text))


def _missing(target: Store, sizes: Mapping[str, int], *, verify: bool) -> list[str]:
    """Return which objects are not in the store yet, or not whole."""

    def look(name: str) -> tuple[str, bool]:
        return name, _shared(target, name, sizes[name]).is_there(verify=verify)

    return sorted(name for name, there in as_done(look, sizes, workers(target)) if not there)


def _push_objects(database: Database, target: Store, places: Mapping[str, Whereabouts], *, verify: bool) -> None:
    stores = {name: database.places.store(name) for name in sorted({place.store for place in places.values()})}

    def work(name: str) -> int:
        return _push_object(stores[places[name].store], places[name], target, name, verify=verify)

    with Progress("pushing", sum(place.size for place in places.values()), bytes_=True) as bar:
        for size in as_done(work, places, workers(target, *stores.values())):
            bar.advance(size)


def _push_object(source: Store, place: Whereabouts, target: Store, name: str, *, verify: bool) -> int:
    def copy(spool: Spool) -> None:
        piece = Piece(source, place.key, place.size)
        try:
            piece.fetch()
            for block in piece.blocks():
                spool.write(block)
        finally:
            piece.close()
        if spool.digest != f"blake3:{name}":
            raise damaged(place.key, source, spool.digest, f"blake3:{name}")

    _shared(target, name, place.size).put(copy, verify=verify)
    return place.size


def _shared(target: Store, name: str, size: int) -> _Kept:
    return _Kept(target, shared_key(f"blake3:{name}"), size, f"blake3:{name}")


@dataclass(frozen=True, slots=True)
class _Kept:
    """Bytes under a key that follows from them: somebody else may put the same there, or replace it, at any time."""

    store: Store
    key: str
    size: int
    digest: str

    def is_there(self, *, verify: bool) -> bool:
        """Whether the store has it, by its size; with `verify`, by its bytes."""
        return self.store.size(self.key) == self.size and (not verify or self.is_whole())

    def is_whole(self) -> bool:
        """Whether the store has these very bytes."""
        return is_whole(self.store, self.key, self.size, self.digest)

    def put(self, write: Callable[[Spool], object], *, verify: bool) -> None:
        """Put what `write` writes, and look again if that replaced something; what is seen whole is never deleted."""
        refusal: StoreError | None = None
        for _ in range(_TRIES):
            there = self.store.size(self.key)
            if there == self.size and (not verify or self.is_whole()):
                return
            with closing(self.store.spool()) as spool:
                write(spool)
                replaces = there is not None and self._make_room()
                try:
                    self.store.put(spool, self.key)
                except (StoreFullError, StoreReadOnlyError, StoreCredentialsError, StoreUnreachableError):
                    raise
                except StoreError as error:  # perhaps because somebody else was faster
                    refusal = error
                else:
                    refusal = None
                    if not replaces:
                        return
        if not self.is_whole():
            raise refusal or StoreError(
                f"the object {self.key} in the store {self.store.name!r} ({self.store.describe()}) was damaged again as often as "
                "it was put: others change the store. Push again"
            )

    def _make_room(self) -> bool:
        """Whether what is there is not whole: it is deleted just before the put, and only where a put does not replace it."""
        if self.is_whole():
            return False
        if not isinstance(self.store, FileStore):  # a file is replaced by the rename that puts another
            self.store.delete(self.key)
        return True


# pulling


def _age(bundle: Shelved) -> tuple[int, int, str, str]:
    owner, row = bundle.owner, bundle.subject.row
    return (
        owner.row["version"] if owner else 0,
        row["version"],
        str(row.get("created_timestamp")),
        str(row.get("modified_timestamp")),
    )


def _offer(bundle: Shelved) -> Offer:
    row = bundle.subject.row
    return Offer(
        kind=bundle.subject.kind,
        name=str(row["name"]),
        version=row["version"],
        of=bundle.of,
        registered_name=str(row.get("registered_name")),
        created=_moment(row.get("created_timestamp")),
        modified=_moment(row.get("modified_timestamp")),
        records=len(bundle.manifest.entries),
        bytes_=bundle.manifest.size,
        digest=bundle.digest,
    )


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
