"""Arrow tables: names, types and values; chunks, offsets, bytes under nulls and schema metadata do not count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simpleml.hashing.hashers import opens
from simpleml.hashing.strings import arrow_strings, is_binary, is_string, one_array, validity
from simpleml.hashing.tokens import Node, leaf, seal


@opens("pyarrow.Table", "pyarrow.RecordBatch")
def open_table(value: Any) -> Node:
    """A table is its columns in order, each with name, type and values; how it is cut into batches does not count."""
    names = list(value.schema.names)
    return Node(b"arrow table", b"%d" % value.num_rows, (names, *value.columns), _column_label(names))


def _column_label(names: list[str]) -> Any:
    return lambda _node, index: f"[{names[index - 1]!r}]" if index else ".column_names"


@opens("pyarrow.Array", "pyarrow.ChunkedArray")
def open_column(value: Any) -> bytes | Node:
    """A column is its type, its values, and which are missing."""
    kind = value.type
    if is_string(kind) or is_binary(kind):
        return seal(b"arrow strings", b"string" if is_string(kind) else b"binary", *arrow_strings(value))
    array = one_array(value)
    if pa.types.is_dictionary(kind):
        return Node(b"arrow dictionary", b"ordered" if kind.ordered else b"", (array.dictionary_decode(),), ("",))
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        return Node(b"arrow struct", validity(array), (names, *array.flatten()), _column_label(names))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _open_lists(array)
    if isinstance(kind, pa.BaseExtensionType):
        return Node(b"arrow extension", kind.extension_name.encode(), (array.storage,), ("",))
    if pa.types.is_null(kind):
        return leaf(b"A", b"null %d" % len(array))
    if pa.types.is_boolean(kind):
        bits = np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False))
        return Node(b"arrow bool", validity(array), (bits,), ("",))
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        return Node(b"arrow values", str(kind).encode() + validity(array), (_fixed_width(array),), ("",))
    return Node(b"arrow objects", str(kind).encode(), (array.to_pylist(),), ("",))


def _open_lists(array: Any) -> Node:
    """Lists are their lengths and all their items in one row; the items of a missing list do not count."""
    kind = array.type
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else -1
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), np.int64)
    return Node(b"arrow lists", b"%d" % size + validity(array), (lengths, array.flatten()), ("", "[…]"))


def _fixed_width(array: Any) -> Any:
    """Return the values as a NumPy array, zero where they are missing: of a float type if they are floats, else bytes."""
    kind, width = array.type, array.type.bit_width // 8
    if not len(array) or not width:
        return np.zeros((len(array), width), np.uint8)
    start = array.offset * width
    raw = np.frombuffer(array.buffers()[1], np.uint8)[start : start + len(array) * width]
    values = raw.view(f"<f{width}") if pa.types.is_floating(kind) else raw.reshape(len(array), width)
    if array.null_count:
        values = values.copy()
        values[np.asarray(array.is_null())] = 0
    return values


@opens("pyarrow.Scalar")
def open_scalar(value: Any) -> Node:
    """An Arrow scalar is a column of one value."""
    return Node(b"arrow scalar", b"", (pa.array([value.as_py()], value.type),), ("",))
