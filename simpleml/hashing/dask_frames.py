"""dask frames: names, types and values of columns and index, row by row; where partitions end does not count.

One partition at a time is computed. An index counts if dask knows it: if the divisions are known, or it has a name, or is no plain
number. Else it is the number of a row within its file, which is no property of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import finalize

import pyarrow as pa

from simpleml.hashing.hashers import opens
from simpleml.hashing.tokens import Node, Refusal
from simpleml.hashing.walker import hash_value

_BLOCK = 1 << 16  # rows that are hashed at a time, wherever partitions end

_known: dict[int, str] = {}  # the hashes of the rows of frames that live, by id


class PartitionError(Exception):
    """A partition is not of the types that its frame says; the message says which, and what to do."""


class RowHash:
    """The content hash of rows that come in pieces; the same however they are cut."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._rest: list[Any] = []
        self._waiting = 0

    def add(self, table: Any) -> None:
        """Take the next rows, an arrow table of the type of the first ones."""
        self._rest.append(table)
        self._waiting += table.num_rows
        if self._waiting < _BLOCK:
            return
        whole = pa.concat_tables(self._rest)
        full = whole.num_rows - whole.num_rows % _BLOCK
        self._blocks += [hash_value(whole.slice(at, _BLOCK)) for at in range(0, full, _BLOCK)]
        rest = whole.slice(full)
        self._rest, self._waiting = [rest.combine_chunks()], rest.num_rows

    def finish(self) -> str:
        """Return the hash of all rows."""
        if self._rest and (self._waiting or not self._blocks):
            self._blocks.append(hash_value(pa.concat_tables(self._rest)))
        return hash_value(self._blocks)


@opens("dask.dataframe.DataFrame")
def open_dask_frame(value: Any) -> Node:
    """A dask frame is its rows; they are computed once for each frame object, which never changes."""
    if id(value) not in _known:
        hasher = RowHash()
        try:
            for table in tables(with_categories(value)):
                hasher.add(table)
        except PartitionError as error:
            raise Refusal(str(error)) from error
        remember(value, hasher.finish())
    return Node(b"dask.DataFrame", b"", (_known[id(value)],), ("",))


@opens("dask.dataframe.Series")
def open_dask_series(value: Any) -> Node:
    """A dask series is the frame of it alone."""
    return Node(b"dask.Series", b"", (value.name, value.to_frame(name=str(value.name))), (".name", ""))


def remember(frame: Any, hash_: str) -> None:
    """Keep the hash of the rows of a frame, which somebody has just gone through, for as long as the frame lives."""
    if id(frame) not in _known:
        finalize(frame, _known.pop, id(frame), None)
    _known[id(frame)] = hash_


def tables(frame: Any) -> Iterator[Any]:
    """Compute one partition after the other and give it as an arrow table of the one type that all have.

    Raises `PartitionError`.
    """
    other = next((name for name in frame.columns if not isinstance(name, str)), None)
    if other is not None:
        raise PartitionError(
            f"this dask frame has the column {other!r:.80} ({type(other).__name__}), and the columns of parquet files are named by "
            "text: frame.rename(columns=str)"
        )
    keeps = keeps_index(frame)
    schema = _schema(frame, keeps)
    for number in range(frame.npartitions):
        part = frame.partitions[number].compute()
        try:
            yield pa.Table.from_pandas(part, schema=schema, preserve_index=keeps)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, LookupError) as cause:
            raise PartitionError(
                f"partition {number} of this dask frame is not of the types that the frame says: {cause}. Convert the column with "
                "astype, so that every partition has the same type"
            ) from cause


def with_categories(frame: Any) -> Any:
    """Return the frame with all categories known; those that dask does not know are collected from the partitions."""
    unknown = [name for name, dtype in frame.dtypes.items() if dtype == "category" and not frame[name].cat.known]
    return frame.categorize(columns=unknown, index=False) if unknown else frame


def keeps_index(frame: Any) -> bool:
    """Whether the index is a property of the data, and not the number of a row within its file."""
    index = frame._meta.index  # noqa: SLF001 - as dask's own writers ask
    return bool(frame.known_divisions or any(name is not None for name in index.names) or index.dtype.kind not in "iu")


def _schema(frame: Any, keeps: bool) -> Any:
    """Return the arrow schema of every partition, with room for any number of categories."""
    found = pa.Schema.from_pandas(frame._meta_nonempty, preserve_index=keeps)  # noqa: SLF001 - as dask's own writers ask
    fields = []
    for field in found:
        name = field.name
        if name in frame.columns and frame.dtypes[name] == "category":
            values = pa.array(frame.dtypes[name].categories, from_pandas=True).type
            fields.append(pa.field(name, pa.dictionary(pa.int32(), values, ordered=field.type.ordered)))
        else:
            fields.append(field)
    return pa.schema(fields, metadata=found.metadata)
