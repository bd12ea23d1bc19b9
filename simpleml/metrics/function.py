"""`metric`: any function of labels and predictions, scores or probabilities, as a metric, by one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import new_class
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast, overload

from simpleml.encoding.faults import short
from simpleml.errors import MetricError
from simpleml.hashing import hash_value
from simpleml.metrics.columns import distinct, positive_scores
from simpleml.metrics.kind import Metric, Needs, prefixed
from simpleml.metrics.samples import Sample
from simpleml.persistables.classes import classes
from simpleml.persistables.query import Query

if TYPE_CHECKING:
    from simpleml.metrics.columns import Array

Function = Callable[..., Any]

_NEEDS = ("predict", "score", "proba")


class FunctionMetric(Metric):
    """What a function of the labels and of what the model says returns: a number, or a mapping of text to numbers.

    The function is a part of the identity: a library's by its name, one of yours by its source. The record refers to it by
    `module:name`; the values are read without it, wherever the record is read. `needs` says what it compares the labels with:
    `"predict"`, `"score"` (what puts rows into an order) or `"proba"`; of two classes the scores and probabilities are those
    of the second one, or of `pos_label` if that is among its keywords. `params` are further keywords for it.
    """

    _preset: ClassVar[Mapping[str, Any]] = {}  # of a class that `metric` made: what the keywords default to

    def __init__(
        self,
        *,
        function: Function | str | None = None,
        metric: str | None = None,
        needs: Needs | None = None,
        params: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        given = {"function": function, "metric": metric, "needs": needs, "params": params}
        wanted = {**self._preset, **{key: value for key, value in given.items() if value is not None}}
        found = _function(wanted.get("function"))
        path = function_path(found)
        chosen = wanted.get("needs", "predict")
        if chosen not in _NEEDS:
            raise MetricError(f"needs is {short(chosen)}, but must be one of {', '.join(map(repr, _NEEDS))}")
        label = str(wanted.get("metric") or getattr(found, "__name__", "function").strip("<>"))
        if identity.get("name") is None:
            identity["name"] = prefixed(label, identity.get("dataset_split"))
        super().__init__(**identity)
        self._function = found
        keywords = dict(wanted.get("params") or {})
        self.config.update(metric=label, function=path, function_hash=hash_value(found), params=keywords)
        self.config["needs"] = chosen

    @classmethod
    def preset(cls) -> Mapping[str, Any]:
        """Return what the keywords default to: those that `metric` was given for this class."""
        return cls._preset

    def _base_name(self) -> str:
        return str(self.config.get("metric", "function"))

    @property
    def function(self) -> Function:
        """The function; of a loaded metric found by its reference, if its module is imported and it is still the same."""
        held: Function | None = self.__dict__.get("_function")
        if held is None:
            held = self._function = self._found_function()
        return held

    def _found_function(self) -> Function:
        """Return the function that the record refers to. Nothing is imported: a record may not choose what runs here."""
        path = self.config.get("function")
        module, _, qualname = str(path).partition(":")
        found = None
        if path and module.partition(".")[0] not in sys.stdlib_module_names:
            found = _attribute(sys.modules.get(module), qualname)
        if found is None:
            told = f"import {module} first" if path else "it had no name that another process could find it by"
            raise MetricError(
                f"the function of {self!r} is not here ({told}): its values can be read, but to score again, make it anew with "
                f"metric({self.config.get('metric')!r}, function)"
            )
        if hash_value(found) != self.config.get("function_hash"):
            raise MetricError(
                f"{path} is not the function any more that {self!r} was scored with: make a new metric of it"
            )
        return found

    def compute(self, labels: Array, outputs: Array) -> object:
        """Return what the function makes of both."""
        return self.function(labels, outputs, **self.config.get("params", {}))

    def _outputs(self, sample: Sample) -> Array:
        needs = self.config.get("needs", "predict")
        if needs == "predict":
            return sample.predictions
        found = sample.probabilities if needs == "proba" else sample.scores
        if found.ndim == 2 and found.shape[1] <= 2:
            known = sample.classes or distinct(sample.labels)
            chosen = self.config.get("params", {}).get("pos_label", known[-1])
            return positive_scores(found, known, chosen)
        return found

    @classmethod
    def query(cls, **filters: object) -> Query[Self]:
        """Return the saved metrics that match; of a class that `metric` made, those of this metric."""
        own = cls._preset.get("metric")
        return super().query(**filters) if own is None else super().query(metadata__config__metric=own, **filters)

    @classmethod
    def from_dict(cls, **row: Any) -> Self:
        """Return the object that a record stands for, of the class that `metric` made for it, if this process has that."""
        config = (row.get("metadata_") or {}).get("config") or {}
        made = classes.live().get(str(config.get("metric"))) if cls is FunctionMetric else None
        if made is not None and issubclass(made, FunctionMetric) and made is not cls:
            own = made.preset().get("function")
            if own is not None and hash_value(own) == config.get("function_hash"):
                return cast("Self", made.from_dict(**row))
        return super().from_dict(**row)

    def __reduce__(self) -> tuple[Any, ...]:
        made = super().__reduce__()
        # A class that `metric` made cannot be imported; it is a preset of this one, and the instance has it all.
        return (_blank, (), *made[2:]) if self._preset and made[1] == (type(self),) else made


def _blank() -> FunctionMetric:
    return FunctionMetric.__new__(FunctionMetric)


@overload
def metric(name: Function, /) -> type[FunctionMetric]: ...
@overload
def metric(
    name: str | None = None, /, *, needs: Needs = "predict", **params: Any
) -> Callable[[Function], type[FunctionMetric]]: ...
@overload
def metric(
    name: str, function: Function | str, /, *, needs: Needs = "predict", **params: Any
) -> type[FunctionMetric]: ...
def metric(
    name: str | Function | None = None,
    function: Function | str | None = None,
    /,
    *,
    needs: Needs = "predict",
    **params: Any,
) -> Any:
    """Return the metric class that a function makes, whose objects are metrics like others.

    After `accuracy = metric("accuracy", accuracy_score)` there is `accuracy(dataset_split="TEST")`. Also a decorator: `@metric`, `@metric("gain", needs="score")`; the function itself is then `gain.call(labels, scores)`.
    Further keywords are given to the function at each call. Records are those of a `FunctionMetric`, which every process
    can read; the class is registered under its name, and made again under it, the later one takes the place of the first.
    """
    if callable(name):
        return _made(getattr(name, "__name__", "function"), name, needs, params)
    if function is None:
        return lambda decorated: _made(name or decorated.__name__, decorated, needs, params)
    return _made(str(name), function, needs, params)


def _made(name: str, given: object, needs: Needs, params: Mapping[str, Any]) -> type[FunctionMetric]:
    function = _function(given)
    members = {
        "__module__": FunctionMetric.__module__,
        "__qualname__": FunctionMetric.__qualname__,
        "__doc__": function.__doc__ or f"What {name} says.",
        "registered_name": name,
        "call": staticmethod(function),
        "_preset": {"function": function, "metric": name, "needs": needs, "params": dict(params)},
    }
    made = cast("type[FunctionMetric]", new_class(name, (FunctionMetric,), exec_body=lambda body: body.update(members)))
    # It is found under its own name; what it makes is recorded as what every process knows.
    type.__setattr__(made, "registered_name", FunctionMetric.registered_name)
    return made


def _function(given: Any) -> Function:
    """Return a function that was given as itself or as `module:name`."""
    if isinstance(given, str):
        module, _, qualname = given.partition(":")
        try:
            found = _attribute(import_module(module), qualname) if qualname else None
        except (ImportError, ValueError) as error:
            raise MetricError(f"function is {given!r:.80}, but {module} cannot be imported: {error}") from error
        if found is None:
            raise MetricError(f"function is {given!r:.80}, but there is no such function; it is told as 'module:name'")
        return found
    if not callable(given) or isinstance(given, type):
        raise MetricError(
            f"function is {short(given)}, but a metric needs a function of labels and predictions: give one, or its "
            "'module:name', such as 'sklearn.metrics:accuracy_score'"
        )
    return cast("Function", given)


def _attribute(place: Any, qualname: str) -> Function | None:
    """Return the function under a name of a module; of a metric that decorates one, the function in it."""
    for part in qualname.split("."):
        place = getattr(place, part, None)
    if isinstance(place, type) and issubclass(place, FunctionMetric):
        place = place.preset().get("function")
    return place if callable(place) and not isinstance(place, type) else None


def function_path(function: Function) -> str | None:
    """Return `module:name` under which other processes find a function, by the shortest module that offers it, or None."""
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or module == "__main__" or "<" in qualname:
        return None
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        place = ".".join(parts[:length])
        if _attribute(sys.modules.get(place), qualname) is function:
            return f"{place}:{qualname}"
    return f"{module}:{qualname}"  # a function that is being decorated is not there yet
