"""Names of features through a pipeline, step by step, and whether its first step takes a table or a column."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simpleml.errors import PipelineError
from simpleml.pipelines.steps import Step, passes


def feature_names(steps: Sequence[Step], names: Sequence[str] | None, sample: Callable[[], Any]) -> list[str]:
    """Return the names of the columns that come out of the last step when `names` go into the first.

    A step that does not say what it makes of names is shown `sample()`, a row as it goes into the first step: a frame or a
    record names its columns itself; of an array with as many columns they keep their names, else they are `step_0`, `step_1`, ….
    """
    known = None if names is None else [str(name) for name in names]
    for number, (name, transformer) in enumerate(steps):
        if passes(transformer):
            continue
        said = _said(transformer, known)
        if said is None:
            seen = sample()
            for _, before in steps[: number + 1]:
                seen = seen if passes(before) else before.transform(seen)
            said = _seen(seen, name, known)
        known = said
    if known is None:
        raise PipelineError("no name of a feature is known: add a dataset, whose columns have names")
    return known


def _said(transformer: Any, names: list[str] | None) -> list[str] | None:
    """Return what the transformer says; None if it says nothing."""
    for method in ("get_feature_names_out", "get_feature_names"):
        ask = getattr(transformer, method, None)
        if ask is None:
            continue
        for given in ((names,), ()):  # a vectorizer takes none, or refuses those of its input
            try:
                return [str(name) for name in ask(*given)]
            except (AttributeError, TypeError, ValueError):
                continue
    return None


def _seen(data: Any, step: str, names: list[str] | None) -> list[str]:
    """Return the names of what came out."""
    columns = getattr(data, "columns", None)
    if columns is not None:
        return [str(name) for name in columns]
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return [str(name) for name in data[0]]
    own = getattr(data, "name", None)
    shape: Any = getattr(data, "shape", (1,))
    if isinstance(own, str) and len(shape) == 1:
        return [own]
    count = int(shape[1]) if len(shape) > 1 else 1
    return names if names is not None and len(names) == count else [f"{step}_{number}" for number in range(count)]


def as_first_step_takes(transformer: Any, X: Any) -> Any:
    """Return a single column as a table of one column, if the first step is one of scikit-learn that takes only tables.

    A dataset with `squeeze_return` hands over a single feature as a column: that is what a vectorizer of texts takes.
    """
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) != 1 or not _takes_only_tables(transformer):
        return X
    return X.to_frame() if hasattr(X, "to_frame") else X.reshape(-1, 1)


def _takes_only_tables(transformer: Any) -> bool:
    inner = transformer
    while True:
        held = getattr(inner, "steps", None) or getattr(inner, "transformer_list", None)
        if not isinstance(held, list) or not held:
            break
        inner = held[0][1]
    tell = getattr(inner, "__sklearn_tags__", None)
    if passes(inner) or tell is None:
        return False
    tags = tell()
    takes = tags.input_tags
    return takes.two_d_array and not (tags.no_validation or takes.one_d_array or takes.string or takes.dict)
