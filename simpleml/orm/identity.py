"""`Identity`: who a database is. Its id is part of every key that it makes, and a copy of a database becomes somebody else.

A database that was copied finds its ids at another place than the one where they were given. It goes on under a new one, and
leaves the objects of those that it had to whoever it was copied from: they are read, but neither referred to anew nor removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select, update

from simpleml.orm import dialects
from simpleml.orm.tables import Ledger
from simpleml.save_patterns.locations.keys import ledger_folder

_ledger: Any = Ledger.__table__


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids of a database, the current one last, and the folders of a store that hold objects of its own, and of any of them.

    A database that was copied and cannot be written owns nothing.
    """

    ids: tuple[str, ...]
    own: frozenset[str]
    known: frozenset[str]

    @property
    def current(self) -> str:
        """The id that new keys carry."""
        return self.ids[-1]

    def owns(self, key: str) -> bool:
        """Whether nobody else refers to this object, so that it may be referred to anew, and removed."""
        return key.partition("/")[0] in self.own

    def knows(self, key: str) -> bool:
        """Whether this object was announced by this database, or by the one that it was copied from."""
        return key.partition("/")[0] in self.known


def look(connection: Connection) -> tuple[Identity, bool]:
    """Return who the database is, and whether it has said so at the place where it is now."""
    rows, here = _rows(connection), dialects.place_of(connection)
    found = _identity(rows)
    if _moved(connection, rows, here):
        return replace(found, own=frozenset()), False
    return found, here in (None, rows[-1].place)


def settle(connection: Connection) -> tuple[Identity, bool]:
    """Return who the database is from now on, and whether this very call found that it was copied or moved.

    When several processes come first, one of them gives the new id, and all end with it.
    """
    connection.execute(select(_ledger.c.number).where(_ledger.c.number == 1).with_for_update())
    rows, here = _rows(connection), dialects.place_of(connection)
    moved = _moved(connection, rows, here)
    if moved:
        connection.execute(update(Ledger).values(own=False))
        connection.execute(insert(Ledger).values(number=rows[-1].number + 1, id=uuid4().hex, place=here))
    elif here is not None:
        _settle_at(connection, rows[-1].number, here)
    return _identity(_rows(connection)), moved


def adopt(connection: Connection) -> int:
    """Take the objects of all ids for this database's own, wherever it is now; return how many ids were not its own before."""
    rows, here = _rows(connection), dialects.place_of(connection)
    _settle_at(connection, rows[-1].number, here)
    return connection.execute(update(Ledger).where(Ledger.own.is_(False)).values(own=True)).rowcount


def _settle_at(connection: Connection, number: int, here: str | None) -> None:
    connection.execute(update(Ledger).where(Ledger.number == number).values(place=here))


def _rows(connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(select(_ledger).order_by(_ledger.c.number)).all()


def _moved(connection: Connection, rows: Sequence[Row[Any]], here: str | None) -> bool:
    noted = rows[-1].place
    return here is not None and noted not in (None, here, dialects.former_place_of(connection))


def _identity(rows: Sequence[Row[Any]]) -> Identity:
    return Identity(
        ids=tuple(row.id for row in rows),
        own=frozenset(ledger_folder(row.id) for row in rows if row.own),
        known=frozenset(ledger_folder(row.id) for row in rows),
    )
