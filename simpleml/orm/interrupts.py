"""What an interrupt must not leave behind: it may land at any instant, also within SQLAlchemy, and its traceback may be kept."""

from __future__ import annotations

import sqlite3
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

T = TypeVar("T")


class SQLiteConnection(sqlite3.Connection):
    """A connection whose locks end when it is rolled back or closed: any statement that a cursor has open would keep them."""

    _cursors: tuple[weakref.ref[sqlite3.Cursor], ...] = ()

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        """Return a cursor, which ends with the transaction or the connection."""
        made = super().cursor(factory)
        self._cursors = (*(each for each in self._cursors if each() is not None), weakref.ref(made))
        return made

    def rollback(self) -> None:
        """Roll back, whoever still holds a cursor."""
        self._end_statements()
        super().rollback()

    def close(self) -> None:
        """Close the file, whoever still holds a cursor."""
        self._end_statements()
        super().close()

    def _end_statements(self) -> None:
        held, self._cursors = self._cursors, ()
        for each in held:
            if (cursor := each()) is not None:
                cursor.close()


class Lent:
    """Gives back, rolled back or closed, what connections an interrupted piece of work had of an engine. Safe for threads.

    SQLAlchemy closes the connection in which a statement is interrupted. One that is a database in memory is kept instead.
    """

    def __init__(self, engine: Engine, *, memory: bool) -> None:
        self._engine = engine
        self._memory = memory
        self._mine = threading.local()
        if engine.dialect.name == "sqlite":
            event.listen(engine, "do_connect", _choose_class)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given)
        if memory:
            event.listen(engine, "handle_error", _keep)

    def guard(self, work: Callable[[], T]) -> T:
        """Do `work`; an interrupt of it leaves no connection of its own behind, and comes out as itself."""
        handled, outer = sys.exception(), self._held
        held: dict[object, weakref.ref[Any]] = {}
        self._mine.held = held
        try:
            return work()
        except BaseException as error:
            interrupt = _interrupt_in(error, handled)
            if interrupt is None:
                raise
            try:
                self._end(held, interrupt)
                raise interrupt
            finally:
                del interrupt  # which refers to this frame
        finally:
            self._mine.held = outer

    def _end(self, held: dict[object, weakref.ref[Any]], interrupt: BaseException) -> None:
        for each in list(held.values()):
            connection = each()
            if connection is not None and self._memory:
                connection.close()  # which rolls back
            elif connection is not None and connection.is_valid:
                connection.invalidate(interrupt)
        if not self._memory and _was_in_pool(interrupt):
            self._engine.dispose()  # what the pool had in its hands then is in no count of it

    @property
    def _held(self) -> dict[object, weakref.ref[Any]] | None:
        """What this thread's work has taken and not given back, by where it is in the pool."""
        return getattr(self._mine, "held", None)

    def _taken(self, _: object, record: object, connection: Any) -> None:
        if self._held is not None:
            self._held[record] = weakref.ref(connection)

    def _given(self, _: object, record: object) -> None:
        if self._held is not None:
            self._held.pop(record, None)


def _choose_class(dialect: object, record: object, arguments: object, options: dict[str, Any]) -> None:
    options["factory"] = SQLiteConnection


def _keep(context: ExceptionContext) -> None:
    """Let the transaction be rolled back: closing the connection would end the database."""
    if not isinstance(context.original_exception, Exception):
        context.is_disconnect = False


def _interrupt_in(error: BaseException | None, handled: BaseException | None) -> BaseException | None:
    """Return the interrupt that an error is or came of: cleaning up after it may have failed. Not what was `handled` before."""
    while error is not None and error is not handled:
        if not isinstance(error, Exception):
            return error
        error = error.__context__
    return None


def _was_in_pool(interrupt: BaseException) -> bool:
    """Whether an interrupt landed while a connection was taken out of the pool, or put back."""
    frames = (frame for frame, _ in traceback.walk_tb(interrupt.__traceback__))
    return any(frame.f_globals.get("__name__", "").startswith("sqlalchemy.pool.") for frame in frames)
