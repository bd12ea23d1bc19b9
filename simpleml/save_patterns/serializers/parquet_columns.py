"""What one pandas column needs to come back exactly from parquet, by its dtype."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.serializers import parquet_arrow as arrow
from simpleml.save_patterns.serializers.plan import Refused

_CHUNK = 1024 * 1024  # bytes
MASKED = frozenset(
    {*(f"{sign}Int{size}" for sign in ("", "U") for size in (8, 16, 32, 64)), "Float32", "Float64", "boolean"}
)


def plain(chunk: Any) -> Any:
    """Return the elements of an arrow chunk as numpy holds them."""
    return chunk.to_numpy(zero_copy_only=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """One dtype in both directions; `type` is the arrow type in the file.

    `write` turns a series into arrow. Reading fills an array of dtype `filled` chunk by chunk with what `read` makes of
    each, and `finish` turns that into the column; with `filled` None, `finish` gets the arrow chunks themselves.
    """

    type: Any
    write: Callable[[Any], Any]
    finish: Callable[[Any], Any]
    filled: np.dtype[Any] | None = None
    read: Callable[[Any], Any] = plain


class Column:
    """Collects the chunks of one column as they are read; holds one copy of each element."""

    def __init__(self, kind: Kind, rows: int) -> None:
        self.kind = kind
        self.rows = rows
        self._done = 0
        self._array = None if kind.filled is None else np.empty(rows, kind.filled)
        self._chunks: list[Any] = []
        self._small: list[Any] = []  # the last chunks, which thousands of would make a column slow and a tenth larger

    def add(self, chunks: Any) -> None:
        """Take the next rows."""
        for chunk in chunks.chunks:
            if self._array is None:
                self._small.append(chunk.cast(self.kind.type))
                if sum(each.nbytes for each in self._small) >= _CHUNK:
                    self._put_together()
            else:
                self._array[self._done : self._done + len(chunk)] = self.kind.read(chunk)
            self._done += len(chunk)

    def _put_together(self) -> None:
        self._chunks += self._small if len(self._small) == 1 else [_joined(self._small)]
        self._small.clear()

    def finish(self) -> Any:
        """Return the column as pandas holds it."""
        if self._done != self.rows:
            raise ValueError(f"{self._done} rows, and {self.rows} were written")
        if self._array is not None:
            return self.kind.finish(self._array)
        if self._small:
            self._put_together()
        return self.kind.finish(pa.chunked_array(self._chunks, self.kind.type))


def _joined(arrays: list[Any]) -> Any:
    """Return arrays as one; text in pages of its own, for allocators take much more than they give to pieces of this size."""
    kind = arrays[0].type
    if kind != pa.large_string() or any(array.null_count or not len(array) for array in arrays):
        return pa.concat_arrays(arrays)
    spans = [np.frombuffer(array.buffers()[1], "i8", len(array) + 1, array.offset * 8) for array in arrays]
    ends = private_memory(8 * (sum(map(len, arrays)) + 1))
    text = private_memory(max(1, sum(int(span[-1] - span[0]) for span in spans)))
    places, row, end = np.frombuffer(ends, "i8"), 0, 0
    for array, span in zip(arrays, spans, strict=True):
        first, size = int(span[0]), int(span[-1] - span[0])
        places[row : row + len(span)] = span - (first - end)
        if size:
            text[end : end + size] = memoryview(array.buffers()[2]).cast("B")[first : first + size]
        row, end = row + len(array), end + size
    return pa.Array.from_buffers(kind, row, [None, pa.py_buffer(ends), pa.py_buffer(text)])


def refusal(dtype: Any) -> str | None:
    """Return why a column of this dtype would not come back, or None; of an object column the values decide."""
    if isinstance(dtype, np.dtype):
        if dtype.kind == "O" or dtype.kind in "mM" or (dtype.kind in "biuf" and dtype.isnative and dtype.itemsize <= 8):
            return None
        return "no format of data frames has an exact form of that"
    if isinstance(dtype, pd.CategoricalDtype):
        reason = refusal(dtype.categories.dtype)
        if reason is None and dtype.categories.dtype == "O" and not _is_text(dtype.categories.to_numpy()):
            reason = "they are not all text"
        return f"of its categories: {reason}" if reason else None
    if isinstance(dtype, pd.DatetimeTZDtype):
        return None if _zone_note(dtype.tz) else f"its time zone {dtype.tz!r:.80} has no name that would be found again"
    if isinstance(dtype, pd.ArrowDtype):
        kind = dtype.pyarrow_dtype
        if pa.types.is_dictionary(kind) or arrow.stored_as(kind) is not None:
            return "no format of data frames has an exact form of that"
        return arrow.type_refusal(kind)
    if isinstance(dtype, pd.StringDtype) or str(dtype) in MASKED:
        return None
    return "no format of data frames has an exact form of that"


def note_of(dtype: Any) -> dict[str, Any]:
    """Return a dtype as data, for `kind_of`; raises `Refused`."""
    reason = refusal(dtype)
    if reason is not None:
        raise Refused(f"it is of dtype {dtype!s:.200}, and {reason}")
    if isinstance(dtype, np.dtype):
        return {"kind": "text"} if dtype.kind == "O" else {"kind": "numpy", "dtype": dtype.str}
    if isinstance(dtype, pd.CategoricalDtype):
        return {"kind": "category", "ordered": dtype.ordered, "categories": pack_labels(dtype.categories)}
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {"kind": "zoned", "unit": dtype.unit, "zone": _zone_note(dtype.tz)}
    if isinstance(dtype, pd.ArrowDtype):
        return {"kind": "arrow", "type": pa.schema([("", dtype.pyarrow_dtype)]).serialize().to_pybytes()}
    if isinstance(dtype, pd.StringDtype):
        return {"kind": "string", "storage": dtype.storage, "missing": "NA" if dtype.na_value is pd.NA else "nan"}
    return {"kind": "masked", "dtype": str(dtype)}


def kind_of(note: dict[str, Any]) -> Kind:
    """Return how to write and read a column of the dtype that a note describes."""
    dtype: Any
    if note["kind"] == "numpy":
        return _numpy(np.dtype(note["dtype"]))
    if note["kind"] == "text":
        return Kind(pa.large_string(), _write_text, _same, np.dtype(object))
    if note["kind"] == "category":
        labels = unpack_labels(note["categories"])
        dtype = pd.CategoricalDtype(labels, ordered=note["ordered"])
        coded = coded_kind(note["categories"])
        return Kind(
            coded.type,
            lambda part: coded.write(part.cat.codes.to_numpy()),
            lambda codes: pd.Categorical.from_codes(codes, dtype=dtype),
            coded.filled,
            coded.read,
        )
    if note["kind"] == "zoned":
        zone, unit = _zone(note["zone"]), note["unit"]
        plain = _numpy(np.dtype(f"M8[{unit}]"))
        moments = pa.timestamp(plain.type.unit, "UTC")
        return Kind(
            moments,
            lambda part: plain.write(part.dt.tz_convert(None)).cast(moments),
            lambda values: pd.DatetimeIndex(values, copy=False).tz_localize("UTC").tz_convert(zone).array,
            plain.filled,
        )
    if note["kind"] == "arrow":
        dtype = pd.ArrowDtype(pa.ipc.read_schema(pa.py_buffer(note["type"])).field(0).type)
        return Kind(dtype.pyarrow_dtype, lambda part: pa.array(part.array), dtype.__from_arrow__)
    if note["kind"] == "string":
        missing = {} if note["missing"] == "NA" else {"na_value": np.nan}
        dtype = pd.StringDtype(note["storage"], **missing)
        return Kind(pa.large_string(), lambda part: pa.array(part.array, from_pandas=True), dtype.__from_arrow__)
    if note["kind"] == "masked" and note["dtype"] in MASKED:
        return _masked(pd.api.types.pandas_dtype(note["dtype"]))
    raise ValueError(f"the kind of column {note['kind']!r:.80} is unknown")


def coded_kind(labels: dict[str, Any]) -> Kind:
    """Return how to keep positions in some packed labels, -1 for missing, as a column of the labels themselves."""
    if "values" in labels:
        raise Refused("its categories are not all text")
    values = _arrow_values(unpack_labels(labels))
    if values.null_count or len(values.unique()) != len(values):
        raise Refused("a category is missing, or there twice")
    kind = arrow.dictionary_type(values.type)

    def write(codes: Any) -> Any:
        places = pa.array(codes.astype(np.int32), mask=codes < 0)
        return pa.DictionaryArray.from_arrays(places, values) if pa.types.is_dictionary(kind) else values.take(places)

    def read(chunk: Any) -> Any:
        return arrow.positions(chunk, values).fill_null(-1).to_numpy(zero_copy_only=False)

    return Kind(kind, write, _same, np.dtype(np.int32), read)


def pack_labels(index: Any) -> dict[str, Any]:
    """Return an index of one level as data: its values, dtype, name and frequency; `unpack_labels` is its inverse."""
    note: dict[str, Any] = {"name": index.name}
    if type(index) is pd.RangeIndex:
        return {**note, "range": [index.start, index.stop, index.step]}
    if index.dtype == object and not _is_text(index.to_numpy()):
        return {**note, "values": index.tolist()}
    freq = getattr(index, "freq", None)
    if freq is not None:
        note["freq"] = freq_note(freq)
    note["dtype"] = note_of(index.dtype)
    return {**note, "data": arrow.pack(_arrow_values(index))}


def unpack_labels(note: dict[str, Any]) -> Any:
    """Return the index that `pack_labels` was given."""
    if "range" in note:
        return pd.RangeIndex(range(*note["range"]), name=note["name"])
    if "values" in note:
        return pd.Index(_objects(note["values"]), dtype=object, name=note["name"], tupleize_cols=False)
    kind = kind_of(note["dtype"])
    data = arrow.unpack(note["data"])
    column = Column(kind, len(data))
    column.add(pa.chunked_array([data]))
    return make_index(column.finish(), note["name"], note.get("freq"))


def make_index(values: Any, name: Any, freq: str | None) -> Any:
    """Return an index of these very values, of their own dtype."""
    if freq is not None:
        return type(pd.Index(values[:0]))(values, name=name, freq=freq)
    return pd.Index(values, dtype=values.dtype, name=name, copy=False, tupleize_cols=False)


def freq_note(freq: Any) -> str:
    """Return the name of a frequency; raises `Refused` if the name alone is not all there is to it."""
    if pd.tseries.frequencies.to_offset(freq.freqstr) != freq:
        raise Refused(f"its frequency {freq!r:.80} has no name: set `index.freq = None`")
    return str(freq.freqstr)


def series(index: Any) -> Any:
    """Return an index as a series of the same dtype."""
    return pd.Series(index, dtype=index.dtype, copy=False)


def _arrow_values(index: Any) -> Any:
    values = kind_of(note_of(index.dtype)).write(series(index))
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        return values.cast(values.type.value_type)
    return values


def _numpy(dtype: np.dtype[Any]) -> Kind:
    if dtype.kind == "M":
        unit = np.datetime_data(dtype)[0]
        kind = pa.timestamp("ms" if unit == "s" else unit)
    else:
        kind = pa.from_numpy_dtype(dtype)
    return Kind(kind, lambda part: pa.array(part.to_numpy(), from_pandas=False).cast(kind), _same, dtype)


def _masked(dtype: Any) -> Kind:
    """Return the kind of a dtype that has a mask; a NaN that is not masked stays one."""
    kind = pa.from_numpy_dtype(dtype.numpy_dtype)

    def write(part: Any) -> Any:
        values = part.to_numpy(dtype.numpy_dtype, na_value=0)
        return pa.array(values, mask=part.isna().to_numpy(), from_pandas=False)

    def finish(chunks: Any) -> Any:
        values = np.array(chunks.fill_null(False if kind == pa.bool_() else 0).to_numpy(), dtype.numpy_dtype)
        return dtype.construct_array_type()(values, np.array(chunks.is_null().to_numpy()))

    return Kind(kind, write, finish)


def _write_text(part: Any) -> Any:
    values = part.to_numpy()
    if not _is_text(values):
        odd = next(value for value in values if type(value) is not str and value is not None)
        raise Refused(
            f"it is of dtype object and holds {odd!r:.80} ({type(odd).__qualname__}), which is no text: no format of data frames has an exact form of that"
        )
    return pa.array(values, type=pa.large_string(), from_pandas=False)


def _is_text(values: Any) -> bool:
    """Whether an object array holds nothing but plain text and None."""
    return set(map(type, values)) <= {str, type(None)}


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        array[position] = value
    return array


def _same(values: Any) -> Any:
    return values


def _zone_note(zone: Any) -> dict[str, Any] | None:
    """Return a time zone as data, or None if it cannot be made again from that."""
    if type(zone) is dt.timezone:
        note: dict[str, Any] = {"kind": "fixed", "seconds": zone.utcoffset(None).total_seconds(), "name": None}
        return note if repr(_zone(note)) == repr(zone) else {**note, "name": zone.tzname(None)}
    if type(zone) is ZoneInfo and zone.key:
        return {"kind": "zone", "name": zone.key}
    return None


def _zone(note: dict[str, Any]) -> Any:
    if note["kind"] == "zone":
        return ZoneInfo(note["name"])
    offset = dt.timedelta(seconds=note["seconds"])
    if note["name"] is not None:
        return dt.timezone(offset, note["name"])
    return dt.timezone(offset) if offset else dt.UTC
