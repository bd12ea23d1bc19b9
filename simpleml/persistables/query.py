"""`Query`: the saved objects that match, fetched when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from simpleml.errors import MissingDependencyError
from simpleml.persistables.lineage import check_roles
from simpleml.persistables.loading import from_row
from simpleml.persistables.ports import Database, Row, current_database

if TYPE_CHECKING:
    import pandas as pd

    from simpleml.persistables.persistable import Persistable

P = TypeVar("P", bound="Persistable")


class Query(Generic[P]):
    """A lazy, immutable choice of saved objects; each method returns a new query, each way to read it runs one statement.

    Filters are columns with an optional operator (`name="x"`, `name__like="ch%"`, `version__lt=3`, `project__in=[…]`), and
    paths into the metadata (`metadata__config__C__gt=0.5`); a role asks for what plays it (`model=model`); `tags__has="candidate"` and `aliases__has="production"`
    ask for what was given to the versions.
    """

    def __init__(self, cls: type[P], filters: Mapping[str, object]) -> None:
        check_roles(cls, filters)
        self._cls = cls
        self._filters: tuple[Mapping[str, object], ...] = (dict(filters),)
        self._order: tuple[str, ...] = ("name", "version")
        self._limit: int | None = None
        self._offset = 0

    def __repr__(self) -> str:
        told = ", ".join(f"{key}={value!r}" for filters in self._filters for key, value in filters.items())
        return f"{self._cls.__name__}.query({told})"

    def _with(self, **changes: Any) -> Self:
        made = type(self)(self._cls, {})
        made.__dict__.update(self.__dict__, **changes)
        return made

    def where(self, **filters: object) -> Self:
        """Narrow the choice further."""
        check_roles(self._cls, filters)
        return self._with(_filters=(*self._filters, dict(filters)))

    def order_by(self, *columns: str) -> Self:
        """Sort by these columns, first to last; a leading `-` means descending."""
        return self._with(_order=columns)

    def limit(self, count: int, offset: int = 0) -> Self:
        """Take at most `count` objects, after the first `offset`."""
        return self._with(_limit=count, _offset=offset)

    def _rows(self, database: Database) -> list[Row]:
        return database.select(
            self._cls.kind, self._all_filters(), order_by=self._order, limit=self._limit, offset=self._offset
        )

    def _all_filters(self) -> list[Mapping[str, object]]:
        """Add the condition that the record is of the class, or of a subclass of it that is known here."""
        if "kind" in self._cls.__dict__:  # the root of its kind: every record of the table
            return list(self._filters)
        names = sorted({self._cls.registered_name, *_subclass_names(self._cls)})
        return [*self._filters, {"registered_name__in": names}]

    def __iter__(self) -> Iterator[P]:
        database = current_database()
        for row in self._rows(database):
            found = from_row(row, database)
            if isinstance(found, self._cls):
                yield found

    def all(self) -> list[P]:
        """Return the objects; their artifacts are loaded when they are read."""
        return list(self)

    def first(self) -> P | None:
        """Return the first object, or None."""
        few = 1 if self._limit is None else min(self._limit, 1)
        return next(iter(self.limit(few, self._offset)), None)

    def count(self) -> int:
        """Return how many records match, without fetching them."""
        return current_database().count(self._cls.kind, self._all_filters())

    def to_dicts(self) -> list[Row]:
        """Return the records as plain values."""
        return self._rows(current_database())

    def to_pandas(self) -> pd.DataFrame:
        """Return the records as a data frame, one row each; needs pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError("to_pandas() needs pandas: pip install 'simpleml[pandas]'") from error
        return pd.DataFrame(self.to_dicts(), columns=list(current_database().columns(self._cls.kind)))


def _subclass_names(cls: type[Persistable]) -> Iterator[str]:
    for child in cls.__subclasses__():
        yield child.registered_name
        yield from _subclass_names(child)
