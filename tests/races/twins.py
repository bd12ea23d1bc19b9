"""The package with one thing wrong each time, put into one process by name. The check of the claim must find it."""

from __future__ import annotations

import shutil
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import BrokenBarrierError, Thread
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Table, event, exists, func, insert, select, update

from simpleml import failpoints, migrations
from simpleml.orm import backup, blobs, failures, forks, housekeeping, identity, units, versions
from simpleml.orm import database as databases
from simpleml.orm.database import Database
from simpleml.orm.housekeeping import collection
from simpleml.orm.persistable import record_class
from simpleml.orm.tables import Base, Blob, BlobRef, BlobState, Ledger
from simpleml.persistables.ports import Draft
from simpleml.save_patterns.locations.keys import ledger_folder
from simpleml.save_patterns.locations.local import LocalStore
from tests.races.crew import PATIENCE, pause

_blobs: Any = Blob.__table__
_refs: Any = BlobRef.__table__


def put_in(name: str, *arguments: Any) -> None:
    """Put the fault of this name into this process; no name, no fault."""
    if name:
        FAULTS[name](*arguments)


def highest_plus_one() -> None:
    """The version is the highest that is there plus one, asked for before the transaction; there is no counter."""
    true = Database.insert
    asked: dict[Any, int] = {}

    def wrong(self: Database, draft: Draft) -> None:
        cls = record_class(draft.kind)
        highest = select(func.max(cls.version)).where(cls.name == draft.row["name"])
        found = self.run(lambda connection: connection.execute(highest).scalar(), read=True)
        asked[draft.row["id"]] = (found or 0) + 1
        failpoints.reach("twin.asked")
        true(self, draft)

    Database.insert = wrong
    versions.allocate = lambda *given, **_: asked[given[2]["id"]]


def look_then_create(gate: Any) -> None:
    """The first user looks whether there are tables and then makes them, without a lock and a second look."""

    def wrong(database: Database, **_: Any) -> identity.Identity:
        fresh = database.run(lambda connection: migrations.revision_of(connection) is None, read=True)
        gate.wait(PATIENCE)
        if fresh:
            with database.engine.begin() as connection:
                Base.metadata.create_all(connection, checkfirst=False)
                connection.execute(insert(Ledger).values(number=1, id=uuid4().hex))
        return database.run(identity.look, read=True)[0]

    databases.open_schema = wrong


def unchecked_commit() -> None:
    """The commit updates its blob rows and does not look whether that found them usable."""

    def wrong(connection: Connection, wanted: Any, grace: float) -> None:
        for record, key in sorted(wanted, key=lambda pair: pair[1]):
            values = {"state": BlobState.LIVE, "refs": _blobs.c.refs + 1}
            connection.execute(update(Blob).where(_blobs.c.key == key).values(**values))
            connection.execute(insert(_refs), [{"record": record, "key": key}])

    blobs.claim = wrong


def mark_and_sweep() -> None:
    """Garbage is every object that no record refers to."""

    def wrong(database: Database, **_: Any) -> housekeeping.Collected:
        store = database.places.store("default")
        found = list(store.keys(ledger_folder(database.ledger_id)))
        marked = set(
            database.run(lambda connection: list(connection.execute(select(_refs.c.key)).scalars()), read=True)
        )
        garbage = [key for key in found if key not in marked]
        for key in garbage:
            store.delete(key)
        return housekeeping.Collected(len(garbage), 0, 0, 0, tuple(garbage))

    housekeeping.collect = wrong


def rows_before_listing() -> None:
    """The sweep reads the rows first and lists the store afterwards."""

    def wrong(database: Database, store: Any, *, dry_run: bool) -> list[str]:
        known = set(
            database.run(lambda connection: list(connection.execute(select(_blobs.c.key)).scalars()), read=True)
        )
        swept = [key for key in store.keys(ledger_folder(database.ledger_id)) if key not in known]
        for key in swept:
            store.delete(key)
        return swept

    collection._sweep = wrong


def condemn_what_nothing_refers_to() -> None:
    """The condemning update asks the references instead of the row's own count."""

    def wrong(connection: Connection, key: str) -> bool:
        unused = ~exists().where(_refs.c.key == _blobs.c.key) & (_blobs.c.state != BlobState.CONDEMNED)
        done = connection.execute(update(Blob).where(_blobs.c.key == key, unused).values(state=BlobState.CONDEMNED))
        return done.rowcount == 1

    blobs.condemn = wrong


def no_protection() -> None:
    """The backup puts nothing under a lease."""
    backup._protect = lambda _: None


def bytes_before_rows() -> None:
    """The backup copies the store first and reads the database afterwards."""

    def wrong(database: Database, folder: Path) -> backup.BackedUp:
        shutil.copytree(database.places.store("default").root, folder)
        pause("copied")
        target = backup._open_file(folder / "records.sqlite")
        try:
            records = backup._copy_snapshot(database, target)
        finally:
            target.dispose()
        made = backup.BackedUp(backup.FORMAT, backup.migrations.HEAD, database.ledger_id, "", records, 0, 0)
        backup._write_mark(folder, made)
        return made

    backup.backup = wrong


def each_table_by_itself() -> None:
    """The backup reads each table at an instant of its own."""
    true = Database._once

    def wrong(self: Database, work: Any, **options: Any) -> Any:
        return true(self, work, **{**options, "snapshot": False})

    Database._once = wrong


def blind_repetition() -> None:
    """A commit whose outcome is unknown is repeated without looking."""
    units.UnitOfWork._landed = units._there = lambda *_: None


def no_repetition() -> None:
    """A transaction that the database chose as a deadlock's victim is not tried again."""
    failures.is_retryable = lambda _: False


def no_fork_hook() -> None:
    """A fork is not prepared, and the child goes on with the connections of its parent."""
    forks.opened = weakref.WeakSet()


FAULTS: dict[str, Callable[..., None]] = {
    each.__name__: each
    for each in (
        highest_plus_one,
        look_then_create,
        unchecked_commit,
        mark_and_sweep,
        rows_before_listing,
        condemn_what_nothing_refers_to,
        no_protection,
        bytes_before_rows,
        each_table_by_itself,
        blind_repetition,
        no_repetition,
        no_fork_hook,
    )
}


# not faults: instants that have no failpoint, made for a test in this process


def pause_around_listing() -> None:
    """Stop before and after the store is listed."""
    true = LocalStore.keys

    def listed(self: LocalStore, prefix: str) -> Iterator[str]:
        if self.name != "default":
            yield from true(self, prefix)
            return
        pause("before listing")
        found = list(true(self, prefix))
        pause("after listing")
        yield from found

    LocalStore.keys = listed


def pause_between_tables() -> None:
    """Stop when the backup has read the blobs and not yet who refers to them."""
    true = backup._pages

    def paged(source: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
        yield from true(source, table)
        if table.name == "blobs":
            pause("between tables")

    backup._pages = paged


def meet_after_first_update(database: Database, gate: Any) -> None:
    """Let two processes hold one row each before either asks for the other's: on SQLite they cannot meet, and go on."""
    met: list[bool] = []

    @event.listens_for(database.engine, "after_cursor_execute")
    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE persistables") and not met:
            met.append(True)
            with suppress(BrokenBarrierError):
                gate.wait(3)


def cut_after_commit(database: Database) -> list[str]:
    """Let the next commit of a save succeed, and the answer get lost."""
    cut: list[str] = []
    armed: list[str] = []
    true = database.engine.dialect.do_commit

    def commit(connection: Any) -> None:
        true(connection)
        if armed and not cut:
            cut.append(armed[0])
            end_connections(database)
            connection.cursor().execute("SELECT 1")  # raises what this driver raises when the server is gone

    database.engine.dialect.do_commit = commit
    failpoints.install(
        lambda name: armed.append(name) if name in ("save.commit.before", "delete.commit.before") else None
    )
    return cut


def delete_late(database: Database) -> list[str]:
    """Lose the answer to the next commit of a deletion while the server is still at it: it ends when somebody waits for it."""

    def wait_and_land() -> None:
        while not is_blocked(database):
            time.sleep(0.15)  # MariaDB makes that table anew only if nobody looked at it for 0.1 s
        land()

    landed, land = lose(database, "delete.commit.before", Thread(target=wait_and_land, daemon=True).start)
    return landed


def save_late_and_distrusted(database: Database) -> list[str]:
    """Lose the answer to the next commit of a save; it lands when that is tried again, and then its blobs are found damaged."""
    landed, land = lose(database, "save.commit.before", lambda: tries.append("the first"))
    tries: list[str] = []
    true = blobs.claim

    def claim(connection: Connection, wanted: Any, grace: float) -> None:
        pairs = list(wanted)
        if tries and not landed:
            land()
            for _, key in pairs:
                database.places.ledger.distrust(key)
        true(connection, pairs, grace)

    blobs.claim = claim
    return landed


def lose(database: Database, point: str, lost: Callable[[], None]) -> tuple[list[str], Callable[[], None]]:
    """Lose the answer to the commit after this failpoint while the server is still at it; return what landed, and what ends it."""
    dialect: Any = database.engine.dialect
    commit, terminate = dialect.do_commit, dialect.do_terminate
    armed: list[str] = []
    late: list[Any] = []
    landed: list[str] = []

    def land() -> None:
        landed.append(armed[0])
        commit(late[0])
        late[0].close()

    def lose(connection: Any) -> None:
        if not armed or late:
            commit(connection)
            return
        late.append(connection.dbapi_connection)
        lost()
        raise dialect.dbapi.OperationalError(2013, "the answer is lost")

    dialect.do_commit = lose
    dialect.do_terminate = lambda connection: None if connection in late else terminate(connection)
    dialect.is_disconnect = lambda *_: True
    failpoints.install(lambda name: armed.append(name) if name == point else None)
    return landed, land


def cut_before(database: Database, point: str) -> list[str]:
    """Have the server end every other connection to this database, the first time that this failpoint is reached."""
    cut: list[str] = []

    def hook(name: str) -> None:
        if name == point and not cut:
            cut.append(name)
            end_connections(database)

    failpoints.install(hook)
    return cut


def end_connections(database: Database) -> None:
    """Have the server end all connections to a database but the one that says so."""
    from sqlalchemy import NullPool, create_engine, text

    engine = create_engine(database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}")).all()
        else:
            others = "FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
            for (number,) in connection.execute(text(f"SELECT id {others}")).all():
                connection.execute(text(f"KILL {number}"))


def is_blocked(database: Database) -> bool:
    """Whether some connection to this database waits for the lock of another."""
    from sqlalchemy import text

    if database.engine.dialect.name == "postgresql":
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
    else:
        waiting = (
            "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
            "ON p.id = t.trx_mysql_thread_id WHERE p.db = database() AND t.trx_state = 'LOCK WAIT'"
        )
    return bool(database.run(lambda connection: connection.execute(text(waiting)).scalar_one(), read=True))
