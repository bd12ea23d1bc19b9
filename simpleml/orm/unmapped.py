"""Records of kinds whose module this process has not imported: found by what their tables have, so that nobody takes them for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, TableClause, bindparam, column, func, inspect, select, table, text

from simpleml import encoding
from simpleml.errors import EncodingError
from simpleml.migrations import TABLES
from simpleml.orm.dialects import dialect_of
from simpleml.orm.persistable import record_class, records
from simpleml.orm.tables import DataTable
from simpleml.persistables.classes import HINT

_MARKS = ("registered_name", "filepaths", "metadata", "version")  # columns by which a table of records is known
_marks: BindParameter[Any] = bindparam("marks", _MARKS, expanding=True)
_MARKED = text(
    "SELECT table_name FROM information_schema.columns WHERE table_schema = :schema AND column_name IN :marks "
    "GROUP BY table_name HAVING count(*) = :number"
).bindparams(_marks, number=len(_MARKS))
_MARKED_SQLITE = text(  # a virtual table, whose module may not be there, has no page
    "SELECT t.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.rootpage > 0 "
    "AND c.name IN :marks GROUP BY t.name HAVING count(*) = :number"
).bindparams(_marks, number=len(_MARKS))


@dataclass(frozen=True, slots=True)
class Unmapped:
    """A table of records that nothing here maps; `module` is where the class of one of them was defined, or empty."""

    table: str
    records: int
    module: str = ""

    def __str__(self) -> str:
        number = "1 record" if self.records == 1 else f"{self.records} records"
        return (
            f"the table {self.table!r} holds {number} of a kind that is not known here: import the module that maps it first (on the "
            f"command line with --import {self.module or 'MODULE'})"
        )


def unmapped(connection: Connection) -> list[Unmapped]:
    """Return the tables with records of kinds that are not known here; one that is empty hides nothing."""
    others = _marked(connection) - TABLES - {record_class(kind).__tablename__ for kind in records.names()}
    if others:
        others -= set(connection.execute(select(DataTable.name)).scalars())  # a frame may have such columns
    found = (_look(connection, name) for name in sorted(others))
    return [one for one in found if one.records]


def _marked(connection: Connection) -> set[str]:
    """Return the tables that have the marks, by the database's own catalogue: SQLAlchemy cannot describe every table."""
    if dialect_of(connection) == "sqlite":
        return set(connection.execute(_MARKED_SQLITE).scalars())
    found = connection.execute(_MARKED, {"schema": connection.dialect.default_schema_name}).scalars()
    return set(found) & set(inspect(connection).get_table_names())  # views have columns too


def _look(connection: Connection, name: str) -> Unmapped:
    there = table(name, column("metadata"))
    number = connection.execute(select(func.count()).select_from(there)).scalar_one()
    return Unmapped(name, number, _module(connection, there))


def _module(connection: Connection, there: TableClause) -> str:
    """Return what the metadata of a record says of its class; nothing if they are none of ours."""
    try:
        found = connection.execute(select(there.c.metadata).limit(1)).scalar()
        metadata = encoding.loads(found) if isinstance(found, str) else found  # psycopg decodes them
    except EncodingError:
        return ""
    hint = metadata.get(HINT) if isinstance(metadata, dict) else None
    return hint.partition(":")[0] if isinstance(hint, str) else ""
