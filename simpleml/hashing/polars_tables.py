"""polars frames and series: names, types and values, laid out by Arrow."""

from __future__ import annotations

from typing import Any

import polars as pl

from simpleml.errors import MissingDependencyError
from simpleml.hashing.hashers import opens
from simpleml.hashing.tokens import Node, Refusal
from simpleml.hashing.walker import item_label


@opens("polars.DataFrame")
def open_polars_frame(value: Any) -> Node:
    """A polars frame is its columns in order, each with name, type and values."""
    return Node(b"polars.DataFrame", b"%d" % value.height, value.get_columns(), item_label)


@opens("polars.Series")
def open_polars_series(value: Any) -> Node:
    """A polars series is its name, type and values."""
    dtype = value.dtype
    kind = dtype.base_type().__name__.encode()
    categories = dtype.categories.to_list() if isinstance(dtype, pl.Enum) else None
    values = value.to_list() if isinstance(dtype, pl.Object) else _arrow(value)
    return Node(b"polars.Series", kind, (value.name, categories, values), (".name", "", ""))


def _arrow(value: Any) -> Any:
    """Return the values as an Arrow array, or as Python values where Arrow has no such type (128-bit integers)."""
    try:
        return value.to_arrow()
    except ModuleNotFoundError as error:
        msg = "cannot hash polars data without pyarrow, which lays out its values. Install it: pip install simpleml[arrow]"
        raise MissingDependencyError(msg) from error
    except ValueError:  # pyarrow.lib.ArrowInvalid: the type is polars' own
        return value.to_list()


@opens("polars.LazyFrame")
def open_lazy(_value: Any) -> Node:
    """A query is not its result."""
    raise Refusal("a polars LazyFrame is a query that has no rows yet; call .collect() first")
