r"""Frames of pandas, polars and arrow as CSV: what a person or any other program opens, and an exact copy all the same.

One line of names, then a line for each row, separated by commas, ended by `\n`. Text stands in quotes (doubled inside), an
empty cell is a missing value, `""` is empty text; numbers are the shortest that read back equal, times ISO 8601 (with a zone:
in UTC, ending with `Z`), durations the number of their unit. The index of a pandas frame follows as further columns. What CSV
cannot say (types, labels that are no text, zones, categories) is in the details of the reference; all NaNs come back alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from simpleml import encoding
from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.frames import (
    arrow,
    faults,
    frames_of,
    instead_of,
    is_exact,
    library_of,
    valid,
    writing,
)
from simpleml.save_patterns.serializers.plan import Plan, Refused
from simpleml.save_patterns.serializers.text import check_size
from simpleml.types import JSON

_PART = 64 * 1024  # rows that are written at once
_BLOCK = 4 * 1024 * 1024  # bytes that are parsed at once, by each thread
_FIRST_WHOLE_SECOND = -9_223_372_036 * 10**9  # nanoseconds; 64 bits reach 0.85 s further back


class CsvSerializer:
    """Keeps frames of numbers, truth values, text, times, decimals and categories exactly; refuses bytes, lists and structs."""

    name = "csv"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a frame of columns that CSV holds exactly; looks at times whether they are in reach."""
        if not is_exact(value):
            return False
        try:
            _check(str(library_of(value)), value)
        except faults():
            return False
        return True

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the frame; the details hold what CSV cannot say."""
        with writing(value, stream, "csv", instead=instead_of(value)) as (library, output):
            from pyarrow import csv

            plan = _check(library, value)
            cells = _cells(plan.schema)
            options = csv.WriteOptions(batch_size=_PART, quoting_style="needed")
            with csv.CSVWriter(output, cells, write_options=options) as writer:
                for part in _parts(plan):
                    writer.write_table(_to_cells(valid(part), cells))
            note = {"library": library, "rows": plan.rows, **plan.note}
            types = plan.schema.remove_metadata().serialize().to_pybytes()
            text = encoding.dumps({"note": note, "types": types})
        return {"library": library, "rows": plan.rows, "size": output.position, "frame": text}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the frame, of the library it was of; nothing of `data` is kept."""
        pa = arrow()
        check_size(data, details, "csv file")
        try:
            frame: Any = encoding.loads(str(details["frame"]))
            note, schema = frame["note"], pa.ipc.read_schema(pa.py_buffer(frame["types"]))
            table = _read(data, _cells(schema))
            columns = [column.cast(field.type) for column, field in zip(table.columns, schema, strict=True)]
            table = pa.Table.from_arrays(columns, schema=schema)
            if len(schema) and table.num_rows != note["rows"]:
                raise ValueError(f"{table.num_rows} rows, and {note['rows']!r:.40} were written")
            groups = iter([table] if len(schema) else [])
            return frames_of(note["library"]).restore(groups, note["rows"], note)
        except MissingDependencyError:
            raise
        except faults(LookupError, AttributeError, MemoryError) as error:
            raise SerializationError(
                f"these {len(data)} bytes are no csv file that simpleml wrote: {type(error).__name__}: {str(error)[:500]}"
            ) from error


CSV = CsvSerializer()


def _check(library: str, frame: Any) -> Plan:
    """Return how to write a frame; `Refused` names the first column that CSV does not hold exactly."""
    plan = frames_of(library).plan(frame)
    cells = _cells(plan.schema)
    if any(_is_time(field.type) for field in cells):
        for part in _parts(plan):
            _check_times(part, cells)
    return plan


def _parts(plan: Plan) -> Iterator[Any]:
    for start in range(0, plan.rows, _PART):
        yield plan.part(start, min(plan.rows, start + _PART))


def _cells(schema: Any) -> Any:
    """Return the schema of the cells: for each column the type that is written in its place, and read."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _cell(field.name, field.type)) for field in schema])


def _cell(name: str, kind: Any) -> Any:
    import pyarrow as pa

    if "\0" in name:  # arrow's reader does not find the end of the line of names
        raise Refused(f"the column {name!r:.80} has a NUL in its name, and csv has no exact form of that")
    is_ = pa.types
    if is_.is_dictionary(kind):
        return _cell(name, kind.value_type)
    if is_.is_timestamp(kind):
        return pa.timestamp(kind.unit, "UTC" if kind.tz is not None else None)
    if is_.is_duration(kind):
        return pa.int64()
    if is_.is_float16(kind):
        return pa.float32()
    if is_.is_string(kind) or is_.is_string_view(kind) or is_.is_large_string(kind):
        return pa.large_string()
    plain = (is_.is_boolean, is_.is_integer, is_.is_floating, is_.is_date32, is_.is_time, is_.is_null)
    if any(check(kind) for check in plain) or is_.is_decimal128(kind):
        return kind
    raise Refused(f"the column {name!r:.80} is of type {kind!s:.200}, and csv has no exact form of that")


def _to_cells(part: Any, cells: Any) -> Any:
    """Return a part of the frame in the types of its cells; the casts are exact both ways."""
    import pyarrow as pa

    columns = []
    for column, field in zip(part.columns, cells, strict=True):
        values = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        columns.append(values.cast(field.type))
    return pa.Table.from_arrays(columns, schema=cells)


def _is_time(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_date32(kind) or pa.types.is_timestamp(kind))


def _check_times(part: Any, cells: Any) -> None:
    """Raise `Refused` if a time is not between the years 0 and 9999, or in the first second that nanoseconds reach.

    ISO 8601 has no room for the others, and arrow does not read that second back.
    """
    import pyarrow as pa
    from pyarrow import compute

    for column, field in zip(_to_cells(part, cells).columns, cells, strict=True):
        if _is_time(field.type) and column.null_count < len(column):
            ends = compute.min_max(column.cast(pa.int32() if pa.types.is_date32(field.type) else pa.int64())).as_py()
            if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
                if ends["min"] < _FIRST_WHOLE_SECOND:
                    raise Refused(f"the column {field.name!r:.80} has a time before 1677-09-21 00:12:44")
                continue
            day = 1 if pa.types.is_date32(field.type) else 86_400 * 1000 ** ("s", "ms", "us").index(field.type.unit)
            if ends["min"] < -719_528 * day or ends["max"] >= 2_932_897 * day:
                raise Refused(f"the column {field.name!r:.80} has a time outside of the years 0 to 9999")


def _read(data: Buffer, cells: Any) -> Any:
    """Return the cells as a table; the line of names is skipped, as names may be there twice."""
    import pyarrow as pa
    from pyarrow import csv

    if not len(cells):
        return pa.table({})
    names = [str(position) for position in range(len(cells))]
    parsing = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
    converting = csv.ConvertOptions(
        column_types=dict(zip(names, cells.types, strict=True)),
        null_values=[""],
        true_values=["true"],
        false_values=["false"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )

    def read(block: int) -> Any:
        reading = csv.ReadOptions(column_names=names, skip_rows_after_names=1, block_size=block)
        return csv.read_csv(pa.BufferReader(pa.py_buffer(data)), reading, parsing, converting)

    try:
        return read(_BLOCK)
    except pa.ArrowInvalid:  # a row may be longer than a block
        if len(data) <= _BLOCK:
            raise
        return read(min(len(data), 2**31 - 2))
