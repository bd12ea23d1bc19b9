"""What saving needs of a database, as protocols: `orm` implements them, and nothing here knows SQL.

The implementation is found by name in `databases`, so this layer never imports the one above it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from simpleml.persistables.graph import LineageGraph
from simpleml.registries import Registry
from simpleml.save_patterns.protocols import Places
from simpleml.settings import Settings
from simpleml.types import Filepaths, Metadata, Reference

Row = dict[str, Any]
"""One record as plain values, under the attribute names of its mapped class (`hash_`, `metadata_`, …)."""


@dataclass(frozen=True, slots=True)
class Parent:
    """One edge of lineage: the record of `kind` with `id` plays `role` in what is made from it."""

    role: str
    kind: str
    id: UUID


@dataclass(frozen=True, slots=True)
class Scope:
    """Within what the versions of a kind are counted besides the name: what `column` holds, the id of a record of `kind` (a
    metric's model), or any value where `kind` is None.
    """

    column: str
    kind: str | None = None

    @property
    def role(self) -> str:
        """What the record plays; without one, the column."""
        return self.column if self.kind is None else self.column.removesuffix("_id")


@dataclass(frozen=True, slots=True)
class Committed:
    """What the database decided when it committed a draft."""

    version: int
    created: datetime


@dataclass(slots=True)
class Draft:
    """A record that is ready to be inserted: its bytes are durable and announced, its version is not decided yet.

    `renew(lost)` is called when blobs were collected before the commit: it stores those bytes again and returns the
    values to insert instead. `committed` tells the object that it happened.
    """

    kind: str
    row: Row
    parents: tuple[Parent, ...]
    renew: Callable[[frozenset[str]], Row]
    committed: Callable[[Committed], None]

    @property
    def id(self) -> UUID:
        """The id that the record will have."""
        found: UUID = self.row["id"]
        return found

    def blobs(self) -> list[str]:
        """Return the keys of the blobs that the record refers to, sorted, each once: the order in which they are locked."""
        return keys_of(self.row["filepaths"])


def keys_of(filepaths: Filepaths) -> list[str]:
    """Return the keys of the blobs that a record with these filepaths refers to, sorted, each once."""
    references = [reference for patterns in filepaths.values() for reference in patterns.values()]
    return sorted({key for reference in references for key in keys_in(reference)})


def keys_in(reference: Reference) -> list[str]:
    """Return the keys of the blobs that one reference stands for: its object, and the parts that this one names."""
    return [reference["key"], *reference.get("parts", [])]


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of an alias: from which version to which, by whom and when.

    `from_version` is what it pointed to at that instant (None: to nothing), so the moves of an alias are a chain;
    `to_version` is None where it was dropped. `scope` is the model's id for metrics, else empty.
    """

    alias: str
    from_version: int | None
    to_version: int | None
    from_id: UUID | None
    to_id: UUID | None
    author: str
    moment: datetime
    scope: str = ""


class Aliases(Protocol):
    """The aliases of one database: each points to one version of its name, and never to one that was deleted."""

    def point(self, kind: str, id: UUID, alias: str) -> None:
        """Let an alias of the record's name point to this record, now or at the end of the transaction; records the move."""

    def drop(self, kind: str, id: UUID, alias: str) -> None:
        """Let an alias that points to this record point to nothing; `RecordNotFoundError` if it points elsewhere."""

    def of(self, kind: str, id: UUID) -> tuple[str, ...]:
        """Return the aliases that point to a record, sorted."""

    def listed(self, kind: str, name: str, scope: str | None = None) -> list[tuple[str, int, str]]:
        """Return the aliases of a name, sorted, with the versions they point to and the scopes of these."""

    def history(self, kind: str, name: str, alias: str | None = None, scope: str | None = None) -> list[AliasMove]:
        """Return every move of an alias, or of all aliases of a name, oldest first."""


class Tags(Protocol):
    """The tags of one database; a record's go with it."""

    def add(self, kind: str, id: UUID, tags: Sequence[str]) -> None:
        """Give a record these tags, now or at the end of the transaction; one that it has already is no error."""

    def remove(self, kind: str, id: UUID, tags: Sequence[str]) -> None:
        """Take these tags from a record, now or at the end of the transaction; one that it has not is no error."""

    def of(self, kind: str, id: UUID) -> tuple[str, ...]:
        """Return the tags of a record, sorted."""


class Database(Protocol):
    """One database and the stores that go with it. Safe for threads; a forked child gets connections of its own."""

    @property
    def ledger_id(self) -> str:
        """Who the database is, however many times it is open."""

    def owns(self, key: str) -> bool:
        """Whether an object is this database's own: those of one that it was copied from are read, and nothing else."""

    def knows(self, key: str) -> bool:
        """Whether this database, or one that it was copied from, announced an object of this key."""

    @property
    def settings(self) -> Settings:
        """The settings it was opened with."""

    @property
    def places(self) -> Places:
        """Its stores, its ledger of blobs and its trust policy."""

    @property
    def aliases(self) -> Aliases:
        """Its aliases."""

    @property
    def tags(self) -> Tags:
        """Its tags."""

    def insert(self, draft: Draft) -> None:
        """Commit a new record (T3), now or at the end of the transaction that this thread is in."""

    def update(self, kind: str, id: UUID, values: Row) -> None:
        """Change columns of a record that never affect what its version stands for, now or at the transaction's end."""

    def revise(self, kind: str, id: UUID, change: Callable[[Metadata], Row]) -> None:
        """Change columns as `update` does, to what `change` makes of the metadata that the record has then.

        Nobody else changes the record in between; `change` may be called again if the transaction is tried again.
        """

    def delete(self, kind: str, id: UUID) -> None:
        """Delete a record, its references to blobs and its tags.

        `ReferencedError` if others were made from it, or an alias points to it.
        """

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in a transaction on this database that is not committed yet."""

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Call `undo` if the transaction that this thread is in is not committed; outside of one, never."""

    def select(
        self,
        kind: str,
        filters: Mapping[str, object] | Sequence[Mapping[str, object]],
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """Return the records that match, as plain values; one statement.

        Besides columns, `aliases__has` and `tags__has` are filters, and a role with the saved object that plays it.
        """

    def scope(self, kind: str) -> Scope | None:
        """Return within what the versions of a kind are counted besides the name; None for most."""

    def remember(self, kind: str, row: Row, alias: str | None = None) -> None:
        """Keep a record that was loaded (by an alias, perhaps), where it can be loaded again without the network; never fails."""

    def remember_parents(self, kind: str, id: UUID) -> None:
        """Keep what a loaded record was made from in the same place, where its own row does not show that."""

    def count(self, kind: str, filters: Mapping[str, object] | Sequence[Mapping[str, object]]) -> int:
        """Return how many records match."""

    def parents(self, kind: str, id: UUID) -> tuple[Parent, ...] | None:
        """Return the edges of lineage of a record that its own row does not show, or None if there is no such record."""

    def lineage(self, kind: str, id: UUID, *, up: bool, down: bool, depth: int | None) -> LineageGraph:
        """Return what a record was made from (up) and what was made from it (down), at most `depth` edges away.

        One statement finds all edges, and one the records of each kind.
        """

    def hash_of(self, kind: str, id: UUID) -> str | None:
        """Return the content hash of a record, or None if there is no such record."""

    def columns(self, kind: str) -> tuple[str, ...]:
        """Return the names that the values of a record of this kind have."""

    def names(self, kind: str) -> list[str]:
        """Return the names in use within a kind; for messages."""


@dataclass(slots=True)
class Origin:
    """What the database holds of an object: what a later `save()` compares with, and where artifacts are read from.

    `facts` is what a version stands for besides its artifacts and its hash, by name; `metadata` and `description` what the
    record held when this object was loaded or saved last.
    """

    database: Database
    id: UUID
    hash_: str
    facts: Mapping[str, object]
    metadata: Metadata
    description: str | None
    pending: bool = False  # queued in a transaction that has not ended yet


class Opener(Protocol):
    """How this layer gets at a database."""

    def current(self) -> Database:
        """Return the database that this context works with; opens the embedded default if none was connected."""


databases: Registry[Opener] = Registry("database layer", known={"sql": "simpleml.orm.connections:OPENER"})
"""Where the implementation is found; `sql` is the one there is."""


def current_database() -> Database:
    """Return the database that this thread works with (see `simpleml.connect`)."""
    return databases.get("sql").current()
