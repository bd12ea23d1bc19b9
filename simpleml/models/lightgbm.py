"""`LightGBMModel`: any estimator of LightGBM, as a model."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and the library's for the argument

from __future__ import annotations

import inspect
from typing import Any

from simpleml.errors import MissingDependencyError, ModelError
from simpleml.models.sklearn import SklearnModel


class LightGBMModel(SklearnModel):
    """A LightGBM estimator (`LGBMClassifier`, `LGBMRegressor`, `LGBMRanker`) with a name and versions.

    What is stored is LightGBM's own text, which `lightgbm.Booster(model_file=…)` reads anywhere; the very estimator comes
    back. One with a function among its parameters is pickled. If the pipeline has a VALIDATION split, each round is
    evaluated on it, which is what the callback `lightgbm.early_stopping(…)` and the parameter `early_stopping_round` look at.
    """

    _uses_validation = True

    def _checked(self, external: Any) -> Any:
        estimator = _lightgbm().LGBMModel
        if isinstance(external, (type, estimator)):
            return super()._checked(external)
        raise ModelError(
            f"{type(self).__name__} takes an estimator of LightGBM, not {external!r:.80} ({type(external).__name__}): give one like "
            "LGBMClassifier(num_leaves=15)"
        )

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        if validation is not None and not {"eval_set", "eval_X"} & set(fit_params):
            features, labels = validation["X"], validation.get("y")
            if "eval_X" in inspect.signature(external.fit).parameters:  # the name since LightGBM 4.7
                fit_params = {**fit_params, "eval_X": features, "eval_y": labels}
            else:
                fit_params = {**fit_params, "eval_set": [(features, labels)]}
        return super()._fit_external(external, X, y, None, **fit_params)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: the system has no OpenMP runtime for it
        raise MissingDependencyError(
            f"LightGBMModel needs lightgbm: pip install 'simpleml[lightgbm]' ({str(error)[:200]})"
        ) from error
    return lightgbm
