"""`OrderedDictPipeline`: steps one after the other, without scikit-learn."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from simpleml.pipelines import mixins
from simpleml.pipelines.pipeline import Pipeline
from simpleml.pipelines.steps import Step, fit_steps, transform_steps


class OrderedDictPipeline(Pipeline):
    """Steps in a plain `OrderedDict`, which is what is stored; each is any object with `fit` and `transform`."""

    def _made(self, given: Any, steps: list[Step]) -> Any:
        return OrderedDict(steps)

    def _steps(self, external: Any) -> list[Step]:
        return list(external.items())

    def _fit_external(self, external: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        fit_steps(self._steps(external), X, y, fit_params)

    def _transform_external(self, external: Any, X: Any) -> Any:
        return transform_steps(external.items(), X)


class NoSplitOrderedDictPipeline(mixins.NoSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` that is fitted on all rows."""


class ExplicitSplitOrderedDictPipeline(mixins.ExplicitSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` with the dataset's own splits."""


class RandomSplitOrderedDictPipeline(mixins.RandomSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` with random splits."""


class StratifiedSplitOrderedDictPipeline(mixins.StratifiedSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` with stratified splits."""


class GroupedSplitOrderedDictPipeline(mixins.GroupedSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` whose splits share no group."""


class ChronologicalSplitOrderedDictPipeline(mixins.ChronologicalSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` that is fitted on the earliest rows."""


class KFoldOrderedDictPipeline(mixins.KFoldSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` with folds."""


class RepeatedKFoldOrderedDictPipeline(mixins.RepeatedKFoldSplitMixin, OrderedDictPipeline):
    """An `OrderedDictPipeline` with repeated folds."""
