"""Datasets of pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from simpleml.datasets.dataset import DATASET_SPLIT, Dataset
from simpleml.datasets.derived import PipelineDataset
from simpleml.datasets.families.frames import frames_named
from simpleml.datasets.sourced import FileBasedDataset, QueryDataset, SklearnDataset
from simpleml.errors import DatasetError


class PandasDataset(Dataset):
    """A dataset whose data is a `pandas.DataFrame`."""

    _family: ClassVar[str | None] = "pandas"

    @staticmethod
    def concatenate_dataframes(dataframes: Sequence[Any], split_names: Sequence[str]) -> Any:
        """Return the rows of several frames, with the column DATASET_SPLIT that says which frame each comes from."""
        if len(dataframes) != len(split_names):
            raise DatasetError(
                f"there are {len(dataframes)} frames and {len(split_names)} names of splits: give one name for each frame"
            )
        frames = frames_named("pandas")
        named = zip(dataframes, split_names, strict=True)
        return frames.concat([frames.with_constant(frame, DATASET_SPLIT, name) for frame, name in named])

    @staticmethod
    def squeeze_dataframe(dataframe: Any) -> Any:
        """Return a frame of one column as its series, any other frame as it is."""
        return frames_named("pandas").squeeze(dataframe)


class PandasFileBasedDataset(FileBasedDataset, PandasDataset):
    """A file, read by pandas."""


class PandasQueryDataset(QueryDataset, PandasDataset):
    """The result of an SQL query, as a `pandas.DataFrame`."""


class PandasSklearnDataset(SklearnDataset, PandasDataset):
    """A data set of scikit-learn, as a `pandas.DataFrame`."""


class PandasPipelineDataset(PipelineDataset, PandasDataset):
    """What a pipeline makes of its dataset, as a `pandas.DataFrame`."""


BasePandasDataset = PandasDataset
"""SimpleML's name."""
