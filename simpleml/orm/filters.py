"""Filters and sort keys in words, as SQL: `name__like`, `version__lt`, `metadata__config__C__gt`, `-created_timestamp`.

The operators are those of sqlalchemy-mixins, with `%` and `_` taken literally where a text is meant, and case respected
where the name does not say otherwise. Keys resolve against mapped columns only; values are always bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Double,
    String,
    and_,
    asc,
    desc,
    inspect,
    literal,
    null,
    or_,
    type_coerce,
)
from sqlalchemy.orm import DeclarativeBase

from simpleml.encoding.faults import short
from simpleml.errors import IdentityError, known_names
from simpleml.orm.json_parts import json_kind, json_number, json_text, json_truth
from simpleml.persistables.identity import checked_id, storable_text

_METADATA = ("metadata", "metadata_")

_Operator = Callable[[Any, Any], ColumnElement[bool]]

OPERATORS: dict[str, _Operator] = {
    "exact": lambda column, value: column.is_(null()) if value is None else column == value,
    "ne": lambda column, value: column.is_not(null()) if value is None else column != value,
    "isnull": lambda column, value: column.is_(null()) if value else column.is_not(null()),
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
    "in": lambda column, value: column.in_(list(value)),
    "notin": lambda column, value: column.not_in(list(value)),
    "between": lambda column, value: column.between(*value),
    "like": lambda column, value: column.like(value, escape="\\"),  # as PostgreSQL and MariaDB have it anyway
    "ilike": lambda column, value: column.ilike(value, escape="\\"),
    "startswith": lambda column, value: column.startswith(value, autoescape=True),
    "istartswith": lambda column, value: column.istartswith(value, autoescape=True),
    "endswith": lambda column, value: column.endswith(value, autoescape=True),
    "iendswith": lambda column, value: column.iendswith(value, autoescape=True),
    "contains": lambda column, value: column.contains(value, autoescape=True),
    "icontains": lambda column, value: column.icontains(value, autoescape=True),
}
"""What may follow `__` in a filter's name."""

_LISTS = {"in", "notin", "between"}
_TEXTUAL = {
    "like",
    "ilike",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "contains",
    "icontains",
}


def conditions(cls: type[DeclarativeBase], filters: Mapping[str, object]) -> list[ColumnElement[bool]]:
    """Return the conditions that `filters` stand for; `IdentityError` lists the known columns and operators."""
    return [_condition(cls, key, value) for key, value in filters.items()]


def ordering(cls: type[DeclarativeBase], columns: Iterable[str]) -> list[Any]:
    """Return the sort keys that `columns` stand for; a leading `-` means descending."""
    found: list[Any] = []
    for key in columns:
        name = str(key).removeprefix("-")
        column = _columns(cls).get(name)
        if column is None:
            raise IdentityError(f"cannot sort {_kind(cls)} by {key!r:.80}; {known_names(_columns(cls), near=name)}")
        found.append((desc if key.startswith("-") else asc)(column))
    return found


def counted(field: str, value: object) -> int:
    """Return `value` if it can be a limit or an offset: a whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise IdentityError(f"{field} is {short(value)} ({type(value).__name__}), but must be a whole number from 0 on")
    return value


def _kind(cls: type[DeclarativeBase]) -> str:
    """Return what people call such records."""
    return f"a {kind}" if (kind := getattr(cls, "kind", "")) else cls.__name__


@cache
def _columns(cls: type[DeclarativeBase]) -> dict[str, ColumnElement[Any]]:
    """Return the columns of the table by their mapped names; the table's own cost less to compare than mapped ones."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(cls).column_attrs}


def _condition(cls: type[DeclarativeBase], key: str, value: object) -> ColumnElement[bool]:
    columns = _columns(cls)
    name, operator = (key, "exact") if key in columns else _split(key)
    head, _, path = name.partition("__")
    if head in _METADATA and path and "metadata_" in columns:
        return _metadata_condition(columns["metadata_"], key, path.split("__"), operator, value)
    column = columns.get(name)
    if column is None:
        known = f"columns {known_names(columns, near=name)}; operators {', '.join(OPERATORS)}"
        raise IdentityError(f"{_kind(cls)} cannot be filtered by {key!r:.80}; {known}")
    return OPERATORS[operator](column, _converted(column, key, operator, value))


def _split(key: str) -> tuple[str, str]:
    """Return the column (or path) and the operator that a filter's name is made of."""
    name, found, operator = key.rpartition("__")
    return (name, operator) if found and operator in OPERATORS else (key, "exact")


def _converted(column: ColumnElement[Any], key: str, operator: str, value: object) -> object:
    """Return `value` as the column's own type; refuse what the databases would compare in ways of their own."""
    given = _operands(key, operator, value)
    if not given:
        return value
    wanted: type = column.type.python_type
    if isinstance(column.type, JSON):
        raise IdentityError(
            f"{key} compares a whole JSON value; name a part of the metadata, such as metadata__config__C__gt, or use isnull"
        )
    if wanted is UUID:
        given = [checked_id(item) for item in given]
    for item in given:
        fits = isinstance(item, wanted) and not (isinstance(item, bool) and wanted is int)
        if not fits or (wanted is datetime and isinstance(item, datetime) and item.tzinfo is None):
            told = "datetime with a time zone" if wanted is datetime else wanted.__name__
            raise IdentityError(f"{key} compares with {told}, but was given {short(item)} ({type(item).__name__})")
        _check_bounds(key, item, 2**31)
    if operator in _TEXTUAL and wanted is not str:
        raise IdentityError(f"{key}: {operator} is for text, but this column holds {wanted.__name__}")
    return given if operator in _LISTS else given[0]


def _operands(key: str, operator: str, value: object) -> list[object]:
    """Return the values that the column is compared with; none if the question is whether there is a value."""
    if operator == "isnull":
        if not isinstance(value, bool):
            raise IdentityError(f"{key} takes True or False, but was given {short(value)} ({type(value).__name__})")
        return []
    if value is None:
        if operator not in ("exact", "ne"):
            raise IdentityError(f"{key} cannot compare with None: ask with {key.removesuffix('__' + operator)}__isnull")
        return []
    if operator not in _LISTS:
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise IdentityError(f"{key} takes a list of values, but was given {short(value)} ({type(value).__name__})")
    given = list(value)
    if operator == "between" and len(given) != 2:
        raise IdentityError(f"{key} takes two values, the least and the greatest, but was given {len(given)}")
    return given


def _check_bounds(key: str, item: object, limit: int) -> None:
    """Refuse a value that a database cannot be sent."""
    if isinstance(item, str):
        storable_text(key, item)
    if isinstance(item, int) and not -limit <= item < limit:
        raise IdentityError(
            f"{key} compares with whole numbers from {-limit} to {limit - 1}, but was given a larger one"
        )


def _metadata_condition(
    column: ColumnElement[Any], key: str, path: list[str], operator: str, value: object
) -> ColumnElement[bool]:
    """Compare a plain value inside the metadata with one of its own type: text, number, truth value; null is no value.

    A value of another type is neither less nor greater nor alike; it is different, so `ne` and `notin` find it.
    """
    part = _part(column, key, path)
    there = json_kind(*part)
    given = _operands(key, operator, value)
    if not given:
        if operator in _LISTS:
            return OPERATORS[operator](there, [])
        return OPERATORS[operator](there, value)
    typed = _typed(part, key, given)
    if operator in _TEXTUAL and not all(isinstance(item, str) for item in given):
        raise IdentityError(f"{key}: {operator} is for text, but was given {short(given[0])}")
    found = OPERATORS[operator](typed, given if operator in _LISTS else given[0])
    return or_(found, and_(typed.is_(null()), there.is_not(null()))) if operator in ("ne", "notin") else found


def _part(column: ColumnElement[Any], key: str, path: list[str]) -> list[ColumnElement[Any]]:
    """Return what names one part of a JSON column to every database: the column, the way as one text, and in pieces."""
    for name in path:
        if not name or '"' in name or not name.isprintable() or "\\" in name:
            raise IdentityError(
                f"{key!r:.80}: {name!r:.80} cannot be looked for; names of this kind are compared in Python"
            )
    way = "$" + "".join(f".{json.dumps(name)}" for name in path)
    return [column, literal(way, String), *(literal(name, String) for name in path)]


def _typed(part: list[ColumnElement[Any]], key: str, given: list[object]) -> ColumnElement[Any]:
    for item in given:
        _check_bounds(key, item, 2**63)
    if all(isinstance(item, bool) for item in given):
        return json_truth(*part)
    if all(isinstance(item, str) for item in given):
        return json_text(*part)
    numbers = [item for item in given if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(numbers) < len(given) or not all(math.isfinite(item) for item in numbers):
        raise IdentityError(
            f"{key} compares with text, with finite numbers, with truth values or None, all of one type, but was given "
            f"{short(given if len(given) > 1 else given[0])}"
        )
    whole = all(isinstance(item, int) for item in numbers)
    given[:] = numbers if whole else [float(item) for item in numbers]
    return type_coerce(json_number(*part), BigInteger() if whole else Double())
