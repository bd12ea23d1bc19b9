"""Metrics of any number of classes: averages over the classes, the confusion matrix, the best k, areas under ROC curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from simpleml.encoding.faults import short
from simpleml.errors import MetricError
from simpleml.metrics.classification import ClassificationMetric, class_predictions
from simpleml.metrics.columns import as_numbers, in_order
from simpleml.metrics.confusion import ratio
from simpleml.metrics.kind import Needs
from simpleml.metrics.parameters import one_of, whole_number
from simpleml.metrics.ranks import roc_auc
from simpleml.metrics.samples import Sample

if TYPE_CHECKING:
    from simpleml.metrics.columns import Array
    from simpleml.metrics.confusion import Numbers

Average = Literal["macro", "micro", "weighted"]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """For each class, in the order of `classes`: rows that are of it and predicted so, that are of it, that are predicted so."""

    classes: list[Any]
    matrix: Numbers

    @property
    def right(self) -> Numbers:
        """Rows of each class that are predicted so."""
        found: Numbers = self.matrix.diagonal()
        return found

    @property
    def actual(self) -> Numbers:
        """Rows of each class."""
        found: Numbers = self.matrix.sum(axis=1)
        return found

    @property
    def predicted(self) -> Numbers:
        """Rows that are predicted to be of each class."""
        found: Numbers = self.matrix.sum(axis=0)
        return found


def class_counts(sample: Sample) -> ClassCounts:
    """Return the confusion matrix of every class that occurs: a row for each true class, a column for each predicted one."""
    import numpy as np

    (one, inverse), (other, predicted_inverse) = _unique(sample.labels), _unique(class_predictions(sample))
    classes = in_order({*one, *other})
    places = {label: at for at, label in enumerate(classes)}
    rows = np.array([places[label] for label in one])[inverse]
    columns = np.array([places[label] for label in other])[predicted_inverse]
    flat = np.bincount(rows * len(classes) + columns, minlength=len(classes) ** 2)
    return ClassCounts(classes, flat.reshape(len(classes), len(classes)).astype(float))


def _unique(column: Array) -> tuple[list[Any], Any]:
    """Return the labels there are, and for each row which of them it has."""
    import numpy as np

    if column.dtype == object:
        there = {label: at for at, label in enumerate(dict.fromkeys(column.tolist()))}
        return list(there), np.array([there[label] for label in column.tolist()])
    found, inverse = np.unique(column, return_inverse=True)
    return found.tolist(), inverse


class _AveragedMetric(ClassificationMetric):
    """A ratio of counts, averaged over the classes that occur; a class of which the ratio is undefined counts as 0."""

    average: ClassVar[Average] = "macro"
    over: ClassVar[Literal["f1", "precision", "recall"]] = "f1"

    def _computed(self, sample: Sample) -> object:
        import numpy as np

        counts = class_counts(sample)
        mean = (counts.predicted + counts.actual) / 2
        whole = {"precision": counts.predicted, "recall": counts.actual, "f1": mean}[self.over]
        if self.average == "micro":
            return float(counts.right.sum() / whole.sum())
        weights = counts.actual if self.average == "weighted" else None
        return float(np.average(np.nan_to_num(ratio(counts.right, whole)), weights=weights))


class MacroF1Metric(_AveragedMetric):
    """The F1 score of each class, averaged: every class counts the same."""

    default_name = "macro_f1"


class MicroF1Metric(_AveragedMetric):
    """The F1 score of all rows together, which is the accuracy where each row has one class."""

    default_name = "micro_f1"
    average = "micro"


class WeightedF1Metric(_AveragedMetric):
    """The F1 score of each class, averaged by how many rows it has."""

    default_name = "weighted_f1"
    average = "weighted"


class MacroPrecisionMetric(_AveragedMetric):
    """The precision of each class, averaged: every class counts the same."""

    default_name = "macro_precision"
    over = "precision"


class MicroPrecisionMetric(_AveragedMetric):
    """The precision of all rows together."""

    default_name = "micro_precision"
    average = "micro"
    over = "precision"


class WeightedPrecisionMetric(_AveragedMetric):
    """The precision of each class, averaged by how many rows it has."""

    default_name = "weighted_precision"
    average = "weighted"
    over = "precision"


class MacroRecallMetric(_AveragedMetric):
    """The recall of each class that occurs among the labels or the predictions, averaged."""

    default_name = "macro_recall"
    over = "recall"


class MicroRecallMetric(_AveragedMetric):
    """The recall of all rows together."""

    default_name = "micro_recall"
    average = "micro"
    over = "recall"


class WeightedRecallMetric(_AveragedMetric):
    """The recall of each class, averaged by how many rows it has."""

    default_name = "weighted_recall"
    average = "weighted"
    over = "recall"


class BalancedAccuracyMetric(ClassificationMetric):
    """The recall of each class that occurs among the labels, averaged: a rare class counts as much as a frequent one."""

    default_name = "balanced_accuracy"

    def _computed(self, sample: Sample) -> object:
        import numpy as np

        counts = class_counts(sample)
        return float(np.nanmean(ratio(counts.right, counts.actual)))


class ConfusionMatrixMetric(ClassificationMetric):
    """How many rows of each class are predicted to be of which: `labels`, and a `matrix` with a row for each true class."""

    default_name = "confusion_matrix"

    def _computed(self, sample: Sample) -> object:
        counts = class_counts(sample)
        return {"labels": counts.classes, "matrix": counts.matrix.astype(int).tolist()}

    def axis_titles(self) -> tuple[str, str]:
        """Return what the two axes of its figure are called."""
        return "predicted", "true"


def class_columns(sample: Sample) -> tuple[Numbers, Any, list[Any]]:
    """Return the probabilities with a column for each class, the column of each row's own label, and the classes.

    Raises `MetricError` for a label that the model does not know, or if it does not say which column is whose.
    """
    import numpy as np

    given = as_numbers(sample.probabilities, "probabilities")
    if given.ndim == 1 or given.shape[1] == 1:
        given = given.reshape(-1, 1)
        if sample.classes is None or len(sample.classes) == 2:  # the positive class alone
            given = np.hstack([1 - given, given])
    classes, (there, inverse) = sample.classes, _unique(sample.labels)
    if classes is None or len(classes) != given.shape[1]:
        classes = _guessed(in_order(set(there)), given.shape[1])
    unknown = [label for label in there if label not in classes]
    if unknown:
        raise MetricError(
            f"the labels {short(unknown)} of {sample.told} are none of the classes that the model knows, which are {short(classes)}"
        )
    return given, np.array([classes.index(label) for label in there])[inverse], classes


def _guessed(there: list[Any], columns: int) -> list[Any]:
    """Return the classes of a model that does not say them: 0, 1, 2, … if the labels are such, else those that occur."""
    if all(isinstance(label, int | float) and label in range(columns) for label in there):
        return list(range(columns))
    if len(there) == columns:
        return there
    raise MetricError(
        f"the model gives {columns} probabilities a row and does not say of which classes, and the labels are {short(there)}: label "
        "the classes 0, 1, 2, …, or give the model classes_"
    )


class TopKAccuracyMetric(ClassificationMetric):
    """The share of rows whose class is among the `k` most probable ones; of equal ones the later class comes first."""

    needs: ClassVar[Needs] = "proba"
    default_name = "top_k_accuracy"

    def __init__(self, *, k: int = 2, **identity: Any) -> None:
        super().__init__(**identity)
        self.config["k"] = whole_number("k", k)

    def _computed(self, sample: Sample) -> object:
        import numpy as np

        given, own, _ = class_columns(sample)
        mine = given[np.arange(len(own)), own][:, None]
        later = np.arange(given.shape[1])[None, :] > own[:, None]
        before = (given > mine).sum(axis=1) + ((given == mine) & later).sum(axis=1)
        return float((before < self.config["k"]).mean())


class MulticlassRocAucMetric(ClassificationMetric):
    """The area under the ROC curve of each class against the rest (`multi_class="ovr"`), or of each pair (`"ovo"`), averaged.

    `average` is `"macro"` or `"weighted"`. Undefined if a class that the model knows does not occur.
    """

    needs: ClassVar[Needs] = "proba"
    default_name = "multiclass_roc_auc"

    def __init__(self, *, multi_class: str = "ovr", average: str = "macro", **identity: Any) -> None:
        super().__init__(**identity)
        self.config["multi_class"] = one_of("multi_class", multi_class, ("ovr", "ovo"))
        self.config["average"] = one_of("average", average, ("macro", "weighted"))

    def _computed(self, sample: Sample) -> object:
        import numpy as np

        given, own, classes = class_columns(sample)
        if len(classes) == 2:
            return roc_auc(own == 1, given[:, 1])
        each = range(len(classes))
        if self.config["multi_class"] == "ovr":
            areas = [roc_auc(own == at, given[:, at]) for at in each]
            weights = [float((own == at).sum()) for at in each]
        else:
            areas, weights = [], []
            for one, other in ((one, other) for one in each for other in each if one < other):
                rows = (own == one) | (own == other)
                pair = (roc_auc(own[rows] == at, given[rows, at]) for at in (one, other))
                areas.append(sum(pair) / 2)
                weights.append(float(rows.sum()))
        return float(np.average(areas, weights=weights if self.config["average"] == "weighted" else None))
