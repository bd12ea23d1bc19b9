"""Steps of a pipeline: pairs of a name and a transformer, which is any object with `fit` and `transform`."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from simpleml.encoding.faults import short
from simpleml.errors import HashingError, PipelineError, known_names
from simpleml.hashing import hash_value
from simpleml.persistables.parameters import described, shown
from simpleml.registries import class_path

Step: TypeAlias = tuple[str, Any]
"""A name and a transformer; `"passthrough"` or None stands for one that changes nothing."""


def checked_steps(transformers: object) -> list[Step]:
    """Return the steps that were given as pairs, as a mapping, or as a scikit-learn pipeline, which has them as `steps`.

    Raises `PipelineError` for what is no step, and for names that are there twice or could not be told apart in `step__param`.
    """
    given = () if transformers is None else getattr(transformers, "steps", transformers)
    if isinstance(given, Mapping):
        given = list(given.items())
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise PipelineError(
            f"transformers is {short(given)} ({type(given).__name__}), but must be a list of steps such as "
            "[('scale', StandardScaler())]"
        )
    steps: list[Step] = []
    for step in given:
        if not isinstance(step, tuple | list) or len(step) != 2:
            raise PipelineError(
                f"{short(step)} is no step: give pairs of a name and a transformer, ('scale', StandardScaler())"
            )
        steps.append(checked_step(step[0], step[1], [name for name, _ in steps]))
    return steps


def checked_step(name: object, transformer: Any, taken: Sequence[str]) -> Step:
    """Return a step that can stand beside those whose names are `taken`."""
    if not isinstance(name, str) or not name or "__" in name:
        raise PipelineError(f"{short(name)} cannot name a step: give a text that is not empty and has no '__' in it")
    if name in taken:
        raise PipelineError(f"there are two steps {name!r:.80}: give each a name of its own")
    if passes(transformer):
        return name, transformer
    if isinstance(transformer, type):
        raise PipelineError(f"step {name!r:.80} is the class {transformer.__name__}: write {transformer.__name__}(…)")
    if not callable(getattr(transformer, "transform", None)):
        hint = ". What predicts is a model, and takes the pipeline" if hasattr(transformer, "predict") else ""
        raise PipelineError(
            f"step {name!r:.80} is {short(transformer)} ({type(transformer).__name__}), which has no transform{hint}"
        )
    if not callable(getattr(transformer, "fit", None)) and not callable(getattr(transformer, "fit_transform", None)):
        raise PipelineError(
            f"step {name!r:.80} is {short(transformer)} ({type(transformer).__name__}), which has no fit; one that learns nothing "
            "returns itself from it"
        )
    return name, transformer


def passes(transformer: object) -> bool:
    """Whether this stands for a step that changes nothing."""
    return transformer is None or (isinstance(transformer, str) and transformer == "passthrough")


def unfitted(transformer: Any) -> Any:
    """Return a copy with the same parameters that has learned nothing; of an object without parameters a plain copy."""
    if not hasattr(transformer, "get_params") or isinstance(transformer, type):
        return copy.deepcopy(transformer)
    try:
        from sklearn.base import clone
    except ModuleNotFoundError:
        return copy.deepcopy(transformer)
    try:
        return clone(transformer, safe=False)
    except (TypeError, RuntimeError) as error:
        raise PipelineError(
            f"{type(transformer).__name__} cannot be cloned: {error}. Its parameters must be copyable, and its __init__ must keep "
            "them as they are."
        ) from error


def steps_hash(steps: Sequence[Step]) -> str:
    """Return the hash of the steps: their names, their classes, and what they are before they are fitted."""
    parts = []
    for name, transformer in steps:
        try:
            parts.append((name, type(transformer), hash_value(unfitted(transformer))))
        except HashingError as error:
            raise HashingError(f"the step {name!r} has no stable hash: {error}") from error
    return hash_value(parts)


def step_classes(steps: Sequence[Step]) -> list[list[str]]:
    """Return the name of each step and its class as `module:Class`."""
    return [
        [name, "passthrough" if passes(step) else class_path(type(step)) or type(step).__qualname__]
        for name, step in steps
    ]


def described_params(steps: Sequence[Step]) -> dict[str, Any]:
    """Return the parameters of each step: as they are if they are short plain data, else their type and content hash."""
    return {name: described(params) for name, params in _params_of(steps)}


def shown_params(steps: Sequence[Step]) -> dict[str, Any]:
    """Return the parameters of each step: as they are if they are short plain data, else their `repr`, for people."""
    return {name: shown(params) for name, params in _params_of(steps)}


def _params_of(steps: Sequence[Step]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, unfitted(step).get_params(deep=False)) for name, step in steps if hasattr(step, "get_params"))


def with_params(steps: Sequence[Step], params: Mapping[str, Any]) -> list[Step]:
    """Return unfitted copies of the steps with other parameters, given as `step__param`, or another transformer as `step`."""
    changed = {name: unfitted(transformer) for name, transformer in steps}
    for key, value in params.items():
        name, _, param = key.partition("__")
        if name not in changed:
            raise PipelineError(f"there is no step {name!r:.80} for {key!r:.80}; {known_names(changed, near=name)}")
        if not param:
            changed[name] = checked_step(name, value, ())[1]
            continue
        try:
            changed[name].set_params(**{param: value})
        except (AttributeError, TypeError, ValueError) as error:
            raise PipelineError(f"step {name!r} cannot take {param}={short(value)}: {error}") from error
    return list(changed.items())


def fit_steps(steps: Sequence[Step], X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
    """Fit one transformer after the other, each on what those before it make of `X`."""
    known = {name for name, _ in steps}
    for key in fit_params:
        name, separator, _ = key.partition("__")
        if name not in known or not separator:
            raise PipelineError(
                f"fit takes parameters of steps, as step__param, not {key!r:.80}; steps are {known_names(known)}"
            )
    data = X
    for number, (name, transformer) in enumerate(steps):
        if passes(transformer):
            continue
        own = {key.partition("__")[2]: value for key, value in fit_params.items() if key.partition("__")[0] == name}
        method = getattr(transformer, "fit", None)
        if method is None:
            data = _called(transformer.fit_transform, data, y, own)
            continue
        _called(method, data, y, own)
        if number + 1 < len(steps):
            data = transformer.transform(data)


def _called(method: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    """Call a method with `y` if it takes one."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except ValueError:  # a built-in may not tell
        return method(X, y, **params)
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    takes_y = len(places) > 1 or any(each.kind == each.VAR_POSITIONAL for each in parameters)
    return method(X, y, **params) if takes_y else method(X, **params)


def transform_steps(steps: Iterable[Step], X: Any) -> Any:
    """Return what the steps make of `X`, one after the other."""
    data = X
    for _, transformer in steps:
        if not passes(transformer):
            data = transformer.transform(data)
    return data
