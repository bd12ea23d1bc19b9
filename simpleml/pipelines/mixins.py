"""Mixins that give a pipeline one kind of split, whose parameters it then takes as keywords.

Put one before a family: `class MyPipeline(RandomSplitMixin, SklearnPipeline)`. These are SimpleML's names; a splitter given as
`split=` does the same.
"""

from __future__ import annotations

from typing import ClassVar

from simpleml.pipelines.splits import (
    ChronologicalSplit,
    ExplicitSplit,
    GroupedSplit,
    KFold,
    NoSplit,
    RandomSplit,
    RepeatedKFold,
    Splitter,
    StratifiedSplit,
)


class SplitMixin:
    """Base of the mixins; `split_type` is the kind of split."""

    split_type: ClassVar[type[Splitter]] = NoSplit


class NoSplitMixin(SplitMixin):
    """All rows together."""

    split_type: ClassVar[type[Splitter]] = NoSplit


class ExplicitSplitMixin(SplitMixin):
    """The dataset's own splits, under its own names."""

    split_type: ClassVar[type[Splitter]] = ExplicitSplit


class RandomSplitMixin(SplitMixin):
    """`train_size`, `test_size=None`, `validation_size=0.0`, `random_state=123`, `shuffle=True`, as in `RandomSplit`."""

    split_type: ClassVar[type[Splitter]] = RandomSplit


class StratifiedSplitMixin(SplitMixin):
    """`column` and the keywords of `RandomSplit`, as in `StratifiedSplit`."""

    split_type: ClassVar[type[Splitter]] = StratifiedSplit


class GroupedSplitMixin(SplitMixin):
    """`column` and the keywords of `RandomSplit`, as in `GroupedSplit`."""

    split_type: ClassVar[type[Splitter]] = GroupedSplit


class ChronologicalSplitMixin(SplitMixin):
    """`column`, the sizes, and `ties="together"`, as in `ChronologicalSplit`."""

    split_type: ClassVar[type[Splitter]] = ChronologicalSplit


class KFoldSplitMixin(SplitMixin):
    """`n_splits`, `fold=None`, `shuffle=True`, `random_state=123`, `stratify=None`, `group=None`, as in `KFold`."""

    split_type: ClassVar[type[Splitter]] = KFold


class RepeatedKFoldSplitMixin(SplitMixin):
    """The keywords of `KFold`, `n_repeats` and `repeat=None`, as in `RepeatedKFold`."""

    split_type: ClassVar[type[Splitter]] = RepeatedKFold
