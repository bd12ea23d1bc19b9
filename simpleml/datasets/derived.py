"""Datasets that are derived: another dataset, put through a pipeline."""

from __future__ import annotations

from typing import Any

from simpleml.datasets.dataset import Dataset
from simpleml.datasets.families.frames import Frames, frames_named
from simpleml.datasets.sections import FEATURES, LABELS, SECTION_MAP
from simpleml.datasets.split import Split
from simpleml.errors import DatasetError
from simpleml.persistables import Artifact


class PipelineDataset(Dataset):
    """What a fitted pipeline makes of its own dataset: the features transformed, labels and other sections as they were.

    The rows come split by split, as the pipeline splits them, and the split column says which is which; a row that is in several
    splits (folds) is there several times. Label columns and other sections are those of the pipeline's dataset unless they are
    given. The hash covers the pipeline, and with it the dataset and all parameters: it is known before anything is transformed.
    """

    dataframe: Artifact[Any] = Artifact(
        identity=False, also=("dataset",), doc="The data; built when it is first needed."
    )

    def _validate_state(self, dataframe: Any) -> None:
        super()._validate_state(dataframe)
        if not self._building:  # the hash says which pipeline made the data, and would say it of any other data too
            raise DatasetError(
                f"{self!r} is what its pipeline makes of a dataset, so data is not given to it: leave it to build_dataframe, or take "
                "a dataset that is not derived"
            )

    def build_dataframe(self) -> Any:
        """Put each split of the pipeline's dataset through the pipeline."""
        pipeline, _ = self._origins()
        frames = frames_named(self._family or "pandas")
        names = list(pipeline.get_split_names())
        column = self.config.get("split_column")
        parts = []
        for name in names or [None]:
            part = self._derive(pipeline, name, frames)
            parts.append(frames.with_constant(part, column, name) if name is not None and column is not None else part)
        return frames.concat(parts) if len(parts) > 1 else parts[0]

    def _derive(self, pipeline: Any, split_name: str | None, frames: Frames) -> Any:
        """Return the sections of one split side by side, the features transformed."""
        split = Split(pipeline.transform(None, dataset_split=split_name))
        others = {name: data for name, data in split.items() if name != FEATURES and data is not None}
        like = next(iter(others.values()), None)
        parts = []
        if split.X is not None:
            parts.append(frames.framed(split.X, self._feature_names(pipeline), like))
        parts += [frames.framed(data, self._columns_of(name), data) for name, data in others.items()]
        if not parts:
            raise DatasetError(
                f"{self!r}: {pipeline!r} made no section of the split {split_name!r}, so there is no data"
            )
        return frames.beside(parts)

    def _columns_of(self, section: str) -> list[Any]:
        return self._sections.get(section) or [section]

    def _feature_names(self, pipeline: Any) -> list[Any]:
        """Return the names of the transformed features, as far as the pipeline knows them."""
        names = pipeline.get_feature_names()
        return [] if names is None else [name.item() if hasattr(name, "item") else name for name in names]

    def _hash(self) -> str:
        if not self.is_saved:
            self._origins()
            self._complete_sections()
        return super()._hash()

    def _complete_sections(self) -> None:
        """Take the sections of the pipeline's dataset where none were given."""
        if self.is_saved or self.pipeline is None:
            return
        _, dataset = self._origins()
        sections = self.config[SECTION_MAP]
        for name, columns in dataset._sections.items():  # noqa: SLF001 - a dataset too
            if not sections.get(name):
                sections[name] = list(columns)
        sections.setdefault(LABELS, [])

    def _origins(self) -> tuple[Any, Any]:
        """Return the pipeline and its dataset; `DatasetError` says which is missing."""
        pipeline: Any = self.pipeline
        if pipeline is None:
            raise DatasetError(
                f"{self!r} is what a pipeline makes of its dataset, and has no pipeline: give pipeline=, or call add_pipeline(…)"
            )
        dataset = pipeline.dataset
        if dataset is None:
            raise DatasetError(
                f"{self!r}: {pipeline!r} has no dataset to transform: call add_dataset(…) on it, and fit it"
            )
        return pipeline, dataset
