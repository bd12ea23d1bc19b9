"""Models with their pipelines and datasets, saved and used on each database: what comes back, and what it costs in SQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import simpleml
from simpleml.datasets import PandasDataset
from simpleml.errors import ModelError
from simpleml.models import Model, SklearnLogisticRegression, SklearnModel
from simpleml.orm import Database
from simpleml.pipelines import SklearnPipeline
from simpleml.pipelines.splits import RandomSplit
from tests.races.test_statements import counting

FRAME = load_iris(as_frame=True).frame
FEATURES = [name for name in FRAME.columns if name != "target"]
ROW = FRAME[FEATURES].iloc[[75]]


def build(**params):
    """Save a dataset and a pipeline, and return a fitted, unsaved model."""
    dataset = PandasDataset(FRAME, label_columns=["target"], name="irises").save()
    steps = ColumnTransformer([("a", StandardScaler(), FEATURES[:2]), ("b", MinMaxScaler(), FEATURES[2:])])
    pipeline = SklearnPipeline(
        [("scale", steps)], split=RandomSplit(train_size=0.8, test_size=0.2), name="scaled", dataset=dataset
    )
    pipeline.fit().save()
    return SklearnLogisticRegression(name="irises", pipeline=pipeline, **params).fit()


def test_a_model_comes_back_with_its_pipeline_and_says_the_same(database: Database) -> None:
    """Class, hash, parameters, features, state and predictions are those that were saved; the lineage leads to the data."""
    model = build(params={"C": 5}).save()
    loaded = Model.load("irises")
    assert type(loaded) is SklearnLogisticRegression
    assert (loaded.hash_, loaded.params["C"]) == (model.hash_, 5)
    assert loaded.feature_metadata == model.feature_metadata
    assert loaded.feature_metadata["names"] == [f"{step}__{name}" for step, name in zip("aabb", FEATURES, strict=True)]
    assert loaded.state == model.state
    expected = model.predict_proba(FRAME[FEATURES])
    assert loaded.predict_proba(FRAME[FEATURES]).tobytes() == expected.tobytes()
    assert loaded.pipeline.hash_ == model.pipeline.hash_
    assert loaded.pipeline.dataset.name == "irises"
    assert loaded.get_labels("TEST").equals(model.get_labels("TEST"))
    assert loaded._hash() == model.hash_
    [found] = SklearnModel.query(metadata__config__params__C=5)
    assert found.id == model.id


def test_predicting_asks_no_database_once_everything_is_held(database: Database) -> None:
    """The first prediction finds the pipeline by its id, every other one asks nothing, with the pipeline or without."""
    build().save()
    loaded = SklearnModel.load("irises")
    with counting(database) as seen:
        first = loaded.predict(ROW)
    assert 1 <= len([statement for statement in seen if statement.startswith("SELECT")]) <= 2
    with counting(database) as seen:
        for _ in range(20):
            assert loaded.predict(ROW).tolist() == first.tolist()
            loaded.predict_proba(ROW)
            loaded.predict(np.zeros((1, 4)), transform=False)
            loaded.get_params()
    assert seen == []


def test_a_model_without_pipeline_predicts_without_any_statement(database: Database) -> None:
    """Reading the estimator and predicting takes no SQL at all; loading the pipeline anew each time would not pass."""
    data, labels = FRAME[FEATURES].to_numpy(), FRAME["target"].to_numpy()
    SklearnModel(RandomForestClassifier(3, random_state=0), name="bare").fit(data, labels).save()
    loaded = SklearnModel.load("bare")
    with counting(database) as seen:
        loaded.predict(data[:1])
        loaded.score(data, labels)
    assert seen == []
    build().save()
    with counting(database) as seen:
        for _ in range(3):
            SklearnModel.load("irises").predict(ROW)
    assert seen != []


def test_fitting_and_hashing_ask_no_database(database: Database) -> None:
    """With the pipeline and the dataset at hand, a fit is no matter of the database."""
    model = build()
    fresh = SklearnLogisticRegression(name="irises", C=0.1, pipeline=model.pipeline)
    with counting(database) as seen:
        fresh.fit()
        fresh._hash()
    assert seen == []


def test_a_loaded_model_is_refitted_as_a_new_version_on_the_pipeline_it_has(database: Database) -> None:
    """The copy of a loaded model takes other parameters, is fitted from the stored pipeline and data, and is version 2."""
    first = build(C=1).save()
    with pytest.raises(ModelError, match="fitted once"):
        SklearnModel.load("irises").fit()
    second = SklearnModel.load("irises").new_version().set_params(C=0.01).fit().save()
    assert (second.version, second.params["C"]) == (2, 0.01)
    assert second.state["rows"] == first.state["rows"] == 120
    assert second.state["data_hash"] == first.state["data_hash"]
    assert second.hash_ != first.hash_
    again = SklearnModel.load("irises", version=1).new_version().fit().save()
    assert again.hash_ == first.hash_


def test_artifacts_of_model_and_pipeline_need_no_simpleml(database: Database) -> None:
    """Where simpleml cannot be imported, plain pickle reads the model and its pipeline, and they predict the same."""
    model = build().save()
    stored = {
        "model": model.filepaths["external_model"]["pickled"]["key"],
        "pipeline": model.pipeline.filepaths["external_pipeline"]["pickled"]["key"],
        "dataset": next(iter(model.pipeline.dataset.filepaths["dataframe"].values()))["key"],
    }
    root = Path(database.settings.stores["default"])
    script = (
        "import sys, pickle, pandas\n"
        "sys.modules['simpleml'] = None\n"
        "pipeline, model = (pickle.load(open(path, 'rb')) for path in sys.argv[1:3])\n"
        "frame = pandas.read_parquet(sys.argv[3]).drop(columns='target')\n"
        "print(type(model).__module__, model.predict_proba(pipeline.transform(frame)).tobytes().hex())\n"
        "assert not any(name.startswith('simpleml.') for name in sys.modules)"
    )
    paths = [str(root / stored[name]) for name in ("pipeline", "model", "dataset")]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    module, said = done.stdout.split()
    assert module == "sklearn.linear_model._logistic"
    assert said == model.predict_proba(FRAME[FEATURES]).tobytes().hex()


def test_save_patterns_are_chosen_under_simplemls_name_too(database: Database) -> None:
    """`save_patterns={"model": …}` means the artifact that is called `external_model` here."""
    made = SklearnLogisticRegression(name="j", save_patterns={"model": ["joblib"]}, max_iter=500)
    model = made.fit(FRAME[FEATURES], FRAME["target"]).save()
    assert list(model.filepaths["external_model"]) == ["joblib"]
    loaded = simpleml.load("model", name="j")
    assert loaded.predict(ROW).tolist() == model.predict(ROW).tolist()


def test_nothing_of_a_failed_fit_is_saved(database: Database) -> None:
    """A fit that raises leaves an unfitted model, which is refused at save, and no record."""
    model = build()
    with pytest.raises(ValueError, match="solver"):
        SklearnLogisticRegression(name="bad", pipeline=model.pipeline, solver="nonsense").fit()
    bad = SklearnLogisticRegression(name="bad", pipeline=model.pipeline, solver="nonsense")
    with pytest.raises(ModelError, match=r"save\(\) is refused"):
        bad.save()
    assert database.count("model", {}) == 0
