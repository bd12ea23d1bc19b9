"""Confusion matrices at many thresholds in one pass, what follows from them, and curves of one against the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Truths: TypeAlias = NDArray[np.bool_]

THRESHOLDS = 201
"""How many thresholds there are from 0 to 1, both included: one every 0.005."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Confusion matrices: at `threshold[i]` there are `tn[i]` true negatives, and so on. A row is positive from the threshold on."""

    threshold: Numbers
    tn: Numbers
    fp: Numbers
    fn: Numbers
    tp: Numbers

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each threshold, counts as whole numbers."""
        import pandas as pd

        columns = {name: getattr(self, name).astype("int64") for name in ("tn", "fp", "fn", "tp")}
        return pd.DataFrame({"threshold": self.threshold, **columns})


def count(positive: Truths, scores: Numbers) -> Counts:
    """Return the confusion matrix at each threshold for probabilities of being positive; ties fall on the same side."""
    import numpy as np

    thresholds = np.linspace(0, 1, THRESHOLDS)
    # How many thresholds a score reaches; with t[i] <= score < t[i+1] it is predicted positive at the first i + 1 of them.
    reached = np.searchsorted(thresholds, scores, side="right")
    every = np.bincount(reached, minlength=THRESHOLDS + 1)
    true = np.bincount(reached[positive], minlength=THRESHOLDS + 1)
    predicted = every[::-1].cumsum()[::-1][1:].astype(float)
    tp = true[::-1].cumsum()[::-1][1:].astype(float)
    positives, rows = float(true.sum()), float(every.sum())
    fp = predicted - tp
    return Counts(thresholds, rows - positives - fp, fp, positives - tp, tp)


def count_predicted(positive: Truths, predicted: Truths) -> Counts:
    """Return the one confusion matrix of labels that were predicted; its threshold is no number."""
    import numpy as np

    tp, fp = float((positive & predicted).sum()), float((~positive & predicted).sum())
    fn, tn = float((positive & ~predicted).sum()), float((~positive & ~predicted).sum())
    return Counts(*(np.array([number]) for number in (np.nan, tn, fp, fn, tp)))


def ratio(part: Any, whole: Any) -> Numbers:
    """Return `part / whole`, not a number where `whole` is zero: there is nothing to take a share of."""
    import numpy as np

    part, whole = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    found: Numbers = np.full(np.broadcast(part, whole).shape, np.nan)
    np.divide(part, whole, out=found, where=whole != 0)
    return found


def _mcc(at: Counts) -> Numbers:
    """Matthews' correlation coefficient; four square roots, because the product of four counts leaves no digits."""
    import numpy as np

    sides = (at.tp + at.fp, at.tp + at.fn, at.tn + at.fp, at.tn + at.fn)
    below = np.sqrt(sides[0]) * np.sqrt(sides[1]) * np.sqrt(sides[2]) * np.sqrt(sides[3])
    return ratio(at.tp * at.tn - at.fp * at.fn, below)


def _all(at: Counts) -> Numbers:
    return at.tp + at.fp + at.tn + at.fn


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that a confusion matrix says: its name for people, and how it is computed (not a number: undefined)."""

    title: str
    attribute: str
    formula: Callable[[Counts], Numbers]
    lower_is_better: bool = False


MEASURES: dict[str, Measure] = {
    "Threshold": Measure("threshold", "thresholds", lambda at: at.threshold, lower_is_better=True),
    "Tpr": Measure("true positive rate", "true_positive_rate", lambda at: ratio(at.tp, at.tp + at.fn)),
    "Fpr": Measure("false positive rate", "false_positive_rate", lambda at: ratio(at.fp, at.fp + at.tn), True),
    "Tnr": Measure("true negative rate", "true_negative_rate", lambda at: ratio(at.tn, at.fp + at.tn)),
    "Fnr": Measure("false negative rate", "false_negative_rate", lambda at: ratio(at.fn, at.tp + at.fn), True),
    "Fdr": Measure("false discovery rate", "false_discovery_rate", lambda at: ratio(at.fp, at.fp + at.tp), True),
    "For": Measure("false omission rate", "false_omission_rate", lambda at: ratio(at.fn, at.tn + at.fn), True),
    "Ppv": Measure("positive predictive value", "positive_predictive_value", lambda at: ratio(at.tp, at.fp + at.tp)),
    "Npv": Measure("negative predictive value", "negative_predictive_value", lambda at: ratio(at.tn, at.tn + at.fn)),
    "PredictedPositiveRate": Measure(
        "predicted positive rate", "predicted_positive_rate", lambda at: ratio(at.tp + at.fp, _all(at))
    ),
    "PredictedNegativeRate": Measure(
        "predicted negative rate", "predicted_negative_rate", lambda at: ratio(at.tn + at.fn, _all(at))
    ),
    "Accuracy": Measure("accuracy", "accuracy", lambda at: ratio(at.tp + at.tn, _all(at))),
    "F1Score": Measure("F1 score", "f1", lambda at: ratio(2 * at.tp, 2 * at.tp + at.fp + at.fn)),
    "Mcc": Measure("Matthews correlation coefficient", "matthews_correlation_coefficient", _mcc),
    "Informedness": Measure(
        "informedness", "informedness", lambda at: ratio(at.tp, at.tp + at.fn) + ratio(at.tn, at.fp + at.tn) - 1
    ),
    "Markedness": Measure(
        "markedness", "markedness", lambda at: ratio(at.tp, at.fp + at.tp) + ratio(at.tn, at.tn + at.fn) - 1
    ),
}
"""Everything that a curve may show, under the part of the class name that stands for it."""


def dedupe(
    keys: Sequence[float] | Numbers, values: Sequence[float] | Numbers, *, maximize: bool = True, round_places: int = 3
) -> dict[float, float]:
    """Return for each key, rounded, the highest (or lowest) of its values, rounded, in the order of the keys.

    Points of which either part is not a number are left out.
    """
    import numpy as np

    # Adding zero turns -0.0 into 0.0, which would be another key in JSON.
    key, value = (np.round(np.asarray(part, dtype=float), round_places) + 0.0 for part in (keys, values))
    there = ~(np.isnan(key) | np.isnan(value))
    key, value = key[there], value[there]
    order = np.lexsort((value if maximize else -value, key))
    key, value = key[order], value[order]
    last = np.append(key[1:] != key[:-1], True) if len(key) else np.zeros(0, dtype=bool)
    return dict(zip(key[last].tolist(), value[last].tolist(), strict=True))
