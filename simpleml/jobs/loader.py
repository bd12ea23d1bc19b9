"""`PersistableLoader`: loads what is saved by any of its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from simpleml.persistables.loading import load_kind

if TYPE_CHECKING:
    from simpleml.datasets.dataset import Dataset
    from simpleml.metrics.kind import Metric
    from simpleml.models.model import Model
    from simpleml.pipelines.pipeline import Pipeline


class PersistableLoader:
    """Loads saved objects, the latest version first, with the filters of `query` (`name__like`, `version__lt`, …).

    Artifacts are loaded when they are first read. `RecordNotFoundError` lists what there is.
    """

    @staticmethod
    def load_dataset(**filters: Any) -> Dataset:
        """Return a dataset: `load_dataset(name="titanic", version=7)`."""
        return cast("Dataset", load_kind("dataset", **filters))

    @staticmethod
    def load_pipeline(**filters: Any) -> Pipeline:
        """Return a pipeline: `load_pipeline(name="titanic")`."""
        return cast("Pipeline", load_kind("pipeline", **filters))

    @staticmethod
    def load_model(**filters: Any) -> Model:
        """Return a model: `load_model(name="titanic", version__lt=10)`."""
        return cast("Model", load_kind("model", **filters))

    @staticmethod
    def load_metric(**filters: Any) -> Metric:
        """Return a metric, of which there may be one of the same name for every model: `load_metric(name=…, model_id=…)`."""
        return cast("Metric", load_kind("metric", **filters))
