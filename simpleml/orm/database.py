"""`Database`: one database with the stores that belong to it; it keeps, finds and deletes records."""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, exc, func, select, update

from simpleml import migrations
from simpleml.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseReadOnlyError,
    OfflineError,
    RecordNotFoundError,
    TransactionError,
)
from simpleml.orm import dialects, identity, versions
from simpleml.orm.aliases import Aliases, is_aliased
from simpleml.orm.blobs import Operation
from simpleml.orm.claims import Claim, claim
from simpleml.orm.deletion import Deletion, children_of, referenced
from simpleml.orm.filters import conditions, counted, ordering
from simpleml.orm.graph import lineage
from simpleml.orm.identity import Identity
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.record_copies import RecordCopy, is_server, records_kept
from simpleml.orm.shelves import Shelves
from simpleml.orm.tables import LineageEdge
from simpleml.orm.tags import Tags, is_tagged
from simpleml.orm.transactions import Transactions
from simpleml.orm.units import UnitOfWork, column_values
from simpleml.persistables.graph import LineageGraph
from simpleml.persistables.labels import ALIASED, TAGGED
from simpleml.persistables.ports import Committed, Draft, Parent, Row
from simpleml.settings import Settings

_log = logging.getLogger(__name__)

opened: weakref.WeakSet[Transactions] = weakref.WeakSet()
"""Every database of this process that is still in use."""


def given_settings(url: str | Path | None, **arguments: Any) -> Settings:
    """Return the settings in force, under a database given as a path or a URL, under other settings by name."""
    if url is not None:
        arguments["database_url"] = _as_url(url)
    return Settings.load(**arguments)


def _as_url(given: object) -> str:
    """Return a path or a URL as a URL."""
    if not isinstance(given, str | Path) or not str(given).strip():
        raise ConfigurationError(
            f"the database is given as {given!r:.80} ({type(given).__name__}), but must be a path or a URL; leave it out for the "
            "one that the settings name"
        )
    return str(given) if "://" in str(given) else f"sqlite:///{Path(given).expanduser().absolute()}"


_units = threading.local()  # the blocks that each thread is in, by ledger


class Database(Transactions):
    """A database, opened. Safe for threads; a forked child gets connections of its own; it cannot be pickled.

    Made by `simpleml.connect`, or by `Database().initialize()`. As a context manager it is the current database of the block.
    Without settings it takes those in force (and `uri`, or any other by name), and looks at its schema when it is first used.
    """

    identity: Identity
    ledger_id: str
    places: Shelves
    _copied: RecordCopy | None

    def __init__(self, settings: Settings | None = None, *, uri: str | Path | None = None, **arguments: Any) -> None:
        super().__init__(settings or given_settings(uri, **arguments))
        if settings is None and self.settings.offline and is_server(self.url):
            raise OfflineError(
                f"offline = true, so {self!r} cannot be opened: simpleml.connect() gives what is copied here"
            )
        self._made: set[str] = set()
        opened.add(self)
        self.aliases, self.tags = Aliases(self), Tags(self)
        if settings is not None:
            self._open()

    def initialize(self, *, upgrade: bool = False) -> Self:
        """Open the database, make it the current one of this process, and return it.

        With `upgrade` an older schema is brought up to date first; without, it is refused, as `connect` does. A database
        without any table of ours gets the schema.
        """
        from simpleml.orm.connections import adopt

        if upgrade:
            self.run(self._upgrade_schema)
        self._open()
        adopt(self)
        return self

    def _open(self) -> None:
        """Look at the schema, make one where there is none, and get at the stores."""
        self.identity = self._open_schema()
        self.ledger_id = self.identity.current
        self._copied = records_kept(self.settings, self.url, self.identity)
        self._was_up = True
        self.places = Shelves.of(self)

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
        from simpleml.orm.connections import push

        push(self)
        return self

    def __exit__(self, *_: object) -> None:
        from simpleml.orm.connections import pop

        pop(self)

    def _open_schema(self) -> Identity:
        """Return who it is; a database without any table of ours gets the schema, an older or newer one is refused."""

        def look(connection: Connection) -> tuple[Identity, bool] | None:
            return None if migrations.guard(connection) == "fresh" else identity.look(connection)

        found = self.run(look, read=True)
        if found is None:
            return self.run(self._make_schema)
        who, settled = found
        return who if settled or self.is_copy else self._settle(who)

    def _make_schema(self, connection: Connection) -> Identity:
        with dialects.schema_lock(connection, self.settings.lock_timeout):
            if migrations.guard(connection) == "fresh":
                migrations.upgrade(connection)
            return identity.settle(connection)[0]

    def _settle(self, who: Identity) -> Identity:
        """Return who the database is at the place where it is now, and say so if it was another one that it was copied from."""
        try:
            who, moved = self.run(identity.settle)
        except DatabaseReadOnlyError:  # what it holds can be read
            return who
        if moved:
            _log.warning(
                "%r is a copy of another database, or was moved. What is saved in it from now on is its own. The objects that "
                "its records refer to already are left to that other database: they can be read here for as long as that one "
                "keeps them, and gc does not remove them. If there is no other one (any more), run: simpleml db adopt",
                self,
            )
        return who

    def owns(self, key: str) -> bool:
        """Whether an object is this database's own; those of one that it was copied from are read, and nothing else."""
        return self.identity.owns(key)

    def knows(self, key: str) -> bool:
        """Whether this database, or one that it was copied from, announced an object of this key."""
        if not self.identity.knows(key):  # by an id that another process may have given since this one opened it
            found, _ = self.run(identity.look, read=True)
            self.identity = replace(self.identity, known=self.identity.known | found.known)
        return self.identity.knows(key)

    def _upgrade_schema(self, connection: Connection) -> None:
        with dialects.schema_lock(connection, self.settings.lock_timeout):
            migrations.upgrade(connection)

    def after_fork_in_child(self) -> None:
        """Give a forked child connections of its own, and no block that its parent is in."""
        super().after_fork_in_child()
        _units.by_ledger = {}

    # transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the block together at its end, or none of them if it raises.

        Blocks nest into the outermost: an inner one that raises is taken back alone, and is committed with the outer one.
        """
        outer = self._unit
        unit = outer or UnitOfWork(self)
        mark = unit.mark()
        _units.by_ledger = {**self._open_units(), self.ledger_id: unit}
        try:
            yield
        except BaseException:
            unit.abandon(mark)
            raise
        finally:
            if outer is None:
                _units.by_ledger = {key: open_ for key, open_ in self._open_units().items() if open_ is not unit}
        if outer is None and unit.steps:
            unit.commit()

    @staticmethod
    def _open_units() -> dict[str, UnitOfWork]:
        found: dict[str, UnitOfWork] = getattr(_units, "by_ledger", {})
        return found

    @property
    def _unit(self) -> UnitOfWork | None:
        """The block that this thread is in, whichever of several connections to this database began it."""
        return self._open_units().get(self.ledger_id)

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in a block of `transaction()` on this database."""
        return self._unit is not None

    def claim(self, key: str, *, lease: float | None = None) -> Claim | None:
        """Claim the right to do what `key` stands for, until the claim is released; None if another one has it."""
        return claim(self, key, lease=lease)

    def write(self, operation: Operation) -> None:
        """Do `operation` in a transaction of its own, or with the block that this thread is in."""
        if self._unit is not None:
            self._unit.steps.append(operation)
            return
        try:
            UnitOfWork(self, [operation]).commit()
        except exc.IntegrityError as error:
            raise DatabaseError(f"{self!r} refused the row: {error.orig}") from error

    # records

    def table_of(self, kind: str) -> type[ORMPersistable]:
        """Return the mapped class of a kind; the table of a kind that users bring is made when it is first needed."""
        cls = record_class(kind)
        name = cls.__tablename__
        if name not in migrations.TABLES and name not in self._made:

            def make(connection: Connection) -> None:
                with dialects.schema_lock(connection, self.settings.lock_timeout):
                    cls.__table__.create(connection, checkfirst=True)  # type: ignore[attr-defined]

            self.run(make)
            self._made.add(name)
        return cls

    def insert(self, draft: Draft) -> None:
        """Commit a new record (T3), or queue it for the end of the block."""
        self.table_of(draft.kind)
        unit = self._unit
        if unit is not None:
            unit.steps.append(draft)
        else:
            UnitOfWork(self, [draft]).commit()

    def insert_row(self, kind: str, row: Row, committed: Callable[[Committed], None] = lambda _: None) -> None:
        """Insert a record that was put together elsewhere, counting its version if it has none."""
        full = {**row, "filepaths": row.get("filepaths") or {}}
        self.insert(Draft(kind, full, (), lambda _: full, committed))

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Call `undo` if the block that this thread is in is not committed; outside of one, never."""
        if self._unit is not None:
            self._unit.undo.append(undo)

    def is_queued(self, id: UUID) -> bool:
        """Whether the block that this thread is in will insert the record with this id."""
        return self._unit is not None and any(draft.id == id for draft in self._unit.drafts)

    def update(self, kind: str, id: UUID, values: Row) -> None:
        """Change columns of a record."""
        cls = record_class(kind)

        def work(connection: Connection) -> None:
            cls.check_update(connection, id, values, self.settings.grace)
            changed = update(cls.__table__).where(cls.id == id).values(**column_values(cls, values))  # type: ignore[arg-type]
            if connection.execute(changed).rowcount != 1:
                raise RecordNotFoundError(f"there is no {kind} with the id {id} (any more), so nothing was updated")

        self.write(work)

    def delete(self, kind: str, id: UUID) -> None:
        """Delete a record; `ReferencedError` lists what was made from it, or the aliases that point to it."""
        deletion = Deletion(kind, id, self.settings.grace)
        if self._unit is not None:
            self._unit.steps.append(deletion)
            return
        try:
            UnitOfWork(self, [deletion], failpoint="delete.commit").commit()
        except exc.IntegrityError as error:  # a child came in between
            children = self.run(lambda connection: list(children_of(connection, kind, id)), read=True)
            raise referenced(kind, id, children or ["other records"]) from error

    def select(
        self,
        kind: str,
        filters: Mapping[str, object] | Sequence[Mapping[str, object]],
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """Return the records that match, as plain values under their mapped names."""
        cls = self.table_of(kind)
        statement, attributes = _selecting(cls)
        statement = statement.where(*_all_conditions(cls, filters)).order_by(*ordering(cls, order_by))
        if limit is not None:
            statement = statement.limit(counted("limit", limit))
            statement = statement.offset(counted("offset", offset)) if offset else statement

        def work(connection: Connection) -> list[Row]:
            return [dict(zip(attributes, row, strict=True)) for row in connection.execute(statement)]

        return self.run(work, read=True)

    def count(self, kind: str, filters: Mapping[str, object] | Sequence[Mapping[str, object]]) -> int:
        """Return how many records match."""
        cls = self.table_of(kind)
        statement = select(func.count()).select_from(cls).where(*_all_conditions(cls, filters))
        return self.run(lambda connection: connection.execute(statement).scalar_one(), read=True)

    def names(self, kind: str) -> list[str]:
        """Return the names in use within a kind, as many as a message can show."""
        cls: type[ORMPersistable] = record_class(kind)
        found = select(cls.name).distinct().order_by(cls.name).limit(1000)
        return self.run(lambda connection: list(connection.execute(found).scalars()), read=True)

    def columns(self, kind: str) -> tuple[str, ...]:
        """Return the names that the values of a record of this kind have."""
        return _selecting(record_class(kind))[1]

    def hash_of(self, kind: str, id: UUID) -> str | None:
        """Return the content hash of a record, also of one that the block will insert, or None if there is no such record."""
        queued = [draft for draft in self._unit.drafts if draft.id == id] if self._unit is not None else []
        if queued:
            return str(queued[0].row["hash_"])
        cls = record_class(kind)
        found = select(cls.hash_).where(cls.id == id)
        return self.run(lambda connection: connection.execute(found).scalar(), read=True)

    def parents(self, kind: str, id: UUID) -> tuple[Parent, ...] | None:
        """Return the edges of lineage that have no typed column in the record's own table; None if there is no such record."""
        cls = record_class(kind)
        table: Any = LineageEdge.__table__
        kinds = [column.name.removesuffix("_id") for column in table.columns if column.name.endswith("_id")]

        found = select(table).join_from(cls, table, table.c.child == cls.id, isouter=True).where(cls.id == id)
        read = self.run(lambda connection: connection.execute(found).mappings().all(), read=True)
        if not read:
            return None
        rows = [dict(row) for row in read if row["child"] is not None]
        if self._copied is not None:
            self._copied.keep_edges(id, rows)
        return tuple(
            Parent(row["role"], kind, row[f"{kind}_id"]) for row in rows for kind in kinds if row[f"{kind}_id"]
        )

    def lineage(self, kind: str, id: UUID, *, up: bool, down: bool, depth: int | None) -> LineageGraph:
        """Return the records around this one, as far as `depth` edges away."""
        return lineage(self, kind, id, up=up, down=down, depth=depth)

    def remember(self, kind: str, row: Row, alias: str | None = None) -> None:
        """Copy a record that was loaded from a server (by an alias, perhaps) into the cache of this machine."""
        if self._copied is not None:
            self._copied.keep(kind, row, alias)

    def last_version(self, kind: str, name: str, scope: str = "") -> int:
        """Return the highest version ever given out for a name, deleted ones included."""
        return self.run(lambda connection: versions.last(connection, kind, name, scope), read=True)


def _all_conditions(
    cls: type[ORMPersistable], filters: Mapping[str, object] | Sequence[Mapping[str, object]]
) -> list[ColumnElement[bool]]:
    several = [filters] if isinstance(filters, Mapping) else filters
    return [condition for each in several for condition in _conditions(cls, each)]


def _conditions(cls: type[ORMPersistable], filters: Mapping[str, object]) -> list[ColumnElement[bool]]:
    found = conditions(cls, {key: value for key, value in filters.items() if key not in (ALIASED, TAGGED)})
    if ALIASED in filters:
        found.append(is_aliased(cls, filters[ALIASED], filters.get("name")))
    if TAGGED in filters:
        found.append(is_tagged(cls, filters[TAGGED]))
    return found


@functools.cache
def _selecting(cls: type[ORMPersistable]) -> tuple[Select[Any], tuple[str, ...]]:
    """Return the selection of every column of a kind, and their mapped names in order."""
    attributes = cls.__mapper__.column_attrs
    return select(*(attribute.columns[0] for attribute in attributes)), tuple(attribute.key for attribute in attributes)
