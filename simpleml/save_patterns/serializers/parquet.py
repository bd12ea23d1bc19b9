"""Frames of pandas, polars and arrow, as parquet (zstd): exact both ways, or refused with the column that is the reason.

Any parquet reader sees the columns with their values. What parquet cannot say (labels that are no strings, indexes, time
zones, unused categories, the library) lies in the file's own metadata under the key `simpleml`, as text of
`simpleml.encoding`; reading it runs no code. Every library has a module beside this one that knows what it can keep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from simpleml import encoding
from simpleml.errors import EncodingError, MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.types import JSON

KEY = b"simpleml"
"""Where the file's metadata say what the frame was."""

_GROUP_BYTES = 32 * 1024 * 1024  # of one row group in memory: what a dump or load needs beside the frame
_GROUP_ROWS = 1024 * 1024
_CHUNK = 8 * 1024 * 1024


class Refused(Exception):  # noqa: N818  # not an error of its own: `dump` turns it into one, `accepts` into False
    """Why a frame would not come back as it is; the text names the column."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to write one frame: `part(start, stop)` gives an arrow table of `schema`, `note` all that the table lacks."""

    schema: Any
    rows: int
    row_bytes: float
    part: Callable[[int, int], Any]
    note: dict[str, Any]


class Frames(Protocol):
    """What a library's module offers; every function imports the library itself."""

    def refusal(self, frame: Any, /) -> str | None:
        """Return why a frame of these types would not come back as it is; looks at no values."""

    def plan(self, frame: Any, /) -> Plan:
        """Return how to write a frame, or raise `Refused`."""

    def restore(self, groups: Iterator[Any], rows: int, note: dict[str, Any], /) -> object:
        """Return the frame that `note` and the row groups of its file describe."""


class ParquetSerializer:
    """Keeps frames exactly: types, labels, indexes, order, missing values; a row group at a time, in either direction."""

    name = "parquet"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a frame (no subclass) of types that come back exactly; object columns do not count as known."""
        library = library_of(value)
        if library is None:
            return False
        try:
            return frames_of(library).refusal(value) is None
        except (MissingDependencyError, Refused):
            return False

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the frame; the details say which library it is of, and how many rows it has."""
        library = library_of(value)
        if library is None:
            raise SerializationError(
                "parquet keeps data frames of pandas and polars and tables of arrow, and this is a "
                f"{type(value).__module__}.{type(value).__qualname__}: keep it with the pattern 'pickled'."
            )
        frames = frames_of(library)
        import pyarrow as pa

        sink = Sink(stream)
        try:
            plan = frames.plan(value)
            _write(plan, {"library": library, "rows": plan.rows, **plan.note}, sink)
        except (Refused, EncodingError, pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
            if sink.error is not None:
                raise sink.error from None
            raise SerializationError(
                f"this {library} frame cannot be kept exactly as parquet: {error}. Convert what is named "
                "(`astype`, `cast`) or leave it out, or keep the frame with the pattern 'pickled'."
            ) from error
        finally:
            sink.closed = True
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


def library_of(value: object) -> str | None:
    """Return the library whose frame this is, importing none."""
    for library, module, attribute in (
        ("pandas", "pandas", "DataFrame"),
        ("polars", "polars", "DataFrame"),
        ("arrow", "pyarrow", "Table"),
    ):
        if type(value) is getattr(sys.modules.get(module), attribute, None):
            return library
    return None


def arrow() -> Any:
    """Return pyarrow; `MissingDependencyError` says what to install."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingDependencyError("artifacts of data frames need pyarrow: pip install 'simpleml[arrow]'") from error
    return pa


def frames_of(library: str) -> Frames:
    """Return the module for a library; `MissingDependencyError` says what to install."""
    arrow()
    try:
        if library == "pandas":
            from simpleml.save_patterns.serializers import parquet_pandas

            return cast("Frames", parquet_pandas)
        if library == "polars":
            from simpleml.save_patterns.serializers import parquet_polars

            return cast("Frames", parquet_polars)
    except ImportError as error:
        raise MissingDependencyError(
            f"this artifact is a {library} frame: pip install 'simpleml[{library}]'"
        ) from error
    if library != "arrow":
        raise ValueError(f"frames of the library {library!r:.80} are unknown")
    from simpleml.save_patterns.serializers import parquet_arrow

    return cast("Frames", parquet_arrow)


class Sink:
    """The stream as arrow wants it, of which only `write` does anything; remembers its failure."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: Exception | None = None
        self.closed = False

    def write(self, data: bytes) -> int:
        """Pass on `data`, which may be a whole column, in pieces."""
        if self.error is None and not self.closed:  # arrow tries to finish a file that failed
            view = memoryview(data)
            try:
                for start in range(0, len(view), _CHUNK):
                    self._stream.write(view[start : start + _CHUNK])
            except Exception as error:
                self.error = error
                raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """The stream is not ours to close."""


def _write(plan: Plan, note: dict[str, Any], sink: Sink) -> None:
    from pyarrow import parquet

    with parquet.ParquetWriter(
        sink, plan.schema, compression="zstd", compression_level=1, use_dictionary=_texts(plan.schema)
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
