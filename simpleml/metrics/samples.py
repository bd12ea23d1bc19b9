"""`Sample`: some rows, what is true of them, and what a model says of them, each asked for once.

Several metrics of one model on one split run the pipeline and the model once. What is kept: for every split of a saved
model, as long as the model object lives, its labels and what the model said (one number a row); and of the split that was
scored last, in the whole process, the transformed features. Only of saved objects, which do not change: a model that is not
saved yet is asked anew by each metric.
"""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, ref

from simpleml.errors import ArtifactUnsetError, MetricError, ModelError, known_names
from simpleml.metrics.columns import as_column, as_output

if TYPE_CHECKING:
    from simpleml.metrics.columns import Array
    from simpleml.models import Model
    from simpleml.persistables import Persistable

T = TypeVar("T")

_NAMES = {"predict": "predictions", "predict_proba": "probabilities", "decision_function": "scores"}


class Sample:
    """Rows that a model is scored on; it does not keep the model alive.

    `read` returns the sections of the rows by name; `transformed` says whether their features went through the model's
    pipeline already. `told` names the rows in errors.
    """

    def __init__(self, model: Model, read: Callable[[], Mapping[str, Any]], *, transformed: bool, told: str) -> None:
        self._model = ref(model)
        self._read = read
        self._transformed = transformed
        self._split: Mapping[str, Any] | None = None
        self._columns: dict[str, Array] = {}
        self._facts: dict[str, Any] = {}
        self.told = told

    @property
    def model(self) -> Model:
        """The model that is scored."""
        found = self._model()
        if found is None:
            raise MetricError("the model that was to be scored is gone: keep it in a variable while it is scored")
        return found

    @property
    def features(self) -> Any:
        """The features, as the model wants them."""
        found = self._sections().get("X")
        if found is None:
            raise MetricError(f"{self.told} has no features (no section X), so there is nothing to predict")
        return found

    @property
    def is_transformed(self) -> bool:
        """Whether the features went through the model's pipeline already."""
        return self._transformed

    @property
    def labels(self) -> Array:
        """What is true of the rows: one label each, none missing."""
        return self.section("y", f"labels of {self.told}")

    @property
    def classes(self) -> list[Any] | None:
        """The classes that the columns of probabilities belong to, in this order, if the model says."""
        model: Any = self.model
        found = getattr(getattr(model, "external_model", None), "classes_", None)
        if found is None:
            found = (model.feature_metadata or {}).get("classes")
        return None if found is None else found.tolist() if hasattr(found, "tolist") else list(found)

    def section(self, name: str, what: str) -> Array:
        """Return a section of one column."""
        if name not in self._columns:
            self._columns[name] = as_column(self._sections().get(name), what)
        return self._columns[name]

    @property
    def predictions(self) -> Array:
        """What the model predicts for each row."""
        return self._output("predict")

    @property
    def probabilities(self) -> Array:
        """The probabilities that the model gives: a column for each class, or one for the positive class alone."""
        return self._output("predict_proba")

    @property
    def scores(self) -> Array:
        """The probabilities, or else the decision function: whatever puts rows into an order.

        The predictions are taken of what knows no classes (a regression); those of a classifier have no order.
        """
        missing: Exception | None = None
        for method in ("predict_proba", "decision_function"):
            if hasattr(self.model, method):
                try:
                    return self._output(method)
                except (ModelError, ArtifactUnsetError) as error:  # there is no such method behind it
                    missing = error
        if self.classes is not None:
            raise MetricError(
                f"{self.model!r} gives neither probabilities nor a decision function, so its rows have no order: take a metric "
                "of predicted classes, or another model"
            ) from missing
        return self._output("predict")

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returned when `name` was asked for first: small results that several metrics begin with."""
        if name not in self._facts:
            self._facts[name] = make()
        found: T = self._facts[name]
        return found

    def _output(self, method: str) -> Array:
        """Return what a method of the model gives for the rows, asked once."""
        if method not in self._columns:
            call = getattr(self.model, method)
            given = call(self.features, transform=False) if self._transformed else call(self.features)
            self._columns[method] = as_output(given, _NAMES[method], len(self.labels))
        return self._columns[method]

    def _sections(self) -> Mapping[str, Any]:
        """Return the sections, read when they are first needed; the sample that was read before lets its own go."""
        split = self._split
        if split is None:
            read = self._read()
            split = self._split = {name: read[name] for name in read}
            _latest.take(self)
        return split

    def let_go(self) -> None:
        """Forget the sections; columns that were asked for stay."""
        self._split = None


class _Latest:
    """The one sample of the process that holds its sections."""

    def __init__(self) -> None:
        self._held: ref[Sample] | None = None

    def take(self, sample: Sample) -> None:
        before = self._held() if self._held is not None else None
        if before is not None and before is not sample:
            before.let_go()
        self._held = ref(sample)


_latest = _Latest()
_kept: WeakKeyDictionary[Persistable, dict[tuple[object, ...], Sample]] = WeakKeyDictionary()


def sample_of(model: Model, dataset: Persistable | None, split: str | None) -> Sample:
    """Return the rows of a split: of the pipeline's dataset if `dataset` is that or is not given, else of `dataset`.

    Raises `MetricError` if there is nothing to score on, or no such split.
    """
    pipeline: Any = model.pipeline
    trained_on = pipeline.dataset if pipeline is not None else None
    source: Any = pipeline
    if dataset is not None and (trained_on is None or trained_on.id != dataset.id):
        source = dataset
    if source is None:
        raise MetricError(
            f"{model!r} has no pipeline and the metric no dataset, so there is nothing to score on: call score(X=…, y=…), or "
            "add_dataset(dataset) first"
        )
    key = (model.id, source.id, split)
    kept = _kept.get(model, {})
    if key not in kept:
        _check_split(source, split)
        read = _reader(source, pipeline, split)
        told = f"the split {split!r} of {source!r}" if split is not None else f"the whole of {source!r}"
        sample = Sample(model, read, transformed=source is pipeline, told=told)
        if not (model.is_saved and source.is_saved):
            return sample
        kept = _kept.setdefault(model, {})
        kept[key] = sample
    return kept[key]


def _reader(source: Any, pipeline: Any, split: str | None) -> Callable[[], Mapping[str, Any]]:
    if source is pipeline:
        return lambda: pipeline.transform(None, dataset_split=split)
    return lambda: source.get_split(split)


def _check_split(source: Any, split: str | None) -> None:
    """Refuse a split that is not there before anything is computed."""
    known = [str(name) for name in source.get_split_names()]
    if split is not None and split not in known:
        told = known_names(known, near=split) if known else "it is not split at all: leave dataset_split out"
        raise MetricError(f"{source!r} has no split {split!r:.80}; {told}")


def given_sample(model: Model, X: Any, y: Any, sections: Mapping[str, Any]) -> Sample:
    """Return rows that were given as they are; their features go through the model's pipeline, if it has one."""
    given = {**sections, "X": X, "y": y}
    return Sample(model, lambda: given, transformed=False, told="the data that was given")
