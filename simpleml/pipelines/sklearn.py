"""Pipelines of scikit-learn: what is stored is a plain `sklearn.pipeline.Pipeline`."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from simpleml.errors import MissingDependencyError, PipelineError
from simpleml.pipelines import mixins
from simpleml.pipelines.pipeline import Pipeline
from simpleml.pipelines.steps import Step, checked_steps, fit_steps, passes, transform_steps


class SklearnPipeline(Pipeline):
    """Steps in a plain `sklearn.pipeline.Pipeline`: `SklearnPipeline([("scale", StandardScaler())], dataset=…)`.

    Steps are scikit-learn's transformers, a `ColumnTransformer`, ours, or any object with `fit` and `transform`. Its stored
    bytes refer to nothing of this package unless a transformer of ours is among them. Where a step is none that
    scikit-learn's pipeline would run (it asks for more than the two methods), the steps are run one after the other.
    """

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose what comes out of every step, "pandas", "polars" or "default", and return the pipeline; part of the hash."""
        self._refuse_saved("set_output()")
        if not self.is_identity:
            external = self._unfitted()
            try:
                external.set_output(transform=transform)
            except ValueError as error:
                raise PipelineError(f"{self!r}: {error}") from error
            self._set_external(external, self._steps(external))
            self._forget_fit()
        return self

    def get_params(self, **options: Any) -> dict[str, Any]:
        """Return the parameters of scikit-learn's pipeline: its own, the steps, and those of each step as `step__param`."""
        params: dict[str, Any] = {} if self.is_identity else self.external_pipeline.get_params(**options)
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of scikit-learn's pipeline, which makes it unfitted, and return the pipeline."""
        self._refuse_saved("set_params()")
        if self.is_identity:
            return super().set_params(**params)
        external = self._unfitted()
        try:
            external.set_params(**params)
        except (AttributeError, TypeError, ValueError) as error:
            raise PipelineError(f"{self!r}: {error}") from error
        self._set_external(external, checked_steps(external))
        self._forget_fit()
        return self

    def _made(self, given: Any, steps: list[Step]) -> Any:
        try:
            from sklearn.pipeline import Pipeline as Plain
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "SklearnPipeline needs scikit-learn: pip install 'simpleml[sklearn]'. OrderedDictPipeline works without it"
            ) from error
        if not isinstance(given, Plain):
            return Plain(steps)
        if steps == given.steps:
            return given
        # What the user's own pipeline caches and prints stays with other steps.
        options = {name: value for name, value in given.get_params(deep=False).items() if name != "steps"}
        return type(given)(steps, **options)

    def _steps(self, external: Any) -> list[Step]:
        return list(external.steps)

    def _fit_external(self, external: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:
        if not _runs(external):
            fit_steps(external.steps, X, y, fit_params)
            return
        known = [name for name, _ in external.steps]
        for key in fit_params:
            if "__" not in key or key.partition("__")[0] not in known:
                raise PipelineError(
                    f"fit takes parameters of steps, as step__param, not {key!r:.80}; steps are {', '.join(known)}"
                )
        external.fit(X, y, **fit_params)

    def _transform_external(self, external: Any, X: Any) -> Any:
        return external.transform(X) if _runs(external) else transform_steps(external.steps, X)


def _runs(external: Any) -> bool:
    """Whether scikit-learn's pipeline runs these steps itself."""
    return all(hasattr(step, "__sklearn_tags__") or passes(step) for _, step in external.steps)


class NoSplitSklearnPipeline(mixins.NoSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` that is fitted on all rows."""


class ExplicitSplitSklearnPipeline(mixins.ExplicitSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` with the dataset's own splits."""


class RandomSplitSklearnPipeline(mixins.RandomSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` with random splits: `RandomSplitSklearnPipeline(steps, train_size=0.8)`."""


class StratifiedSplitSklearnPipeline(mixins.StratifiedSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` with stratified splits: `StratifiedSplitSklearnPipeline(steps, column="y", train_size=0.8)`."""


class GroupedSplitSklearnPipeline(mixins.GroupedSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` whose splits share no group: `GroupedSplitSklearnPipeline(steps, column="patient", train_size=0.8)`."""


class ChronologicalSplitSklearnPipeline(mixins.ChronologicalSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` that is fitted on the earliest rows: `ChronologicalSplitSklearnPipeline(steps, column="day", train_size=0.8)`."""


class KFoldSklearnPipeline(mixins.KFoldSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` with folds: `KFoldSklearnPipeline(steps, n_splits=5, fold=1)`."""


class RepeatedKFoldSklearnPipeline(mixins.RepeatedKFoldSplitMixin, SklearnPipeline):
    """A `SklearnPipeline` with repeated folds: `RepeatedKFoldSklearnPipeline(steps, n_splits=5, n_repeats=3)`."""
