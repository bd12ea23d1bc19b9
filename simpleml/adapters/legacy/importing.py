"""`import_legacy`: every record of SimpleML 0.14 that is not here yet, in the order of the lineage, one commit each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from simpleml.adapters.legacy.artifacts import Carrier
from simpleml.adapters.legacy.records import check, row_of
from simpleml.adapters.legacy.source import LegacySource, OldRecord
from simpleml.errors import EncodingError, HashingError, IdentityError, LegacyError, VersionConflictError
from simpleml.persistables.ports import Committed, Draft, Parent, Row
from simpleml.progress import Progress

if TYPE_CHECKING:
    from simpleml.orm.database import Database

_AGAIN = "run `import_legacy` again"


@dataclass(frozen=True, slots=True)
class Brought:
    """One record that came over; `was` is its old version where it got another one here."""

    kind: str
    name: str
    version: int
    id: UUID
    was: int | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something of the old store that did not come over, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class LegacyImport:
    """What `import_legacy` did: what came over, how many records were here already, and what was left behind."""

    records: tuple[Brought, ...]
    skipped: int
    troubles: tuple[Trouble, ...]


def import_legacy(
    path: Path | str,
    database: Database,
    *,
    filestore: Path | str | None = None,
    unpickle: bool = False,
    store: str = "imported",
) -> LegacyImport:
    """Bring over the SQLite database and the filestore of SimpleML 0.14, keeping ids, names and (where free) versions.

    Content hashes are made anew; the old ones stay in `metadata_["legacy"]`. Frames in parquet, CSV and JSON are read and
    saved as ours. Pickles are copied byte by byte into `store`, which nothing is unpickled from until the settings trust
    it; with `unpickle=True` they are read here, which runs what is in them, and saved as the plain estimators and frames
    they hold. Records that are here already are skipped, so it may be run again after a failure. Raises `LegacyError` if
    the old side cannot be read at all. One record that cannot is a `Trouble`; so is one artifact, whose record comes without
    it. What fails on this side (a store, a library that is missing) ends the import, to be run again.
    """
    source = LegacySource(Path(path), Path(filestore) if filestore is not None else None)
    records, unreadable = source.records()
    run = _Run(database, Carrier(source, database.places, store, unpickle))
    run.troubles += [Trouble(one.what, one.why) for one in unreadable]
    with Progress("importing", len(records)) as progress:
        for record in records:
            run.bring(record)
            progress.advance()
    return LegacyImport(tuple(run.brought), run.skipped, tuple(run.troubles))


class _Run:
    """One import on its way."""

    def __init__(self, database: Database, carrier: Carrier) -> None:
        self.database = database
        self.carrier = carrier
        self.brought: list[Brought] = []
        self.troubles: list[Trouble] = []
        self.skipped = 0

    def bring(self, record: OldRecord) -> None:
        if self.database.hash_of(record.kind, record.id) is not None:
            self.skipped += 1
            return
        try:
            check(record)
            self._bring(record)
        except (LegacyError, IdentityError, HashingError, EncodingError) as error:
            self.troubles.append(Trouble(str(record), str(error)))

    def _bring(self, record: OldRecord) -> None:
        parents = self._parents(record)
        if record.kind == "metric" and not any(parent.role == "model" for parent in parents):
            self.troubles.append(Trouble(str(record), "its model is not there, and a metric without one says nothing"))
            return
        carried = self.carrier.carry(record)
        self.troubles += [Trouble(str(record), why) for why in carried.troubles]
        hashes = {parent.role: str(self.database.hash_of(parent.kind, parent.id)) for parent in parents}
        row = row_of(record, carried, parents, hashes)
        made = self._insert(record, row, parents)
        was = None if made.version == record.columns["version"] else record.columns["version"]
        self.brought.append(Brought(record.kind, row["name"], made.version, record.id, was))

    def _parents(self, record: OldRecord) -> tuple[Parent, ...]:
        found = []
        for link, id_ in record.links.items():
            role = link.removesuffix("_id")
            if self.database.hash_of(role, id_) is not None:
                found.append(Parent(role, role, id_))
            else:
                self.troubles.append(Trouble(str(record), f"the {role} {id_} that it was made from is not there"))
        return tuple(found)

    def _insert(self, record: OldRecord, row: Row, parents: tuple[Parent, ...]) -> Committed:
        """Commit the record under its own version, or under the next one if that number was given out here already."""
        result: list[Committed] = []

        def renew(lost: frozenset[str]) -> Row:
            raise LegacyError(
                f"the artifacts of {record} were collected before its record was committed: {_AGAIN}, with a longer `grace`"
            )

        draft = Draft(record.kind, row, parents, renew, result.append)
        try:
            self.database.insert(draft)
        except VersionConflictError:
            draft.row = {**row, "version": None}
            self.database.insert(draft)
        return result[0]
