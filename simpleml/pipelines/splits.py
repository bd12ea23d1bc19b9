"""How the rows of a dataset are divided: plain values, whose configuration is part of what a pipeline is.

Rows are meant by their position, so that a repeated index puts no row into two splits. The same value gives the same
positions for equal data in any process: loading a pipeline brings its splits back.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from simpleml.constants import TEST_SPLIT, TRAIN_SPLIT, VALIDATION_SPLIT
from simpleml.encoding.faults import short
from simpleml.errors import PipelineError, known_names
from simpleml.pipelines import partition
from simpleml.pipelines.sizes import Size, checked_sizes, row_counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simpleml.pipelines.partition import Codes, Positions


class Rows(Protocol):
    """What dividing rows needs of a dataset."""

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        ...

    def column_values(self, name: str) -> NDArray[Any]:
        """Return the values of one column, in the order of the rows."""
        ...


@dataclass(frozen=True, slots=True)
class Splitter:
    """Base of the values that say which rows of a dataset are in which split."""

    kind: ClassVar[str]
    """How a configuration names the class."""

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return the positions of each split, by name; no split is empty, and none is asked for twice in one place."""
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """Return plain values from which `from_config` makes an equal splitter."""
        return {"kind": self.kind, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)}}


@dataclass(frozen=True, slots=True)
class NoSplit(Splitter):
    """All rows together; there are no named splits."""

    kind: ClassVar[str] = "none"

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return no split."""
        return {}


@dataclass(frozen=True, slots=True)
class ExplicitSplit(Splitter):
    """The dataset's own splits, under its own names."""

    kind: ClassVar[str] = "explicit"

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Refuse: the dataset itself knows which rows are where, so a pipeline asks it for its splits by name."""
        raise PipelineError("an explicit split has no positions of its own: ask the dataset, with get_split(name)")


@dataclass(frozen=True, slots=True)
class RandomSplit(Splitter):
    """The splits TRAIN, VALIDATION and TEST, drawn at random and in random order.

    Each size is a rate (0.8) or a number (800) of the rows, or None for what the others leave. A split of size 0 does not
    exist, and one that was asked for is never empty; if the sizes do not cover all rows, those that are over are in none.
    Without `shuffle` the first rows are TRAIN, then VALIDATION, then TEST.
    """

    kind: ClassVar[str] = "random"
    train_size: Size = None
    test_size: Size = None
    validation_size: Size = 0.0
    random_state: int = 123
    shuffle: bool = True

    def __post_init__(self) -> None:
        _check_sizes(self)
        _check_seed(self)

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return as many rows for each split as its size says."""
        order = _order(dataset.row_count, self.random_state, shuffle=self.shuffle)
        return partition.in_blocks(order, _counts(self, dataset))


@dataclass(frozen=True, slots=True)
class StratifiedSplit(Splitter):
    """`RandomSplit`, but each value of `column` has its share in every split, within one row; sizes are exact all the same.

    Missing values are one value.
    """

    kind: ClassVar[str] = "stratified"
    column: str
    train_size: Size = None
    test_size: Size = None
    validation_size: Size = 0.0
    random_state: int = 123
    shuffle: bool = True

    def __post_init__(self) -> None:
        _check_column(self.column)
        _check_sizes(self)
        _check_seed(self)

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return as many rows for each split as its size says, of every stratum alike."""
        counts = _counts(self, dataset)
        strata, count = partition.codes_of(dataset.column_values(self.column), self.column, missing=True)
        order = _order(dataset.row_count, self.random_state, shuffle=self.shuffle)
        codes = partition.stratified(strata, count, order, list(counts.values()))
        return partition.by_code(codes, order, list(counts))


@dataclass(frozen=True, slots=True)
class GroupedSplit(Splitter):
    """`RandomSplit`, but all rows with the same value in `column` (a patient, a household) are in the same split.

    Sizes are of rows, and are met as well as whole groups allow: none is exceeded by a whole group. A missing value is an
    error.
    """

    kind: ClassVar[str] = "grouped"
    column: str
    train_size: Size = None
    test_size: Size = None
    validation_size: Size = 0.0
    random_state: int = 123
    shuffle: bool = True

    def __post_init__(self) -> None:
        _check_column(self.column)
        _check_sizes(self)
        _check_seed(self)

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return the rows of whole groups for each split."""
        counts = _counts(self, dataset)
        groups, count = partition.codes_of(dataset.column_values(self.column), self.column, missing=False)
        order = _order(dataset.row_count, self.random_state, shuffle=self.shuffle)
        codes = partition.grouped(groups, count, order, counts, dataset.row_count)
        return partition.by_code(codes, order, list(counts))


@dataclass(frozen=True, slots=True)
class ChronologicalSplit(Splitter):
    """The earliest rows by `column` are TRAIN, then come VALIDATION and TEST, each from its earliest row to its latest.

    Sizes are as in `RandomSplit`. With `ties="together"` rows of the same time are in the same split, so that nothing is
    trained on the moment it is tested on; boundaries move to the nearest change of time. With `ties="divide"` sizes are
    exact, and equal times keep the order of their rows. Rows that the sizes leave over are the latest. A missing value is
    an error.
    """

    kind: ClassVar[str] = "chronological"
    column: str
    train_size: Size = None
    test_size: Size = None
    validation_size: Size = 0.0
    ties: Literal["together", "divide"] = "together"

    def __post_init__(self) -> None:
        _check_column(self.column)
        _check_sizes(self)
        if self.ties not in ("together", "divide"):
            raise PipelineError(
                f"ties is {short(self.ties)}; {known_names(['together', 'divide'], near=str(self.ties))}"
            )

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return the rows of each split in the order of time."""
        counts = _counts(self, dataset)
        order, edges = partition.by_time(dataset.column_values(self.column), self.column)
        if self.ties == "together":
            counts = partition.nearest_edges(counts, edges, dataset.row_count, self.column)
        return partition.in_blocks(order, counts)


@dataclass(frozen=True, slots=True)
class KFold(Splitter):
    """`n_splits` folds, each of which is the test data of one: `FOLD_1_TRAIN`, `FOLD_1_TEST`, `FOLD_2_TRAIN`, …

    Every row is in exactly one test fold, and folds differ by one row at most. With `stratify` each value of that column
    has its share in every fold within one row; with `group` all rows with the same value are in one fold. `fold=2` chooses
    the second one: its splits are then TRAIN and TEST, and no other exists.
    """

    kind: ClassVar[str] = "k_fold"
    n_splits: int = 5
    fold: int | None = None
    shuffle: bool = True
    random_state: int = 123
    stratify: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        _check_count(self, "n_splits", least=2)
        _check_seed(self)
        if self.fold is not None:
            _check_count(self, "fold", least=1, most=self.n_splits)
        if self.stratify is not None and self.group is not None:
            raise PipelineError("folds are either stratified or grouped: give stratify= or group=, not both")
        for column in (self.stratify, self.group):
            if column is not None:
                _check_column(column)

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return the rows of each split, in the order of the dataset; each is made when it is asked for."""
        prefixes = {f"FOLD_{fold}_": (0, fold) for fold in range(1, self.n_splits + 1)}
        chosen = None if self.fold is None else (0, self.fold)
        return _Folds(prefixes, chosen, lambda _: self._codes(dataset, self.random_state))

    def each(self) -> Iterator[KFold]:
        """Yield this division with each of its folds chosen."""
        for fold in range(1, self.n_splits + 1):
            yield dataclasses.replace(self, fold=fold)

    def chosen(self) -> list[str]:
        """Return the words for the fold that is chosen."""
        return [] if self.fold is None else ["fold", str(self.fold)]

    def _codes(self, dataset: Rows, *seed: int) -> Codes:
        """Return the number of the fold, from 0 on, in which each row is tested."""
        rows = dataset.row_count
        if rows < self.n_splits:
            raise PipelineError(f"{self.n_splits} folds of {rows} rows leave folds empty: have fewer folds")
        order = _order(rows, *seed, shuffle=self.shuffle)
        if self.group is not None:
            groups, count = partition.codes_of(dataset.column_values(self.group), self.group, missing=False)
            return partition.in_folds(groups, count, order, self.n_splits)
        strata = None
        if self.stratify is not None:
            strata = partition.codes_of(dataset.column_values(self.stratify), self.stratify, missing=True)[0]
        return partition.dealt(strata, rows, order, self.n_splits)


@dataclass(frozen=True, slots=True)
class RepeatedKFold(KFold):
    """`KFold`, `n_repeats` times with different random folds: `REPEAT_1_FOLD_1_TRAIN`, …; `repeat` and `fold` choose one."""

    kind: ClassVar[str] = "repeated_k_fold"
    n_repeats: int = 10
    repeat: int | None = None

    def __post_init__(self) -> None:
        KFold.__post_init__(self)
        _check_count(self, "n_repeats", least=1)
        if self.repeat is not None:
            _check_count(self, "repeat", least=1, most=self.n_repeats)
        if (self.repeat is None) != (self.fold is None):
            raise PipelineError("one of the folds is chosen by both repeat= and fold=: give both, or neither")
        if not self.shuffle:
            raise PipelineError("without shuffle every repeat has the same folds: leave shuffle out, or use KFold")

    def positions(self, dataset: Rows) -> Mapping[str, Positions]:
        """Return the rows of each split, in the order of the dataset; each is made when it is asked for."""
        prefixes = {
            f"REPEAT_{repeat}_FOLD_{fold}_": (repeat, fold)
            for repeat in range(1, self.n_repeats + 1)
            for fold in range(1, self.n_splits + 1)
        }
        chosen = None if self.repeat is None or self.fold is None else (self.repeat, self.fold)
        return _Folds(prefixes, chosen, lambda repeat: self._codes(dataset, self.random_state, repeat))

    def each(self) -> Iterator[RepeatedKFold]:
        """Yield this division with each fold of each repeat chosen."""
        for repeat in range(1, self.n_repeats + 1):
            for fold in range(1, self.n_splits + 1):
                yield dataclasses.replace(self, repeat=repeat, fold=fold)

    def chosen(self) -> list[str]:
        """Return the words for the fold that is chosen."""
        return [] if self.repeat is None else ["repeat", str(self.repeat), *KFold.chosen(self)]


class _Folds(Mapping[str, "Positions"]):
    """The train and test rows of each fold; only which row is tested where is kept."""

    def __init__(self, prefixes: Mapping[str, tuple[int, int]], chosen: tuple[int, int] | None, codes: Any) -> None:
        named = {"": chosen} if chosen is not None else prefixes
        self._named = {
            f"{prefix}{name}": (place, name) for prefix, place in named.items() for name in (TRAIN_SPLIT, TEST_SPLIT)
        }
        self._codes = {repeat: codes(repeat) for repeat in dict.fromkeys(place[0] for place in named.values())}

    def __getitem__(self, name: str) -> Positions:
        import numpy as np

        (repeat, fold), part = self._named[name]
        tested = self._codes[repeat] == fold - 1
        return partition.compact(np.flatnonzero(tested if part == TEST_SPLIT else ~tested))

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


SPLITTERS: Mapping[str, type[Splitter]] = {
    cls.kind: cls
    for cls in (
        NoSplit,
        ExplicitSplit,
        RandomSplit,
        StratifiedSplit,
        GroupedSplit,
        ChronologicalSplit,
        KFold,
        RepeatedKFold,
    )
}
"""Every splitter, under the name that configurations use."""


def from_config(config: Mapping[str, Any]) -> Splitter:
    """Return the splitter that `to_config` described; raises `PipelineError` for what it did not write."""
    given = dict(config)
    kind = given.pop("kind", None)
    if kind not in SPLITTERS:
        raise PipelineError(f"there is no split of the kind {short(kind)}; {known_names(SPLITTERS, near=str(kind))}")
    try:
        return SPLITTERS[kind](**given)
    except TypeError as error:
        raise PipelineError(f"a split of the kind {kind!r} cannot be made of {short(given)}: {error}") from error


class _Sized(Protocol):
    """A splitter into TRAIN, VALIDATION and TEST."""

    @property
    def train_size(self) -> Size: ...
    @property
    def test_size(self) -> Size: ...
    @property
    def validation_size(self) -> Size: ...


def _sizes(splitter: _Sized) -> dict[str, Size]:
    return {
        TRAIN_SPLIT: splitter.train_size,
        VALIDATION_SPLIT: splitter.validation_size,
        TEST_SPLIT: splitter.test_size,
    }


def _counts(splitter: _Sized, dataset: Rows) -> dict[str, int]:
    return row_counts(_sizes(splitter), dataset.row_count)


def _check_sizes(splitter: _Sized) -> None:
    for name, size in checked_sizes(_sizes(splitter)).items():
        object.__setattr__(splitter, f"{name.lower()}_size", size)


def _order(rows: int, *seed: int, shuffle: bool) -> NDArray[np.intp] | None:
    return partition.shuffled(rows, *seed) if shuffle else None


def _check_seed(splitter: Any) -> None:
    _check_count(splitter, "random_state", least=0, why=": with it the same rows come back when the pipeline is loaded")
    if not isinstance(splitter.shuffle, bool):
        raise PipelineError(f"shuffle is {short(splitter.shuffle)}, but must be True or False")


def _check_column(column: object) -> None:
    if not isinstance(column, str):
        raise PipelineError(
            f"a split by column takes the name of the column, not {short(column)} ({type(column).__name__})"
        )


def _check_count(splitter: Splitter, field: str, *, least: int, most: int | None = None, why: str = "") -> None:
    value = getattr(splitter, field)
    number = operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else least - 1
    if number < least or (most is not None and number > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise PipelineError(f"{field} is {short(value)}, but must be a whole number {bounds}{why}")
    object.__setattr__(splitter, field, number)
