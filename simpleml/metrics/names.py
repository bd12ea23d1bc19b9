"""The names of the binary curves, generated from two short lists: SimpleML's class names and default names."""

from __future__ import annotations

VALUES: dict[str, str] = {
    "Threshold": "threshold",
    "Tpr": "tpr",
    "Fpr": "fpr",
    "Tnr": "tnr",
    "Fnr": "fnr",
    "Fdr": "fdr",
    "For": "for",
    "Ppv": "ppv",
    "Npv": "npv",
    "PredictedPositiveRate": "predicted_positive_rate",
    "PredictedNegativeRate": "predicted_negative_rate",
    "Accuracy": "accuracy",
    "F1Score": "f1_score",
    "Mcc": "mcc",
    "Informedness": "informedness",
    "Markedness": "markedness",
}
"""What a curve may show: the part of the class name, and the part of the default name."""

CONSTRAINTS: tuple[str, ...] = (
    "Threshold",
    "Fpr",
    "Tpr",
    "Tnr",
    "Fnr",
    "Fdr",
    "For",
    "Ppv",
    "Npv",
    "PredictedPositiveRate",
    "PredictedNegativeRate",
)
"""What a curve may be read by."""

CURVES: dict[str, tuple[str, str]] = {
    f"{constraint}{value}Metric": (constraint, value)
    for constraint in CONSTRAINTS
    for value in VALUES
    if value != constraint
}
"""Class name → constraint and value, of every curve there is."""


def curve_name(constraint: str, value: str) -> str:
    """Return the default name of a curve: `fpr_tpr_curve`."""
    return f"{VALUES[constraint]}_{VALUES[value]}_curve"
