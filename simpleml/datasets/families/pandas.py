"""Frames of pandas: selections and slices are lazy copies, whatever the version of pandas."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from simpleml.datasets.families.frames import Column, Positions, SourceFile, no_frame
from simpleml.save_patterns.serializers.parquet import PARQUET

_TEXTS = {"string", "empty"}


@cache
def _always_lazy() -> bool:
    return int(pd.__version__.split(".")[0]) >= 3


def _is_lazy() -> bool:
    """Whether pandas copies on write; then a view is as good as a copy."""
    return _always_lazy() or pd.options.mode.copy_on_write is True


class PandasFrames:
    """The family of `pandas.DataFrame`."""

    name = "pandas"
    counted = True
    formats = frozenset({"csv", "json", "parquet", "feather"})

    def adopt(self, value: Any) -> Any:
        """Return the frame, which, where copies are lazy, does not change with the one that was given."""
        if not isinstance(value, pd.DataFrame):
            raise no_frame(value, "a pandas.DataFrame")
        return value.copy(deep=False) if _is_lazy() else value

    def pattern(self, frame: Any) -> str | None:
        """Return `parquet` for a frame whose object columns hold text alone, as those of pandas before version 3 do."""
        objects = [number for number, dtype in enumerate(frame.dtypes) if str(dtype) == "object"]
        if not objects or type(frame) is not pd.DataFrame:
            return None
        texts = all(pd.api.types.infer_dtype(frame.iloc[:, number], skipna=True) in _TEXTS for number in objects)
        return "parquet" if texts and PARQUET.accepts(frame.drop(columns=frame.columns[objects])) else None

    def columns(self, frame: Any) -> list[Hashable]:
        """Return the labels of the columns."""
        return list(frame.columns)

    def dtypes(self, frame: Any) -> dict[Hashable, str]:
        """Return the dtypes as pandas writes them: `int64`, `str`, `category`."""
        return {name: str(dtype) for name, dtype in zip(frame.columns, frame.dtypes, strict=True)}

    def count(self, frame: Any) -> int:
        """Return the number of rows."""
        return len(frame)

    def read(self, frame: Any, columns: Sequence[Hashable], positions: Positions) -> Any:
        """Return these columns and rows: columns in the frame's own order are slices to pandas, so only rows are copied."""
        wanted = dict.fromkeys(columns)
        if [name for name in frame.columns if name in wanted] == list(wanted):
            return self.take(frame.drop(columns=[name for name in frame.columns if name not in wanted]), positions)
        if positions is None:
            return frame[list(columns)]
        return self.take(frame, positions)[list(columns)]

    def take(self, data: Any, positions: Positions) -> Any:
        """Return rows by position, never by label, so a repeated index gives each row once."""
        if isinstance(data, pd.DataFrame | pd.Series):
            if positions is None or isinstance(positions, slice):
                found = data if positions is None else data.iloc[positions]
                return found.copy(deep=not _is_lazy())
            return data.take(positions)
        return _take_array(data, positions)

    def squeeze(self, data: Any) -> Any:
        """Return a frame of one column as its series."""
        return data.iloc[:, 0] if isinstance(data, pd.DataFrame) and data.shape[1] == 1 else data

    def concat(self, parts: Sequence[Any]) -> Any:
        """Return the rows of all frames, each with its own label."""
        return pd.concat(list(parts), axis=0)

    def beside(self, parts: Sequence[Any]) -> Any:
        """Return the columns side by side, joined by position."""
        index = parts[0].index
        return pd.concat([part.set_axis(index, axis=0) for part in parts], axis=1)

    def values(self, frame: Any, column: Hashable) -> Column:
        """Return the values of one column as NumPy has them."""
        return np.asarray(frame[column])

    def distinct(self, frame: Any, column: Hashable) -> list[Any]:
        """Return the different values."""
        return list(frame[column].dropna().unique().tolist())

    def where(self, frame: Any, column: Hashable, value: object) -> Positions:
        """Return where the column has this value."""
        return np.flatnonzero((frame[column] == value).fillna(False).to_numpy(dtype=bool))

    def with_constant(self, frame: Any, column: Hashable, value: str) -> Any:
        """Return the frame with the column behind the others."""
        return frame.assign(**{str(column): value})

    def framed(self, data: Any, names: Sequence[Hashable], like: Any) -> Any:
        """Return a frame; one that is a frame already keeps its own columns and labels."""
        index = like.index if isinstance(like, pd.DataFrame | pd.Series) else None
        if isinstance(data, pd.DataFrame):
            return data
        if isinstance(data, pd.Series):
            return data.to_frame()
        if hasattr(data, "to_pandas"):
            return _labelled(data.to_pandas(), index)
        if hasattr(data, "sparse") or hasattr(data, "tocsr"):
            return _named(_sparse(data, index), names)
        if isinstance(data, np.ndarray):
            return _named(pd.DataFrame(data.reshape(len(data), -1), index=index), names)
        return pd.DataFrame(list(data), index=index)

    def read_file(self, source: SourceFile, format_: str, params: Mapping[str, Any]) -> Any:
        """Return the frame by `pandas.read_csv` and its like; `json` is one object a line unless `lines` says otherwise."""
        reader = getattr(pd, f"read_{format_}")
        given = {"lines": True, **params} if format_ == "json" else params
        if source.is_local:
            return reader(source.path, **given)
        with source.opened() as file:
            return reader(file, **given)

    def read_query(self, connection: Any, sql: Any, params: Mapping[str, Any]) -> Any:
        """Return the rows by `pandas.read_sql_query`."""
        return pd.read_sql_query(sql, connection, **params)


def _labelled(frame: Any, index: Any) -> Any:
    found = frame.to_frame() if isinstance(frame, pd.Series) else frame
    return found if index is None else found.set_axis(index, axis=0)


def _sparse(matrix: Any, index: Any) -> Any:
    accessor: Any = pd.DataFrame.sparse
    return accessor.from_spmatrix(matrix, index=index)


def _named(frame: Any, names: Sequence[Hashable]) -> Any:
    """Return the frame with these names, if there is one for each column; else with the numbers as text."""
    given = list(names) if len(names) == frame.shape[1] else [str(number) for number in range(frame.shape[1])]
    return frame.set_axis(given, axis=1)


def _take_array(data: Any, positions: Positions) -> Any:
    if positions is None:
        return data.copy()
    found = data[positions]
    return found.copy() if isinstance(positions, slice) else found


FRAMES = PandasFrames()
