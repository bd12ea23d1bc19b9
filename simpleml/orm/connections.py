"""Which database a thread works with: the innermost `with database:` block, else what `connect` opened last."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from simpleml import progress
from simpleml.errors import TransactionError
from simpleml.orm.database import Database, given_settings, opened
from simpleml.orm.offline import OfflineDatabase
from simpleml.orm.record_copies import is_server
from simpleml.orm.transactions import Transactions
from simpleml.settings import Settings

_blocks: ContextVar[tuple[Database, ...]] = ContextVar("simpleml_databases", default=())
_default: Database | None = None
_lock = threading.Lock()
_forks = threading.Lock()  # one at a time


def connect(url: str | Path | None = None, *, store: str | Path | None = None, **arguments: Any) -> Database:
    """Open a database and make it the current one of this process; without arguments, the one that the settings name.

    `store` is where the default store is (a path, or a URL); every other setting may be given by name (`trust="safe"`). A
    database without any table of ours gets the schema. Raises `ConfigurationError`, `SchemaError` or `DatabaseError`.
    """
    database = open_database(url, store=store, **arguments)
    adopt(database)
    return database


def adopt(database: Database) -> None:
    """Make an open database the current one of this process."""
    global _default
    with _lock:
        _default = database


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
    blocks = _blocks.get()
    if blocks:
        return blocks[-1]
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                _default = open_database()
    return _default


def disconnect() -> None:
    """Close the current default database; the next use opens the one that the settings name then."""
    global _default
    with _lock:
        database, _default = _default, None
    if database is not None:
        database.close()


def push(database: Database) -> None:
    """Make `database` the current one of this context."""
    _blocks.set((*_blocks.get(), database))


def pop(database: Database) -> None:
    """Leave the innermost block, which must be that of `database`."""
    blocks = _blocks.get()
    if not blocks or blocks[-1] is not database:
        raise TransactionError(f"the block of {database!r} is left out of order")
    _blocks.set(blocks[:-1])


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


_forking: list[Transactions] = []  # those that the fork under way has closed


def _before_fork() -> None:
    _forks.acquire()
    _forking[:] = list(opened)
    for database in _forking:
        database.before_fork()


def _after_fork_in_parent() -> None:
    for database in _forking:
        database.after_fork_in_parent()
    _forking.clear()
    _forks.release()


def _after_fork_in_child() -> None:
    global _lock, _forks
    _lock, _forks = threading.Lock(), threading.Lock()  # another thread may have held them
    _forking.clear()
    for database in list(opened):
        database.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
