"""`Home`: what a record needs of the database that it is kept in, which is made of records and so stands above them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, Self, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from simpleml.orm.blobs import Operation
from simpleml.persistables import ports

T = TypeVar("T")


class Home(ports.Database, Protocol):
    """A database as its records see it; in a `with` block it is the current one. `Database` is the one there is."""

    def __enter__(self) -> Self:
        """Become the current database."""

    def __exit__(self, *_: object) -> None:
        """Be it no longer."""

    def read(self, query: Callable[[Session], T]) -> T:
        """Return what `query` finds in a session of its own; what it returns is detached and complete."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all writes of the block together at its end, or none of them if it raises."""

    def write(self, operation: Operation) -> None:
        """Do `operation` in a transaction of its own, or with the block that this thread is in."""

    def table_of(self, kind: str) -> object:
        """Return the mapped class of a kind, whose table is there from now on."""

    def is_queued(self, id: UUID) -> bool:
        """Whether the block that this thread is in will insert the record with this id."""

    def insert_row(self, kind: str, row: ports.Row, committed: Callable[[ports.Committed], None]) -> None:
        """Insert a record that was put together elsewhere, counting its version if it has none."""

    def last_version(self, kind: str, name: str, scope: str = "") -> int:
        """Return the highest version ever given out for a name, deleted ones included."""
