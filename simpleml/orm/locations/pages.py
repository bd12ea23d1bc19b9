"""Rows as pages of an SQLite file, made of arrow columns without a Python object for each value.

SQLite copies the rows of such pages into a table of the same columns as they are, which takes it a fraction of the time of
statements with values. The format, which is promised for ever: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simpleml.save_patterns.serializers.frames import arrow

PAGE = 65536  # the largest that SQLite knows: rows of up to this size lie in one page
_LONGEST = PAGE - 35  # what follows goes to pages of its own, which are not made here
_LEAF, _INTERIOR = 13, 5
_LEAF_HEAD, _INTERIOR_HEAD = 8, 12
_INTEGERS = ((1, 1), (2, 2), (3, 3), (4, 4), (6, 5), (8, 6))  # bytes of a whole number, and its type
_DOUBLE, _ZERO, _BINARY, _TEXT = 7, 8, 12, 13
_ROOT = 2


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a table in parts, of which the root comes first."""

    parts: Sequence[bytes | memoryview]

    def image(self, opening: bytes) -> bytes:
        """Return the database that `opening` is, whose only table was empty and has its root on the second page, with them."""
        count = 1 + sum(len(part) for part in self.parts) // PAGE
        return b"".join([opening[:28], count.to_bytes(4, "big"), opening[32:PAGE], *self.parts])


def pages_of(columns: Sequence[Any]) -> Pages | None:
    """Return the pages of a table with these rows; the first column is the key, and ascends.

    Columns are whole numbers, floats, text and bytes. None if a row is too long for a page, or the pages are too many.
    """
    import numpy as np

    numbers = columns[0].to_numpy()
    fields = [_field(column) for column in columns[1:]]
    types = _Words(len(numbers))
    types.add(np.zeros(1, "i8"))  # of the key, which is not in the record
    for field in fields:
        types.add(field.types)
    sizes = types.lengths
    heads = sizes + 1 + (sizes > 126)
    payloads = heads.copy()
    for field in fields:
        payloads += field.lengths
    if payloads.max(initial=0) > _LONGEST or heads.max(initial=0) > 16383:
        return None
    told = _Words(len(numbers))
    for words in (payloads, numbers, heads):
        told.add(words)
    parts = _tree(numbers, *_joined([told.text(), types.text(), *_bodies(fields)]))
    return None if parts is None else Pages(parts)


# records


@dataclass(frozen=True, slots=True)
class _Field:
    """One column: the type and the length of every value (one for all, where all are alike), and their bytes."""

    types: Any
    lengths: Any
    values: Any = None  # of a fixed width, one for each row
    text: Any = None  # or an arrow array


def _field(column: Any) -> _Field:
    import numpy as np

    pa = arrow()
    types, kind = pa.types, column.type
    valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
    if types.is_large_string(kind) or types.is_large_binary(kind) or types.is_string(kind):
        base = _BINARY if types.is_large_binary(kind) else _TEXT
        text = column.cast(pa.large_binary() if types.is_large_binary(kind) else pa.large_string()).cast(
            pa.large_binary()
        )
        text = text if valid is None else text.fill_null(b"")
        lengths = np.diff(np.frombuffer(text.buffers()[1], "i8", len(text) + 1, text.offset * 8))
        return _Field(_where(valid, base + 2 * lengths), lengths, text=text)
    plain = (column if valid is None else column.fill_null(0)).to_numpy(zero_copy_only=False)
    if types.is_floating(kind):
        word, values = _DOUBLE, plain.astype(">f8")
    elif plain.min(initial=0) >= 0 and plain.max(initial=0) <= 1:  # told by the type alone
        return _Field(_where(valid, _ZERO + plain.astype("i8")), np.zeros(1, "i8"))
    else:
        word, values = _integers(plain)
    width = values.dtype.itemsize
    if valid is None:
        return _Field(np.array([word]), np.array([width]), values)
    ends = np.zeros(len(valid) + 1, "i8")
    np.cumsum(valid * width, out=ends[1:])
    return _Field(
        _where(valid, np.array([word])), valid * width, text=_binary(ends, np.ascontiguousarray(values[valid]))
    )


def _where(valid: Any, words: Any) -> Any:
    """Return the types, with that of NULL, 0, where nothing is."""
    return words if valid is None else words * valid


def _integers(plain: Any) -> tuple[int, Any]:
    """Return the type of the smallest width that all numbers fit, and the numbers in it."""
    import numpy as np

    least, most = int(plain.min(initial=0)), int(plain.max(initial=0))
    width, word = next(
        (width, word) for width, word in _INTEGERS if -(1 << (8 * width - 1)) <= least and most < 1 << (8 * width - 1)
    )
    whole = np.ascontiguousarray(plain.astype(">i8")).view("u1").reshape(-1, 8)
    return word, np.ascontiguousarray(whole[:, 8 - width :]).view(f"V{width}").reshape(-1)


def _bodies(fields: Sequence[_Field]) -> Iterator[Any]:
    """Give what the records hold, columns beside each other that take the same room in every row together."""
    import numpy as np

    even: list[Any] = []

    def run() -> Iterator[Any]:
        if even:
            kinds = [(str(number), values.dtype) for number, values in enumerate(even)]
            records = np.empty(len(even[0]), kinds)
            for number, values in enumerate(even):
                records[str(number)] = values
            even.clear()
            yield _binary(np.arange(len(records) + 1) * records.dtype.itemsize, records)

    for field in fields:
        if field.values is not None:
            even.append(field.values)
        elif field.text is not None:
            yield from run()
            yield field.text
    yield from run()


class _Words:
    """Numbers in SQLite's own variable width, several for each row, one behind the other."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self._rows = rows
        self._parts: list[tuple[Any, Any]] = []
        self.lengths = np.zeros(rows, "i8")

    def add(self, words: Any) -> None:
        """Take the next number of every row, or one for all."""
        import numpy as np

        width = max(1, -(-int(words.max(initial=0)).bit_length() // 7))
        shifts = np.arange(7 * (width - 1), -1, -7)
        groups = words[:, None] >> shifts
        present = groups > 0
        present[:, -1] = True
        text = (groups & 127).astype("u1")
        text[:, :-1] |= 128
        self._parts.append((text, present))
        self.lengths += present.sum(axis=1)

    def text(self) -> Any:
        """Return them as an arrow array."""
        import numpy as np

        width = sum(text.shape[1] for text, _ in self._parts)
        held, present = np.empty((self._rows, width), "u1"), np.empty((self._rows, width), bool)
        at = 0
        for text, there in self._parts:
            held[:, at : at + text.shape[1]] = text
            present[:, at : at + text.shape[1]] = there
            at += text.shape[1]
        ends = np.zeros(self._rows + 1, "i8")
        np.cumsum(self.lengths, out=ends[1:])
        return _binary(ends, held if ends[-1] == held.size else held[present])


def _binary(ends: Any, data: Any) -> Any:
    """Return an array of bytes that end there."""
    pa = arrow()
    ends = ends.astype("i8", copy=False)
    return pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])


def _joined(parts: Sequence[Any]) -> tuple[Any, Any]:
    """Return where each row begins and the last one ends, and the bytes of all rows."""
    import numpy as np
    from pyarrow import compute

    pa = arrow()
    whole = compute.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
    _, offsets, data = whole.buffers()
    ends = np.frombuffer(offsets, "i8", len(whole) + 1)
    return ends, np.frombuffer(data, "u1", int(ends[-1]))


# pages


def _tree(numbers: Any, ends: Any, data: Any) -> list[bytes | memoryview] | None:
    """Return the pages with these cells, in two levels if they do not fit into one page."""
    import numpy as np

    leaves: list[list[Any]] = []
    last: list[int] = []
    room = ends[1:] + 2 * np.arange(1, len(ends))  # what all cells up to one take, with their pointers
    start, taken = 0, 0
    while start < len(numbers):
        stop = int(np.searchsorted(room, taken + PAGE - _LEAF_HEAD, "right"))
        leaves.append(_page(_LEAF, b"", ends[start : stop + 1], data))
        last.append(int(numbers[stop - 1]))
        start, taken = stop, int(room[stop - 1])
    if len(leaves) <= 1:
        return [part for leaf in leaves or [_page(_LEAF, b"", ends[:1], data)] for part in leaf]
    children = [_ROOT + 1 + position for position in range(len(leaves))]
    words = _Words(len(leaves) - 1)
    words.add(np.array(last[:-1]))
    to = np.array(children[:-1], ">u4")
    cells, text = _joined([_binary(np.arange(len(to) + 1) * 4, to), words.text()])
    if len(text) + 2 * len(to) + _INTERIOR_HEAD > PAGE:
        return None
    root = _page(_INTERIOR, children[-1].to_bytes(4, "big"), cells, text)
    return [part for page in (root, *leaves) for part in page]


def _page(kind: int, right: bytes, ends: Any, data: Any) -> list[bytes | memoryview]:
    """Return the parts of one page: head and pointers, what is free, and the cells, which end with the page."""
    count, size = len(ends) - 1, int(ends[-1] - ends[0])
    begins = PAGE - size
    head = bytes([kind, 0, 0]) + count.to_bytes(2, "big") + (begins % PAGE).to_bytes(2, "big") + b"\0" + right
    pointers = (ends[:-1] - ends[0] + begins).astype(">u2").tobytes()
    return [head, pointers, bytes(begins - len(head) - len(pointers)), data[int(ends[0]) : int(ends[-1])].data]
