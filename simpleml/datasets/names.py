"""Where the public names of datasets are defined, and what SimpleML called them."""

from __future__ import annotations

from typing import Final

_FAMILIES = ("Pandas", "Polars", "Numpy", "Dask")
_SHAPES = ("Dataset", "FileBasedDataset", "QueryDataset", "SklearnDataset", "PipelineDataset")

WHERE: Final[dict[str, str]] = {
    "DATASET_SPLIT": "dataset",
    "Dataset": "dataset",
    "Split": "split",
    "SplitContainer": "split",
    "ProjectedSplit": "projected",
    "ProjectedDatasetSplit": "projected",
    "IdentityProjectedDatasetSplit": "projected",
    "IndexBasedProjectedDatasetSplit": "projected",
    "FileBasedDataset": "sourced",
    "QueryDataset": "sourced",
    "SklearnDataset": "sourced",
    "PipelineDataset": "derived",
    "FileSource": "sources",
    "QuerySource": "sources",
    "LoaderSource": "sources",
    **{f"{family}{shape}": family.lower() for family in _FAMILIES for shape in _SHAPES},
}
"""The module below `simpleml.datasets` that defines each public name."""

LEGACY_NAMES: Final[dict[str, str]] = {
    f"Base{family}Dataset": f"{family}Dataset" for family in ("Pandas", "Numpy", "Dask")
}
"""SimpleML's name for a class and ours."""
