"""`FunctionModel`: a plain function as a model."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simpleml.errors import ModelError
from simpleml.models.model import Model
from simpleml.persistables import Artifact
from simpleml.types import JSON


class FunctionModel(Model):
    """A function that predicts, with a name and versions: `FunctionModel(rule)` predicts `rule(X)` and needs no fitting.

    With `fit=learn` it is fitted first: `learn(X, y)` returns whatever was learned, and it predicts `rule(learned, X)`.
    `params={…}`, plain values, are keywords of `learn` if there is one, else of `rule`. The `hash_` covers the source of the
    functions (the qualified name of a library's), the parameters and what it was fitted on. What is stored is the plain
    function: by reference if it is at the top of a module, else by value. What was learned is an artifact of its own.
    """

    learner: Artifact[Any] = Artifact(identity=False, doc="The function that learns, if there is one.")
    learned: Artifact[Any] = Artifact(identity=False, doc="What it returned.")

    def __init__(
        self, function: Any = None, /, *, fit: Any = None, params: Mapping[str, Any] | None = None, **identity: Any
    ) -> None:
        external = identity.pop("external_model", None) if function is None else function
        super().__init__(**identity)
        self.config["arguments"] = dict(params or {})
        if fit is not None:
            self.learner = _function(self, fit)
        self._take(_function(self, external), None)

    def predict(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return what the function returns for `X`, which goes through the pipeline first unless `transform=False`."""
        if not self.is_fitted:
            self._refuse_unfitted("predict()")
        features = self._transformed(X, transform)
        if self.has_artifact("learner"):
            return self.external_model(self.learned, features, **params)
        return self.external_model(features, **{**self.config["arguments"], **params})

    # the hooks of Model

    def _reset(self, unfitted: Any) -> None:
        super()._reset(unfitted)
        if self.has_artifact("learned"):
            del self.learned

    def _unfitted(self, external: Any) -> Any:
        return external

    def _params_of(self, external: Any) -> dict[str, Any]:
        learner = {"fit": self.learner} if self.has_artifact("learner") else {}
        return {"function": external, **learner, **self.config["arguments"]}

    def _with_params(self, external: Any, params: Mapping[str, Any]) -> Any:
        self.config["arguments"] = {**self.config["arguments"], **params}
        return external

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        if self.has_artifact("learner"):
            given = {**self.config["arguments"], **fit_params}
            self.learned = self.learner(X, **given) if y is None else self.learner(X, y, **given)
        return external

    def _features_of(self, external: Any) -> dict[str, JSON]:
        return {}

    def _passes(self, external: Any) -> bool:
        """Whether it could predict as it is: it has learned what it needs, or needs nothing."""
        return not self.has_artifact("learner") or self.has_artifact("learned")


def _function(owner: FunctionModel, given: Any) -> Any:
    """Return what was given if it is a function, or an object that is called like one."""
    if not callable(given) or isinstance(given, type):
        kind = type(owner).__name__
        raise ModelError(
            f"{kind} takes functions, but was given {given!r:.80} ({type(given).__name__}): write {kind}(rule), where rule(X) returns "
            f"what is predicted, or {kind}(rule, fit=learn), where learn(X, y) returns what rule(learned, X) needs"
        )
    return given
