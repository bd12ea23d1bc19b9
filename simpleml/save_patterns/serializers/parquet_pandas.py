"""Pandas frames in parquet: columns by position, the index as further columns, labels and dtypes in the note."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from simpleml import encoding
from simpleml.errors import EncodingError
from simpleml.save_patterns.serializers import parquet_columns as columns
from simpleml.save_patterns.serializers.plan import Plan, Refused

_SAMPLE = 500


@dataclass(frozen=True, slots=True)
class _Source:
    """One column of the file: `part(start, stop)` gives what `kind.write` takes."""

    label: str
    name: str
    kind: columns.Kind
    part: Callable[[int, int], Any]
    row_bytes: float


def refusal(frame: Any) -> str | None:
    """Return why a frame of these dtypes and labels would not come back, or None; nobody looks into object columns."""
    for label, dtype in zip(frame.columns, frame.dtypes, strict=True):
        reason = "only its values could tell" if dtype == "O" else columns.refusal(dtype)
        if reason is not None:
            return f"the column {label!r:.80} is of dtype {dtype!s:.200}, and {reason}"
    levels = frame.index.levels if isinstance(frame.index, pd.MultiIndex) else [frame.index]
    for level in levels:
        reason = "only its values could tell" if level.dtype == "O" else columns.refusal(level.dtype)
        if reason is not None:
            return f"the index is of dtype {level.dtype!s:.200}, and {reason}"
    try:
        encoding.dumps([_note_columns(frame.columns), _note_index(frame.index), dict(frame.attrs)])
    except (Refused, EncodingError, pa.ArrowException, ValueError, TypeError) as error:
        return f"its labels or attrs: {error}"
    return None


def plan(frame: Any) -> Plan:
    """Return how to write a frame, slice by slice."""
    try:
        index = _note_index(frame.index)
    except Refused as error:
        raise Refused(f"the index: {error}") from error
    sources, notes = [], []
    for position, label in enumerate(frame.columns):
        note, source = _column(frame, position, label)
        notes.append(note)
        sources.append(source)
    sources += _index_sources(frame.index, index)
    names = _unique([source.name for source in sources])
    schema = pa.schema([(name, source.kind.type) for name, source in zip(names, sources, strict=True)])
    note = {
        "labels": _note_columns(frame.columns),
        "columns": notes,
        "index": index,
        "attrs": dict(frame.attrs),
        "duplicates": frame.flags.allows_duplicate_labels,
    }

    def part(start: int, stop: int) -> Any:
        return pa.Table.from_arrays([_write(source, start, stop) for source in sources], schema=schema)

    return Plan(schema, len(frame), sum(source.row_bytes for source in sources), part, note)


def restore(
    groups: Iterator[Any],
    rows: int,
    note: dict[str, Any],
    collect: Callable[[columns.Kind, int], columns.Column] = columns.Column,
) -> object:
    """Return the frame; beside it there is never more than one row group. `collect` makes what takes in one column."""
    kinds = [columns.kind_of(column) for column in note["columns"]] + _index_kinds(note["index"])
    collectors = [collect(kind, rows) for kind in kinds]
    for group in groups:
        for position, collector in enumerate(collectors):
            collector.add(group.column(position))
    count = len(note["columns"])
    index = _make_index(note["index"], [collector.finish() for collector in collectors[count:]])
    if len(index) != rows:
        raise ValueError(f"an index of {len(index)} rows, and {rows} were written")
    data = {}
    for position, collector in enumerate(collectors[:count]):
        values = collector.finish()
        data[position] = pd.Series(values, index=index, dtype=values.dtype, copy=False)
    frame: Any = pd.DataFrame(data, index=index, copy=False)
    frame.columns = _make_columns(note["labels"])
    frame.attrs.update(note["attrs"])
    if not note["duplicates"]:
        frame.flags.allows_duplicate_labels = False
    return frame


def _column(frame: Any, position: int, label: Any) -> tuple[dict[str, Any], _Source]:
    values = frame.iloc[:, position]
    shown = f"the column {label!r:.80}"
    try:
        note = columns.note_of(values.dtype)
        kind = columns.kind_of(note)
    except Refused as error:
        raise Refused(f"{shown}: {error}") from error
    return note, _Source(shown, str(label), kind, lambda start, stop: values.iloc[start:stop], _row_bytes(values))


def _row_bytes(values: Any) -> float:
    """Return about how many bytes an element takes as arrow; those of a category are counted once, so not here."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return 4.0
    sample = values.iloc[:: max(1, len(values) // _SAMPLE)]
    if isinstance(values.dtype, pd.ArrowDtype):  # of some of which pandas cannot say more
        return float(sample.array.nbytes) / max(len(sample), 1)
    return float(sample.memory_usage(index=False, deep=True)) / max(len(sample), 1)


def _write(source: _Source, start: int, stop: int) -> Any:
    try:
        return source.kind.write(source.part(start, stop)).cast(source.kind.type)
    except (Refused, pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise Refused(f"{source.label}: {error}") from error


def _index_sources(index: Any, note: dict[str, Any]) -> list[_Source]:
    """Return the columns that the rows' labels need in the file."""
    if "levels" in note:
        return [_level(index, position, level) for position, level in enumerate(note["levels"])]
    if "range" in note:
        return []
    kind = columns.kind_of(note["dtype"])
    row_bytes = _row_bytes(columns.series(index))
    name = "__index_level_0__" if index.name is None else str(index.name)
    return [_Source("the index", name, kind, lambda start, stop: columns.series(index[start:stop]), row_bytes)]


def _level(index: Any, position: int, note: dict[str, Any]) -> _Source:
    codes, name = np.asarray(index.codes[position]), index.names[position]
    shown = f"level {position} of the index"
    try:
        kind = columns.coded_kind(note)
    except Refused as error:
        raise Refused(f"{shown}: {error}") from error
    name = f"__index_level_{position}__" if name is None else str(name)
    return _Source(shown, name, kind, lambda start, stop: codes[start:stop], 8.0)


def _note_index(index: Any) -> dict[str, Any]:
    """Return all of the rows' labels that is not written as columns."""
    if isinstance(index, pd.MultiIndex):
        return {"names": list(index.names), "levels": [columns.pack_labels(level) for level in index.levels]}
    if type(index) is pd.RangeIndex:
        return columns.pack_labels(index)
    freq = getattr(index, "freq", None)
    named = {"name": index.name, "freq": None if freq is None else columns.freq_note(freq)}
    return {**named, "dtype": columns.note_of(index.dtype)}


def _index_kinds(note: dict[str, Any]) -> list[columns.Kind]:
    if "levels" in note:
        return [columns.coded_kind(level) for level in note["levels"]]
    return [] if "range" in note else [columns.kind_of(note["dtype"])]


def _make_index(note: dict[str, Any], values: list[Any]) -> Any:
    if "range" in note:
        return columns.unpack_labels(note)
    if "levels" in note:
        levels = [columns.unpack_labels(level) for level in note["levels"]]
        return pd.MultiIndex(levels=levels, codes=values, names=note["names"])
    return columns.make_index(values[0], note["name"], note["freq"])


def _note_columns(labels: Any) -> dict[str, Any]:
    if isinstance(labels, pd.MultiIndex):
        codes = [np.asarray(code).tolist() for code in labels.codes]
        return {**_note_index(labels), "codes": codes}
    return columns.pack_labels(labels)


def _make_columns(note: dict[str, Any]) -> Any:
    return _make_index(note, note["codes"]) if "codes" in note else columns.unpack_labels(note)


def _unique(names: list[str]) -> list[str]:
    """Return the names with a number behind those that were there before."""
    taken: set[str] = set()
    for position, name in enumerate(names):
        text = name
        while text in taken:
            text = f"{text}.{position}"
        taken.add(text)
        names[position] = text
    return names
