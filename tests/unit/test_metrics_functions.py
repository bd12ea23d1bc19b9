"""Any function as a metric by one line, and any scorer of scikit-learn by its name."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import cloudpickle
import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

import simpleml
from simpleml.errors import DuplicateNameError, MetricError, WrongClassError
from simpleml.metrics import FunctionMetric, Metric, ScorerMetric, metric
from simpleml.models import SklearnModel
from simpleml.orm import Database
from simpleml.persistables.classes import classes

X, Y = load_iris(return_X_y=True)
TWO = Y < 2
NAMES = np.array(["setosa", "versicolor"])


def share_of_ones(labels, predicted):
    """Return how often 1 is predicted."""
    return float(np.mean(predicted == 1))


@metric(needs="score")
def margin(labels, scores):
    """Return how far the scores of the classes are apart."""
    return {"margin": scores[labels == 1].mean() - scores[labels == 0].mean(), "rows": len(labels)}


@metric
def hits(labels, predicted):
    """Return how many are right."""
    return int((labels == predicted).sum())


@pytest.fixture(scope="module")
def model():
    """A fitted model of three classes, not saved."""
    return SklearnModel(LogisticRegression(max_iter=500)).fit(X, Y)


@pytest.fixture(scope="module")
def binary():
    """A fitted model of two classes that are text, not saved."""
    return SklearnModel(LogisticRegression(), name="two").fit(X[TWO][:, :1], NAMES[Y[TWO]])


def scored(cls, model, features=X, labels=Y, **options):
    """Return a metric after it was scored."""
    return cls(**options).add_model(model).score(X=features, y=labels)


def test_a_function_is_a_metric_by_one_line(model):
    """`metric(name, function)` makes a class whose values are those of the function, named by the split and the function."""
    accuracy = metric("accuracy_of_mine", sk.accuracy_score)
    found = scored(accuracy, model, dataset_split="TRAIN")
    assert found.values == {"agg": sk.accuracy_score(Y, model.predict(X))}
    assert found.name == "in_sample_accuracy_of_mine"
    assert isinstance(found, accuracy)
    assert issubclass(accuracy, FunctionMetric)
    assert classes.get("accuracy_of_mine") is accuracy
    assert accuracy.__doc__ == sk.accuracy_score.__doc__
    assert accuracy(name="own").name == "own"


def test_a_decorator_makes_a_metric_of_a_function(model, binary):
    """`@metric`, with and without arguments, gives a class under the function's name; the function is still there."""
    assert scored(hits, model, dataset_split="TEST").name == "hits"
    assert hits.call(np.array([1, 2]), np.array([1, 1])) == 1
    assert scored(hits, model).values == {"agg": int((model.predict(X) == Y).sum())}
    labels = Y[TWO]
    found = scored(margin, SklearnModel(LogisticRegression()).fit(X[TWO], labels), X[TWO], labels)
    assert set(found.values) == {"margin", "rows"}
    assert found.values["margin"] > 0.9


def test_keywords_are_given_to_the_function_and_are_part_of_the_identity(model):
    """`metric(name, function, average=…)` passes them at each call, and other keywords are another hash."""
    macro = metric("f1_by_class", sk.f1_score, average="macro")
    weighted = metric("f1_by_class", sk.f1_score, average="weighted")
    assert scored(macro, model).values == {"agg": sk.f1_score(Y, model.predict(X), average="macro")}
    assert macro().config["params"] == {"average": "macro"}
    assert macro()._hash() != weighted()._hash()
    assert macro()._hash() == metric("f1_by_class", sk.f1_score, average="macro")()._hash()


@pytest.mark.parametrize("needs", ["predict", "score", "proba"])
def test_what_a_function_needs_is_what_it_gets(model, needs):
    """Predictions are one label a row; scores and probabilities of several classes have a column for each."""
    seen = []
    scored(metric("looks", lambda _, given: seen.append(given.shape) or 0.0, needs=needs), model)
    assert seen == [(150,) if needs == "predict" else (150, 3)]


def test_of_two_classes_the_scores_are_those_of_the_positive_one(binary):
    """The second class's, as scikit-learn has it, or that of `pos_label`; so scikit-learn's functions work as they are."""
    features, labels = X[TWO][:, :1], NAMES[Y[TWO]]
    proba = binary.predict_proba(features)
    for chosen, column in (("versicolor", 1), ("setosa", 0)):
        brier = metric("brier", sk.brier_score_loss, needs="proba", pos_label=chosen)
        expected = sk.brier_score_loss(labels, proba[:, column], pos_label=chosen)
        assert scored(brier, binary, features, labels).values == {"agg": expected}
    area = metric("area", sk.roc_auc_score, needs="score")
    assert scored(area, binary, features, labels).values == {"agg": sk.roc_auc_score(labels, proba[:, 1])}


def test_a_function_may_be_given_by_its_path(model):
    """`FunctionMetric(function="module:name")`, which a project file can say, is the metric that the function itself makes."""
    told = scored(FunctionMetric, model, function="sklearn.metrics:accuracy_score")
    assert told.values == {"agg": sk.accuracy_score(Y, model.predict(X))}
    assert told.name == "whole_data_accuracy_score"
    assert told.config["function"] == "sklearn.metrics:accuracy_score"
    given = FunctionMetric(function=sk.accuracy_score)
    assert given._hash() == FunctionMetric(function="sklearn.metrics:accuracy_score")._hash()


def test_a_function_of_the_users_is_hashed_by_its_source():
    """Two functions of one name and other code are two identities; the same code again is the same."""

    def one():
        return metric("both", lambda *_: 1.0)

    other = metric("both", lambda *_: 2.0)
    assert one()()._hash() == one()()._hash()
    assert one()()._hash() != other()._hash()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metric("x", 3), "function is 3, but a metric needs a function"),
        (lambda: metric("x", int), "but a metric needs a function"),
        (lambda: FunctionMetric(), "function is None, but a metric needs a function"),
        (lambda: FunctionMetric(function="sklearn.metrics:acuracy_score"), "there is no such function"),
        (lambda: FunctionMetric(function="sklearn.metrics"), "there is no such function"),
        (lambda: FunctionMetric(function="sklearn.metrix:accuracy_score"), "cannot be imported"),
        (lambda: metric("x", share_of_ones, needs="prediction")(), "needs is 'prediction', but must be one of 'predict'"),
    ],
)  # fmt: skip
def test_what_is_no_function_is_told(make, message):
    """A number, a class, a path to nothing and an unknown need are refused where they are given."""
    with pytest.raises(MetricError, match=message):
        make()


def test_a_class_keeps_its_name(model):
    """A function cannot take the name of another persistable class; making the same metric again replaces the first."""
    with pytest.raises(DuplicateNameError, match="RocAucMetric"):
        import simpleml.metrics

        assert simpleml.metrics.RocAucMetric
        metric("RocAucMetric", share_of_ones)
    first, second = metric("twice", share_of_ones), metric("twice", hits.call)
    assert classes.get("twice") is second is not first
    assert classes.get("FunctionMetric") is FunctionMetric


def test_a_saved_function_metric_comes_back_as_its_class(local: Database):
    """In a process that has the class, loading and querying give its objects, and other metrics' are not among them."""
    model = SklearnModel(LogisticRegression(max_iter=500), name="iris").fit(X, Y).save()
    ones, other = metric("ones", share_of_ones), metric("others", hits.call)
    saved = scored(ones, model, dataset_split="TEST").save()
    scored(other, model, dataset_split="TEST").save()
    found = ones.load("ones")
    assert type(found) is ones
    assert found.values == saved.values
    assert found.hash_ == saved.hash_
    assert found.function is share_of_ones
    assert type(Metric.load("ones")) is ones
    assert [each.name for each in ones.query()] == ["ones"]
    assert ones.query().count() == 1
    assert FunctionMetric.query().count() == 2
    assert found.score(X=X, y=Y).values == saved.values
    with pytest.raises(WrongClassError):
        other.load("ones")


def test_the_values_are_readable_where_the_function_is_not(local: Database, tmp_path):
    """Another process reads the values of a lambda's metric and of a function it cannot import, and is told why it cannot score."""
    SklearnModel(LogisticRegression(max_iter=500), name="iris").fit(X, Y).save()
    model = simpleml.load("model", name="iris")
    scored(metric("lost", lambda *_: 0.25), model, dataset_split="TEST").save()
    scored(metric("known", sk.accuracy_score), model, dataset_split="TEST").save()
    script = textwrap.dedent("""
        import sys, simpleml
        simpleml.connect(sys.argv[1], store=sys.argv[2])
        found = simpleml.load("metric", name="lost")
        print(type(found).__name__, found.values, found.version)
        try: found.function
        except simpleml.errors.MetricError as error: print(error)
        known = simpleml.load("metric", name="known")
        import sklearn.metrics
        print(known.function is sklearn.metrics.accuracy_score)
    """)
    url = f"sqlite:///{tmp_path / 'local.db'}"
    done = subprocess.run(
        [sys.executable, "-c", script, url, tmp_path / "store"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read, told, known = done.stdout.splitlines()
    assert read == "FunctionMetric {'agg': 0.25} 1"
    assert "it had no name that another process could find it by" in told
    assert known == "True"


def test_a_record_does_not_choose_what_runs(local: Database, monkeypatch):
    """A function is looked up among imported modules only, never in the standard library, and must be the one that was scored."""
    model = SklearnModel(LogisticRegression(max_iter=500), name="iris").fit(X, Y).save()
    scored(FunctionMetric, model, function=share_of_ones, name="mine").save()
    for path in ("os:system", "builtins:print", "not.imported:f", f"{__name__}:gone"):
        found = FunctionMetric.load("mine")
        found.config["function"] = path
        with pytest.raises(MetricError, match="is not here"):
            found.score(X=X, y=Y)
    found = FunctionMetric.load("mine")
    monkeypatch.setattr(sys.modules[__name__], "share_of_ones", hits.call)
    with pytest.raises(MetricError, match="is not the function any more"):
        found.score(X=X, y=Y)


def test_an_unsaved_function_metric_travels_by_value(model):
    """It arrives in another process as a `FunctionMetric` with its values and its function."""
    made = scored(hits, model)
    sent = pickle.loads(cloudpickle.dumps(made))
    assert type(sent) is FunctionMetric
    assert (sent.values, sent.name, sent.config) == (made.values, made.name, made.config)
    assert sent._hash() == made._hash()
    assert sent.function(np.array([1]), np.array([1])) == 1


# scorers


@pytest.mark.parametrize("name", ["neg_log_loss", "accuracy", "f1_macro", "roc_auc_ovr", "balanced_accuracy"])
def test_a_scorer_of_scikit_learn_gives_its_own_number(model, name):
    """`ScorerMetric(scorer=…)` is what the scorer says of the estimator."""
    found = scored(ScorerMetric, model, scorer=name, dataset_split="TEST")
    assert found.values == {"agg": pytest.approx(sk.get_scorer(name)(model.estimator, X, Y))}
    assert found.name == name
    assert ScorerMetric(scorer=name, dataset_split="TRAIN").name == f"in_sample_{name}"


def test_scorers_of_regressions():
    """Scorers of quantities work in the same way."""
    model = SklearnModel(LinearRegression()).fit(X, Y)
    assert scored(ScorerMetric, model, scorer="r2").values["agg"] == pytest.approx(model.score(X, Y))


def test_an_unknown_scorer_and_an_unfitted_model_are_told():
    """A typo lists the scorers, and a model that is not fitted says that."""
    with pytest.raises(MetricError, match="did you mean 'neg_log_loss'"):
        ScorerMetric(scorer="neg_logloss")
    with pytest.raises(MetricError, match="no scorer 3"):
        ScorerMetric(scorer=3)
    with pytest.raises(ValueError, match="is not fitted"):
        scored(ScorerMetric, SklearnModel(LogisticRegression()), scorer="accuracy")
