"""Polars frames and series, as Arrow IPC bytes (which hold data only)."""

from __future__ import annotations

import io

import polars as pl

from simpleml.encoding import payloads
from simpleml.encoding.faults import Fault
from simpleml.encoding.registry import add, leaf
from simpleml.types import JSON

# A Rust panic is no `Exception`; here it only says that the bytes or the column cannot be taken.
_PROBLEMS = (Exception, pl.exceptions.PanicException)


def _encode_frame(value: pl.DataFrame) -> JSON:
    holder = io.BytesIO()
    try:
        value.write_ipc(holder)
    except _PROBLEMS as error:
        raise Fault(f"this polars frame cannot be written as Arrow IPC ({error})") from error
    return payloads.from_binary(holder.getvalue())


def _decode_frame(payload: JSON) -> pl.DataFrame:
    data = payloads.binary(payload)
    try:
        return pl.read_ipc(io.BytesIO(data), use_pyarrow=False)
    except _PROBLEMS as error:
        raise Fault(f"this is no Arrow IPC file ({error})") from error


def _encode_series(value: pl.Series) -> JSON:
    return _encode_frame(value.to_frame())


def _decode_series(payload: JSON) -> pl.Series:
    frame = _decode_frame(payload)
    if frame.width != 1:
        raise Fault(f"expected one column, found {frame.width}")
    return frame.to_series()


add(pl.DataFrame, leaf("polars.DataFrame", _encode_frame, _decode_frame))
add(pl.Series, leaf("polars.Series", _encode_series, _decode_series))
