"""Frames of pandas, polars and arrow: whose a frame is, and what its library's module offers to the formats that keep it.

Every library has a module beside this one that knows what it can keep. What a format cannot say (labels that are no strings,
indexes, time zones, unused categories, the library) is in the plan's note, as values that `simpleml.encoding` writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol, cast

from simpleml.errors import EncodingError, MissingDependencyError, SerializationError
from simpleml.save_patterns.serializers.output import Output
from simpleml.save_patterns.serializers.plan import Plan, Refused

KEY = b"simpleml"
"""Where a file's metadata say what the frame was."""


class Frames(Protocol):
    """What a library's module offers; every function imports the library itself."""

    def refusal(self, frame: Any, /) -> str | None:
        """Return why a frame of these types would not come back as it is; looks at no values."""

    def plan(self, frame: Any, /) -> Plan:
        """Return how to write a frame, or raise `Refused`."""

    def restore(self, groups: Iterator[Any], rows: int, note: dict[str, Any], /) -> object:
        """Return the frame that `note` and the row groups of its file describe."""


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


def is_exact(value: object) -> bool:
    """Whether `value` is a frame (no subclass) of types that come back exactly; object columns do not count as known."""
    library = library_of(value)
    if library is None:
        return False
    try:
        return frames_of(library).refusal(value) is None
    except (MissingDependencyError, Refused):
        return False


def instead_of(value: object) -> str:
    """Return the patterns to name for a frame that one of narrower types does not keep: parquet, if that does, and pickles."""
    return "'parquet' or 'pickled'" if is_exact(value) else "'pickled'"


def no_frame(value: object, format_: str) -> SerializationError:
    """Return the error for what is no frame, which names the pattern that such a value gets."""
    from simpleml.save_patterns.catalogue import choose_pattern

    return SerializationError(
        f"{format_} keeps data frames of pandas and polars and tables of arrow, and this is a "
        f"{type(value).__module__}.{type(value).__qualname__}: keep it with the pattern {choose_pattern(value)!r}."
    )


def valid(table: Any) -> Any:
    """Return an arrow table; `Refused` names a column with values that its type does not have, which arrow makes unasked.

    Text that is not UTF-8, and offsets or indexes that point outside. Numbers are not even looked at.
    """
    is_ = arrow().types
    for name, column in zip(table.column_names, table.columns, strict=True):
        flat = is_.is_primitive(column.type) or is_.is_decimal(column.type)
        try:
            column.validate(full=not flat)
        except arrow().ArrowInvalid as error:
            raise Refused(f"the column {name!r:.80} has values that are no {column.type!s:.200} ({error})") from error
    return table


def faults(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what it may raise to write a frame that cannot be kept, and `others`."""
    return (Refused, EncodingError, arrow().ArrowException, OSError, ValueError, TypeError, OverflowError, *others)


@contextmanager
def writing(
    value: object, stream: BinaryIO, format_: str, *, instead: str = "'pickled'"
) -> Iterator[tuple[str, Output]]:
    """Give the library of a frame and what to write it to; a frame that cannot be kept is a `SerializationError`.

    A failure of the stream is raised as it was. `instead` is the pattern that keeps what this format does not.
    """
    library = library_of(value)
    if library is None:
        raise no_frame(value, format_)
    frames_of(library)
    output = Output(stream)
    try:
        yield library, output
    except faults() as error:
        if output.error is not None:
            raise output.error from None
        raise SerializationError(
            f"this {library} frame cannot be kept exactly as {format_}: {error}. Convert what is named "
            f"(`astype`, `cast`) or leave it out, or keep the frame with the pattern {instead}."
        ) from error
    finally:
        output.closed = True
