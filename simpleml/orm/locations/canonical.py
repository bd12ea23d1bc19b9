r"""The canonical bytes of a frame: what its values are, whichever database or file they are in.

    b"SMLTBL1\n"  length of the head (8 bytes)  its CRC-32 (8 bytes)  the head, as text of `simpleml.encoding`
    then, for every block of rows and every column in it:
        number of nulls (8 bytes)  number of bytes of text (8 bytes)
        validity, one bit per row                       if there are nulls
        values                                          of a fixed width; those of nulls are zero
        or lengths (4 bytes per row) and the bytes      of text and binary; nulls have length 0

Numbers are little-endian, every part is padded with zeros to 8 bytes, and a NaN is the one that numpy makes: a database
keeps no other. The head holds the arrow schema, the number of rows, those of a block, and what else the frame's library
needs (see `serializers.frames`). Reading runs no code.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from simpleml import encoding
from simpleml.errors import EncodingError, SerializationError
from simpleml.save_patterns.locations.mapping import let_go
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.frames import (
    arrow,
    frames_of,
    instead_of,
    is_exact,
    library_of,
    no_frame,
    valid,
)
from simpleml.save_patterns.serializers.plan import Plan, Refused
from simpleml.types import JSON

MAGIC = b"SMLTBL1\n"
BLOCK_ROWS = 8192
"""Rows of a block at most: a driver makes a Python object of each value; larger ones cost memory, and gain some percent."""

BLOCK_BYTES = 32 * 1024 * 1024
"""Bytes of a block, as far as they can be told from the mean of all rows."""

_PIECE = 8 * 1024 * 1024
_NAN = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8000000000000}
_LONGEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Head:
    """What a frame is besides its values; `text` is how the canonical bytes say it, `schema` has no dictionaries."""

    text: str
    library: str
    rows: int
    block: int
    schema: Any
    note: dict[str, Any]

    def opening(self) -> bytes:
        """Return the canonical bytes before the first block."""
        text = self.text.encode()
        told = len(text).to_bytes(8, "little") + zlib.crc32(text).to_bytes(8, "little")
        return MAGIC + told + text + bytes(-len(text) % 8)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Give the first row and the one after the last of each block."""
        for start in range(0, self.rows, self.block):
            yield start, min(self.rows, start + self.block)

    def restore(self, blocks: Iterator[Any]) -> object:
        """Return the frame whose blocks these are, of the library that it was of."""
        return frames_of(self.library).restore(blocks, self.rows, self.note)


class Source(Protocol):
    """A frame on its way into blocks; they are asked for in their order, from the first on, and may be once more."""

    @property
    def head(self) -> Head:
        """What it is besides its values."""

    def block(self, start: int, stop: int) -> Any:
        """Return some rows as an arrow table of the head's schema, each column in one piece."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A frame of its library on its way into blocks."""

    head: Head
    plan: Plan

    def block(self, start: int, stop: int) -> Any:
        """Return some rows as an arrow table of the head's schema, each column in one piece."""
        pa = arrow()
        part = valid(self.plan.part(start, stop))
        columns = [
            _whole(column.cast(field.type)) for column, field in zip(part.columns, self.head.schema, strict=True)
        ]
        if not columns:
            return part
        return pa.Table.from_arrays(columns, schema=self.head.schema)


def source_of(value: object, what: str) -> Planned:
    """Return a frame as what can be written; `Refused` names what would not come back, `SerializationError` no frame at all."""
    library = library_of(value)
    if library is None:
        raise no_frame(value, what)
    pa = arrow()
    plan = frames_of(library).plan(value)
    fields = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in plan.schema]
    block = BLOCK_ROWS
    while block > 1 and block * plan.row_bytes > BLOCK_BYTES:
        block //= 2
    schema = pa.schema(fields)
    told = {"library": library, "rows": plan.rows, "block": block, "schema": schema.serialize().to_pybytes()}
    return Planned(_head(encoding.dumps({**told, "note": plan.note})), plan)


def read_head(text: str) -> Head:
    """Return the head that these words are; `ValueError` if they are not."""
    try:
        return _head(text)
    except (EncodingError, Refused, LookupError, TypeError, AttributeError, OSError, arrow().ArrowException) as error:
        raise ValueError(f"the head of a frame cannot be read: {error}") from error


def _head(text: str) -> Head:
    pa = arrow()
    told: Any = encoding.loads(text)
    schema = pa.ipc.read_schema(pa.py_buffer(told["schema"]))
    for field in schema:
        refuse(field.name, field.type)
    rows, block = told["rows"], told["block"]
    if type(rows) is not int or type(block) is not int or rows < 0 or block < 1:
        raise ValueError(f"{rows} rows in blocks of {block}")
    return Head(text, told["library"], rows, block, schema, told["note"])


def refuse(name: str, kind: Any) -> None:
    """Raise `Refused` for a column of a type that is neither flat nor of bytes."""
    types = arrow().types
    flat = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal, types.is_date32)
    more = (types.is_time, types.is_timestamp, types.is_duration)
    if not any(is_(kind) for is_ in (*flat, *more)) and not is_bytes(kind):
        raise Refused(f"the column {name!r:.80} is of type {kind!s:.200}, which is no type of a table's column")


def is_text(kind: Any) -> bool:
    """Whether a type holds text."""
    types = arrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_bytes(kind: Any) -> bool:
    """Whether a type holds text or bytes."""
    types = arrow().types
    of_bytes = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view)
    return is_text(kind) or any(is_(kind) for is_ in of_bytes)


def large(array: Any) -> Any:
    """Return an array of text or bytes with offsets of 64 bits."""
    pa = arrow()
    return array.cast(pa.large_string() if is_text(array.type) else pa.large_binary())


def _whole(column: Any) -> Any:
    pa = arrow()
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def widest(block: Any) -> int:
    """Return how many bytes of text and the like the longest row of a block has."""
    from pyarrow import compute

    columns = [large(_whole(column)) for column in block.columns if is_bytes(column.type)]
    if not columns:
        return 0
    lengths: Any = sum(compute.binary_length(column).fill_null(0).to_numpy() for column in columns)
    return int(lengths.max(initial=0))


def encode(block: Any) -> Iterator[Any]:
    """Give the canonical bytes of one block, a part at a time."""
    import numpy as np

    for column in block.columns:
        array = _whole(column)
        nulls = 0 if arrow().types.is_null(array.type) else array.null_count
        parts, length = [], 0
        mask = array.is_null().to_numpy(zero_copy_only=False) if nulls else None
        if mask is not None:
            parts.append(np.packbits(~mask, bitorder="little"))
        if is_bytes(array.type):
            lengths, data = _text(array, mask)
            parts += [lengths, data]
            length = data.nbytes
        elif not arrow().types.is_null(array.type):
            parts.append(fixed(array, mask))
        yield nulls.to_bytes(8, "little") + length.to_bytes(8, "little")
        for part in parts:
            yield part.view("u1").data
            if part.nbytes % 8:
                yield bytes(-part.nbytes % 8)


def fixed(array: Any, mask: Any = None) -> Any:
    """Return the bytes of values of a fixed width as a numpy array, with zeros for nulls; every NaN is the usual one."""
    import numpy as np

    types = arrow().types
    if types.is_boolean(array.type):
        return array.fill_null(False).to_numpy(zero_copy_only=False).view("u1")
    width = array.type.bit_width // 8
    kind = np.dtype(f"u{width}" if width <= 8 else f"V{width}")
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(len(array), kind)
    values = np.frombuffer(buffer, kind, len(array), array.offset * width)
    if mask is not None:
        values = values.copy()
        values[mask] = np.zeros((), kind)
    if types.is_floating(array.type):
        odd = np.isnan(values.view(f"f{width}"))
        if odd.any():
            values = np.where(odd, kind.type(_NAN[width]), values)
    return values


def _text(array: Any, mask: Any) -> tuple[Any, Any]:
    """Return the lengths and the bytes of text or binary values; nulls have none."""
    import numpy as np

    pa = arrow()
    array = large(array).cast(pa.large_binary())
    if mask is not None:
        array = array.fill_null(b"")
    ends, held = spread(array)
    lengths = np.diff(ends)
    if len(lengths) and lengths.max() > _LONGEST:
        raise Refused("a value of more than 4 GB")
    return lengths.astype("<u4"), held


def spread(array: Any) -> tuple[Any, Any]:
    """Return where each value of an array of text or bytes with long offsets ends, from 0, and the bytes of all of them."""
    import numpy as np

    _, offsets, data = array.buffers()
    if not len(array) or offsets is None:
        return np.zeros(len(array) + 1, "<i8"), np.zeros(0, "u1")
    ends = np.frombuffer(offsets, "<i8", len(array) + 1, array.offset * 8)
    size = int(ends[-1] - ends[0])
    return ends - ends[0], np.frombuffer(data, "u1", size, int(ends[0])) if size else np.zeros(0, "u1")


class Reader:
    """Takes canonical bytes in an arrow file apart, from where that is, and never looks beyond `end`; `ValueError` if they are none."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.at = 0
        self.end: int = file.size()

    def take(self, size: int) -> Any:
        """Return the next bytes, without those that pad them."""
        padded = size + -size % 8
        if size < 0 or self.at + padded > self.end:
            raise ValueError(f"{size} bytes from byte {self.at} on go beyond byte {self.end}")
        part = self._file.read_buffer(padded)
        if part.size != padded:
            raise ValueError(f"{part.size} bytes are left from byte {self.at} on, and not {padded}")
        self.at += padded
        return part.slice(0, size)

    def number(self) -> int:
        """Return the next number."""
        return int.from_bytes(self.take(8).to_pybytes(), "little")

    def head(self) -> Head:
        """Return what comes before the first block."""
        if self.take(len(MAGIC)).to_pybytes() != MAGIC:
            raise ValueError("they do not begin as such bytes do")
        length, checksum = self.number(), self.number()
        text = self.take(length).to_pybytes()
        if zlib.crc32(text) != checksum:  # what makes a frame of the values has to be what was written
            raise ValueError("their head was changed")
        return read_head(text.decode())

    def block(self, schema: Any, rows: int) -> Any:
        """Return the next rows as an arrow table, as far as possible without a copy."""
        columns = [_column(self, field.type, rows) for field in schema]
        return arrow().Table.from_arrays(columns, schema=schema)


def decode(data: Buffer) -> tuple[Head, Iterator[Any]]:
    """Return the head and the blocks that canonical bytes hold; `ValueError` if they are none. The blocks are views."""
    pa = arrow()
    reader = Reader(pa.BufferReader(pa.py_buffer(data)))
    head = reader.head()

    def blocks() -> Iterator[Any]:
        done = 0
        for start, stop in head.blocks():
            yield reader.block(head.schema, stop - start)
            let_go(data, done, reader.at)  # its reader has copied it, or will have it back when it looks
            done = reader.at
        if reader.at != reader.end:
            raise ValueError(f"{reader.end - reader.at} bytes are left over")

    return head, blocks()


def _column(reader: Reader, kind: Any, rows: int) -> Any:
    import numpy as np

    pa = arrow()
    nulls, length = reader.number(), reader.number()
    if nulls > rows:
        raise ValueError(f"{nulls} of {rows} values are missing")
    if pa.types.is_null(kind):
        return pa.nulls(rows)
    validity = reader.take(-(-rows // 8)) if nulls else None
    if is_bytes(kind):
        lengths = np.frombuffer(reader.take(4 * rows), "<u4")
        ends = np.zeros(rows + 1, "<i8")
        np.cumsum(lengths, out=ends[1:])
        if ends[-1] != length:
            raise ValueError(f"{length} bytes of text, and {ends[-1]} are told")
        # A copy: whoever keeps text would have the mapped pages back, which were let go.
        offsets, held = pa.py_buffer(ends), pa.py_buffer(reader.take(length).to_pybytes())
        return pa.Array.from_buffers(pa.large_binary(), rows, [validity, offsets, held], nulls).cast(kind)
    if pa.types.is_boolean(kind):
        values = np.packbits(np.frombuffer(reader.take(rows), "u1"), bitorder="little")
        return pa.Array.from_buffers(kind, rows, [validity, pa.py_buffer(values)], nulls)
    return pa.Array.from_buffers(kind, rows, [validity, reader.take(rows * kind.bit_width // 8)], nulls)


class TableSerializer:
    """Reads and writes frames as their canonical bytes: what a frame kept as a table is to every other place."""

    name = "table"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is a frame of flat types that come back exactly; object columns do not count as known."""
        if not is_exact(value):
            return False
        try:
            source_of(value, "table")
        except (ImportError, Refused, EncodingError, ValueError, TypeError):
            return False
        return True

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the frame block by block; the details say which library it is of, and how many rows it has."""
        with refusing(value):
            source = source_of(value, "table")
            stream.write(source.head.opening())
            for start, stop in source.head.blocks():
                for part in encode(source.block(start, stop)):  # a spool has nothing but `write`
                    for at in range(0, len(part), _PIECE):  # noqa: FURB122
                        stream.write(part[at : at + _PIECE])
        return {"library": source.head.library, "rows": source.head.rows}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the frame, of the library it was of."""
        pa = arrow()
        try:
            head, blocks = decode(data)
            return head.restore(blocks)
        except ImportError:
            raise
        except (pa.ArrowException, EncodingError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise SerializationError(
                f"these {len(data)} bytes are not a frame's canonical bytes: {type(error).__name__}: {error}"
            ) from error


@contextmanager
def refusing(value: object) -> Iterator[None]:
    """Turn whatever keeps a frame from being written into a `SerializationError` that says what to do."""
    pa = arrow()
    try:
        yield
    except (SerializationError, OSError):
        raise
    except (Refused, EncodingError, pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise SerializationError(
            f"this {library_of(value)} frame cannot be kept exactly as a table: {error}. Convert what is named (`astype`, "
            f"`cast`) or leave it out, or keep the frame with the pattern {instead_of(value)}."
        ) from error


TABLE = TableSerializer()
