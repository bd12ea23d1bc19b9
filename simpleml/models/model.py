"""`Model`: the base of every persistable that is fitted and predicts."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from simpleml.errors import ModelError, PipelineError, SimpleMLError
from simpleml.hashing import hash_value
from simpleml.models.calling import method_of
from simpleml.models.description import described_features, estimator_path, row_count
from simpleml.models.training import Training, input_hash, observed_hash, training_data
from simpleml.persistables import Artifact, Lineage, Persistable
from simpleml.persistables.identity import checked_mapping
from simpleml.persistables.parameters import described, shown
from simpleml.persistables.saving import artifact_hash, hashing_once
from simpleml.pipelines.fitted import FittedOnce
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.pipelines.pipeline import Pipeline


class Model(FittedOnce, Persistable):
    """A persistable of the kind `model`: an external model (an estimator, a network) that is fitted once and predicts.

    It is fitted on the training split of its pipeline, or on data that it is given. With a pipeline its `hash_` is that of
    the external model's class, its parameters and the pipeline, known before the fit; with data, that of their content
    takes the pipeline's place. Fitted bytes are never part of it. The external model that was handed in is never fitted
    itself; a fresh copy of it is. One that was fitted elsewhere is taken as it is, and its fitted state takes the place of
    the data in the hash. `new_version()` returns a copy that may be given other parameters and fitted again.

    A library's class fills the hooks `_checked`, `_unfitted`, `_params_of`, `_with_params`, `_fit_external`,
    `_features_of` and `_passes`; as they are here, they suit whatever has `fit`, `get_params` and `set_params`. A method
    that the external model does not have under our name (`predict`, …) is overridden. A model of one's own may also do
    without an external model: it declares artifacts and sets `params` and `feature_metadata` itself.
    """

    kind: ClassVar[str] = "model"
    record_fields: ClassVar[tuple[str, ...]] = ("params", "feature_metadata")

    external_model: Artifact[Any] = Artifact(
        identity=False, also=("model",), doc="What the library calls its model; loaded when it is first needed."
    )

    pipeline: Lineage[Pipeline] = Lineage("pipeline")
    """What made the features of the data it was fitted on; held once it was read, so that predicting asks no database."""

    params: dict[str, JSON] | None = None
    """The parameters it was fitted with, for reading and for queries."""

    feature_metadata: dict[str, JSON] | None = None
    """What is known of the features and the classes it was fitted on."""

    _uses_validation: ClassVar[bool] = False  # whether `_fit_external` looks at the pipeline's VALIDATION split
    _described: Mapping[str, Any] | None = None  # the external model's own parameters when they were written down
    _error: ClassVar[type[SimpleMLError]] = ModelError

    def __init__(
        self,
        external_model: Any = None,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        if external_model is None:
            external_model = identity.pop("external_model", None)
        if external_model is not None:
            external_model = self._checked(external_model)
        params = checked_mapping("params", params)
        super().__init__(**identity)
        self.params = dict(params) if params else None
        self.feature_metadata = None
        if external_model is not None:
            self._take(external_model, params)

    # what a library's class fills

    def _checked(self, external: Any) -> Any:
        """Return what was handed in if it is a model of this library; raise a `ModelError` that teaches otherwise."""
        return external

    def _unfitted(self, external: Any) -> Any:
        """Return a fresh, unfitted copy with the same parameters."""
        return copy.deepcopy(external)

    def _params_of(self, external: Any) -> dict[str, Any]:
        """Return the parameters, which are hashed: all that says what it is before it is fitted, besides its class."""
        found: dict[str, Any] = external.get_params(deep=False)
        return found

    def _with_params(self, external: Any, params: Mapping[str, Any]) -> Any:
        """Return `external`, which is our own copy, with other parameters; raises `ValueError` for one that it does not know."""
        external.set_params(**params)
        return external

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        """Fit `external`, which is our own copy, and return it; `validation` is a `Split` or None."""
        external.fit(X, **fit_params) if y is None else external.fit(X, y, **fit_params)
        return external

    def _features_of(self, external: Any) -> dict[str, JSON]:
        """Return what a fitted model knows of its features and classes, short enough for a column."""
        return described_features(external)

    def _passes(self, external: Any) -> bool:
        """Whether it could predict as it is: it is fitted, or needs no fitting."""
        return False

    # fitting

    @property
    def is_fitted(self) -> bool:
        """Whether it can predict: it was fitted, here or before it was saved, or its external model needs no fitting."""
        if self.state.get("fitted"):
            return True
        return self.has_artifact("external_model") and self._passes(self.external_model)

    def add_pipeline(self, pipeline: Pipeline) -> Self:
        """Set the pipeline whose training split it will be fitted on, and return the model; a fitted copy is unfitted by that."""
        self._refuse_fitted("add_pipeline()")
        if self.state.get("fitted") and "fitted_state" not in self.config and self.has_artifact("external_model"):
            self._reset(self._unfitted(self.external_model))
        self.pipeline = pipeline
        return self

    def fit(self, X: Any = None, y: Any = None, **fit_params: Any) -> Self:
        """Fit a fresh copy of the external model, which takes its place when that worked, and return the model.

        Without `X`, on the training split of the pipeline. An `X` that is given goes through the pipeline, if there is one,
        as in `predict`. Raises `ModelError` if the model is fitted already or there is nothing to fit it on, `HashingError`
        if given data has no stable hash. Whatever the library raises leaves the model as it was.
        """
        self._fit("fit", X, y, fit_params, self._fit_external)
        return self

    def fit_predict(self, X: Any = None, y: Any = None, **fit_params: Any) -> Any:
        """Fit, and return what is predicted for the very data."""
        data = self._fit("fit_predict", X, y, fit_params, self._fit_external)
        return self.predict(data.X, transform=False)

    def _fit(self, call: str, X: Any, y: Any, fit_params: Mapping[str, Any], run: Callable[..., Any]) -> Training:
        self._refuse_fitted(f"{call}()")
        fitted = self._unfitted(self.external_model)
        # Before the fit: a library may be allowed to overwrite its data.
        given = {"X": X, "y": y, **fit_params} if X is not None else fit_params
        hashes = {name: input_hash(self, name, value) for name, value in given.items()}
        data = self._training(call, X, y, fit_params, fitted)
        seen = hashes if X is not None else {"X": observed_hash(data.X), "y": observed_hash(data.y)}
        rows = row_count(data.X)
        start = time.perf_counter()
        fitted = run(fitted, data.X, data.y, data.validation, **data.fit_params)
        seconds = time.perf_counter() - start
        features = self._features_of(fitted)
        self._describe(self._unfitted(self.external_model))
        self.external_model = fitted
        self.feature_metadata = self._named(features)
        self._forget_fit()
        if hashes:
            self.config["fitted_on"] = hashes
        self._note_fit(fit_seconds=seconds, rows=rows, data_hash={"X": seen["X"], "y": seen.get("y")})
        return data

    def _training(self, call: str, X: Any, y: Any, fit_params: Mapping[str, Any], external: Any) -> Training:
        """Return what the external model is fitted on."""
        pipeline = self.pipeline
        if X is not None:
            return Training(X if pipeline is None else pipeline.transform(X), y, fit_params)
        if pipeline is None or y is not None:
            what = f"{call}() was given labels, but no data" if y is not None else f"{call}() has no data"
            raise ModelError(
                f"{self!r}: {what}: call {call}(X, y), or add_pipeline(pipeline) and then {call}() without either"
            )
        return training_data(pipeline, external, fit_params, owner=self, validation=self._uses_validation)

    # parameters

    def get_params(self) -> dict[str, Any]:
        """Return the parameters of the external model."""
        return self._params_of(self.external_model)

    def set_params(self, **params: Any) -> Self:
        """Give the external model other parameters, which makes it unfitted, and return the model.

        Raises `ModelError` if the model is fitted already, or if there is no such parameter.
        """
        self._refuse_fitted("set_params()")
        changed = self._changed(self.external_model, params)
        self._reset(changed)
        self._describe(self._unfitted(changed))
        return self

    def _reset(self, unfitted: Any) -> None:
        """Make it unfitted."""
        self.external_model = unfitted
        self.feature_metadata = None
        self._forget_fit()

    # saving

    def save(self) -> Self:
        """Save a new version, or the state and metadata of a saved one; raises `ModelError` if it was never fitted.

        Its pipeline must be saved first (`UnsavedReferenceError`), and be what it was when the model was fitted (`LineageError`).
        """
        with hashing_once(self):
            if not self.is_saved and self.has_artifact("external_model"):
                self._refuse_other_parents("fitted", "Fit it again: x = x.new_version().fit()")
                if not self.is_fitted:
                    self._refuse_unfitted("save()")
                if "fit_seconds" not in self.state:
                    self._describe_fitted_elsewhere()
            return super().save()

    def _hash(self) -> str:
        """Return the hash of the class, the config and the pipeline; of what was fitted elsewhere the fitted state is in the config."""
        if not self.is_saved and self.state.get("fitted") and "fit_seconds" not in self.state:
            self._describe_fitted_elsewhere()
        return super()._hash()

    # using

    def predict(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return what is predicted for `X`, which goes through the pipeline first, if there is one, unless `transform=False`."""
        return self._fitted("predict")(self._transformed(X, transform), **params)

    def predict_proba(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the probability of each class, one row for each row of `X`; columns are in the order of `classes_`."""
        return self._fitted("predict_proba")(self._transformed(X, transform), **params)

    def predict_log_proba(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the logarithms of `predict_proba`."""
        return self._fitted("predict_log_proba")(self._transformed(X, transform), **params)

    def decision_function(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the confidence scores for `X`."""
        return self._fitted("decision_function")(self._transformed(X, transform), **params)

    def transform(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return `X` as the external model transforms it, after the pipeline unless `transform=False`."""
        return self._fitted("transform")(self._transformed(X, transform), **params)

    def inverse_transform(self, X: Any, **params: Any) -> Any:
        """Return what `transform` makes `X` of, as far as the external model goes."""
        return self._fitted("inverse_transform")(X, **params)

    def score(self, X: Any, y: Any = None, transform: bool = True, **params: Any) -> Any:
        """Return the external model's own score on this data: accuracy for classifiers, R² for regressors."""
        bound, features = self._fitted("score"), self._transformed(X, transform)
        return bound(features, **params) if y is None else bound(features, y, **params)

    def get_labels(self, dataset_split: str | None = None) -> Any:
        """Return the labels of a split of the pipeline's dataset; of all of it if none is named."""
        pipeline = self.pipeline
        if pipeline is None:
            raise ModelError(
                f"{self!r} has no pipeline, so get_labels() has nothing to ask: add_pipeline(pipeline) first"
            )
        return pipeline.y(dataset_split)

    def _fitted(self, method: str) -> Any:
        """Return a method of the fitted external model."""
        if not self.is_fitted:
            self._refuse_unfitted(f"{method}()")
        return method_of(self.external_model, method, self)

    def _transformed(self, X: Any, transform: bool) -> Any:
        """Return `X` as the pipeline transforms it, if there is one and that is wanted."""
        pipeline = self.pipeline if transform else None
        return X if pipeline is None else pipeline.transform(X)

    # describing

    def _take(self, external: Any, params: Mapping[str, Any] | None) -> None:
        """Hold what was handed in, with other parameters if they are given, and write down what it is."""
        if params:
            external = self._changed(external, params)
        plain = self._unfitted(external)
        self.external_model = external
        self.state["fitted"] = self._passes(external) and not self._passes(plain)
        self._describe(plain)

    def _changed(self, external: Any, params: Mapping[str, Any]) -> Any:
        """Return an unfitted copy with other parameters."""
        try:
            return self._with_params(self._unfitted(external), params)
        except ValueError as error:
            raise error if isinstance(error, ModelError) else ModelError(f"{self!r}: {error}") from error

    def _describe(self, plain: Any) -> None:
        """Write down what the external model is; `plain` is an unfitted copy: its parameters as they are before they are fitted."""
        self._described = self._params_of(self.external_model)
        params = self._params_of(plain)
        hash_ = hash_value({"class": type(plain), "params": params})
        self.params = shown(params)
        self.config.update(estimator=estimator_path(plain), params=described(params), params_hash=hash_)

    def _describe_fitted_elsewhere(self) -> None:
        """Let the fitted state stand for the data that nobody showed us; of what needs no fitting the parameters say all."""
        if not self.has_artifact("external_model"):
            return
        state = artifact_hash(self, "external_model")
        if self.config.get("fitted_state") != state:
            params, plain = self._params_of(self.external_model), self._unfitted(self.external_model)
            if "fitted_state" in self.config or not _are_the_same(self._described, params):
                self._describe(plain)
            if self._passes(plain):
                return
            self.feature_metadata = self._named(self._features_of(self.external_model))
            self.config["fitted_state"] = state
            self.state["fitted"] = True

    def _named(self, features: dict[str, JSON]) -> dict[str, JSON]:
        """Return what is known of the features, with the names that the pipeline has for them if the model has none."""
        pipeline = self.pipeline
        if pipeline is None or "names" in features:
            return features
        try:
            names: list[JSON] = [*pipeline.get_feature_names()]
        except PipelineError:  # it was fitted on something without names
            return features
        return {**features, "names": names} if features.get("count", len(names)) == len(names) else features

    def _refuse_unfitted(self, call: str) -> NoReturn:
        raise ModelError(
            f"{self!r} is not fitted, so {call} is refused: call fit(X, y) first, or fit() if it has a pipeline"
        )


def _are_the_same(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Whether every parameter is the very object that it was."""
    return before is not None and before.keys() == now.keys() and all(before[name] is now[name] for name in now)
