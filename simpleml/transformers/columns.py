"""Choosing, dropping, renaming and converting columns of a table: pandas, polars, dask or numpy."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simpleml.errors import PipelineError
from simpleml.transformers.tables import as_column_list, demand_columns, library_of
from simpleml.transformers.transformer import Transformer


class ColumnSelector(Transformer):
    """Keeps these columns, in this order."""

    def __init__(self, columns: Sequence[Any] | str) -> None:
        super().__init__(columns=columns)

    def transform(self, X: Any) -> Any:
        """Return the chosen columns of `X`."""
        columns = as_column_list("columns", self.get("columns"))
        demand_columns(X, columns, self)
        return X[:, columns] if library_of(X) == "numpy" else X[columns]

    def get_feature_names(self, input_features: Sequence[str]) -> list[str]:
        """Return the chosen columns."""
        return as_column_list("columns", self.get("columns"))


class DropColumns(Transformer):
    """Leaves these columns out."""

    def __init__(self, columns: Sequence[Any] | str) -> None:
        super().__init__(columns=columns)

    def transform(self, X: Any) -> Any:
        """Return the other columns of `X`."""
        dropped = as_column_list("columns", self.get("columns"))
        kept = [name for name in demand_columns(X, dropped, self) if name not in dropped]
        return X[:, kept] if library_of(X) == "numpy" else X[kept]

    def get_feature_names(self, input_features: Sequence[str]) -> list[str]:
        """Return the columns that are left."""
        dropped = as_column_list("columns", self.get("columns"))
        return [name for name in input_features if name not in dropped]


class Rename(Transformer):
    """Gives columns of a frame other names: `Rename({"Sex": "sex"})`."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        super().__init__(columns=columns)

    def transform(self, X: Any) -> Any:
        """Return `X` with the new names."""
        names: Mapping[str, str] = self.get("columns")
        demand_columns(X, names, self)
        if library_of(X) == "numpy":
            raise PipelineError(f"{self!r} takes a frame, for an array has no names to change")
        return X.rename(dict(names)) if library_of(X) == "polars" else X.rename(columns=dict(names))

    def get_feature_names(self, input_features: Sequence[str]) -> list[str]:
        """Return the new names."""
        names: Mapping[str, str] = self.get("columns")
        return [names.get(name, name) for name in input_features]


class Cast(Transformer):
    """Converts columns to other types of the table's library: `Cast({"age": "float32"})`, or all of them: `Cast("float32")`."""

    def __init__(self, dtypes: Any) -> None:
        super().__init__(dtypes=dtypes)

    def transform(self, X: Any) -> Any:
        """Return `X` with the new types."""
        dtypes = self.get("dtypes")
        if isinstance(dtypes, Mapping):
            demand_columns(X, dtypes, self)
            if library_of(X) == "numpy":
                raise PipelineError(
                    f"{self!r}: all columns of an array have one type, so give one, as in Cast('float32')"
                )
            dtypes = dict(dtypes)
        return X.cast(dtypes) if library_of(X) == "polars" else X.astype(dtypes)
