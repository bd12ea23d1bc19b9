"""pandas frames, series, indexes and arrays: labels, dtypes and values; `attrs`, `flags`, `freq` and blocks do not count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simpleml.hashing.arrays import no_nulls, strings_content
from simpleml.hashing.hashers import opens
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node, leaf, seal

_EXTENSIONS = "pandas.arrays."


@opens("pandas.DataFrame")
def open_frame(value: Any) -> Node:
    """A frame is its columns in order, each with label, dtype and values, and its row index."""
    columns = [_values(column) for _, column in value.items()]
    labels = (list(value.columns), list(value.columns.names), value.index, _metadata(value, pd.DataFrame))

    def label(_node: Node, index: int) -> str:
        return (".columns", ".columns.names", ".index", "")[index] if index < 4 else f"[{labels[0][index - 4]!r}]"

    return Node(b"pandas.DataFrame", _subtype(value, pd.DataFrame), (*labels, *columns), label)


@opens("pandas.Series")
def open_series(value: Any) -> Node:
    """A series is its name, row index, dtype and values."""
    parts = (value.name, value.index, _metadata(value, pd.Series), _values(value))
    return Node(b"pandas.Series", _subtype(value, pd.Series), parts, (".name", ".index", "", ".values"))


@opens("pandas.Index")
def open_index(value: Any) -> Node:
    """An index is its names, dtype and values; a range is the same as its integers written out."""
    if isinstance(value, pd.MultiIndex):
        levels = [value.get_level_values(level) for level in range(value.nlevels)]
        return Node(b"pandas.MultiIndex", b"", levels, lambda _node, index: f".levels[{index}]")
    progression = _progression(value)
    parts = (value.name, _values(value) if progression is None else progression)
    return Node(b"pandas.Index", b"", parts, (".name", ".values"))


def _progression(index: Any) -> range | None:
    """Return the range that an index of integers equals, if it equals one."""
    if isinstance(index, pd.RangeIndex):
        return range(index.start, index.stop, index.step)
    if index.dtype != np.dtype(np.int64):
        return None
    values = index.to_numpy()
    if len(values) < 2:
        return range(int(values[0]), int(values[0]) + 1) if len(values) else range(0)
    start, step = int(values[0]), int(values[1]) - int(values[0])
    full = range(start, start + step * len(values), step) if step else range(0)
    if len(full) != len(values) or int(values[-1]) != full[-1] or not -(2**63) <= step < 2**63:
        return None
    # Differences may wrap around, but those of a progression between two integers of 64 bits cannot.
    pieces = (values[at : at + 65537] for at in range(0, len(values) - 1, 65536))
    return full if all((np.diff(piece) == step).all() for piece in pieces) else None


def _values(column: Any) -> Any:
    """Return the values of a series or index without a copy: an array of NumPy's or of pandas' own."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def _subtype(value: Any, base: type) -> bytes:
    return b"" if type(value) is base else type_name(type(value))


def _metadata(value: Any, base: Any) -> dict[str, Any]:
    """Return what a subclass declares as its own attributes in `_metadata`."""
    return {name: getattr(value, name, None) for name in value._metadata if name not in base._metadata}  # noqa: SLF001


@opens("pandas.Categorical")
def open_categorical(value: Any) -> Node:
    """Categorical values are their codes and the categories in order, whether or not that order is declared."""
    parts = (value.codes, _values(value.categories))
    return Node(b"categorical", b"ordered" if value.ordered else b"", parts, (".codes", ".categories"))


@opens(f"{_EXTENSIONS}DatetimeArray", f"{_EXTENSIONS}PeriodArray", f"{_EXTENSIONS}TimedeltaArray")
def open_times(value: Any) -> Node:
    """Times are their integers, with unit and zone or frequency."""
    return Node(b"times", str(value.dtype).encode(), (value.asi8,), ("",))


@opens(f"{_EXTENSIONS}IntegerArray", f"{_EXTENSIONS}FloatingArray", f"{_EXTENSIONS}BooleanArray")
def open_nullable(value: Any) -> Node:
    """Nullable numbers are the numbers that are there and which are not; what lies under a null does not count."""
    data, mask = value._data, value._mask  # noqa: SLF001 - the public ways copy, and mix NaN with NA
    if mask.any():
        data = np.where(mask, np.zeros((), data.dtype), data)
    return Node(b"nullable", str(value.dtype).encode(), (data, mask), ("", ""))


@opens(f"{_EXTENSIONS}IntervalArray")
def open_intervals(value: Any) -> Node:
    """Intervals are their ends and which of them are inside."""
    return Node(b"intervals", value.closed.encode(), (value.left, value.right), (".left", ".right"))


@opens(f"{_EXTENSIONS}SparseArray")
def open_sparse(value: Any) -> Node:
    """Sparse values are the stored ones, their places, the length and the fill value."""
    parts = (len(value), value.fill_value, value.sp_index.indices.astype(np.int64), value.sp_values)
    return Node(b"pandas sparse", b"", parts, ("", ".fill_value", "", ""))


@opens(f"{_EXTENSIONS}ArrowExtensionArray")
def open_arrow_backed(value: Any) -> Node:
    """Arrow-backed values are the Arrow column."""
    return Node(b"arrow backed", b"", (value.__arrow_array__(),), ("",))


@opens(f"{_EXTENSIONS}ArrowStringArray", f"{_EXTENSIONS}StringArray")
def open_strings(value: Any) -> bytes:
    """Strings are their text and which are missing, whatever holds them (Arrow or Python objects)."""
    dtype = str(value.dtype).encode()  # `str` (missing is NaN) or `string` (missing is NA)
    if value.dtype.storage.startswith("pyarrow"):
        from simpleml.hashing.strings import arrow_strings

        return seal(b"pandas strings", dtype, *arrow_strings(value.__arrow_array__()))
    missing = np.asarray(value.isna())
    items = ["" if gone else item for item, gone in zip(value, missing.tolist(), strict=True)]
    return seal(b"pandas strings", dtype, no_nulls(missing), *strings_content(items))


@opens("pandas.api.extensions.ExtensionArray")
def open_extension(value: Any) -> Node:
    """Values of a third party's dtype are that dtype's name and each value in order."""
    return Node(b"extension", str(value.dtype).encode(), (type_name(type(value)), list(value)), ("", ""))


@opens("pandas.arrays.NumpyExtensionArray")
def open_wrapped(value: Any) -> Node:
    """A wrapped NumPy array is that array."""
    return Node(b"numpy backed", b"", (value.to_numpy(),), ("",))


@opens("pandas.Timestamp")
def open_timestamp(value: Any) -> Node:
    """A timestamp is its instant, unit and zone."""
    zone = None if value.tz is None else str(value.tz)
    return Node(b"timestamp", b"", (value.to_datetime64(), zone), ("", ".tz"))


@opens("pandas.Timedelta")
def open_timedelta(value: Any) -> Node:
    """A duration is its integer and unit."""
    return Node(b"pandas timedelta", b"", (value.to_timedelta64(),), ("",))


@opens("pandas._libs.tslibs.nattype.NaTType")
def open_nat(_value: Any) -> bytes:
    """`NaT` is itself."""
    return leaf(b"K", b"NaT")


@opens("pandas._libs.missing.NAType")
def open_na(_value: Any) -> bytes:
    """`NA` is itself."""
    return leaf(b"K", b"NA")


@opens("pandas.Period")
def open_period(value: Any) -> Node:
    """A period is its number and frequency."""
    return Node(b"period", value.freqstr.encode(), (value.ordinal,), ("",))
