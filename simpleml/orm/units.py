"""`UnitOfWork`: what one transaction commits together (T3), and what it does when that fails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, exc, insert, select, update

from simpleml.errors import DatabaseError, LineageError, UnsavedReferenceError, VersionConflictError
from simpleml.orm import blobs, queries, versions
from simpleml.orm.deletion import Deletion
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.tables import LineageEdge
from simpleml.orm.transactions import Again, Transactions
from simpleml.persistables.changes import Changes, is_same
from simpleml.persistables.ports import Committed, Draft, Row

_TRIES = 5
_FACTS = ("registered_name", "name", "project", "author", "hash_")
_HELD = ("metadata_", "filepaths")  # columns whose content is looked at more closely
_edges: Any = LineageEdge.__table__


@dataclass(slots=True)
class UnitOfWork:
    """Drafts and other writes, in the order in which they were asked for; committed all together or not at all."""

    database: Transactions
    steps: list[Draft | blobs.Operation] = field(default_factory=list)
    failpoint: str = "save.commit"
    undo: list[Callable[[], None]] = field(default_factory=list)
    queued: dict[UUID, Draft] = field(default_factory=dict)
    """The drafts that were added, by id: each save into a block looks for some of them."""

    @property
    def drafts(self) -> list[Draft]:
        """The records that will be inserted."""
        return [step for step in self.steps if isinstance(step, Draft)]

    def add(self, step: Draft | blobs.Operation) -> None:
        """Let the unit do this too, after what it has to do already."""
        self.steps.append(step)
        if isinstance(step, Draft):
            self.queued.setdefault(step.id, step)

    def mark(self) -> tuple[int, int]:
        """Return how far the unit has come, for `abandon`."""
        return len(self.steps), len(self.undo)

    def commit(self) -> None:
        """Run every step in one transaction; blobs that were collected meanwhile are stored again first."""
        try:
            results = self._commit()
        except BaseException:
            self.abandon()
            raise
        for draft, result in results:
            draft.committed(result)

    def abandon(self, mark: tuple[int, int] = (0, 0)) -> None:
        """Take back every step since `mark`, and tell every object that nothing of it happened, the last one first."""
        for step in self.steps[mark[0] :]:
            if isinstance(step, Draft) and self.queued.get(step.id) is step:
                del self.queued[step.id]
        del self.steps[mark[0] :]
        while len(self.undo) > mark[1]:
            self.undo.pop()()

    def _commit(self) -> list[tuple[Draft, Committed]]:
        suspicious, renewals = False, 0

        def work(connection: Connection) -> list[tuple[Draft, Committed]]:
            nonlocal suspicious, renewals
            try:
                return self._work(connection, suspicious=suspicious)
            except blobs.BlobsLost as error:
                renewals += 1
                if renewals == _TRIES:
                    raise self._too_short() from error
                raise Again(functools.partial(self._renew, error.keys)) from error
            except (exc.IntegrityError, VersionConflictError) as error:
                if suspicious or not self.drafts:
                    raise
                suspicious = True
                raise Again from error

        try:
            return self.database.run(work, landed=self._landed, failpoint=self.failpoint)
        except exc.IntegrityError as error:
            if not self.drafts:
                raise
            raise self._conflict(error) from error

    def _renew(self, lost: frozenset[str]) -> None:
        """Store again what was collected between its announcement and the commit."""
        for draft in self.drafts:
            if lost.intersection(draft.blobs()):
                draft.row = draft.renew(lost)

    def _too_short(self) -> DatabaseError:
        return DatabaseError(
            f"the blobs of {len(self.drafts)} records were collected {_TRIES} times while they were saved: `grace` "
            f"({self.database.settings.grace} s) is shorter than an upload takes: set a longer one. Or a save pattern of your own "
            "returned a key that was never announced: store the bytes by one of simpleml's"
        )

    def _work(self, connection: Connection, *, suspicious: bool) -> list[tuple[Draft, Committed]]:
        """Claim blobs, count versions, insert records, in this order everywhere, so that transactions seldom meet crosswise.

        `suspicious` says that the database refused something: a record may be there, by a commit that was not seen to end.
        """
        drafts = self.drafts
        there = (
            {index: found for index, draft in enumerate(drafts) if (found := _there(connection, draft))}
            if suspicious
            else {}
        )
        fresh = [(index, draft) for index, draft in enumerate(drafts) if index not in there]
        wanted = [(draft.id, key) for _, draft in fresh for key in draft.blobs()]
        blobs.claim(connection, wanted, self.database.settings.grace)
        results = {index: _adopted(drafts[index], row) for index, row in there.items()}
        for index, draft in sorted(fresh, key=lambda pair: (pair[1].kind, pair[1].row["name"], pair[0])):
            version = versions.allocate(connection, record_class(draft.kind), draft.row, suspicious=suspicious)
            results[index] = Committed(version, datetime.now(UTC))
        position = 0
        for step in self.steps:
            if not isinstance(step, Draft):
                step(connection)
                continue
            if position in there:
                _revise(connection, step, there[position])
            else:
                _insert(connection, step, results[position])
            position += 1
        return [(draft, results[index]) for index, draft in enumerate(drafts)]

    def _landed(self, connection: Connection) -> list[tuple[Draft, Committed]] | None:
        """After a lost connection: return the results if the transaction was committed after all, else None.

        A transaction happens as a whole, so one step that left a trace answers for all. One that left none may be done again.
        """
        deleted = {step.id for step in self.steps if isinstance(step, Deletion)}
        inserted = {draft.id for draft in self.drafts}
        found: list[tuple[Draft, Committed]] = []
        for draft in self.drafts:
            if draft.id in deleted:
                continue
            row = _there(connection, draft)
            if row is None:
                return None
            found.append((draft, _adopted(draft, row)))
        if found:
            return found
        for step in self.steps:
            trace = None if isinstance(step, Draft) else getattr(step, "landed", None)
            if trace is not None and not (isinstance(step, Deletion) and step.id in inserted):
                return [] if trace(connection) else None
        return None

    def _conflict(self, error: exc.IntegrityError) -> Exception:
        """Say in our words what the database refused."""
        chosen: set[tuple[str, str, str, int]] = set()

        def work(connection: Connection) -> Exception:
            for draft in self.drafts:
                cls, row = record_class(draft.kind), draft.row
                if row.get("version") is not None:
                    key = (draft.kind, row["name"], versions.scope_of(cls, row), row["version"])
                    if key in chosen:
                        return VersionConflictError(
                            f"two {draft.kind}s {row['name']!r} in one transaction have the version {row['version']}: leave version out"
                        )
                    chosen.add(key)
                if row.get("version") is not None:
                    same = select(cls.id).where(cls.name == row["name"], cls.version == row["version"])
                    if cls.scope:
                        same = same.where(getattr(cls, cls.scope) == row[cls.scope])
                    if connection.execute(same).first():
                        return VersionConflictError(
                            f"{draft.kind} {row['name']!r} has a version {row['version']} already: leave version out to get the next one"
                        )
                if connection.execute(select(cls.id).where(cls.id == draft.id)).first():
                    return VersionConflictError(
                        f"there is a {draft.kind} with the id {draft.id} already, which is another one: leave id out to get a "
                        "new one, or load that one"
                    )
                for parent in draft.parents:
                    above = record_class(parent.kind)
                    if connection.execute(select(above.id).where(above.id == parent.id)).first() is None:
                        return UnsavedReferenceError(
                            f"{draft.kind} {row['name']!r} is made from {parent.role} {parent.id}, which is not in the database (any more)"
                        )
            return DatabaseError(f"the database refused the record: {error.orig}")

        return self.database.run(work, read=True)


def _there(connection: Connection, draft: Draft) -> Row | None:
    """Return the record of a draft if it is there already, by a commit that was not seen to end; None if another one is."""
    cls = record_class(draft.kind)
    for values in connection.execute(queries.rows(cls, {"id": draft.id}, order_by=(), limit=None, offset=0)):
        row: Row = dict(zip(queries.columns(cls), values, strict=True))
        if is_same(_identity(row, draft.row), _identity(draft.row, draft.row)):
            return row
    return None


def _identity(row: Row, asked: Row) -> dict[str, object]:
    """Return what a record's version stands for, as far as it was asked for: its names and hash, its artifacts, its containers."""
    facts: dict[str, object] = {name: row[name] for name in _FACTS if name in asked}
    facts |= {name: row[name] for name, value in asked.items() if name not in _HELD and isinstance(value, dict | list)}
    if asked.get("version") is not None:
        facts["version"] = row["version"]
    described = (row.get("metadata_") or {}).get("artifacts", {})
    facts["artifacts"] = {
        name: described.get(name, {}).get("hash") or {pattern: each["digest"] for pattern, each in patterns.items()}
        for name, patterns in row["filepaths"].items()
    }
    return facts


def _adopted(draft: Draft, row: Row) -> Committed:
    """Let a draft be the record that is there."""
    draft.row["filepaths"] = row["filepaths"]  # which name other objects if bytes were stored again meanwhile
    return Committed(row["version"], row["created_timestamp"])


def _revise(connection: Connection, draft: Draft, row: Row) -> None:
    """Bring what may change of a version up to date, where the object changed since the commit that was not seen to end."""
    cls = record_class(draft.kind)
    then, given = row["metadata_"] or {}, draft.row
    values = {
        "metadata_": Changes.between(then, given.get("metadata_") or {}).onto(then),
        "version_description": given.get("version_description"),
    }
    if not all(is_same(value, row[name]) for name, value in values.items()):
        table: Any = cls.__table__
        connection.execute(update(table).where(cls.id == draft.id).values(column_values(cls, values)))


def _insert(connection: Connection, draft: Draft, result: Committed) -> None:
    cls = record_class(draft.kind)
    row = {
        **draft.row,
        "version": result.version,
        "created_timestamp": result.created,
        "modified_timestamp": result.created,
        **{f"{parent.role}_id": parent.id for parent in draft.parents},
    }
    connection.execute(_inserting(cls), column_values(cls, row))
    for parent in draft.parents:
        if f"{parent.role}_id" not in cls.__mapper__.column_attrs:
            connection.execute(insert(_edges), [edge(draft, parent.role, parent.kind, parent.id)])


@functools.cache
def _inserting(cls: type[ORMPersistable]) -> Any:
    table: Any = cls.__table__
    return insert(table)


def column_values(cls: type[ORMPersistable], row: Row) -> dict[str, Any]:
    """Return what of `row` the table has columns for, under the columns' own names."""
    attributes = cls.__mapper__.column_attrs
    return {attribute.columns[0].key: row[attribute.key] for attribute in attributes if attribute.key in row}


def edge(draft: Draft, role: str, kind: str, parent: UUID) -> dict[str, Any]:
    """Return the row of the `lineage` table for one edge."""
    column = f"{kind}_id"
    if column not in LineageEdge.__mapper__.column_attrs:
        raise LineageError(
            f"a {draft.kind} cannot refer to a {kind} by the role {role!r}: give the mapped class of {draft.kind!r} a column "
            f"{role}_id with a foreign key to it"
        )
    return {"child": draft.id, "child_kind": draft.kind, "role": role, column: parent}
