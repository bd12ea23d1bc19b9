"""The JSON cells of records as the database has them, so that one which is no JSON is told by record and column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, Connection, Select, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from simpleml.errors import EncodingError
from simpleml.orm.dialects import from_json
from simpleml.orm.persistable import ORMPersistable


class _Cell(FunctionElement[Any]):
    """The text of a JSON column, which nobody decodes."""

    type = String()
    inherit_cache = True


@compiles(_Cell, "sqlite")
def _sqlite_cell(element: _Cell, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"  # the driver refuses text that is no UTF-8


@compiles(_Cell, "postgresql")
def _postgresql_cell(element: _Cell, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(_Cell, "mysql")
@compiles(_Cell, "mariadb")
def _mysql_cell(element: _Cell, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


def rows(
    connection: Connection, cls: type[ORMPersistable], statement: Select[Any], among: Select[Any] | None = None
) -> Sequence[Any]:
    """Return the rows of a statement on the table of a kind; `EncodingError` names the record whose cell is no JSON.

    That is looked for `among` other records, if the statement does not select single ones.
    """
    try:
        return connection.execute(statement).all()
    except EncodingError as error:
        raise refusal(connection, cls, statement if among is None else among) or error from error


def refusal(connection: Connection, cls: type[ORMPersistable], statement: Select[Any]) -> EncodingError | None:
    """Return what is wrong with the first record of a statement that has a cell which is no JSON; None if none has."""
    for name, version, *found in connection.execute(statement.with_only_columns(cls.name, cls.version, *cells(cls))):
        for fault in decoded(cls, found)[1]:
            return EncodingError(
                f"{cls.kind} {name!r} version {version}: {fault}. Put back what was there, from a backup of the database; "
                "`simpleml verify --all` lists every such record"
            )
    return None


def cells(cls: type[ORMPersistable]) -> list[_Cell]:
    """Return the JSON columns of a kind, to be selected as they are."""
    return [_Cell(column) for _, column in _columns(cls)]


def decoded(cls: type[ORMPersistable], found: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what is in the columns of `cells`, by their mapped names, and what is wrong with those that are no JSON."""
    values: dict[str, Any] = {}
    faults = []
    for (key, column), cell in zip(_columns(cls), found, strict=True):
        try:
            values[key] = None if cell is None else from_json(cell)
        except EncodingError as error:
            faults.append(f"its column {column.name!r} was edited: {error}")
    return values, faults


def _columns(cls: type[ORMPersistable]) -> list[tuple[str, Any]]:
    attributes = cls.__mapper__.column_attrs
    return [(each.key, each.columns[0]) for each in attributes if isinstance(each.columns[0].type, JSON)]
