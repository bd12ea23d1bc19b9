"""Frames of polars, which never change: every selection and slice shares its memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import polars as pl

from simpleml.datasets.families.frames import Column, Positions, SourceFile, no_frame


class PolarsFrames:
    """The family of `polars.DataFrame`; a lazy frame is collected when it comes in."""

    name = "polars"
    counted = True
    formats = frozenset({"csv", "json", "parquet", "feather"})

    def adopt(self, value: Any) -> Any:
        """Return the frame, which does not change with the one that was given, or what a lazy frame gives."""
        if isinstance(value, pl.LazyFrame):
            return value.collect()
        if not isinstance(value, pl.DataFrame):
            raise no_frame(value, "a polars.DataFrame or LazyFrame")
        return value.clone()

    def pattern(self, frame: Any) -> str | None:
        """Return None: the type tells."""
        return None

    def columns(self, frame: Any) -> list[Hashable]:
        """Return the names of the columns."""
        return list(frame.columns)

    def dtypes(self, frame: Any) -> dict[Hashable, str]:
        """Return the types as polars writes them: `Int64`, `String`."""
        return {name: str(dtype) for name, dtype in frame.schema.items()}

    def count(self, frame: Any) -> int:
        """Return the number of rows."""
        return int(frame.height)

    def read(self, frame: Any, columns: Sequence[Hashable], positions: Positions) -> Any:
        """Return these columns and rows; a slice of them copies nothing."""
        return self.take(frame.select(list(columns)), positions)

    def take(self, data: Any, positions: Positions) -> Any:
        """Return rows by position."""
        if isinstance(data, pl.DataFrame | pl.Series):
            return data.clone() if positions is None else data[positions]
        if positions is None:
            return data.copy()
        found = data[positions]
        return found.copy() if isinstance(positions, slice) else found

    def squeeze(self, data: Any) -> Any:
        """Return a frame of one column as its series."""
        return data.to_series() if isinstance(data, pl.DataFrame) and data.width == 1 else data

    def concat(self, parts: Sequence[Any]) -> Any:
        """Return the rows of all frames, which have the same columns."""
        return pl.concat(list(parts), how="vertical_relaxed")

    def beside(self, parts: Sequence[Any]) -> Any:
        """Return the columns side by side."""
        return pl.concat(list(parts), how="horizontal")

    def values(self, frame: Any, column: Hashable) -> Column:
        """Return the values of one column as NumPy has them."""
        return np.asarray(frame.get_column(column).to_numpy())

    def distinct(self, frame: Any, column: Hashable) -> list[Any]:
        """Return the different values."""
        return cast("list[Any]", frame.get_column(column).drop_nulls().unique(maintain_order=True).to_list())

    def where(self, frame: Any, column: Hashable, value: object) -> Positions:
        """Return where the column has this value."""
        return np.flatnonzero((frame.get_column(column) == value).fill_null(value=False).to_numpy())

    def with_constant(self, frame: Any, column: Hashable, value: str) -> Any:
        """Return the frame with the column behind the others."""
        return frame.with_columns(pl.lit(value).alias(str(column)))

    def framed(self, data: Any, names: Sequence[Hashable], like: Any) -> Any:
        """Return a frame; one that is a frame already keeps its own columns."""
        if isinstance(data, pl.DataFrame):
            return data
        if isinstance(data, pl.Series):
            return data.to_frame()
        if type(data).__module__.partition(".")[0] == "pandas":
            return pl.from_pandas(data.to_frame() if data.ndim == 1 else data)
        if hasattr(data, "toarray"):
            data = data.toarray()
        if isinstance(data, np.ndarray):
            columns = data.reshape(len(data), -1)
            given = (
                [str(name) for name in names]
                if len(names) == columns.shape[1]
                else list(map(str, range(columns.shape[1])))
            )
            return pl.DataFrame({name: columns[:, number] for number, name in enumerate(given)})
        return pl.DataFrame(list(data))

    def read_file(self, source: SourceFile, format_: str, params: Mapping[str, Any]) -> Any:
        """Return the frame by `polars.read_csv` and its like; `json` is one object a line unless `lines` is false."""
        given = dict(params)
        method = {"feather": "read_ipc", "json": "read_ndjson"}.get(format_, f"read_{format_}")
        if format_ == "json" and not given.pop("lines", True):
            method = "read_json"
        with (
            source.opened() as file
        ):  # also a plain path: polars takes an encoded `%20` or a `*` in it for something else
            return getattr(pl, method)(file, **given)

    def read_query(self, connection: Any, sql: Any, params: Mapping[str, Any]) -> Any:
        """Return the rows by `polars.read_database`, over the connection that is given: no second library opens the file."""
        return pl.read_database(sql, connection, **params)


FRAMES = PolarsFrames()
