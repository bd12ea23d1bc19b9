"""The records of a backup: one SQLite file, whatever the database was, whose failures are told as its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, event, exc
from sqlalchemy.engine import URL, ExceptionContext

from simpleml import encoding
from simpleml.errors import ConfigurationError, DatabaseError, SimpleMLError, StoreFullError
from simpleml.hashing.digester import digester
from simpleml.orm import dialects, failures
from simpleml.save_patterns.locations.disk import flush_file
from simpleml.save_patterns.locations.spool import digest_of

_BLOCK = 1024 * 1024


def open_new(path: Path) -> Engine:
    """Return an engine that writes the records of a backup; its errors say that it is them, not the database, that failed."""
    engine = dialects.make_engine(URL.create("sqlite", database=str(path)), durability="full", patience=60)

    @event.listens_for(engine, "handle_error")
    def tell(context: ExceptionContext) -> SimpleMLError | None:
        error = context.sqlalchemy_exception
        if not isinstance(error, exc.DBAPIError):
            return None
        if failures.is_full(error):
            return StoreFullError(
                f"no room for the backup: {path}: {error.orig}. Remove its folder, free some space and back up again."
            )
        if isinstance(error, exc.IntegrityError):
            return DatabaseError(
                f"the records do not fit together, so {path} refuses them: {error.orig}. Run `simpleml verify --all` to see what "
                "is wrong in the database."
            )
        return DatabaseError(
            f"the records of the backup cannot be written to {path}: {error.orig}. Give another place."
        )

    return engine


def settle(path: Path) -> str:
    """Leave the records in one durable file, beside which a reader need not write; return its digest."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    with path.open("r+b") as file:
        flush_file(file.fileno())
    return _digest(path)


def _digest(path: Path) -> str:
    hasher = digester()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return digest_of(hasher.hexdigest())


def check(path: Path, digest: str) -> None:
    """Make sure that the records of a backup are there, and are those that were written."""
    try:
        found = _digest(path)
    except OSError as error:
        raise ConfigurationError(
            f"the records of the backup cannot be read: {path}: {error.strerror}. It is no whole backup: take another one"
        ) from error
    if digest and found != digest:
        raise ConfigurationError(
            f"the records of the backup are damaged: {path} has the digest {found}, but {digest} was written. Take another backup"
        )


def open_saved(path: Path) -> Engine:
    """Return an engine that reads the records of a backup, where nothing can be written either."""
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    engine = create_engine(
        URL.create("sqlite", database=path.absolute().as_uri(), query=query),
        poolclass=NullPool,
        json_deserializer=encoding.loads,
        hide_parameters=True,
    )

    @event.listens_for(engine, "handle_error")
    def tell(context: ExceptionContext) -> SimpleMLError:
        return ConfigurationError(
            f"the records of the backup cannot be read: {path}: {context.original_exception}. The file is damaged, or was made by "
            "another program: take another backup"
        )

    return engine
