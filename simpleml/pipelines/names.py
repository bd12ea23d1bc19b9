"""Where the public names of pipelines are defined."""

from __future__ import annotations

from typing import Final

_SPLITS = ("NoSplit", "ExplicitSplit", "RandomSplit", "StratifiedSplit", "GroupedSplit", "ChronologicalSplit")
_PREFIXES = (*_SPLITS, "KFold", "RepeatedKFold")

WHERE: Final[dict[str, str]] = {
    "Pipeline": "pipeline",
    "SklearnPipeline": "sklearn",
    "OrderedDictPipeline": "ordered",
    **{f"{prefix}SklearnPipeline": "sklearn" for prefix in _PREFIXES},
    **{f"{prefix}OrderedDictPipeline": "ordered" for prefix in _PREFIXES},
    **dict.fromkeys(("Splitter", *_PREFIXES), "splits"),
    **dict.fromkeys(("SplitMixin", *(f"{prefix}Mixin" for prefix in _SPLITS)), "mixins"),
    **dict.fromkeys(("KFoldSplitMixin", "RepeatedKFoldSplitMixin"), "mixins"),
}
"""The module below `simpleml.pipelines` that defines each public name."""
