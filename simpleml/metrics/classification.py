"""Metrics of two classes: accuracy, rates, F1 and the area under the ROC curve; the base of the curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from simpleml.encoding.faults import short
from simpleml.errors import MetricError
from simpleml.metrics.columns import distinct, positive_label, positive_scores, truths
from simpleml.metrics.confusion import MEASURES, Counts, count, count_predicted, dedupe
from simpleml.metrics.kind import Metric, Needs
from simpleml.metrics.ranks import roc_auc
from simpleml.metrics.samples import Sample

if TYPE_CHECKING:
    import pandas as pd

    from simpleml.metrics.columns import Array
    from simpleml.metrics.confusion import Numbers, Truths


class ClassificationMetric(Metric):
    """A metric of a model that tells classes apart."""


class BinaryClassificationMetric(ClassificationMetric):
    """A metric of a model that tells two classes apart.

    The positive one is 1 where the labels are 0 and 1 (or -1 and 1, or booleans); of other labels `pos_label` says which,
    and all others are negative. Data of one class is no error: what it leaves undefined is null in the values.
    """

    def __init__(self, *, pos_label: Any = None, **identity: Any) -> None:
        super().__init__(**identity)
        if pos_label is not None:
            self.config["pos_label"] = pos_label

    def _positive(self, sample: Sample, *others: Array) -> Any:
        """Return which label is the positive one."""
        known = distinct(sample.labels, *others)
        chosen = self.config.get("pos_label")
        if chosen is not None and chosen not in known:  # data of one class: the model may know the other one
            known = [*known, *(sample.classes or ())]
        return positive_label(known, chosen, f"labels of {sample.told}")

    def _truths(self, sample: Sample) -> Truths:
        """Return which rows are positive."""
        return truths(sample.labels, self._positive(sample))

    def _scores(self, sample: Sample) -> Numbers:
        """Return the probability that each row is positive."""
        return positive_scores(sample.probabilities, sample.classes, self._positive(sample))

    def _predicted(self, sample: Sample) -> Counts:
        """Return the confusion matrix of the predicted labels."""
        predicted = class_predictions(sample)
        positive = self._positive(sample, predicted)
        return count_predicted(truths(sample.labels, positive), truths(predicted, positive))

    @property
    def probabilities(self) -> Numbers:
        """The probability that each row is positive."""
        return self._scores(self._current())

    def _counts(self) -> Counts:
        return self._thresholds(self._current())

    def _thresholds(self, sample: Sample) -> Counts:
        """Return the confusion matrices at the thresholds from 0 to 1; every curve of the sample begins with them."""
        return sample.once(f"counts {self.config.get('pos_label')!r}", lambda: self._counted(sample))

    def _counted(self, sample: Sample) -> Counts:
        scores = self._scores(sample)
        if scores.min() < 0 or scores.max() > 1:
            raise MetricError(
                f"{self!r} counts at thresholds from 0 to 1, but the model gives scores from {scores.min():g} to "
                f"{scores.max():g}: let it give probabilities (CalibratedClassifierCV), or take RocAucMetric, to which only the "
                "order matters"
            )
        return count(self._truths(sample), scores)

    @property
    def confusion_matrix(self) -> pd.DataFrame:
        """The counts at each of the 201 thresholds: threshold, tn, fp, fn, tp."""
        return self._counts().to_frame()

    @staticmethod
    def dedupe_curve(
        keys: Sequence[float] | Numbers,
        values: Sequence[float] | Numbers,
        maximize: bool = True,
        round_places: int = 3,
    ) -> dict[float, float]:
        """Return for each key, rounded, the highest of its values, rounded (the lowest unless `maximize`); NaN left out."""
        return dedupe(keys, values, maximize=maximize, round_places=round_places)


def _rate(part: str) -> property:
    def read(metric: BinaryClassificationMetric) -> Numbers:
        return MEASURES[part].formula(metric._counts())  # noqa: SLF001 - a property of that very class

    read.__doc__ = f"The {MEASURES[part].title} at each threshold; not a number where it is undefined."
    return property(read)


for _part, _measure in MEASURES.items():
    setattr(BinaryClassificationMetric, _measure.attribute, _rate(_part))


def class_predictions(sample: Sample) -> Array:
    """Return the class that is predicted for each row; of a column for each class, the class of the highest.

    Raises `MetricError` for predictions that are no classes: numbers between those that the labels are.
    """
    import numpy as np

    predicted = sample.predictions
    if predicted.ndim == 1:
        if _is_between(predicted) and not _is_between(sample.labels):
            raise MetricError(
                f"the predictions are {short(predicted[:3].tolist())} …, numbers and not classes: take a metric of quantities or "
                "of probabilities, or let predict() give classes"
            )
        return predicted
    best: Array = predicted.argmax(axis=1)
    classes = sample.classes
    if classes is not None and len(classes) == predicted.shape[1]:
        best = np.asarray(classes)[best]
    return best


def _is_between(column: Array) -> bool:
    """Whether any number of a column is no whole one."""
    return column.dtype.kind == "f" and bool((column % 1 != 0).any())


class AggregateBinaryClassificationMetric(BinaryClassificationMetric):
    """One number of the confusion matrix of the predicted labels: the measure called `part`."""

    part: ClassVar[str] = "Accuracy"

    def _computed(self, sample: Sample) -> object:
        return float(MEASURES[self.part].formula(self._predicted(sample))[0])


class AccuracyMetric(ClassificationMetric):
    """The share of rows whose class is predicted, of any number of classes."""

    default_name = "classification_accuracy"

    def _computed(self, sample: Sample) -> object:
        predicted = class_predictions(sample)
        distinct(sample.labels, predicted)  # text against numbers is a mistake, not an accuracy of zero
        return float((sample.labels == predicted).mean())


class TprMetric(AggregateBinaryClassificationMetric):
    """The share of the positive rows that are predicted to be positive: recall, sensitivity."""

    part = "Tpr"
    default_name = "tpr"


class FprMetric(AggregateBinaryClassificationMetric):
    """The share of the negative rows that are predicted to be positive."""

    part = "Fpr"
    default_name = "fpr"


class F1ScoreMetric(AggregateBinaryClassificationMetric):
    """The harmonic mean of precision and recall; undefined if no row is positive and none is predicted to be."""

    part = "F1Score"
    default_name = "f1_score"


class RocAucMetric(BinaryClassificationMetric):
    """The area under the ROC curve: the chance that a positive row gets a higher score than a negative one.

    Of probabilities, or of the decision function of a model that gives none. Undefined on data of one class.
    """

    needs: ClassVar[Needs] = "score"
    default_name = "roc_auc"

    def _computed(self, sample: Sample) -> object:
        return roc_auc(self._truths(sample), ranking_scores(self, sample))


def ranking_scores(metric: BinaryClassificationMetric, sample: Sample) -> Numbers:
    """Return a score for each row that is the higher the more positive the row is."""
    scores, positive = sample.scores, metric._positive(sample)  # noqa: SLF001 - one family in two files
    classes = sample.classes
    found = positive_scores(scores, classes, positive)
    if scores.ndim == 1 and classes is not None and len(classes) == 2 and classes.index(positive) == 0:
        return -found  # a decision function speaks for the second class
    return found
