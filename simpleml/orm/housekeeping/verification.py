"""Checking that everything that is referred to is there, whole, while writers go on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, Select, func, select

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    EncodingError,
    SavePatternError,
    SimpleMLError,
    StoreUnreachableError,
)
from simpleml.orm import blobs, cells
from simpleml.orm.asked import Asked, asked, matching, paged, refuse_unknown
from simpleml.orm.housekeeping.collection import PAGE, open_stores, side_by_side
from simpleml.orm.housekeeping.done import Done, Object
from simpleml.orm.persistable import ORMPersistable, kinds_in, record_class
from simpleml.orm.tables import Blob, BlobRef, BlobState
from simpleml.orm.unmapped import Unmapped, unmapped
from simpleml.persistables.loading import metadata_of
from simpleml.progress import Progress
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.manifest import parts_of
from simpleml.save_patterns.pattern import check_reference
from simpleml.save_patterns.protocols import Store
from simpleml.types import Reference

if TYPE_CHECKING:
    from simpleml.orm.database import Database

_SMALL = 16 * 1024 * 1024

_blobs: Any = Blob.__table__
_refs: Any = BlobRef.__table__

_Announced: TypeAlias = tuple[str, int, str]  # what the row of a blob says under its key: store, size, digest
_Wrong: TypeAlias = tuple[str, str] | None  # the problem and a message; None if all is well


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    problem: str
    record: str
    artifact: str
    store: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class _Read:
    """One record as it was read: its JSON cells, and the blobs that it has a claim to."""

    cls: type[ORMPersistable]
    name: str
    version: int
    cells: Sequence[Any]
    claimed: Mapping[str, _Announced]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found; `resumed` objects were read by an earlier run that did not come to its end.

    Of the records of `unmapped`, whose kinds are not known here, only the objects were looked at, and only with `everything`.
    """

    records: int
    blobs: int
    bytes_: int
    findings: tuple[Finding, ...]
    resumed: int = 0
    unmapped: tuple[Unmapped, ...] = ()


def verify(
    database: Database,
    *,
    names: str | Iterable[str | tuple[str, int]] = (),
    everything: bool = False,
    resume: bool = False,
) -> Verified:
    """Read the bytes of every artifact (of these names, or names with a version; else of all) and compare them with what was saved.

    With `everything`, so is every other object that is referred to, by records of kinds that are not known here, and the rows
    of blobs are checked: their state, and that their counts are those of the references. A blob whose bytes are wrong is marked as damaged, so that nothing reuses it, until they are right again.
    With `resume`, objects are not read again that a run found to be whole which was cut short, or in which a store could not
    be reached, unless they are marked as damaged since. A store that cannot be reached once is not asked again by this run.
    Raises `RecordNotFoundError` if nothing is saved under one of the names.
    """
    wanted = asked(names)
    kinds = database.run(kinds_in, read=True)
    database.run(lambda connection: refuse_unknown(database, connection, wanted, kinds), read=True)
    unknown = tuple(database.run(unmapped, read=True))  # first: it may be refused, and the findings would be lost
    look = _Look(database, Done(database, resume=resume))
    findings: list[Finding] = []
    count, finished = 0, False
    try:
        look.damaged |= database.run(blobs.damaged_keys, read=True)
        stores = open_stores(database, database.run(blobs.stores_in_use, read=True))[0].values()
        with Progress("verifying", None) as bar:
            for kind in kinds:
                for found in side_by_side(look.record, _records(database, kind, wanted), stores):
                    count += 1
                    bar.advance()
                    findings += found
            for found in side_by_side(look.blob, _others(database, look.keys) if everything else (), stores):
                findings += found
        finished = not look.away
    finally:
        look.done.close(finished=finished)
    for key in look.damaged & look.keys - {finding.key for finding in findings}:
        database.run(lambda connection, good=key: blobs.trust(connection, good))  # type: ignore[misc]
    if everything:
        told = {finding.key for finding in findings}
        rows = database.run(_wrong_rows, read=True)
        findings += [row for row in rows if row.problem != BlobState.DAMAGED.value or row.key not in told]
    return Verified(count, len(look.keys), look.bytes_, tuple(sorted(findings, key=_place)), look.resumed, unknown)


def _records(database: Database, kind: str, names: Sequence[Asked]) -> Iterator[_Read]:
    """Give each record of a kind (of these names, or of all), a page at a time, each page at one instant."""
    cls = record_class(kind)
    every = select(cls.id, cls.name, cls.version, *cells.cells(cls)).order_by(cls.id).limit(PAGE)
    for statement in [every.where(matching(cls, part)) for part in paged(names)] if names else [every]:
        yield from _selected(database, cls, statement)


def _selected(database: Database, cls: type[ORMPersistable], statement: Any) -> Iterator[_Read]:
    blob = select(_refs.c.record, _blobs.c.key, _blobs.c.store, _blobs.c.size, _blobs.c.digest).join_from(_refs, _blobs)

    def read(connection: Connection, page: Select[Any]) -> list[tuple[UUID, _Read]]:
        rows = connection.execute(page).all()
        claims: dict[UUID, dict[str, _Announced]] = {row[0]: {} for row in rows}
        for record, key, *announced in connection.execute(blob.where(_refs.c.record.in_(claims))):
            claims[record][key] = announced[0], announced[1], announced[2]
        return [(id_, _Read(cls, name, version, cells_, claims[id_])) for id_, name, version, *cells_ in rows]

    following = statement
    while page := database.run(lambda connection, next_=following: read(connection, next_), read=True, snapshot=True):  # type: ignore[misc]
        yield from (record for _, record in page)
        following = statement.where(cls.id > page[-1][0])


def _others(database: Database, seen: set[str]) -> Iterator[Object]:
    """Give every object that is referred to and that no record has led to, a page at a time."""
    after = ""
    while page := database.run(lambda connection, last=after: blobs.referred(connection, last, PAGE), read=True):  # type: ignore[misc]
        yield from (row for row in page if row[0] not in seen)
        after = page[-1][0]


def references_in(filepaths: object) -> Iterator[tuple[str, object]]:
    """Give each artifact's name and reference; of a record that was edited, whatever stands in their place."""
    if not isinstance(filepaths, dict):
        if filepaths is not None:
            yield "", filepaths
        return
    for artifact, patterns in filepaths.items():
        for reference in patterns.values() if isinstance(patterns, dict) else [patterns]:
            yield str(artifact), reference


@dataclass(slots=True)
class _Look:
    """Compares objects with the references to them; each object is read once, however many records share it."""

    database: Database
    done: Done
    damaged: set[str] = field(default_factory=set)
    """The keys of what was marked as damaged before: all of it is read, whoever found it whole at an earlier time."""
    away: dict[str, StoreUnreachableError] = field(default_factory=dict)
    """The stores that could not be reached, by name: waiting for them once is long enough."""
    keys: set[str] = field(default_factory=set)
    bytes_: int = 0
    resumed: int = 0
    _known: dict[Object, _Wrong | Future[_Wrong]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, read: _Read) -> list[Finding]:
        """Return what is wrong with one record, with its artifacts, and with its claims to the objects they are in."""
        title, claimed = f"{read.cls.kind} {read.name!r} version {read.version}", read.claimed
        values, faults = cells.decoded(read.cls, read.cells)
        edited = [Finding("unreadable", title, "", "", "", fault) for fault in [*faults, *_misshapen(read, values)]]
        findings = []
        places: dict[str, tuple[str, str]] = {}  # where each key was found
        for artifact, reference in references_in(values.get("filepaths")):
            store = str(reference.get("store", "")) if isinstance(reference, dict) else ""
            places |= dict.fromkeys(_keys_of(reference), (artifact, store))
            for key, problem, message in self._at(artifact, reference, claimed):
                findings.append(Finding(problem, title, artifact, store, key, message))
        if "filepaths" not in values or any(finding.problem == "unreadable" for finding in findings):
            return edited + findings  # that says it already
        for key in sorted(places.keys() - claimed.keys()):
            told = "the record refers to it, but has no claim to it, so it may be collected: the record was edited"
            findings.append(Finding("unclaimed", title, *places[key], key, told))
        for key in sorted(claimed.keys() - places.keys()):
            told = "the record has a claim to it, but does not refer to it: the record was edited"
            findings.append(Finding("unused", title, "", "", key, told))
        return edited + findings

    def blob(self, wanted: Object) -> list[Finding]:
        """Return what is wrong with an object that is referred to by nothing that is known here."""
        key, store = wanted[:2]
        wrong = self._compare(wanted, wanted[1:])
        return [Finding(wrong[0], "", "", store, key, wrong[1])] if wrong else []

    def _at(
        self, artifact: str, reference: object, claimed: Mapping[str, _Announced]
    ) -> Iterator[tuple[str, str, str]]:
        """Give the key, the problem and a message for each object of a reference that is not as it should be."""
        try:
            checked = check_reference(reference, artifact)
        except SimpleMLError as error:
            shown = reference if isinstance(reference, dict) else {}
            yield str(shown.get("key", "")), _problem(error), str(error)
            return
        head = checked["key"], checked["store"], checked["size"], checked["digest"]
        if wrong := self._compare(head, claimed.get(checked["key"])):
            yield checked["key"], *wrong
            return
        if checked.get("parts"):
            try:
                parts = self._parts(checked)
            except SavePatternError as error:  # its bytes are right, and no manifest
                yield checked["key"], "damaged", str(error)
                return
            except SimpleMLError as error:
                yield checked["key"], *self._failed(checked["key"], checked["store"], error)
                return
            for key, size, digest in parts:
                if wrong := self._compare((key, checked["store"], size, digest), claimed.get(key)):
                    yield key, *wrong

    def _parts(self, reference: Reference) -> list[tuple[str, int, str]]:
        """Return key, size and digest of the objects that a manifest names."""
        data, digest = self.database.places.store(reference["store"]).read(reference["key"], reference["size"])
        _check_digest(digest, reference["digest"])
        return list(parts_of(reference, data))

    def _compare(self, wanted: Object, announced: _Announced | None) -> _Wrong:
        """Return what is wrong with an object; of one that the record has no claim to (None), the row is asked."""
        ours: Future[_Wrong] = Future()
        with self._lock:
            self.keys.add(wanted[0])
            known = self._known.setdefault(wanted, ours)
        if known is not ours:  # read before, or by another thread at this moment
            return known.result() if isinstance(known, Future) else known
        try:
            found = self._look(wanted, announced)
        except BaseException as error:
            ours.set_exception(error)
            raise
        ours.set_result(found)
        self._known[wanted] = found  # a million futures would be some gigabytes
        return found

    def _look(self, wanted: Object, announced: _Announced | None) -> _Wrong:
        if wanted in self.done and wanted[0] not in self.damaged:
            with self._lock:
                self.resumed += 1
            return None
        row = announced or self.database.run(lambda connection: blobs.row_of(connection, wanted[0]), read=True)
        if row is not None and row != wanted[1:]:
            return "edited", f"the record says {wanted[1:]} of it, but {row} was saved: the record was edited"
        found = self._read(*wanted)
        if found is None:
            self.done.add(wanted)
        return found

    def _read(self, key: str, store: str, size: int, wanted: str) -> _Wrong:
        if away := self.away.get(store):
            return _problem(away), str(away)
        try:
            digest = digest_in(self.database.places.store(store), key, size)
            with self._lock:
                self.bytes_ += size
            _check_digest(digest, wanted)
        except SimpleMLError as error:
            return self._failed(key, store, error)
        return None

    def _failed(self, key: str, store: str, error: SimpleMLError) -> tuple[str, str]:
        """Return what is wrong with an object whose reading failed; nobody reuses one that is not whole."""
        if isinstance(error, ArtifactDamagedError | ArtifactMissingError):
            self.database.places.ledger.distrust(key)
        elif isinstance(error, StoreUnreachableError):
            self.away[store] = error
        return _problem(error), str(error)


def _place(finding: Finding) -> tuple[bool, str, int, str, str]:
    """Return what findings are sorted by: kind, name and version of the record; those of none come last."""
    record, _, version = finding.record.rpartition(" version ")
    return not record, record, int(version or 0), finding.artifact, finding.key


def _misshapen(read: _Read, values: dict[str, Any]) -> list[str]:
    """Return what is wrong with metadata that is JSON, and not what simpleml writes."""
    try:
        metadata_of({"name": read.name, **values})
    except EncodingError as error:
        return [str(error)]
    return []


def _check_digest(found: str, wanted: str) -> None:
    if found != wanted:
        raise ArtifactDamagedError(f"its digest is {found}, but {wanted} was saved")


def digest_in(store: Store, key: str, size: int) -> str:
    """Return the digest of an object, read in memory that stays small also when several are, and kept nowhere."""
    if size <= _SMALL:
        return store.read(key, size)[1]
    if isinstance(store, RemoteStore):
        return store.digest(key, size)
    with open(os.devnull, "wb", buffering=0) as nowhere:
        return store.download(key, size, nowhere.fileno())


def _keys_of(reference: object) -> set[str]:
    """Return the keys that a reference names; of one that was edited, those that are texts."""
    if not isinstance(reference, dict):
        return set()
    parts = reference.get("parts")
    return {key for key in [reference.get("key"), *(parts if isinstance(parts, list) else [])] if isinstance(key, str)}


def _problem(error: SimpleMLError) -> str:
    if isinstance(error, ArtifactMissingError):
        return "missing"
    return "damaged" if isinstance(error, ArtifactDamagedError) else "unreadable"


def _wrong_rows(connection: Connection) -> list[Finding]:
    """List blobs that are referred to and not live, and those whose count is not that of their references."""
    counted = select(_refs.c.key, func.count().label("count")).group_by(_refs.c.key).subquery()
    both = select(
        _blobs.c.key, _blobs.c.store, _blobs.c.state, _blobs.c.refs, func.coalesce(counted.c.count, 0).label("count")
    )
    joined = both.select_from(_blobs.outerjoin(counted, counted.c.key == _blobs.c.key))
    wrong = joined.where(
        (_blobs.c.refs != func.coalesce(counted.c.count, 0))
        | ((_blobs.c.refs > 0) & (_blobs.c.state != BlobState.LIVE))
    )
    found = []
    for row in connection.execute(wrong):
        if row.refs != row.count:
            message = f"its row counts {row.refs} references, but there are {row.count}"
            found.append(Finding("miscounted", "", "", row.store, row.key, message))
        else:
            found.append(
                Finding(
                    row.state.value,
                    "",
                    "",
                    row.store,
                    row.key,
                    f"it is referred to, but its row says {row.state.value}",
                )
            )
    return found
