"""`FillWithValue`: known values in place of missing ones."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from numbers import Real
from typing import Any

from simpleml.errors import PipelineError
from simpleml.transformers.tables import demand_columns, library_of
from simpleml.transformers.transformer import Transformer

_LIKE_PANDAS = ("pandas", "dask")


class FillWithValue(Transformer):
    """Fills what is missing (None, NaN, null) with `values`: one for each column named, or a single one for all.

    Columns of an array are named by their number. A column that is not there is an error. A column of pandas or dask whose
    type has no room for the value (a number among texts) becomes one of objects; in polars the value becomes a text.
    """

    def __init__(self, values: Any) -> None:
        super().__init__(values=values)

    def transform(self, X: Any) -> Any:
        """Return `X` with nothing missing in these columns."""
        values = self.get("values")
        if len(getattr(X, "shape", ())) == 1 and hasattr(X, "name"):
            return self._filled_series(X, values)
        if isinstance(values, Mapping):
            demand_columns(X, values, self)
            values = dict(values)
        library = library_of(X)
        if library == "polars":
            return _filled_polars(X, values)
        if library == "numpy":
            return _filled_array(X, values)
        return _filled_pandas(X, values) if library in _LIKE_PANDAS else X.fillna(values)

    def _filled_series(self, X: Any, values: Any) -> Any:
        """Fill a single column, which a dataset with `squeeze_return` hands over without its table."""
        if isinstance(values, Mapping):
            others = [name for name in values if name != X.name]
            if others:
                raise PipelineError(f"{self!r} finds no column {others[0]!r}: the only one is {X.name!r}")
            values = values[X.name]
        library = library_of(X)
        if library == "polars":
            return _filled_polars(X.to_frame(), values).to_series()
        return _filled_pandas(X.to_frame(), values)[X.name] if library in _LIKE_PANDAS else X.fillna(values)


def _filled_pandas(X: Any, values: Any) -> Any:
    """Fill columns; those that cannot hold their value are cast before, which pandas leaves to its callers."""
    by_column = values if isinstance(values, dict) else dict.fromkeys(X.columns, values)
    lazy = (
        library_of(X) == "dask"
    )  # whether something is missing is not known yet, and each partition is to have one type
    narrow = {
        name: object
        for name, value in by_column.items()
        if not _has_room(X.dtypes[name], value) and (lazy or X[name].isna().any())
    }
    return X.astype(narrow).fillna(values)


def _has_room(dtype: Any, value: Any) -> bool:
    """Whether a column of this type can hold the value and stay what it is; of types not known here pandas decides."""
    if hasattr(dtype, "categories"):
        return value in dtype.categories
    if dtype.kind == "b":
        return isinstance(value, bool)
    if dtype.kind in "iuf":
        number = isinstance(value, Real) and not isinstance(value, bool)
        return number and (dtype.kind == "f" or float(value).is_integer())
    if dtype.kind in "mM":
        return isinstance(value, datetime if dtype.kind == "M" else timedelta) or hasattr(value, "dtype")
    return isinstance(value, str) if dtype.type is str else True


def _filled_polars(X: Any, values: Any) -> Any:
    import polars as pl

    by_column = values if isinstance(values, dict) else dict.fromkeys(X.columns, values)
    filled = []
    for name, value in by_column.items():
        column = pl.col(name).fill_null(value)
        filled.append(column.fill_nan(value) if X.schema[name].is_float() else column)
    return X.with_columns(filled)


def _filled_array(X: Any, values: Any) -> Any:
    filled = X.copy()
    missing = X != X  # noqa: PLR0124 - NaN is not itself
    if X.dtype == object:
        missing |= X == None  # noqa: E711 - each element
    if not isinstance(values, dict):
        filled[missing] = values
        return filled
    for column, value in values.items():
        filled[missing[:, column], column] = value
    return filled
