"""What a model's record says of an estimator: its class and the features it was fitted on, as plain values."""

from __future__ import annotations

from typing import Any

from simpleml.models.features import learned
from simpleml.persistables.parameters import NOT_PLAIN, plain
from simpleml.registries import class_path
from simpleml.types import JSON

_CLASSES = 100


def estimator_path(estimator: Any) -> str:
    """Return `module:Class`; of a class that cannot be imported its name alone."""
    return class_path(type(estimator)) or type(estimator).__qualname__


def described_features(estimator: Any) -> dict[str, JSON]:
    """Return the number and names of the features, the classes (if there are few) and what was learned of each, as far as known."""
    described: dict[str, JSON] = {}
    count = getattr(estimator, "n_features_in_", None)
    if count is not None:
        described["count"] = int(count)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        described["names"] = [str(name) for name in names]
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) <= _CLASSES:
        known = plain(classes.tolist() if hasattr(classes, "tolist") else classes)
        if known is not NOT_PLAIN:
            described["classes"] = known
    return {**described, **learned(estimator)}


def row_count(data: Any) -> int | None:
    """Return how many rows `data` has, if it says so without counting them."""
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0]) if isinstance(shape[0], int) else None
    return len(data) if hasattr(data, "__len__") else None
