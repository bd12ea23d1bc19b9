"""`CatBoostModel`: any model of CatBoost, as a model."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and the library's for the argument

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from simpleml.errors import MissingDependencyError, ModelError
from simpleml.models.keywords import params_among
from simpleml.models.model import Model
from simpleml.models.sklearn import SklearnModel
from simpleml.types import JSON

_QUIET = ("verbose", "silent", "logging_level", "verbose_eval", "metric_period")
_BESIDE = frozenset({*_QUIET, "allow_writing_files", "train_dir", "thread_count", "used_ram_limit"})


class CatBoostModel(SklearnModel):
    """A CatBoost model (`CatBoostClassifier`, `CatBoostRegressor`, `CatBoostRanker`, `CatBoost`) with a name and versions.

    What is stored is CatBoost's own `.cbm` file, which `CatBoost().load_model` reads anywhere; the very class comes back.
    One with a function among its parameters is pickled. If the pipeline has a VALIDATION split, each round is evaluated on
    it. Unless its parameters say otherwise it is fitted silently, and leaves no `catboost_info` in the working folder; these
    parameters, and those that say how much of the machine it takes, are no part of `hash_`.
    """

    _uses_validation = True

    def __init__(self, estimator: Any = None, /, *, params: Mapping[str, Any] | None = None, **identity: Any) -> None:
        external = identity.pop("external_model", None) if estimator is None else estimator
        checked = self._checked(external)
        known = {*inspect.signature(type(checked).__init__).parameters} - {"self", "params"}
        given = params_among(type(self), identity, {*known, *checked.get_params()}, params)
        Model.__init__(self, checked, params=given, **identity)

    def _checked(self, external: Any) -> Any:
        model = _catboost().CatBoost
        if isinstance(external, (type, model)):
            return super()._checked(external)
        raise ModelError(
            f"{type(self).__name__} takes a model of CatBoost, not {external!r:.80} ({type(external).__name__}): give one like "
            "CatBoostClassifier(depth=4)"
        )

    def _unfitted(self, external: Any) -> Any:
        given = external.get_params()
        return type(external)(**given) if type(external).__name__ != "CatBoost" else type(external)(dict(given))

    def _params_of(self, external: Any) -> dict[str, Any]:
        return {name: value for name, value in external.get_params().items() if name not in _BESIDE}

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        given = external.get_params()
        if "allow_writing_files" not in given and "train_dir" not in given:
            external.set_params(allow_writing_files=False)
        if not set(_QUIET) & {*given, *fit_params}:
            external.set_params(logging_level="Silent")
        if validation is not None and "eval_set" not in fit_params:
            fit_params = {**fit_params, "eval_set": (validation["X"], validation.get("y"))}
        return super()._fit_external(external, X, y, None, **fit_params)

    def _features_of(self, external: Any) -> dict[str, JSON]:
        """Return what a fitted model knows; the names are those of the columns, or their numbers if they have none."""
        found = super()._features_of(external)
        found["names"] = [str(name) for name in external.feature_names_]
        found["count"] = len(external.feature_names_)
        return {name: one for name, one in found.items() if name != "classes" or one}

    def _passes(self, external: Any) -> bool:
        return bool(external.is_fitted())


def _catboost() -> Any:
    try:
        import catboost
    except ImportError as error:
        raise MissingDependencyError(
            f"CatBoostModel needs catboost: pip install 'simpleml[catboost]' ({str(error)[:200]})"
        ) from error
    return catboost
