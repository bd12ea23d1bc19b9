"""Metrics of probabilities: how well they say how often something happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from simpleml.errors import MetricError
from simpleml.metrics.classification import BinaryClassificationMetric, ClassificationMetric
from simpleml.metrics.kind import Needs
from simpleml.metrics.multiclass import class_columns
from simpleml.metrics.parameters import one_of, whole_number
from simpleml.metrics.samples import Sample

if TYPE_CHECKING:
    from simpleml.metrics.confusion import Numbers, Truths


class LogLossMetric(ClassificationMetric):
    """The mean negative logarithm of the probability that the model gives to each row's own class, of any number of classes.

    A probability of 0 or 1 counts as the nearest number that has a finite logarithm.
    """

    needs: ClassVar[Needs] = "proba"
    default_name = "log_loss"

    def _computed(self, sample: Sample) -> object:
        import numpy as np

        given, own, _ = class_columns(sample)
        least = np.finfo(sample.probabilities.dtype if sample.probabilities.dtype.kind == "f" else float).eps
        mine = given[np.arange(len(own)), own]
        return float(-np.log(mine.clip(least, 1 - least)).mean())


class BrierScoreMetric(BinaryClassificationMetric):
    """The mean squared distance of the probability from what happened (1 for a positive row, 0 for others)."""

    needs: ClassVar[Needs] = "proba"
    default_name = "brier_score"

    def _computed(self, sample: Sample) -> object:
        return float(((self._scores(sample) - self._truths(sample)) ** 2).mean())


class _BinnedMetric(BinaryClassificationMetric):
    """Probabilities in bins: of equal width (`strategy="uniform"`), or with equally many rows (`"quantile"`)."""

    needs: ClassVar[Needs] = "proba"

    def __init__(self, *, bins: int = 10, strategy: str = "uniform", **identity: Any) -> None:
        super().__init__(**identity)
        self.config["bins"] = whole_number("bins", bins)
        self.config["strategy"] = one_of("strategy", strategy, ("uniform", "quantile"))

    def _binned(self, sample: Sample) -> tuple[Numbers, Numbers, Numbers]:
        """Return the mean probability, the share of positive rows and the number of rows of each bin that has any."""
        import numpy as np

        scores, positive = self._scores(sample), self._truths(sample)
        if scores.min() < 0 or scores.max() > 1:
            raise MetricError(
                f"{self!r} is about probabilities, but the model gives scores from {scores.min():g} to {scores.max():g}"
            )
        return binned(positive, scores, np.linspace(0, 1, self.config["bins"] + 1), self.config["strategy"])


def binned(positive: Truths, scores: Numbers, edges: Numbers, strategy: str) -> tuple[Numbers, Numbers, Numbers]:
    """Return the mean score, the share of positive rows and the number of rows of each bin that has any."""
    import numpy as np

    inner = (np.percentile(scores, edges * 100) if strategy == "quantile" else edges)[1:-1]
    places = np.searchsorted(inner, scores)
    rows = np.bincount(places, minlength=len(edges) - 1)
    there = rows > 0
    total, true = (np.bincount(places, weights=each, minlength=len(rows))[there] for each in (scores, positive))
    return total / rows[there], true / rows[there], rows[there].astype(float)


class CalibrationCurveMetric(_BinnedMetric):
    """For each bin that has rows: the mean probability (`predicted`), the share of positive rows (`observed`), the `rows`."""

    default_name = "calibration_curve"

    def _computed(self, sample: Sample) -> object:
        predicted, observed, rows = self._binned(sample)
        return {"predicted": predicted, "observed": observed, "rows": rows.astype(int)}

    def axis_titles(self) -> tuple[str, str]:
        """Return what the two axes of its figure are called."""
        return "mean predicted probability", "share of positive rows"


class ExpectedCalibrationErrorMetric(_BinnedMetric):
    """The distance of the probabilities from what happened, averaged over the bins by how many rows they have."""

    default_name = "expected_calibration_error"

    def _computed(self, sample: Sample) -> object:
        predicted, observed, rows = self._binned(sample)
        return float((abs(predicted - observed) * rows).sum() / rows.sum())
