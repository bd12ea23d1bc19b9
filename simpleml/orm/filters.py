"""Filters and sort keys in words, as SQL: `name__like`, `version__lt`, `metadata__config__C__gt`, `-created_timestamp`.

The operators are those of sqlalchemy-mixins, with `%` and `_` taken literally where a text is meant, and case respected
where the name does not say otherwise. Keys resolve against mapped columns only; values are always bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, asc, desc, inspect, null

from simpleml.errors import IdentityError, known_names
from simpleml.persistables.identity import checked_id

if TYPE_CHECKING:
    from simpleml.orm.record import Record

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
    "like": lambda column, value: column.like(value),
    "ilike": lambda column, value: column.ilike(value),
    "startswith": lambda column, value: column.startswith(value, autoescape=True),
    "istartswith": lambda column, value: column.istartswith(value, autoescape=True),
    "endswith": lambda column, value: column.endswith(value, autoescape=True),
    "iendswith": lambda column, value: column.iendswith(value, autoescape=True),
    "contains": lambda column, value: column.contains(value, autoescape=True),
    "icontains": lambda column, value: column.icontains(value, autoescape=True),
}
"""What may follow `__` in a filter's name."""

_LISTS = {"in", "notin", "between"}


def conditions(cls: type[Record], filters: Mapping[str, object]) -> list[ColumnElement[bool]]:
    """Return the conditions that `filters` stand for; `IdentityError` lists the known columns and operators."""
    return [_condition(cls, key, value) for key, value in filters.items()]


def ordering(cls: type[Record], columns: Iterable[str]) -> list[Any]:
    """Return the sort keys that `columns` stand for; a leading `-` means descending."""
    found: list[Any] = []
    for key in columns:
        name = key.removeprefix("-")
        column = _columns(cls).get(name)
        if column is None:
            raise IdentityError(f"cannot sort {cls.__name__} by {key!r}; {known_names(_columns(cls), near=name)}")
        found.append((desc if key.startswith("-") else asc)(column))
    return found


@cache
def _columns(cls: type[Record]) -> dict[str, ColumnElement[Any]]:
    """Return the columns of the table by their mapped names; the table's own cost less to compare than mapped ones."""
    return {attribute.key: attribute.columns[0] for attribute in inspect(cls).column_attrs}


def _condition(cls: type[Record], key: str, value: object) -> ColumnElement[bool]:
    columns = _columns(cls)
    name, operator = (key, "exact") if key in columns else _split(key)
    head, _, path = name.partition("__")
    if head in _METADATA and path and "metadata_" in columns:
        return _metadata_condition(columns["metadata_"], key, path.split("__"), operator, value)
    column = columns.get(name)
    if column is None:
        known = f"columns {known_names(columns, near=name)}; operators {', '.join(OPERATORS)}"
        raise IdentityError(f"{cls.__name__} cannot be filtered by {key!r}; {known}")
    return OPERATORS[operator](column, _converted(column, key, operator, value))


def _split(key: str) -> tuple[str, str]:
    """Return the column (or path) and the operator that a filter's name is made of."""
    name, found, operator = key.rpartition("__")
    return (name, operator) if found and operator in OPERATORS else (key, "exact")


def _converted(column: ColumnElement[Any], key: str, operator: str, value: object) -> object:
    """Return `value` as the column's own type; refuse what the database would compare in a way of its own."""
    if operator == "isnull" or value is None:
        return value
    wanted: type = column.type.python_type
    given = (
        list(value) if operator in _LISTS and isinstance(value, Iterable) and not isinstance(value, str) else [value]
    )
    if operator in _LISTS and given == [value]:
        raise IdentityError(f"{key} takes a list of values, but was given {value!r:.80}")
    if wanted is UUID:
        given = [checked_id(item) for item in given]
    for item in given:
        fits = isinstance(item, wanted) and not (isinstance(item, bool) and wanted is int)
        if not fits or (wanted is datetime and isinstance(item, datetime) and item.tzinfo is None):
            raise IdentityError(
                f"{key} compares with {wanted.__name__}, but was given {item!r:.80} ({type(item).__name__})"
            )
    return given if operator in _LISTS else given[0]


def _metadata_condition(
    column: ColumnElement[Any], key: str, path: list[str], operator: str, value: object
) -> ColumnElement[bool]:
    """Compare a plain value inside the metadata: text, whole number, number, truth value, or null."""
    element: Any = column[tuple(path)]
    sample = next(iter(value), None) if operator in _LISTS and isinstance(value, list | tuple | set) else value
    if operator == "isnull" or sample is None:
        return OPERATORS[operator](element.as_string(), value)
    if isinstance(sample, bool):
        typed = element.as_boolean()
    elif isinstance(sample, int):
        typed = element.as_integer()
    elif isinstance(sample, float):
        typed = element.as_float()
    elif isinstance(sample, str):
        typed = element.as_string()
    else:
        raise IdentityError(f"{key} compares with text, a number, a truth value or None, but was given {sample!r:.80}")
    return OPERATORS[operator](typed, value)
