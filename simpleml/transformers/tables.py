"""What transformers ask of a table, whichever library it comes from; none of them is imported for it."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simpleml.encoding.faults import short
from simpleml.errors import PipelineError, known_names


def library_of(X: Any) -> str:
    """Return the library whose class `X` is of: `pandas`, `polars`, `dask`, `numpy`, …"""
    found = type(X).__module__.partition(".")[0]
    return "dask" if found == "dask_expr" else found


def column_names(X: Any, who: object) -> list[Any]:
    """Return the columns of a frame by name, of an array by number; raises `PipelineError` if there are none."""
    columns = getattr(X, "columns", None)
    if columns is not None:
        return list(columns)
    if library_of(X) == "numpy" and X.ndim == 2:
        return list(range(X.shape[1]))
    raise PipelineError(f"{who!r} takes a table with columns, but was given {short(X)} ({type(X).__name__})")


def demand_columns(X: Any, wanted: Iterable[Any], who: object) -> list[Any]:
    """Return all columns of `X`; raises `PipelineError`, which names them, if one of `wanted` is not there."""
    there = column_names(X, who)
    absent = [name for name in wanted if name not in there]
    if absent:
        shown = ", ".join(repr(name) for name in absent[:10])
        known = known_names(map(str, there), near=str(absent[0]))
        raise PipelineError(f"{who!r} finds no column {shown} in the table; {known}")
    return there


def as_column_list(field: str, columns: Any) -> list[Any]:
    """Return one column or several as a list."""
    if isinstance(columns, str | int):
        return [columns]
    if not isinstance(columns, Iterable):
        raise PipelineError(f"{field} is {short(columns)}, but must be a column or a list of columns")
    return list(columns)
