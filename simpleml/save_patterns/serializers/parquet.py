"""Frames of pandas, polars and arrow, as parquet (zstd): exact both ways, or refused with the column that is the reason.

Any parquet reader sees the columns with their values. What parquet cannot say (labels that are no strings, indexes, time
zones, unused categories, the library) lies in the file's own metadata under the key `simpleml`, as text of
`simpleml.encoding`; reading it runs no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

from simpleml import encoding
from simpleml.errors import EncodingError, MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.frames import KEY, arrow, frames_of, is_exact, writing
from simpleml.save_patterns.serializers.output import Output
from simpleml.save_patterns.serializers.plan import Plan
from simpleml.types import JSON

_GROUP_BYTES = 32 * 1024 * 1024  # of one row group in memory: what a dump or load needs beside the frame
_GROUP_ROWS = 1024 * 1024


class ParquetSerializer:
    """Keeps frames exactly: types, labels, indexes, order, missing values; a row group at a time, in either direction."""

    name = "parquet"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a frame (no subclass) of types that come back exactly; object columns do not count as known."""
        return is_exact(value)

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the frame; the details say which library it is of, and how many rows it has."""
        with writing(value, stream, "parquet") as (library, output):
            plan = frames_of(library).plan(value)
            _write(plan, {"library": library, "rows": plan.rows, **plan.note}, output)
        return {"library": library, "rows": plan.rows}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the frame, of the library it was of; nothing of `data` is kept."""
        pa = arrow()
        from pyarrow import parquet

        try:
            file = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(data)))
            note: Any = encoding.loads((file.metadata.metadata or {})[KEY].decode())
            frames = frames_of(note["library"])
            if file.metadata.num_columns and file.metadata.num_rows != note["rows"]:
                raise ValueError(f"{file.metadata.num_rows} rows, and {note['rows']!r:.40} are noted")
            groups = (file.read_row_group(index) for index in range(file.num_row_groups))
            return frames.restore(groups, note["rows"], note)
        except MissingDependencyError:
            raise
        except (pa.ArrowException, EncodingError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise SerializationError(
                f"these {len(data)} bytes are no parquet file that simpleml wrote: {type(error).__name__}: {error}"
            ) from error


PARQUET = ParquetSerializer()


def _write(plan: Plan, note: dict[str, Any], output: Output) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(
        output, plan.schema, compression="zstd", compression_level=1, use_dictionary=_texts(plan.schema)
    ) as writer:
        writer.add_key_value_metadata({KEY: encoding.dumps(note)})
        row_bytes, start = max(plan.row_bytes, 1.0), 0
        while start < plan.rows:
            stop = min(plan.rows, start + max(1, min(_GROUP_ROWS, int(_GROUP_BYTES / row_bytes))))
            part = plan.part(start, stop)
            writer.write_table(part, row_group_size=stop - start)
            row_bytes = max(row_bytes, part.nbytes / (stop - start))
            start = stop


def _texts(schema: Any) -> list[str] | bool:
    """Return the columns that repeat themselves: looking for repetition costs numbers more time than it saves them space."""
    import pyarrow as pa

    types = pa.types
    flat = (types.is_floating, types.is_integer, types.is_temporal, types.is_boolean, types.is_decimal)
    return [field.name for field in schema if not any(is_(field.type) for is_ in flat)]
