"""Writing the row of one record: with plain statements, so that a transaction that is tried again writes the same again.

A session forgets the changes of an object when its transaction is rolled back; then the second try would write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, inspect, literal, select, update
from sqlalchemy.orm import DeclarativeBase, make_transient, make_transient_to_detached
from sqlalchemy.orm.attributes import flag_modified, set_committed_value
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from simpleml.errors import RecordNotFoundError
from simpleml.orm.dialects import dialect_of
from simpleml.orm.types import plain

QUEUED = "simpleml_queued"
"""In the `info` of a record's state: a block will write the record."""


class InsertRow:
    """Inserts a record, again if the transaction is tried again; the object is written as it is at that time."""

    def __init__(self, record: DeclarativeBase) -> None:
        self.record = record
        for key, column in _columns(record).items():
            value: Any = getattr(record, key)
            default: Any = column.default
            if value is None and isinstance(default, ScalarElementColumnDefault):
                value = default.arg
            elif value is None and isinstance(default, CallableColumnDefault):
                value = default.arg(None)  # type: ignore[arg-type]
            setattr(record, key, value)  # also None: a detached record cannot read it later
        self._given = _key(record)
        self._counts_again = False

    def __call__(self, connection: Connection) -> None:
        """Write the row."""
        record = self.record
        self._renew()
        self._counts_again = dialect_of(connection) == "sqlite"
        state: Any = inspect(record)
        state.info.pop(QUEUED, None)
        columns = _columns(record)
        values = {column.key: plain(getattr(record, key)) for key, column in columns.items()}
        given = {key: value for key, value in values.items() if value is not None}
        made = connection.execute(insert(state.mapper.local_table), [given]).inserted_primary_key
        _set_key(record, made or ())
        if state.key is None:
            make_transient_to_detached(record)

    @property
    def landed(self) -> Callable[[Connection], bool] | None:
        """How to ask whether it happened; None if the key of the row is not known."""
        return None if None in _key(self.record) else self._is_there

    def _is_there(self, connection: Connection) -> bool:
        mapper: Any = inspect(type(self.record))
        same = (column == value for column, value in zip(mapper.primary_key, _key(self.record), strict=True))
        return connection.execute(select(literal(1)).select_from(mapper.local_table).where(*same)).first() is not None

    def undo(self) -> None:
        """Let the record be a new one again."""
        inspect(self.record).info.pop(QUEUED, None)
        self._renew()

    def _renew(self) -> None:
        """Let the record be a new one, without a key that was counted if the database counts the same again.

        A server does not. There the key is kept: where a lost answer leaves it open whether the row was written, it is not
        written twice.
        """
        if inspect(self.record).key is not None:
            make_transient(self.record)
        if self._counts_again:
            _set_key(self.record, self._given)


class UpdateRow:
    """Writes what was changed of a record, again if the transaction is tried again; `check` may refuse it before."""

    def __init__(self, record: DeclarativeBase, check: Callable[[Connection, Any, Mapping[str, Any]], None]) -> None:
        self.record = record
        self.check = check
        self.changed: set[str] = set()

    def __call__(self, connection: Connection) -> None:
        """Write what was changed, if anything was; `RecordNotFoundError` if the row is gone."""
        record = self.record
        state: Any = inspect(record)
        state.info.pop(QUEUED, None)
        columns = _columns(record)
        self.changed |= {key for key in columns if state.attrs[key].history.has_changes()}
        if not self.changed:
            return
        for key, column in columns.items():
            if column.onupdate is not None and key not in self.changed:
                setattr(record, key, column.onupdate.arg(None))
                self.changed.add(key)
        table = state.mapper.local_table
        [key_column] = state.mapper.primary_key
        values = {key: plain(getattr(record, key)) for key in self.changed}
        self.check(connection, state.identity[0], values)
        values = {columns[key].key: value for key, value in values.items()}
        if connection.execute(update(table).where(key_column == state.identity[0]).values(values)).rowcount != 1:
            raise RecordNotFoundError(f"{record!r} is not in the database any more, so nothing was updated")
        for key in self.changed:
            set_committed_value(record, key, getattr(record, key))

    def undo(self) -> None:
        """Let the changes be unsaved again."""
        inspect(self.record).info.pop(QUEUED, None)
        for key in self.changed:
            flag_modified(self.record, key)


def _key(record: DeclarativeBase) -> list[Any]:
    """Return the values of the primary key."""
    return [getattr(record, name) for name in _key_names(record)]


def _set_key(record: DeclarativeBase, key: Iterable[Any]) -> None:
    for name, value in zip(_key_names(record), key, strict=False):
        setattr(record, name, value)


def _key_names(record: DeclarativeBase) -> list[str]:
    mapper: Any = inspect(type(record))
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def _columns(record: DeclarativeBase) -> dict[str, Any]:
    """Return the columns of a record's table by their mapped names."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(type(record)).column_attrs}
