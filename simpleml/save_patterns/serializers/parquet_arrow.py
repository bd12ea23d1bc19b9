"""Arrow tables in parquet, and what the other frames need of arrow: which types parquet keeps, and dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simpleml.save_patterns.serializers.plan import Plan, Refused


def refusal(frame: Any) -> str | None:
    """Return the first column whose type parquet does not give back, or None."""
    for field in frame.schema:
        reason = type_refusal(field.type)
        if reason is not None:
            return f"the column {field.name!r:.80} is of type {field.type!s:.200}, and {reason}"
    return None


def type_refusal(kind: Any, *, nested: bool = False) -> str | None:
    """Return why parquet does not give a column of this arrow type back exactly, or None if it does."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        return "a dictionary inside another type is not kept" if nested else type_refusal(kind.value_type, nested=True)
    if is_.is_list(kind) or is_.is_large_list(kind):
        return type_refusal(kind.value_type, nested=True)
    if is_.is_fixed_size_list(kind):
        return "lists of length 0 are not kept" if kind.list_size == 0 else type_refusal(kind.value_type, nested=True)
    if is_.is_map(kind):
        return type_refusal(kind.key_type, nested=True) or type_refusal(kind.item_type, nested=True)
    if is_.is_struct(kind):
        parts = [type_refusal(kind.field(index).type, nested=True) for index in range(kind.num_fields)]
        return next((part for part in parts if part), None) if parts else "a struct without fields is not kept"
    if is_.is_decimal(kind):
        return None if 0 <= kind.scale <= kind.precision else "no format of data frames has such decimals"
    if stored_as(kind) is not None:
        return "no format of data frames has such a unit inside another type" if nested else None
    known = (
        *(is_.is_null, is_.is_boolean, is_.is_integer, is_.is_floating, is_.is_date32, is_.is_time, is_.is_timestamp),
        *(is_.is_duration, is_.is_string, is_.is_large_string, is_.is_binary, is_.is_large_binary),
        *(is_.is_fixed_size_binary, is_.is_string_view, is_.is_binary_view),
    )
    return None if any(check(kind) for check in known) else "no format of data frames has an exact form of that"


def stored_as(kind: Any) -> Any:
    """Return the integer type in whose place parquet keeps a unit that it does not have, or None where it has it."""
    import pyarrow as pa

    if pa.types.is_date64(kind) or (pa.types.is_timestamp(kind) and kind.unit == "s"):
        return pa.int64()
    if pa.types.is_time32(kind) and kind.unit == "s":
        return pa.int32()
    return None


def dictionary_type(values: Any) -> Any:
    """Return the type in which a dictionary of such values is written: text as dictionary, the rest plainly."""
    import pyarrow as pa

    is_text = pa.types.is_string(values) or pa.types.is_large_string(values)
    return pa.dictionary(pa.int32(), values) if is_text else values


def positions(chunk: Any, values: Any) -> Any:
    """Return where in `values` (distinct, none missing) each element of a chunk read from a file is, null if missing."""
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_dictionary(chunk.type):
        return compute.index_in(chunk.dictionary.cast(values.type), value_set=values).take(chunk.indices)
    return compute.index_in(chunk.cast(values.type), value_set=values)


def pack(array: Any) -> bytes:
    """Return an arrow array as an IPC stream, for a note; `unpack` is its inverse."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], names=[""])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def unpack(data: bytes) -> Any:
    """Return the array that `pack` was given."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_next_batch().column(0)


def plan(frame: Any) -> Plan:
    """Return how to write a table: as it is, but for dictionaries (unified first) and units that parquet lacks."""
    import pyarrow as pa

    reason = refusal(frame)
    if reason is not None:
        raise Refused(reason)
    columns, fields, dictionaries = [], [], {}
    for position, field in enumerate(frame.schema):
        column, kind = frame.column(position), stored_as(field.type) or field.type
        if not field.nullable and column.null_count:
            raise Refused(f"the column {field.name!r:.80} says that nothing is missing in it, and something is")
        if pa.types.is_dictionary(kind):
            column = column.unify_dictionaries()
            dictionaries[str(position)] = pack(_dictionary(column, field))
            kind = dictionary_type(kind.value_type)
        columns.append(column)
        fields.append(pa.field(field.name, kind, field.nullable))
    schema = pa.schema(fields)

    def part(start: int, stop: int) -> Any:
        pieces = [column.slice(start, stop - start) for column in columns]
        return pa.Table.from_arrays(
            [piece.cast(field.type) for piece, field in zip(pieces, schema, strict=True)], schema=schema
        )

    note = {"schema": frame.schema.serialize().to_pybytes(), "dictionaries": dictionaries}
    return Plan(schema, frame.num_rows, frame.nbytes / max(frame.num_rows, 1), part, note)


def _dictionary(column: Any, field: Any) -> Any:
    import pyarrow as pa

    values = column.chunk(0).dictionary if column.num_chunks else pa.array([], field.type.value_type)
    if values.null_count or len(values.unique()) != len(values):
        raise Refused(f"the dictionary of the column {field.name!r:.80} holds a null, or a value twice")
    return values


def restore(groups: Iterator[Any], rows: int, note: dict[str, Any]) -> object:
    """Return the table; its chunks are the row groups of the file."""
    import pyarrow as pa

    schema = pa.ipc.read_schema(pa.py_buffer(note["schema"]))
    dictionaries = {int(position): unpack(data) for position, data in note["dictionaries"].items()}
    chunks: list[list[Any]] = [[] for _ in schema]
    for group in groups:
        for position, field in enumerate(schema):
            for chunk in group.column(position).chunks:
                if position in dictionaries:
                    values = dictionaries[position]
                    codes = positions(chunk, values).cast(field.type.index_type)
                    chunks[position].append(pa.DictionaryArray.from_arrays(codes, values, ordered=field.type.ordered))
                else:
                    chunks[position].append(chunk.cast(field.type))
    columns = [pa.chunked_array(parts, field.type) for parts, field in zip(chunks, schema, strict=True)]
    table = pa.Table.from_arrays(columns, schema=schema)
    if table.num_rows != rows:
        raise ValueError(f"{table.num_rows} rows, and {rows} were written")
    return table
