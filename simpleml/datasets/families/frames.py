"""`Frames`: what a dataset needs of the library that its data belongs to, and which library that is."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from simpleml.errors import DatasetError, MissingDependencyError

if TYPE_CHECKING:
    import numpy as np

    Positions: TypeAlias = "np.ndarray[Any, Any] | slice | None"
    Column: TypeAlias = "np.ndarray[Any, Any]"
else:
    Positions = Column = Any

_HERE = "simpleml.datasets.families"

FAMILIES: Mapping[str, str] = {"pandas": "pandas", "polars": "polars", "numpy": "numpy", "dask": "dask"}
"""The family's name and the extra that brings its library."""


class Frames(Protocol):
    """One library's frames: columns by name, rows by position. Nothing here changes what it is given."""

    name: str

    counted: bool
    """Whether the number of rows is known without any work."""

    formats: frozenset[str]
    """The formats of files that `read_file` takes."""

    def adopt(self, value: Any) -> Any:
        """Return `value` as the family keeps it; `DatasetError` if it is no frame of this family."""

    def pattern(self, frame: Any) -> str | None:
        """Return the save pattern that keeps this frame best, where its type alone does not tell."""

    def columns(self, frame: Any) -> list[Hashable]:
        """Return the names of the columns in order, repeated ones included."""

    def dtypes(self, frame: Any) -> dict[Hashable, str]:
        """Return the type of each column, as the library writes it."""

    def count(self, frame: Any) -> int:
        """Return the number of rows."""

    def read(self, frame: Any, columns: Sequence[Hashable], positions: Positions) -> Any:
        """Return these columns in this order, of the rows at these positions; isolated as what `take` returns."""

    def take(self, data: Any, positions: Positions) -> Any:
        """Return the rows at these positions of a frame, a column or an array; None stands for every row.

        What is returned never changes with `data`, nor `data` with it; where the library can, nothing is copied for that
        before one of them is changed.
        """

    def squeeze(self, data: Any) -> Any:
        """Return a frame of one column as that column, anything else as it is."""

    def concat(self, parts: Sequence[Any]) -> Any:
        """Return the rows of all parts, one after the other."""

    def beside(self, parts: Sequence[Any]) -> Any:
        """Return the columns of all parts side by side; they have the same rows."""

    def values(self, frame: Any, column: Hashable) -> Column:
        """Return one column as a one-dimensional array."""

    def distinct(self, frame: Any, column: Hashable) -> list[Any]:
        """Return the different values of a column in the order in which they appear, without missing ones."""

    def where(self, frame: Any, column: Hashable, value: object) -> Positions:
        """Return the positions at which a column has this value."""

    def with_constant(self, frame: Any, column: Hashable, value: str) -> Any:
        """Return the frame with one column more, which has the same text in every row."""

    def framed(self, data: Any, names: Sequence[Hashable], like: Any) -> Any:
        """Return what a pipeline made (a frame, a column, an array, records) as a frame with these columns and the rows of `like`."""

    def read_file(self, source: SourceFile, format_: str, params: Mapping[str, Any]) -> Any:
        """Return the frame that a file holds, read by the library's own reader with these parameters."""

    def read_query(self, connection: Any, sql: Any, params: Mapping[str, Any]) -> Any:
        """Return the rows that a query of an open SQLAlchemy connection gives."""


class SourceFile(Protocol):
    """A file that can be opened, wherever it is."""

    @property
    def path(self) -> str:
        """Its path or URL, as the library of files takes it."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of fsspec that go with the URL."""

    @property
    def is_local(self) -> bool:
        """Whether it is a plain path of this machine."""

    def opened(self) -> AbstractContextManager[Any]:
        """Open it for reading bytes; what is compressed by its name (`.gz`) is read unpacked."""


def frames_named(family: str) -> Frames:
    """Return the family of this name; `MissingDependencyError` has the pip line if its library is not installed."""
    library = "dask.dataframe" if family == "dask" else family
    try:
        import_module(library)
        module = import_module(f"{_HERE}.{family}")
    except ImportError as error:
        raise MissingDependencyError(
            f"datasets of {family} need a library that is not installed: pip install 'simpleml[{FAMILIES[family]}]'"
        ) from error
    return cast("Frames", module.FRAMES)


def frames_of(value: object) -> Frames:
    """Return the family that `value` belongs to, importing no library for it; `DatasetError` if it is no frame at all."""
    for base in type(value).__mro__:
        top, name = base.__module__.partition(".")[0], base.__name__
        if (top, name) in {("pandas", "DataFrame"), ("polars", "DataFrame"), ("polars", "LazyFrame")}:
            return frames_named(top)
        if top in {"dask", "dask_expr"} and name == "DataFrame":
            return frames_named("dask")
        if (top, name) == ("numpy", "ndarray"):
            return frames_named("numpy")
    numpy = sys.modules.get("numpy")
    arrays = value.values() if numpy is not None and isinstance(value, Mapping) else ()
    if arrays and numpy is not None and all(isinstance(column, numpy.ndarray) for column in arrays):
        return frames_named("numpy")
    raise no_frame(value, "a pandas, polars or dask DataFrame, a numpy array, or a dict of arrays")


def no_frame(value: object, wanted: str) -> DatasetError:
    """Return the error for what is not the kind of data that is wanted."""
    hint = ""
    if type(value).__name__ == "Series":
        hint = " A series becomes one with .to_frame()."
    elif isinstance(value, dict | list):
        hint = " Make a frame of it: pandas.DataFrame(…)."
    elif isinstance(value, str):
        hint = " A path or URL belongs in filepath= of a file-based dataset."
    return DatasetError(
        f"a dataset takes {wanted}, but was given a {type(value).__module__}.{type(value).__qualname__}.{hint}"
    )
