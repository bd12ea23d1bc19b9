"""Datasets of NumPy."""

from __future__ import annotations

from typing import ClassVar

from simpleml.datasets.dataset import Dataset
from simpleml.datasets.derived import PipelineDataset
from simpleml.datasets.sourced import FileBasedDataset, QueryDataset, SklearnDataset


class NumpyDataset(Dataset):
    """A dataset whose data is a NumPy array, or several by name."""

    _family: ClassVar[str | None] = "numpy"


class NumpyFileBasedDataset(FileBasedDataset, NumpyDataset):
    """A file, read by NumPy."""


class NumpyQueryDataset(QueryDataset, NumpyDataset):
    """The result of an SQL query, as a NumPy array, or several by name."""


class NumpySklearnDataset(SklearnDataset, NumpyDataset):
    """A data set of scikit-learn, as a NumPy array, or several by name."""


class NumpyPipelineDataset(PipelineDataset, NumpyDataset):
    """What a pipeline makes of its dataset, as a NumPy array, or several by name."""


BaseNumpyDataset = NumpyDataset
"""SimpleML's name."""
