"""`simpleml db …`: the schema's commands. They work on bare transactions: a `Database` opens only on a schema that fits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from sqlalchemy import Connection, MetaData, exc

from simpleml import migrations
from simpleml.cli.face import Face, counted
from simpleml.errors import DatabaseError, SchemaError
from simpleml.orm import dialects, identity
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.tables import NAMING, metadata
from simpleml.orm.transactions import Transactions

T = TypeVar("T")


def run_init(face: Face) -> None:
    """Make the schema where there is none."""

    def work(connection: Connection) -> bool:
        fresh = migrations.guard(connection) == "fresh"
        if fresh:
            migrations.upgrade(connection)
            identity.settle(connection)  # it may be copied before it is first used
        return fresh

    _tell(face, migrations.HEAD, changed=_change(face, work, creating=True))


def run_upgrade(face: Face) -> None:
    """Bring the schema to the head."""

    def work(connection: Connection) -> bool:
        before = migrations.revision_of(connection)
        migrations.upgrade(connection)
        if before != migrations.HEAD:
            identity.settle(connection)
        return before != migrations.HEAD

    _tell(face, migrations.HEAD, changed=_change(face, work))


def run_downgrade(face: Face, revision: str) -> None:
    """Take the schema back."""

    def work(connection: Connection) -> tuple[str | None, str | None]:
        before = migrations.revision_of(connection)
        migrations.downgrade(connection, revision)
        return before, migrations.revision_of(connection)

    before, after = _change(face, work)
    _tell(face, after, changed=before != after)


def run_adopt(face: Face) -> None:
    """Let the database own what it was copied with."""

    def work(connection: Connection) -> int:
        if migrations.guard(connection) == "fresh":
            raise SchemaError(
                f"{face.settings().database_shown} has no schema yet, so it was not copied from another one"
            )
        return identity.adopt(connection)

    adopted = _change(face, work)
    face.data({"adopted": adopted})
    face.say(
        f"{counted(adopted, 'earlier id')} adopted: gc collects their objects too"
        if adopted
        else "every object is its own already"
    )


def run_check(face: Face) -> bool:
    """Compare the schema with the declared one; return whether they agree."""

    def query(connection: Connection) -> list[str] | None:
        return (
            None
            if migrations.guard(connection) == "fresh"
            else migrations.differences(connection, _declared(connection))
        )

    found = _look(face, query)
    if found is None:
        raise SchemaError(f"{face.settings().database_shown} has no schema yet; make it with: simpleml db init")
    face.data({"revision": migrations.HEAD, "differences": found})
    for line in found:
        face.say(line)
    face.say(
        f"the schema is at {migrations.HEAD} and "
        + (f"differs in {counted(len(found), 'place')}" if found else "as declared")
    )
    return not found


def run_current(face: Face) -> None:
    """Show where the schema is."""
    found = _look(face, migrations.revision_of)
    known = migrations.known_revisions()
    face.data({"revision": found, "head": migrations.HEAD, "known": known})
    face.say(
        f"the schema is at {found or 'none'}; this version works with {migrations.HEAD} and knows {', '.join(known)}"
    )


def _declared(connection: Connection) -> MetaData:
    """Return the tables that this database should have: ours, and those of users' kinds that are made already."""
    declared = MetaData(naming_convention=NAMING)
    ours = [table for table in metadata.sorted_tables if table.name in migrations.TABLES]
    own: list[Any] = [record_class(kind).__table__ for kind in kinds_in(connection)]
    for table in {table.name: table for table in [*ours, *own]}.values():
        table.to_metadata(declared)
    return declared


def _tell(face: Face, revision: str | None, *, changed: bool) -> None:
    face.data({"revision": revision, "changed": changed})
    face.say(f"the schema is {'now' if changed else 'already'} at {revision or 'base: every table of ours is gone'}")


def _change(face: Face, work: Callable[[Connection], T], *, creating: bool = False) -> T:
    """Do `work` in a transaction that holds the lock of schema changes; only with `creating` is a database file made."""
    settings = face.prepared(creating=creating)

    def locked(connection: Connection) -> T:
        with dialects.schema_lock(connection, settings.lock_timeout):
            return work(connection)

    with closing(Transactions(settings)) as database:
        try:
            return database.run(locked)
        except exc.IntegrityError as error:
            raise DatabaseError(f"{database!r}: {error.orig}") from error


def _look(face: Face, query: Callable[[Connection], T]) -> T | None:
    """Return what `query` finds, or None if the database is a file that is not there: looking makes none."""
    settings = face.prepared(creating=True)
    if settings.database_file is not None and not settings.database_file.exists():
        return None
    with closing(Transactions(settings)) as database:
        return database.run(query, read=True)
