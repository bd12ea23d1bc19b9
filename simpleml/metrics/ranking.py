"""Metrics of rankings: the area under the precision-recall curve, and the discounted gain of the first places."""

from __future__ import annotations

from typing import Any, ClassVar

from simpleml.errors import MetricError
from simpleml.metrics.classification import BinaryClassificationMetric, ranking_scores
from simpleml.metrics.columns import as_numbers
from simpleml.metrics.kind import Metric, Needs
from simpleml.metrics.parameters import whole_number
from simpleml.metrics.ranks import average_precision, ndcg
from simpleml.metrics.samples import Sample


class AveragePrecisionMetric(BinaryClassificationMetric):
    """The area under the precision-recall curve, as a sum of steps; undefined if no row is positive."""

    needs: ClassVar[Needs] = "score"
    default_name = "average_precision"

    def _computed(self, sample: Sample) -> object:
        return average_precision(self._truths(sample), ranking_scores(self, sample))


class NdcgMetric(Metric):
    """The normalized discounted cumulative gain of the order in which the model's scores put the rows.

    The labels are the gains. With `group`, the name of a section of the split, each group is a ranking of its own, and the
    mean over the groups counts; `k` counts the first places only. A ranking in which nothing gains anything counts as 0.
    """

    needs: ClassVar[Needs] = "score"
    default_name = "ndcg"

    def __init__(self, *, k: int | None = None, group: str | None = None, **identity: Any) -> None:
        super().__init__(**identity)
        self.config.update(k=None if k is None else whole_number("k", k), group=group)

    def _computed(self, sample: Sample) -> object:
        import numpy as np

        gains, scores = as_numbers(sample.labels, f"labels of {sample.told}"), sample.scores
        if scores.ndim == 2 and scores.shape[1] == 2:  # relevant or not: the probability that it is
            scores = scores[:, 1]
        if scores.ndim != 1:
            raise MetricError(
                f"the model gives {scores.shape[1]} scores a row, but a ranking goes by one: take a regression or a ranker"
            )
        if gains.min() < 0:
            raise MetricError(f"a label is {gains.min():g}, but a gain is never below 0")
        scores, group, k = as_numbers(scores, "scores"), self.config["group"], self.config["k"]
        if group is None:
            return ndcg(gains, scores, k)
        _, belongs = np.unique(sample.section(group, f"values of the section {group!r}"), return_inverse=True)
        order = np.argsort(belongs, kind="stable")
        cuts = np.flatnonzero(np.diff(belongs[order])) + 1
        return float(np.mean([ndcg(gains[rows], scores[rows], k) for rows in np.split(order, cuts)]))
