"""What the processes do that ask for the same model at once. Everything here is started by name in a fresh process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

from simpleml import Artifact, DatasetCreator, Lineage, MetricCreator, ModelCreator, Persistable
from simpleml.datasets import NumpyDataset
from simpleml.jobs import creators
from simpleml.orm import claims
from simpleml.orm.database import Database
from tests.races.crew import pause
from tests.races.work import Place


class Counted(Persistable):
    """A model that leaves a file for every time that it is built, and stops there if it is told to."""

    registered_name: ClassVar[str] = "RaceCounted"
    kind = "model"
    record_fields = ("params", "feature_metadata")
    params: dict[str, Any] | None = None
    feature_metadata: dict[str, Any] | None = None
    pipeline: Lineage[Persistable] = Lineage("pipeline")
    weights: Artifact[list[float]] = Artifact(identity=False)

    def __init__(self, *, C: float = 1.0, builds: str, seconds: float = 0.0, stops: bool = False, **identity: Any):
        super().__init__(**identity, config={"C": C})
        self._told = (builds, seconds, stops)

    @property
    def is_fitted(self) -> bool:
        """Whether it was built."""
        return self.has_artifact("weights")

    def fit(self) -> Counted:
        """Leave a file, take some time, and be fitted."""
        builds, seconds, stops = self._told
        (Path(builds) / uuid4().hex).touch()
        if stops:
            pause("building")
        time.sleep(seconds)
        self.weights = [1.0, 2.0]
        return self


class Listed(NumpyDataset):
    """A dataset that stops before it is saved, if it is told to."""

    registered_name: ClassVar[str] = "RaceListed"

    def __init__(self, *, stops: bool = False, **identity: Any):
        super().__init__(**identity)
        self._stops = stops

    def build_dataframe(self) -> list[list[int]]:
        """Make the data."""
        import numpy as np

        return np.arange(6).reshape(3, 2)

    def save(self) -> Listed:
        """Save, after a stop."""
        if self._stops:
            pause("saving")
        return super().save()


def _unchecked(_claim: claims.Claim, _connection: object) -> None:
    """Let everything be committed."""


def _free(database: Database, key: str, **_: object) -> claims.Claim:
    """Give the claim to everybody."""
    return claims.Claim(database, key, 1, uuid4().hex, 60.0)


def _free_content(_made: object, content: Any, database: Database) -> claims.Claim:
    """Give the claim on the content to everybody."""
    return _free(database, content.key)


def _spoil(twin: str) -> None:
    """Put in a known-bad way of doing it."""
    if twin:
        claims.Claim.check = _unchecked
    if twin == "no_claim":
        Database.claim = _free
    if twin == "no_content_claim":
        creators._content_claim = _free_content


def ask(number: int, place: Place, builds: str, seconds: float, twin: str = "") -> tuple[UUID, int]:
    """Ask for the model that everybody asks for."""
    _spoil(twin)
    with place.opened():
        found = ModelCreator.retrieve_or_create(
            name="wanted", registered_name="RaceCounted", C=0.5, builds=builds, seconds=seconds
        )
        assert found.weights == [1.0, 2.0]
        return found.id, found.version


def ask_alone(place: Place, builds: str, lease: float, stops: bool, twin: str = "") -> tuple[UUID, int]:
    """Ask for the model with a short lease, and stop while building it if told to."""
    _spoil(twin)
    with place.opened(claim_lease=lease):
        found = ModelCreator.retrieve_or_create(
            name="wanted", registered_name="RaceCounted", C=0.5, builds=builds, stops=stops
        )
        return found.id, found.version


def ask_for_data(number: int, place: Place, strict: bool | None, stops: bool = False, twin: str = "") -> UUID:
    """Ask for the dataset that everybody asks for, by its content or by its description; by number if `strict` is None."""
    _spoil(twin)
    with place.opened():
        return DatasetCreator.retrieve_or_create(
            registered_name="RaceListed",
            name="listed",
            label_columns=[1],
            stops=stops,
            strict=number % 2 == 0 if strict is None else strict,
        ).id


def claim_on_and_on(number: int, place: Place, count: int, lease: float) -> int:
    """Claim one key over and over, and count up what only the holder may change."""
    done = 0
    with place.opened() as database:
        while done < count:
            claim = database.claim("counter", lease=lease)
            if claim is None:
                time.sleep(0.002)
                continue
            with claim:
                path = Path(place.store).parent / "counter"
                value = int(path.read_text())
                time.sleep(0.001)
                path.write_text(str(value + 1))
                done += 1
    return done


def ask_for_all(number: int, place: Place) -> list[UUID]:
    """Ask for a metric and for everything that it is made from, with classes of ours."""
    import numpy as np

    X = np.random.default_rng(1).normal(size=(200, 3))
    table = np.column_stack([X, X[:, 0] > 0])
    dataset = {"registered_name": "NumpyDataset", "name": "all", "dataframe": table, "label_columns": [3]}
    pipeline = {"registered_name": "RandomSplitSklearnPipeline", "name": "all", "train_size": 0.8}
    model = {"registered_name": "SklearnLogisticRegression", "name": "all"}
    with place.opened():
        metric = MetricCreator.retrieve_or_create(
            registered_name="AccuracyMetric",
            dataset_split="TEST",
            model_kwargs={**model, "pipeline_kwargs": {**pipeline, "dataset_kwargs": dataset}},
            build_dependencies=True,
        )
        return [metric.id, metric.model.id, metric.model.pipeline.id, metric.model.pipeline.dataset.id]
