"""Collecting what nothing refers to, and checking that everything that is referred to is there, whole.

Both run beside writers: `collect` condemns a blob by one guarded update of its own row before it touches the bytes, so a
writer either refers to it first, or finds it condemned and stores the bytes again.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, SimpleMLError
from simpleml.failpoints import reach
from simpleml.orm import blobs
from simpleml.orm.filters import conditions
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.tables import Blob, BlobRef, BlobState
from simpleml.progress import Progress
from simpleml.save_patterns.locations.keys import ledger_folder
from simpleml.save_patterns.pattern import check_reference

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.protocols import Store

_PAGE = 500
_blobs: Any = Blob.__table__


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed, or would remove; `unreachable` are the stores that could not be opened and were left alone."""

    removed: int
    freed: int
    swept: int
    leftovers: int
    keys: tuple[str, ...]
    unreachable: tuple[str, ...] = ()


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
class Verified:
    """What was looked at, and what was found."""

    records: int
    blobs: int
    bytes_: int
    findings: tuple[Finding, ...]


def collect(database: Database, *, dry_run: bool = False, leftovers_after: float | None = None) -> Collected:
    """Remove the blobs that nothing refers to and whose lease is over, then sweep the stores of this ledger.

    A lease runs for `grace` seconds after the last announcement or deletion. The sweep removes objects without a row (a
    power cut may lose an announcement) and temporary files that no writer touched for `leftovers_after` seconds. Stores
    that cannot be opened here are left alone, with all that is in them.
    """
    stores, unreachable = _open_stores(database)
    found = list(_idle(database, stores))
    gone = found if dry_run else []
    if not dry_run:
        with Progress("collecting", len(found)) as bar:
            for key, name, size in found:
                if _remove(database, key, name):
                    gone.append((key, name, size))
                bar.advance()
    swept: list[str] = []
    leftovers = 0
    patience = database.settings.grace if leftovers_after is None else leftovers_after
    roots: dict[str, Store] = {}
    for store in stores.values():
        roots.setdefault(store.describe(), store)  # one place may have several names
    for store in roots.values():
        swept += _sweep(database, store, dry_run=dry_run)
        if not dry_run:
            leftovers += store.clear_leftovers(patience)
    keys = tuple(key for key, _, _ in gone) + tuple(swept)
    return Collected(len(gone), sum(size for _, _, size in gone), len(swept), leftovers, keys, unreachable)


def _open_stores(database: Database) -> tuple[dict[str, Store], tuple[str, ...]]:
    """Return the stores by name, and the names of those that this version or this machine cannot open."""
    stores: dict[str, Store] = {}
    unreachable: list[str] = []
    for name in database.places.names():
        try:
            stores[name] = database.places.store(name)
        except SimpleMLError:  # reported: what is in the others need not wait for it
            unreachable.append(name)
    return stores, tuple(unreachable)


def _idle(database: Database, known: Container[str]) -> Iterator[tuple[str, str, int]]:
    """List what can be collected, a page at a time, leaving out stores that this machine does not know."""
    after = ""
    while True:
        page = database.run(lambda connection, last=after: blobs.idle_keys(connection, last, _PAGE), read=True)  # type: ignore[misc]
        yield from (row for row in page if row[1] in known)
        if len(page) < _PAGE:
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
    database.places.store(store).delete(key)
    reach("gc.remove.after")
    database.run(lambda connection: blobs.forget(connection, key), failpoint="gc.forget")
    return True


def _sweep(database: Database, store: Store, *, dry_run: bool) -> list[str]:
    """Remove objects without a row: list the store first, then read rows; the other order loses what is just being saved."""
    swept: list[str] = []
    page: list[str] = []

    def check() -> None:
        listed = list(page)
        page.clear()
        for key in database.run(lambda connection: blobs.without_row(connection, listed), read=True):
            if not dry_run:
                reach("sweep.remove.before")
                store.delete(key)
                reach("sweep.remove.after")
            swept.append(key)

    for key in store.keys(ledger_folder(database.ledger_id)):
        page.append(key)
        if len(page) == _PAGE:
            check()
    if page:
        check()
    return swept


def verify(database: Database, *, names: Sequence[str] = (), everything: bool = False) -> Verified:
    """Read the bytes of every artifact (of these names, or of all) and compare them with what was saved.

    With `everything`, the rows of blobs are checked as well: their state, and that their counts are those of the
    references. A blob whose bytes are wrong is marked as damaged, so that nothing reuses it, until they are right again.
    """
    look = _Look(database)
    findings: list[Finding] = []
    damaged = database.run(blobs.damaged_keys, read=True)
    count = 0
    with Progress("verifying", None) as bar:
        for kind in database.run(kinds_in, read=True):
            for title, filepaths in _records(database, kind, names):
                count += 1
                bar.advance()
                for artifact, reference in _references(filepaths):
                    if wrong := look.at(artifact, reference):
                        findings.append(_finding(*wrong, title, artifact, reference))
    for key in damaged & look.keys - {finding.key for finding in findings}:
        database.run(lambda connection, good=key: blobs.trust(connection, good))  # type: ignore[misc]
    if everything:
        findings += database.run(_wrong_rows, read=True)
    return Verified(count, len(look.keys), look.bytes_, tuple(findings))


def _records(database: Database, kind: str, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Give the title and the references of each record of a kind, a page at a time."""
    cls = record_class(kind)
    columns = (cls.id, cls.name, cls.version, cls.filepaths)
    statement = (
        select(*columns)
        .where(*conditions(cls, {"name__in": list(names)} if names else {}))
        .order_by(cls.id)
        .limit(_PAGE)
    )
    page = database.run(lambda connection: list(connection.execute(statement)), read=True)
    while page:
        for row in page:
            yield f"{kind} {row[1]!r} version {row[2]}", row[3]
        following = statement.where(cls.id > page[-1][0])
        page = database.run(lambda connection, next_=following: list(connection.execute(next_)), read=True)  # type: ignore[misc]


def _references(filepaths: object) -> Iterator[tuple[str, object]]:
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
    keys: set[str] = field(default_factory=set)
    bytes_: int = 0
    _known: dict[tuple[str, str, int, str], tuple[str, str] | None] = field(default_factory=dict)

    def at(self, artifact: str, reference: object) -> tuple[str, str] | None:
        """Return what is wrong with the object that `reference` stands for, and a message; None if all is well."""
        try:
            checked = check_reference(reference, artifact)
        except SimpleMLError as error:
            return _problem(error), str(error)
        wanted = checked["key"], checked["store"], checked["size"], checked["digest"]
        if wanted not in self._known:
            self.keys.add(checked["key"])
            self._known[wanted] = self._read(*wanted)
        return self._known[wanted]

    def _read(self, key: str, store: str, size: int, wanted: str) -> tuple[str, str] | None:
        places = self.database.places
        try:
            _, digest = places.store(store).read(key, size)
        except SimpleMLError as error:
            if isinstance(error, ArtifactDamagedError | ArtifactMissingError):
                places.ledger.distrust(key)
            return _problem(error), str(error)
        self.bytes_ += size
        if digest == wanted:
            return None
        places.ledger.distrust(key)
        return "damaged", f"its digest is {digest}, but {wanted} was saved"


def _problem(error: SimpleMLError) -> str:
    if isinstance(error, ArtifactMissingError):
        return "missing"
    return "damaged" if isinstance(error, ArtifactDamagedError) else "unreadable"


def _finding(problem: str, message: str, title: str, artifact: str, reference: object) -> Finding:
    shown = reference if isinstance(reference, dict) else {}
    return Finding(problem, title, artifact, str(shown.get("store", "")), str(shown.get("key", "")), message)


def _wrong_rows(connection: Connection) -> list[Finding]:
    """List blobs that are referred to and not live, and those whose count is not that of their references."""
    refs: Any = BlobRef.__table__
    counted = select(refs.c.key, func.count().label("count")).group_by(refs.c.key).subquery()
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
