"""Metrics of quantities: how far predictions are from what is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simpleml.errors import MetricError
from simpleml.metrics.columns import as_numbers
from simpleml.metrics.kind import Metric
from simpleml.metrics.parameters import share
from simpleml.metrics.samples import Sample

if TYPE_CHECKING:
    from simpleml.metrics.confusion import Numbers


class RegressionMetric(Metric):
    """A metric of a model that predicts a quantity; a subclass fills `distance(true, predicted)`."""

    def _computed(self, sample: Sample) -> object:
        predicted = as_numbers(sample.predictions, "predictions")
        if predicted.ndim != 1:
            raise MetricError(
                f"the predictions have {predicted.shape[1]} columns, but there is one label a row: score each column on its own"
            )
        return self.distance(as_numbers(sample.labels, f"labels of {sample.told}"), predicted)

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return how far the predictions are from what is true."""
        raise MetricError(
            f"{type(self).__name__} does not say what it measures: give it def distance(self, true, predicted)"
        )


class MeanAbsoluteErrorMetric(RegressionMetric):
    """The mean distance."""

    default_name = "mean_absolute_error"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the mean distance."""
        return float(abs(true - predicted).mean())


class MeanSquaredErrorMetric(RegressionMetric):
    """The mean squared distance."""

    default_name = "mean_squared_error"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the mean squared distance."""
        return float(((true - predicted) ** 2).mean())


class RootMeanSquaredErrorMetric(RegressionMetric):
    """The root of the mean squared distance, in the unit of the labels."""

    default_name = "root_mean_squared_error"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the root of the mean squared distance."""
        return float(((true - predicted) ** 2).mean() ** 0.5)


class R2ScoreMetric(RegressionMetric):
    """The share of the labels' variance that the predictions explain; undefined if the labels are all the same."""

    default_name = "r2_score"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the share of the variance that is explained."""
        spread = float(((true - true.mean()) ** 2).sum())
        left = float(((true - predicted) ** 2).sum())
        return 1 - left / spread if spread else float("nan")


class MeanAbsolutePercentageErrorMetric(RegressionMetric):
    """The mean distance as a share of the label (0.1 is ten percent); undefined if a label is zero."""

    default_name = "mean_absolute_percentage_error"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the mean share."""
        return float((abs(true - predicted) / abs(true)).mean()) if true.all() else float("nan")


class MedianAbsoluteErrorMetric(RegressionMetric):
    """The median distance, which a few far predictions do not move."""

    default_name = "median_absolute_error"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the median distance."""
        import numpy as np

        return float(np.median(abs(true - predicted)))


class MaxErrorMetric(RegressionMetric):
    """The largest distance."""

    default_name = "max_error"

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the largest distance."""
        return float(abs(true - predicted).max())


class QuantileLossMetric(RegressionMetric):
    """The mean pinball loss of predictions of a quantile: being too low costs `quantile`, being too high the rest."""

    default_name = "quantile_loss"

    def __init__(self, *, quantile: float = 0.5, **identity: Any) -> None:
        super().__init__(**identity)
        self.config["quantile"] = share("quantile", quantile)

    def distance(self, true: Numbers, predicted: Numbers) -> float:
        """Return the mean pinball loss."""
        import numpy as np

        quantile, above = self.config["quantile"], true - predicted
        return float(np.maximum(quantile * above, (quantile - 1) * above).mean())
