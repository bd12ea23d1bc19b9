"""Opening databases, and the one that a thread works with: that of the innermost block, else what `connect` opened last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from simpleml import progress
from simpleml.errors import DatabaseError, SimpleMLError
from simpleml.orm.database import Database, at_work, given_settings
from simpleml.orm.offline import OfflineDatabase
from simpleml.orm.record_copies import is_server
from simpleml.settings import Settings

_failure: SimpleMLError | None = None
"""Why the last `connect` gave no database: what is saved after that must not go to another one without a word."""


def connect(url: str | Path | None = None, *, store: str | Path | None = None, **arguments: Any) -> Database:
    """Open a database and make it the current one of this process; without arguments, the one that the settings name.

    `store` is where the default store is (a path, or a URL); every other setting may be given by name (`trust="safe"`). A
    database without any table of ours gets the schema. Raises `ConfigurationError`, `SchemaError` or `DatabaseError`; then the
    current database is the same as before, and if there was none, there is none until one is opened.
    """
    global _failure
    try:
        database = open_database(url, store=store, **arguments)
    except SimpleMLError as error:
        _failure = error
        raise
    _failure = None
    at_work.adopt(database)
    return database


def open_database(url: str | Path | None = None, *, store: str | Path | None = None, **arguments: Any) -> Database:
    """Open a database without making it the current one; use it with `with database:`."""
    return open_with(given_settings(url, store=store, **arguments))


def open_with(settings: Settings) -> Database:
    """Open the database that these settings name; what was copied of it to this machine, if they say `offline`."""
    progress.enabled = settings.progress
    if settings.offline and is_server(make_url(settings.database)):
        return OfflineDatabase(settings)
    return Database(settings)


def current() -> Database:
    """Return the current database; the first use opens the one that the settings name."""
    return at_work.get(_named)


def _named() -> Database:
    """Open the database that the settings name, unless another one was wanted and could not be had."""
    if _failure is not None:
        raise DatabaseError(
            f"no database is open, because connect() failed ({_failure}): connect again; after simpleml.disconnect() the one that the "
            "settings name is used"
        ) from _failure
    return open_database()


def disconnect() -> None:
    """Close the current default database; the next use opens the one that the settings name then."""
    global _failure
    _failure = None
    database = at_work.drop()
    if database is not None:
        database.close()


@contextmanager
def transaction() -> Iterator[None]:
    """Commit everything that this thread saves, updates and deletes in the block together at its end, or nothing."""
    with current().transaction():
        yield


class _Opener:
    """What the layer below finds by name."""

    @staticmethod
    def current() -> Database:
        """Return the current database."""
        return current()


OPENER = _Opener()
