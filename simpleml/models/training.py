"""What a model is fitted on: the data it was given, or its pipeline's training split."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simpleml.constants import TRAIN_SPLIT, VALIDATION_SPLIT
from simpleml.errors import HashingError, ModelError, known_names
from simpleml.hashing import hash_value

if TYPE_CHECKING:
    from simpleml.pipelines.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Training:
    """The features, the labels, whatever else `fit` is given, and the validation split if there is one and it is wanted."""

    X: Any
    y: Any
    fit_params: Mapping[str, Any] = field(default_factory=dict)
    validation: Any = None


def training_split(pipeline: Pipeline, owner: object) -> str | None:
    """Return the name of the split that a model is fitted on: TRAIN, or None (every row) of data that is not divided."""
    names = pipeline.get_split_names()
    if not names or TRAIN_SPLIT in names:
        return TRAIN_SPLIT if names else None
    raise ModelError(
        f"{owner!r} is fitted on the split TRAIN, but {pipeline!r} has none; {known_names(names, near=TRAIN_SPLIT)}. Of folds, "
        "take one pipeline for each: for one in pipeline.folds()"
    )


def training_data(
    pipeline: Pipeline, external: Any, fit_params: Mapping[str, Any], *, owner: object, validation: bool
) -> Training:
    """Return the training split as the fitted pipeline transforms it.

    A section that `fit` of the external model has a parameter of this name for (`sample_weight`) goes with it. One label
    column is given as a column, not as a table of one.
    """
    data = pipeline.transform(dataset_split=training_split(pipeline, owner))
    wanted = _parameters_of_fit(external) - {"X", "y"}
    sections = {name: column_of(part) for name, part in data.items() if name in wanted}
    held_out = None
    if validation and VALIDATION_SPLIT in pipeline.get_split_names():
        held_out = pipeline.transform(dataset_split=VALIDATION_SPLIT)
    return Training(data["X"], column_of(data.get("y")), {**sections, **fit_params}, held_out)


def column_of(data: Any) -> Any:
    """Return a table of one column as that column, one of no columns as None, everything else as it is."""
    shape = getattr(data, "shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] not in {0, 1}:
        return data
    if shape[1] == 0:
        return None
    if hasattr(data, "iloc"):  # pandas, dask
        return data.iloc[:, 0]
    if hasattr(data, "to_series"):  # polars
        return data.to_series(0)
    return data[:, 0] if hasattr(data, "__array_interface__") else data


def input_hash(owner: object, name: str, value: Any) -> str | None:
    """Return the content hash of what a model is fitted on; raises `HashingError`, which names it, if it has none."""
    if value is None:
        return None
    try:
        return hash_value(value)
    except HashingError as error:
        raise HashingError(f"{name}, on which {owner!r} is to be fitted, has no stable hash: {error}") from error


def observed_hash(value: Any) -> str | None:
    """Return the content hash of what a pipeline made, for the record; None if it has none, for nothing depends on it."""
    try:
        return None if value is None else hash_value(value)
    except HashingError:
        return None


def _parameters_of_fit(external: Any) -> frozenset[str]:
    """Return the names of the parameters of `external.fit`, if it has one that says."""
    try:
        return frozenset(inspect.signature(external.fit).parameters)
    except (AttributeError, TypeError, ValueError):
        return frozenset()
