"""Metrics: persistables that say how good a model is.

`kind` has the base of all; `classification` and `curves` are the binary family, `multiclass`, `regression`, `ranking`
and `calibration` the others; `function` makes a metric of any function, `scorer` of any scorer of scikit-learn. Everything is
resolved when it is first used; the 165 curves (`FprTprMetric`, `ThresholdPpvMetric`, …) are generated from one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpleml.lazy import lazy_names
from simpleml.metrics.names import CURVES

if TYPE_CHECKING:
    from simpleml.metrics.calibration import (
        BrierScoreMetric,
        CalibrationCurveMetric,
        ExpectedCalibrationErrorMetric,
        LogLossMetric,
    )
    from simpleml.metrics.classification import (
        AccuracyMetric,
        AggregateBinaryClassificationMetric,
        BinaryClassificationMetric,
        ClassificationMetric,
        F1ScoreMetric,
        FprMetric,
        RocAucMetric,
        TprMetric,
    )
    from simpleml.metrics.curves import BinaryCurveMetric
    from simpleml.metrics.function import FunctionMetric, metric
    from simpleml.metrics.kind import Metric
    from simpleml.metrics.multiclass import (
        BalancedAccuracyMetric,
        ConfusionMatrixMetric,
        MacroF1Metric,
        MacroPrecisionMetric,
        MacroRecallMetric,
        MicroF1Metric,
        MicroPrecisionMetric,
        MicroRecallMetric,
        MulticlassRocAucMetric,
        TopKAccuracyMetric,
        WeightedF1Metric,
        WeightedPrecisionMetric,
        WeightedRecallMetric,
    )
    from simpleml.metrics.ranking import AveragePrecisionMetric, NdcgMetric
    from simpleml.metrics.regression import (
        MaxErrorMetric,
        MeanAbsoluteErrorMetric,
        MeanAbsolutePercentageErrorMetric,
        MeanSquaredErrorMetric,
        MedianAbsoluteErrorMetric,
        QuantileLossMetric,
        R2ScoreMetric,
        RegressionMetric,
        RootMeanSquaredErrorMetric,
    )
    from simpleml.metrics.scorer import ScorerMetric

__all__ = [
    "AccuracyMetric",
    "AggregateBinaryClassificationMetric",
    "AveragePrecisionMetric",
    "BalancedAccuracyMetric",
    "BinaryClassificationMetric",
    "BinaryCurveMetric",
    "BrierScoreMetric",
    "CalibrationCurveMetric",
    "ClassificationMetric",
    "ConfusionMatrixMetric",
    "ExpectedCalibrationErrorMetric",
    "F1ScoreMetric",
    "FprMetric",
    "FunctionMetric",
    "LogLossMetric",
    "MacroF1Metric",
    "MacroPrecisionMetric",
    "MacroRecallMetric",
    "MaxErrorMetric",
    "MeanAbsoluteErrorMetric",
    "MeanAbsolutePercentageErrorMetric",
    "MeanSquaredErrorMetric",
    "MedianAbsoluteErrorMetric",
    "Metric",
    "MicroF1Metric",
    "MicroPrecisionMetric",
    "MicroRecallMetric",
    "MulticlassRocAucMetric",
    "NdcgMetric",
    "QuantileLossMetric",
    "R2ScoreMetric",
    "RegressionMetric",
    "RocAucMetric",
    "RootMeanSquaredErrorMetric",
    "ScorerMetric",
    "TopKAccuracyMetric",
    "TprMetric",
    "WeightedF1Metric",
    "WeightedPrecisionMetric",
    "WeightedRecallMetric",
    "metric",
]
__all__ += list(CURVES)

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "calibration": [
            "BrierScoreMetric",
            "CalibrationCurveMetric",
            "ExpectedCalibrationErrorMetric",
            "LogLossMetric",
        ],
        "classification": [
            "AccuracyMetric",
            "AggregateBinaryClassificationMetric",
            "BinaryClassificationMetric",
            "ClassificationMetric",
            "F1ScoreMetric",
            "FprMetric",
            "RocAucMetric",
            "TprMetric",
        ],
        "curves": ["BinaryCurveMetric", *CURVES],
        "function": ["FunctionMetric", "metric"],
        "kind": ["Metric"],
        "multiclass": [
            "BalancedAccuracyMetric",
            "ConfusionMatrixMetric",
            "MacroF1Metric",
            "MacroPrecisionMetric",
            "MacroRecallMetric",
            "MicroF1Metric",
            "MicroPrecisionMetric",
            "MicroRecallMetric",
            "MulticlassRocAucMetric",
            "TopKAccuracyMetric",
            "WeightedF1Metric",
            "WeightedPrecisionMetric",
            "WeightedRecallMetric",
        ],
        "ranking": ["AveragePrecisionMetric", "NdcgMetric"],
        "regression": [
            "MaxErrorMetric",
            "MeanAbsoluteErrorMetric",
            "MeanAbsolutePercentageErrorMetric",
            "MeanSquaredErrorMetric",
            "MedianAbsoluteErrorMetric",
            "QuantileLossMetric",
            "R2ScoreMetric",
            "RegressionMetric",
            "RootMeanSquaredErrorMetric",
        ],
        "scorer": ["ScorerMetric"],
    },
)
