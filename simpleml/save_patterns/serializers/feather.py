"""Frames of pandas, polars and arrow as an arrow IPC file (feather, version 2), uncompressed: reading it copies no column.

Exact where parquet is, by the same machinery, and read by the same tools (`pandas.read_feather`, `polars.read_ipc`). Columns of
arrow tables are views into the memory that was read; those of polars and pandas frames too, as far as these hold them as
arrow does: numbers and times, text in pandas (in polars its bytes), but no masked or categorical columns. What parquet keeps beside the
columns lies in the schema's metadata under the key `simpleml`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO, cast

from simpleml import encoding
from simpleml.errors import EncodingError, MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.frames import KEY, Frames, arrow, frames_of, is_exact, valid, writing
from simpleml.save_patterns.serializers.plan import Plan, Refused
from simpleml.types import JSON

_MAGIC = b"ARROW1"
_GROUP_BYTES = 32 * 1024 * 1024  # of what has to be converted for writing: so much it takes beside the frame


class FeatherSerializer:
    """Keeps frames exactly: types, labels, indexes, order, missing values; what was read keeps `data` alive."""

    name = "feather"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a frame (no subclass) of types that come back exactly; object columns do not count as known."""
        return is_exact(value)

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the frame; columns that are held as arrow holds them are not copied. The details say which library it is of."""
        with writing(value, stream, "feather") as (library, output):
            plan = frames_of(library).plan(value)
            note = encoding.dumps({"library": library, "rows": plan.rows, **plan.note})
            rows = max(1, int(_GROUP_BYTES / max(_converted(library, value, plan), _GROUP_BYTES / max(plan.rows, 1))))
            with arrow().ipc.new_file(output, plan.schema.with_metadata({KEY: note})) as writer:
                for start in range(0, plan.rows, rows):
                    part = valid(plan.part(start, min(plan.rows, start + rows)))
                    writer.write_table(part.replace_schema_metadata({KEY: note}))
        return {"library": library, "rows": plan.rows}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the frame, of the library it was of; its columns are views into `data` where that library allows it."""
        pa = arrow()
        try:
            buffer = pa.py_buffer(data)
            if len(data) < 16 or bytes(data[:6]) != _MAGIC or bytes(data[-6:]) != _MAGIC:
                raise ValueError("they do not begin and end like one")
            _check_uncompressed(buffer.slice(8))
            reader = pa.ipc.open_stream(buffer.slice(8))
            note: Any = encoding.loads((reader.schema.metadata or {})[KEY].decode())
            frames = frames_of(note["library"])
            groups = (valid(pa.Table.from_batches([batch])) for batch in reader)
            if note["library"] == "polars":
                _check_schema(frames, note, reader.schema)
            if note["library"] == "pandas":
                collect: Any = partial(_view_class(), memoryview(data).cast("B"), buffer.address)
                return cast("Any", frames).restore(groups, note["rows"], note, collect)
            return frames.restore(groups, note["rows"], note)
        except MissingDependencyError:
            raise
        except (pa.ArrowException, EncodingError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise _broken(data, error) from error
        except (Refused, struct.error, MemoryError, OverflowError) as error:
            raise _broken(data, error) from error


FEATHER = FeatherSerializer()


def _broken(data: Buffer, error: Exception) -> SerializationError:
    return SerializationError(
        f"these {len(data)} bytes are no feather file that simpleml wrote: {type(error).__name__}: {str(error)[:500]}"
    )


def _check_schema(frames: Frames, note: dict[str, Any], schema: Any) -> None:
    """Raise `ValueError` if the columns are not those that the note's types are written as: polars believes what it is given."""
    wanted = frames.plan(frames.restore(iter(()), 0, {**note, "rows": 0})).schema
    if not wanted.equals(schema):
        raise ValueError("its columns are not of the types that it says")


def _converted(library: str, frame: Any, plan: Plan) -> float:
    """Return about how many bytes a row takes in the columns that have to be converted, and so copied, for writing."""
    import pyarrow as pa

    free = {"pandas": _free_in_pandas, "polars": _free_in_polars, "arrow": _free_in_arrow}[library](frame)
    widths = []
    for position, field in enumerate(plan.schema):
        if library == "arrow":
            copied = pa.types.is_dictionary(field.type)
        else:
            copied = position >= len(free) or not free[position]
        fixed = pa.types.is_primitive(field.type)
        widths.append((field.type.bit_width / 8 if fixed else max(plan.row_bytes, 1.0)) if copied else 0.0)
    return sum(widths)


def _free_in_arrow(_: Any) -> list[bool]:
    return []  # `_converted` goes by the types


def _free_in_polars(frame: Any) -> list[bool]:
    copied = (
        "Int128",
        "Categorical",
        "Enum",
        "String",
        "Binary",
    )  # polars holds text as views, and other tools may not know these
    return [not any(word in str(kind) for word in copied) for kind in frame.dtypes]


def _free_in_pandas(frame: Any) -> list[bool]:
    import pandas as pd

    free = []
    for position, dtype in enumerate(frame.dtypes):
        if getattr(dtype, "kind", "") in "iufmM" and not hasattr(dtype, "numpy_dtype"):
            values = frame.iloc[:, position].array
            free.append(
                bool(getattr(getattr(values, "_ndarray", None), "flags", {"C_CONTIGUOUS": False})["C_CONTIGUOUS"])
            )
        else:
            free.append(isinstance(dtype, pd.ArrowDtype) or getattr(dtype, "storage", "") == "pyarrow")
    return free


def _check_uncompressed(buffer: Any) -> None:
    """Raise `ValueError` if a batch is compressed: we write none, and it could inflate to anything."""
    import pyarrow as pa

    for message in pa.ipc.MessageReader.open_stream(buffer):
        if message.type not in {"schema", "record batch", "dictionary"}:
            raise ValueError(f"a {message.type} is in it")
        metadata = bytes(message.metadata)
        header = _field(metadata, struct.unpack_from("<I", metadata)[0], 2)
        if header is not None and message.type == "dictionary":
            header = _field(metadata, header, 1)
        if header is not None and message.type != "schema" and _field(metadata, header, 3) is not None:
            raise ValueError("its batches are compressed")


def _field(flat: bytes, table: int, number: int) -> int | None:
    """Return where the table is that a flatbuffer's table has as its field of this number, or None if it has none."""
    slots = table - struct.unpack_from("<i", flat, table)[0]
    at = 4 + 2 * number
    if at >= struct.unpack_from("<H", flat, slots)[0]:
        return None
    offset = struct.unpack_from("<H", flat, slots + at)[0]
    return table + offset + struct.unpack_from("<I", flat, table + offset)[0] if offset else None


def _view_class() -> Callable[..., Any]:
    """Return the class of what takes in a column of a pandas frame: as a view into the file's memory, where it can be one."""
    import numpy as np

    from simpleml.save_patterns.serializers import parquet_columns as columns

    class View(columns.Column):
        def __init__(self, memory: memoryview, address: int, kind: columns.Kind, rows: int) -> None:
            super().__init__(kind, rows)
            self._memory = memory
            self._address = address

        def add(self, chunks: Any) -> None:
            wanted = self.kind.filled
            chunk = chunks.chunk(0) if chunks.num_chunks == 1 else None
            if (
                chunk is not None
                and wanted is not None
                and wanted.kind in "iufmM"
                and self.kind.read is columns.plain
                and (len(chunk), chunk.null_count) == (self.rows, 0)
                and columns.plain(chunk.slice(0, 0)).dtype == wanted
                and self.rows
            ):
                start = chunk.buffers()[1].address - self._address + chunk.offset * wanted.itemsize
                self._array = np.frombuffer(self._memory, wanted, self.rows, start)
                self._done += self.rows
            else:
                super().add(chunks)

    return View
