"""Pipelines: persistables that divide a dataset into splits and transform it.

The public names are resolved when they are first used: no library is imported before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpleml.lazy import lazy_names

if TYPE_CHECKING:
    from simpleml.pipelines.mixins import (
        ChronologicalSplitMixin,
        ExplicitSplitMixin,
        GroupedSplitMixin,
        KFoldSplitMixin,
        NoSplitMixin,
        RandomSplitMixin,
        RepeatedKFoldSplitMixin,
        SplitMixin,
        StratifiedSplitMixin,
    )
    from simpleml.pipelines.ordered import (
        ChronologicalSplitOrderedDictPipeline,
        ExplicitSplitOrderedDictPipeline,
        GroupedSplitOrderedDictPipeline,
        KFoldOrderedDictPipeline,
        NoSplitOrderedDictPipeline,
        OrderedDictPipeline,
        RandomSplitOrderedDictPipeline,
        RepeatedKFoldOrderedDictPipeline,
        StratifiedSplitOrderedDictPipeline,
    )
    from simpleml.pipelines.pipeline import Pipeline
    from simpleml.pipelines.sklearn import (
        ChronologicalSplitSklearnPipeline,
        ExplicitSplitSklearnPipeline,
        GroupedSplitSklearnPipeline,
        KFoldSklearnPipeline,
        NoSplitSklearnPipeline,
        RandomSplitSklearnPipeline,
        RepeatedKFoldSklearnPipeline,
        SklearnPipeline,
        StratifiedSplitSklearnPipeline,
    )
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
else:
    _SPLITS = ("NoSplit", "ExplicitSplit", "RandomSplit", "StratifiedSplit", "GroupedSplit", "ChronologicalSplit")
    _PREFIXES = (*_SPLITS, "KFold", "RepeatedKFold")
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "mixins": [
                "SplitMixin",
                *(f"{split}Mixin" for split in _SPLITS),
                "KFoldSplitMixin",
                "RepeatedKFoldSplitMixin",
            ],
            "ordered": ["OrderedDictPipeline", *(f"{prefix}OrderedDictPipeline" for prefix in _PREFIXES)],
            "pipeline": ["Pipeline"],
            "sklearn": ["SklearnPipeline", *(f"{prefix}SklearnPipeline" for prefix in _PREFIXES)],
            "splits": ["Splitter", *_PREFIXES],
        },
    )

__all__ = [
    "ChronologicalSplit",
    "ChronologicalSplitMixin",
    "ChronologicalSplitOrderedDictPipeline",
    "ChronologicalSplitSklearnPipeline",
    "ExplicitSplit",
    "ExplicitSplitMixin",
    "ExplicitSplitOrderedDictPipeline",
    "ExplicitSplitSklearnPipeline",
    "GroupedSplit",
    "GroupedSplitMixin",
    "GroupedSplitOrderedDictPipeline",
    "GroupedSplitSklearnPipeline",
    "KFold",
    "KFoldOrderedDictPipeline",
    "KFoldSklearnPipeline",
    "KFoldSplitMixin",
    "NoSplit",
    "NoSplitMixin",
    "NoSplitOrderedDictPipeline",
    "NoSplitSklearnPipeline",
    "OrderedDictPipeline",
    "Pipeline",
    "RandomSplit",
    "RandomSplitMixin",
    "RandomSplitOrderedDictPipeline",
    "RandomSplitSklearnPipeline",
    "RepeatedKFold",
    "RepeatedKFoldOrderedDictPipeline",
    "RepeatedKFoldSklearnPipeline",
    "RepeatedKFoldSplitMixin",
    "SklearnPipeline",
    "SplitMixin",
    "Splitter",
    "StratifiedSplit",
    "StratifiedSplitMixin",
    "StratifiedSplitOrderedDictPipeline",
    "StratifiedSplitSklearnPipeline",
]
