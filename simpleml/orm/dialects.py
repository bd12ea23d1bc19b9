"""Everything that differs between SQLite, PostgreSQL and MariaDB: the engine, the clock, one upsert, locks."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    bindparam,
    case,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.engine import URL
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.functions import FunctionElement

from simpleml import encoding
from simpleml.encoding.faults import short
from simpleml.errors import DatabaseError, EncodingError
from simpleml.hashing.digester import digester
from simpleml.orm.failures import BUSY_SQLITE

if TYPE_CHECKING:
    from simpleml.orm.locations.bulk import Bulk

READ = "simpleml_read"  # execution option: this transaction only reads
DURABILITY = "simpleml_durability"  # execution option: "relaxed" (the sweep cures its loss), "full", or None: as set
STAGED = "simpleml_staged"
"""What a database in memory is attached as, until the connection goes back to its pool; also the mark that it is."""
_ANSWER = 10  # seconds in which a server has to answer at all
_SYNCHRONOUS = {
    "NORMAL": "PRAGMA synchronous=NORMAL",
    "FULL": "PRAGMA synchronous=FULL",
    "EXTRA": "PRAGMA synchronous=EXTRA",
}
_ON_AND_ON = {
    "mariadb": "SET SESSION max_recursive_iterations = 4294967295",
    "mysql": "SET SESSION cte_max_recursion_depth = 4294967295",
}
_UPGRADE_LOCK = 7_301_559_246  # advisory lock of schema changes

Dialect = Literal["sqlite", "postgresql", "mysql"]


def dialect_of(bind: Connection | Engine) -> Dialect:
    """Return which of the three families a connection speaks; MariaDB counts as MySQL."""
    name = bind.dialect.name
    return "mysql" if name == "mariadb" else name  # type: ignore[return-value]


def make_engine(url: URL, *, durability: Literal["full", "normal"], patience: float) -> Engine:
    """Return an engine that keeps our promises: real transactions, durable commits, no waiting for ever, no stale connection."""
    options: dict[str, Any] = {
        "json_serializer": encoding.dumps,
        "json_deserializer": from_json,
        "hide_parameters": True,
        "pool_timeout": max(patience, 1.0),
    }
    family = url.get_backend_name()
    if family == "sqlite":
        memory = url.database in (None, "", ":memory:")
        # A database in memory lives in its one connection, which threads share in turns.
        pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if memory else {}
        options.update(poolclass=QueuePool, connect_args={"timeout": patience, "check_same_thread": False}, **pool)
    else:
        options.update(pool_pre_ping=True, pool_recycle=1800, isolation_level="READ COMMITTED")
        options["connect_args"] = _connect_args(url)
    engine = create_engine(url, **options)
    if family == "sqlite":
        _prepare_sqlite(engine, durability, patience)
    elif family == "postgresql":
        _prepare_postgresql(engine, durability)
    else:
        _prepare_mysql(engine)
    return engine


def durability_of(url: URL) -> str:
    """Say when a durable transaction is on the medium, and by whose word."""
    if url.get_backend_name() != "sqlite":
        return "when put returns, if the server flushes its log at a commit, as PostgreSQL and MariaDB do unless set otherwise"
    if url.database in (None, "", ":memory:"):
        return "never: the database is in the memory of this process, and ends with it"
    return "when put returns: that transaction is committed with synchronous=FULL or EXTRA, and with it those before"


def _connect_args(url: URL) -> dict[str, Any]:
    """Return what the driver is told besides the URL: an address that never answers is given up within ten seconds."""
    limit: dict[str, Any] = {} if "connect_timeout" in url.query else {"connect_timeout": _ANSWER}
    if url.get_driver_name() == "pymysql":
        # It waits for the server's first words with the timeout of reading, which `_prepare_mysql` then lifts.
        reading = {} if "read_timeout" in url.query else {"read_timeout": _ANSWER}
        return {"charset": "utf8mb4", **limit, **reading}
    if url.get_driver_name() != "psycopg":
        return {}
    if (prepared := url.query.get("prepare_threshold")) is not None:  # which poolers of connections may not know
        limit["prepare_threshold"] = int(str(prepared)) if str(prepared).isdecimal() else None
    # What a server, a database or an environment says of encodings would be that of text in binary rows too.
    return {"client_encoding": "utf8", **limit}


def from_json(text: str | bytes) -> object:
    """Decode the text of a JSON column, which psycopg hands over as bytes; `EncodingError` if somebody put anything else there."""
    try:
        return encoding.loads(text if isinstance(text, str) else str(text, "utf-8"))
    except UnicodeDecodeError as error:
        raise EncodingError(f"this is no valid JSON ({error}): {short(text)}") from error


def _prepare_sqlite(engine: Engine, durability: str, patience: float) -> None:
    """Take transactions into our own hands: the driver's would begin too late, and wait too little."""

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA case_sensitive_like=ON")  # as on every other database; ilike folds the case itself
        # Without write-ahead logging FULL may lose a commit at a power cut; EXTRA flushes the journal's removal too.
        full = "FULL" if _use_wal(connection, patience) else "EXTRA"
        usual = full if durability == "full" else "NORMAL"
        connection.execute(_SYNCHRONOUS[usual])
        record.info.update(full=full, usual=usual, synchronous=usual)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get(READ):
            connection.exec_driver_sql("BEGIN")
            return
        asked = options.get(DURABILITY)
        wanted = "NORMAL" if asked == "relaxed" else connection.info["full" if asked == "full" else "usual"]
        if connection.info.get("synchronous") != wanted:
            connection.exec_driver_sql(_SYNCHRONOUS[wanted])
            connection.info["synchronous"] = wanted
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(engine, "checkin")
    def checkin(connection: sqlite3.Connection | None, record: Any) -> None:
        if record.info.pop(STAGED, False) and connection is not None:  # it could not leave within the transaction
            connection.execute("DETACH simpleml_staged")


def _use_wal(connection: sqlite3.Connection, patience: float) -> bool:
    """Switch the file to write-ahead logging, if its file system can; first users at once get in each other's way and wait."""
    deadline = time.monotonic() + patience
    while True:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode in ("wal", "memory"):
            return True
        try:
            return bool(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in BUSY_SQLITE or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - jitter


def _prepare_postgresql(engine: Engine, durability: str) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        if not connection.info.parameter_status("DateStyle").startswith("ISO"):  # psycopg reads no other moments
            connection.execute("SET datestyle = 'ISO, YMD'")
            connection.commit()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        asked = connection.get_execution_options().get(DURABILITY)
        if asked == "relaxed" or (durability == "normal" and asked != "full"):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")


def _prepare_mysql(engine: Engine) -> None:
    @event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy looks how names are quoted
    def connect(connection: Any, record: Any) -> None:
        if getattr(connection, "_read_timeout", None) == _ANSWER:
            connection._read_timeout = None  # noqa: SLF001 - pymysql has no other way to wait for as long as a lock takes
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'")


class epoch_now(FunctionElement[float]):  # noqa: N801 - it is an SQL function
    """The database's own clock, in seconds since 1970 with fractions: what leases are measured by."""

    type = Double()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _sqlite_now(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _postgresql_now(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(epoch_now, "mysql")
@compiles(epoch_now, "mariadb")
def _mysql_now(element: Any, compiler: Any, **options: Any) -> str:
    return "CAST(unix_timestamp(sysdate(6)) AS double)"


def prepare_recursion(connection: Connection) -> None:
    """Let the recursive query of this transaction go on until nothing new is found, by the indexes at every step.

    MariaDB would stop after 1000 steps and say nothing. PostgreSQL takes each step for a big one, and would read whole tables.
    """
    family = dialect_of(connection)
    if family == "mysql":
        mariadb = getattr(connection.dialect, "is_mariadb", False)
        connection.exec_driver_sql(_ON_AND_ON["mariadb" if mariadb else "mysql"])
    elif family == "postgresql":
        off = (func.set_config(f"enable_{way}join", "off", literal(True)) for way in ("hash", "merge"))  # till it ends
        connection.execute(select(*off))


def count_up(connection: Connection, table: Table, key: dict[str, str], at_least: int | None = None) -> int:
    """Add one to the counter of `key` (or raise it to `at_least`) and return it; the row stays locked until the commit."""
    family = dialect_of(connection)
    statement = _counting(family, table, tuple(key), at_least is not None)
    counted = connection.execute(statement, {**key, "start": at_least or 1})
    if family == "mysql":
        counted = connection.execute(select(func.last_insert_id()))
    return int(counted.scalar_one())


@functools.cache
def _counting(family: Dialect, table: Table, key: tuple[str, ...], raising: bool) -> Any:
    """Return the upsert of a counter: `start` for a new row, else one more, or at least `start`."""
    last = table.c.last
    start: BindParameter[int] = bindparam("start", type_=Integer)
    following: ColumnElement[int] = case((last < start, start), else_=last) if raising else last + 1
    names: dict[str, BindParameter[str]] = {name: bindparam(name) for name in key}
    if family == "mysql":
        from sqlalchemy.dialects import mysql

        count = mysql.insert(table).values(**names, last=func.last_insert_id(start))
        return count.on_duplicate_key_update(last=func.last_insert_id(following))
    if family == "postgresql":
        from sqlalchemy.dialects import postgresql

        upsert: Any = postgresql.insert(table)
    else:
        from sqlalchemy.dialects import sqlite

        upsert = sqlite.insert(table)
    counted = upsert.values(**names, last=start)
    return counted.on_conflict_do_update(index_elements=list(key), set_={"last": following}).returning(last)


def insert_missing(
    connection: Connection, table: Table, columns: tuple[str, ...], source: Select[*tuple[Any, ...]]
) -> bool:
    """Insert the row that `source` gives, unless one with its primary key is there; return whether `source` gave one."""
    same = {columns[0]: table.c[columns[0]]}  # the row that is there counts as one, and stays as it is
    family = dialect_of(connection)
    if family == "mysql":
        from sqlalchemy.dialects import mysql

        kept = mysql.insert(table).from_select(columns, source).on_duplicate_key_update(**same)
    else:
        from sqlalchemy.dialects import postgresql, sqlite

        upsert: Any = postgresql.insert(table) if family == "postgresql" else sqlite.insert(table)
        upsert = upsert.from_select(columns, source)
        kept = upsert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=same)
    return connection.execute(kept.execution_options(preserve_rowcount=True)).rowcount > 0


def bulk(connection: Connection | Engine) -> Bulk:
    """Return the way in which this database takes and gives many rows at once."""
    from simpleml.orm.locations import bulk as ways

    families: dict[Dialect, Bulk] = {
        "sqlite": ways.SQLiteBulk(),
        "postgresql": ways.PostgreSQLBulk(),
        "mysql": ways.MySQLBulk(),
    }
    return families[dialect_of(connection)]


def has_namespace(connection: Connection, name: str) -> bool | None:
    """Whether this user may make tables in the schema `name`; None if it is not there and may be made, where there are such."""
    if dialect_of(connection) != "postgresql":
        return False
    if connection.execute(select(func.to_regnamespace(name))).scalar() is None:
        may = connection.execute(select(func.has_database_privilege(func.current_database(), "CREATE"))).scalar_one()
        return None if may else False
    return all(
        connection.execute(select(func.has_schema_privilege(name, right))).scalar() for right in ("CREATE", "USAGE")
    )


def index_of(name: str, column: Column[Any]) -> Index:
    """Return an index on a column; where text and bytes may be long, MariaDB takes their beginning."""
    length = 191 if isinstance(column.type, Text | LargeBinary) else None
    return Index(name, column, mysql_length=length, mariadb_length=length)


def place_of(connection: Connection) -> str | None:
    """Return what tells the place of this database from that of any copy of it, as a digest; None if nothing does.

    It outlives updates and a new name of an SQLite file; restarts too, but for file systems that number themselves anew, as XFS
    and those of macOS may. A clone of a whole disk or server is at the same place.
    """
    known = {"sqlite": _file_place, "postgresql": _postgresql_place, "mysql": _mysql_place}[dialect_of(connection)](
        connection
    )
    return None if known is None else _digest(known)


def former_place_of(connection: Connection) -> str | None:
    """Return what `place_of` said of this place when an SQLite file was known by its own number alone; None elsewhere."""
    known = _file_place(connection) if dialect_of(connection) == "sqlite" else None
    return None if known is None else _digest(known.partition(" ")[0])


def _digest(place: str) -> str:
    hasher = digester()
    hasher.update(place.encode())
    return hasher.hexdigest()


def _file_place(connection: Connection) -> str | None:
    """Return the numbers of the file and of its file system: fresh volumes give their first files the same ones.

    Nothing is opened for that: closing the file again would end the locks that SQLite has on it.
    """
    listed = connection.exec_driver_sql("PRAGMA database_list").all()
    path = next(file for _, name, file in listed if name == "main")
    if not path:
        return None
    try:
        found = os.stat(path)
        volume = found.st_dev if sys.platform == "win32" else os.statvfs(path).f_fsid
    except OSError:  # it was moved away while it is open
        return None
    return f"{found.st_ino} {volume}" if found.st_ino else None


def _postgresql_place(connection: Connection) -> str:
    """Return the cluster, or the table where nobody may ask for that one, the database and the schema of our tables.

    What everybody may ask for is asked, so that all users get the same answer.
    """
    database, name, table, schema, allowed = connection.exec_driver_sql(
        "SELECT d.oid, d.datname, c.oid, c.relnamespace::regnamespace::text, "
        "has_function_privilege('public', to_regprocedure('pg_catalog.pg_control_system()'), 'EXECUTE') "
        "FROM pg_database d, pg_class c WHERE d.datname = current_database() AND c.oid = to_regclass('ledger')"
    ).one()
    if allowed:
        cluster = connection.exec_driver_sql("SELECT system_identifier FROM pg_control_system()").scalar_one()
        return f"{cluster} {database} {schema}"
    return f"{database} {name} {table} {schema}"


def _mysql_place(connection: Connection) -> str | None:
    """Return the server and the schema; MariaDB's server has no lasting number, but the table an instant at which it was made.

    The nodes of a Galera cluster are one database with several answers, so there is none.
    """
    wanted = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('server_uuid', 'wsrep_on')"
    server = {name.lower(): value for name, value in connection.exec_driver_sql(wanted)}
    schema, made = connection.exec_driver_sql(
        "SELECT table_schema, unix_timestamp(create_time) FROM information_schema.tables "
        "WHERE table_schema = database() AND table_name = 'ledger'"
    ).one()
    known = server.get("server_uuid") or made
    return None if known is None or server.get("wsrep_on") == "ON" else f"{known} {schema}"


@contextlib.contextmanager
def schema_lock(connection: Connection, patience: float) -> Iterator[None]:
    """Let one process at a time change the schema; on SQLite the transaction itself does (`BEGIN IMMEDIATE`)."""
    family = dialect_of(connection)
    if family == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        yield
    elif family == "mysql":  # its DDL commits by itself, so the lock belongs to the session
        name = select(func.concat("simpleml-", func.left(func.md5(func.database()), 40)))
        if connection.execute(select(func.get_lock(name.scalar_subquery(), int(patience) + 1))).scalar_one() != 1:
            raise DatabaseError("another process has been changing the schema for longer than lock_timeout; try again")
        try:
            yield
        finally:
            connection.execute(select(func.release_lock(name.scalar_subquery())))
    else:
        yield
