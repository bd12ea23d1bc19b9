"""`SklearnModel`: any scikit-learn estimator, as a model."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from simpleml.errors import MissingDependencyError, ModelError
from simpleml.models.calling import method_of
from simpleml.models.keywords import params_among
from simpleml.models.model import Model
from simpleml.pipelines.features import as_first_step_takes


class SklearnModel(Model):
    """A scikit-learn estimator with a name and versions. What is stored is the plain fitted estimator, nothing of ours.

    Its `hash_` covers the estimator's class, its parameters and what it was fitted on (the pipeline, or the content of the
    data), never the fitted bytes. A model is fitted once: `new_version()` returns a copy that may be given other parameters
    and fitted again. The estimator that was handed in is never fitted itself; a clone of it is. One that was fitted
    elsewhere is taken as it is. A keyword that is a parameter of the estimator is one: `SklearnModel(SVC(), C=5)`.
    """

    def __init__(self, estimator: Any = None, /, *, params: Mapping[str, Any] | None = None, **identity: Any) -> None:
        external = identity.pop("external_model", None) if estimator is None else estimator
        checked = self._checked(external)
        given = params_among(type(self), identity, checked.get_params(), params)
        super().__init__(checked, params=given, **identity)

    @property
    def estimator(self) -> Any:
        """The estimator itself. What is done to it directly after `fit` is saved with it, but is no part of `hash_`."""
        return self.external_model

    def fit_predict(self, X: Any = None, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and return what is predicted for the very data (some clusters have no other way)."""
        if hasattr(self.estimator, "predict") and not hasattr(self.estimator, "fit_predict"):
            return super().fit_predict(X, y, **fit_params)
        return self._fit_for("fit_predict", X, y, fit_params)

    def fit_transform(self, X: Any = None, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and return the transformed data (embeddings have no other way)."""
        return self._fit_for("fit_transform", X, y, fit_params)

    def _fit_for(self, method: str, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
        """Fit by a method that returns something, and return that."""
        results: list[Any] = []

        def run(external: Any, X: Any, y: Any, _validation: Any, **fit_params: Any) -> Any:
            bound, features = method_of(external, method, self), self._table(external, X)
            results.append(self._explained(external, y, lambda: _call(bound, features, y, fit_params)))
            return external

        method_of(self.estimator, method, self)  # before the data is looked at
        self._fit(method, X, y, fit_params, run)
        return results[0]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        params: dict[str, Any] = self.estimator.get_params(deep=deep)
        return params

    # the hooks of Model

    def _checked(self, external: Any) -> Any:
        """Refuse what is no estimator, with a hint at the usual mistakes."""
        if isinstance(external, type):
            raise ModelError(
                f"{type(self).__name__} takes an estimator, but was given the class: write {external.__name__}(…)"
            )
        missing = [name for name in ("fit", "get_params", "set_params") if not callable(getattr(external, name, None))]
        if missing:
            raise ModelError(
                f"{type(self).__name__} takes a scikit-learn estimator, but {external!r:.80} ({type(external).__name__}) has no "
                f"{', '.join(missing)}: give one like LogisticRegression(C=0.5), or write a Model of your own"
            )
        return external

    def _unfitted(self, external: Any) -> Any:
        base = _sklearn("base")
        try:
            return base.clone(external)
        except (TypeError, RuntimeError) as error:
            raise ModelError(
                f"{type(external).__name__} cannot be cloned: {error}. Its parameters must be copyable, and its __init__ must "
                "keep them as they are."
            ) from error

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        features = self._table(external, X)
        self._explained(external, y, lambda: _call(external.fit, features, y, fit_params))
        return external

    def _transformed(self, X: Any, transform: bool) -> Any:
        return self._table(self.external_model, super()._transformed(X, transform))

    def _table(self, external: Any, X: Any) -> Any:
        """Return a single column that comes out of the pipeline (`squeeze_return`) as the table that scikit-learn wants."""
        one = self.pipeline is not None and len(getattr(X, "shape", ())) == 1
        return as_first_step_takes(external, X) if one else X

    def _passes(self, external: Any) -> bool:
        """Whether scikit-learn would let it predict; of a class of another library, whether it holds results."""
        if not isinstance(external, _sklearn("base").BaseEstimator) and not hasattr(external, "__sklearn_is_fitted__"):
            return any(name.endswith("_") and not name.startswith("_") for name in vars(external))
        try:
            _sklearn("utils.validation").check_is_fitted(external)
        except AttributeError:  # NotFittedError is one; so is the error of an estimator that lacks the one inside it
            return False
        return True

    def _explained(self, external: Any, y: Any, fit: Any) -> Any:
        """Return what `fit()` returns; of its errors, explain those that come of missing labels and of a single class."""
        try:
            return fit()
        except (TypeError, ValueError) as error:
            base = _sklearn("base")
            if not isinstance(external, base.BaseEstimator):
                raise
            if y is None and (base.is_classifier(external) or base.is_regressor(external)):
                raise ModelError(
                    f"{self!r}: {type(external).__name__} learns from labels, but there are none: fit(X, y), or name them when "
                    f"the dataset is made, label_columns=[…]. ({error})"
                ) from error
            only = _only_class(y) if y is not None and base.is_classifier(external) else None
            if only is not None:
                raise ModelError(
                    f"{self!r}: {type(external).__name__} needs labels of two classes at least, but every one is {only}: look at "
                    f"how the data was split (a stratified split keeps the classes together). ({error})"
                ) from error
            raise


def _call(method: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
    return method(X, **fit_params) if y is None else method(X, y, **fit_params)


def _only_class(y: Any) -> str | None:
    """Return the one class that there is among the labels, as text; None if there are more, or if they are not comparable."""
    import numpy as np

    try:
        classes = np.unique(np.asarray(y))
    except (TypeError, ValueError):
        return None
    return repr(classes.tolist()[0]) if classes.size == 1 else None


def _sklearn(module: str) -> ModuleType:
    from importlib import import_module

    try:
        import_module("sklearn")
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise MissingDependencyError("SklearnModel needs scikit-learn: pip install 'simpleml[sklearn]'") from error
    return import_module(f"sklearn.{module}")
