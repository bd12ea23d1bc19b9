"""Copies of the records that were loaded from a server, in an SQLite file in the cache of this machine.

They are there for `offline = true`, beside the bytes of the artifacts.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, NullPool, create_engine, delete, event, exc, insert, or_
from sqlalchemy.engine import URL, make_url

from simpleml import encoding, migrations
from simpleml.errors import SimpleMLError
from simpleml.hashing.digester import digester
from simpleml.orm.identity import Identity
from simpleml.orm.interrupts import SQLiteConnection
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.tables import Alias, Ledger, LineageEdge
from simpleml.orm.units import column_values
from simpleml.orm.versions import counter_of
from simpleml.persistables.ports import Row
from simpleml.save_patterns.locations.disk import make_folder
from simpleml.settings import Settings

_log = logging.getLogger(__name__)
_edges: Any = LineageEdge.__table__
_aliases: Any = Alias.__table__
_KEPT = 10_000  # how many records a process remembers having copied


def is_server(url: URL) -> bool:
    """Whether a database answers over a network, or as a process of its own."""
    return url.get_backend_name() != "sqlite"


def path_of(settings: Settings) -> Path:
    """Return where the records of a database are copied to: a file for each server, database and user."""
    named = digester()
    named.update(make_url(settings.database).set(password=None, query={}).render_as_string().encode())
    return settings.cache / "records" / f"{named.hexdigest()[:32]}.sqlite"


def records_kept(settings: Settings, url: URL, identity: Identity) -> RecordCopy | None:
    """Return where the records of a database are copied to, if it is a server and there is a cache at all."""
    wanted = is_server(url) and settings.cache_size > 0 and not settings.offline
    return RecordCopy(path_of(settings), identity) if wanted else None


class RecordCopy:
    """Copies records into a file of this machine. Losing one costs nothing but that it cannot be loaded offline."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self._identity = identity
        self._kept: dict[tuple[object, ...], object] = {}  # what this process wrote last, under what
        self._ready = False
        self._broken = False
        # No foreign keys: what a record was made from may never have been loaded here.
        self._engine: Engine = create_engine(
            URL.create("sqlite", database=str(path)),
            poolclass=NullPool,
            connect_args={"timeout": 5, "factory": SQLiteConnection},
            json_serializer=encoding.dumps,
            json_deserializer=encoding.loads,
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", _prepare_connection)
        event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

    def keep(self, kind: str, row: Row, alias: str | None = None) -> None:
        """Copy one record, as it is now, and the alias by which it was found."""
        cls = record_class(kind)
        table: Any = cls.__table__

        def work(connection: Connection) -> None:
            if table.name not in migrations.TABLES:
                table.create(connection, checkfirst=True)
            connection.execute(delete(table).where(or_(table.c.id == row["id"], _same_version(cls, row))))
            connection.execute(insert(table), column_values(cls, row))

        self._write(("record", row["id"]), row["modified_timestamp"], work)
        if alias is not None:
            self._keep_alias({**counter_of(cls, row), "alias": alias}, row)

    def _keep_alias(self, key: dict[str, str], row: Row) -> None:
        def work(connection: Connection) -> None:
            connection.execute(delete(_aliases).where(*(_aliases.c[name] == value for name, value in key.items())))
            connection.execute(insert(_aliases), {**key, "record": row["id"], "version": row["version"]})

        self._write(("alias", *key.values()), row["id"], work)

    def has_edges(self, child: UUID) -> bool:
        """Whether this process copied what a record was made from, or cannot copy anything."""
        return self._broken or ("edges", child) in self._kept

    def keep_edges(self, child: UUID, rows: Sequence[dict[str, Any]]) -> None:
        """Copy what a record was made from."""

        def work(connection: Connection) -> None:
            connection.execute(delete(_edges).where(_edges.c.child == child))
            if rows:
                connection.execute(insert(_edges), list(rows))

        self._write(("edges", child), True, work)

    def _write(self, key: tuple[object, ...], value: object, work: Callable[[Connection], None]) -> None:
        """Do `work`, which writes `value` under `key`, unless this process wrote the same there last."""
        if self._broken or self._kept.get(key) == value:
            return
        try:
            self._prepare()
            with self._engine.begin() as connection:
                work(connection)
        except (exc.SQLAlchemyError, OSError, SimpleMLError) as error:
            self._broken = True
            _log.warning("records are not kept for offline use, because %s cannot be written: %s", self.path, error)
            return
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[key] = value

    def _prepare(self) -> None:
        """Make the file, or make it anew if it is of another database or another version of the schema."""
        if self._ready:
            return
        make_folder(self.path.parent)
        with self._engine.begin() as connection:
            found = migrations.revision_of(connection)
        if found not in (None, migrations.HEAD):
            for end in ("-wal", "-shm", ""):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
        with self._engine.begin() as connection:
            if migrations.revision_of(connection) is None:
                migrations.upgrade(connection)
            connection.execute(delete(Ledger))
            ids = enumerate(self._identity.ids, 1)
            connection.execute(insert(Ledger), [{"number": number, "id": each} for number, each in ids])
        self.path.chmod(0o600)
        self._ready = True


def _prepare_connection(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # the driver's own transactions begin after the tables were looked at
    connection.execute("PRAGMA synchronous=OFF")  # what a power cut takes is loaded again


def _same_version(cls: type[ORMPersistable], row: Row) -> Any:
    same = (cls.name == row["name"]) & (cls.version == row["version"])
    return same & (getattr(cls, cls.scope) == row[cls.scope]) if cls.scope else same
