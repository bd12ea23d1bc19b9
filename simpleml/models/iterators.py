"""Batches of a split, one after the other or by number, as they are or transformed by a pipeline."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

from simpleml.datasets.split import Split
from simpleml.errors import MissingDependencyError, ModelError


class Transforms(Protocol):
    """What batches are put through: a pipeline, or whatever transforms features alike."""

    def transform(self, X: Any) -> Any:
        """Return the features of one batch, transformed."""


class _Batches:
    """The sections of a split, cut into batches of the same rows; each section is read once and never changed."""

    def __init__(
        self, split: Mapping[str, Any], batch_size: int, shuffle: bool, return_tuple: bool, random_state: int | None
    ) -> None:
        import numpy as np

        if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or batch_size < 1:
            raise ModelError(f"batch_size is {batch_size!r}, but must be a whole number from 1 on")
        self.batch_size, self.shuffle, self.return_tuple = batch_size, shuffle, return_tuple
        self._sections = {name: data for name, data in split.items() if not _is_nothing(data)}
        self._rows = _row_count(self._sections)
        self._random = np.random.default_rng(random_state)
        self._order: Any = None
        if shuffle:
            self.reshuffle()

    def __len__(self) -> int:
        """How many batches an epoch has; the last one may be smaller."""
        return math.ceil(self._rows / self.batch_size)

    def reshuffle(self) -> None:
        """Put the rows into a new order; every row is in exactly one batch of it."""
        self._order = self._random.permutation(self._rows)

    def batch(self, number: int) -> Any:
        """Return one batch of the present order: a `Split`, or a tuple if it is to be one."""
        first = number * self.batch_size
        rows = slice(first, first + self.batch_size)
        positions = rows if self._order is None else self._order[rows]
        made = Split({name: _take(name, data, positions) for name, data in self._sections.items()})
        return split_to_ordered_tuple(made) if self.return_tuple else made


class PythonIterator(_Batches, Iterator[Any]):
    """Yields the batches of a split; each `iter()` begins an epoch, in a new order if they are shuffled.

    With `infinite_loop` one epoch follows the other. A batch is a `Split`, or the tuple `(X, y, …)` with `return_tuple`.
    The same `random_state` gives the same orders.
    """

    def __init__(
        self,
        split: Mapping[str, Any],
        infinite_loop: bool = False,
        batch_size: int = 32,
        shuffle: bool = True,
        return_tuple: bool = False,
        random_state: int | None = None,
    ) -> None:
        super().__init__(split, batch_size, shuffle, return_tuple, random_state)
        if infinite_loop and not self._rows:
            raise ModelError(
                "a split without rows has no batch, so it cannot be repeated: look at how the data was split"
            )
        self.infinite_loop = infinite_loop
        self._next = 0

    def __iter__(self) -> Self:
        if self._next:
            self._begin()
        return self

    def __next__(self) -> Any:
        if self._next >= len(self):
            if not self.infinite_loop:
                raise StopIteration
            self._begin()
        self._next += 1
        return self.batch(self._next - 1)

    def _begin(self) -> None:
        self._next = 0
        if self.shuffle:
            self.reshuffle()


class DatasetSequence(_Batches):
    """The batches of a split by number, as Keras asks for them: `len`, `[number]`, and `on_epoch_end` for another order."""

    def __init__(
        self,
        split: Mapping[str, Any],
        batch_size: int = 32,
        shuffle: bool = True,
        return_tuple: bool = True,
        random_state: int | None = None,
    ) -> None:
        super().__init__(split, batch_size, shuffle, return_tuple, random_state)

    def __getitem__(self, number: int) -> Any:
        if not -len(self) <= number < len(self):
            raise IndexError(f"batch {number} of {len(self)}")
        return self.batch(number % len(self))

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def on_epoch_end(self) -> None:
        """Begin another epoch: in a new order, if the rows are shuffled."""
        if self.shuffle:
            self.reshuffle()


class PipelineTransformIterator(Iterator[Any]):
    """Yields what another iterator yields, with the features of each batch as the pipeline transforms them."""

    def __init__(self, pipeline: Transforms, data_iterator: Iterator[Any]) -> None:
        self.pipeline, self.data_iterator = pipeline, data_iterator

    def __iter__(self) -> Self:
        self.data_iterator = iter(self.data_iterator)
        return self

    def __next__(self) -> Any:
        return _transformed(self.pipeline, next(self.data_iterator))

    def __len__(self) -> int:
        """How many batches an epoch has, if what is iterated over says so."""
        return len(self.data_iterator)  # type: ignore[arg-type]


class PipelineTransformSequence:
    """A sequence of batches with the features of each as the pipeline transforms them, when it is asked for."""

    def __init__(self, pipeline: Transforms, dataset_sequence: DatasetSequence) -> None:
        self.pipeline, self.dataset_sequence = pipeline, dataset_sequence

    def __len__(self) -> int:
        return len(self.dataset_sequence)

    def __getitem__(self, number: int) -> Any:
        return _transformed(self.pipeline, self.dataset_sequence[number])

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def on_epoch_end(self) -> None:
        """Begin another epoch of the sequence beneath."""
        self.dataset_sequence.on_epoch_end()


def split_to_ordered_tuple(split: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the sections as a tuple: X, y, then the others in their order; those that are nothing are left out."""
    names = [*(name for name in ("X", "y") if name in split), *(name for name in split if name not in {"X", "y"})]
    return tuple(split[name] for name in names if not _is_nothing(split[name]))


def keras_dataset(sequence: DatasetSequence | PipelineTransformSequence) -> Any:
    """Return a `keras.utils.PyDataset` of the batches, which are tuples then whatever `return_tuple` says."""
    try:
        from keras.utils import PyDataset
    except ImportError as error:
        raise MissingDependencyError(
            f"batches for Keras need it and one of its backends: pip install 'simpleml[keras]' ({error})"
        ) from error

    class Batches(PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return len(sequence)

        def __getitem__(self, number: int) -> tuple[Any, ...]:
            batch = sequence[number]
            return split_to_ordered_tuple(batch) if isinstance(batch, Mapping) else batch

        def on_epoch_end(self) -> None:
            sequence.on_epoch_end()

    return Batches()


def _transformed(pipeline: Transforms, batch: Any) -> Any:
    """Return a batch of the same shape (a split, a tuple, features alone) with transformed features."""
    if isinstance(batch, Mapping):
        return Split({**batch, "X": pipeline.transform(batch["X"])})
    if isinstance(batch, tuple):
        return (pipeline.transform(batch[0]), *batch[1:])
    return pipeline.transform(batch)


def _take(name: str, data: Any, positions: Any) -> Any:
    """Return rows of a section by position; a copy, so that what is done to a batch stays there."""
    if hasattr(data, "iloc"):
        return data.iloc[positions].copy()
    if isinstance(data, list | tuple):
        return list(data[positions]) if isinstance(positions, slice) else [data[place] for place in positions]
    try:
        found = data[positions]
    except (TypeError, KeyError, IndexError, NotImplementedError) as error:
        raise ModelError(
            f"the section {name!r} ({type(data).__name__}) has no rows by position: give a frame, an array or a list, such as "
            "split.X.to_numpy()"
        ) from error
    return found.copy() if isinstance(positions, slice) and hasattr(found, "copy") else found


def _row_count(sections: Mapping[str, Any]) -> int:
    """Return how many rows every section has."""
    counts = {name: int(data.shape[0]) if hasattr(data, "shape") else len(data) for name, data in sections.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ModelError(f"the sections of a split must have the same number of rows, but have not ({shown})")
    return next(iter(counts.values()), 0)


def _is_nothing(data: Any) -> bool:
    """Whether a section is not there, or is a table without columns; one without rows is there."""
    shape = getattr(data, "shape", None)
    return data is None or (isinstance(shape, tuple) and len(shape) > 1 and shape[1] == 0)
