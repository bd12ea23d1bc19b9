"""`Transactions`: the engine of one database, and the attempts it takes until a piece of work is committed."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from simpleml import failpoints
from simpleml.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseReadOnlyError,
    MissingDependencyError,
    SimpleMLError,
    StoreFullError,
    TransactionError,
)
from simpleml.orm import dialects, failures
from simpleml.orm.forks import Gate
from simpleml.orm.interrupts import Lent
from simpleml.save_patterns.locations.disk import make_folder
from simpleml.settings import Settings

T = TypeVar("T")

Durability = Literal["relaxed", "full"] | None
"""What a commit has to survive: nothing (the sweep cures its loss), a power cut, or what the settings say."""

_URLS = "A URL looks like 'sqlite:///path.db', 'postgresql+psycopg://user:password@host/name' or 'mariadb+pymysql://…'"
_DRIVERS = {"postgresql": ("psycopg", "postgres"), "mysql": ("pymysql", "mysql"), "mariadb": ("pymysql", "mysql")}
"""The driver that comes with an extra of ours, and that extra."""

_UNCLEAR = (
    "whether it happened is not known, for the connection was lost during the commit: when the database can be reached, look "
    "whether it is there, or do the same again with the same object; what has happened already is not done twice"
)


class Again(Exception):  # noqa: N818 - a signal inside this layer, never seen by a user
    """The work has to be done anew in another transaction, after `cure` was called outside of any."""

    def __init__(self, cure: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.cure = cure


class Transactions:
    """Runs work in short transactions; safe for threads. The base of `Database`, which knows what the work is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = _parse(settings.database)
        self._prepare_folder()
        try:
            self.engine: Engine = dialects.make_engine(
                self.url, durability=settings.durability, patience=settings.lock_timeout
            )
        except ModuleNotFoundError as error:
            raise MissingDependencyError(f"{self!r} needs {error.name}: {self._remedy(error.name)}") from error
        except exc.ArgumentError as error:
            raise ConfigurationError(f"{self!r} is no database that can be opened: {error}. {_URLS}") from error
        self._lent = Lent(self.engine, memory=self.url.get_backend_name() == "sqlite" and not self._is_file)
        # A database that nobody holds any more gives its connections back, instead of leaving that to their drivers.
        weakref.finalize(self, self.engine.dispose).atexit = False
        self._engines: dict[tuple[bool, Durability, bool], Engine] = {}
        self._was_up = False
        self._gate = Gate() if self._is_file else None
        self._still = True  # whether nobody used the file when the last fork happened
        self._torn = False  # whether this process was forked from one in which somebody did

    def __repr__(self) -> str:
        return f"Database({self.url.set(query={}).render_as_string(hide_password=True)!r})"

    def close(self) -> None:
        """Give all connections back; the next use opens new ones."""
        self.engine.dispose()

    # forks

    def before_fork(self) -> None:
        """Close an SQLite file, when no thread uses it any more, and keep threads from opening it until the fork is over."""
        if self._gate is not None:
            self._still = self._gate.shut(self.settings.lock_timeout)
            self.engine.dispose()

    def after_fork_in_parent(self) -> None:
        """Let threads open the file again."""
        if self._gate is not None:
            self._gate.reopen()

    def after_fork_in_child(self) -> None:
        """Give a forked child connections of its own: one that two processes share answers wrongly."""
        self.engine.dispose(close=False)
        if self._gate is not None:
            self._gate = Gate()  # threads that held or counted in it are not here
            self._torn = self._torn or not self._still

    def _using(self) -> AbstractContextManager[None]:
        """Say that this thread uses the database in the block."""
        if self._torn:
            raise TransactionError(
                f"{self!r} was in the middle of a transaction when this process was forked, so its file cannot be used here "
                "safely. Fork when no transaction is under way, or start processes by 'spawn' or 'forkserver'"
            )
        return nullcontext() if self._gate is None else self._gate.inside()

    def _remedy(self, missing: str | None) -> str:
        family = self.url.get_backend_name()
        if family not in _DRIVERS:
            return f"simpleml works with SQLite, PostgreSQL and MariaDB or MySQL, not with {family}"
        driver, extra = _DRIVERS[family]
        remedy = f"pip install 'simpleml[{extra}]'"
        return remedy if missing == driver else f"write {family}+{driver}:// in the URL, and {remedy}"

    @property
    def _is_file(self) -> bool:
        return self.url.get_backend_name() == "sqlite" and self.url.database not in (None, "", ":memory:")

    def _prepare_folder(self) -> None:
        path = self.url.database
        if self._is_file and path and Path(path).is_dir():
            raise DatabaseError(
                f"{path} is a folder, and SQLite keeps a database in a file: give the path of one in it, such as "
                f"{Path(path) / 'simpleml.db'}"
            )
        # What begins with `file:` is a URI, whose folder SQLite itself looks for.
        if self._is_file and path and not path.startswith("file:") and not Path(path).exists():
            folder = Path(path).parent
            try:
                make_folder(folder)
            except OSError as error:
                raise DatabaseReadOnlyError(
                    f"cannot make the folder {folder} for the database: {error.strerror}. Give another place: connect(url), "
                    "SIMPLEML_DATABASE_URL or SIMPLEML_HOME"
                ) from error

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

        With `snapshot` every statement sees the same instant. When a connection was lost during a commit, `landed` is asked
        whether that happened after all, before and after each further attempt. Work that raises `Again` is tried anew. Gives
        up after `lock_timeout` seconds; `exc.IntegrityError` passes through.
        """
        deadline = time.monotonic() + self.settings.lock_timeout
        sent = unclear = False
        pause = 0.002

        def once() -> T:
            return self._once(finished, read=read, durability=durability, snapshot=snapshot, failpoint=failpoint)

        def finished(connection: Connection) -> T:
            nonlocal sent
            result = work(connection)
            sent = not read
            return result

        while True:
            sent = False
            try:
                return self._unless_landed(once, landed) if unclear and landed is not None else once()
            except Again as again:
                again.cure()
                deadline = time.monotonic() + self.settings.lock_timeout
                continue
            except exc.IntegrityError:
                raise
            except exc.DBAPIError as error:
                gone = failures.is_gone(error)
                unclear = unclear or (gone and sent)
                if not (failures.is_retryable(error) or (gone and self._was_up)) or time.monotonic() > deadline:
                    raise self._translated(error, unclear=unclear) from error
            except exc.StatementError as error:  # a value that could not be sent
                raise self._untold(error) from error
            except exc.TimeoutError as error:
                told = f"{self!r}: no connection became free within lock_timeout ({self.settings.lock_timeout} s)"
                raise DatabaseError(f"{told}; {_UNCLEAR}" if unclear else told) from error
            time.sleep(random.uniform(0, pause))  # noqa: S311 - full jitter
            pause = min(pause * 2, 1.0)

    def _unless_landed(self, once: Callable[[], T], landed: Callable[[Connection], T | None]) -> T:
        """Make one more attempt, unless an earlier one was committed after all, be it while this one is refused."""
        found = self._once(landed, read=True)
        if found is not None:
            return found
        try:
            return once()
        except Exception:  # perhaps because an earlier attempt came first: raised, unless that one is there
            found = self._once(landed, read=True)
            if found is None:
                raise
            return found

    def _once(
        self,
        work: Callable[[Connection], T],
        *,
        read: bool = False,
        durability: Durability = None,
        snapshot: bool = False,
        failpoint: str | None = None,
    ) -> T:
        engine = self._engine(read=read, durability=durability, snapshot=snapshot)

        def attempt() -> T:
            with engine.connect() as connection:
                with connection.begin():
                    result = work(connection)
                    self._was_up = True
                    if failpoint:
                        failpoints.reach(f"{failpoint}.before")
                if failpoint:
                    failpoints.reach(f"{failpoint}.after")
            return result

        with self._using():
            return self._lent.guard(attempt)

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

    def read(self, query: Callable[[Session], T]) -> T:
        """Return what `query` finds in a session of its own; what it returns is detached and complete."""

        def work(connection: Connection) -> T:
            with Session(bind=connection, expire_on_commit=False) as session:
                found = query(session)
                session.commit()  # ends the session only: the transaction is the connection's
                return found

        return self.run(work, read=True)

    def _untold(self, error: exc.StatementError) -> Exception:
        """Return what went wrong before the database was told anything; our own errors as they are."""
        return error.orig if isinstance(error.orig, SimpleMLError) else DatabaseError(f"{self!r}: {error.orig}")

    def _translated(self, error: exc.DBAPIError, *, unclear: bool) -> Exception:
        """Return an error of our tree: what failed, where, whether anything was changed, and what to do."""
        where, changed = repr(self), _UNCLEAR if unclear else "nothing was changed"
        if failures.is_standby(error):
            self.engine.dispose()  # or each use would get this server again
        if failures.is_read_only(error):
            wanted = "Give this user the right to write there"
            if self._is_file:
                wanted += ": in the folder too, where SQLite keeps files beside the database, also to read it"
            return DatabaseReadOnlyError(f"{where} refuses to be written: {error.orig}. {wanted}; {changed}.")
        if failures.is_full(error):
            return StoreFullError(f"{where} has no space left: {error.orig}. Free some and try again; {changed}.")
        told = f"{where}{self._failure(error)}"
        return DatabaseError(f"{told}; {_UNCLEAR}." if unclear else f"{told}.")

    def _failure(self, error: exc.DBAPIError) -> str:
        """Say what failed, after the name of the database."""
        if failures.is_gone(error):
            return f" cannot be reached: {error.orig}. Check the address, the user and the password, and that the server is up"
        if failures.is_refused(error):
            return f" does not let this user in: {error.orig}. Check the user and the password"
        if failures.is_retryable(error):
            return f" stayed busy for lock_timeout ({self.settings.lock_timeout} s): {error.orig}. Try again"
        return f": {error.orig}{failures.advice(error)}"


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except exc.ArgumentError as error:
        raise ConfigurationError(f"the database URL cannot be parsed. {_URLS}") from error
