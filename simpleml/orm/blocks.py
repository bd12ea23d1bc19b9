"""`Blocks`: transactions that a thread keeps open over several writes, which are then committed together or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import exc

from simpleml.errors import DatabaseError
from simpleml.orm.blobs import Operation
from simpleml.orm.transactions import Transactions
from simpleml.orm.units import UnitOfWork
from simpleml.persistables.ports import Draft

_units = threading.local()  # the blocks that each thread is in, by ledger


class Blocks(Transactions):
    """Does each write in a transaction of its own, or with the block that the thread is in; safe for threads."""

    ledger_id: str
    """Whose blocks they are, whichever of several connections to one database began them."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the block together at its end, or none of them if it raises.

        Blocks nest into the outermost: an inner one that raises is taken back alone, and is committed with the outer one.
        """
        outer = self._unit
        unit = outer or UnitOfWork(self)
        mark = unit.mark()
        _units.by_ledger = {**_open_units(), self.ledger_id: unit}
        try:
            yield
        except BaseException:
            unit.abandon(mark)
            raise
        finally:
            if outer is None:
                _units.by_ledger = {key: open_ for key, open_ in _open_units().items() if open_ is not unit}
        if outer is None and unit.steps:
            with self._told():
                unit.commit()

    @property
    def _unit(self) -> UnitOfWork | None:
        """The block that this thread is in."""
        return _open_units().get(self.ledger_id)

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is in a block of `transaction()` on this database."""
        return self._unit is not None

    def write(self, operation: Operation) -> None:
        """Do `operation` in a transaction of its own, or with the block that this thread is in."""
        with self._told():
            self._take(operation)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in our words what the database refused in the block."""
        try:
            yield
        except exc.IntegrityError as error:
            raise DatabaseError(f"{self!r} refused the row: {error.orig}") from error

    def _take(self, step: Draft | Operation, failpoint: str = "save.commit") -> None:
        """Commit one step, or leave it to the block that this thread is in."""
        if self._unit is not None:
            self._unit.add(step)
        else:
            UnitOfWork(self, [step], failpoint).commit()

    def on_rollback(self, undo: Callable[[], None]) -> None:
        """Call `undo` if the block that this thread is in is not committed; outside of one, never."""
        if self._unit is not None:
            self._unit.undo.append(undo)

    def is_queued(self, id: UUID) -> bool:
        """Whether the block that this thread is in will insert the record with this id."""
        return self._queued(id) is not None

    def _queued(self, id_: UUID) -> Draft | None:
        return self._unit.queued.get(id_) if self._unit is not None else None

    def after_fork_in_child(self) -> None:
        """Give a forked child connections of its own, and no block that its parent is in: that one is the parent's to commit."""
        super().after_fork_in_child()
        for unit in _open_units().values():
            unit.abandon()
        _units.by_ledger = {}


def _open_units() -> dict[str, UnitOfWork]:
    found: dict[str, UnitOfWork] = getattr(_units, "by_ledger", {})
    return found
