"""From records of a database to what a bundle says of them, and to the objects that go with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, select, update

from simpleml.encoding.faults import short
from simpleml.errors import (
    ArtifactMissingError,
    BundleError,
    DatabaseReadOnlyError,
    LineageError,
    OfflineError,
    SimpleMLError,
)
from simpleml.orm import blobs
from simpleml.orm.bundles.carrying import as_done, is_whole
from simpleml.orm.bundles.links import edges_of, pages, parents_first, parents_of
from simpleml.orm.bundles.manifest import Entry, Manifest, hex_of, member
from simpleml.orm.bundles.wanted import Wanted, find
from simpleml.orm.persistable import record_class
from simpleml.orm.tables import Blob, BlobState
from simpleml.persistables.ports import Row, keys_in
from simpleml.save_patterns.pattern import check_reference
from simpleml.types import Reference

if TYPE_CHECKING:
    from simpleml.orm.database import Database

_TRIES = 5
_PATIENCE = 24 * 3600.0  # for so long at least nothing is collected that is being copied
_AT_A_TIME = 8
_FIELDS = frozenset(Reference.__annotations__)
_blobs: Any = Blob.__table__


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a database keeps an object."""

    store: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """A manifest, and where its objects are (by hex digest): in several places if several save patterns made the same bytes."""

    manifest: Manifest
    places: Mapping[str, Sequence[Whereabouts]]


def gather(database: Database, wanted: Sequence[Wanted], *, apart: bool = False) -> list[Gathered]:
    """Return one bundle of all that was asked for, or one for each record (`apart`), with all that they were made from.

    Everything is as it was at one instant, and its objects are under a lease of a day from then on. A frame that is kept as a
    table of a database is the canonical bytes that the table stands for, which can be read from any store.
    """

    def look(connection: Connection) -> list[Gathered]:
        found = find(connection, wanted)
        return [_gathered(connection, group) for group in ([[one] for one in found] if apart else [found])]

    for _ in range(_TRIES):
        made = database.run(look, read=True, snapshot=True)
        if _leased(database, sorted({at.key for one in made for places in one.places.values() for at in places})):
            return made
    raise ArtifactMissingError(
        f"objects of {', '.join(map(str, wanted))} are being removed, although records refer to them: run `simpleml verify --all`"
    )


def readable(
    database: Database, places: Mapping[str, Sequence[Whereabouts]], names: Iterable[str]
) -> dict[str, Whereabouts]:
    """Return where to read each of the objects `names`: of several places, the first where it is whole, as for a load."""

    def choose(name: str) -> tuple[str, Whereabouts]:
        *others, last = places[name]
        return name, next((at for at in others if _is_whole(database, name, at)), last)

    return dict(as_done(choose, names, _AT_A_TIME))


def _is_whole(database: Database, name: str, at: Whereabouts) -> bool:
    try:
        return is_whole(database.places.store(at.store), at.key, at.size, f"blake3:{name}")
    except SimpleMLError:  # a store that cannot be reached, or that this machine does not know
        return False


def _gathered(connection: Connection, wanted: Sequence[tuple[str, UUID]]) -> Gathered:
    entries = {entry.id: entry for entry in _closure(connection, wanted)}
    parts = _parts(connection, entries.values())
    places: dict[str, list[Whereabouts]] = {}
    portable = []
    for entry in parents_first(entries):
        filepaths = {
            artifact: {
                pattern: _portable(reference, places, parts, f"artifact {artifact!r} of {entry}, by {pattern!r}")
                for pattern, reference in patterns.items()
            }
            for artifact, patterns in entry.filepaths.items()
        }
        portable.append(Entry(entry.kind, {**entry.row, "filepaths": filepaths}, entry.edges))
    objects = {name: first.size for name, (first, *_) in places.items()}
    return Gathered(Manifest(tuple(id_ for _, id_ in wanted), tuple(portable), objects), places)


def _closure(connection: Connection, wanted: Sequence[tuple[str, UUID]]) -> Iterable[Entry]:
    """Return these records and all that they were made from."""
    found: dict[UUID, Entry] = {}
    following = dict.fromkeys(wanted)
    while following:
        entries = _read(connection, list(following))
        found.update((entry.id, entry) for entry in entries)
        above = (parent for entry in entries for parent in parents_of(entry))
        following = dict.fromkeys(parent for parent in above if parent[1] not in found)
    return found.values()


def _read(connection: Connection, wanted: list[tuple[str, UUID]]) -> list[Entry]:
    rows: dict[UUID, tuple[str, Row]] = {}
    for kind in dict.fromkeys(kind for kind, _ in wanted):
        cls = record_class(kind)
        attributes = cls.__mapper__.column_attrs
        columns = select(*(attribute.columns[0] for attribute in attributes))
        for page in pages([id_ for one, id_ in wanted if one == kind]):
            for row in connection.execute(columns.where(cls.id.in_(page))):
                values = dict(zip((attribute.key for attribute in attributes), row, strict=True))
                rows[values["id"]] = kind, values
    for kind, id_ in wanted:
        if id_ not in rows:
            raise LineageError(
                f"the {kind} {id_}, from which something that is asked for was made, is not in the database (any more)"
            )
    edges = edges_of(connection, rows)
    return [Entry(kind, row, edges.get(id_, ())) for id_, (kind, row) in rows.items()]


def _parts(connection: Connection, entries: Iterable[Entry]) -> dict[str, tuple[str, int]]:
    """Return the digest and the size of every object that is a part of an artifact, by its key."""
    keys = {
        key
        for entry in entries
        for artifact, patterns in entry.filepaths.items()
        for reference in patterns.values()
        for key in keys_in(check_reference(reference, artifact))[1:]
    }
    found: dict[str, tuple[str, int]] = {}
    for page in pages(sorted(keys)):
        rows = connection.execute(select(_blobs.c.key, _blobs.c.digest, _blobs.c.size).where(_blobs.c.key.in_(page)))
        found.update((row.key, (row.digest, row.size)) for row in rows)
    return found


def _portable(
    given: object, places: dict[str, list[Whereabouts]], parts: Mapping[str, tuple[str, int]], what: str
) -> dict[str, Any]:
    """Return a reference that says which object of the bundle it means; where that is now goes into `places`."""
    reference = check_reference(given, what)
    if set(reference) - _FIELDS:
        raise BundleError(
            f"{what}, refers to more than stored objects ({short(sorted(set(reference) - _FIELDS))}), which a bundle cannot take along: "
            "save it by another pattern first"
        )
    store = reference["store"]
    made: dict[str, Any] = {
        **reference,
        "store": "",
        "key": _named(reference["digest"], Whereabouts(store, reference["key"], reference["size"]), places, what),
    }
    if "parts" in reference:
        missing = [key for key in reference["parts"] if key not in parts]
        if missing:
            raise ArtifactMissingError(
                f"{what}, has a part {missing[0]:.200} that no row announces: run `simpleml verify --all`"
            )
        made["parts"] = [
            _named(parts[key][0], Whereabouts(store, key, parts[key][1]), places, what) for key in reference["parts"]
        ]
    return made


def _named(digest: str, place: Whereabouts, places: dict[str, list[Whereabouts]], what: str) -> str:
    name = hex_of(digest)
    if name is None:
        raise BundleError(f"{what}, has the digest {short(digest)}, which simpleml never writes: the record was edited")
    there = places.setdefault(name, [place])
    if there[0].size != place.size:
        raise BundleError(f"{what}, has a size that is not that of the object {digest}: the record was edited")
    if place not in there:
        there.append(place)
    return member(name)


def _leased(database: Database, keys: list[str]) -> bool:
    """Put these objects under a lease; whether all of them were there to be put under one."""
    until = blobs.lease(max(database.settings.grace, _PATIENCE))
    kept = _blobs.c.state != BlobState.CONDEMNED

    def work(connection: Connection) -> bool:
        extended = 0
        for page in pages(keys):
            done = update(Blob).where(_blobs.c.key.in_(page), kept).values(lease_until=until)
            extended += connection.execute(done).rowcount
        return extended == len(keys)

    try:
        return database.run(work, durability="relaxed") if keys else True
    except (DatabaseReadOnlyError, OfflineError):
        return True  # who may only read cannot keep others from deleting, but may copy what is there
