"""`simpleml db …`: the schema's commands. They work on the bare engine: a `Database` opens only on a schema that fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.engine import URL, make_url

from simpleml import migrations
from simpleml.cli.face import Face, counted
from simpleml.errors import ConfigurationError, DatabaseError, MissingDependencyError, SchemaError
from simpleml.orm import dialects, identity
from simpleml.orm.persistable import ORMPersistable
from simpleml.save_patterns.locations.local import make_folder


def run_init(face: Face) -> None:
    """Make the schema where there is none."""
    with _changing(face) as connection:
        fresh = migrations.guard(connection) == "fresh"
        if fresh:
            migrations.upgrade(connection)
            identity.settle(connection)  # it may be copied before it is first used
    _tell(face, migrations.HEAD, changed=fresh)


def run_upgrade(face: Face) -> None:
    """Bring the schema to the head."""
    with _changing(face) as connection:
        before = migrations.revision_of(connection)
        migrations.upgrade(connection)
        if before != migrations.HEAD:
            identity.settle(connection)
    _tell(face, migrations.HEAD, changed=before != migrations.HEAD)


def run_downgrade(face: Face, revision: str) -> None:
    """Take the schema back."""
    with _changing(face) as connection:
        before = migrations.revision_of(connection)
        migrations.downgrade(connection, revision)
        after = migrations.revision_of(connection)
    _tell(face, after, changed=before != after)


def run_adopt(face: Face) -> None:
    """Let the database own what it was copied with."""
    with _changing(face) as connection:
        if migrations.guard(connection) == "fresh":
            raise SchemaError(
                f"{face.settings().database_shown} has no schema yet, so it was not copied from another one"
            )
        adopted = identity.adopt(connection)
    face.data({"adopted": adopted})
    face.say(
        f"{counted(adopted, 'earlier id')} adopted: gc collects their objects too"
        if adopted
        else "every object is its own already"
    )


def run_check(face: Face) -> bool:
    """Compare the schema with the declared one; return whether they agree."""
    with _looking(face) as connection:
        if connection is None or migrations.guard(connection) == "fresh":
            raise SchemaError(f"{face.settings().database_shown} has no schema yet; make it with: simpleml db init")
        found = migrations.differences(connection, ORMPersistable.metadata)
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
    with _looking(face) as connection:
        found = None if connection is None else migrations.revision_of(connection)
    known = migrations.known_revisions()
    face.data({"revision": found, "head": migrations.HEAD, "known": known})
    face.say(
        f"the schema is at {found or 'none'}; this version works with {migrations.HEAD} and knows {', '.join(known)}"
    )


def _tell(face: Face, revision: str | None, *, changed: bool) -> None:
    face.data({"revision": revision, "changed": changed})
    face.say(f"the schema is {'now' if changed else 'already'} at {revision or 'base: every table of ours is gone'}")


@contextmanager
def _changing(face: Face) -> Iterator[Connection]:
    """Give a connection in a transaction that holds the lock of schema changes."""
    patience = face.settings().lock_timeout
    with _engine(face) as engine, engine.begin() as connection, dialects.schema_lock(connection, patience):
        yield connection


@contextmanager
def _looking(face: Face) -> Iterator[Connection | None]:
    """Give a connection that only reads, or None if the database is a file that is not there: looking makes none."""
    path = face.settings().database_file
    if path is not None and not path.exists():
        yield None
        return
    with _engine(face) as engine, engine.connect().execution_options(**{dialects.READ: True}) as connection:
        yield connection


@contextmanager
def _engine(face: Face) -> Iterator[Engine]:
    """Give an engine; what the database says against it is told in our words."""
    settings = face.settings()
    path = settings.database_file
    try:
        if path is not None:
            make_folder(path.parent)
        engine = dialects.make_engine(_url(face), durability=settings.durability, patience=settings.lock_timeout)
    except exc.ArgumentError as error:
        raise ConfigurationError(f"{settings.database_shown} cannot be opened: {error}") from error
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{settings.database_shown} needs {error.name}: pip install {error.name}"
        ) from error
    except OSError as error:
        raise DatabaseError(f"cannot make the folder {path}: {os.strerror(error.errno or 0)}") from error
    try:
        yield engine
    except exc.DBAPIError as error:
        raise DatabaseError(f"{settings.database_shown}: {error.orig}") from error
    finally:
        engine.dispose()


def _url(face: Face) -> URL:
    settings = face.settings()
    try:
        return make_url(settings.database)
    except exc.ArgumentError as error:
        raise ConfigurationError(f"the database URL {settings.database_shown} cannot be parsed: {error}") from error
