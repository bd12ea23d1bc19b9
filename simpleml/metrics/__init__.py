"""Metrics: persistables that say how good a model is.

`kind` has the base of all; `classification` and `curves` are the binary family, `multiclass`, `regression`, `ranking`
and `calibration` the others; `function` makes a metric of any function, `scorer` of any scorer of scikit-learn. Everything is
resolved when it is first used; the 165 curves (`FprTprMetric`, `ThresholdPpvMetric`, …) are generated from one table.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from simpleml.errors import known_names
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

_WHERE = {
    "AccuracyMetric": "classification",
    "AggregateBinaryClassificationMetric": "classification",
    "AveragePrecisionMetric": "ranking",
    "BalancedAccuracyMetric": "multiclass",
    "BinaryClassificationMetric": "classification",
    "BinaryCurveMetric": "curves",
    "BrierScoreMetric": "calibration",
    "CalibrationCurveMetric": "calibration",
    "ClassificationMetric": "classification",
    "ConfusionMatrixMetric": "multiclass",
    "ExpectedCalibrationErrorMetric": "calibration",
    "F1ScoreMetric": "classification",
    "FprMetric": "classification",
    "FunctionMetric": "function",
    "LogLossMetric": "calibration",
    "MacroF1Metric": "multiclass",
    "MacroPrecisionMetric": "multiclass",
    "MacroRecallMetric": "multiclass",
    "MaxErrorMetric": "regression",
    "MeanAbsoluteErrorMetric": "regression",
    "MeanAbsolutePercentageErrorMetric": "regression",
    "MeanSquaredErrorMetric": "regression",
    "MedianAbsoluteErrorMetric": "regression",
    "Metric": "kind",
    "MicroF1Metric": "multiclass",
    "MicroPrecisionMetric": "multiclass",
    "MicroRecallMetric": "multiclass",
    "MulticlassRocAucMetric": "multiclass",
    "NdcgMetric": "ranking",
    "QuantileLossMetric": "regression",
    "R2ScoreMetric": "regression",
    "RegressionMetric": "regression",
    "RocAucMetric": "classification",
    "RootMeanSquaredErrorMetric": "regression",
    "ScorerMetric": "scorer",
    "TopKAccuracyMetric": "multiclass",
    "TprMetric": "classification",
    "WeightedF1Metric": "multiclass",
    "WeightedPrecisionMetric": "multiclass",
    "WeightedRecallMetric": "multiclass",
    "metric": "function",
}


def __getattr__(name: str) -> Any:
    module = "curves" if name in CURVES else _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'simpleml.metrics' has no attribute {name!r}; {known_names(__all__, near=name)}")
    value = getattr(importlib.import_module(f"simpleml.metrics.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
