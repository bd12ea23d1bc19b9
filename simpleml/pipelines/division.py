"""`Division`: the splits that a splitter makes of one dataset, found once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simpleml.datasets.split import unknown_split
from simpleml.errors import UnknownSplitError
from simpleml.pipelines.splits import ExplicitSplit, NoSplit, Splitter

if TYPE_CHECKING:
    from simpleml.datasets.dataset import Dataset
    from simpleml.pipelines.partition import Positions


class Division:
    """Which rows of a dataset are in which split; each split is made at its first use, copies nothing, and is kept."""

    def __init__(self, dataset: Dataset, splitter: Splitter) -> None:
        self._dataset = dataset
        self._data = dataset.dataframe
        self._splitter = splitter
        self._positions: Mapping[str, Positions] = {}
        self._made: dict[str | None, Any] = {}
        if isinstance(splitter, ExplicitSplit):
            self.names = tuple(dataset.get_split_names())
        else:
            self._positions = splitter.positions(dataset)
            self.names = tuple(self._positions)

    def is_of(self, dataset: Dataset) -> bool:
        """Whether this is the division of that dataset with the data that it has now."""
        return self._dataset is dataset and self._data is dataset.dataframe

    def get(self, name: str | None, owner: object) -> Any:
        """Return a split by its name, or every row; `UnknownSplitError`, which speaks of `owner`, lists the names."""
        if name not in self._made:
            self._made[name] = self._make(name, owner)
        return self._made[name]

    def _make(self, name: str | None, owner: object) -> Any:
        if name is None:
            return self._dataset.get_split(None)
        if isinstance(self._splitter, NoSplit):
            raise UnknownSplitError(
                f"{owner!r} has no split {name!r:.80}: it does not split its dataset. Take all rows with None, or give it "
                "split=RandomSplit(train_size=0.8)"
            )
        if name not in self.names:
            raise unknown_split(repr(owner), name, self.names)
        if isinstance(self._splitter, ExplicitSplit):
            return self._dataset.get_split(name)
        return self._dataset.projected(self._positions[name])
