"""Writing the row of one record: with plain statements, so that a transaction that is tried again writes the same again.

A session forgets the changes of an object when its transaction is rolled back; then the second try would write nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, inspect, update
from sqlalchemy.orm import make_transient, make_transient_to_detached
from sqlalchemy.orm.attributes import flag_modified, set_committed_value
from sqlalchemy.sql.schema import CallableColumnDefault, ScalarElementColumnDefault

from simpleml.errors import RecordNotFoundError
from simpleml.orm.types import plain

if TYPE_CHECKING:
    from simpleml.orm.record import Record

QUEUED = "simpleml_queued"
"""In the `info` of a record's state: a block will write the record."""


class InsertRow:
    """Inserts a record, again if the transaction is tried again; the object is written as it is at that time."""

    def __init__(self, record: Record) -> None:
        self.record = record
        for key, column in _columns(record).items():
            value: Any = getattr(record, key)
            default: Any = column.default
            if value is None and isinstance(default, ScalarElementColumnDefault):
                value = default.arg
            elif value is None and isinstance(default, CallableColumnDefault):
                value = default.arg(None)  # type: ignore[arg-type]
            setattr(record, key, value)  # also None: a detached record cannot read it later

    def __call__(self, connection: Connection) -> None:
        """Write the row."""
        record = self.record
        state: Any = inspect(record)
        state.info.pop(QUEUED, None)
        columns = _columns(record)
        values = {column.key: plain(getattr(record, key)) for key, column in columns.items()}
        given = {key: value for key, value in values.items() if value is not None}
        made = connection.execute(insert(state.mapper.local_table), [given]).inserted_primary_key
        for attribute, value in zip(state.mapper.primary_key, made or (), strict=False):
            setattr(record, state.mapper.get_property_by_column(attribute).key, value)
        if state.key is None:
            make_transient_to_detached(record)

    def undo(self) -> None:
        """Let the record be a new one again."""
        state = inspect(self.record)
        state.info.pop(QUEUED, None)
        if state.key is not None:
            make_transient(self.record)


class UpdateRow:
    """Writes what was changed of a record, again if the transaction is tried again."""

    def __init__(self, record: Record, grace: float) -> None:
        self.record = record
        self.grace = grace
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
        values = {columns[key].key: plain(getattr(record, key)) for key in self.changed}
        type(record).check_update(
            connection, state.identity[0], {key: plain(getattr(record, key)) for key in self.changed}, self.grace
        )
        if connection.execute(update(table).where(key_column == state.identity[0]).values(values)).rowcount != 1:
            raise RecordNotFoundError(f"{record!r} is not in the database any more, so nothing was updated")
        for key in self.changed:
            set_committed_value(record, key, getattr(record, key))

    def undo(self) -> None:
        """Let the changes be unsaved again."""
        inspect(self.record).info.pop(QUEUED, None)
        for key in self.changed:
            flag_modified(self.record, key)


def _columns(record: Record) -> dict[str, Any]:
    """Return the columns of a record's table by their mapped names."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(type(record)).column_attrs}
