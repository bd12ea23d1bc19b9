"""What a fitted estimator says of each feature and class: coefficients, importances, log-probabilities; short enough for a column."""

from __future__ import annotations

from typing import Any

from simpleml.types import JSON

LEARNED = {
    "coef_": "coefficients",
    "intercept_": "intercept",
    "feature_importances_": "importances",
    "feature_log_prob_": "log_probabilities",
    "class_log_prior_": "class_log_priors",
    "class_prior_": "class_priors",
    "theta_": "class_means",
    "var_": "class_variances",
    "n_support_": "support_vectors",  # how many for each class
    "cluster_centers_": "centers",
    "means_": "means",
    "weights_": "weights",
    "explained_variance_ratio_": "explained_variance",
}
"""Attribute of the estimator → key in `feature_metadata`."""

MOST = 500
"""The most numbers of one attribute that are written down."""


def learned(estimator: Any) -> dict[str, JSON]:
    """Return what `estimator` has learned, by the keys of `LEARNED`; what is longer than `MOST` numbers is left out."""
    found: dict[str, JSON] = {}
    for attribute, key in LEARNED.items():
        plain = _numbers(getattr(estimator, attribute, None))
        if plain is not None:
            found[key] = plain
    return found


def _numbers(value: Any) -> JSON:
    """Return a short array, sparse ones included, as numbers in lists; None if it is something else."""
    size = getattr(value, "shape", None)
    if not isinstance(size, tuple):
        return float(value) if isinstance(value, float) else None
    count = 1
    for side in size:
        count *= side
    if count > MOST:
        return None
    if hasattr(value, "toarray"):
        value = value.toarray()
    if getattr(getattr(value, "dtype", None), "kind", "O") not in "fiu":
        return None
    plain: JSON = value.tolist()
    return plain
