"""Frames of dask: every step is lazy and goes partition by partition; only what is asked as a NumPy array is computed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4
from weakref import finalize

import dask as _dask
import dask.dataframe as _frames
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from simpleml.datasets.families.frames import Column, Positions, SourceFile, no_frame
from simpleml.datasets.families.pandas import FRAMES as PANDAS
from simpleml.errors import PositionError

dask: Any = _dask  # it ships no complete types
dd: Any = _frames

_FETCHED = 100_000  # rows of a query that are held at a time

_lengths: dict[int, tuple[int, ...]] = {}  # rows of each partition of the frames that live, by id


class DaskFrames:
    """The family of `dask.dataframe.DataFrame`.

    Rows that are taken by position come partition by partition, in the given order within each; taking the same positions of
    two sections gives the same rows. Nothing is ever collected; `count` and `take` compute the lengths of the partitions once
    for each frame, and `values`, `distinct` and `where` compute the one column.
    """

    name = "dask"
    counted = False
    formats = frozenset({"csv", "json", "parquet", "feather"})

    def adopt(self, value: Any) -> Any:
        """Return the frame itself."""
        if not isinstance(value, dd.DataFrame):
            raise no_frame(value, "a dask.dataframe.DataFrame")
        return value

    def pattern(self, frame: Any) -> str | None:
        """Return None: the type tells."""
        return None

    def columns(self, frame: Any) -> list[Hashable]:
        """Return the labels of the columns."""
        return list(frame.columns)

    def dtypes(self, frame: Any) -> dict[Hashable, str]:
        """Return the dtypes as pandas writes them."""
        return {name: str(dtype) for name, dtype in frame.dtypes.items()}

    def count(self, frame: Any) -> int:
        """Return the number of rows, which is computed."""
        return sum(lengths(frame))

    def read(self, frame: Any, columns: Sequence[Hashable], positions: Positions) -> Any:
        """Return these columns and rows, lazily."""
        return _rows(frame[list(columns)], positions, lambda: lengths(frame))

    def take(self, data: Any, positions: Positions) -> Any:
        """Return rows by position, lazily; of an array as it is."""
        if not isinstance(data, dd.DataFrame | dd.Series):
            return PANDAS.take(data, positions)
        return _rows(data, positions, lambda: lengths(data))

    def squeeze(self, data: Any) -> Any:
        """Return a frame of one column as its series."""
        return data[data.columns[0]] if isinstance(data, dd.DataFrame) and len(data.columns) == 1 else data

    def concat(self, parts: Sequence[Any]) -> Any:
        """Return the partitions of all frames."""
        return dd.concat(list(parts), axis=0, interleave_partitions=False)

    def beside(self, parts: Sequence[Any]) -> Any:
        """Return the columns side by side, partition by partition."""
        frames = [part.to_frame() if isinstance(part, dd.Series) else part for part in parts]
        return dd.map_partitions(
            _beside,
            *frames,
            align_dataframes=False,
            meta=_beside(*(part._meta for part in frames)),  # noqa: SLF001 - as dask's own functions ask
        )

    def values(self, frame: Any, column: Hashable) -> Column:
        """Return one column, which is computed."""
        return np.asarray(frame[column].compute())

    def distinct(self, frame: Any, column: Hashable) -> list[Any]:
        """Return the different values, which are computed, sorted as text: partitions have no order in which they come."""
        return sorted(frame[column].dropna().unique().compute().tolist(), key=str)

    def where(self, frame: Any, column: Hashable, value: object) -> Positions:
        """Return where the column has this value, which is computed."""
        return np.flatnonzero((frame[column] == value).fillna(value=False).compute().to_numpy(dtype=bool))

    def with_constant(self, frame: Any, column: Hashable, value: str) -> Any:
        """Return the frame with the column behind the others."""
        return frame.assign(**{str(column): value})

    def framed(self, data: Any, names: Sequence[Hashable], like: Any) -> Any:
        """Return a frame; of a dask series its frame, of one partition what pandas makes of it."""
        if isinstance(data, dd.DataFrame):
            return data
        return data.to_frame() if isinstance(data, dd.Series) else PANDAS.framed(data, names, like)

    def read_file(self, source: SourceFile, format_: str, params: Mapping[str, Any]) -> Any:
        """Return the frame by `dask.dataframe.read_csv` and its like, which read pieces of the files when they are needed."""
        options = {} if source.is_local else {"storage_options": dict(source.options)}
        if format_ == "feather":
            return dd.from_map(pd.read_feather, [source.path], **options, **params)
        given = {"lines": True, **params} if format_ == "json" else params
        return getattr(dd, f"read_{format_}")(source.path, **options, **given)

    def read_query(self, connection: Any, sql: Any, params: Mapping[str, Any]) -> Any:
        """Return the rows, fetched `chunksize` at a time into temporary files that live as long as the frame does.

        Workers get these files, and no password.
        """
        given = {"chunksize": _FETCHED, **params}
        files = _Files()
        streaming = connection.execution_options(stream_results=True, max_row_buffer=given["chunksize"])
        for number, chunk in enumerate(pd.read_sql_query(sql, streaming, **given)):
            files.add(number, chunk)
        return dd.from_map(files, list(range(files.count)), meta=files(0).iloc[:0])


class _Files:
    """Parquet files of one type in a temporary folder, read by their numbers; the folder goes with this object."""

    def __init__(self) -> None:
        self._path = Path(mkdtemp(prefix="simpleml-query-"))
        finalize(self, rmtree, self._path, ignore_errors=True)  # not of copies that travel
        self._token = uuid4().hex
        self._schema: Any = None
        self.count = 0

    def add(self, number: int, part: Any) -> None:
        """Write a part, of the types of the first."""
        table = pa.Table.from_pandas(part, schema=self._schema, preserve_index=False)
        self._schema = table.schema
        parquet.write_table(table, self._path / f"{number}.parquet")
        self.count = number + 1

    def __call__(self, number: int) -> Any:
        return parquet.read_table(self._path / f"{number}.parquet").to_pandas()

    def __dask_tokenize__(self) -> str:
        return self._token


def lengths(frame: Any) -> tuple[int, ...]:
    """Return the rows of each partition; computed once for each frame object, one number a partition."""
    if id(frame) not in _lengths:
        narrow = frame[[frame.columns[0]]] if isinstance(frame, dd.DataFrame) and len(frame.columns) else frame
        found = dask.compute(*(dask.delayed(len)(part) for part in narrow.to_delayed()))
        finalize(frame, _lengths.pop, id(frame), None)
        _lengths[id(frame)] = tuple(int(length) for length in found)
    return _lengths[id(frame)]


def _rows(data: Any, positions: Positions, known: Any) -> Any:
    """Return the rows at these positions: of each partition its own, of partitions without any nothing."""
    if positions is None:
        return data
    counts = known()
    ends = list(accumulate(counts))
    total = ends[-1] if ends else 0
    wanted = np.arange(*positions.indices(total)) if isinstance(positions, slice) else np.asarray(positions)
    if len(wanted) and int(wanted.max()) >= total:
        raise PositionError(f"position {int(wanted.max())} is no row: they are 0 to {total - 1}")
    owners = np.searchsorted(ends, wanted, side="right")
    parts = data.to_delayed()
    taken = [
        dask.delayed(_take)(parts[number], wanted[owners == number] - (ends[number] - counts[number]))
        for number in np.unique(owners).tolist()
    ]
    return dd.from_delayed(taken or [dask.delayed(_take)(parts[0], wanted)], meta=data._meta, verify_meta=False)  # noqa: SLF001


def _take(part: Any, positions: Any) -> Any:
    return part.take(positions)


def _beside(*parts: Any) -> Any:
    return PANDAS.beside(parts)


FRAMES = DaskFrames()
