"""Columns of strings or bytes in Arrow's layout: which are missing, where each ends, and all of them joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simpleml.hashing.arrays import no_nulls
from simpleml.hashing.tokens import digest


def is_string(kind: Any) -> bool:
    """Whether a type is text, in any layout."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: Any) -> bool:
    """Whether a type is bytes of varying length, in any layout."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def one_array(column: Any) -> Any:
    """Return a column as one array, copied only if it is in several chunks."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def validity(array: Any) -> bytes:
    """Return the digest of which values of an Arrow array are missing; empty if none is."""
    return no_nulls(np.asarray(array.is_null())) if array.null_count else b""


def arrow_strings(column: Any) -> tuple[bytes, bytes, bytes]:
    """Return the digests of what is missing, of the ends of all values, and of their bytes."""
    large = pa.large_string() if is_string(column.type) else pa.large_binary()
    array = one_array(column if column.type == large else column.cast(large))
    if not len(array):
        return b"", digest(bytes(8)), digest(b"")
    missing = validity(array)
    if missing:
        array = pc.fill_null(array, b"" if large == pa.large_binary() else "")  # no bytes under nulls
    _, where, data = array.buffers()
    offsets = np.frombuffer(where, "<i8")[array.offset : array.offset + len(array) + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    text = memoryview(data)[first:last] if data is not None else b""
    ends = offsets - first if first else offsets
    return missing, digest(ends.view(np.uint8).data), digest(text)
