"""Bundles in a store: pushed for others, who need no common database to pull them.

Objects are put first, under keys that follow from their digests, and the manifest last: a bundle is there whole, or not at
all; what is there already is not put again. None of it belongs to a ledger, so no database ever collects it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    BundleError,
    RecordNotFoundError,
    StoreError,
    known_names,
)
from simpleml.hashing.digester import digester
from simpleml.orm.bundles.arriving import IMPORTED, Arrival
from simpleml.orm.bundles.carrying import Piece, as_done, damaged, workers
from simpleml.orm.bundles.gathering import Gathered, Whereabouts, gather
from simpleml.orm.bundles.manifest import LONGEST, Entry, Manifest, read_manifest, sign
from simpleml.orm.bundles.results import Imported, Offer, Pushed
from simpleml.orm.bundles.wanted import Wanted, several_kinds
from simpleml.orm.persistable import record_class, records
from simpleml.progress import Progress
from simpleml.save_patterns.locations.keys import BUNDLES, bundle_key, shared_key
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.save_patterns.protocols import FileStore

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.locations.spool import Spool
    from simpleml.save_patterns.protocols import Store

_SHOWN = 200  # how many manifests are read to tell what there is
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
    places = {name: place for one, _ in bundles for name, place in one.places.items()}
    missing = _missing(target, places, verify=verify)
    if not dry_run:
        _push_objects(database, target, {name: places[name] for name in missing}, verify=verify)
        for one, text in bundles:
            kept = _Kept(target, _key_of(one, text), len(text), sign(text))
            kept.put(lambda spool, text=text: spool.write(text), verify=verify)  # type: ignore[misc]
    lines = {line.id: line for one, _ in bundles for line in one.manifest.lines}
    return Pushed(
        store=to,
        digests=tuple(sign(text) for _, text in bundles),
        records=tuple(lines.values()),
        objects=len(places),
        copied=len(missing),
        bytes_=sum(places[name].size for name in missing),
    )


def pull(database: Database, wanted: Wanted, source: str, *, store: str = IMPORTED, dry_run: bool = False) -> Imported:
    """Bring what somebody pushed into the store `source` into `database`, as `import_bundle` does with a file.

    Without a version, the latest is taken; of several bundles of one version, the one that was changed last. Raises
    `RecordNotFoundError`, which tells what there is, and `BundleError`.
    """
    database.places.refuse_offline(store)
    shelf = _Shelf.of_store(database, source)
    found = [bundle for bundle in shelf.of(wanted) if wanted.version in (None, bundle.subject.row["version"])]
    if not found:
        raise _not_offered(shelf, wanted)
    kinds = sorted({bundle.subject.kind for bundle in found})
    if len(kinds) > 1:
        raise several_kinds(wanted, kinds)
    latest = max(found, key=_age)
    arrival = Arrival(database, latest.manifest, latest.digest, shelf.objects(latest), store, far=[shelf.store])
    return arrival.plan() if dry_run else arrival.land()


def offers(database: Database, source: str) -> tuple[Offer, ...]:
    """Return what can be pulled from the store `source`, and what is broken there, in the order of names and versions."""
    shelf = _Shelf.of_store(database, source)

    def look(key: str) -> Offer:
        try:
            return _offer(shelf.read(key))
        except (BundleError, ArtifactMissingError) as error:
            return Offer("", "", 0, "", None, None, 0, 0, key, problem=str(error))

    found = as_done(look, shelf.keys(), workers(shelf.store))
    return tuple(sorted(found, key=lambda offer: (offer.kind, offer.name, offer.version, offer.digest)))


# pushing


def subject_of(kind: str, name: str) -> str:
    """Return the 32 hex digits under which all bundles of a name are found."""
    hasher = digester()
    hasher.update(json.dumps([kind, name]).encode("ascii"))
    return hasher.hexdigest()[:32]


def _key_of(gathered: Gathered, text: bytes) -> str:
    [asked] = [entry for entry in gathered.manifest.entries if entry.id == gathered.manifest.wanted[0]]
    return bundle_key(subject_of(asked.kind, asked.row["name"]), sign(text))


def _missing(target: Store, places: Mapping[str, Whereabouts], *, verify: bool) -> list[str]:
    """Return which objects are not in the store yet, or not whole."""

    def look(name: str) -> tuple[str, bool]:
        return name, _shared(target, name, places[name].size).is_there(verify=verify)

    return sorted(name for name, there in as_done(look, places, workers(target)) if not there)


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
        piece, hasher = Piece(self.store, self.key, self.size), digester()
        try:
            piece.fetch()
            for block in piece.blocks():
                hasher.update(block)
        except (ArtifactMissingError, ArtifactDamagedError):
            return False
        finally:
            piece.close()
        return digest_of(hasher.hexdigest()) == self.digest

    def put(self, write: Callable[[Spool], object], *, verify: bool) -> None:
        """Put what `write` writes, and look again if that replaced something; what may be whole is never deleted."""
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


@dataclass(frozen=True, slots=True)
class _Bundle:
    """One bundle of a store, its manifest read and compared with its key."""

    manifest: Manifest
    digest: str
    where: str

    @property
    def subject(self) -> Entry:
        """The record that was asked for when it was pushed."""
        [found] = [entry for entry in self.manifest.entries if entry.id == self.manifest.wanted[0]]
        return found


@dataclass(frozen=True, slots=True)
class _Objects:
    """The objects of a bundle of a store."""

    store: Store
    where: str
    sizes: dict[str, int]
    remedy: str

    def blocks(self, name: str) -> Iterator[memoryview]:
        """Give the bytes of one object, unverified."""
        piece = Piece(self.store, shared_key(f"blake3:{name}"), self.sizes[name])
        try:
            piece.fetch()
            yield from piece.blocks()
        except (ArtifactMissingError, ArtifactDamagedError) as error:
            raise type(error)(f"{str(error).rstrip('.')}. {self.remedy}") from error
        finally:
            piece.close()


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What was pushed into a store."""

    store: Store

    @classmethod
    def of_store(cls, database: Database, name: str) -> _Shelf:
        """Return what is in the store of this name, if it can be reached."""
        database.places.refuse_offline(name)
        return cls(database.places.store(name))

    def keys(self) -> list[str]:
        """Return the keys of all manifests."""
        return list(self.store.keys(BUNDLES))

    def of(self, wanted: Wanted) -> list[_Bundle]:
        """Return every bundle of this name."""
        kinds = records.names() if wanted.kind is None else [record_class(wanted.kind).kind]
        subjects = {subject_of(kind, wanted.name) for kind in kinds}
        keys = [key for key in self.keys() if _subject(key) in subjects]
        return list(as_done(self.read, keys, workers(self.store)))

    def objects(self, bundle: _Bundle) -> _Objects:
        """Return where the objects of a bundle are."""
        subject = bundle.subject
        return _Objects(
            self.store,
            bundle.where,
            dict(bundle.manifest.objects),
            _remedy(subject.row["name"], subject.row["version"]),
        )

    def read(self, key: str) -> _Bundle:
        """Return the bundle whose manifest is under this key; `BundleError` if it is not what the key says."""
        where = f"the bundle {key} in the store {self.store.name!r}"
        size = self.store.size(key)
        if size is None or size > LONGEST:
            raise BundleError(f"{where} has no manifest (any more), or one that nobody could read: push it again")
        data, digest = self.store.read(key, size)
        bundle = _Bundle(read_manifest(bytes(data), where), digest, where)
        subject = bundle.subject
        if key != bundle_key(subject_of(subject.kind, str(subject.row.get("name"))), digest):
            raise BundleError(
                f"{where} is not what its key says: it was changed after it was pushed. Nothing was imported. {_remedy()}"
            )
        if len(bundle.manifest.wanted) != 1 or type(subject.row.get("version")) is not int:
            raise BundleError(f"{where} is not of one version of one name. Nothing was imported")
        return bundle


def _remedy(name: str = "NAME", version: object = "VERSION") -> str:
    return f"Whoever has the object replaces what is damaged in the store with: simpleml push {name}:{version} --verify --to STORE"


def _subject(key: str) -> str:
    return key.rpartition("/")[2][:32]


def _age(bundle: _Bundle) -> tuple[int, str, str]:
    row = bundle.subject.row
    return row["version"], str(row.get("created_timestamp")), str(row.get("modified_timestamp"))


def _offer(bundle: _Bundle) -> Offer:
    row = bundle.subject.row
    return Offer(
        kind=bundle.subject.kind,
        name=str(row["name"]),
        version=row["version"],
        registered_name=str(row.get("registered_name")),
        created=_moment(row.get("created_timestamp")),
        modified=_moment(row.get("modified_timestamp")),
        records=len(bundle.manifest.entries),
        bytes_=bundle.manifest.size,
        digest=bundle.digest,
    )


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _not_offered(shelf: _Shelf, wanted: Wanted) -> RecordNotFoundError:
    there = sorted({bundle.subject.row["version"] for bundle in shelf.of(wanted)})
    known = f"known versions: {', '.join(map(str, there[-20:]))}" if there else _known(shelf, wanted.name)
    kind = "" if wanted.kind is None else f"{wanted.kind} "
    return RecordNotFoundError(
        f"nobody pushed {kind}{wanted} to the store {shelf.store.name!r} ({shelf.store.describe()}); {known}. See all with: "
        f"simpleml pull --from {shelf.store.name} --list"
    )


def _known(shelf: _Shelf, name: str) -> str:
    """Return what to say of the names in a store, of which `name` is none, or is one of a kind that is not known here."""
    names: set[str] = set()
    for key in shelf.keys()[:_SHOWN]:
        try:
            subject = shelf.read(key).subject
        except (BundleError, ArtifactMissingError):  # it is no help here; `offers` tells of it
            continue
        if subject.row["name"] == name and subject.kind not in records:
            return (
                f"there is one of the kind {subject.kind!r:.80}, which is not known here: import the module that maps it first (on the "
                "command line: simpleml --import MODULE …)"
            )
        names.add(str(subject.row["name"]))
    return known_names(names, near=name)
