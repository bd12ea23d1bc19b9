"""Datasets: persistables that hold data, in sections and splits.

The public names are resolved when they are first used: no library of frames is imported before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpleml.lazy import lazy_names

if TYPE_CHECKING:
    from simpleml.datasets.dask import (
        BaseDaskDataset,
        DaskDataset,
        DaskFileBasedDataset,
        DaskPipelineDataset,
        DaskQueryDataset,
        DaskSklearnDataset,
    )
    from simpleml.datasets.dataset import DATASET_SPLIT, Dataset
    from simpleml.datasets.derived import PipelineDataset
    from simpleml.datasets.numpy import (
        BaseNumpyDataset,
        NumpyDataset,
        NumpyFileBasedDataset,
        NumpyPipelineDataset,
        NumpyQueryDataset,
        NumpySklearnDataset,
    )
    from simpleml.datasets.pandas import (
        BasePandasDataset,
        PandasDataset,
        PandasFileBasedDataset,
        PandasPipelineDataset,
        PandasQueryDataset,
        PandasSklearnDataset,
    )
    from simpleml.datasets.polars import (
        PolarsDataset,
        PolarsFileBasedDataset,
        PolarsPipelineDataset,
        PolarsQueryDataset,
        PolarsSklearnDataset,
    )
    from simpleml.datasets.projected import (
        IdentityProjectedDatasetSplit,
        IndexBasedProjectedDatasetSplit,
        ProjectedDatasetSplit,
        ProjectedSplit,
    )
    from simpleml.datasets.sourced import FileBasedDataset, QueryDataset, SklearnDataset
    from simpleml.datasets.sources import FileSource, LoaderSource, QuerySource
    from simpleml.datasets.split import Split, SplitContainer
else:
    _SHAPES = ("Dataset", "FileBasedDataset", "QueryDataset", "SklearnDataset", "PipelineDataset")
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "dataset": ["DATASET_SPLIT", "Dataset"],
            "derived": ["PipelineDataset"],
            "projected": [
                "IdentityProjectedDatasetSplit",
                "IndexBasedProjectedDatasetSplit",
                "ProjectedDatasetSplit",
                "ProjectedSplit",
            ],
            "sourced": ["FileBasedDataset", "QueryDataset", "SklearnDataset"],
            "sources": ["FileSource", "LoaderSource", "QuerySource"],
            "split": ["Split", "SplitContainer"],
            "dask": ["BaseDaskDataset", *(f"Dask{shape}" for shape in _SHAPES)],
            "numpy": ["BaseNumpyDataset", *(f"Numpy{shape}" for shape in _SHAPES)],
            "pandas": ["BasePandasDataset", *(f"Pandas{shape}" for shape in _SHAPES)],
            "polars": [f"Polars{shape}" for shape in _SHAPES],
        },
    )

__all__ = [
    "DATASET_SPLIT",
    "BaseDaskDataset",
    "BaseNumpyDataset",
    "BasePandasDataset",
    "DaskDataset",
    "DaskFileBasedDataset",
    "DaskPipelineDataset",
    "DaskQueryDataset",
    "DaskSklearnDataset",
    "Dataset",
    "FileBasedDataset",
    "FileSource",
    "IdentityProjectedDatasetSplit",
    "IndexBasedProjectedDatasetSplit",
    "LoaderSource",
    "NumpyDataset",
    "NumpyFileBasedDataset",
    "NumpyPipelineDataset",
    "NumpyQueryDataset",
    "NumpySklearnDataset",
    "PandasDataset",
    "PandasFileBasedDataset",
    "PandasPipelineDataset",
    "PandasQueryDataset",
    "PandasSklearnDataset",
    "PipelineDataset",
    "PolarsDataset",
    "PolarsFileBasedDataset",
    "PolarsPipelineDataset",
    "PolarsQueryDataset",
    "PolarsSklearnDataset",
    "ProjectedDatasetSplit",
    "ProjectedSplit",
    "QueryDataset",
    "QuerySource",
    "SklearnDataset",
    "Split",
    "SplitContainer",
]
