"""`ProjectedSplit`: some rows of a dataset, of which nothing is copied before a section is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simpleml.datasets.split import Split
from simpleml.errors import DatasetError, PositionError, known_names

if TYPE_CHECKING:
    import numpy as np

    from simpleml.datasets.dataset import Dataset
    from simpleml.datasets.families.frames import Positions


class ProjectedSplit(Mapping[str, Any]):
    """Behaves like a `Split` of `dataset` with the rows at `positions`: `split.X`, `split["y"]`, `f(**split)`.

    Rows go by position, so an index that repeats itself leaks nothing. It holds the dataset and the positions; each reading
    of a section makes it anew, isolated from the dataset and from every other reading. Positions that follow each other are
    kept as a slice, which libraries with lazy copies (pandas, polars) read without copying. Without positions: every row.
    """

    __slots__ = ("_sections", "dataset", "positions")

    def __init__(self, dataset: Dataset, positions: Positions = None, *, sections: Sequence[str] | None = None) -> None:
        known = dataset.get_section_names()
        for name in sections or ():
            if name not in known:
                raise DatasetError(f"{dataset!r} has no section {name!r:.80}; {known_names(known, near=str(name))}")
        self.dataset = dataset
        self.positions = checked_positions(positions, dataset.row_count if dataset.frames.counted else None)
        self._sections = tuple(known if sections is None else sections)

    def __getitem__(self, name: str) -> Any:
        if name not in self._sections:
            raise KeyError(name)
        return self.dataset.read_section(name, self.positions)

    def __contains__(self, name: object) -> bool:
        return name in self._sections

    def __iter__(self) -> Iterator[str]:
        return iter(self._sections)

    def __len__(self) -> int:
        return len(self._sections)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name] if name in self._sections else None

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.dataset, self.positions, self._sections)

    @property
    def row_count(self) -> int:
        """How many rows it has, without reading a section."""
        if self.positions is None:
            return self.dataset.row_count
        if isinstance(self.positions, slice):
            return len(range(*self.positions.indices(self.dataset.row_count)))
        return len(self.positions)

    def squeeze(self) -> Split:
        """Return the sections, read now, without those that are nothing."""
        return self.read().squeeze()

    def read(self) -> Split:
        """Return all sections, read now."""
        return Split(self)

    def __repr__(self) -> str:
        rows = "every row" if self.positions is None else f"{self.row_count} rows"
        return f"<{type(self).__name__} of {self.dataset!r}: {rows}, {', '.join(self._sections)}>"


ProjectedDatasetSplit = ProjectedSplit


class IdentityProjectedDatasetSplit(ProjectedSplit):
    """A `ProjectedSplit` of every row."""

    __slots__ = ()

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)


class IndexBasedProjectedDatasetSplit(ProjectedSplit):
    """A `ProjectedSplit` of the rows at `indices`, which are positions."""

    __slots__ = ()

    def __init__(self, dataset: Dataset, indices: np.ndarray[Any, Any] | slice) -> None:
        super().__init__(dataset, indices)


def _made(dataset: Dataset, positions: Positions, sections: tuple[str, ...]) -> ProjectedSplit:
    return ProjectedSplit(dataset, positions, sections=sections)


def checked_positions(positions: Any, rows: int | None) -> Positions:
    """Return positions as a slice if they follow each other, else as an array of integers.

    `rows` is how many there are, or None if nobody knows yet: then an array stays one, and what is beyond the end is found when
    the rows are read. Raises `PositionError` for a position that no row has, `DatasetError` for what is no list of positions:
    labels, several dimensions. A mask of booleans stands for the positions at which it is true.
    """
    if positions is None or isinstance(positions, slice):
        return positions
    import numpy as np

    found = np.asarray(positions)
    if found.dtype == bool and found.ndim == 1:
        if rows is not None and len(found) != rows:
            raise PositionError(f"this mask is for {len(found)} rows, and the data has {rows}")
        found = np.flatnonzero(found)
    if found.size == 0:
        return slice(0, 0)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DatasetError(
            f"rows are chosen by an array of positions (0 is the first row), and this is one of {found.ndim} dimensions and "
            f"dtype {found.dtype}: labels of an index become positions with index.get_indexer(labels)"
        )
    least, most = int(found.min()), int(found.max())
    if least < 0 or (rows is not None and most >= rows):
        raise PositionError(
            f"position {least if least < 0 else most} is no row: they are 0 to {rows - 1 if rows else '…'}"
            + (" (the data has no row at all)" if rows == 0 else "")
        )
    return found if rows is None else consecutive(found)


def consecutive(positions: Positions) -> Positions:
    """Return an array of positions as a slice if each is one more than the last."""
    if positions is None or isinstance(positions, slice):
        return positions
    import numpy as np

    if not len(positions):
        return slice(0, 0)
    first, last = int(positions[0]), int(positions[-1])
    if last - first + 1 == len(positions) and bool((np.diff(positions) == 1).all()):
        return slice(first, last + 1)
    return positions
