"""The columns and indexes that pandas frames and series are made of: an index holds a column, and some columns hold indexes."""

from __future__ import annotations

import io
from collections.abc import Callable
from math import isnan
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas  # noqa: ICN001  (`pd` is the same, unchecked)
from pandas._libs import sparse
from pandas.tseries.frequencies import to_offset

from simpleml.encoding import payloads
from simpleml.encoding.arrays import Array, decode_array, encode_array
from simpleml.encoding.faults import Fault, Unreadable, short, type_name
from simpleml.encoding.times import decode_zone
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

pd: Any = pandas  # its stubs know less than its constructors take; what comes out is checked here

Column: TypeAlias = Any
"""A numpy array or a pandas extension array."""
Index: TypeAlias = Any
Stored: TypeAlias = "dict[str, JSON]"

INDEXES = (
    pd.Index, pd.RangeIndex, pd.MultiIndex, pd.CategoricalIndex,
    pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.IntervalIndex,
)  # fmt: skip
"""The classes of indexes that can be stored."""
_MASKED = (pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray)
_UNITS = ("s", "ms", "us", "ns")


def encode_column(values: Column, walk: Encoder) -> JSON:
    """Return the JSON of one column; an extension type of another library is a fault."""
    if type(values) is np.ndarray:
        return {"kind": "numpy", "array": encode_array(values, walk)}
    kind = _kind_of(values)
    return {"kind": kind, **_KINDS[kind][0](values, walk)}


def decode_column(payload: JSON, walk: Decoder) -> Column:
    """Return the one-dimensional column of which `encode_column` wrote the payload."""
    stored = dict(payloads.record(payload, ("kind",), payload if isinstance(payload, dict) else ()))
    kind = payloads.text(stored.pop("kind"))
    if kind == "numpy":
        return _flat(payloads.record(stored, ("array",))["array"], walk)
    if kind not in _KINDS:
        raise Unreadable(f"columns of the kind {short(kind)} are not known")
    _, decode, keys = _KINDS[kind]
    return decode(payloads.record(stored, keys), walk)


def encode_index(value: Index, walk: Encoder) -> JSON:
    """Return the JSON of an index of any class, with names and frequency."""
    if type(value) is pd.RangeIndex:
        return {"range": [value.start, value.stop, value.step], "name": walk.at(".name", value.name, value)}
    if type(value) is pd.MultiIndex:
        return {
            "levels": [encode_index(level, walk) for level in value.levels],
            "codes": [walk.encode(np.asarray(codes)) for codes in value.codes],
            "names": walk.at(".names", list(value.names), value),
            "sortorder": value.sortorder,
        }
    if type(value) not in INDEXES:
        raise Fault(f"an index of {type_name(type(value))} cannot be stored")
    return {
        "values": encode_column(stored_values(value), walk),
        "name": walk.at(".name", value.name, value),
        "freq": None if isinstance(value, pd.PeriodIndex) else encode_freq(getattr(value, "freq", None)),
    }


def decode_index(payload: JSON, walk: Decoder) -> Index:
    """Return the index of which `encode_index` wrote the payload."""
    if isinstance(payload, dict) and "range" in payload:
        stored = payloads.record(payload, ("range", "name"))
        bounds = [payloads.integer(bound) for bound in payloads.items(stored["range"], 3)]
        return pd.RangeIndex(*bounds, name=walk.decode(stored["name"]))
    if isinstance(payload, dict) and "levels" in payload:
        return _decode_multi(payloads.record(payload, ("levels", "codes", "names", "sortorder")), walk)
    stored = payloads.record(payload, ("values", "name", "freq"))
    values = decode_column(stored["values"], walk)
    name, freq = walk.decode(stored["name"]), decode_freq(stored["freq"])
    index = pd.Index(values, dtype=values.dtype, name=name, tupleize_cols=False)
    if freq is not None:
        if not isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
            raise Fault("only an index of times has a frequency")
        index.freq = freq  # pandas checks it against the values
    return index


def _decode_multi(stored: dict[str, JSON], walk: Decoder) -> Index:
    levels = [decode_index(level, walk) for level in payloads.items(stored["levels"])]
    codes = walk.each(payloads.items(stored["codes"], len(levels)))
    for part in codes:
        if type(part) is not np.ndarray or part.dtype.kind != "i" or part.ndim != 1:
            raise Fault("the codes of an index have to be integers")
    names = walk.decode(stored["names"])
    order = stored["sortorder"]
    return pd.MultiIndex(
        levels=levels,
        codes=codes,
        names=names,
        sortorder=None if order is None else payloads.integer(order, least=0),
    )


def stored_values(value: Any) -> Column:
    """Return what holds the values: the numpy array for numpy's dtypes, else the extension array."""
    return value.to_numpy() if isinstance(value.dtype, np.dtype) else value.array


def encode_freq(freq: Any) -> JSON:
    """Return the name of a pandas frequency, from which `decode_freq` makes an equal one."""
    if freq is None:
        return None
    name: str = freq.freqstr
    try:
        same = to_offset(name) == freq
    except ValueError:
        same = False
    if not same:
        raise Fault(f"the frequency {short(freq)} cannot be stored by its name: set freq = None")
    return name


def encode_period_freq(value: Any) -> JSON:
    """Return the name of the frequency of periods (which pandas names otherwise than those of times)."""
    name: str = value.freqstr
    if pd.PeriodDtype(name) != pd.PeriodDtype(value.freq):
        raise Fault(f"the frequency {short(value.freq)} cannot be stored by its name")
    return name


def decode_freq(payload: JSON) -> Any:
    """Return the frequency of that name."""
    return None if payload is None else to_offset(payloads.text(payload))


def _kind_of(values: Column) -> str:
    cls = type(values)
    if cls in _MASKED:
        return "masked"
    if cls is pd.arrays.DatetimeArray and isinstance(values.dtype, pd.DatetimeTZDtype):
        return "datetimetz"
    dtype = getattr(values, "dtype", None)
    if type(dtype) is pd.StringDtype:
        return "string"
    kind = {
        pd.Categorical: "categorical",
        pd.arrays.PeriodArray: "period",
        pd.arrays.IntervalArray: "interval",
        pd.arrays.SparseArray: "sparse",
        pd.arrays.ArrowExtensionArray: "arrow",
    }.get(cls)
    if kind is None:
        raise Fault(f"values of {type_name(cls)} (dtype {short(dtype)}) cannot be stored: keep them as an artifact")
    return kind


def _flat(payload: JSON, walk: Decoder) -> Array:
    value = decode_array(payload, walk)
    if value.ndim != 1:
        raise Fault(f"expected one dimension, found {value.ndim}")
    return value


def _whole_numbers(payload: JSON, walk: Decoder, kind: str = "int64") -> Array:
    value = _flat(payload, walk)
    if value.dtype != kind:
        raise Fault(f"expected {kind}, found {value.dtype}")
    return value


def _encode_masked(values: Column, walk: Encoder) -> Stored:
    return {"values": encode_array(values._data, walk), "mask": encode_array(values._mask, walk)}  # noqa: SLF001  (what its constructor takes)


def _decode_masked(stored: Stored, walk: Decoder) -> Column:
    values, mask = _flat(stored["values"], walk), _whole_numbers(stored["mask"], walk, "bool")
    kinds = {"i": pd.arrays.IntegerArray, "u": pd.arrays.IntegerArray, "f": pd.arrays.FloatingArray}
    cls = {**kinds, "b": pd.arrays.BooleanArray}.get(values.dtype.kind)
    if cls is None or len(values) != len(mask):
        raise Fault(f"{len(mask)} marks do not fit {len(values)} values of {values.dtype}")
    return cls(values, mask)


def _encode_datetimetz(values: Column, walk: Encoder) -> Stored:
    return {
        "unit": values.dtype.unit,
        "zone": walk.encode(values.dtype.tz),
        "values": encode_array(values.asi8, walk),
    }


def _decode_datetimetz(stored: Stored, walk: Decoder) -> Column:
    unit = payloads.text(stored["unit"])
    if unit not in _UNITS:
        raise Fault(f"{short(unit)} is no unit of time (known: {', '.join(_UNITS)})")
    dtype = pd.DatetimeTZDtype(unit=unit, tz=decode_zone(stored["zone"], walk))
    utc = _whole_numbers(stored["values"], walk).view(f"M8[{unit}]")
    return pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(dtype.tz).array


def _encode_string(values: Column, walk: Encoder) -> Stored:
    missing = values.isna()
    found = [None if gone else item for gone, item in zip(missing, values, strict=True)]
    dtype = values.dtype
    return {"storage": dtype.storage, "na": walk.encode(dtype.na_value), "items": walk.encode(found)}


def _decode_string(stored: Stored, walk: Decoder) -> Column:
    storage = payloads.text(stored["storage"])
    na = walk.decode(stored["na"])
    if storage not in ("python", "pyarrow") or not (na is pd.NA or (type(na) is float and isnan(na))):
        raise Fault(f"there is no string dtype of storage {short(storage)} and missing value {short(na)}")
    found = walk.each(payloads.items(stored["items"]))
    if any(item is not None and type(item) is not str for item in found):
        raise Fault("a column of strings holds something else")
    try:
        dtype = pd.StringDtype(storage) if na is pd.NA else pd.StringDtype(storage, na_value=na)
    except ImportError as error:
        raise Unreadable("pyarrow is not installed") from error
    except TypeError as error:
        raise Unreadable("this version of pandas has no strings with NaN for missing ones") from error
    return pd.array([na if item is None else item for item in found], dtype=dtype)


def _encode_categorical(values: Column, walk: Encoder) -> Stored:
    return {
        "codes": encode_array(values.codes, walk),
        "categories": encode_index(values.categories, walk),
        "ordered": bool(values.ordered),
    }


def _decode_categorical(stored: Stored, walk: Decoder) -> Column:
    codes = _flat(stored["codes"], walk)
    if codes.dtype.kind != "i":
        raise Fault(f"expected codes of a signed integer type, found {codes.dtype}")
    dtype = pd.CategoricalDtype(decode_index(stored["categories"], walk), payloads.boolean(stored["ordered"]))
    return pd.Categorical.from_codes(codes, dtype=dtype)


def _encode_period(values: Column, walk: Encoder) -> Stored:
    return {"freq": encode_period_freq(values), "values": encode_array(values.asi8, walk)}


def _decode_period(stored: Stored, walk: Decoder) -> Column:
    dtype = pd.PeriodDtype(payloads.text(stored["freq"]))
    return pd.arrays.PeriodArray(_whole_numbers(stored["values"], walk), dtype=dtype)


def _encode_interval(values: Column, walk: Encoder) -> Stored:
    left, right = encode_index(values.left, walk), encode_index(values.right, walk)
    return {"left": left, "right": right, "closed": values.closed}


def _decode_interval(stored: Stored, walk: Decoder) -> Column:
    left, right = decode_index(stored["left"], walk), decode_index(stored["right"], walk)
    return pd.arrays.IntervalArray.from_arrays(left, right, closed=payloads.text(stored["closed"]))


def _encode_sparse(values: Column, walk: Encoder) -> Stored:
    return {
        "values": encode_array(values.sp_values, walk),
        "positions": encode_array(values.sp_index.indices, walk),
        "length": len(values),
        "fill": walk.encode(values.fill_value),
        "blocks": values.kind == "block",
    }


def _decode_sparse(stored: Stored, walk: Decoder) -> Column:
    values, positions = _flat(stored["values"], walk), _whole_numbers(stored["positions"], walk, "int32")
    if len(values) != len(positions):
        raise Fault(f"{len(positions)} positions do not fit {len(values)} values")
    make: Any = sparse.IntIndex
    index = make(payloads.integer(stored["length"], least=0), positions, check_integrity=True)
    if payloads.boolean(stored["blocks"]):
        index = index.to_block_index()
    fill = walk.decode(stored["fill"])
    dtype = pd.SparseDtype(values.dtype, fill)
    # The public ways differ between versions of pandas (`sparse_index=`, later `from_indices`); this is below both.
    return pd.arrays.SparseArray._simple_new(values, index, dtype)  # noqa: SLF001


def _encode_arrow(values: Column, _walk: Encoder) -> Stored:
    import pyarrow as pa

    table = pa.table({"values": values.__arrow_array__()})
    holder = io.BytesIO()
    with pa.ipc.new_stream(holder, table.schema) as writer:
        writer.write_table(table)
    return {"ipc": payloads.from_binary(holder.getvalue())}


def _decode_arrow(stored: Stored, _walk: Decoder) -> Column:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise Unreadable("pyarrow is not installed") from error
    table = pa.ipc.open_stream(payloads.binary(stored["ipc"])).read_all()
    table.validate(full=True)
    if table.num_columns != 1:
        raise Fault(f"expected one column, found {table.num_columns}")
    return pd.arrays.ArrowExtensionArray(table.column(0))


_KINDS: dict[str, tuple[Callable[[Column, Encoder], Stored], Callable[[Stored, Decoder], Column], tuple[str, ...]]] = {
    "masked": (_encode_masked, _decode_masked, ("values", "mask")),
    "datetimetz": (_encode_datetimetz, _decode_datetimetz, ("unit", "zone", "values")),
    "string": (_encode_string, _decode_string, ("storage", "na", "items")),
    "categorical": (_encode_categorical, _decode_categorical, ("codes", "categories", "ordered")),
    "period": (_encode_period, _decode_period, ("freq", "values")),
    "interval": (_encode_interval, _decode_interval, ("left", "right", "closed")),
    "sparse": (_encode_sparse, _decode_sparse, ("values", "positions", "length", "fill", "blocks")),
    "arrow": (_encode_arrow, _decode_arrow, ("ipc",)),
}
