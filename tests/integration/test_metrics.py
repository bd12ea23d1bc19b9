# ruff: noqa: PD011 - `values` are those of a metric, not of a frame
"""Metrics of real models on real splits: scored once, saved, and read back, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import weakref

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

import simpleml
from simpleml.datasets import NumpyDataset, PandasDataset, PolarsDataset
from simpleml.errors import ImmutableVersionError, LineageError, MetricError, ReferencedError, UnsavedReferenceError
from simpleml.jobs import MetricCreator
from simpleml.metrics import (
    AccuracyMetric,
    ConfusionMatrixMetric,
    F1ScoreMetric,
    FprTprMetric,
    FunctionMetric,
    LogLossMetric,
    Metric,
    MulticlassRocAucMetric,
    NdcgMetric,
    RocAucMetric,
    RootMeanSquaredErrorMetric,
    ScorerMetric,
    ThresholdPpvMetric,
    TprMetric,
    samples,
)
from simpleml.metrics import (
    metric as metric_of,
)
from simpleml.models import SklearnModel
from simpleml.orm import Database, ORMMetric
from simpleml.pipelines import ExplicitSplitSklearnPipeline, RandomSplitSklearnPipeline, SklearnPipeline

SPLITS = ("TRAIN", "VALIDATION", "TEST", None)


class Watched(TransformerMixin, BaseEstimator):
    """A scaler that counts how often it transforms, and how many rows."""

    seen: list[int] = []

    def fit(self, X, y=None):
        self.scaler_ = StandardScaler().fit(X)
        return self

    def transform(self, X):
        Watched.seen.append(len(X))
        return self.scaler_.transform(X)


def table(rows=120, seed=0, names=("no", "yes")):
    """Return a frame of two features, a label of two classes and the group of each row."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    y = np.array(names)[(x.sum(axis=1) + rng.normal(scale=0.7, size=rows) > 0).astype(int)]
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y, "g": np.arange(rows) // 12})


def trained(dataset, estimator=None, *, split=True, **names):
    """Return a saved model, fitted on the training split of a pipeline with a watched step."""
    dataset.save()
    steps = [("watched", Watched())]
    options = {"train_size": 0.6, "validation_size": 0.2, "random_state": 1}
    made = RandomSplitSklearnPipeline(steps, **options) if split else SklearnPipeline(steps)
    pipeline = made.add_dataset(dataset).fit().save()
    model = SklearnModel(estimator or LogisticRegression(), name="model", **names)
    model = model.add_pipeline(pipeline).fit().save()
    Watched.seen.clear()
    return model


def expected(model, split):
    """Return the labels and the probabilities of the second class of a split, without any metric."""
    rows = model.pipeline.get_dataset_split(split)
    found = np.asarray(rows.y).ravel(), model.predict_proba(rows.X)[:, 1]
    Watched.seen.clear()
    return found


@pytest.fixture
def model(database: Database):
    """A saved model of two classes."""
    return trained(PandasDataset(table(names=(0, 1)), label_columns=["y"], name="table"))


def test_a_metric_is_not_recorded_with_a_model_that_it_did_not_score(model):
    """A model or a dataset that is exchanged after scoring is refused at save until it is scored again."""
    metric = AccuracyMetric(dataset_split="TEST").add_model(model).score()
    metric.model = model.new_version().set_params(C=1e-6).fit().save()
    with pytest.raises(LineageError, match=r"scored with another model.*Call score\(\) again"):
        metric.save()
    assert metric.score().save().version == 1
    metric = AccuracyMetric().add_model(model).score()
    metric.dataset = PandasDataset(table(30, seed=7, names=(0, 1)), label_columns=["y"], name="other").save()
    with pytest.raises(LineageError, match="scored with another dataset"):
        metric.save()


def test_each_split_has_its_own_numbers(model):
    """A metric of each split, and of all data, is what scikit-learn says of those rows; each is saved under its own name."""
    made = {split: RocAucMetric(dataset_split=split).add_model(model).score().save() for split in SPLITS}
    for split, metric in made.items():
        labels, scores = expected(model, split)
        assert metric.values == {"agg": pytest.approx(sk.roc_auc_score(labels, scores))}
        assert metric.state["rows"] == len(labels)
    assert [metric.name for metric in made.values()] == [
        "in_sample_roc_auc",
        "validation_roc_auc",
        "roc_auc",
        "whole_data_roc_auc",
    ]
    assert all(metric.version == 1 for metric in made.values())
    assert sorted(RocAucMetric.load(metric.name).values["agg"] for metric in made.values()) == sorted(
        metric.values["agg"] for metric in made.values()
    )


def test_several_metrics_of_a_split_run_the_pipeline_once(model):
    """The pipeline transforms each split once for any number of metrics, whether they need labels, probabilities or a curve."""
    kinds = (AccuracyMetric, F1ScoreMetric, RocAucMetric, FprTprMetric, ThresholdPpvMetric, LogLossMetric)
    for split in ("TRAIN", "TEST"):
        found = [kind(dataset_split=split).add_model(model).score() for kind in kinds]
        found.append(ScorerMetric(scorer="neg_log_loss", dataset_split=split).add_model(model).score())
        assert found[-1].values["agg"] == pytest.approx(-found[-2].values["agg"])
        found[3].confusion_matrix  # noqa: B018 - it is computed when it is read
    assert Watched.seen == [72, 24]


def test_a_loaded_model_is_asked_once_too(model):
    """Metrics of one loaded model object share what it said; another object of the same model asks for itself."""
    loaded = simpleml.load("model", name="model")
    for kind in (AccuracyMetric, TprMetric, ConfusionMatrixMetric):
        kind(dataset_split="TEST").add_model(loaded).score()
    assert Watched.seen == [24]
    AccuracyMetric(dataset_split="TEST").add_model(simpleml.load("model", name="model")).score()
    assert Watched.seen == [24, 24]


def test_what_is_kept_for_other_metrics_is_small(model):
    """Of several splits the features of the last alone are held, and with the model everything goes."""
    for split in SPLITS:
        AccuracyMetric(dataset_split=split).add_model(model).score()
    kept = samples._kept[model]
    assert [sample._split is not None for sample in kept.values()] == [False, False, False, True]
    other = SklearnModel(LogisticRegression(C=2), name="other").add_pipeline(model.pipeline).fit().save()
    Watched.seen.clear()
    AccuracyMetric(dataset_split="TEST").add_model(other).score()
    assert all(sample._split is None for sample in kept.values())
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None


def test_a_model_that_is_not_saved_is_asked_anew(local: Database):
    """What an unsaved model says is not kept, for it may still be changed."""
    model = trained(PandasDataset(table(names=(0, 1)), label_columns=["y"], name="table"))
    again = model.new_version().set_params(C=1e-6).fit()
    first = LogLossMetric(dataset_split="TEST").add_model(again).score().values
    again.estimator.coef_[:] = 3.0
    assert LogLossMetric(dataset_split="TEST").add_model(again).score().values != first
    assert model not in samples._kept
    assert again not in samples._kept


def test_versions_count_for_each_name_and_model(model):
    """Two models have metrics of one name, each with versions of its own."""
    other = SklearnModel(LogisticRegression(C=0.01), name="other").add_pipeline(model.pipeline).fit().save()
    for scored, count in ((model, 2), (other, 1)):
        for version in range(1, count + 1):
            saved = AccuracyMetric(dataset_split="TEST").add_model(scored).score().save()
            assert saved.version == version
    assert len(AccuracyMetric.query(name="classification_accuracy").all()) == 3
    latest = AccuracyMetric.load("classification_accuracy", model_id=model.id)
    assert (latest.version, latest.model.name) == (2, "model")


def test_a_metric_comes_back_in_a_process_that_imported_nothing(model, database_url, tmp_path):
    """Values, note and class are there again, a curve can be plotted, and scoring again gives the same; plain SQL reads the values."""
    curve = FprTprMetric(dataset_split="TEST").add_model(model).score().save()
    matrix = ConfusionMatrixMetric(dataset_split="TEST").add_model(model).score().save()
    script = textwrap.dedent("""
        import sys, json, simpleml
        simpleml.connect(sys.argv[1], store=sys.argv[2])
        curve = simpleml.load("metric", name="fpr_tpr_curve")
        print(type(curve).__module__, type(curve).__name__, curve.dataset_split, curve.version)
        print(json.dumps(curve.values), list(map(float, curve.values)) == sorted(map(float, curve.values)))
        assert curve._repr_png_().startswith(b"\\x89PNG")
        print(json.dumps(simpleml.load("metric", name="confusion_matrix").values))
    """)
    command = [sys.executable, "-c", script, database_url, tmp_path / "store"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, values, confused = done.stdout.splitlines()
    assert told == "simpleml.metrics.curves FprTprMetric TEST 1"
    assert values == f"{json.dumps(curve.values)} True"
    row = ORMMetric.where(name="fpr_tpr_curve").first()
    assert dict(row.values) == curve.values
    assert json.loads(confused) == matrix.values
    loaded = FprTprMetric.load("fpr_tpr_curve")
    before = loaded.values
    assert loaded.score().values == before
    assert loaded.save().version == 1


def test_a_saved_metric_cannot_get_other_values(model):
    """Scoring a saved metric again is allowed; saving other values under the same version is not."""
    saved = AccuracyMetric(dataset_split="TEST").add_model(model).score().save()
    saved.values = {"agg": 1.5}
    with pytest.raises(ImmutableVersionError, match="values"):
        saved.save()
    again = saved.new_version().score().save()
    assert again.version == 2


def test_the_hash_is_known_before_scoring(model):
    """It covers class, parameters, split, model and dataset, and not the values, so that a creator finds what is there."""
    unscored = AccuracyMetric(dataset_split="TEST").add_model(model)
    known = unscored._hash()
    assert unscored.score().save().hash_ == known
    others = [
        AccuracyMetric(dataset_split="TRAIN").add_model(model),
        TprMetric(dataset_split="TEST").add_model(model),
        TprMetric(dataset_split="TEST", pos_label=1).add_model(model),
        AccuracyMetric(dataset_split="TEST").add_model(model).add_dataset(model.pipeline.dataset),
    ]
    assert len({known, *(each._hash() for each in others)}) == 5


def test_a_creator_scores_once(model):
    """`MetricCreator.retrieve_or_create` scores and saves the first time, and finds it the second time."""
    spec = {"registered_name": "FprTprMetric", "dataset_split": "TEST", "model": model}
    first = MetricCreator.retrieve_or_create(**spec)
    second = MetricCreator.retrieve_or_create(**spec)
    assert first.id == second.id
    assert second.values == first.values
    assert Watched.seen == [24]
    found = metric_of("right", sk.accuracy_score)(dataset_split="TEST").add_model(model).score().save()
    assert [each.values for each in type(found).query()] == [found.values]
    assert (type(found).query().count(), FunctionMetric.query().count()) == (1, 1)
    named = {"registered_name": "FunctionMetric", "function": "sklearn.metrics:accuracy_score", "model": model}
    assert MetricCreator.retrieve_or_create(**named).id == MetricCreator.retrieve_or_create(**named).id


# which data


def test_the_training_dataset_means_the_pipelines_split(model):
    """A dataset that is the one the model was trained on is scored by the pipeline's split, as if none was given."""
    plain = AccuracyMetric(dataset_split="TEST").add_model(model).score()
    given = AccuracyMetric(dataset_split="TEST").add_model(model).add_dataset(model.pipeline.dataset).score().save()
    assert given.values == plain.values
    assert AccuracyMetric.load("classification_accuracy").dataset.name == "table"


def test_another_dataset_is_scored_by_its_own_splits(model):
    """Its raw features go through the model's pipeline; its splits are those it names itself; all of it without one."""
    frame = table(rows=40, seed=7, names=(0, 1))
    frame["DATASET_SPLIT"] = np.where(np.arange(40) < 10, "NEW", "OLD")
    fresh = PandasDataset(frame, label_columns=["y"], name="fresh").save()
    for split, rows in (("NEW", frame[:10]), ("OLD", frame[10:]), (None, frame)):
        metric = AccuracyMetric(dataset_split=split).add_model(model).add_dataset(fresh).score().save()
        predicted = model.predict(rows[["a", "b", "g"]])
        assert metric.values["agg"] == pytest.approx((predicted == rows["y"].to_numpy()).mean())
    with pytest.raises(MetricError, match=r"has no split 'TEST'; known: NEW, OLD"):
        AccuracyMetric(dataset_split="TEST").add_model(model).add_dataset(fresh).score()
    with pytest.raises(MetricError, match="has a dataset, so data that is given besides is refused"):
        AccuracyMetric().add_model(model).add_dataset(fresh).score(X=frame, y=frame["y"])


def test_data_that_is_given_goes_through_the_pipeline(model):
    """`score(X=…, y=…)` scores raw features; the record says by their hash what they were, and equal data is found again."""
    frame = table(rows=30, seed=9, names=(0, 1))
    features, labels = frame[["a", "b", "g"]], frame["y"]
    metric = AccuracyMetric(name="held_out").add_model(model).score(X=features, y=labels).save()
    assert metric.values["agg"] == pytest.approx((model.predict(features) == labels).mean())
    assert set(metric.config["scored_on"]) == {"X", "y"}
    again = AccuracyMetric(name="held_out").add_model(model).score(X=features.copy(), y=labels.copy())
    assert again._hash() == metric.hash_
    assert AccuracyMetric.load("held_out").config == metric.config
    scorer = ScorerMetric(scorer="accuracy").add_model(model).score(X=features, y=labels)
    assert scorer.values["agg"] == pytest.approx(metric.values["agg"])


@pytest.mark.parametrize("family", ["pandas", "polars", "numpy"])
def test_every_family_of_data_gives_the_same_numbers(local: Database, family):
    """Pandas, polars and numpy datasets of the same rows have the same metrics."""
    frame = table(names=(0, 1)).astype(float)
    made = {
        "pandas": lambda: PandasDataset(frame, label_columns=["y"]),
        "polars": lambda: PolarsDataset(pl.DataFrame(frame.to_dict("list")), label_columns=["y"]),
        "numpy": lambda: NumpyDataset(frame.to_numpy(), label_columns=[2]),
    }[family]()
    model = trained(made)
    labels, scores = expected(model, "TEST")
    assert RocAucMetric(dataset_split="TEST").add_model(model).score().values["agg"] == pytest.approx(
        sk.roc_auc_score(labels, scores)
    )


def test_text_labels_and_groups_of_the_dataset(local: Database):
    """Labels of text take `pos_label`, and a section of the dataset is the group of a ranking."""
    dataset = PandasDataset(table(), label_columns=["y"], other_named_split_sections={"group": ["g"]}, name="text")
    model = trained(dataset)
    rows = model.pipeline.get_dataset_split("TEST")
    labels = np.asarray(rows.y).ravel()
    metric = TprMetric(dataset_split="TEST", pos_label="no").add_model(model).score().save()
    assert metric.values["agg"] == pytest.approx(sk.recall_score(labels, model.predict(rows.X), pos_label="no"))
    with pytest.raises(MetricError, match="does not say which is the positive one: give pos_label"):
        TprMetric(dataset_split="TEST").add_model(model).score()
    ranked = PandasDataset(
        table(names=(0, 1)), label_columns=["y"], other_named_split_sections={"group": ["g"]}, name="ranked"
    )
    ranker = trained(ranked, LinearRegression())
    found = NdcgMetric(group="group", dataset_split="TEST").add_model(ranker).score().values["agg"]
    assert 0 < found <= 1
    assert found != NdcgMetric(dataset_split="TEST").add_model(ranker).score().values["agg"]


def test_several_classes_and_quantities(local: Database):
    """The metrics of several classes and of quantities score splits like all others."""
    frame = load_iris(as_frame=True).frame
    model = trained(PandasDataset(frame, label_columns=["target"], name="iris"), LogisticRegression(max_iter=500))
    rows = model.pipeline.get_dataset_split("TEST")
    proba = model.predict_proba(rows.X)
    found = MulticlassRocAucMetric(dataset_split="TEST").add_model(model).score().save()
    expected_area = sk.roc_auc_score(np.asarray(rows.y).ravel(), proba, multi_class="ovr")
    assert found.values["agg"] == pytest.approx(expected_area)
    with pytest.raises(MetricError, match="of 3 classes"):
        RocAucMetric(dataset_split="TEST").add_model(model).score()
    line = trained(PandasDataset(frame, label_columns=["petal width (cm)"], name="width"), LinearRegression())
    rows = line.pipeline.get_dataset_split("TEST")
    distance = RootMeanSquaredErrorMetric(dataset_split="TEST").add_model(line).score().values["agg"]
    assert distance == pytest.approx(sk.root_mean_squared_error(rows.y, line.predict(rows.X)))


# misuse


def test_what_cannot_be_scored_is_told(model):
    """A typo in the split lists the splits, and data without labels says what to give."""
    with pytest.raises(MetricError, match=r"has no split 'TSET'; known: .* \(did you mean 'TEST'\?\)"):
        AccuracyMetric(dataset_split="TSET").add_model(model).score()
    unlabelled = PandasDataset(table()[["a", "b", "g"]], name="unlabelled").save()
    with pytest.raises(MetricError, match=r"there are no labels of the whole of .*: give the dataset label_columns"):
        AccuracyMetric().add_model(model).add_dataset(unlabelled).score()
    whole = trained(PandasDataset(table(names=(0, 1)), label_columns=["y"], name="whole"), split=False)
    assert AccuracyMetric().add_model(whole).score().state["rows"] == 120
    with pytest.raises(MetricError, match="it is not split at all: leave dataset_split out"):
        AccuracyMetric(dataset_split="TEST").add_model(whole).score()


def test_one_class_in_a_split_is_no_error(local: Database):
    """A split without a positive row is scored; what it leaves undefined is null, with a note that names the split."""
    frame = table(names=(0, 1))
    frame["DATASET_SPLIT"] = np.where((frame["y"] == 0) & (np.arange(120) % 3 == 0), "TEST", "TRAIN")
    dataset = PandasDataset(frame, label_columns=["y"], name="uneven").save()
    pipeline = ExplicitSplitSklearnPipeline([("watched", Watched())]).add_dataset(dataset).fit().save()
    model = SklearnModel(LogisticRegression(), name="uneven").add_pipeline(pipeline).fit().save()
    for kind in (TprMetric, RocAucMetric):
        metric = kind(dataset_split="TEST").add_model(model).score().save()
        loaded = kind.load(metric.name)
        assert loaded.values == {"agg": None}
        assert "undefined" in loaded.note
        assert "'TEST'" in loaded.note


def test_unsaved_and_unscored_are_refused(database: Database):
    """A metric is saved after its model and its dataset, and after it was scored; what others refer to stays."""
    dataset = PandasDataset(table(names=(0, 1)), label_columns=["y"], name="table").save()
    model = trained(dataset)
    unsaved = SklearnModel(LogisticRegression(), name="unsaved").add_pipeline(model.pipeline).fit()
    metric = AccuracyMetric(dataset_split="TEST").add_model(unsaved).score()
    with pytest.raises(UnsavedReferenceError, match="save that first"):
        metric.save()
    assert metric.version is None
    unsaved.save()
    assert metric.save().version == 1
    with pytest.raises(MetricError, match=r"call score\(\) first"):
        AccuracyMetric(dataset_split="TEST").add_model(model).save()
    with pytest.raises(LineageError, match="takes an object of kind 'model'"):
        AccuracyMetric().add_model(dataset)
    with pytest.raises(ReferencedError):
        unsaved.delete()
    assert Metric.query().count() == 1
