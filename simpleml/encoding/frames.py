"""pandas frames, series, indexes and scalars, column by column and dtype by dtype; pyarrow is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas  # noqa: ICN001  (`pd` is the same, unchecked)

from simpleml.encoding import payloads
from simpleml.encoding.columns import (
    INDEXES,
    Column,
    Index,
    decode_column,
    decode_index,
    encode_column,
    encode_index,
    encode_period_freq,
    stored_values,
)
from simpleml.encoding.faults import Fault, short
from simpleml.encoding.registry import Codec, add, leaf
from simpleml.encoding.times import decode_zone
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

pd: Any = pandas  # its stubs know less than its constructors take; what comes out is checked here

DataFrame: TypeAlias = Any
Series: TypeAlias = Any
Timestamp: TypeAlias = Any
Timedelta: TypeAlias = Any
Period: TypeAlias = Any
Interval: TypeAlias = Any

_TIMES = {"M": np.datetime64, "m": np.timedelta64}


def _encode_notes(value: DataFrame | Series, walk: Encoder) -> dict[str, JSON]:
    notes: dict[str, JSON] = {}
    if value.attrs:
        notes["attrs"] = walk.at(".attrs", value.attrs, value)
    if not value.flags.allows_duplicate_labels:
        notes["unique_labels"] = True
    return notes


def _decode_notes(value: Any, stored: dict[str, JSON], walk: Decoder) -> Any:
    if "attrs" in stored:
        attrs = walk.decode(stored["attrs"])
        if not isinstance(attrs, dict):
            raise Fault("attrs have to be a dict")
        value.attrs = attrs
    if stored.get("unique_labels"):
        value.flags.allows_duplicate_labels = False
    return value


def _column_of(payload: JSON, index: Index, walk: Decoder) -> Series:
    values = decode_column(payload, walk)
    if len(values) != len(index):
        raise Fault(f"a column of {len(values)} values does not fit an index of {len(index)}")
    return pd.Series(values, index=index, dtype=values.dtype, copy=False)


def _encode_frame(value: DataFrame, walk: Encoder) -> JSON:
    columns: list[JSON] = []
    for position, label in enumerate(value.columns):
        try:
            columns.append(encode_column(stored_values(value.iloc[:, position]), walk))
        except Fault as fault:
            raise fault.inside(f"[{short(label)}]", value)  # noqa: B904  (the same fault goes on)
    index = {"columns": encode_index(value.columns, walk), "index": encode_index(value.index, walk)}
    return {**index, "data": columns, **_encode_notes(value, walk)}


def _decode_frame(payload: JSON, walk: Decoder) -> DataFrame:
    stored = payloads.record(payload, ("columns", "index", "data"), ("attrs", "unique_labels"))
    columns, index = decode_index(stored["columns"], walk), decode_index(stored["index"], walk)
    data = payloads.items(stored["data"], len(columns))
    frame = pd.DataFrame({i: _column_of(part, index, walk) for i, part in enumerate(data)}, index=index)
    frame.columns = columns
    return _decode_notes(frame, stored, walk)


def _encode_series(value: Series, walk: Encoder) -> JSON:
    return {
        "values": encode_column(stored_values(value), walk),
        "index": encode_index(value.index, walk),
        "name": walk.at(".name", value.name, value),
        **_encode_notes(value, walk),
    }


def _decode_series(payload: JSON, walk: Decoder) -> Series:
    stored = payloads.record(payload, ("values", "index", "name"), ("attrs", "unique_labels"))
    series = _column_of(stored["values"], decode_index(stored["index"], walk), walk)
    series.name = walk.decode(stored["name"])
    return _decode_notes(series, stored, walk)


def _encode_timestamp(value: Timestamp, walk: Encoder) -> JSON:
    zone = None if value.tz is None else walk.at(".tz", value.tz, value)
    return {"value": _count(value), "unit": value.unit, "zone": zone, "fold": value.fold}


def _decode_timestamp(payload: JSON, walk: Decoder) -> Timestamp:
    stored = payloads.record(payload, ("value", "unit", "zone", "fold"))
    value = pd.Timestamp(_time("M", stored))
    if stored["zone"] is not None:
        value = value.tz_localize("UTC").tz_convert(decode_zone(stored["zone"], walk))
    fold = payloads.integer(stored["fold"], least=0)
    if fold > 1:
        raise Fault(f"fold is 0 or 1, not {fold}")
    return value if value.fold == fold else value.replace(fold=fold)


def _encode_timedelta(value: Timedelta) -> JSON:
    return {"value": _count(value), "unit": value.unit}


def _decode_timedelta(payload: JSON) -> Timedelta:
    return pd.Timedelta(_time("m", payloads.record(payload, ("value", "unit"))))


def _count(value: Timestamp | Timedelta) -> int:
    """Return how many of its own unit `value` is from the epoch, or long."""
    number = value.asm8.view(np.int64)
    return int(number)


def _time(kind: str, stored: dict[str, JSON]) -> Any:
    unit, value = payloads.text(stored["unit"]), payloads.integer(stored["value"], least=-(2**63) + 1)
    if unit not in ("s", "ms", "us", "ns"):
        raise Fault(f"{short(unit)} is no unit of time (known: s, ms, us, ns)")
    return _TIMES[kind](value, unit)


def _encode_period(value: Period) -> JSON:
    return {"ordinal": value.ordinal, "freq": encode_period_freq(value)}


def _decode_period(payload: JSON) -> Period:
    stored = payloads.record(payload, ("ordinal", "freq"))
    return pd.Period(ordinal=payloads.integer(stored["ordinal"]), freq=payloads.text(stored["freq"]))


def _encode_interval(value: Interval, walk: Encoder) -> JSON:
    left, right = walk.at(".left", value.left, value), walk.at(".right", value.right, value)
    return {"left": left, "right": right, "closed": value.closed}


def _decode_interval(payload: JSON, walk: Decoder) -> object:
    stored = payloads.record(payload, ("left", "right", "closed"))
    left, right = walk.decode(stored["left"]), walk.decode(stored["right"])
    return pd.Interval(left, right, closed=payloads.text(stored["closed"]))


def _single(tag: str, value: object) -> Codec:
    """Return the codec of a value of which there is only one."""

    def decode(payload: JSON) -> object:
        if payload is not None:
            raise Fault(f"expected null, found {short(payload)}")
        return value

    return leaf(tag, lambda _value: None, decode)


def _encode_array(value: Column, walk: Encoder) -> JSON:
    return encode_column(value, walk)


def _decode_array(payload: JSON, walk: Decoder) -> object:
    values = decode_column(payload, walk)
    if type(values) is np.ndarray:
        raise Fault("expected an extension array, found a numpy array")
    return values


add(pd.DataFrame, Codec("pandas.DataFrame", _encode_frame, _decode_frame))
add(pd.Series, Codec("pandas.Series", _encode_series, _decode_series))
for _index in INDEXES:
    add(_index, Codec("pandas.Index", encode_index, decode_index))
for _array in (
    pd.Categorical, pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray,
    pd.arrays.DatetimeArray, pd.arrays.PeriodArray, pd.arrays.IntervalArray, pd.arrays.SparseArray,
    pd.arrays.StringArray, pd.arrays.ArrowStringArray, pd.arrays.ArrowExtensionArray,
):  # fmt: skip
    add(_array, Codec("pandas.array", _encode_array, _decode_array))
add(pd.Timestamp, Codec("pandas.Timestamp", _encode_timestamp, _decode_timestamp))
add(pd.Timedelta, leaf("pandas.Timedelta", _encode_timedelta, _decode_timedelta))
add(pd.Period, leaf("pandas.Period", _encode_period, _decode_period))
add(pd.Interval, Codec("pandas.Interval", _encode_interval, _decode_interval))
add(type(pd.NaT), _single("pandas.NaT", pd.NaT))
add(type(pd.NA), _single("pandas.NA", pd.NA))
