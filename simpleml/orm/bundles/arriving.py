"""A bundle on its way into a database: what is missing is copied, then all records come in one transaction.

Objects are announced, put and claimed as those of any save are (T1, put, T3). One that was put is at once noted as live,
so that who runs again after a failure goes on instead of copying it again; nobody refers to it until the records come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, exc, insert, select, update

from simpleml.errors import BundleError, DatabaseError, SimpleMLError
from simpleml.orm import blobs, versions
from simpleml.orm.bundles.carrying import as_done, workers
from simpleml.orm.bundles.checking import checked_entries
from simpleml.orm.bundles.links import pages
from simpleml.orm.bundles.manifest import Entry, Manifest, hex_of_member
from simpleml.orm.bundles.results import HIGHEST, Imported, Line, Renumbered
from simpleml.orm.dialects import count_up
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.tables import Blob, BlobState, LineageEdge, VersionCounter
from simpleml.orm.units import column_values, edge
from simpleml.persistables.ports import Draft, Row, keys_of
from simpleml.progress import Progress
from simpleml.save_patterns.catalogue import serializers
from simpleml.save_patterns.placing import place

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

IMPORTED = "imported"
"""The store that keeps what was brought from elsewhere, unless another is named; not trusted until the user says so."""

_TRIES = 5
_blobs: Any = Blob.__table__
_edges: Any = LineageEdge.__table__
_counters: Any = VersionCounter.__table__


class Source(Protocol):
    """Where the objects of a bundle come from. Safe for threads."""

    @property
    def where(self) -> str:
        """What to call it in messages."""

    @property
    def remedy(self) -> str:
        """How to get a whole object instead of a damaged one, for messages."""

    def blocks(self, name: str) -> Iterator[memoryview]:
        """Give the bytes of the object with this hex digest, unverified."""


class _Changed(Exception):  # noqa: N818 - a signal inside this module
    """Somebody else brought or deleted some of the records meanwhile."""


@dataclass(slots=True)
class Arrival:
    """One bundle, checked, on its way into one store of one database."""

    database: Database
    manifest: Manifest
    digest: str
    source: Source
    store: str
    far: Sequence[Store] = ()
    _entries: list[Entry] = field(init=False)

    def __post_init__(self) -> None:
        self._entries = checked_entries(self.manifest, self.source.where)

    def plan(self) -> Imported:
        """Return what `land` would do, as things are now; nothing is written."""

        def look(connection: Connection) -> tuple[set[UUID], dict[UUID, int], set[str]]:
            here = self._here(connection)
            new = [entry for entry in self._entries if entry.id not in here]
            return here, _foreseen(connection, new), self._stored(connection, _objects_of(new))

        here, numbers, stored = self.database.run(look, read=True, snapshot=True)
        return self._result(
            here, numbers, set(_objects_of(entry for entry in self._entries if entry.id not in here)) - stored
        )

    def land(self) -> Imported:
        """Bring everything that is missing; what is here already stays as it is."""
        copied: set[str] = set()
        refusal: Exception | None = None
        for _ in range(_TRIES):
            here = self.database.run(self._here, read=True, snapshot=True)
            new = [entry for entry in self._entries if entry.id not in here]
            if not new:
                return self._result(here, {}, copied)
            for kind in {entry.kind for entry in new}:
                self.database.table_of(kind)
            keys = self._bring(_objects_of(new), copied)
            try:
                return self._result(here, self._insert(new, here, keys), copied)
            except (_Changed, blobs.BlobsLost, exc.IntegrityError) as error:
                refusal = error
        raise DatabaseError(
            f"{self.database!r} refused the records of {self.source.where} {_TRIES} times, because others write the same ones or "
            "collect their objects at the same time: run it again"
        ) from refusal

    def _result(self, here: set[UUID], numbers: Mapping[UUID, int], copied: Iterable[str]) -> Imported:
        new = [entry for entry in self._entries if entry.id not in here]
        lines = [Line(one.kind, one.row["name"], numbers[one.id], one.id) for one in new]
        copied = set(copied)
        return Imported(
            digest=self.digest,
            store=self.store,
            records=tuple(lines),
            skipped=tuple(entry.line for entry in self._entries if entry.id in here),
            renumbered=tuple(
                Renumbered(one.kind, one.row["name"], one.row["version"], numbers[one.id], one.id)
                for one in new
                if numbers[one.id] != one.row["version"]
            ),
            objects=len(_objects_of(new)),
            copied=len(copied),
            bytes_=sum(self.manifest.objects[name] for name in copied),
            executes=_executing(new),
        )

    # what is here

    def _here(self, connection: Connection) -> set[UUID]:
        """Return the ids of the records that are here already; `BundleError` if one of them is something else here."""
        wanted = {entry.id: entry for entry in self._entries}
        found: set[UUID] = set()
        for kind in kinds_in(connection):
            cls = record_class(kind)
            columns = select(cls.id, cls.hash_, cls.name, cls.registered_name)
            for page in pages(list(wanted)):
                for id_, *own in connection.execute(columns.where(cls.id.in_(page))):
                    entry = wanted[id_]
                    theirs = [entry.row["hash_"], entry.row["name"], entry.row["registered_name"]]
                    if kind != entry.kind or own != theirs:
                        raise BundleError(
                            f"{self.source.where}: {entry} has the id {id_}, which is that of another {kind} {own[1]!r} here, with the "
                            f"hash {own[0]} (the bundle's: {theirs[0]}). Nothing was imported: one of the two was edited"
                        )
                    found.add(id_)
        return found

    def _stored(self, connection: Connection, names: Iterable[str]) -> set[str]:
        """Return which objects are in the store already."""
        found: set[str] = set()
        live = (_blobs.c.store == self.store) & (_blobs.c.state == BlobState.LIVE)
        for page in pages([f"blake3:{name}" for name in names]):
            rows = connection.execute(select(_blobs.c.digest).where(_blobs.c.digest.in_(page), live))
            found.update(digest.partition(":")[2] for digest in rows.scalars())
        return found

    # objects

    def _bring(self, names: Sequence[str], copied: set[str]) -> dict[str, str]:
        """Return the key of each object, which is then durable, announced and under a lease."""
        store = self.database.places.store(self.store)
        stored = self.database.run(lambda connection: self._stored(connection, names), read=True)
        keys: dict[str, str] = {}

        def work(name: str) -> tuple[str, str, bool]:
            key = self._reused(name, store) if name in stored else None
            return name, key or self._put(name, store), key is None

        with Progress("importing", sum(self.manifest.objects[name] for name in names), bytes_=True) as bar:
            for name, key, moved in as_done(work, names, workers(store, *self.far)):
                keys[name] = key
                if moved:
                    copied.add(name)
                bar.advance(self.manifest.objects[name])
        return keys

    def _reused(self, name: str, store: Store) -> str | None:
        """Return the key of an object that is here already, now under a lease, or None if it turns out not to be."""
        size = self.manifest.objects[name]
        intent = self.database.places.ledger.intend(digest=f"blake3:{name}", size=size, store=store.name)
        if intent.stored and store.size(intent.key) == size:
            return intent.key
        if intent.stored:
            self.database.places.ledger.distrust(intent.key)
        return None

    def _put(self, name: str, store: Store) -> str:
        """Copy one object, and note it as live once it is durable."""
        spool = store.spool()
        try:
            for block in self.source.blocks(name):
                spool.write(block)
            if spool.digest != f"blake3:{name}" or spool.size != self.manifest.objects[name]:
                raise BundleError(
                    f"{self.source.where}: the object {name} is damaged: its digest is {spool.digest}. No record was imported; what "
                    f"was copied before is used when you run it again. {self.source.remedy}"
                )
            key = place(spool, store, self.database.places)
        finally:
            spool.close()

        def note(connection: Connection) -> None:
            pending = (_blobs.c.key == key) & (_blobs.c.state == BlobState.PENDING)
            connection.execute(update(Blob).where(pending).values(state=BlobState.LIVE))

        self.database.run(note, durability="relaxed")
        return key

    # records

    def _insert(self, new: Sequence[Entry], here: set[UUID], keys: Mapping[str, str]) -> dict[UUID, int]:
        """Commit all new records (T3) and return their versions."""
        rows = {entry.id: self._local(entry, keys) for entry in new}

        def work(connection: Connection) -> dict[UUID, int]:
            if self._here(connection) != here:
                raise _Changed
            claimed = [(id_, key) for id_, row in rows.items() for key in keys_of(row["filepaths"])]
            blobs.claim(connection, claimed, self.database.settings.grace)
            numbers = _numbered(connection, new)
            for entry in new:
                _insert_row(connection, entry, {**rows[entry.id], "version": numbers[entry.id]})
            return numbers

        def landed(connection: Connection) -> dict[UUID, int] | None:
            found: dict[UUID, int] = {}
            for entry in new:
                cls = record_class(entry.kind)
                found.update(connection.execute(select(cls.id, cls.version).where(cls.id == entry.id)).tuples().all())
            return found if len(found) == len(new) else None

        return self.database.run(work, landed=landed, failpoint="save.commit")

    def _local(self, entry: Entry, keys: Mapping[str, str]) -> Row:
        """Return the row, whose references say where the objects are here."""

        def key(given: str) -> str:
            return keys[hex_of_member(given) or ""]

        filepaths = {
            artifact: {
                pattern: {
                    **reference,
                    "store": self.store,
                    "key": key(reference["key"]),
                    **({"parts": [key(part) for part in reference["parts"]]} if "parts" in reference else {}),
                }
                for pattern, reference in patterns.items()
            }
            for artifact, patterns in entry.filepaths.items()
        }
        return {**entry.row, "filepaths": filepaths}


def _objects_of(entries: Iterable[Entry]) -> list[str]:
    """Return the hex digests of the objects that these records refer to, in their order in an archive."""
    keys = {key for entry in entries for key in keys_of(entry.filepaths)}
    return sorted(name for name in map(hex_of_member, keys) if name is not None)


def _executing(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Return the serializers of these records that may run code when they read."""
    patterns = [one for entry in entries for one in entry.filepaths.values()]
    names = {reference["serializer"] for one in patterns for reference in one.values()}
    return tuple(sorted(filter(_may_execute, names)))


def _may_execute(serializer: str) -> bool:
    try:
        return serializers.get(serializer).executes
    except SimpleMLError:  # it is not installed here, so nobody can tell
        return True


def _insert_row(connection: Connection, entry: Entry, row: Row) -> None:
    cls = record_class(entry.kind)
    table: Any = cls.__table__
    connection.execute(insert(table), column_values(cls, row))
    draft = Draft(entry.kind, row, entry.edges, lambda _: row, lambda _: None)
    for parent in entry.edges:
        connection.execute(insert(_edges), [edge(draft, parent.role, parent.kind, parent.id)])


def _numbered(connection: Connection, new: Sequence[Entry]) -> dict[UUID, int]:
    """Return the version of each record, counted: its own if that was never given out here, else the next free one."""
    numbers: dict[UUID, int] = {}
    groups = _groups(new)
    for counter in sorted(groups):
        entries = groups[counter]
        key = dict(zip(("kind", "name", "scope"), counter, strict=True))
        connection.execute(
            select(_counters.c.last).filter_by(**key).with_for_update()
        ).close()  # it stays as it is read
        kept = _kept(connection, counter, entries)
        if kept:
            numbers.update(kept)
            count_up(connection, _counters, key, at_least=max(kept.values()))
        for entry in entries:
            if entry.id not in numbers:
                free = {**entry.row, "version": None}
                numbers[entry.id] = versions.allocate(connection, record_class(entry.kind), free, suspicious=True)
    return numbers


def _foreseen(connection: Connection, new: Sequence[Entry]) -> dict[UUID, int]:
    """Return the versions that `_numbered` would give now, without counting."""
    numbers: dict[UUID, int] = {}
    for counter, entries in _groups(new).items():
        kept = _kept(connection, counter, entries)
        numbers.update(kept)
        last = max(versions.last(connection, *counter), *_taken(connection, entries[0]), *kept.values(), 0)
        renumbered = [entry for entry in entries if entry.id not in numbers]
        numbers.update((entry.id, last + place_) for place_, entry in enumerate(renumbered, 1))
    return numbers


def _kept(connection: Connection, counter: tuple[str, str, str], entries: Iterable[Entry]) -> dict[UUID, int]:
    """Return the versions that stay as they are: up to the last one given out here, a free number may be a deleted one's."""
    last, taken = versions.last(connection, *counter), _taken(connection, next(iter(entries)))
    versions_ = {entry.id: entry.row["version"] for entry in entries}
    return {id_: version for id_, version in versions_.items() if last < version <= HIGHEST and version not in taken}


def _groups(entries: Iterable[Entry]) -> dict[tuple[str, str, str], list[Entry]]:
    """Return the records by the counter that numbers them, the lowest version first."""
    found: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one.row["version"]):
        counter = versions.counter_of(record_class(entry.kind), entry.row)
        found.setdefault((counter["kind"], counter["name"], counter["scope"]), []).append(entry)
    return found


def _taken(connection: Connection, entry: Entry) -> set[int]:
    """Return the versions that records of this name and scope have here."""
    cls = record_class(entry.kind)
    if entry.kind not in kinds_in(connection):
        return set()
    found = select(cls.version).where(cls.name == entry.row["name"])
    if cls.scope:
        found = found.where(getattr(cls, cls.scope) == entry.row[cls.scope])
    return set(connection.execute(found).scalars())
