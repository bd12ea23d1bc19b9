"""Datasets of dask: bigger than memory, read, transformed, hashed and saved one partition at a time."""

from __future__ import annotations

from typing import Any, ClassVar

from simpleml.datasets.dataset import Dataset
from simpleml.datasets.derived import PipelineDataset
from simpleml.datasets.families.frames import Frames, frames_named
from simpleml.datasets.sections import FEATURES
from simpleml.datasets.sourced import FileBasedDataset, QueryDataset, SklearnDataset


class DaskDataset(Dataset):
    """A dataset whose data is a `dask.dataframe`, which is never collected.

    It is kept as a folder of parquet files, one for each partition, which dask and pandas read without this package. Its content
    hash does not depend on where partitions end (`simpleml.hashing.dask_frames` says what it depends on), and is not that of
    the same data in pandas. A partition has to fit into memory. What is computed for each partition anew (a shuffle) is best
    persisted before.
    """

    _family: ClassVar[str | None] = "dask"


class DaskFileBasedDataset(FileBasedDataset, DaskDataset):
    """A file, or many by a pattern (`data/part-*.csv`), read by dask in pieces."""


class DaskQueryDataset(QueryDataset, DaskDataset):
    """The result of an SQL query, fetched in pieces that are kept in temporary files."""


class DaskSklearnDataset(SklearnDataset, DaskDataset):
    """A data set of scikit-learn, as a `dask.dataframe` of one partition."""


class DaskPipelineDataset(PipelineDataset, DaskDataset):
    """What a pipeline makes of its dataset, partition by partition, as a `dask.dataframe`.

    Each partition goes through `pipeline.transform` by itself, so the pipeline has to transform rows independently.
    """

    def _derive(self, pipeline: Any, split_name: str | None, frames: Frames) -> Any:
        """Return the sections of one split, lazily, the features transformed partition by partition."""
        split = pipeline.get_dataset_split(split_name)
        features = split[FEATURES]
        others = {name: data for name, data in split.items() if name != FEATURES and data is not None}
        transform = _Transform(pipeline, self._feature_names(pipeline))
        meta = transform(features._meta_nonempty).iloc[:0]  # noqa: SLF001 - as dask's own functions ask
        made = features.map_partitions(transform, meta=meta, align_dataframes=False)
        return frames.beside(
            [made, *(frames.framed(data, self._columns_of(name), data) for name, data in others.items())]
        )


class _Transform:
    """Puts one partition of features through a pipeline, and returns a pandas frame with its labels."""

    def __init__(self, pipeline: Any, names: list[Any]) -> None:
        self._pipeline = pipeline
        self._names = names

    def __call__(self, part: Any) -> Any:
        made = self._pipeline.transform(part)
        return frames_named("pandas").framed(made, self._names, part)

    def __dask_tokenize__(self) -> tuple[str, str, list[Any]]:
        return type(self).__qualname__, self._pipeline.hash_ or self._pipeline._hash(), self._names  # noqa: SLF001 - its content


BaseDaskDataset = DaskDataset
"""SimpleML's name."""
