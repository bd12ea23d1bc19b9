"""`Pipeline`: the base of every persistable that divides a dataset and transforms it."""

# ruff: noqa: N802, N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from simpleml.constants import TRAIN_SPLIT
from simpleml.datasets.dataset import Dataset
from simpleml.datasets.split import Split
from simpleml.errors import HashingError, PipelineError, SimpleMLError, known_names
from simpleml.hashing import hash_value
from simpleml.persistables import Artifact, Lineage, Persistable
from simpleml.persistables.identity import checked_mapping
from simpleml.pipelines import steps as stepping
from simpleml.pipelines.division import Division
from simpleml.pipelines.features import as_first_step_takes, feature_names
from simpleml.pipelines.fitted import FittedOnce
from simpleml.pipelines.keywords import splitter_of
from simpleml.pipelines.splits import ExplicitSplit, KFold, NoSplit, Splitter, from_config
from simpleml.pipelines.steps import Step
from simpleml.types import JSON

_EXTERNAL = "external_pipeline"
_APPLIED = "What it learned is put to other data by a pipeline of its fitted transformers: transformers, fitted=True, dataset=…"


class Pipeline(FittedOnce, Persistable):
    """Transformers that are fitted once, on the TRAIN rows of a dataset, and the division of the dataset into splits.

    A subclass is a family: it says what holds the steps (`external_pipeline`, stored as it is). `hash_` covers the dataset's
    hash, the steps (names, classes and parameters before the fit) and the config, never the fitted bytes, so it is known
    before the fit. A pipeline without steps is the identity, and needs no fit. The transformers that were handed in are
    never fitted themselves; copies of them are. With `fitted=True` they are taken as they are, and their fitted state
    becomes part of the hash.
    """

    kind: ClassVar[str] = "pipeline"
    record_fields: ClassVar[tuple[str, ...]] = ("params",)

    split_type: ClassVar[type[Splitter]] = NoSplit
    """The kind of split whose parameters this class takes as keywords; with `NoSplit`, any may be given as `split=`."""

    dataset: Lineage[Dataset] = Lineage("dataset")
    """What it is fitted on, and divides."""

    external_pipeline: Artifact[Any] = Artifact(
        identity=False, also=("pipeline",), doc="What holds the steps; loaded when it is first needed."
    )

    params: dict[str, JSON] | None = None
    """The parameters of each step, for reading; queries ask the config: `query(metadata__config__params__scale__with_mean=False)`."""

    _division: Division | None = None
    _splitter: Splitter | None = None
    _error: ClassVar[type[SimpleMLError]] = PipelineError

    def __init__(
        self,
        transformers: Any = (),
        *,
        split: Splitter | None = None,
        params: Mapping[str, Any] | None = None,
        fitted: bool = False,
        **identity: Any,
    ) -> None:
        splitter = splitter_of(type(self), self.split_type, split, identity)
        super().__init__(**identity)
        self.config["split"] = splitter.to_config()
        self.params = None
        self.state["fitted"] = False
        self._set_external(transformers, stepping.checked_steps(transformers))
        if params:
            self.set_params(**checked_mapping("params", params))
        if fitted and not self.is_identity:
            self.state["fitted"] = True
            self.config["fitted_state"] = self._hash_input("its fitted state", self.external_pipeline)

    # what a family fills

    @abstractmethod
    def _made(self, given: Any, steps: list[Step]) -> Any:
        """Return what holds these steps; `given` is what holds others of this pipeline, or what the user gave."""

    @abstractmethod
    def _steps(self, external: Any) -> list[Step]:
        """Return the steps that it holds."""

    @abstractmethod
    def _fit_external(self, external: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        """Fit it in place."""

    @abstractmethod
    def _transform_external(self, external: Any, X: Any) -> Any:
        """Return `X` transformed."""

    # the dataset and its splits

    def add_dataset(self, dataset: Dataset) -> Self:
        """Set the dataset that is divided and fitted on, and return the pipeline; a fitted one is refused."""
        if not self.is_identity and "fitted_state" not in self.config:
            self._refuse_fitted("add_dataset()")
            self.state["fitted"] = False
        self.dataset = dataset
        return self

    def assert_dataset(self, message: str = "") -> Dataset:
        """Return the dataset; raises `PipelineError` if there is none."""
        dataset = self.dataset
        if dataset is None:
            told = message or "this needs its data"
            raise PipelineError(f"{self!r} has no dataset, and {told}: call add_dataset(…) first, or give dataset=")
        return dataset

    @property
    def split(self) -> Splitter:
        """How the dataset is divided."""
        if self._splitter is None:
            self._splitter = from_config(self.config.get("split", {"kind": "none"}))
        return self._splitter

    def _divided(self) -> Division:
        dataset = self.assert_dataset("its splits are rows of one")
        if self._division is None or not self._division.is_of(dataset):
            self._division = Division(dataset, self.split)
        return self._division

    def get_split_names(self) -> list[str]:
        """Return the names of the splits; none if the dataset is not divided."""
        return list(self._divided().names)

    def get_dataset_split(self, split: str | None = None) -> Any:
        """Return the rows of a split (None: every row) as they are in the dataset; nothing is copied before a section is read.

        Which rows these are is found once for a dataset. Raises `UnknownSplitError`, which lists the splits there are.
        """
        return self._divided().get(split, self)

    def split_dataset(self) -> dict[str, Any]:
        """Return all splits by name."""
        return {name: self.get_dataset_split(name) for name in self.get_split_names()}

    def X(self, split: str | None = None) -> Any:
        """Return the features of a split as they are in the dataset, not transformed."""
        return self.get_dataset_split(split).X

    def y(self, split: str | None = None) -> Any:
        """Return the labels of a split."""
        return self.get_dataset_split(split).y

    def folds(self) -> Iterator[Self]:
        """Yield one unfitted pipeline for each fold, whose splits are that fold's TRAIN and TEST.

        Their names end in `_fold_1` and so on, or `_repeat_1_fold_1`. Raises `PipelineError` unless the split is a `KFold`
        of which no fold is chosen.
        """
        if not isinstance(self.split, KFold) or self.split.fold is not None:
            raise PipelineError(f"{self!r} has no folds to choose from: give it split=KFold(n_splits=5)")
        for one in self.split.each():
            made = self.new_version()
            made._change_split(one)  # noqa: SLF001 - an object of this very class
            made.name = "_".join([self.name, *one.chosen()])
            yield made

    def _change_split(self, splitter: Splitter) -> None:
        self.config["split"] = splitter.to_config()
        self._splitter = self._division = None
        self._forget_fit()

    # fitting

    @property
    def is_identity(self) -> bool:
        """Whether it has no steps, so that data comes out as it went in."""
        return not self.config.get("steps")

    @property
    def is_fitted(self) -> bool:
        """Whether it can transform: it was fitted, or has nothing to fit."""
        return bool(self.state.get("fitted")) or self.is_identity

    @property
    def fitted(self) -> bool:
        """The same as `is_fitted`."""
        return self.is_fitted

    def assert_fitted(self, message: str = "") -> None:
        """Raise `PipelineError` unless it is fitted."""
        if not self.is_fitted:
            raise PipelineError(f"{self!r} is not fitted{f', and {message}' if message else ''}: call fit() first")

    def fit(self, **fit_params: Any) -> Self:
        """Fit copies of the transformers on the TRAIN rows (on all, if the dataset is not divided), and return the pipeline.

        `step__param=` goes to the fit of that step, and becomes part of the hash. Raises `PipelineError` without a dataset, if
        it is fitted already, or if the dataset is divided and none of its splits is TRAIN. Whatever a transformer raises
        passes through and leaves the pipeline as it was.
        """
        dataset = self.assert_dataset("it is fitted on one")
        if self.is_identity:
            return self
        self._refuse_fitted("fit()")
        rows = self.get_dataset_split(self._fitted_on())
        features = self._features(rows)
        labels = rows.y
        hashes = {name: self._hash_input(name, value) for name, value in fit_params.items()}
        external = self._unfitted()
        start = time.perf_counter()
        self._fit_external(
            external,
            self._taken(external, features),
            None if labels is None else dataset.frames.squeeze(labels),
            fit_params,
        )
        seconds = time.perf_counter() - start
        self.external_pipeline = external
        self._forget_fit()
        if hashes:
            self.config["fit_params"] = hashes
        self._note_fit(fit_seconds=seconds, rows=getattr(rows, "row_count", None))
        return self

    def fit_transform(self, dataset_split: str | None = None, **fit_params: Any) -> Split:
        """Fit on the TRAIN rows, and return the split, transformed."""
        read: Split = self.fit(**fit_params).transform(dataset_split=dataset_split)
        return read

    def _unfitted(self) -> Any:
        external = self.external_pipeline
        return self._made(external, [(name, stepping.unfitted(step)) for name, step in self._steps(external)])

    def _fitted_on(self) -> str | None:
        """Return the name of the split to fit on; None for all rows."""
        names = self.get_split_names()
        if TRAIN_SPLIT in names:
            return TRAIN_SPLIT
        if isinstance(self.split, NoSplit) or (isinstance(self.split, ExplicitSplit) and not names):
            return None
        hint = ""
        if isinstance(self.split, KFold):
            hint = f". Choose a fold, {type(self.split).__name__}(…, fold=1), or take one pipeline for each: for one in pipeline.folds()"
        raise PipelineError(
            f"{self!r} has no split TRAIN to be fitted on, and fitting on all rows would show it those it is tested on; "
            f"{known_names(names, near=TRAIN_SPLIT)}{hint}"
        )

    def _features(self, rows: Any) -> Any:
        features = rows.X
        if features is None:
            raise PipelineError(
                f"{self!r}: the dataset has no features, for each of its columns is in another section; name fewer label_columns"
            )
        return features

    def _hash_input(self, name: str, value: Any) -> str:
        try:
            return hash_value(value)
        except HashingError as error:
            raise HashingError(f"{name}, given to {self!r}, has no stable hash: {error}") from error

    # using

    def transform(self, X: Any = None, dataset_split: str | None = None) -> Any:
        """Return `X` transformed; without `X`, a `Split` of the dataset in which `X` is transformed and all else as it was.

        `dataset_split` is the name of a split, None for all rows. Given `X`, no database is asked.
        """
        if X is None:
            read = Split(self.get_dataset_split(dataset_split))
            if not self.is_identity:
                read["X"] = self.transform(self._features(read))
            return read
        if dataset_split is not None:
            raise PipelineError(
                f"transform was given both X and the split {dataset_split!r:.80}: give the data, or the name of a split of the dataset"
            )
        if self.is_identity:
            return X
        self.assert_fitted("transform() needs that")
        external = self.external_pipeline
        return self._transform_external(external, self._taken(external, X))

    def _taken(self, external: Any, X: Any) -> Any:
        shape = getattr(X, "shape", None)
        if shape is None or len(shape) != 1:
            return X
        return as_first_step_takes(self._steps(external)[0][1], X)

    def get_feature_names(self) -> list[Any]:
        """Return the names of the features that come out, through all steps; it must be fitted.

        Those of a pipeline without steps are the dataset's columns themselves, all others are texts.
        """
        self.assert_fitted("only then its features are known")
        if self.is_identity:
            return list(self.assert_dataset("its columns are the features").get_feature_names())
        steps = self.get_transformers()
        known = getattr(steps[0][1], "feature_names_in_", None)
        if known is None and self.dataset is not None:
            known = self.dataset.get_feature_names()

        def one_row() -> Any:
            rows = self.assert_dataset(
                "a step does not say which features it makes, so it is asked with a row"
            ).projected(slice(0, 1))
            return self._taken(self.external_pipeline, self._features(rows))

        return feature_names(steps, known, one_row)

    # steps

    def get_transformers(self) -> list[Step]:
        """Return the steps in order, fitted ones once the pipeline is fitted."""
        return [] if self.is_identity else self._steps(self.external_pipeline)

    def add_transformer(self, name: str, transformer: Any, index: int | None = None) -> Self:
        """Add a step at the end, or before the one at `index`, which makes the pipeline unfitted, and return the pipeline."""
        self._refuse_saved("add_transformer()")
        steps = self.get_transformers()
        step = stepping.checked_step(name, transformer, [taken for taken, _ in steps])
        steps.insert(len(steps) if index is None else index, step)
        self._change_steps(steps)
        return self

    def remove_transformer(self, name: str) -> Self:
        """Take a step away, which makes the pipeline unfitted, and return the pipeline."""
        self._refuse_saved("remove_transformer()")
        steps = self.get_transformers()
        if name not in dict(steps):
            raise PipelineError(f"{self!r} has no step {name!r:.80}; {known_names(dict(steps), near=str(name))}")
        self._change_steps([step for step in steps if step[0] != name])
        return self

    def get_params(self, **options: Any) -> dict[str, Any]:
        """Return the parameters of all steps, each as `step__param`."""
        return {
            f"{name}__{param}": value
            for name, transformer in self.get_transformers()
            if hasattr(transformer, "get_params")
            for param, value in transformer.get_params(**options).items()
        }

    def set_params(self, **params: Any) -> Self:
        """Set parameters given as `step__param`, which makes the pipeline unfitted, and return the pipeline."""
        self._refuse_saved("set_params()")
        self._change_steps(stepping.with_params(self.get_transformers(), params))
        return self

    def _change_steps(self, steps: Sequence[Step]) -> None:
        given = None if self.is_identity else self.external_pipeline
        self._set_external(given, [(name, stepping.unfitted(transformer)) for name, transformer in steps])
        self._forget_fit()

    def _set_external(self, given: Any, steps: list[Step]) -> None:
        """Hold these steps, and write down what they are."""
        self.config["steps"] = stepping.step_classes(steps)
        self.config["steps_hash"] = stepping.steps_hash(steps)
        self.config["params"] = stepping.described_params(steps)
        self.params = stepping.shown_params(steps)
        if steps:
            self.external_pipeline = self._made(given, steps)
        elif self.has_artifact(_EXTERNAL):
            self.forget_artifact(_EXTERNAL)

    # saving

    def save(self) -> Self:
        """Save a new version, or the state and metadata of a saved one; raises `PipelineError` if it is not fitted.

        Its dataset must be saved first (`UnsavedReferenceError`), and be what it was when the pipeline was fitted (`LineageError`).
        """
        if not self.is_saved:
            if "fitted_state" not in self.config:
                self.assert_dataset("a pipeline is saved with what it was fitted on")
            self.assert_fitted("save() needs that")
            self._refuse_other_parents("fitted", f"Fit it again: x = x.new_version().fit(). {_APPLIED}")
        return super().save()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the division, which holds the data and is found again."""
        made = super().__reduce__()
        return (*made[:2], {**made[2], "_division": None}) if len(made) > 2 else made

    def _refuse_saved(self, call: str) -> None:
        if self.is_saved:
            raise PipelineError(
                f"{self!r} is saved, so {call} is refused: take a copy that may be changed, x = x.new_version()"
            )
