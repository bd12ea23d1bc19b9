"""`SklearnModel`: fitted once, saved as the plain estimator, and the same estimator when it comes back."""

from __future__ import annotations

import pickletools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import simpleml
from simpleml.errors import ArtifactUnsetError, HashingError, ImmutableVersionError, LineageError, ModelError
from simpleml.models import Model, SklearnModel
from simpleml.orm import Database

ROOT = Path(__file__).resolve().parents[2]
X, Y = load_breast_cancer(return_X_y=True)


@pytest.fixture
def database(local: Database) -> Database:
    """A new SQLite database and store, current for the test."""
    return local


def tree(**params):
    """Return an unfitted estimator that fits the same every time."""
    return DecisionTreeClassifier(random_state=0, **params)


def fitted(**params):
    """Return a fitted model, not saved."""
    return SklearnModel(tree(**params), name="tree").fit(X, Y)


ESTIMATORS = [
    (LogisticRegression(C=0.5, solver="liblinear"), "predict_proba"),
    (RandomForestClassifier(n_estimators=5, random_state=0), "predict_proba"),
    (make_pipeline(StandardScaler(), PCA(5), SVC()), "decision_function"),
    (GridSearchCV(tree(), {"max_depth": [1, 2]}, cv=2), "predict"),
    (LinearRegression(), "predict"),
    (StandardScaler(), "transform"),
    (PCA(3), "inverse_transform"),
    (FunctionTransformer(np.log1p), "transform"),
]


@pytest.mark.parametrize(
    ("estimator", "method"), ESTIMATORS, ids=lambda each: getattr(each, "__name__", str(each))[:30]
)
def test_what_was_saved_predicts_the_same_to_the_bit(database, estimator, method):
    """Any estimator, fitted, saved and loaded, gives the very bytes that it gave before."""
    model = SklearnModel(estimator, name="any").fit(X, Y).save()
    data = X[:, :3] if method == "inverse_transform" else X
    loaded = SklearnModel.load(name="any", version=1)
    one, other = (np.asarray(getattr(each, method)(data)) for each in (model, loaded))
    assert one.tobytes() == other.tobytes()
    assert one.tobytes() == np.asarray(getattr(model.estimator, method)(data)).tobytes()
    assert loaded.hash_ == model.hash_
    assert loaded.is_fitted


def test_a_restored_model_calls_no_init_and_reads_nothing_early(database, monkeypatch):
    """Loading runs no `__init__` and reads no artifact; the first prediction does."""
    fitted().save()
    monkeypatch.setattr(SklearnModel, "__init__", lambda *_, **__: pytest.fail("__init__ was called"))
    loaded = SklearnModel.load("tree")
    assert "not read yet" in loaded._repr_html_()
    assert loaded.is_fitted
    assert loaded.params == {**loaded.config["params"]}
    loaded.predict(X)
    assert "not read yet" not in loaded._repr_html_()


def test_what_is_stored_knows_nothing_of_simpleml(database):
    """The stored bytes are a pickle of the plain estimator, which plain pickle reads in a process without simpleml."""
    model = fitted().save()
    reference = model.filepaths["external_model"]["pickled"]
    path = Path(database.settings.stores["default"]) / reference["key"]
    assert not any("simpleml" in str(argument) for _, argument, _ in pickletools.genops(path.read_bytes()))
    script = (
        "import sys, pickle; sys.modules['simpleml'] = None\n"
        "estimator = pickle.load(open(sys.argv[1], 'rb'))\n"
        "from sklearn.datasets import load_breast_cancer as table\n"
        "print(estimator.predict(table().data).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == model.predict(X).tobytes().hex()


def test_a_name_of_models_counts_versions_and_answers_by_kind(database):
    """Models share the versions of their kind, are found as Model too, and their parameters can be asked for."""
    for depth in (1, 2, 3):
        fitted(max_depth=depth).save()
    assert Model.versions("tree") == [1, 2, 3]
    assert type(Model.load("tree")) is SklearnModel
    assert simpleml.load("model", name="tree", version=2).get_params()["max_depth"] == 2
    assert [each.version for each in SklearnModel.query(metadata__config__params__max_depth__gt=1)] == [2, 3]


# identity


def test_equal_models_have_equal_hashes(database):
    """Class, parameters and data make the hash, so that two fits of the same are the same, saved or not."""
    assert fitted(max_depth=2).save().hash_ == fitted(max_depth=2).save().hash_ == fitted(max_depth=2)._hash()


@pytest.mark.parametrize(
    "other",
    [
        lambda: fitted(max_depth=3),
        lambda: SklearnModel(tree(max_depth=2), name="tree").fit(X[:-1], Y[:-1]),
        lambda: SklearnModel(tree(max_depth=2), name="tree").fit(X, 1 - Y),
        lambda: SklearnModel(tree(max_depth=2), name="tree").fit(X, Y, sample_weight=np.ones(len(Y))),
        lambda: SklearnModel(RandomForestClassifier(max_depth=2, random_state=0), name="tree").fit(X, Y),
        lambda: SklearnModel(tree(max_depth=2), name="tree", config={"mine": 1}).fit(X, Y),
        lambda: SklearnModel(tree(max_depth=2).fit(X, Y), name="tree"),
    ],
    ids=["parameter", "rows", "target", "fit parameter", "class", "config", "fitted elsewhere"],
)
def test_a_difference_in_what_it_is_made_from_is_another_hash(database, other):
    """Another parameter, row, target, weight, class or config gives another hash."""
    assert fitted(max_depth=2).save().hash_ != other().save().hash_


def test_nested_parameters_count(database):
    """A parameter deep inside a pipeline is part of the hash; what fitting did to the steps is not."""
    hashes = [
        SklearnModel(make_pipeline(StandardScaler(), tree(max_depth=depth)), name="p").fit(X, Y).save().hash_
        for depth in (1, 2, 1)
    ]
    assert hashes[0] == hashes[2] != hashes[1]
    prepared = make_pipeline(StandardScaler(), tree(max_depth=1)).fit(X, Y)
    assert SklearnModel(prepared).config == SklearnModel(make_pipeline(StandardScaler(), tree(max_depth=1))).config


def test_data_that_changes_after_the_fit_does_not_matter(database):
    """The hash says what the data was when it was fitted on, and an estimator that overwrites it changes nothing."""
    data = X.copy()
    model = SklearnModel(StandardScaler(copy=False), name="s").fit(data)
    model.transform(data)
    assert not np.array_equal(data, X)
    again = SklearnModel(StandardScaler(copy=False), name="s").fit(X.copy())
    assert model.save().hash_ == again.save().hash_


def test_the_hash_is_the_same_in_another_process(database):
    """Another process with another PYTHONHASHSEED computes the hash of the same model."""
    script = (
        "from sklearn.datasets import load_breast_cancer; from sklearn.tree import DecisionTreeClassifier\n"
        "from simpleml.models import SklearnModel\n"
        "table = load_breast_cancer()\n"
        "estimator = DecisionTreeClassifier(random_state=0, class_weight={0: 1.0, 1: 2.0})\n"
        "print(SklearnModel(estimator, name='x').fit(table.data, table.target)._hash())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fitted(class_weight={0: 1.0, 1: 2.0})._hash()}


class Unhashable:
    """Can be copied, but holds a generator, which has no stable hash."""

    def __init__(self):
        self.numbers = (number for number in range(3))

    def __deepcopy__(self, memo):
        return Unhashable()


def test_a_parameter_without_a_stable_hash_is_an_error_that_names_it():
    """An estimator whose parameter cannot be hashed is refused, and the parameter is named."""
    with pytest.raises(HashingError, match=r"kw_args.*numbers"):
        SklearnModel(FunctionTransformer(kw_args={"holder": Unhashable()}))


def test_data_without_a_stable_hash_is_an_error_that_names_the_argument():
    """Data that cannot be hashed is refused before the fit, and the message says which argument it was."""
    model = SklearnModel(tree())
    with pytest.raises(HashingError, match="sample_weight, on which"):
        model.fit(X, Y, sample_weight=(1 for _ in Y))
    assert not model.is_fitted


# what is recorded


def test_columns_tell_parameters_and_features(database):
    """`params` and `feature_metadata` are plain values in columns of their own: names, number of features, classes."""
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    SklearnModel(make_pipeline(StandardScaler(), tree()), name="m").fit(frame, np.where(Y == 1, "good", "bad")).save()
    [row] = database.select("model", {"name": "m"})
    assert row["feature_metadata"] == {"count": 2, "names": ["a", "b"], "classes": ["bad", "good"]}
    assert row["params"]["verbose"] is False
    assert "DecisionTreeClassifier(random_state=0)" in row["params"]["steps"]
    assert row["metadata_"]["config"]["estimator"] == "sklearn.pipeline:Pipeline"
    assert row["metadata_"]["state"]["fitted"] is True
    assert row["metadata_"]["state"]["rows"] == len(X)
    assert row["metadata_"]["state"]["fit_seconds"] > 0


def test_addresses_never_enter_a_record():
    """A function among the parameters is shown without its address in memory."""
    model = SklearnModel(FunctionTransformer(func=lambda table: table + 1))
    assert " at 0x" not in str(model.params)
    assert " at 0x" not in str(model.config)


def test_many_classes_and_long_parameters_are_not_listed():
    """More than a hundred classes are left out, and a long parameter is named by its hash."""
    classes = np.arange(len(X)) % 150
    many = SklearnModel(tree(class_weight=dict.fromkeys(range(150), 1.0))).fit(X, classes)
    assert many.feature_metadata.keys() == {"count", "importances"}
    assert many.config["params"]["class_weight"].keys() == {"type", "hash"}


@settings(max_examples=30)
@given(
    weights=st.one_of(
        st.none(),
        st.dictionaries(st.integers(0, 5), st.floats(0.1, 5), min_size=1),
        st.sampled_from(["balanced"]),
    ),
    strength=st.floats(allow_nan=False),
)
def test_any_parameters_are_described_and_tell_models_apart(weights, strength):
    """Whatever the parameters are, the description of equal ones is equal, and that of another value is not."""
    one, same, other = (
        SklearnModel(LogisticRegression(C=value, class_weight=weights)).config
        for value in (strength, strength, np.nextafter(strength, 0) if strength else 1.0)
    )
    assert one == same
    assert one["params_hash"] != other["params_hash"]


# once fitted


def test_a_model_is_fitted_once():
    """A second fit and other parameters are refused on a fitted model, with the way out in the message."""
    model = fitted()
    for change in (lambda: model.fit(X, Y), lambda: model.set_params(max_depth=1), lambda: model.fit_predict(X)):
        with pytest.raises(ModelError, match=r"fitted once.*new_version\(\)"):
            change()


def test_a_saved_or_loaded_model_refuses_to_be_fitted(database):
    """A saved version keeps its estimator, in the process that saved it and in any other."""
    model = fitted().save()
    for each in (model, SklearnModel.load("tree")):
        with pytest.raises(ModelError, match="new_version"):
            each.fit(X, Y)


def test_a_new_version_may_be_fitted_again_once_and_leaves_the_old_one_alone(database):
    """The copy takes other parameters and another fit; the original predicts as before."""
    model = fitted(max_depth=1).save()
    before = model.predict_proba(X)
    following = model.new_version().set_params(max_depth=4)
    assert not following.is_fitted
    following.fit(X, Y).save()
    assert (model.version, following.version) == (1, 2)
    assert following.hash_ == fitted(max_depth=4)._hash() != model.hash_
    assert np.array_equal(model.predict_proba(X), before)
    assert not np.array_equal(following.predict_proba(X), before)
    with pytest.raises(ModelError, match="fitted once"):
        following.fit(X, Y)


def test_a_new_version_is_saved_as_it_is_without_reading_the_estimator(database):
    """A copy that is not fitted again is the next version of the same, and shares its bytes."""
    fitted().save()
    loaded = SklearnModel.load("tree")
    again = loaded.new_version().save()
    assert again.version == 2
    assert again.hash_ == loaded.hash_
    assert again.filepaths == loaded.filepaths
    assert "not read yet" in loaded._repr_html_()


def test_the_estimator_that_was_given_is_never_fitted():
    """A clone is fitted, so that one estimator may serve for several models."""
    estimator = tree()
    one, other = SklearnModel(estimator).fit(X, Y), SklearnModel(estimator).fit(X, 1 - Y)
    assert not hasattr(estimator, "tree_")
    assert np.array_equal(one.predict(X), 1 - other.predict(X))


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    """The estimator's own error comes out, and the model is as unfitted as before."""
    model = SklearnModel(tree())
    config, state = dict(model.config), dict(model.state)
    with pytest.raises(ValueError, match="Number of labels=568"):
        model.fit(X, Y[:-1])
    assert (model.config, model.state, model.is_fitted) == (config, state, False)
    assert model.fit(X, Y).is_fitted


def test_changing_a_saved_estimator_is_refused_at_save(database):
    """What is done to the estimator of a saved version cannot be saved over it."""
    model = fitted(max_depth=2).save()
    model.estimator.set_params(max_depth=3)
    with pytest.raises(ImmutableVersionError, match="external_model"):
        model.save()


def test_state_of_a_saved_model_may_change(database):
    """Notes about a saved version are saved with it, without a new version and without reading the estimator."""
    fitted().save()
    loaded = SklearnModel.load("tree")
    loaded.state["deployed"] = True
    loaded.save()
    assert SklearnModel.load("tree").state["deployed"] is True
    assert SklearnModel.versions("tree") == [1]


def test_parameters_may_change_before_the_fit():
    """Unfitted, parameters are set and read as on the estimator; one that it does not have is refused."""
    model = SklearnModel(tree()).set_params(max_depth=7)
    assert model.get_params()["max_depth"] == model.config["params"]["max_depth"] == model.params["max_depth"] == 7
    with pytest.raises(ModelError, match="depht"):
        model.set_params(depht=3)


# fitted elsewhere


def test_what_was_fitted_elsewhere_has_its_hash_before_it_is_saved(database):
    """The fitted state tells two such models apart, unsaved too, and the hash is what saving records."""
    model, other = (SklearnModel(tree().fit(X, target), name="given") for target in (Y, 1 - Y))
    before = model._hash()
    assert before != other._hash()
    assert model.save().hash_ == before == SklearnModel.load("given").new_version()._hash()


def test_an_estimator_that_was_fitted_elsewhere_is_taken_as_it_is(database):
    """It can predict and be saved at once; its fitted state stands for the data in the hash."""
    elsewhere = tree(max_depth=2).fit(X, Y)
    model = SklearnModel(elsewhere, name="given")
    assert model.is_fitted
    assert np.array_equal(model.predict(X), elsewhere.predict(X))
    importances = elsewhere.feature_importances_.tolist()
    assert model.save().feature_metadata == {"count": 30, "classes": [0, 1], "importances": importances}
    assert model.hash_ == SklearnModel(tree(max_depth=2).fit(X, Y), name="given").save().hash_
    assert model.hash_ != SklearnModel(tree(max_depth=2).fit(X, 1 - Y), name="given").save().hash_
    loaded = SklearnModel.load("given", version=1)
    assert loaded.is_fitted
    assert loaded.new_version().save().hash_ == model.hash_
    with pytest.raises(ModelError, match="fitted once"):
        loaded.fit(X, Y)


class Duck:
    """An estimator of somebody who has never heard of scikit-learn's base class."""

    def __init__(self, shift=1):
        self.shift = shift

    def get_params(self, deep=True):
        return {"shift": self.shift}

    def set_params(self, **params):
        vars(self).update(params)
        return self

    def fit(self, X, y=None):
        self.mean_ = float(np.mean(X))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_ + self.shift)


def test_an_estimator_of_another_library_will_do(database):
    """Whatever has fit, get_params and set_params is wrapped, fitted, refused while unfitted, and saved."""
    model = SklearnModel(Duck(2), name="duck")
    with pytest.raises(ModelError, match="not fitted"):
        model.predict(X)
    model.fit(X).save()
    assert np.array_equal(SklearnModel.load("duck").predict(X), model.predict(X))


@pytest.mark.parametrize("estimator", [Normalizer(), make_pipeline(Normalizer())], ids=["estimator", "pipeline"])
def test_what_needs_no_fit_works_without_and_with_one(database, estimator):
    """A transformer without state transforms and is saved unfitted, and may be fitted all the same."""
    model = SklearnModel(estimator, name="n")
    expected = model.transform(X)
    assert np.array_equal(SklearnModel(estimator, name="n").fit(X).save().transform(X), expected)
    before = model._hash()
    assert model.save().hash_ == before == SklearnModel(estimator, name="n")._hash()
    assert np.array_equal(SklearnModel.load("n").transform(X), expected)


# errors


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform", "decision_function", "score"])
def test_an_unfitted_model_says_so(method):
    """Every use before the fit is an error that says what to call, whether the estimator has the method or not."""
    with pytest.raises(ModelError, match=r"not fitted.*fit\(X, y\) first"):
        getattr(SklearnModel(tree()), method)(X)


def test_an_unfitted_model_is_not_saved(database):
    """Saving before the fit is refused, and nothing is stored."""
    with pytest.raises(ModelError, match=r"save\(\) is refused"):
        SklearnModel(tree(), name="early").save()
    assert database.count("model", {}) == 0


def test_a_method_that_the_estimator_lacks_is_named_with_those_it_has():
    """The message names the estimator's class, the method, the reason if there is one, and what can be called instead."""
    with pytest.raises(ModelError, match=r"DecisionTreeClassifier has no transform\(\); it has predict, predict_proba"):
        fitted().transform(X)
    hard = make_pipeline(StandardScaler(), SVC())
    with pytest.raises(ModelError, match=r"Pipeline has no predict_proba\(\)"):
        SklearnModel(hard).fit(X, Y).predict_proba(X)
    with pytest.raises(ModelError, match=r"StandardScaler has no fit_predict\(\)"):
        SklearnModel(StandardScaler()).fit_predict(X)


class Stubborn(BaseEstimator):
    """Breaks the rule that __init__ keeps its arguments as they are."""

    def __init__(self, words=()):
        self.words = list(words)

    def fit(self, X, y=None):
        return self


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (DecisionTreeClassifier, r"was given the class: write DecisionTreeClassifier\(…\)"),
        ("tree", "has no fit, get_params, set_params"),
        (None, "NoneType"),
        (Stubborn(("a",)), "cannot be cloned"),
    ],
    ids=["class", "text", "None", "no clone"],
)
def test_what_is_no_estimator_is_refused_at_once(given_, message):
    """A class, something else, or an estimator that cannot be cloned is an error at construction."""
    with pytest.raises(ModelError, match=message):
        SklearnModel(given_)


def test_fit_predict_and_fit_transform_give_what_the_estimator_gives():
    """Clusters and embeddings come out of the fit itself."""
    clusters = SklearnModel(DBSCAN(eps=100))
    assert np.array_equal(clusters.fit_predict(X), DBSCAN(eps=100).fit_predict(X))
    assert clusters.is_fitted
    scaler = SklearnModel(MinMaxScaler())
    assert np.array_equal(scaler.fit_transform(X), MinMaxScaler().fit_transform(X))
    assert np.allclose(scaler.inverse_transform(scaler.transform(X)), X)


def test_score_and_log_probabilities_are_the_estimators():
    """`score` and `predict_log_proba` pass through."""
    model = SklearnModel(LogisticRegression(solver="liblinear")).fit(X, Y)
    assert model.score(X, Y) == model.estimator.score(X, Y)
    assert np.array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))


def test_the_pipeline_of_a_model_must_be_a_pipeline():
    """The lineage role `pipeline` takes nothing but pipelines."""
    with pytest.raises(LineageError, match="'pipeline'"):
        SklearnModel(tree(), pipeline=fitted())


class OwnModel(Model):
    """A model of the user's own, without scikit-learn."""

    weights: simpleml.Artifact[list[float]] = simpleml.Artifact(identity=False)


def test_a_model_of_ones_own_needs_no_scikit_learn(database):
    """A subclass of Model saves its own artifacts and columns."""
    model = OwnModel(name="own", config={"rate": 0.1})
    model.weights = [1.0, 2.0]
    model.params = {"rate": 0.1}
    model.save()
    loaded = Model.load("own")
    assert type(loaded) is OwnModel
    assert (loaded.weights, loaded.params, loaded.feature_metadata) == ([1.0, 2.0], {"rate": 0.1}, None)
    with pytest.raises(ArtifactUnsetError):
        OwnModel(name="empty").weights  # noqa: B018 - reading is what is tested


class DuckModel(Model):
    """A model of another library, which fills none of the hooks."""

    def halved(self, data):
        """Return half of what is predicted."""
        return self.predict(data) / 2


def test_a_model_of_another_library_needs_no_hook(database):
    """`Model` itself takes whatever has fit, get_params and set_params: fitted, described, refused, saved and loaded."""
    duck = Duck(2)
    model = DuckModel(duck, name="duck", params={"shift": 3})
    assert (duck.shift, model.get_params(), model.params) == (2, {"shift": 3}, {"shift": 3})
    with pytest.raises(ModelError, match="not fitted"):
        model.halved(X)
    assert np.array_equal(model.fit_predict(X), Duck(3).fit(X).predict(X))
    with pytest.raises(ModelError, match="fitted once"):
        model.set_params(shift=4)
    loaded = DuckModel.load(name=model.save().name)
    assert np.array_equal(loaded.halved(X), model.predict(X) / 2)
    assert loaded.new_version().set_params(shift=4).fit(X).save().version == 2
    assert DuckModel(external_model=Duck(3)).fit(X)._hash() == model.hash_
    with pytest.raises(ModelError, match="not fitted"):
        DuckModel(Duck()).save()


def test_models_import_no_scikit_learn_until_they_need_it():
    """`import simpleml.models` costs neither numpy nor scikit-learn; without it, the message names the extra."""
    script = (
        "import sys; import simpleml.models as models; assert not {'sklearn', 'numpy'} & set(sys.modules)\n"
        "sys.modules['sklearn'] = None\n"
        "class Duck:\n"
        "    fit = get_params = set_params = predict = lambda self, **_: {}\n"
        "try: models.SklearnModel(Duck())\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pip install 'simpleml[sklearn]'" in done.stdout
