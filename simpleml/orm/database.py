"""`Database`: one database with the stores that belong to it; it keeps, finds and deletes records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self
from uuid import UUID

from sqlalchemy import Connection, exc, select, update

from simpleml import migrations
from simpleml.errors import ConfigurationError, OfflineError, RecordNotFoundError, TransactionError
from simpleml.orm import cells, graph, identity, queries, versions
from simpleml.orm.aliases import Aliases
from simpleml.orm.blocks import Blocks
from simpleml.orm.claims import Claim, claim
from simpleml.orm.current import Current
from simpleml.orm.deletion import Deletion, still_referenced
from simpleml.orm.forks import opened
from simpleml.orm.identity import Identity
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.record_copies import RecordCopy, is_server, records_kept
from simpleml.orm.schema import make_table, open_schema, upgrade_schema
from simpleml.orm.shelves import Shelves
from simpleml.orm.tags import Tags
from simpleml.orm.units import column_values
from simpleml.persistables.graph import LineageGraph
from simpleml.persistables.ports import Committed, Draft, Parent, Row, Scope
from simpleml.settings import Settings
from simpleml.types import Metadata

at_work: Current[Database] = Current("simpleml_databases")
"""The database that a thread works with."""


def given_settings(url: str | Path | None, **arguments: Any) -> Settings:
    """Return the settings in force, under a database given as a path or a URL, under other settings by name."""
    if url is not None:
        arguments["database_url"] = url
    return Settings.load(**arguments)


class Database(Blocks):
    """A database, opened. Safe for threads; a forked child gets connections of its own; it cannot be pickled.

    Made by `simpleml.connect`, or by `Database().initialize()`. As a context manager it is the current database of the block.
    Without settings it takes those in force (and `uri`, or any other by name), and looks at its schema when it is first used.
    """

    identity: Identity
    places: Shelves
    _copied: RecordCopy | None

    def __init__(self, settings: Settings | None = None, *, uri: str | Path | None = None, **arguments: Any) -> None:
        if settings is not None and (uri is not None or arguments):
            raise ConfigurationError(
                "Database(settings) takes nothing besides: give it settings.replace(database_url=…)"
            )
        super().__init__(settings or given_settings(uri, **arguments))
        if settings is None and self.settings.offline and is_server(self.url):
            raise OfflineError(
                f"offline = true, so {self!r} cannot be opened: simpleml.connect() gives what is copied here"
            )
        self._made: set[str] = set()
        opened.add(self)
        self.aliases, self.tags = Aliases(self, self.write), Tags(self, self.write)
        if settings is not None:
            self._open()

    def initialize(self, *, upgrade: bool = False) -> Self:
        """Open the database, make it the current one of this process, and return it.

        With `upgrade` an older schema is brought up to date first; without, it is refused, as `connect` does. A database
        without any table of ours gets the schema.
        """
        if upgrade:
            upgrade_schema(self)
        self._open()
        at_work.adopt(self)
        return self

    def _open(self) -> None:
        """Look at the schema, make one where there is none, and get at the stores."""
        self.identity = open_schema(self, is_copy=self.is_copy)
        self.ledger_id = self.identity.current
        self._copied = records_kept(self.settings, self.url, self.identity)
        self._was_up = True
        self.places = Shelves.of(self, self.identity, is_copy=self.is_copy)

    if not TYPE_CHECKING:  # which would take every attribute for one that is there

        def __getattr__(self, name: str) -> Any:
            """Open the database when what only an open one has is first asked for."""
            if name not in ("identity", "ledger_id", "places", "_copied"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self._open()
            return self.__dict__[name]

    @property
    def is_copy(self) -> bool:
        """Whether this is what a machine copied of a database that is elsewhere: it knows nothing of stored objects."""
        return False

    def close(self) -> None:
        """Give all connections back, also those of stores; the next use opens new ones."""
        if "places" in self.__dict__:
            self.places.close()
        super().close()

    def __reduce__(self) -> NoReturn:
        raise TransactionError(
            f"{self!r} cannot be sent to another process: its connections belong to this one. Call simpleml.connect() there."
        )

    def __enter__(self) -> Self:
        at_work.push(self)
        return self

    def __exit__(self, *_: object) -> None:
        at_work.pop(self)

    def owns(self, key: str) -> bool:
        """Whether an object is this database's own; those of one that it was copied from are read, and nothing else."""
        return self.identity.owns(key)

    def knows(self, key: str) -> bool:
        """Whether this database, or one that it was copied from, announced an object of this key."""
        if not self.identity.knows(key):  # by an id that another process may have given since this one opened it
            found, _ = self.run(identity.look, read=True)
            self.identity = replace(self.identity, known=self.identity.known | found.known)
        return self.identity.knows(key)

    def claim(self, key: str, *, lease: float | None = None) -> Claim | None:
        """Claim the right to do what `key` stands for, until the claim is released; None if another one has it.

        Raises `TransactionError` inside a transaction, whose end would have to come before the release.
        """
        if self.in_transaction:
            raise TransactionError(
                f"{key!r} cannot be claimed inside simpleml.transaction(): others see what was made only when that ends, but the "
                "claim would be given back before. Do this before the block, or after it"
            )
        return claim(self, key, lease=lease)

    # records

    def table_of(self, kind: str) -> type[ORMPersistable]:
        """Return the mapped class of a kind; the table of a kind that users bring is made when it is first needed."""
        cls = record_class(kind)
        name = cls.__tablename__
        if name not in migrations.TABLES and name not in self._made:
            make_table(self, cls.__table__)  # type: ignore[arg-type]
            self._made.add(name)
        return cls

    def insert(self, draft: Draft) -> None:
        """Commit a new record (T3), or queue it for the end of the block."""
        self.table_of(draft.kind)
        self._take(draft)

    def insert_row(self, kind: str, row: Row, committed: Callable[[Committed], None] = lambda _: None) -> None:
        """Insert a record that was put together elsewhere, counting its version if it has none."""
        full = {**row, "filepaths": row.get("filepaths") or {}}
        self.insert(Draft(kind, full, (), lambda _: full, committed))

    def update(self, kind: str, id: UUID, values: Row) -> None:
        """Change columns of a record."""
        self.write(lambda connection: self._update(connection, kind, id, values))

    def revise(self, kind: str, id: UUID, change: Callable[[Metadata], Row]) -> None:
        """Change columns of a record to what `change` makes of its metadata, under a lock of the row (SQLite: of the file)."""
        cls = record_class(kind)
        there = select(cls.metadata_).where(cls.id == id).with_for_update(key_share=True)

        def work(connection: Connection) -> None:
            metadata = connection.execute(there).scalar() or {}  # none if there is no row: then nothing is updated
            self._update(connection, kind, id, change(metadata))

        self.write(work)

    def _update(self, connection: Connection, kind: str, id: UUID, values: Row) -> None:
        cls = record_class(kind)
        cls.check_update(connection, id, values, self.settings.grace)
        changed = update(cls.__table__).where(cls.id == id).values(**column_values(cls, values))  # type: ignore[arg-type]
        if connection.execute(changed).rowcount != 1:
            raise RecordNotFoundError(f"there is no {kind} with the id {id} (any more), so nothing was updated")

    def delete(self, kind: str, id: UUID) -> None:
        """Delete a record; `ReferencedError` lists what was made from it, or the aliases that point to it."""
        try:
            self._take(Deletion(kind, id, self.settings.grace), "delete.commit")
        except exc.IntegrityError as error:  # a child came in between
            raise self.run(lambda connection: still_referenced(connection, kind, id), read=True) from error

    def select(
        self,
        kind: str,
        filters: queries.Filters,
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """Return the records that match, as plain values under their mapped names."""
        cls = self.table_of(kind)
        statement = queries.rows(cls, filters, order_by=order_by, limit=limit, offset=offset)
        names = queries.columns(cls)

        def work(connection: Connection) -> list[Row]:
            return [dict(zip(names, row, strict=True)) for row in cells.rows(connection, cls, statement)]

        return self.run(work, read=True)

    def count(self, kind: str, filters: queries.Filters) -> int:
        """Return how many records match."""
        statement = queries.number(self.table_of(kind), filters)
        return self.run(lambda connection: connection.execute(statement).scalar_one(), read=True)

    def scope(self, kind: str) -> Scope | None:
        """Return within what the versions of a kind are counted besides the name."""
        return versions.scope_within(record_class(kind))

    def names(self, kind: str) -> list[str]:
        """Return the names in use within a kind, as many as a message can show."""
        cls: type[ORMPersistable] = record_class(kind)
        found = select(cls.name).distinct().order_by(cls.name).limit(1000)
        return self.run(lambda connection: list(connection.execute(found).scalars()), read=True)

    def columns(self, kind: str) -> tuple[str, ...]:
        """Return the names that the values of a record of this kind have."""
        return queries.columns(record_class(kind))

    def hash_of(self, kind: str, id: UUID) -> str | None:
        """Return the content hash of a record, also of one that the block will insert, or None if there is no such record."""
        queued = self._queued(id)
        if queued is not None:
            return str(queued.row["hash_"])
        cls = record_class(kind)
        found = select(cls.hash_).where(cls.id == id)
        return self.run(lambda connection: connection.execute(found).scalar(), read=True)

    def parents(self, kind: str, id: UUID) -> tuple[Parent, ...] | None:
        """Return the edges of lineage that have no typed column in the record's own table; None if there is no such record."""
        edges = self.run(lambda connection: graph.edges_of(connection, kind, id), read=True)
        if edges is None:
            return None
        if self._copied is not None:
            self._copied.keep_edges(id, edges)
        return graph.parents_in(edges)

    def lineage(self, kind: str, id: UUID, *, up: bool, down: bool, depth: int | None) -> LineageGraph:
        """Return the records around this one, as far as `depth` edges away."""
        self.table_of(kind)
        return self.run(
            lambda connection: graph.lineage(connection, kind, id, up=up, down=down, depth=depth), read=True
        )

    def remember(self, kind: str, row: Row, alias: str | None = None) -> None:
        """Copy a record that was loaded from a server (by an alias, perhaps) into the cache of this machine."""
        if self._copied is not None:
            self._copied.keep(kind, row, alias)

    def remember_parents(self, kind: str, id: UUID) -> None:
        """Copy what a record was made from that its own row does not show, unless this process did."""
        if self._copied is not None and not self._copied.has_edges(id):
            self.parents(kind, id)

    def last_version(self, kind: str, name: str, scope: str = "") -> int:
        """Return the highest version ever given out for a name, deleted ones included."""
        return self.run(lambda connection: versions.last(connection, kind, name, scope), read=True)
