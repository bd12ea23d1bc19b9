"""Arrays of NumPy as frames: a matrix, an array of records, or several arrays with the same rows by name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from simpleml.datasets.families.frames import Column, Positions, SourceFile, no_frame
from simpleml.errors import DatasetError

_NUMBERS = "biufc"


class NumpyFrames:
    """The family of NumPy's arrays.

    The columns of a matrix are called 0, 1, 2, …, those of an array of records as its fields, those of a dict as its keys; an
    array in a dict may have further dimensions (images). A selection of one array of a dict is that array, of several flat ones
    a matrix, of others a dict. Every reading is a copy, since arrays have no lazy ones.
    """

    name = "numpy"
    counted = True
    formats = frozenset({"csv", "npy", "npz"})

    def adopt(self, value: Any) -> Any:
        """Return the array, or the arrays, as they are."""
        if isinstance(value, Mapping):
            return _checked(value)
        if not isinstance(value, np.ndarray):
            raise no_frame(value, "a matrix, an array of records, or a dict of arrays with the same number of rows")
        if value.ndim == 1 and value.dtype.names:
            return value
        if value.ndim != 2:
            raise DatasetError(
                f"this array has {value.ndim} dimensions, and a dataset takes a matrix (reshape(-1, 1) makes one of a single "
                "column), or a dict of arrays of any dimensions: {'X': images, 'y': labels}"
            )
        return value

    def pattern(self, frame: Any) -> str | None:
        """Return None: the type tells."""
        return None

    def columns(self, frame: Any) -> list[Hashable]:
        """Return keys, fields, or numbers."""
        if isinstance(frame, Mapping):
            return list(frame)
        return list(frame.dtype.names) if frame.dtype.names else list(range(frame.shape[1]))

    def dtypes(self, frame: Any) -> dict[Hashable, str]:
        """Return the dtypes as NumPy writes them: `float64`."""
        if isinstance(frame, Mapping):
            return {name: str(array.dtype) for name, array in frame.items()}
        return {name: str(frame.dtype[name] if isinstance(name, str) else frame.dtype) for name in self.columns(frame)}

    def count(self, frame: Any) -> int:
        """Return the number of rows."""
        return len(next(iter(frame.values()))) if isinstance(frame, Mapping) else len(frame)

    def read(self, frame: Any, columns: Sequence[Hashable], positions: Positions) -> Any:
        """Return these columns and rows as one array if they can be one."""
        if not isinstance(frame, Mapping) and not frame.dtype.names:
            return _of_matrix(frame, list(columns), positions)
        parts = {name: self.take(frame[name], positions) for name in columns}
        if len(parts) == 1:
            return next(iter(parts.values()))
        if any(part.ndim != 1 for part in parts.values()):
            return parts
        kinds = {part.dtype.kind for part in parts.values()}
        if len(kinds) > 1 and not kinds <= set(_NUMBERS):
            return np.column_stack([part.astype(object) for part in parts.values()])
        return np.column_stack(list(parts.values()))

    def take(self, data: Any, positions: Positions) -> Any:
        """Return rows by position, always copied."""
        if isinstance(data, Mapping):
            return {name: self.take(part, positions) for name, part in data.items()}
        if positions is None:
            return data.copy()
        found = data[positions]
        return found.copy() if isinstance(positions, slice) else found

    def squeeze(self, data: Any) -> Any:
        """Return a matrix of one column as that column."""
        return data[:, 0] if isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == 1 else data

    def concat(self, parts: Sequence[Any]) -> Any:
        """Return the rows of all parts."""
        if isinstance(parts[0], Mapping):
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return np.concatenate(list(parts))

    def beside(self, parts: Sequence[Any]) -> Any:
        """Return the arrays of all parts by name."""
        return {name: array for part in parts for name, array in self._named(part).items()}

    def values(self, frame: Any, column: Hashable) -> Column:
        """Return one column; `DatasetError` if it has more than one dimension."""
        array = np.asarray(self._named(frame)[column])
        if array.ndim != 1:
            raise DatasetError(
                f"the column {column!r:.80} has the shape {array.shape}, so it is no single value for each row"
            )
        return array

    def distinct(self, frame: Any, column: Hashable) -> list[Any]:
        """Return the different values."""
        found = self.values(frame, column)
        if found.dtype.kind != "O":
            found = found[np.sort(np.unique(found, return_index=True)[1])]
        return [value for value in dict.fromkeys(found.tolist()) if value is not None and value == value]  # noqa: PLR0124 - NaN

    def where(self, frame: Any, column: Hashable, value: object) -> Positions:
        """Return where the column has this value."""
        return np.flatnonzero(self.values(frame, column) == value)

    def with_constant(self, frame: Any, column: Hashable, value: str) -> Any:
        """Return the arrays by name, with the column behind the others."""
        return {**self._named(frame), column: np.full(self.count(frame), value)}

    def framed(self, data: Any, names: Sequence[Hashable], like: Any) -> Any:
        """Return the arrays by name."""
        if isinstance(data, Mapping):
            return dict(data)
        if hasattr(data, "columns"):
            return {name: np.asarray(data[name]) for name in data.columns}
        array = np.asarray(data.toarray() if hasattr(data, "toarray") else data)
        if array.ndim == 1:
            return {names[0] if len(names) == 1 else "0": array}
        if array.ndim > 2:
            return {names[0] if len(names) == 1 else "X": array}
        given = list(names) if len(names) == array.shape[1] else [str(number) for number in range(array.shape[1])]
        return {name: array[:, number] for number, name in enumerate(given)}

    def read_file(self, source: SourceFile, format_: str, params: Mapping[str, Any]) -> Any:
        """Return the arrays by `numpy.load` (npy, npz), which never unpickles, or `numpy.genfromtxt` (csv, with a header)."""
        with source.opened() as file:
            if format_ == "csv":
                return np.genfromtxt(
                    file, **{"delimiter": ",", "names": True, "dtype": None, "encoding": "utf-8", **params}
                )
            found = np.load(file, **{**params, "allow_pickle": False})
            return dict(found) if format_ == "npz" else found

    def read_query(self, connection: Any, sql: Any, params: Mapping[str, Any]) -> Any:
        """Return one array for each column of the result."""
        result = connection.execute(sql, params.get("params") or {})
        names = list(result.keys())
        columns = list(zip(*result.fetchall(), strict=True)) or [()] * len(names)
        return {name: np.array(column) for name, column in zip(names, columns, strict=True)}

    def _named(self, frame: Any) -> dict[Any, Any]:
        if isinstance(frame, Mapping):
            return dict(frame)
        if frame.dtype.names:
            return {name: frame[name] for name in frame.dtype.names}
        return {number: frame[:, number] for number in range(frame.shape[1])}


def _of_matrix(frame: Any, columns: list[Any], positions: Positions) -> Any:
    """Return columns and rows of a matrix by one copy."""
    rows: Any = slice(None) if positions is None else positions
    if columns == list(range(columns[0], columns[-1] + 1)):
        found = frame[rows, columns[0] : columns[-1] + 1]
        return found.copy() if isinstance(rows, slice) else found
    return frame[rows][:, columns]


def _checked(arrays: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return named arrays, if they are arrays with the same number of rows under usable names."""
    if not arrays:
        raise DatasetError("this dict has no array, so it is no data: give {'X': …, 'y': …}")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise DatasetError(
                f"{name!r:.80} in this dict is a {type(array).__qualname__}, not an array with rows: numpy.asarray makes one"
            )
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise DatasetError(f"the key {name!r:.80} of this dict is no name of a column: text or a number is")
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise DatasetError(f"the arrays of one dataset have the same number of rows, and these have {counts}")
    return dict(arrays)


FRAMES = NumpyFrames()
