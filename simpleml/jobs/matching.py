"""`Match`: which saved version is the one that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from simpleml.errors import HashingError
from simpleml.hashing import hash_value
from simpleml.orm.database import Database
from simpleml.orm.persistable import record_class
from simpleml.persistables import Persistable
from simpleml.persistables.comparison import compared
from simpleml.persistables.lineage import roles_of
from simpleml.persistables.loading import remembered
from simpleml.persistables.ports import Row

_LATEST = ("-version", "-created_timestamp")
_DIGESTS = frozenset({"params_hash", "steps_hash"})  # of what stands beside them, if it can be shown


@dataclass(frozen=True, slots=True)
class Match:
    """The records that stand for the same thing: `filters` of their columns, and what their config must hold besides."""

    kind: str
    filters: Mapping[str, object]
    config: Mapping[str, Any] | None = None

    @classmethod
    def by_hash(cls, made: Persistable, *, named: bool) -> Match:
        """Match by class and content hash, and by name if it counts; a metric has to be of the very same model."""
        filters = {"hash_": content_hash(made), "registered_name": made.registered_name, **_scope(made)}
        return cls(made.kind, {**filters, **({"name": made.name} if named else {})})

    @classmethod
    def by_description(cls, made: Persistable) -> Match:
        """Match by class, name, inputs and config, whatever the content is: only what loaders say of labels needs data."""
        getattr(
            made, "label_columns", None
        )  # a loader that says them is asked now: they are config, which it completes
        columns = record_class(made.kind).__mapper__.column_attrs
        inputs = {f"{role}_id": _id_of(made, role) for role in roles_of(type(made)) if f"{role}_id" in columns}
        filters = {"name": made.name, "registered_name": made.registered_name, **inputs}
        return cls(made.kind, filters, dict(made.config))

    @property
    def key(self) -> str:
        """What is claimed by who makes the thing: the same for all who ask for the same, whatever they call it."""
        told = {name: str(value) for name, value in self.filters.items() if name != "name" or self.config is not None}
        config = None if self.config is None else hash_value(self.config)
        return f"build {self.kind} {hash_value([sorted(told.items()), config])}"

    def find(self, database: Database) -> Persistable | None:
        """Return the latest record that matches."""
        limit = 1 if self.config is None else None
        for row in database.select(self.kind, self.filters, order_by=_LATEST, limit=limit):
            if self.config is None or _holds(row, self.config):
                return remembered(self.kind, row, database)
        return None


def content_hash(made: Persistable) -> str:
    """Return the hash that saving would record."""
    return made._hash()  # noqa: SLF001 - what a subclass overrides is its hash, under this name since SimpleML


def latest(kind: str, name: str, database: Database) -> Row | None:
    """Return the latest record of a name."""
    return next(iter(database.select(kind, {"name": name}, order_by=_LATEST, limit=1)), None)


def why_not(made: Persistable, row: Row | None) -> str:
    """Say why the latest record of its name is another one than what would be made: in what they differ."""
    if row is None:
        return f"no {made.kind} is named {made.name!r}"
    found = list(compared(row, made.as_row(), parts=("class", "config")))
    told = [str(entry) for entry in found if entry.path not in _DIGESTS] or [entry.path for entry in found]
    inputs = [role for role in roles_of(type(made)) if f"{role}_id" in row]  # others have no column of their own
    told += [f"the {role}" for role in inputs if row[f"{role}_id"] != _id_of(made, role)]
    more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
    return f"version {row['version']} of {made.name!r} differs in {'; '.join(told[:3]) or 'its content'}{more}"


def _id_of(made: Persistable, role: str) -> UUID | None:
    found: UUID | None = made.as_row().get(f"{role}_id")
    return found


def _scope(made: Persistable) -> dict[str, object]:
    column = record_class(made.kind).scope
    found = made.as_row().get(column) if column else None
    return {} if column is None or found is None else {column: found}


def _holds(row: Row, config: Mapping[str, Any]) -> bool:
    """Whether the config of a record holds all that is wanted; what it has besides was found out while it was made."""
    there = (row["metadata_"] or {}).get("config", {})
    try:
        return all(key in there and hash_value(there[key]) == hash_value(value) for key, value in config.items())
    except HashingError:
        return False
