"""`Shelf`: what was pushed into a store, as whoever pulls finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    BundleError,
    IdentityError,
    RecordNotFoundError,
    known_names,
)
from simpleml.hashing.digester import digester
from simpleml.orm.bundles.carrying import Piece, as_done, workers
from simpleml.orm.bundles.manifest import LONGEST, Entry, Manifest, read_manifest
from simpleml.orm.bundles.wanted import Wanted
from simpleml.orm.persistable import record_class, records
from simpleml.save_patterns.locations.keys import BUNDLES, bundle_key, shared_key

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

_SHOWN = 200  # how many manifests are read to tell what there is
_LISTED = 20


def subject_of(kind: str, name: str) -> str:
    """Return the 32 hex digits under which all bundles of a name are found."""
    hasher = digester()
    hasher.update(json.dumps([kind, name]).encode("ascii"))
    return hasher.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Shelved:
    """One bundle of a store, its manifest read and compared with its key."""

    manifest: Manifest
    digest: str
    where: str

    @property
    def subject(self) -> Entry:
        """The record that was asked for when it was pushed."""
        [found] = [entry for entry in self.manifest.entries if entry.id == self.manifest.wanted[0]]
        return found

    @property
    def scope(self) -> object:
        """Within what its versions are counted: the id of a metric's model; None if by the name alone."""
        kind = self.subject.kind
        column = record_class(kind).scope if kind in records else None
        value = self.subject.row.get(column) if column else None
        return value if isinstance(value, UUID | str | int) else None  # an array has no == of one answer

    @property
    def owner(self) -> Entry | None:
        """The model whose metric it is; None for what is not of something else."""
        scope = self.scope
        return next((entry for entry in self.manifest.entries if entry.id == scope), None)

    @property
    def of(self) -> str:
        """Its owner as `NAME:VERSION`, or its scope if that is no record; empty if it has none."""
        owner, scope = self.owner, self.scope
        if owner is None:
            return "" if scope is None else str(scope)
        return f"{owner.row['name']}:{owner.row['version']}"

    def fits(self, wanted: Wanted, of: str | None) -> bool:
        """Whether it is of the version that is asked for, and of the model: a name, or `NAME:VERSION`."""
        owner = self.owner
        return (
            wanted.version in (None, self.subject.row["version"])
            and wanted.scope in (None, self.scope)
            and of in (None, self.of, owner.row["name"] if owner else None)
        )


Broken: TypeAlias = BundleError | ArtifactMissingError | ArtifactDamagedError
"""What is wrong with a bundle whose manifest cannot be read."""


@dataclass(frozen=True, slots=True)
class Objects:
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
class Shelf:
    """What was pushed into a store."""

    store: Store

    @classmethod
    def of_store(cls, database: Database, name: str) -> Shelf:
        """Return what is in the store of this name, if it can be reached."""
        database.places.refuse_offline(name)
        return cls(database.places.store(name))

    def keys(self) -> list[str]:
        """Return the keys of all manifests."""
        return list(self.store.keys(BUNDLES))

    def of(self, wanted: Wanted) -> tuple[list[Shelved], list[Broken]]:
        """Return every bundle of this name, and what is wrong with those that cannot be read."""
        kinds = records.names() if wanted.kind is None else [record_class(wanted.kind).kind]
        subjects = {subject_of(kind, wanted.name) for kind in kinds}
        keys = [key for key in self.keys() if _subject(key) in subjects]
        found = list(as_done(self.look, keys, workers(self.store)))
        there = [bundle for bundle in found if isinstance(bundle, Shelved)]
        return there, [problem for problem in found if not isinstance(problem, Shelved)]

    def objects(self, bundle: Shelved) -> Objects:
        """Return where the objects of a bundle are."""
        subject = bundle.subject
        return Objects(
            self.store,
            bundle.where,
            dict(bundle.manifest.objects),
            _remedy(subject.row["name"], subject.row["version"]),
        )

    def look(self, key: str) -> Shelved | Broken:
        """Return the bundle whose manifest is under this key, or what is wrong with it."""
        try:
            return self.read(key)
        except (BundleError, ArtifactMissingError, ArtifactDamagedError) as error:
            return error

    def read(self, key: str) -> Shelved:
        """Return the bundle whose manifest is under this key; `BundleError` if it is not what the key says."""
        where = f"the bundle {key} in the store {self.store.name!r}"
        size = self.store.size(key)
        if size is None or size > LONGEST:
            raise BundleError(f"{where} has no manifest (any more), or one that nobody could read: push it again")
        data, digest = self.store.read(key, size)
        bundle = Shelved(read_manifest(bytes(data), where), digest, where)
        subject = bundle.subject
        if key != bundle_key(subject_of(subject.kind, str(subject.row.get("name"))), digest):
            raise BundleError(
                f"{where} is not what its key says: it was changed after it was pushed. Nothing was imported. {_remedy()}"
            )
        named = all(
            type(entry.row.get("name")) is str and type(entry.row.get("version")) is int
            for entry in (subject, bundle.owner)
            if entry is not None
        )
        if len(bundle.manifest.wanted) != 1 or not named:
            raise BundleError(f"{where} is not of one version of one name. Nothing was imported")
        return bundle


def _remedy(name: str = "NAME", version: object = "VERSION") -> str:
    return f"Whoever has the object replaces what is damaged in the store with: simpleml push {name}:{version} --verify --to STORE"


def _subject(key: str) -> str:
    return key.rpartition("/")[2][:32]


def several_owners(wanted: Wanted, there: Sequence[Shelved]) -> IdentityError:
    """Return the error for a name that was pushed for several models."""
    owners, owner = sorted({bundle.of for bundle in there}), there[0].owner
    several = f"several {owner.kind}s" if owner else "several"
    return IdentityError(
        f"{wanted.name!r} is a {there[0].subject.kind} of {several}: {', '.join(owners)}; say of which: of={owners[0]!r}, or --of "
        f"{owners[0]}"
    )


def not_offered(shelf: Shelf, wanted: Wanted, of: str | None, there: Sequence[Shelved]) -> RecordNotFoundError:
    """Return the error for what nobody pushed, which tells what of this name somebody did."""
    versions = sorted(
        {bundle.subject.row["version"] for bundle in there if bundle.fits(replace(wanted, version=None), of)}
    )
    owners = sorted({bundle.of for bundle in there if bundle.of})
    if versions:
        known = f"known versions: {', '.join(map(str, versions[-_LISTED:]))}"
    elif there:
        known = (
            f"there is one of {', '.join(owners[-_LISTED:])}"
            if owners
            else "it is not of something else, so leave --of out"
        )
    else:
        known = _known(shelf, wanted.name)
    kind = "" if wanted.kind is None else f"{wanted.kind} "
    model = "" if of is None else f" of {of}"
    return RecordNotFoundError(
        f"nobody pushed {kind}{wanted}{model} to the store {shelf.store.name!r} ({shelf.store.describe()}); {known}. See all "
        f"with: simpleml pull --from {shelf.store.name} --list"
    )


def _known(shelf: Shelf, name: str) -> str:
    """Return what to say of the names in a store, of which `name` is none, or is one of a kind that is not known here."""
    names: set[str] = set()
    for key in shelf.keys()[:_SHOWN]:
        found = shelf.look(key)
        if not isinstance(found, Shelved):  # it is no help here; `offers` tells of it
            continue
        subject = found.subject
        if subject.row["name"] == name and subject.kind not in records:
            return (
                f"there is one of the kind {subject.kind!r:.80}, which is not known here: import the module that maps it first (on the "
                "command line: simpleml --import MODULE …)"
            )
        names.add(str(subject.row["name"]))
    return known_names(names, near=name)
