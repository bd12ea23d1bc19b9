"""`SklearnModel`: any scikit-learn estimator, as a model."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NoReturn, Self

from simpleml.errors import HashingError, MissingDependencyError, ModelError
from simpleml.hashing import hash_value
from simpleml.models.description import described_features, described_params, estimator_path, row_count, shown_params
from simpleml.models.model import Model
from simpleml.persistables import Artifact
from simpleml.persistables.saving import artifact_hash, hashing_once

_METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "inverse_transform",
    "score",
    "fit_predict",
    "fit_transform",
)


class SklearnModel(Model):
    """A scikit-learn estimator with a name and versions. What is stored is the plain fitted estimator, nothing of ours.

    Its `hash_` covers the estimator's class, its parameters and the content of what it was fitted on, never the fitted
    bytes. A model is fitted once: `new_version()` returns a copy that may be given other parameters and fitted again. The
    estimator that was handed in is never fitted itself; a clone of it is. One that was fitted elsewhere is taken as it is,
    and its fitted state takes the place of the data in the hash.
    """

    external_model: Artifact[Any] = Artifact(identity=False, doc="The estimator; loaded when it is first needed.")

    _described: Mapping[str, Any] | None = None  # the estimator's own parameters when they were written down
    _renewed = False  # a copy made by new_version() may be fitted again, once

    def __init__(self, estimator: Any, /, **identity: Any) -> None:
        _check_estimator(estimator)
        super().__init__(**identity)
        self.external_model = estimator
        self.state["fitted"] = _is_fitted_elsewhere(estimator)
        self._describe()

    @property
    def estimator(self) -> Any:
        """The estimator itself. What is done to it directly after `fit` is saved with it, but is no part of `hash_`."""
        return self.external_model

    @property
    def is_fitted(self) -> bool:
        """Whether it can predict: it was fitted, here or before it was saved, or its estimator needs no fitting."""
        return bool(self.state.get("fitted")) or _passes(self.estimator)

    # fitting

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Fit a clone of the estimator, which takes its place when that worked, and return the model.

        Raises `ModelError` if the model is fitted already, `HashingError` if the data has no stable hash. Whatever the
        estimator raises passes through and leaves the model as it was.
        """
        self._fit("fit", X, y, fit_params)
        return self

    def fit_predict(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and return what the estimator predicts for the very data (clusters have no other way)."""
        return self._fit("fit_predict", X, y, fit_params)

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and return the transformed data (embeddings have no other way)."""
        return self._fit("fit_transform", X, y, fit_params)

    def _fit(self, method: str, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
        self._refuse_change(f"{method}()")
        fitted = _clone(self.estimator)
        bound = _method(fitted, method, self)
        # Before the fit: an estimator may be allowed to overwrite its data.
        inputs = {"X": X, "y": y, **fit_params}
        hashes = {name: None if value is None else self._hash_input(name, value) for name, value in inputs.items()}
        rows = row_count(X)
        start = time.perf_counter()
        result = bound(X, **fit_params) if y is None else bound(X, y, **fit_params)
        seconds = time.perf_counter() - start
        self._describe()
        self.external_model = fitted
        self.feature_metadata = described_features(fitted)
        self.config.pop("fitted_state", None)
        self.config["fitted_on"] = hashes
        self.state.update(fitted=True, fit_seconds=seconds, rows=rows)
        self._renewed = False
        return result

    def _hash_input(self, name: str, value: Any) -> str:
        try:
            return hash_value(value)
        except HashingError as error:
            raise HashingError(f"{name}, on which {self!r} is to be fitted, has no stable hash: {error}") from error

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        params: dict[str, Any] = self.estimator.get_params(deep=deep)
        return params

    def set_params(self, **params: Any) -> Self:
        """Give the estimator other parameters, which makes it unfitted, and return the model.

        Raises `ModelError` if the model is fitted already, or if the estimator knows no such parameter.
        """
        self._refuse_change("set_params()")
        changed = _clone(self.estimator)
        try:
            changed.set_params(**params)
        except ValueError as error:
            raise ModelError(f"{self!r}: {error}") from error
        self.external_model = changed
        self.feature_metadata = None
        for key in ("fitted_on", "fitted_state"):
            self.config.pop(key, None)
        for key in ("fit_seconds", "rows"):
            self.state.pop(key, None)
        self.state["fitted"] = False
        self._describe()
        return self

    def new_version(self) -> Self:
        """Return an unsaved copy: `save()` it as the next version, or first set other parameters and fit it again."""
        made = super().new_version()
        made._renewed = True  # noqa: SLF001 - an object of this very class
        return made

    def save(self) -> Self:
        """Save a new version, or the state and metadata of a saved one; raises `ModelError` if it was never fitted."""
        with hashing_once(self):
            if not self.is_saved:
                if not self.is_fitted:
                    self._refuse_unfitted("save()")
                if "fitted_on" not in self.config:
                    self._describe_fitted_elsewhere()
            return super().save()

    # using

    def predict(self, X: Any, **params: Any) -> Any:
        """Return what the estimator predicts for `X`."""
        return self._fitted("predict")(X, **params)

    def predict_proba(self, X: Any, **params: Any) -> Any:
        """Return the probability of each class, one row for each row of `X`; columns are in the order of `classes_`."""
        return self._fitted("predict_proba")(X, **params)

    def predict_log_proba(self, X: Any, **params: Any) -> Any:
        """Return the logarithms of `predict_proba`."""
        return self._fitted("predict_log_proba")(X, **params)

    def decision_function(self, X: Any, **params: Any) -> Any:
        """Return the confidence scores of the estimator for `X`."""
        return self._fitted("decision_function")(X, **params)

    def transform(self, X: Any, **params: Any) -> Any:
        """Return `X` as the estimator transforms it."""
        return self._fitted("transform")(X, **params)

    def inverse_transform(self, X: Any, **params: Any) -> Any:
        """Return what `transform` makes `X` of."""
        return self._fitted("inverse_transform")(X, **params)

    def score(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Return the estimator's own score on this data: accuracy for classifiers, R² for regressors."""
        bound = self._fitted("score")
        return bound(X, **params) if y is None else bound(X, y, **params)

    def _fitted(self, method: str) -> Any:
        """Return a method of the fitted estimator."""
        if not self.is_fitted:
            self._refuse_unfitted(f"{method}()")
        return _method(self.estimator, method, self)

    def _describe(self) -> None:
        """Write down what the estimator is; its parameters as they are before they are fitted."""
        plain = _clone(self.estimator)
        self._described = self.estimator.get_params(deep=False)
        params = plain.get_params(deep=False)
        hash_ = hash_value({"class": type(plain), "params": params})
        self.params = shown_params(params)
        self.config.update(estimator=estimator_path(plain), params=described_params(params), params_hash=hash_)

    def _describe_fitted_elsewhere(self) -> None:
        """Let the fitted state stand for the data that nobody showed us."""
        state = artifact_hash(self, "external_model")
        if self.config.get("fitted_state") != state:
            params = self.estimator.get_params(deep=False)
            if "fitted_state" in self.config or not _are_the_same(self._described, params):
                self._describe()
            self.feature_metadata = described_features(self.estimator)
            self.config["fitted_state"] = state
            self.state["fitted"] = True

    def _refuse_change(self, call: str) -> None:
        if self.is_saved or (self.state.get("fitted") and not self._renewed):
            raise ModelError(
                f"{self!r} is fitted, and a model is fitted once, so {call} is refused: make a new {type(self).__name__}(…), or "
                "take a copy that may be fitted again, x = x.new_version()"
            )

    def _refuse_unfitted(self, call: str) -> NoReturn:
        raise ModelError(f"{self!r} is not fitted, so {call} is refused: call fit(X, y) first")


def _check_estimator(estimator: Any) -> None:
    """Refuse what is no estimator, with a hint at the usual mistakes."""
    if isinstance(estimator, type):
        raise ModelError(f"SklearnModel takes an estimator, but was given the class: write {estimator.__name__}(…)")
    missing = [name for name in ("fit", "get_params", "set_params") if not callable(getattr(estimator, name, None))]
    if missing:
        raise ModelError(
            f"SklearnModel takes a scikit-learn estimator, but {estimator!r:.80} ({type(estimator).__name__}) has no "
            f"{', '.join(missing)}: give one like LogisticRegression(C=0.5), or write a Model of your own"
        )


def _method(estimator: Any, name: str, owner: SklearnModel) -> Any:
    """Return a method of the estimator; what it does not have, or not with these parameters, is told."""
    try:
        return getattr(estimator, name)
    except AttributeError as error:
        there = [method for method in _METHODS if hasattr(estimator, method)]
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise ModelError(
            f"{owner!r}: {type(estimator).__name__} has no {name}(){cause}; it has {', '.join(there) or 'fit only'}"
        ) from error


def _sklearn(module: str) -> ModuleType:
    from importlib import import_module

    try:
        import_module("sklearn")
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise MissingDependencyError("SklearnModel needs scikit-learn: pip install 'simpleml[sklearn]'") from error
    return import_module(f"sklearn.{module}")


def _are_the_same(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Whether every parameter is the very object that it was."""
    return before is not None and before.keys() == now.keys() and all(before[name] is now[name] for name in now)


def _clone(estimator: Any) -> Any:
    """Return an unfitted estimator of the same class with copies of the parameters."""
    base = _sklearn("base")
    try:
        return base.clone(estimator)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            f"{type(estimator).__name__} cannot be cloned: {error}. Its parameters must be copyable, and its __init__ must "
            "keep them as they are."
        ) from error


def _passes(estimator: Any) -> bool:
    """Whether scikit-learn would let this estimator predict; of a class of another library, whether it holds results."""
    if not isinstance(estimator, _sklearn("base").BaseEstimator) and not hasattr(estimator, "__sklearn_is_fitted__"):
        return any(name.endswith("_") and not name.startswith("_") for name in vars(estimator))
    try:
        _sklearn("utils.validation").check_is_fitted(estimator)
    except _sklearn("exceptions").NotFittedError:
        return False
    return True


def _is_fitted_elsewhere(estimator: Any) -> bool:
    """Whether the estimator was fitted; one that never needs to be was not."""
    return _passes(estimator) and not _passes(_clone(estimator))
