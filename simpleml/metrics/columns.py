"""Labels and what a model says of them, from whatever holds them, as checked numpy arrays of one length."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from simpleml.encoding.faults import short
from simpleml.errors import MetricError, MissingDependencyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simpleml.metrics.confusion import Numbers, Truths

    Array: TypeAlias = NDArray[Any]


def as_array(data: Any) -> Array:
    """Return data of any family as an array; what is lazy is computed."""
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        raise MissingDependencyError("metrics need numpy: pip install 'simpleml[sklearn]'") from error
    if hasattr(data, "to_numpy") and not hasattr(data, "compute"):
        return np.asarray(data.to_numpy())
    return np.asarray(data)


def as_column(data: Any, what: str) -> Array:
    """Return data of one column as an array of one dimension, without a hole; `what` names it in errors."""
    if data is None:
        raise MetricError(
            f"there are no {what}, so nothing can be compared: give the dataset label_columns=[…], or score(X=…, y=…)"
        )
    found = as_array(data)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise MetricError(
            f"the {what} have the shape {found.shape}, but a metric compares one value a row: score each column by a metric "
            "of its own"
        )
    if not len(found):
        raise MetricError(f"there are no rows among the {what}, so there is nothing to score: is the split empty?")
    _refuse_holes(found, what)
    return found


def _refuse_holes(found: Array, what: str) -> None:
    """Raise `MetricError` if a value is missing, and say where."""
    import numpy as np

    if found.dtype.kind in "fc":
        missing = np.isnan(found)
    elif found.dtype.kind in "Mm":
        missing = np.isnat(found)
    elif found.dtype == object:
        pandas = sys.modules.get("pandas")
        missing = np.array([item is None or item != item for item in found]) if pandas is None else pandas.isna(found)  # noqa: PLR0124 - NaN alone differs from itself
    else:
        return
    if missing.any():
        rows = int(missing.reshape(len(found), -1).any(axis=1).sum())
        first = int(missing.reshape(len(found), -1).any(axis=1).argmax())
        raise MetricError(
            f"{rows} of the {len(found)} {what} are missing (NaN), the first of them in row {first}: leave these rows out, or "
            "look at what made them"
        )


def as_output(data: Any, what: str, rows: int) -> Array:
    """Return what a model said: one value or one row of values for each of `rows` rows, none of them NaN."""
    if data is None:
        raise MetricError(f"the model gave None as {what}: its method has to return one value a row")
    found = as_array(data)
    if found.ndim == 2 and found.shape[1] == 1 and what != "probabilities":
        found = found[:, 0]
    if found.ndim not in (1, 2) or len(found) != rows:
        raise MetricError(
            f"there are {rows} labels, but {what} of the shape {found.shape}: they have to be of the same rows"
        )
    _refuse_holes(found, what)
    return found


def as_numbers(found: Array, what: str) -> Numbers:
    """Return an array of floats; raises `MetricError` for labels that are no numbers."""
    try:
        return found.astype(float)
    except (TypeError, ValueError) as error:
        raise MetricError(
            f"the {what} are {short(found[:3].tolist())} …, which are no numbers: this metric compares quantities"
        ) from error


def distinct(*columns: Array) -> list[Any]:
    """Return the values there are in any of the columns, sorted, as Python's own."""
    import numpy as np

    found: set[Any] = set()
    for column in columns:
        found.update(np.unique(column).tolist() if column.dtype != object else set(column.tolist()))
    return in_order(found)


def in_order(found: set[Any]) -> list[Any]:
    """Return labels sorted; raises `MetricError` for types that do not mix."""
    try:
        return sorted(found)
    except TypeError as error:
        raise MetricError(
            f"the labels are of types that have no order ({short(sorted(found, key=str))}): make them all text or all numbers"
        ) from error


def positive_label(known: list[Any], pos_label: Any, what: str) -> Any:
    """Return which label is the positive one: `pos_label` if it is given, else 1 of 0 and 1 or of -1 and 1.

    Raises `MetricError` if the labels do not say, or if none of them is `pos_label`.
    """
    if pos_label is not None:
        if pos_label not in known:
            raise MetricError(f"pos_label is {short(pos_label)}, but the {what} are {short(known)}: give one of these")
        return pos_label
    if set(known) <= {0, 1} or set(known) <= {-1, 1}:
        return 1
    if len(known) > 2:
        raise MetricError(
            f"the {what} are of {len(known)} classes ({short(known)}), but this metric is of two: choose one of them with "
            "pos_label=…, which is then compared with all others, or take a metric of several classes"
        )
    raise MetricError(f"the {what} are {short(known)}, which does not say which is the positive one: give pos_label=…")


def positive_scores(outputs: Array, classes: list[Any] | None, positive: Any) -> Numbers:
    """Return the column of probabilities that belongs to the positive label; a single column is taken as just that.

    `classes` are those of the columns, if the model says; else the columns are those of two labels in order.
    """
    if outputs.ndim == 1:
        return as_numbers(outputs, "probabilities")
    if classes is not None and len(classes) == outputs.shape[1]:
        if positive not in classes:
            raise MetricError(f"the model knows the classes {short(classes)}, and {short(positive)} is none of them")
        return as_numbers(outputs[:, classes.index(positive)], "probabilities")
    if outputs.shape[1] == 1:
        return as_numbers(outputs[:, 0], "probabilities")
    if outputs.shape[1] == 2 and positive in (1, True):
        return as_numbers(outputs[:, 1], "probabilities")
    raise MetricError(
        f"the probabilities have {outputs.shape[1]} columns, and the model does not say which is that of {short(positive)}: "
        "label the classes 0 and 1, or give the model classes_"
    )


def truths(labels: Array, positive: Any) -> Truths:
    """Return which labels are the positive one."""
    import numpy as np

    return np.asarray(labels == positive, dtype=bool)
