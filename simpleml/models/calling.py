"""The methods of an external model, found by name; what it has not is told together with what it has."""

from __future__ import annotations

from typing import Any

from simpleml.errors import ModelError

METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "inverse_transform",
    "score",
    "fit_predict",
    "fit_transform",
)
"""What a fitted model may be asked for."""


def method_of(external: Any, name: str, owner: object) -> Any:
    """Return a method of `external`; raises `ModelError` if it has none of this name, or not with these parameters."""
    try:
        return getattr(external, name)
    except AttributeError as error:
        there = [method for method in METHODS if hasattr(external, method)]
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise ModelError(
            f"{owner!r}: {type(external).__name__} has no {name}(){cause}; it has {', '.join(there) or 'fit only'}"
        ) from error
