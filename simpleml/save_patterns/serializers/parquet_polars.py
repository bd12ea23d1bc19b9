"""Polars frames in parquet: by way of arrow, with text in the place of the types that arrow has no name for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from simpleml.save_patterns.serializers.plan import Plan, Refused

_PLAIN = (
    *("Boolean", "Int8", "Int16", "Int32", "Int64", "Int128", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128"),
    *("Float16", "Float32", "Float64", "String", "Binary", "Date", "Time", "Null"),
)
_FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)  # a panic in Rust is no `Exception`
_AS_TEXT = ("Int128", "UInt128", "Categorical", "Enum")


def refusal(frame: Any) -> str | None:
    """Return the first column whose type would not come back, or None."""
    try:
        for name, kind in frame.schema.items():
            _note(kind, name)
            if "\0" in name:
                return f"the column {name!r:.80} has a NUL in its name, which polars hands to nobody"
    except Refused as error:
        return str(error)
    if frame.width == 0 and frame.height:
        return "it has rows and no columns"
    return None


def plan(frame: Any) -> Plan:
    """Return how to write a frame; slices of it are cast and handed to arrow one after the other."""
    reason = refusal(frame)
    if reason is not None:
        raise Refused(reason)
    storage = {name: _storage(kind) for name, kind in frame.schema.items()}

    def part(start: int, stop: int) -> Any:
        try:
            stored = frame.slice(start, stop - start).cast(storage)
            return stored.to_arrow(compat_level=pl.CompatLevel.oldest())
        except _FAULTS as error:
            raise Refused(f"polars could not hand it to arrow: {error}") from error

    note = {"columns": [[name, _note(kind, name)] for name, kind in frame.schema.items()]}
    return Plan(part(0, 0).schema, frame.height, frame.estimated_size() / max(frame.height, 1), part, note)


def restore(groups: Iterator[Any], rows: int, note: dict[str, Any]) -> object:
    """Return the frame; its chunks are the row groups of the file."""
    schema = {name: _kind(kind) for name, kind in note["columns"]}
    try:
        frames = [pl.DataFrame(schema=schema)]
        for group in groups:
            frame = pl.from_arrow(group)
            if not isinstance(frame, pl.DataFrame):
                raise TypeError("a row group that is no frame")
            frames.append(frame.rename(dict(zip(frame.columns, schema, strict=True))).cast(dict(schema)))
        frame = pl.concat(frames, rechunk=False)
    except _FAULTS as error:
        raise ValueError(str(error)) from error
    if frame.height != rows:
        raise ValueError(f"{frame.height} rows, and {rows} were written")
    return frame


def _note(kind: Any, column: str) -> dict[str, Any]:
    """Return a type as data; `_kind` is its inverse."""
    name = kind.base_type().__name__
    if name in _PLAIN:
        return {"type": name}
    if name in {"Datetime", "Duration"}:
        zone = {"zone": kind.time_zone} if name == "Datetime" else {}
        return {"type": name, "unit": kind.time_unit, **zone}
    if name == "Decimal":
        return {"type": name, "precision": kind.precision, "scale": kind.scale}
    if name == "Enum":
        return {"type": name, "categories": kind.categories.to_list()}
    if name == "Categorical":
        return {"type": name, **_categories(kind)}
    if name == "List":
        return {"type": name, "inner": _note(kind.inner, column)}
    if name == "Array" and kind.size:
        return {"type": name, "inner": _note(kind.inner, column), "size": kind.size}
    if name == "Struct" and kind.fields:
        return {"type": name, "fields": [[field.name, _note(field.dtype, column)] for field in kind.fields]}
    raise Refused(f"the column {column!r:.80} holds {kind!s:.200}, of which no format of data frames has an exact form")


def _categories(kind: Any) -> dict[str, Any]:
    """Return the named categories of a categorical type; those without a name are global, and older versions know no other."""
    known = getattr(kind, "categories", None)
    if known is None or not hasattr(known, "namespace") or known.is_global():
        return {}
    return {"name": known.name(), "namespace": known.namespace(), "physical": known.physical().__name__}


def _kind(note: dict[str, Any]) -> Any:
    name = note["type"]
    if name in _PLAIN:
        return getattr(pl, name)()
    if name == "Datetime":
        return pl.Datetime(note["unit"], note["zone"])
    if name == "Duration":
        return pl.Duration(note["unit"])
    if name == "Decimal":
        return pl.Decimal(note["precision"], note["scale"])
    if name == "Enum":
        return pl.Enum(note["categories"])
    if name == "Categorical":
        if "name" not in note:
            return pl.Categorical()
        return pl.Categorical(pl.Categories(note["name"], note["namespace"], getattr(pl, note["physical"])))
    if name == "List":
        return pl.List(_kind(note["inner"]))
    if name == "Array":
        return pl.Array(_kind(note["inner"]), note["size"])
    if name == "Struct":
        return pl.Struct([pl.Field(field, _kind(inner)) for field, inner in note["fields"]])
    raise ValueError(f"the polars type {name!r:.80} is unknown")


def _storage(kind: Any) -> Any:
    """Return the type to which a column is cast before arrow sees it; the cast back is exact."""
    name = kind.base_type().__name__
    if name in _AS_TEXT:
        return pl.String()
    if name == "List":
        return pl.List(_storage(kind.inner))
    if name == "Array":
        return pl.Array(_storage(kind.inner), kind.size)
    if name == "Struct":
        return pl.Struct([pl.Field(field.name, _storage(field.dtype)) for field in kind.fields])
    return kind
