"""`Selection`: the records that match, fetched when they are asked for, each time in a session of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sqlalchemy import Select, func, inspect, select

from simpleml.orm.filters import conditions, counted, ordering
from simpleml.orm.home import Home

if TYPE_CHECKING:
    from simpleml.orm.record import Record

R = TypeVar("R", bound="Record")

HOME = "simpleml_home"
"""In the `info` of a record's state: the database it came from."""


def remembering(record: R, database: Home) -> R:
    """Return `record`, which now knows that it belongs to `database`."""
    inspect(record).info[HOME] = database
    return record


class Selection(Generic[R]):
    """A lazy, immutable choice of records; each method returns a new one, each way to read it runs one statement."""

    def __init__(self, cls: type[R], filters: Mapping[str, object], statement: Select[Any] | None = None) -> None:
        self._cls = cls
        self._statement = (select(cls) if statement is None else statement).where(*conditions(cls, filters))

    def _with(self, statement: Select[Any]) -> Self:
        return type(self)(self._cls, {}, statement)

    def where(self, **filters: object) -> Self:
        """Narrow the choice further."""
        return type(self)(self._cls, filters, self._statement)

    def order_by(self, *columns: str) -> Self:
        """Sort by these columns; a leading `-` means descending."""
        return self._with(self._statement.order_by(*ordering(self._cls, columns)))

    def limit(self, count: int, offset: int = 0) -> Self:
        """Take at most `count` records, after the first `offset`."""
        return self._with(self._statement.limit(counted("limit", count)).offset(counted("offset", offset)))

    def all(self) -> list[R]:
        """Return the records, detached."""
        database = self._cls.database()
        found = database.read(lambda session: list(session.scalars(self._statement)))
        return [remembering(record, database) for record in found]

    def __iter__(self) -> Iterator[R]:
        return iter(self.all())

    def first(self) -> R | None:
        """Return the first record, or None."""
        return next(iter(self._with(self._statement.limit(1)).all()), None)

    def count(self) -> int:
        """Return how many records match, without fetching them."""
        keys: Any = self._statement.with_only_columns(*inspect(self._cls).primary_key).order_by(None)
        statement = select(func.count()).select_from(keys.subquery())
        return self._cls.database().read(lambda session: session.execute(statement).scalar_one())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the records as plain values."""
        return [record.to_dict() for record in self.all()]
