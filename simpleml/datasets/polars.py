"""Datasets of polars."""

from __future__ import annotations

from typing import ClassVar

from simpleml.datasets.dataset import Dataset
from simpleml.datasets.derived import PipelineDataset
from simpleml.datasets.sourced import FileBasedDataset, QueryDataset, SklearnDataset


class PolarsDataset(Dataset):
    """A dataset whose data is a `polars.DataFrame`."""

    _family: ClassVar[str | None] = "polars"


class PolarsFileBasedDataset(FileBasedDataset, PolarsDataset):
    """A file, read by polars."""


class PolarsQueryDataset(QueryDataset, PolarsDataset):
    """The result of an SQL query, as a `polars.DataFrame`."""


class PolarsSklearnDataset(SklearnDataset, PolarsDataset):
    """A data set of scikit-learn, as a `polars.DataFrame`."""


class PolarsPipelineDataset(PipelineDataset, PolarsDataset):
    """What a pipeline makes of its dataset, as a `polars.DataFrame`."""
