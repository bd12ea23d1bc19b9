"""Retrieve or create, in the forms of SimpleML's README, with classes of ours and of users."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import simpleml
from simpleml import DatasetCreator, MetricCreator, ModelCreator, PersistableLoader, PipelineCreator
from simpleml.constants import TEST_SPLIT
from simpleml.datasets import Dataset, PandasDataset
from simpleml.errors import (
    IdentityError,
    RecordNotFoundError,
    TrainingError,
    TransactionError,
    UnsavedReferenceError,
)
from simpleml.jobs import classes, creators
from simpleml.metrics import Metric
from simpleml.models import Model
from simpleml.orm import Database
from simpleml.persistables import Persistable
from simpleml.pipelines import Pipeline
from simpleml.transformers import DataframeToRecords, FillWithValue, SklearnDictVectorizer
from tests.integration.kinds import Box, Cleaner, Corpus, Guess
from tests.races import creating

FRAME = {
    "Pclass": [1, 3, 2, 3, 1, 2, 3, 1, 3, 2] * 4,
    "Sex": ["f", "m", "f", "m", "f", "m", "m", "f", "f", "m"] * 4,
    "Age": [22.0, None, 26.0, 35.0, None, 54.0, 2.0, 27.0, 14.0, 4.0] * 4,
    "Survived": [1, 0, 1, 0, 1, 0, 0, 1, 1, 0] * 4,
}
COUNT = {"built": 0}

DATASET: dict[str, Any] = {"name": "titanic", "registered_name": "TitanicOfTests", "label_columns": ["Survived"]}
PIPELINE: dict[str, Any] = {
    "name": "titanic",
    "registered_name": "RandomSplitSklearnPipeline",
    "transformers": [
        ("fill_zeros", FillWithValue(values=0.0)),
        ("record_coverter", DataframeToRecords()),
        ("vectorizer", SklearnDictVectorizer()),
    ],
    "train_size": 0.8,
    "validation_size": 0.0,
    "test_size": 0.2,
}
MODEL: dict[str, Any] = {"name": "titanic", "registered_name": "SklearnLogisticRegression"}
METRIC: dict[str, Any] = {"registered_name": "AccuracyMetric", "dataset_split": TEST_SPLIT}


class TitanicOfTests(PandasDataset):
    """A small table, and how often it was built."""

    def build_dataframe(self) -> None:
        import pandas as pd

        COUNT["built"] += 1
        self._external_file = pd.DataFrame(FRAME)


def nested() -> dict[str, Any]:
    """The description of a metric, all the way down."""
    pipeline = {**PIPELINE, "dataset_kwargs": DATASET}
    return {**METRIC, "model_kwargs": {**MODEL, "pipeline_kwargs": pipeline}}


def test_the_imperative_form(home: Path) -> None:
    """The first program of SimpleML's README runs as it is but for imports; creators find what it saved, the loader too."""
    import pandas as pd

    from simpleml.metrics import AccuracyMetric
    from simpleml.models import SklearnLogisticRegression
    from simpleml.pipelines import RandomSplitSklearnPipeline

    database = Database().initialize()
    dataset = TitanicOfTests(name="titanic", label_columns=["Survived"])
    dataset.build_dataframe()
    dataset.save()
    split = {"train_size": 0.8, "validation_size": 0.0, "test_size": 0.2}
    pipeline = RandomSplitSklearnPipeline(name="titanic", transformers=PIPELINE["transformers"], **split)
    pipeline.add_dataset(dataset)
    pipeline.fit()
    pipeline.save()
    model = SklearnLogisticRegression(name="titanic")
    model.add_pipeline(pipeline)
    model.fit()
    model.save()
    metric = AccuracyMetric(dataset_split=TEST_SPLIT)
    metric.add_model(model)
    metric.score()
    metric.save()
    found = MetricCreator.retrieve_or_create(**nested())
    assert (found.id, found.name, found.model.id) == (metric.id, "classification_accuracy", model.id)
    desired = PersistableLoader.load_model(name="titanic", version=1)
    new = pd.DataFrame(FRAME).drop(columns="Survived").head(3)
    assert (desired.predict_proba(new) == model.predict_proba(new)).all()
    assert [str(line) for line in model.lineage().tree().splitlines()] == [
        "model titanic:1 (SklearnLogisticRegression)",
        "├─ made from",
        "│  └─ pipeline titanic:1 (RandomSplitSklearnPipeline)",
        "│     └─ dataset titanic:1 (TitanicOfTests)",
        "└─ used by",
        "   └─ metric classification_accuracy:1 (AccuracyMetric)",
    ]
    database.close()


def test_explicit_creation(database: Database) -> None:
    """Option 1 of the README makes a version of each, run again it finds all four, and they are what was made."""
    for _ in range(2):
        dataset = DatasetCreator.retrieve_or_create(**DATASET)
        pipeline = PipelineCreator.retrieve_or_create(dataset=dataset, **PIPELINE)
        model = ModelCreator.retrieve_or_create(pipeline=pipeline, **MODEL)
        metric = MetricCreator.retrieve_or_create(model=model, **METRIC)
        assert [one.version for one in (dataset, pipeline, model, metric)] == [1, 1, 1, 1]
    assert model.pipeline.id == pipeline.id
    assert pipeline.dataset.id == dataset.id
    assert metric.to_dict()["values"]
    assert [database.count(kind, {}) for kind in ("dataset", "pipeline", "model", "metric")] == [1, 1, 1, 1]
    assert PersistableLoader.load_metric(name=metric.name, model_id=model.id).id == metric.id


def test_implicit_creation(database: Database) -> None:
    """Option 2 of the README: each is described with what it is made from, which is retrieved by its description."""
    spec = nested()
    DatasetCreator.retrieve_or_create(**DATASET)
    pipeline_kwargs = spec["model_kwargs"]["pipeline_kwargs"]
    pipeline = PipelineCreator.retrieve_or_create(**pipeline_kwargs)
    model = ModelCreator.retrieve_or_create(**spec["model_kwargs"])
    metric = MetricCreator.retrieve_or_create(**spec)
    assert (metric.model.id, metric.model.pipeline.id) == (model.id, pipeline.id)
    assert database.count("pipeline", {}) == 1


def test_a_missing_dependency(local: Database) -> None:
    """A nested description of what is not there is an error that says why and what to call; nothing is made."""
    with pytest.raises(
        TrainingError, match=r"no dataset is named 'titanic'.*DatasetCreator\.retrieve_or_create\(name='titanic'"
    ):
        PipelineCreator.retrieve_or_create(**PIPELINE, dataset_kwargs=DATASET)
    with pytest.raises(TrainingError, match="build_dependencies=True"):
        MetricCreator.retrieve_or_create(**nested())
    with pytest.raises(TrainingError, match="dataset_id of one that is saved"):
        PipelineCreator.create(**PIPELINE, dataset_id=uuid4())
    assert [local.count(kind, {}) for kind in ("dataset", "pipeline", "model", "metric")] == [0, 0, 0, 0]


def test_dependencies_are_built_if_that_is_said(database: Database) -> None:
    """With build_dependencies the whole nested description is made, bottom up, and found the next time."""
    first = MetricCreator.retrieve_or_create(**nested(), build_dependencies=True)
    second = MetricCreator.retrieve_or_create(**nested(), build_dependencies=True)
    assert first.id == second.id
    assert [database.count(kind, {}) for kind in ("dataset", "pipeline", "model", "metric")] == [1, 1, 1, 1]


def test_references(local: Database) -> None:
    """By id, by name and version, by name, in the arguments and in nested ones; what is not there is an error or None."""
    metric = MetricCreator.retrieve_or_create(**nested(), build_dependencies=True)
    model = metric.model
    assert ModelCreator.retrieve(id=str(model.id)).id == model.id
    assert ModelCreator.retrieve(name="titanic", version=1).id == model.id
    assert ModelCreator.retrieve(name="titanic").id == model.id
    assert MetricCreator.retrieve(name=metric.name, model_id=model.id).id == metric.id
    assert MetricCreator.retrieve(name=metric.name, model=model).id == metric.id
    assert MetricCreator.retrieve(name=metric.name, model_kwargs={"name": "titanic", "version": 1}).id == metric.id
    assert (
        PipelineCreator.retrieve(**PIPELINE, dataset_kwargs={"name": "titanic", "version": 1}).id == model.pipeline.id
    )
    assert PipelineCreator.retrieve(**PIPELINE, dataset_id=model.pipeline.dataset.id).id == model.pipeline.id
    assert ModelCreator.retrieve(name="titanic", version=2) is None
    assert ModelCreator.retrieve(id=uuid4()) is None
    with pytest.raises(TrainingError, match="model with name=titanic, version=7 is not there"):
        ModelCreator.retrieve_or_create(name="titanic", version=7)
    with pytest.raises(TrainingError, match="registered_name"):
        ModelCreator.retrieve_or_create(C=1.0)


def test_a_reference_is_refused_what_is_not_so(local: Database) -> None:
    """Besides a reference, keywords that nothing takes and parameters that the record has not are errors; true ones are not."""
    made = ModelCreator.retrieve_or_create(**nested()["model_kwargs"], params={"C": 8.0}, build_dependencies=True)
    for true in ({}, {"params": {"C": 8.0, "max_iter": 100}}, {"C": 8}, {"pipeline": made.pipeline}):
        assert ModelCreator.retrieve_or_create(name="titanic", **true).id == made.id
        assert ModelCreator.retrieve(name="titanic", version=1, **true).id == made.id
    for reference in ({"name": "titanic"}, {"name": "titanic", "version": 1}, {"id": made.id}):
        for wrong in ({"params": {"C": 77.0}}, {"C": 77.0}):
            with pytest.raises(
                TrainingError, match=r"has C=8.0, not 77.0: leave that out, or give registered_name='Sklea"
            ):
                ModelCreator.retrieve_or_create(**reference, **wrong)
        with pytest.raises(TrainingError, match=r"takes no keyword 'parms'.*did you mean 'params'"):
            ModelCreator.retrieve_or_create(**reference, parms={"C": 8.0})
        with pytest.raises(TrainingError, match=r"has no parameter 'D'"):
            ModelCreator.retrieve(**reference, params={"D": 8.0})
        with pytest.raises(TrainingError, match=r"takes no keyword 'registered_nam': write registered_name="):
            ModelCreator.retrieve_or_create(**reference, registered_nam="SklearnLogisticRegression", params={"C": 8.0})
    made.new_version().save()
    assert ModelCreator.retrieve(name="titanic", params={"C": 8.0}).version == 2


def test_a_metric_of_several_models_is_not_found_by_its_version(local: Database) -> None:
    """A name and a version that the metrics of two models have say which only with the model."""
    for c in (1.0, 2.0):
        model = {**nested()["model_kwargs"], "C": c}
        metric = MetricCreator.retrieve_or_create(**METRIC, model_kwargs=model, build_dependencies=True)
    with pytest.raises(
        IdentityError, match=r"of several models: 'titanic' version 2, 'titanic' version 1; say of which"
    ):
        MetricCreator.retrieve(name=metric.name, version=1)
    assert MetricCreator.retrieve(name=metric.name, version=1, model=metric.model).id == metric.id


def test_create_always_makes_a_version(local: Database) -> None:
    """`create` makes the next version of the same content; `retrieve_or_create` then returns the latest."""
    made = [DatasetCreator.create(**DATASET).version for _ in range(2)]
    assert made == [1, 2]
    assert DatasetCreator.retrieve_or_create(**DATASET).version == 2


def test_a_parameter_makes_another_model(local: Database) -> None:
    """Other parameters, another split, other label columns: each is another object, and says in what it differs."""
    spec = nested()["model_kwargs"]
    first = ModelCreator.retrieve_or_create(**spec, build_dependencies=True)
    found = creators.resolve("model", {**spec, "params": {"C": 0.25}})
    assert found.hit is None
    assert found.why == "version 1 of 'titanic' differs in params.C: 1.0 → 0.25"
    second = creators.build(found)
    assert (second.version, second.id != first.id) == (2, True)
    hit = creators.resolve("model", {**spec, "params": {"C": 0.25}})
    assert hit.hit is not None
    assert hit.hit.id == second.id
    assert "has the same content hash" in hit.why
    assert creators.build(hit) is hit.hit


def test_what_is_taken_by_position(local: Database) -> None:
    """A model of any estimator is asked for by the name of the argument; the estimator that is handed in stays unfitted."""
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression(C=0.5)
    spec = {**nested()["model_kwargs"], "registered_name": "SklearnModel", "estimator": estimator}
    made = ModelCreator.retrieve_or_create(**spec, build_dependencies=True)
    assert ModelCreator.retrieve_or_create(**spec).id == made.id
    assert not hasattr(estimator, "coef_")
    assert made.get_params()["C"] == 0.5


def test_derived_datasets(local: Database) -> None:
    """A dataset that a pipeline derives from another one is made with both, and found with and without its content."""
    raw = {**DATASET, "name": "raw"}
    pipeline = {"registered_name": "NoSplitSklearnPipeline", "name": "clean", "dataset_kwargs": raw}
    spec = {"registered_name": "PandasPipelineDataset", "name": "derived", "label_columns": ["Survived"]}
    made = DatasetCreator.retrieve_or_create(**spec, pipeline_kwargs=pipeline, build_dependencies=True)
    assert len(made.dataframe) == 40
    for strict in (True, False):
        assert DatasetCreator.retrieve_or_create(**spec, pipeline_kwargs=pipeline, strict=strict).id == made.id
    assert local.count("dataset", {}) == 2


def test_strict(local: Database) -> None:
    """A dataset is built to be compared unless strict=False, which goes by name, class, inputs and config alone."""
    DatasetCreator.retrieve_or_create(**DATASET)
    COUNT["built"] = 0
    assert DatasetCreator.retrieve(**DATASET, strict=False).version == 1
    assert COUNT["built"] == 0
    assert DatasetCreator.retrieve(**DATASET).version == 1
    assert COUNT["built"] == 1
    assert DatasetCreator.retrieve(**{**DATASET, "label_columns": ["Age"]}, strict=False) is None
    other = DatasetCreator.retrieve_or_create(**{**DATASET, "label_columns": ["Age"]}, strict=False)
    assert other.version == 2
    assert DatasetCreator.retrieve_or_create(**{**DATASET, "label_columns": ["Age"]}, strict=False).id == other.id
    model = ModelCreator.retrieve_or_create(**nested()["model_kwargs"], build_dependencies=True)
    assert ModelCreator.retrieve(**nested()["model_kwargs"], strict=True).id == model.id


def test_one_content_under_two_names(local: Database) -> None:
    """A name that is given counts: the same content is made again under another one, and found without any."""
    first = DatasetCreator.retrieve_or_create(**DATASET)
    second = DatasetCreator.retrieve_or_create(**{**DATASET, "name": "other"})
    assert (first.name, second.name, first.hash_ == second.hash_) == ("titanic", "other", True)
    unnamed = {key: value for key, value in DATASET.items() if key != "name"}
    assert DatasetCreator.retrieve_or_create(**unnamed).id in {first.id, second.id}


def test_a_metric_belongs_to_its_model(local: Database) -> None:
    """Of two versions of one model each has a metric of its own, though their contents are the same."""
    spec = nested()["model_kwargs"]
    one = ModelCreator.retrieve_or_create(**spec, build_dependencies=True)
    two = ModelCreator.create(**spec)
    assert one.hash_ == two.hash_
    found = [MetricCreator.retrieve_or_create(model=model, **METRIC) for model in (one, two, two)]
    assert found[0].id != found[1].id == found[2].id
    assert [metric.version for metric in found] == [1, 1, 1]


def test_classes_are_found(local: Database) -> None:
    """Ours are found without an import, SimpleML's names for them too, users' when they are defined; a typo is told."""
    assert classes.find("dataset", "BasePandasDataset") is PandasDataset
    assert classes.find("model", "SklearnRidge").kind == "model"
    assert classes.find("dataset", TitanicOfTests) is TitanicOfTests
    assert classes.find("dataset", "TitanicOfTests") is TitanicOfTests
    with pytest.raises(TrainingError, match="did you mean 'TitanicOfTests'"):
        classes.find("dataset", "TitanicOfTest")
    with pytest.raises(TrainingError, match="is a dataset, not a model"):
        classes.find("model", "TitanicOfTests")
    with pytest.raises(TrainingError, match="no persistable"):
        classes.find("model", "PythonIterator")
    with pytest.raises(IdentityError, match="labels"):
        DatasetCreator.create(registered_name="TitanicOfTests", labels=["Survived"])


def test_found_in_a_fresh_process(tmp_path: Path) -> None:
    """A class of ours is found by its name where nothing was imported, and importing the creators imports no library."""
    code = (
        "import sys, simpleml\n"
        "from simpleml.jobs import classes\n"
        "from simpleml import ModelCreator\n"
        "assert not {'numpy', 'pandas', 'sklearn', 'fsspec'} & sys.modules.keys(), sys.modules.keys()\n"
        "print(classes.find('pipeline', 'RandomSplitSklearnPipeline').__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("RandomSplitSklearnPipeline\n", "")


def test_what_cannot_be_made(local: Database) -> None:
    """Unsaved inputs, transactions and wrong descriptions are refused before anything is built."""
    unsaved = TitanicOfTests(name="titanic", label_columns=["Survived"])
    for call in (PipelineCreator.retrieve_or_create, PipelineCreator.create):
        with pytest.raises(UnsavedReferenceError, match="save that first"):
            call(dataset=unsaved, **PIPELINE)
    with pytest.raises(TransactionError, match="before the block"), simpleml.transaction():
        DatasetCreator.retrieve_or_create(**DATASET)
    with pytest.raises(TrainingError, match="must be a mapping"):
        PipelineCreator.create(**PIPELINE, dataset_kwargs="titanic")
    with simpleml.transaction():
        DatasetCreator.create(**DATASET)
    assert DatasetCreator.retrieve(**DATASET) is not None
    assert local.count("dataset", {}) == 1


def test_threads_ask_at_once(database: Database, tmp_path: Path) -> None:
    """8 threads of one process that ask for the same model get one record, which one of them built."""
    spec = {"name": "wanted", "registered_name": "RaceCounted", "C": 0.5, "builds": str(tmp_path / "builds")}
    (tmp_path / "builds").mkdir()
    assert creating.Counted.registered_name == spec["registered_name"]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ModelCreator.retrieve_or_create(**spec, seconds=0.2).id, range(8)))
    assert len(set(found)) == 1
    assert len(list((tmp_path / "builds").iterdir())) == 1
    assert database.count("model", {}) == 1


class Fickle(Persistable):
    """A model whose hash is known only when it is built, and that fails if it is told to."""

    kind = "model"
    record_fields = ("params", "feature_metadata")
    params = None
    feature_metadata = None
    weights = simpleml.Artifact[Any]()
    failing = False
    built = 0

    def fit(self) -> None:
        """Build, or fail."""
        type(self).built += 1
        if self.failing:
            raise ZeroDivisionError
        self.weights = [1.0]


@pytest.fixture
def fickle() -> Iterator[type[Fickle]]:
    """The class as it was."""
    Fickle.failing, Fickle.built = False, 0
    yield Fickle
    Fickle.failing = False


def test_a_hash_that_building_changes(database: Database, fickle: type[Fickle]) -> None:
    """Where the hash follows from the build, every asker builds, but one record is made."""
    asked = [ModelCreator.retrieve_or_create(registered_name="Fickle", name="x") for _ in range(3)]
    assert {each.id for each in asked} == {asked[0].id}
    assert fickle.built == 3
    assert database.count("model", {}) == 1


def test_a_build_that_fails_gives_its_claim_back(database: Database, fickle: type[Fickle]) -> None:
    """What a build raises comes out as it is, and the next asker need not wait for any lease."""
    fickle.failing = True
    with pytest.raises(ZeroDivisionError):
        ModelCreator.retrieve_or_create(registered_name="Fickle", name="x")
    fickle.failing = False
    assert ModelCreator.retrieve_or_create(registered_name="Fickle", name="x").version == 1


def test_any_resolution_can_be_built(local: Database) -> None:
    """Whoever has an unbuilt object builds it under the same claim; of two equal ones the second is the first."""
    first, second = (
        creators.build(creators.Resolution(None, TitanicOfTests(name="titanic", label_columns=["Survived"]), ""))
        for _ in range(2)
    )
    assert first.id == second.id


def test_dependencies_may_be_handed_over(local: Database) -> None:
    """`resolve` takes what an object is made from beside its description, which stays plain data."""
    dataset = DatasetCreator.create(**DATASET)
    found = creators.resolve("pipeline", PIPELINE, {"dataset": dataset})
    assert found.unbuilt is not None
    assert found.unbuilt.dataset is dataset
    assert creators.build(found).version == 1


def test_the_loader(local: Database) -> None:
    """Each kind is loaded by its columns, with operators, the latest version first; what is not there is listed."""
    corpora = [Corpus(name="data", rows=[number]).save() for number in range(3)]
    cleaner = Cleaner(name="clean", dataset=corpora[0], fitted=1).save()
    guess = Guess(name="guess", pipeline=cleaner, weights=1).save()
    assert PersistableLoader.load_dataset(name="data").version == 3
    assert PersistableLoader.load_dataset(name="data", version=2).id == corpora[1].id
    assert PersistableLoader.load_dataset(name__like="da%", version__lt=2).id == corpora[0].id
    assert PersistableLoader.load_pipeline(dataset_id=corpora[0].id).id == cleaner.id
    assert PersistableLoader.load_model(name="guess").id == guess.id
    with pytest.raises(RecordNotFoundError, match="known versions of 'data': 1, 2, 3"):
        PersistableLoader.load_dataset(name="data", version=9)
    assert isinstance(simpleml.jobs.PersistableLoader, type)
    assert Box.kind == "persistable"


def test_labels_that_a_loader_says_are_part_of_the_description(local: Database) -> None:
    """A dataset that has its label columns from its loader is found again without strict, however often one asks."""
    spec = {"registered_name": "PandasSklearnDataset", "loader": "load_iris", "name": "iris"}
    made = DatasetCreator.retrieve_or_create(**spec)
    assert DatasetCreator.retrieve(**spec, strict=False).id == made.id
    assert DatasetCreator.retrieve_or_create(**spec, strict=False).id == made.id
    assert local.count("dataset", {}) == 1


@pytest.mark.parametrize(
    ("owner", "role", "kind"),
    [
        (Metric, "model", Model),
        (Metric, "dataset", Dataset),
        (Model, "pipeline", Pipeline),
        (Pipeline, "dataset", Dataset),
    ],
)
def test_type_checkers_see_the_kinds(owner: type, role: str, kind: type) -> None:
    """What an object is made from is declared as its kind, and what a creator returns too, and not as any persistable."""
    assert owner.__annotations__[role] == f"Lineage[{kind.__name__}]"
    creator = getattr(simpleml, f"{kind.__name__}Creator")
    assert creator.__orig_bases__ == (creators.PersistableCreator[kind],)
    assert creator.retrieve_or_create.__annotations__["return"] == "P"


@pytest.mark.parametrize("kind", ["dataset", "pipeline", "model", "metric"])
def test_only_classes_of_the_kind_are_offered(kind: str) -> None:
    """Every name that a message about an unknown class chooses from is that of a class of the kind; sources and splits are not."""
    known = classes._known(kind)
    assert f"{kind.capitalize()}" in known
    assert [name for name in known if classes.find(kind, name).kind != kind] == []
    wrong = {"dataset": "FileSourc", "pipeline": "KFol", "model": "PythonIterato", "metric": "Curve"}[kind]
    with pytest.raises(TrainingError, match=f"no {kind} class is registered as {wrong!r}") as error:
        classes.find(kind, wrong)
    assert not re.search(rf"\b{wrong}[a-z]\b", str(error.value))


def test_an_input_of_a_reference_is_checked(local: Database) -> None:
    """Whatever is no saved model cannot say which metric of a name is meant."""
    for wrong in ("titanic", 5, DatasetCreator.retrieve_or_create(**DATASET)):
        with pytest.raises(TrainingError, match="is made from a model, but model is"):
            MetricCreator.retrieve(name="accuracy", version=1, model=wrong)


def test_create_is_told_what_to_make(local: Database) -> None:
    """A name or an id says what is there, not what to make, and the message says what is missing."""
    for what in ({"name": "titanic"}, {"id": uuid4()}):
        with pytest.raises(TrainingError, match="not named: give registered_name="):
            ModelCreator.create(**what)


def test_waiting_for_another_process_is_told(
    local: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for longer than a moment says so once, and goes on when the other one has gone."""
    monkeypatch.setattr(creators, "_SILENT", 0.1)
    resolution = creators.resolve("dataset", DATASET)
    held = local.claim(resolution.match.key)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(creators.build, resolution)
        while not caplog.records:
            assert not waiting.done()
        held.release()
        assert waiting.result(60).version == 1
    assert ["waiting for another process" in record.getMessage() for record in caplog.records] == [True]
