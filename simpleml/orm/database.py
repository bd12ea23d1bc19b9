"""`Database`: one database with the stores that belong to it, and the transactions that everything else runs in."""

from __future__ import annotations

import functools
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, Self, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, exc, func, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from simpleml import failpoints, migrations
from simpleml.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseReadOnlyError,
    MissingDependencyError,
    RecordNotFoundError,
    StoreFullError,
    TransactionError,
    UnknownStoreError,
    known_names,
)
from simpleml.orm import dialects, versions
from simpleml.orm.blobs import BlobLedger, Operation
from simpleml.orm.deletion import children_of, delete_record, referenced
from simpleml.orm.filters import conditions, ordering
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.tables import Ledger, LineageEdge
from simpleml.orm.units import UnitOfWork, column_values
from simpleml.persistables.ports import Committed, Draft, Parent, Row
from simpleml.save_patterns.locations.local import LocalStore, make_folder
from simpleml.save_patterns.protocols import Serializer, Store
from simpleml.save_patterns.trust import Policy
from simpleml.settings import Settings

T = TypeVar("T")

Durability = Literal["relaxed", "full"] | None
"""What a commit has to survive: nothing (the sweep cures its loss), a power cut, or what the settings say."""

_URLS = "A URL looks like 'sqlite:///path.db', 'postgresql+psycopg://user:password@host/name' or 'mariadb+pymysql://…'"
_EXTRAS = {"psycopg": "postgres", "pymysql": "mysql"}
opened: weakref.WeakSet[Database] = weakref.WeakSet()
"""Every database of this process that is still in use."""


@dataclass(slots=True)
class Shelves:
    """The stores of one database by name, its ledger and its trust policy: what save patterns work with."""

    ledger: BlobLedger
    urls: Mapping[str, str]
    policy: Policy
    _stores: dict[str, Store] = field(default_factory=dict)

    def store(self, name: str) -> Store:
        """Return the store of this name, where this machine's settings say that it is."""
        found = self._stores.get(name)
        if found is None:
            if name not in self.urls:
                raise UnknownStoreError(
                    f"this machine's settings do not say where the store {name!r} is; {known_names(self.urls, near=name)}. "
                    f'Add it to simpleml.toml: [stores] {name} = "<path or URL>"'
                )
            found = self._stores.setdefault(name, open_store(name, self.urls[name]))
        return found

    def names(self) -> list[str]:
        """Return the names of all stores."""
        return sorted(self.urls)

    def allow(self, serializer: Serializer, store: str) -> None:
        """Raise `TrustError` if the trust policy forbids reading this format from this store."""
        self.policy.check(executes=serializer.executes, serializer=serializer.name, store=store)


def open_store(name: str, url: str) -> Store:
    """Return the store at `url`: a local folder, as a path or a `file://` URL."""
    scheme, found, rest = url.partition("://")
    if not found:
        return LocalStore(name, Path(url))
    if scheme == "file":
        return LocalStore(name, Path(rest))
    raise ConfigurationError(
        f"the store {name!r} is at {scheme}://…, which this version cannot reach; known: a path, file://"
    )


class Database:
    """A database, opened. Safe for threads; a forked child gets connections of its own; it cannot be pickled.

    Made by `simpleml.connect`. As a context manager it is the current database of the block.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = _parse(settings.database)
        self._prepare_folder()
        try:
            self.engine: Engine = dialects.make_engine(
                self.url, durability=settings.durability, patience=settings.lock_timeout
            )
        except ModuleNotFoundError as error:
            extra = _EXTRAS.get(error.name or "", "all")
            raise MissingDependencyError(f"{self!r} needs {error.name}: pip install 'simpleml[{extra}]'") from error
        except exc.ArgumentError as error:
            raise ConfigurationError(f"{self!r} is no database that can be opened: {error}. {_URLS}") from error
        self._engines: dict[tuple[bool, Durability, bool], Engine] = {}
        self._local = threading.local()
        self._was_up = False
        self._made: set[str] = set()
        self.ledger_id = self._open_schema()
        self._was_up = True
        policy = Policy(settings.trust, frozenset(settings.trusted_stores))
        self.places = Shelves(BlobLedger(self), settings.stores, policy)
        opened.add(self)

    def __repr__(self) -> str:
        return f"Database({self.url.set(query={}).render_as_string(hide_password=True)!r})"

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

    def close(self) -> None:
        """Give all connections back; the next use opens new ones."""
        self.engine.dispose()

    def _prepare_folder(self) -> None:
        path = self.url.database
        if self.url.get_backend_name() == "sqlite" and path and path != ":memory:" and not Path(path).exists():
            folder = Path(path).parent
            try:
                make_folder(folder)
            except OSError as error:
                raise DatabaseReadOnlyError(
                    f"cannot make the folder {folder} for the database: {error.strerror}. Give another place: connect(url), "
                    "SIMPLEML_DATABASE_URL or SIMPLEML_HOME"
                ) from error

    def _open_schema(self) -> str:
        """Return the ledger's id; a database without any table of ours gets the schema, an older or newer one is refused."""

        def look(connection: Connection) -> str | None:
            if migrations.guard(connection) == "fresh":
                return None
            return connection.execute(select(Ledger.id)).scalar_one()

        def create(connection: Connection) -> str:
            with dialects.schema_lock(connection, self.settings.lock_timeout):
                if migrations.guard(connection) == "fresh":
                    migrations.upgrade(connection)
                return connection.execute(select(Ledger.id)).scalar_one()

        return self.run(look, read=True) or self.run(create)

    def after_fork(self) -> None:
        """Give a forked child connections of its own: one that two processes share answers wrongly."""
        self.engine.dispose(close=False)
        self._local = threading.local()

    # transactions

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        read: bool = False,
        durability: Durability = None,
        snapshot: bool = False,
        landed: Callable[[Connection], T | None] | None = None,
        failpoint: str | None = None,
    ) -> T:
        """Do `work` in a transaction of its own and commit it; busy databases and lost connections are tried again.

        With `snapshot` every statement sees the same instant. After a lost connection `landed` is asked first whether the commit happened after all. Gives up after
        `lock_timeout` seconds; `exc.IntegrityError` passes through.
        """
        deadline = time.monotonic() + self.settings.lock_timeout
        unclear = False
        pause = 0.002
        while True:
            try:
                if unclear and landed is not None:
                    found = self._once(landed, read=True)
                    if found is not None:
                        return found
                return self._once(work, read=read, durability=durability, snapshot=snapshot, failpoint=failpoint)
            except exc.IntegrityError:
                if not unclear or landed is None:
                    raise
                found = self._once(landed, read=True)
                if found is None:
                    raise
                return found
            except exc.DBAPIError as error:
                gone = dialects.is_gone(error)
                unclear = unclear or gone
                if not (dialects.is_retryable(error) or (gone and self._was_up)) or time.monotonic() > deadline:
                    raise self._translated(error) from error
            except exc.TimeoutError as error:
                raise DatabaseError(
                    f"{self!r}: no connection became free within lock_timeout ({self.settings.lock_timeout} s)"
                ) from error
            time.sleep(random.uniform(0, pause))  # noqa: S311 - full jitter
            pause = min(pause * 2, 1.0)

    def _once(
        self,
        work: Callable[[Connection], T],
        *,
        read: bool = False,
        durability: Durability = None,
        snapshot: bool = False,
        failpoint: str | None = None,
    ) -> T:
        with self._engine(read=read, durability=durability, snapshot=snapshot).connect() as connection:
            with connection.begin():
                result = work(connection)
                if failpoint:
                    failpoints.reach(f"{failpoint}.before")
            if failpoint:
                failpoints.reach(f"{failpoint}.after")
        return result

    def _engine(self, *, read: bool = False, durability: Durability = None, snapshot: bool = False) -> Engine:
        """Return the engine whose transactions are of this sort; all share one pool."""
        sort = (read, durability, snapshot)
        found = self._engines.get(sort)
        if found is None:
            options: dict[str, Any] = {dialects.READ: read, dialects.DURABILITY: durability}
            if snapshot and self.url.get_backend_name() != "sqlite":  # which always reads at one instant
                options["isolation_level"] = "REPEATABLE READ"
            found = self._engines.setdefault(sort, self.engine.execution_options(**options))
        return found

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session for reading, closed with the block; what it returned is detached and complete."""
        with Session(self._engine(read=True), expire_on_commit=False) as session:
            try:
                yield session
            except exc.DBAPIError as error:
                raise self._translated(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the block together at its end, or none of them if it raises; blocks nest into the outermost."""
        if self._unit is not None:
            yield
            return
        unit = self._local.unit = UnitOfWork(self)
        try:
            yield
        except BaseException:
            self._local.unit = None
            unit.abandon()
            raise
        self._local.unit = None
        if unit.steps:
            unit.commit()

    @property
    def _unit(self) -> UnitOfWork | None:
        return getattr(self._local, "unit", None)

    def write(self, operation: Operation) -> None:
        """Do `operation` in a transaction of its own, or with the block that this thread is in."""
        if self._unit is not None:
            self._unit.steps.append(operation)
            return
        try:
            self.run(operation)
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
            changed = update(cls.__table__).where(cls.id == id).values(**column_values(cls, values))  # type: ignore[arg-type]
            if connection.execute(changed).rowcount != 1:
                raise RecordNotFoundError(f"there is no {kind} with the id {id} (any more), so nothing was updated")

        self.write(work)

    def delete(self, kind: str, id: UUID) -> None:
        """Delete a record; `ReferencedError` lists what was made from it."""
        grace = self.settings.grace

        def work(connection: Connection) -> None:
            delete_record(connection, kind, id, grace)

        if self._unit is not None:
            self._unit.steps.append(work)
            return

        def gone(connection: Connection) -> bool | None:
            cls = record_class(kind)
            return None if connection.execute(select(cls.id).where(cls.id == id)).first() else True

        def done(connection: Connection) -> bool:
            work(connection)
            return True

        try:
            self.run(done, landed=gone, failpoint="delete.commit")
        except exc.IntegrityError as error:  # a child came in between
            children = self.run(lambda connection: list(children_of(connection, kind, id)), read=True)
            raise referenced(kind, id, children or ["other records"]) from error

    def select(
        self,
        kind: str,
        filters: Mapping[str, object],
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Row]:
        """Return the records that match, as plain values under their mapped names."""
        cls = self.table_of(kind)
        statement, attributes = _selecting(cls)
        statement = statement.where(*conditions(cls, filters)).order_by(*ordering(cls, order_by))
        if limit is not None:
            statement = statement.limit(limit).offset(offset) if offset else statement.limit(limit)

        def work(connection: Connection) -> list[Row]:
            return [dict(zip(attributes, row, strict=True)) for row in connection.execute(statement)]

        return self.run(work, read=True)

    def count(self, kind: str, filters: Mapping[str, object]) -> int:
        """Return how many records match."""
        cls = self.table_of(kind)
        counted = select(func.count()).select_from(cls).where(*conditions(cls, filters))
        return self.run(lambda connection: connection.execute(counted).scalar_one(), read=True)

    def names(self, kind: str) -> list[str]:
        """Return the names in use within a kind, as many as a message can show."""
        cls: type[ORMPersistable] = record_class(kind)
        found = select(cls.name).distinct().order_by(cls.name).limit(1000)
        return self.run(lambda connection: list(connection.execute(found).scalars()), read=True)

    def parents(self, id: UUID) -> tuple[Parent, ...]:
        """Return the edges of lineage that have no typed column in the record's own table."""
        table: Any = LineageEdge.__table__
        kinds = [column.name.removesuffix("_id") for column in table.columns if column.name.endswith("_id")]

        def work(connection: Connection) -> tuple[Parent, ...]:
            rows = connection.execute(select(table).where(table.c.child == id)).mappings()
            return tuple(
                Parent(row["role"], kind, row[f"{kind}_id"]) for row in rows for kind in kinds if row[f"{kind}_id"]
            )

        return self.run(work, read=True)

    def last_version(self, kind: str, name: str, scope: str = "") -> int:
        """Return the highest version ever given out for a name, deleted ones included."""
        return self.run(lambda connection: versions.last(connection, kind, name, scope), read=True)

    def _translated(self, error: exc.DBAPIError) -> Exception:
        """Return an error of our tree: what failed, where, and what to do."""
        where = repr(self)
        if dialects.is_read_only(error):
            return DatabaseReadOnlyError(
                f"{where} refuses to be written: {error.orig}. Give this user the right to write there; nothing was changed."
            )
        if dialects.is_full(error):
            return StoreFullError(
                f"{where} has no space left: {error.orig}. Free some and try again; nothing was changed."
            )
        if dialects.is_gone(error):
            return DatabaseError(
                f"{where} cannot be reached: {error.orig}. Check the address, and that the server is up."
            )
        if dialects.is_retryable(error):
            return DatabaseError(
                f"{where} stayed busy for lock_timeout ({self.settings.lock_timeout} s): {error.orig}. Try again."
            )
        return DatabaseError(f"{where}: {error.orig}")


@functools.cache
def _selecting(cls: type[ORMPersistable]) -> tuple[Select[Any], tuple[str, ...]]:
    """Return the selection of every column of a kind, and their mapped names in order."""
    attributes = cls.__mapper__.column_attrs
    return select(*(attribute.columns[0] for attribute in attributes)), tuple(attribute.key for attribute in attributes)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except exc.ArgumentError as error:
        raise ConfigurationError(f"the database URL cannot be parsed. {_URLS}") from error
