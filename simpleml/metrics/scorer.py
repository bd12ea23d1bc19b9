"""`ScorerMetric`: any scorer of scikit-learn, by its name."""

from __future__ import annotations

from typing import Any

from simpleml.errors import MetricError, MissingDependencyError, known_names
from simpleml.metrics.kind import Metric, prefixed
from simpleml.metrics.samples import Sample
from simpleml.pipelines.features import as_first_step_takes


class ScorerMetric(Metric):
    """What a scorer of scikit-learn says, by its name (`"neg_log_loss"`), which is also the default name."""

    def __init__(self, *, scorer: str, **identity: Any) -> None:
        self._checked_scorer(scorer)
        if identity.get("name") is None:
            identity["name"] = prefixed(scorer, identity.get("dataset_split"))
        super().__init__(**identity)
        self.config["scorer"] = scorer

    @staticmethod
    def _checked_scorer(name: object) -> Any:
        try:
            from sklearn.metrics import get_scorer, get_scorer_names
        except ModuleNotFoundError as error:
            raise MissingDependencyError("ScorerMetric needs scikit-learn: pip install 'simpleml[sklearn]'") from error
        if not isinstance(name, str) or name not in get_scorer_names():
            near = name if isinstance(name, str) else None
            raise MetricError(
                f"scikit-learn has no scorer {name!r:.80}; {known_names(get_scorer_names(), near=near, limit=60)}. A function of "
                'yours becomes a metric by metric("name", function)'
            )
        return get_scorer(name)

    def _base_name(self) -> str:
        return str(self.config.get("scorer", "scorer"))

    def _computed(self, sample: Sample) -> object:
        scorer = self._checked_scorer(self.config["scorer"])
        model: Any = sample.model
        features = sample.features
        if not sample.is_transformed and model.pipeline is not None:
            features = model.pipeline.transform(features)
        if not model.is_fitted:
            model.predict(features)  # which says what is to be done
        return scorer(model.external_model, as_first_step_takes(model.external_model, features), sample.labels)
