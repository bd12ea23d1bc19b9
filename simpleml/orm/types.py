"""Column types that mean the same on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, SupportsIndex

from sqlalchemy import JSON, DateTime, Dialect, String, TypeDecorator
from sqlalchemy.ext.mutable import Mutable

from simpleml.encoding.faults import short
from simpleml.errors import DatabaseError, EncodingError

NAME_LENGTH = 255


class IdentityText(TypeDecorator[str]):
    """Text that compares by bytes: `Churn`, `churn`, `chürn` and `churn ` are four names on every database.

    SQLite compares by bytes anyway; PostgreSQL is told to sort so too; MariaDB and MySQL call it differently.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int = NAME_LENGTH) -> None:
        super().__init__(length)
        self.length = length

    @property
    def python_type(self) -> type[str]:
        """Text."""
        return str

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Name the collation as the server does."""
        length = self.length
        if dialect.name == "postgresql":
            return dialect.type_descriptor(String(length, collation="C"))
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects.mysql import VARCHAR

            collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
            return dialect.type_descriptor(VARCHAR(length, charset="utf8mb4", collation=collation))
        return dialect.type_descriptor(String(length))


class UTCDateTime(TypeDecorator[datetime]):
    """An instant, with microseconds, in UTC on every database; refuses naive datetimes, gives aware ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """A datetime, which must be aware."""
        return datetime

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """Keep microseconds on MariaDB, which would drop them."""
        if dialect.name in ("mysql", "mariadb"):
            from sqlalchemy.dialects.mysql import DATETIME

            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn any aware instant into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise DatabaseError(f"{value!r} has no time zone; give an aware datetime, such as datetime.now(UTC)")
        instant = value.astimezone(UTC)
        return instant if dialect.name == "postgresql" else instant.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC, whatever zone the session has."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _Tracked(Mutable):
    """A container of a JSON value that tells the row's attribute when it, or anything inside it, is changed."""

    above: _Tracked | None = None

    def changed(self) -> None:
        """Tell the container above, or the row."""
        if self.above is not None:
            self.above.changed()
        super().changed()


def _track(value: Any, above: _Tracked) -> Any:
    """Return `value` with its plain containers replaced by tracked ones that report to `above`."""
    if type(value) is dict or type(value) is TrackedDict:
        made: Any = TrackedDict({key: value[key] for key in value})
    elif type(value) is list or type(value) is TrackedList:
        made = TrackedList(value)
    else:
        return value
    made.above = above
    return made


class TrackedDict(_Tracked, dict[Any, Any]):
    """A dict inside a JSON column."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        for key, value in dict(*args, **kwargs).items():
            super().__setitem__(key, _track(value, self))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, _track(value, self))
        self.changed()

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self.changed()

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several keys."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Return the value of a key, set to `default` if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, *args: Any) -> Any:
        """Remove and return an item."""
        found = super().pop(*args)
        self.changed()
        return found

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return the last pair."""
        found = super().popitem()
        self.changed()
        return found

    def clear(self) -> None:
        """Remove everything."""
        super().clear()
        self.changed()

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return dict, (dict(self),)


class TrackedList(_Tracked, list[Any]):
    """A list inside a JSON column."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        for value in values:
            super().append(_track(value, self))

    def __setitem__(self, index: Any, value: Any) -> None:
        tracked = [_track(item, self) for item in value] if isinstance(index, slice) else _track(value, self)
        super().__setitem__(index, tracked)
        self.changed()

    def __delitem__(self, index: Any) -> None:
        super().__delitem__(index)
        self.changed()

    def append(self, value: Any) -> None:
        """Add one item at the end."""
        super().append(_track(value, self))
        self.changed()

    def extend(self, values: Iterable[Any]) -> None:
        """Add items at the end."""
        super().extend(_track(value, self) for value in values)
        self.changed()

    def __iadd__(self, values: Iterable[Any]) -> Any:  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, count: SupportsIndex) -> Any:
        super().__imul__(count)
        self.changed()
        return self

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Add one item before `index`."""
        super().insert(index, _track(value, self))
        self.changed()

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Remove and return an item."""
        found = super().pop(index)
        self.changed()
        return found

    def remove(self, value: Any) -> None:
        """Remove the first item that equals `value`."""
        super().remove(value)
        self.changed()

    def clear(self) -> None:
        """Remove everything."""
        super().clear()
        self.changed()

    def sort(self, **options: Any) -> None:
        """Sort in place."""
        super().sort(**options)
        self.changed()

    def reverse(self) -> None:
        """Reverse in place."""
        super().reverse()
        self.changed()

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return list, (list(self),)


class _TrackedJSON(_Tracked):
    @classmethod
    def coerce(cls, key: str, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, dict):
            return _track(dict(value), None)  # type: ignore[arg-type]
        if isinstance(value, list):
            return _track(list(value), None)  # type: ignore[arg-type]
        raise EncodingError(f"{key} is {short(value)}, but a JSON column holds a mapping, a list or None")


def mutable_json() -> JSON:
    """Return the type of every JSON column: typed values by `simpleml.encoding`, SQL NULL for None, nested changes seen.

    It is stored as text that keeps the order of keys and every digit (PostgreSQL's `json`, not `jsonb`).
    """
    return _TrackedJSON.as_mutable(JSON(none_as_null=True))  # type: ignore[return-value]


def plain(value: Any) -> Any:
    """Return a JSON value with its tracked containers replaced by plain ones, which belong to the caller."""
    if isinstance(value, TrackedDict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, TrackedList):
        return [plain(item) for item in value]
    return value
