"""`Metric`: the base of everything that says how good a model is."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from simpleml.constants import TEST_SPLIT, TRAIN_SPLIT, VALIDATION_SPLIT
from simpleml.errors import HashingError, MetricError, MissingDependencyError
from simpleml.hashing import hash_value
from simpleml.metrics.parameters import split_name
from simpleml.metrics.samples import Sample, given_sample, sample_of
from simpleml.metrics.values import plain_values
from simpleml.persistables import Lineage, Persistable
from simpleml.types import JSON

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simpleml.datasets.dataset import Dataset
    from simpleml.metrics.columns import Array
    from simpleml.models.model import Model

Needs = Literal["predict", "score", "proba"]
"""What a metric compares the labels with: predictions, scores that put rows into an order, or probabilities."""

_PREFIXES = {TRAIN_SPLIT: "in_sample_", VALIDATION_SPLIT: "validation_", TEST_SPLIT: "", None: "whole_data_"}


def prefixed(name: str, split: str | None) -> str:
    """Return the default name of a metric on a split; no two splits share one."""
    return f"{_PREFIXES[split] if split in _PREFIXES else f'{str(split).lower()}_'}{name}"


class Metric(Persistable):
    """A persistable of the kind `metric`: what a model is worth on some data, as JSON in the column `values`.

    A subclass says what it `needs` and fills `compute(labels, outputs)`. Versions are counted for each name and model. The
    data is a split of the model's pipeline; with a dataset of its own that the model was not trained on, a split of that.
    `hash_` covers the class, the config, the model and the dataset, and is known before scoring.

    `values` holds finite numbers only: what is undefined (the true positive rate of data without a positive label) is null
    there, and `note` says so; points of a curve that are undefined are left out.
    """

    kind: ClassVar[str] = "metric"
    record_fields: ClassVar[tuple[str, ...]] = ("values",)

    needs: ClassVar[Needs] = "predict"
    """What `compute` is given besides the labels."""

    default_name: ClassVar[str] = ""
    """The name without the split, if none is given; that of the class in lower case if it is empty."""

    model: Lineage[Model] = Lineage("model")
    """What is scored."""

    dataset: Lineage[Dataset] = Lineage("dataset")
    """What it is scored on; none: the dataset of the model's pipeline."""

    values: dict[str, JSON] | None = None
    """What scoring gave: `{"agg": 0.93}` of one number, `{"0.005": 0.99, …}` of a curve; None until it is scored."""

    _given: Sample | None = None  # the data it was scored on, if it was given

    def __init__(self, *, dataset_split: str | None = None, name: str | None = None, **identity: Any) -> None:
        """Score on this split (none: on all data). A name that is given is kept; else it says the split and the metric."""
        dataset_split = split_name(dataset_split)
        super().__init__(name=prefixed(self._base_name(), dataset_split) if name is None else name, **identity)
        self.config["dataset_split"] = dataset_split
        self.values = None

    def _base_name(self) -> str:
        """Return the name without the split."""
        cls = type(self)
        return cls.default_name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__.removesuffix("Metric")).lower()

    # what a subclass fills

    def compute(self, labels: Array, outputs: Array) -> object:
        """Return what the labels and what the model says of them make: a number, or a mapping of text to numbers."""
        raise MetricError(
            f"{type(self).__name__} does not say how it is computed: give it def compute(self, labels, outputs), and "
            'needs = "predict", "score" or "proba"'
        )

    def _outputs(self, sample: Sample) -> Array:
        """Return what `compute` is given besides the labels."""
        if self.needs == "proba":
            return sample.probabilities
        return sample.scores if self.needs == "score" else sample.predictions

    def _computed(self, sample: Sample) -> object:
        return self.compute(sample.labels, self._outputs(sample))

    # scoring

    @property
    def dataset_split(self) -> str | None:
        """The split that it is scored on; None: all data."""
        found: str | None = self.config.get("dataset_split")
        return found

    @property
    def is_scored(self) -> bool:
        """Whether it has values."""
        return self.values is not None

    @property
    def note(self) -> str | None:
        """What there is to say of the values besides the values: why a number is missing."""
        found: str | None = self.state.get("note")
        return found

    def add_model(self, model: Model) -> Self:
        """Set the model, and return the metric."""
        self.model = model
        return self

    def add_dataset(self, dataset: Dataset) -> Self:
        """Set the dataset, and return the metric."""
        self.dataset = dataset
        return self

    def score(self, X: Any = None, y: Any = None, **sections: Any) -> Self:
        """Set `values`, and return the metric.

        Without data, on the split; with `X` and `y` (and other sections that the metric asks for, each one column) on these,
        whose content becomes part of `hash_`. `X` goes through the model's pipeline. Raises `MetricError` if there is no
        model, no data, no label, or if what the model says cannot be compared; the metric is then as it was.
        """
        given = X is not None or y is not None or bool(sections)
        hashes = self._given_hashes({"X": X, "y": y, **sections}) if given else None
        sample = given_sample(self._scored_model(), X, y, sections) if given else self._split_sample()
        start = time.perf_counter()
        result = self._computed(sample)
        values, holes = plain_values(result)
        self.state.update(rows=len(sample.labels), score_seconds=time.perf_counter() - start)
        self.values = values
        self.state.pop("note", None)
        if holes or not values:
            told = f"{holes} of the numbers are undefined, and null" if holes else "no point of the curve is defined"
            self.state["note"] = f"{told}, on {sample.told}"
        self.config.pop("scored_on", None)
        if hashes is not None:
            self.config["scored_on"] = hashes
        self._given = sample if given else None
        self._note_parents()
        return self

    def _scored_model(self) -> Model:
        model = self.model
        if model is None:
            raise MetricError(f"{self!r} has no model to score: call add_model(model) first")
        return model

    def _split_sample(self) -> Sample:
        return sample_of(self._scored_model(), self.dataset, self.dataset_split)

    def _given_hashes(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Return the content hash of each part of data that was given."""
        self._scored_model()
        if data["X"] is None or data["y"] is None:
            told = ", ".join(name for name, value in data.items() if value is not None)
            raise MetricError(
                f"{self!r} was given {told} alone: call score(X=…, y=…) with both, or score() for the split that it was made for"
            )
        if self.dataset is not None:
            raise MetricError(
                f"{self!r} has a dataset, so data that is given besides is refused: call score() without, or make a metric "
                "without the dataset"
            )
        hashes = {}
        for name, value in data.items():
            try:
                hashes[name] = hash_value(value)
            except HashingError as error:
                raise HashingError(f"{name}, on which {self!r} is to be scored, has no stable hash: {error}") from error
        return hashes

    def _current(self) -> Sample:
        """Return what it was scored on, or would be."""
        if self._given is not None and self._given.model is self.model:
            return self._given
        return self._split_sample()

    @property
    def labels(self) -> Array:
        """What is true of the rows that it is scored on."""
        return self._current().labels

    @property
    def predictions(self) -> Array:
        """What the model predicts for these rows."""
        return self._current().predictions

    @property
    def probabilities(self) -> Array:
        """The probabilities that the model gives to these rows."""
        return self._current().probabilities

    def save(self) -> Self:
        """Save a new version, or the state and metadata of a saved one; raises `MetricError` before it is scored.

        Its model and its dataset must be saved first (`UnsavedReferenceError`), and be what they were when it was scored
        (`LineageError`).
        """
        if not self.is_saved:
            self._scored_model()
            if self.values is None:
                raise MetricError(f"{self!r} is not scored, so there is nothing to save: call score() first")
            self._refuse_other_parents("scored", "Call score() again")
        return super().save()

    def __reduce__(self) -> tuple[Any, ...]:
        made = super().__reduce__()
        if len(made) > 2 and isinstance(made[2], dict):
            made[2].pop("_given", None)
        return made

    # showing

    def plot(self) -> Figure:
        """Return a figure of the values: a line for a curve, a heat map for a confusion matrix, bars for numbers.

        It belongs to no window and to no global state; needs matplotlib. Raises `MetricError` if it is not scored.
        """
        if self.values is None:
            raise MetricError(f"{self!r} is not scored, so there is nothing to plot: call score() first")
        from simpleml.metrics.plotting import figure_of

        return figure_of(self)

    def axis_titles(self) -> tuple[str, str]:
        """Return what the two axes of its figure are called."""
        return "", self._base_name().replace("_", " ")

    def _repr_png_(self) -> bytes | None:
        """Show curves and matrices as a picture in notebooks, if matplotlib is there; a single number needs none."""
        if self.values is None or len(self.values) < 2:
            return None
        from simpleml.metrics.plotting import png_of

        try:
            return png_of(self.plot())
        except (MissingDependencyError, MetricError):
            return None
