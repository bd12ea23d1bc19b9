# ruff: noqa: PD011 - `values` are those of a metric, not of a frame
"""Metrics: every number against scikit-learn on random data, whatever the labels and the scores are."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.exceptions import UndefinedMetricWarning

import simpleml.metrics as ours
from simpleml.errors import HashingError, MetricError, ModelError
from simpleml.metrics import BinaryClassificationMetric, Metric
from simpleml.metrics.confusion import MEASURES, THRESHOLDS, count, dedupe
from simpleml.metrics.names import CONSTRAINTS, CURVES, VALUES
from simpleml.metrics.ranks import ndcg
from simpleml.metrics.values import as_curve, plain_values
from simpleml.models import Model

ROUNDS = settings(max_examples=40)
NAN = float("nan")


class Said(Model):
    """A model that says what it was told to say, for as many rows as it is asked."""

    def __init__(self, *, predict=None, proba=None, decide=None, classes=None):
        super().__init__()
        self.said = {"predict": predict, "predict_proba": proba, "decision_function": decide}
        self.feature_metadata = {"classes": classes}
        self.asked = []

    def _say(self, method):
        self.asked.append(method)
        if self.said[method] is None:
            raise ModelError(f"no {method}")
        return self.said[method]

    def predict(self, X, transform=True):
        return self._say("predict")

    def predict_proba(self, X, transform=True):
        return self._say("predict_proba")

    def decision_function(self, X, transform=True):
        return self._say("decision_function")


def score(metric, y, *, predict=None, proba=None, decide=None, classes=None, **sections):
    """Return a metric after it was scored on what a model is told to say."""
    model = Said(predict=predict, proba=proba, decide=decide, classes=classes)
    return metric.add_model(model).score(X=np.zeros((len(y), 1)), y=y, **sections)


def agg(metric, y, **said):
    """Return the one number of a metric, not a number where it is null."""
    found = score(metric, y, **said).values
    assert set(found) == {"agg"}
    return NAN if found["agg"] is None else found["agg"]


@st.composite
def binary(draw, low=1, high=60):
    """Labels 0 and 1 (perhaps of one class only) and scores, many of which are tied or lie on a threshold."""
    rows = draw(st.integers(low, high))
    labels = draw(hnp.arrays(int, rows, elements=st.integers(0, 1)))
    steps = st.one_of(st.integers(0, 4).map(lambda step: step / 4), st.integers(0, 200).map(lambda step: step * 0.005))
    scores = draw(hnp.arrays(float, rows, elements=st.one_of(steps, st.floats(0, 1))))
    return labels, scores


@st.composite
def several(draw, classes=4):
    """Labels of some classes, predictions and probabilities of all of them."""
    rows = draw(st.integers(1, 50))
    labels = draw(hnp.arrays(int, rows, elements=st.integers(0, classes - 1)))
    predicted = draw(hnp.arrays(int, rows, elements=st.integers(0, classes - 1)))
    seed = draw(st.integers(0, 2**32 - 1))
    proba = np.random.default_rng(seed).dirichlet(np.ones(classes), rows)
    return labels, predicted, proba


# names


def test_the_binary_family_has_the_173_names():
    """5 numbers, 15 curves by threshold, 150 curves by a rate and 3 bases: each is a class, under its own name, with one default name."""
    single = ["Accuracy", "Tpr", "Fpr", "F1Score", "RocAuc"]
    bases = ["ClassificationMetric", "BinaryClassificationMetric", "AggregateBinaryClassificationMetric"]
    rates = ["Fpr", "Tpr", "Tnr", "Fnr", "Fdr", "For", "Ppv", "Npv", "PredictedPositiveRate", "PredictedNegativeRate"]
    values = ["Threshold", *rates, "Accuracy", "F1Score", "Mcc", "Informedness", "Markedness"]
    by_threshold = [f"Threshold{value}Metric" for value in values[1:]]
    by_rate = [f"{rate}{value}Metric" for rate in rates for value in values if value != rate]
    names = [*(f"{name}Metric" for name in single), *bases, *by_threshold, *by_rate]
    assert len(set(names)) == len(names) == 173
    assert (len(by_threshold), len(by_rate)) == (15, 150)
    for name in names:
        found = getattr(ours, name)
        assert (found.__name__, found.registered_name) == (name, name)
        assert name in ours.__all__
        assert name in dir(ours)
    scored = [getattr(ours, name).default_name for name in names if name not in bases]
    assert len(set(scored)) == 170
    assert all(scored)
    assert set(CURVES) == {*by_threshold, *by_rate}
    assert list(MEASURES) == list(VALUES)
    assert set(CONSTRAINTS) == {"Threshold", *rates}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("AccuracyMetric", "classification_accuracy"),
        ("F1ScoreMetric", "f1_score"),
        ("RocAucMetric", "roc_auc"),
        ("TprMetric", "tpr"),
        ("ThresholdF1ScoreMetric", "threshold_f1_score_curve"),
        ("FprTprMetric", "fpr_tpr_curve"),
        ("ForThresholdMetric", "for_threshold_curve"),
        (
            "PredictedPositiveRatePredictedNegativeRateMetric",
            "predicted_positive_rate_predicted_negative_rate_curve",
        ),
    ],
)
def test_default_names_are_simplemls_and_say_the_split(name, default):
    """The split is told by a prefix, none for TEST, and no two splits share a name; a name of the user's is kept as it is."""
    made = getattr(ours, name)
    assert made(dataset_split="TEST").name == default
    assert made(dataset_split="TRAIN").name == f"in_sample_{default}"
    assert made(dataset_split="VALIDATION").name == f"validation_{default}"
    assert made().name == f"whole_data_{default}"
    assert made(dataset_split="FOLD_1_TEST").name == f"fold_1_test_{default}"
    assert made(dataset_split="TRAIN", name="mine").name == "mine"


def test_what_is_not_there_is_told_with_what_is_near():
    """A typo in a name of the package names the right one."""
    with pytest.raises(AttributeError, match="'FprTprMetric'"):
        ours.FprTppMetric  # noqa: B018


def test_importing_the_package_imports_no_numpy():
    """`import simpleml.metrics`, and every metric class in it, costs no third party but what persistables need."""
    script = (
        "import sys, simpleml.metrics as m\n"
        "[getattr(m, name) for name in m.__all__]\n"
        "print(sorted({'numpy', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# two classes


@ROUNDS
@given(binary())
def test_counts_at_every_threshold_are_those_of_the_matrix_there(data):
    """At each of the 201 thresholds the counts are scikit-learn's for `score >= threshold`, with ties, and of one class too."""
    labels, scores = data
    found = count(labels == 1, scores)
    assert np.array_equal(found.threshold, np.linspace(0, 1, 201))
    for at in range(0, THRESHOLDS, 7):
        expected = sk.confusion_matrix(labels, scores >= found.threshold[at], labels=[0, 1]).ravel()
        assert [found.tn[at], found.fp[at], found.fn[at], found.tp[at]] == expected.tolist()


@ROUNDS
@given(binary())
def test_rates_are_those_of_scikit_learn_where_they_are_defined(data):
    """Each measure agrees with scikit-learn at every threshold at which it is defined, and is not a number elsewhere."""
    labels, scores = data
    counts = count(labels == 1, scores)
    reference = {
        "Tpr": lambda p: sk.recall_score(labels, p, zero_division=np.nan),
        "Fpr": lambda p: 1 - sk.recall_score(labels, p, pos_label=0, zero_division=np.nan),
        "Tnr": lambda p: sk.recall_score(labels, p, pos_label=0, zero_division=np.nan),
        "Fnr": lambda p: 1 - sk.recall_score(labels, p, zero_division=np.nan),
        "Ppv": lambda p: sk.precision_score(labels, p, zero_division=np.nan),
        "Fdr": lambda p: 1 - sk.precision_score(labels, p, zero_division=np.nan),
        "Npv": lambda p: sk.precision_score(labels, p, pos_label=0, zero_division=np.nan),
        "For": lambda p: 1 - sk.precision_score(labels, p, pos_label=0, zero_division=np.nan),
        "Accuracy": lambda p: sk.accuracy_score(labels, p),
        "F1Score": lambda p: sk.f1_score(labels, p, zero_division=np.nan),
        "PredictedPositiveRate": np.mean,
        "PredictedNegativeRate": lambda p: 1 - np.mean(p),
    }
    for at in range(0, THRESHOLDS, 25):
        predicted = (scores >= counts.threshold[at]).astype(int)
        for part, expected in reference.items():
            assert MEASURES[part].formula(counts)[at] == pytest.approx(expected(predicted), nan_ok=True), part
        mcc = MEASURES["Mcc"].formula(counts)[at]
        if not np.isnan(mcc):  # scikit-learn says 0 where there is nothing to correlate
            assert mcc == pytest.approx(sk.matthews_corrcoef(labels, predicted), abs=1e-12)
        if len(set(labels)) == 2:
            balanced = sk.balanced_accuracy_score(labels, predicted, adjusted=True)
            assert MEASURES["Informedness"].formula(counts)[at] == pytest.approx(balanced, abs=1e-12)


@ROUNDS
@given(binary())
def test_numbers_of_two_classes_agree_with_scikit_learn(data):
    """Accuracy, rates, F1, areas, Brier score and log loss are scikit-learn's; what is undefined there is null here."""
    labels, scores = data
    predicted = (scores > 0.5).astype(int)
    both, proba = len(set(labels)) == 2, np.column_stack([1 - scores, scores])
    said = {"predict": predicted, "proba": proba, "classes": [0, 1]}
    expected = {
        ours.AccuracyMetric(): sk.accuracy_score(labels, predicted),
        ours.TprMetric(): sk.recall_score(labels, predicted, zero_division=np.nan),
        ours.FprMetric(): 1 - sk.recall_score(labels, predicted, pos_label=0, zero_division=np.nan),
        ours.F1ScoreMetric(): sk.f1_score(labels, predicted, zero_division=np.nan),
        ours.RocAucMetric(): sk.roc_auc_score(labels, scores) if both else NAN,
        ours.AveragePrecisionMetric(): sk.average_precision_score(labels, scores) if labels.any() else NAN,
        ours.BrierScoreMetric(): np.mean((labels - scores) ** 2),
        ours.LogLossMetric(): sk.log_loss(labels, proba, labels=[0, 1]),
    }
    for metric, number in expected.items():
        assert agg(metric, labels, **said) == pytest.approx(number, nan_ok=True, abs=1e-12), metric
        assert (metric.note is not None) == np.isnan(number)


@ROUNDS
@given(binary(low=2), st.sampled_from(["uniform", "quantile"]), st.integers(1, 12))
def test_calibration_agrees_with_scikit_learn(data, strategy, bins):
    """The curve is scikit-learn's, and the expected error is its distance weighted by the rows of each bin."""
    labels, scores = data
    options = {"bins": bins, "strategy": strategy}
    found = score(ours.CalibrationCurveMetric(**options), labels, proba=scores).values
    if len(set(labels)) == 2:
        observed, predicted = calibration_curve(labels, scores, n_bins=bins, strategy=strategy)
        assert found["observed"] == pytest.approx(observed)
        assert found["predicted"] == pytest.approx(predicted)
    assert sum(found["rows"]) == len(labels)
    weighted = np.average(np.abs(np.subtract(found["observed"], found["predicted"])), weights=found["rows"])
    assert agg(ours.ExpectedCalibrationErrorMetric(**options), labels, proba=scores) == pytest.approx(weighted)


@ROUNDS
@given(binary(), st.sampled_from(sorted(CURVES)))
def test_a_curve_is_what_its_two_measures_make_at_the_thresholds(data, name):
    """The values of any curve are those of a loop over the thresholds, rounded, the best for each key, NaN left out."""
    labels, scores = data
    made = getattr(ours, name)
    found = score(made(), labels, proba=scores).values
    counts = count(labels == 1, scores)
    keys, values = (MEASURES[part].formula(counts) for part in CURVES[name])
    better = min if MEASURES[CURVES[name][1]].lower_is_better else max
    expected = {}
    for key, value in zip(keys.round(3), values.round(3), strict=True):
        if not (np.isnan(key) or np.isnan(value)):
            text = repr(float(key) + 0.0)
            expected[text] = better(expected.get(text, value), value)
    assert found == expected
    assert list(found) == sorted(found, key=float)
    if found:
        assert as_curve(found) == [(float(key), value) for key, value in found.items()]


@ROUNDS
@given(
    st.lists(st.tuples(st.floats(-2, 2) | st.just(NAN), st.floats(-2, 2) | st.just(NAN)), max_size=40), st.booleans()
)
def test_deduplicating_is_grouping_by_rounded_keys(points, maximize):
    """`dedupe_curve` gives what pandas gives for a group by the rounded key, in the order of the keys."""
    keys, values = ([point[side] for point in points] for side in (0, 1))
    found = BinaryClassificationMetric.dedupe_curve(keys, values, maximize=maximize)
    frame = pd.DataFrame({"key": keys, "value": values}, dtype=float).round(3).dropna()
    groups = frame.groupby("key")["value"]
    assert found == (groups.max() if maximize else groups.min()).to_dict()
    assert list(found) == sorted(found)
    assert "-0.0" not in map(repr, found)


def test_deduplicating_rounds_as_it_is_told():
    """Keys that are equal after rounding are one key, to as many places as `round_places` says."""
    keys, values = [0.11, 0.14, 0.2], [1.0, 3.0, 2.0]
    assert BinaryClassificationMetric.dedupe_curve(keys, values, True, 1) == {0.1: 3.0, 0.2: 2.0}
    assert dedupe(keys, values, maximize=False, round_places=1) == {0.1: 1.0, 0.2: 2.0}
    assert len(dedupe(keys, values)) == 3


def test_counts_of_many_rows_do_not_overflow():
    """The correlation coefficient of counts whose product is beyond 64 bits is still a number between -1 and 1."""
    rng = np.random.default_rng(0)
    labels = rng.random(400_000) < 0.5
    found = MEASURES["Mcc"].formula(count(labels, np.where(labels, 0.9, 0.1)))[100]
    assert found == 1.0


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]], ids=["negative", "positive"])
def test_data_of_one_class_is_no_error(labels):
    """Every metric of the binary family scores data of one class; what is undefined is null with a note, or left out."""
    proba = np.array([0.1, 0.5, 0.9])
    predicted = np.array([0, 1, 1])
    for name in ["AccuracyMetric", "TprMetric", "FprMetric", "F1ScoreMetric", "RocAucMetric", *CURVES]:
        found = score(getattr(ours, name)(), labels, predict=predicted, proba=proba)
        assert (found.note is None) == (bool(found.values) and None not in found.values.values()), name
    assert agg(ours.AccuracyMetric(), labels, predict=predicted) == pytest.approx(np.mean(predicted == labels))
    undefined = score(ours.TprMetric() if not labels[0] else ours.FprMetric(), labels, predict=predicted)
    assert undefined.values == {"agg": None}
    assert "undefined" in undefined.note


def test_the_confusion_matrix_is_a_frame_of_the_thresholds():
    """`confusion_matrix` has a row for each threshold, and the rates are there as properties of the same length."""
    metric = score(ours.FprTprMetric(), [0, 1, 1, 0], proba=np.array([0.2, 0.7, 0.4, 0.6]))
    frame = metric.confusion_matrix
    assert list(frame.columns) == ["threshold", "tn", "fp", "fn", "tp"]
    assert frame.iloc[100].to_dict() == {"threshold": 0.5, "tn": 1, "fp": 1, "fn": 1, "tp": 1}
    assert (frame[["tn", "fp", "fn", "tp"]].sum(axis=1) == 4).all()
    for measure in MEASURES.values():
        assert len(getattr(metric, measure.attribute)) == 201
    assert metric.true_positive_rate[100] == 0.5
    assert metric.thresholds[200] == 1.0
    both = score(ours.FprTprMetric(), [0, 1], proba=np.array([[0.8, 0.2], [0.3, 0.7]]), classes=[0, 1])
    assert both.probabilities.tolist() == [0.2, 0.7]
    assert both.labels.tolist() == [0, 1]


def test_a_metric_of_ones_own_fills_compute_or_score():
    """A subclass says what it needs and computes; one in the style of SimpleML sets `values` in its own `score`."""

    class Top(Metric):
        needs = "score"

        def compute(self, labels, outputs):
            return {"highest": outputs.max(), "rows": len(labels)}

    class Old(BinaryClassificationMetric):
        default_name = "old"

        def score(self, **data):
            super().score(**data)
            self.values = {"agg": float(np.mean(self.labels == self.predictions))}
            return self

        def compute(self, labels, outputs):
            return 0.0

    assert score(Top(), [0, 1], proba=np.array([0.2, 0.7])).values == {"highest": 0.7, "rows": 2}
    assert Top().name == "whole_data_top"
    assert agg(Old(dataset_split="TEST"), [0, 1], predict=np.array([0, 0])) == 0.5


# labels of other kinds


@pytest.mark.parametrize(
    ("negative", "positive", "pos_label"),
    [
        ("no", "yes", "yes"),
        ("yes", "no", "no"),
        (False, True, None),
        (-1, 1, None),
        (0.0, 1.0, None),
        (3, 7, 7),
        (7, 3, 3),
    ],
    ids=str,
)
def test_labels_need_not_be_0_and_1(negative, positive, pos_label):
    """Text, booleans and other numbers give the very values that 0 and 1 give, whichever of them comes first in the model."""
    rng = np.random.default_rng(1)
    truth, scores = rng.random(50) < 0.4, rng.random(50)
    classes = sorted([negative, positive])
    columns = [1 - scores, scores] if classes[1] == positive else [scores, 1 - scores]
    labels = np.where(truth, positive, negative)
    plain = {"proba": np.column_stack([1 - scores, scores]), "predict": (scores > 0.5).astype(int), "classes": [0, 1]}
    told = {
        "proba": np.column_stack(columns),
        "predict": np.where(scores > 0.5, positive, negative),
        "classes": classes,
    }
    for name in ["TprMetric", "F1ScoreMetric", "RocAucMetric", "FprTprMetric", "BrierScoreMetric"]:
        made = getattr(ours, name)
        expected = score(made(), truth.astype(int), **plain).values
        assert score(made(pos_label=pos_label), labels, **told).values == expected, name


def of_dask(labels):
    """Return labels as a lazy series of two partitions."""
    from dask.dataframe import from_pandas

    return from_pandas(pd.Series(labels), npartitions=2)


FAMILIES = {
    "list": list,
    "array": np.array,
    "column": lambda labels: np.array(labels)[:, None],
    "pandas": pd.Series,
    "frame": lambda labels: pd.DataFrame({"y": labels}),
    "polars": pl.Series,
    "dask": of_dask,
}


@pytest.mark.parametrize("wrap", FAMILIES.values(), ids=FAMILIES)
def test_labels_come_from_any_family(wrap):
    """Lists, arrays, series and frames of one column hold the same labels."""
    labels = [0, 1, 1, 0, 1]
    assert agg(ours.AccuracyMetric(), wrap(labels), predict=np.array([0, 1, 0, 0, 1])) == 0.8
    assert agg(ours.RocAucMetric(), wrap(labels), proba=np.array([0.1, 0.9, 0.8, 0.2, 0.7])) == 1.0


def test_text_of_pandas_is_compared_like_text():
    """Nullable and categorical columns of pandas are labels like others."""
    for dtype in ("string", "category", object):
        labels = pd.Series(["a", "b", "a"], dtype=dtype)
        assert agg(ours.AccuracyMetric(), labels, predict=np.array(["a", "b", "b"])) == pytest.approx(2 / 3)
    assert agg(ours.TprMetric(), pd.Series([0, 1, 1], dtype="Int64"), predict=np.array([0, 1, 0])) == 0.5


def test_the_label_of_one_class_may_be_known_to_the_model_alone():
    """Data without a positive row takes the `pos_label` that the model knows, and refuses one that nobody knows."""
    said = {"predict": np.array(["no", "yes"]), "proba": np.array([[0.8, 0.2], [0.3, 0.7]]), "classes": ["no", "yes"]}
    assert agg(ours.FprMetric(pos_label="yes"), ["no", "no"], **said) == 0.5
    assert agg(ours.BrierScoreMetric(pos_label="yes"), ["no", "no"], **said) == pytest.approx((0.04 + 0.49) / 2)
    with pytest.raises(MetricError, match=r"pos_label is 'yse', but the labels .* are \['no'"):
        score(ours.FprMetric(pos_label="yse"), ["no", "no"], **said)


def test_a_decision_function_takes_the_place_of_probabilities_in_rankings():
    """A model without probabilities has an area under its curve, for either class, but no curve over thresholds."""
    labels, decide = np.array([0, 1, 1, 0]), np.array([-2.0, 3.0, 0.5, 1.0])
    expected = sk.roc_auc_score(labels, decide)
    assert agg(ours.RocAucMetric(), labels, decide=decide, classes=[0, 1]) == expected
    assert agg(ours.RocAucMetric(pos_label=0), labels, decide=decide, classes=[0, 1]) == 1 - (1 - expected)
    with pytest.raises(Exception, match="no predict_proba"):
        score(ours.FprTprMetric(), labels, decide=decide, classes=[0, 1])
    with pytest.raises(MetricError, match="neither probabilities nor a decision function"):
        score(ours.RocAucMetric(), labels, predict=labels, classes=[0, 1])


# several classes


@ROUNDS
@given(several())
def test_numbers_of_several_classes_agree_with_scikit_learn(data):
    """Averages over classes, the matrix, log loss, top k and areas are scikit-learn's."""
    labels, predicted, proba = data
    said = {"predict": predicted, "proba": proba, "classes": [0, 1, 2, 3]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for average in ("macro", "micro", "weighted"):
            for part, reference in (
                ("F1", sk.f1_score),
                ("Precision", sk.precision_score),
                ("Recall", sk.recall_score),
            ):
                found = agg(getattr(ours, f"{average.title()}{part}Metric")(), labels, **said)
                assert found == pytest.approx(reference(labels, predicted, average=average, zero_division=0))
        assert agg(ours.BalancedAccuracyMetric(), labels, **said) == pytest.approx(
            sk.balanced_accuracy_score(labels, predicted)
        )
        expected = sk.confusion_matrix(labels, predicted).tolist()
    matrix = score(ours.ConfusionMatrixMetric(), labels, **said).values
    assert matrix["labels"] == sorted({*labels.tolist(), *predicted.tolist()})
    assert matrix["matrix"] == expected
    assert agg(ours.LogLossMetric(), labels, **said) == pytest.approx(sk.log_loss(labels, proba, labels=[0, 1, 2, 3]))
    for k in (1, 2, 3):
        expected = sk.top_k_accuracy_score(labels, proba, k=k, labels=[0, 1, 2, 3])
        assert agg(ours.TopKAccuracyMetric(k=k), labels, **said) == pytest.approx(expected)
    for multi_class in ("ovr", "ovo"):
        for average in ("macro", "weighted"):
            found = agg(ours.MulticlassRocAucMetric(multi_class=multi_class, average=average), labels, **said)
            if len(set(labels.tolist())) == 4:
                options = {"multi_class": multi_class, "average": average}
                assert found == pytest.approx(sk.roc_auc_score(labels, proba, **options))
            else:
                assert np.isnan(found)


def test_equally_probable_classes_are_ranked_as_scikit_learn_ranks_them():
    """Of equal probabilities the later class comes first among the best k."""
    labels, proba = np.array([0, 1, 2]), np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.3, 0.3, 0.4]])
    for k in (1, 2):
        expected = sk.top_k_accuracy_score(labels, proba, k=k)
        assert agg(ours.TopKAccuracyMetric(k=k), labels, proba=proba) == expected


def test_text_classes_and_columns_of_predictions():
    """Classes of text are matched to their columns, and a prediction with a column for each class is its best class."""
    labels, classes = np.array(["b", "c", "a", "c"]), ["a", "b", "c"]
    proba = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2], [0.5, 0.1, 0.4]])
    assert agg(ours.AccuracyMetric(), labels, predict=proba, classes=classes) == 0.75
    assert agg(ours.LogLossMetric(), labels, proba=proba, classes=classes) == pytest.approx(sk.log_loss(labels, proba))
    assert agg(ours.LogLossMetric(), labels, proba=proba) == pytest.approx(sk.log_loss(labels, proba))


def test_classes_may_be_fractions():
    """Labels that are fractions are classes like others, and are compared with predictions that are such too."""
    labels = np.array([0.5, 1.5, 0.5])
    assert agg(ours.AccuracyMetric(), labels, predict=np.array([0.5, 1.5, 1.5])) == pytest.approx(2 / 3)
    with pytest.raises(MetricError, match="numbers and not classes"):
        score(ours.AccuracyMetric(), [0, 1], predict=np.array([[0.3], [0.7]]))


def test_a_label_that_the_model_never_saw_is_told():
    """A class without a column of probabilities is named, with those that have one."""
    with pytest.raises(MetricError, match=r"the labels \['z'\] .* are none of the classes .* \['a', 'b'\]"):
        score(ours.LogLossMetric(), ["a", "z"], proba=np.array([[0.5, 0.5], [0.5, 0.5]]), classes=["a", "b"])
    with pytest.raises(MetricError, match="does not say of which classes"):
        score(ours.LogLossMetric(), ["a", "b"], proba=np.full((2, 3), 1 / 3))


# quantities and rankings


@ROUNDS
@given(
    hnp.arrays(float, st.integers(2, 40), elements=st.floats(-1e6, 1e6)),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
)
def test_distances_agree_with_scikit_learn(true, seed, quantile):
    """Every metric of quantities is scikit-learn's where that is defined."""
    predicted = true + np.random.default_rng(seed).normal(size=len(true))
    expected = {
        ours.MeanAbsoluteErrorMetric(): sk.mean_absolute_error,
        ours.MeanSquaredErrorMetric(): sk.mean_squared_error,
        ours.RootMeanSquaredErrorMetric(): sk.root_mean_squared_error,
        ours.MedianAbsoluteErrorMetric(): sk.median_absolute_error,
        ours.MaxErrorMetric(): sk.max_error,
        ours.QuantileLossMetric(quantile=quantile): lambda y, p: sk.mean_pinball_loss(y, p, alpha=quantile),
    }
    if np.var(true) > 1e-6:  # below that its square is no number any more
        expected[ours.R2ScoreMetric()] = sk.r2_score
    if true.all() and abs(true).min() > 1e-3:
        expected[ours.MeanAbsolutePercentageErrorMetric()] = sk.mean_absolute_percentage_error
    for metric, reference in expected.items():
        assert agg(metric, true, predict=predicted) == pytest.approx(reference(true, predicted), rel=1e-9), metric


def test_what_no_distance_can_say_is_null():
    """The share of explained variance of constant labels, and a percentage of zero, are null with a note."""
    for metric in (ours.R2ScoreMetric(), ours.MeanAbsolutePercentageErrorMetric()):
        found = score(metric, [0.0, 0.0], predict=np.array([1.0, 2.0]))
        assert found.values == {"agg": None}
        assert "undefined" in found.note


@ROUNDS
@given(binary(low=2), st.none() | st.integers(1, 10))
def test_gains_of_rankings_agree_with_scikit_learn(data, k):
    """The discounted gain, with ties sharing their places, is scikit-learn's."""
    labels, scores = data
    gains = labels * 3.0
    expected = sk.ndcg_score(gains[None], scores[None], k=k)
    assert ndcg(gains, scores, k) == pytest.approx(expected)
    assert agg(ours.NdcgMetric(k=k), gains, predict=scores) == pytest.approx(expected)


def test_each_group_is_a_ranking_of_its_own():
    """With a group the mean of the groups' gains counts, and a group that is not there is told."""
    gains, scores = np.array([1.0, 0, 2, 0, 1]), np.array([0.1, 0.9, 0.8, 0.3, 0.4])
    query = np.array(["b", "b", "a", "a", "a"])
    expected = np.mean([sk.ndcg_score(gains[None, query == q], scores[None, query == q]) for q in "ab"])
    assert agg(ours.NdcgMetric(group="query"), gains, predict=scores, query=query) == pytest.approx(expected)
    with pytest.raises(MetricError, match="there are no values of the section 'query'"):
        score(ours.NdcgMetric(group="query"), gains, predict=scores)
    with pytest.raises(MetricError, match="a gain is never below 0"):
        score(ours.NdcgMetric(), [-1.0, 1.0], predict=np.array([1.0, 2.0]))


# what cannot be scored


@pytest.mark.parametrize(
    ("metric", "y", "said", "message"),
    [
        (ours.RocAucMetric(), [0, 1, 1], {"proba": np.array([0.5, NAN, NAN])}, "2 of the 3 probabilities are missing .NaN., the first of them in row 1"),
        (ours.MeanAbsoluteErrorMetric(), [0.0, 1.0], {"predict": np.array([NAN, 1.0])}, "1 of the 2 predictions are missing"),
        (ours.AccuracyMetric(), [0.0, NAN], {"predict": np.array([0.0, 1.0])}, "1 of the 2 labels .* are missing"),
        (ours.AccuracyMetric(), ["a", None], {"predict": np.array(["a", "a"])}, "1 of the 2 labels .* are missing"),
        (ours.AccuracyMetric(), pd.Series([1, pd.NA], dtype="Int64"), {"predict": np.array([1, 1])}, "1 of the 2 labels"),
        (ours.AccuracyMetric(), [], {"predict": np.array([])}, "there are no rows among the labels"),
        (ours.AccuracyMetric(), np.zeros((2, 2)), {"predict": np.zeros(2)}, "the shape .2, 2."),
        (ours.AccuracyMetric(), [0, 1], {"predict": np.zeros(3)}, "there are 2 labels, but predictions of the shape"),
        (ours.AccuracyMetric(), [0, 1], {"predict": np.array(["0", "1"])}, "types that have no order"),
        (ours.TprMetric(), ["no", "yes"], {"predict": np.array(["no", "yes"])}, "does not say which is the positive one: give pos_label"),
        (ours.TprMetric(), [0, 1, 2], {"predict": np.array([0, 1, 2])}, "of 3 classes"),
        (ours.TprMetric(), [0, 1], {"predict": np.array([0.2, 0.9])}, r"the predictions are \[0.2, 0.9\] …, numbers and not classes"),
        (ours.FprTprMetric(), [0, 1], {"proba": np.array([-2.0, 3.0])}, "scores from -2 to 3"),
        (ours.BrierScoreMetric(), [0, 1], {"proba": np.full((2, 3), 1 / 3)}, "3 columns, and the model does not say"),
        (ours.BrierScoreMetric(pos_label=1), [0, 1], {"proba": np.full((2, 2), 0.5), "classes": [3, 4]}, "is none of them"),
        (ours.MeanAbsoluteErrorMetric(), ["a", "b"], {"predict": np.array([1.0, 2.0])}, "are no numbers"),
        (ours.MeanAbsoluteErrorMetric(), [1.0, 2.0], {"predict": np.zeros((2, 3))}, "have 3 columns"),
        (ours.NdcgMetric(), [1.0, 2.0], {"proba": np.zeros((2, 3)), "classes": [1, 2, 3]}, "3 scores a row"),
        (ours.CalibrationCurveMetric(), [0, 1], {"proba": np.array([-2.0, 3.0])}, "is about probabilities"),
        (Metric(), [0, 1], {"predict": np.array([0, 1])}, "does not say how it is computed"),
        (ours.RegressionMetric(), [0, 1], {"predict": np.array([0, 1])}, "does not say what it measures"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(metric, y, said, message):
    """A hole, a wrong shape, an ambiguous label or a model that says something else is an error that says which and where."""
    with pytest.raises(MetricError, match=message):
        score(metric, y, **said)
    assert metric.values is None
    assert "scored_on" not in metric.config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ours.TopKAccuracyMetric(k=0), "k is 0, but must be a whole number"),
        (lambda: ours.NdcgMetric(k=True), "k is True"),
        (lambda: ours.CalibrationCurveMetric(bins=2.5), "bins is 2.5"),
        (lambda: ours.CalibrationCurveMetric(strategy="unifrom"), "did you mean 'uniform'"),
        (lambda: ours.MulticlassRocAucMetric(multi_class="ovx"), "multi_class is 'ovx'"),
        (lambda: ours.QuantileLossMetric(quantile=50), "quantile is 50"),
        (lambda: ours.AccuracyMetric(dataset_split=3), "dataset_split is 3"),
        (lambda: ours.AccuracyMetric(dataset_split=""), "dataset_split is ''"),
        (lambda: ours.AccuracyMetric(datset_split="TEST"), "did you mean"),
    ],
)
def test_wrong_parameters_are_refused_where_they_are_given(make, message):
    """A parameter that no metric can have is an error when the metric is made."""
    with pytest.raises(ValueError, match=message):
        make()


def test_a_metric_without_a_model_or_with_half_the_data_is_told():
    """Scoring needs a model, and features together with labels; saving needs scored values."""
    with pytest.raises(MetricError, match=r"has no model to score: call add_model\(model\) first"):
        ours.AccuracyMetric().score(X=[[1]], y=[1])
    with pytest.raises(MetricError, match="has no model to score"):
        ours.AccuracyMetric().score()
    metric = ours.AccuracyMetric().add_model(Said(predict=np.array([1])))
    with pytest.raises(MetricError, match="was given X alone"):
        metric.score(X=[[1]])
    with pytest.raises(MetricError, match="was given y alone"):
        metric.score(y=[1])
    with pytest.raises(MetricError, match="was given dataset_split alone"):
        metric.score(dataset_split="TEST")
    with pytest.raises(MetricError, match="has no pipeline and the metric no dataset"):
        metric.score()
    with pytest.raises(MetricError, match=r"is not scored, so there is nothing to save: call score\(\) first"):
        metric.save()
    with pytest.raises(MetricError, match="is not scored, so there is nothing to plot"):
        metric.plot()
    with pytest.raises(MetricError, match="has no model"):
        ours.AccuracyMetric().save()
    with pytest.raises(HashingError, match=r"X, on which .* is to be scored, has no stable hash"):
        metric.score(X=iter([[1]]), y=[1])


def test_a_failed_score_leaves_the_metric_as_it_was():
    """Values, note and what it was scored on are those of the last scoring that worked."""
    metric = score(ours.TprMetric(), [0, 0], predict=np.array([0, 1]))
    before = (metric.values, metric.note, dict(metric.config))
    with pytest.raises(MetricError):
        metric.score(X=[[0], [0]], y=["a", "b"])
    assert (metric.values, metric.note, metric.config) == before


def test_what_was_scored_on_given_data_is_in_the_hash():
    """Equal data gives equal hashes and other data others; the hash of what is scored on a split is known before."""

    def one(labels):
        return score(ours.AccuracyMetric(), labels, predict=np.array([0, 1]))

    first, again, other = one([0, 1]), one([0, 1]), one([1, 1])
    assert first.config == again.config
    assert first.config["scored_on"]["y"] != other.config["scored_on"]["y"]
    unscored = ours.TprMetric(dataset_split="TEST")
    assert unscored.config == {"dataset_split": "TEST"}


# values


@pytest.mark.parametrize(
    ("result", "values", "holes"),
    [
        (0.5, {"agg": 0.5}, 0),
        (np.float32(0.5), {"agg": 0.5}, 0),
        (np.int64(3), {"agg": 3}, 0),
        (NAN, {"agg": None}, 1),
        (float("inf"), {"agg": None}, 1),
        ([1, 2.5], {"agg": [1, 2.5]}, 0),
        (np.array([[1.0, NAN], [3, np.inf]]), {"agg": [[1.0, None], [3.0, None]]}, 2),
        ({"a": np.float64(1), 2: (True, "x"), 0.5: pd.Series([1])}, {"a": 1.0, "2": [True, "x"], "0.5": [1]}, 0),
        ({np.int64(1): {np.float64(0.5): np.nan}}, {"1": {"0.5": None}}, 1),
        (pl.Series([1, 2]), {"agg": [1, 2]}, 0),
        (None, {"agg": None}, 0),
    ],
    ids=repr,
)
def test_values_are_plain_json(result, values, holes):
    """Whatever a metric computes becomes finite JSON under text keys, and what is no number is counted and null."""
    assert plain_values(result) == (values, holes)


@pytest.mark.parametrize(
    "result", [object(), {1, 2}, {"a": b"x"}, {(1, 2): 3}, 1j], ids=lambda each: type(each).__name__
)
def test_values_that_are_no_json_are_refused(result):
    """What is neither number nor text is an error that says where it is."""
    with pytest.raises(MetricError, match=r"return float|use str"):
        plain_values(result)


# pictures


def test_every_form_of_values_has_a_picture():
    """Curves are lines, matrices heat maps, calibrations points beside the diagonal, numbers bars; nothing opens a window."""
    before = set(sys.modules)
    labels, proba = [0, 1, 1, 0], np.array([0.2, 0.7, 0.4, 0.6])
    curve = score(ours.FprTprMetric(), labels, proba=proba)
    [axes] = curve.plot().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("false positive rate", "true positive rate")
    assert axes.get_title() == "whole_data_fpr_tpr_curve"
    assert axes.lines[0].get_xydata().tolist() == [list(point) for point in as_curve(curve.values)]
    matrix = score(ours.ConfusionMatrixMetric(), labels, predict=np.array([0, 1, 1, 1]))
    assert matrix.plot().axes[0].images[0].get_array().tolist() == [[1, 1], [0, 2]]
    assert len(score(ours.CalibrationCurveMetric(), labels, proba=proba).plot().axes[0].lines) == 2
    assert len(score(ours.AccuracyMetric(), labels, predict=np.array(labels)).plot().axes[0].patches) == 1
    for each in (curve, matrix):
        assert each._repr_png_().startswith(b"\x89PNG")
    assert score(ours.AccuracyMetric(), labels, predict=np.array(labels))._repr_png_() is None
    assert ours.FprTprMetric()._repr_png_() is None
    nothing = score(ours.TprMetric(), [0, 0], predict=np.array([0, 0]))
    with pytest.raises(MetricError, match=r"no number in the values .* undefined"):
        nothing.plot()
    assert "matplotlib.pyplot" not in set(sys.modules) - before


def test_without_matplotlib_the_error_has_the_line_that_installs_it():
    """`plot()` names the extra; a notebook shows the metric without a picture."""
    script = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None\n"
        "from simpleml.metrics import FprTprMetric\n"
        "from simpleml.errors import MissingDependencyError\n"
        "made = FprTprMetric(); made.values = {'0.0': 0.5, '1.0': 1.0}\n"
        "print(made._repr_png_())\n"
        "try: made.plot()\n"
        "except MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "None\nplot() needs matplotlib: pip install 'simpleml[plots]'\n"


def test_undefined_is_null_and_never_a_warning():
    """What scikit-learn warns of (and this suite makes an error) is silent here, since it is said in the note."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UndefinedMetricWarning)
        assert score(ours.MacroF1Metric(), [0, 0], predict=np.array([1, 1])).values == {"agg": 0.0}
        assert score(ours.BalancedAccuracyMetric(), [0, 0], predict=np.array([1, 0])).values == {"agg": 0.5}
