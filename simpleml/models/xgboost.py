"""`XGBoostModel`: any estimator of XGBoost, as a model."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and the library's for the argument

from __future__ import annotations

from typing import Any

from simpleml.errors import MissingDependencyError, ModelError
from simpleml.models.sklearn import SklearnModel


class XGBoostModel(SklearnModel):
    """An XGBoost estimator (`XGBClassifier`, `XGBRegressor`, `XGBRanker`, …) with a name and versions.

    What is stored is XGBoost's own JSON file, which `xgboost.Booster().load_model` reads anywhere; the very estimator comes
    back. One with a function among its parameters is pickled. If the pipeline has a VALIDATION split, each round is
    evaluated on it, which is what `early_stopping_rounds` looks at.
    """

    _uses_validation = True

    def _checked(self, external: Any) -> Any:
        estimator = _xgboost().XGBModel
        if isinstance(external, (type, estimator)):
            return super()._checked(external)
        raise ModelError(
            f"{type(self).__name__} takes an estimator of XGBoost, not {external!r:.80} ({type(external).__name__}): give one like "
            "XGBClassifier(max_depth=3); a booster that was trained elsewhere becomes one by XGBClassifier().load_model(file)"
        )

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        if validation is not None and "eval_set" not in fit_params:
            fit_params = {"verbose": False, **fit_params, "eval_set": [(validation["X"], validation.get("y"))]}
        return super()._fit_external(external, X, y, None, **fit_params)


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingDependencyError(
            "XGBoostModel needs xgboost: pip install 'simpleml[xgboost]' (xgboost-cpu is the same without the libraries for GPUs) "
            f"({str(error)[:200]})"
        ) from error
    return xgboost
