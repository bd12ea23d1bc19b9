"""A model class for each scikit-learn estimator: made when asked for, constructed, fitted, saved and found again."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.discovery import all_estimators

import simpleml.models
from simpleml.errors import IdentityError, ModelError
from simpleml.hashing import hash_value
from simpleml.models import SklearnModel, estimators
from simpleml.models.estimators import EstimatorModel, every_name, listed_names
from simpleml.orm import Database
from simpleml.persistables.persistable import Persistable

ROOT = Path(__file__).resolve().parents[2]
X, Y = load_breast_cancer(return_X_y=True)
FEATURES, TARGET = load_diabetes(return_X_y=True)
NAMES = [name for name, _ in all_estimators() if name != "Pipeline"]
CLASSES = dict(all_estimators())

# What an estimator cannot be made without.
REQUIRED = {
    "estimator": DecisionTreeClassifier(),
    "estimators": [("tree", DecisionTreeClassifier())],
    "transformers": [],
    "transformer_list": [],
    "param_grid": {"max_depth": [1, 2]},
    "param_distributions": {"max_depth": [1, 2]},
    "dictionary": np.eye(2),
}

# SimpleML's own names, written down here once more so that the table cannot lose one.
SIMPLEML = {
    "DummyClassifier",
    "AdaBoostClassifier",
    "BaggingClassifier",
    "ExtraTreesClassifier",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "RandomForestClassifier",
    "VotingClassifier",
    "GaussianProcessClassifier",
    "LogisticRegression",
    "LogisticRegressionCV",
    "Perceptron",
    "RidgeClassifier",
    "RidgeClassifierCV",
    "SGDClassifier",
    "GaussianMixture",
    "BayesianGaussianMixture",
    "OneVsRestClassifier",
    "OneVsOneClassifier",
    "OutputCodeClassifier",
    "ClassifierChain",
    "MultiOutputClassifier",
    "BernoulliNB",
    "GaussianNB",
    "MultinomialNB",
    "KNeighborsClassifier",
    "MLPClassifier",
    "LinearSVC",
    "NuSVC",
    "SVC",
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
}


@pytest.fixture
def database(local: Database) -> Database:
    """A new SQLite database and store, current for the test."""
    return local


def model_class(name):
    """Return the model class of an estimator."""
    return getattr(simpleml.models, f"Sklearn{name}")


def required(name):
    """Return parameters that suffice to make the estimator."""
    missing = {key: REQUIRED[key] for key in REQUIRED if key in _needed(name)}
    assert missing.keys() == _needed(name)
    return missing


def _needed(name):
    parameters = list(inspect.signature(CLASSES[name].__init__).parameters.values())[1:]
    return {each.name for each in parameters if each.default is each.empty and "VAR_" not in each.kind.name}


@pytest.mark.filterwarnings("ignore:Class .* is deprecated:FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_every_estimator_has_a_class_that_can_be_made(name):
    """Each estimator of scikit-learn has a class of its own, made with its own defaults, that names the estimator."""
    made = model_class(name)(name="one", params=required(name))
    assert type(made).__name__ == type(made).registered_name == f"Sklearn{name}"
    assert type(made).__module__ == "simpleml.models"
    assert type(made.estimator) is CLASSES[name]
    assert made.get_params(deep=False).keys() == made.params.keys() == made.config["params"].keys()
    assert model_class(name) is type(made)
    assert type(model_class(name)(made.estimator).estimator) is CLASSES[name]


def test_no_parameter_of_an_estimator_is_also_a_keyword_of_ours():
    """A keyword means one thing: none of scikit-learn's parameters is called like a part of the identity."""
    ours = {*inspect.signature(Persistable.__init__).parameters} - {"self", "members"}
    ours |= {"params", "pipeline", "external_model"}
    clashes = {
        name: found
        for name, cls in CLASSES.items()
        if name != "Pipeline" and (found := ours & set(inspect.signature(cls.__init__).parameters) - {"self"})
    }
    assert clashes == {}


def test_the_names_of_simpleml_are_listed():
    """The 32 classifiers that SimpleML had are listed without scikit-learn being imported, and every one exists."""
    assert listed_names() == sorted(f"Sklearn{name}" for name in SIMPLEML)
    assert len(listed_names()) == 32
    assert set(listed_names()) <= set(dir(simpleml.models))
    assert set(listed_names()) <= set(every_name()) == {f"Sklearn{name}" for name in NAMES}
    script = (
        "import sys, simpleml.models as m; dir(m); m.SklearnModel; assert not {'sklearn', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


CASES = {
    "LogisticRegression": ({"solver": "liblinear"}, "predict_proba"),
    "RandomForestClassifier": ({"n_estimators": 5, "random_state": 0}, "predict_proba"),
    "HistGradientBoostingClassifier": ({"max_iter": 5}, "predict_proba"),
    "SVC": ({"kernel": "linear", "C": 0.1}, "decision_function"),
    "GaussianNB": ({}, "predict_log_proba"),
    "VotingClassifier": ({"estimators": [("tree", DecisionTreeClassifier(random_state=0))]}, "predict"),
    "OneVsRestClassifier": ({"estimator": LogisticRegression(solver="liblinear")}, "predict"),
    "Ridge": ({"alpha": 2.0}, "predict"),
    "GradientBoostingRegressor": ({"n_estimators": 5, "random_state": 0}, "predict"),
    "KMeans": ({"n_clusters": 3, "random_state": 0}, "predict"),
    "IsolationForest": ({"n_estimators": 5, "random_state": 0}, "decision_function"),
    "PCA": ({"n_components": 3}, "transform"),
    "TruncatedSVD": ({"random_state": 0}, "transform"),
    "GaussianMixture": ({"random_state": 0}, "predict_proba"),
    "QuantileTransformer": ({"n_quantiles": 10}, "transform"),
    "IterativeImputer": ({"max_iter": 2}, "transform"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_is_fitted_saved_and_loaded(database, name):
    """Classifiers, regressors, clusterers, outlier detectors, mixtures and decompositions give the same before and after."""
    params, method = CASES[name]
    data, labels = (
        (X[:, :5], Y)
        if "Classif" in name or name in {"SVC", "LogisticRegression", "GaussianNB"}
        else (FEATURES, TARGET)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # convergence is not the claim
        model = model_class(name)(name="it", **params).fit(data, labels).save()
    loaded = SklearnModel.load("it")
    assert type(loaded) is model_class(name)
    one, other = (np.asarray(getattr(each, method)(data)) for each in (model, loaded))
    assert one.tobytes() == other.tobytes()
    assert (loaded.hash_, hash_value(loaded.params)) == (model.hash_, hash_value(model.params))
    assert loaded.feature_metadata == model.feature_metadata
    assert loaded.state["rows"] == len(data)
    assert loaded.library_versions.keys() >= {"scikit-learn", "python"}


def test_a_record_finds_its_class_in_a_process_that_never_asked_for_it(database, tmp_path):
    """Another process loads a model by name alone: nobody there imported or named its class."""
    model = model_class("Ridge")(name="line", alpha=3).fit(FEATURES, TARGET).save()
    url, store = str(database.engine.url), database.settings.stores["default"]
    script = (
        "import sys, simpleml\n"
        "simpleml.connect(sys.argv[1], store=sys.argv[2])\n"
        "found = simpleml.load('model', name='line')\n"
        "print(type(found).__name__, found.get_params()['alpha'], found.hash_)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, url, str(store)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["SklearnRidge", "3", model.hash_]


# parameters and keywords


def test_params_and_keywords_reach_the_estimator():
    """`params=`, a keyword, `external_model_kwargs=` and a nested parameter all do what they say."""
    logistic, bagging = model_class("LogisticRegression"), model_class("BaggingClassifier")
    assert logistic(name="a", params={"C": 5}).estimator.C == 5
    assert logistic(name="a", C=5).estimator.C == 5
    assert logistic(name="a", external_model_kwargs={"C": 5}).estimator.C == 5
    assert bagging(estimator=SVC(), estimator__C=5).estimator.estimator.C == 5
    assert bagging(params={"estimator": SVC(), "estimator__C": 5}).get_params()["estimator__C"] == 5
    assert SklearnModel(SVC(), C=5).params["C"] == SklearnModel(SVC(), params={"C": 5}).params["C"] == 5
    assert logistic(C=5)._hash() == logistic(params={"C": 5})._hash() != logistic(C=4)._hash()


def test_the_estimator_that_was_given_keeps_its_own_parameters():
    """Parameters that are given beside an estimator are set on a copy."""
    svc = SVC(C=1)
    assert SklearnModel(svc, C=5).estimator.C == 5
    assert svc.C == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda of: of("SVC")(nmae="x"), IdentityError, r"takes no keyword 'nmae'.*did you mean 'name'\?"),
        (lambda of: of("SVC")(kernle="rbf"), IdentityError, r"takes no keyword 'kernle'.*did you mean 'kernel'\?"),
        (lambda of: of("SVC")(params={"gama": 1}), ModelError, r"no parameter 'gama'.*did you mean 'gamma'\?"),
        (lambda _: SklearnModel(SVC(), gama=1), IdentityError, r"no keyword 'gama'.*did you mean 'gamma'\?"),
        (lambda _: SklearnModel(SVC(), params={"gama": 1}), ModelError, r"did you mean 'gamma'\?"),
        (lambda of: of("SVC")(C=1, params={"C": 2}), ModelError, r"'C' twice"),
        (lambda of: of("BaggingClassifier")(estimator=SVC(), estimator__D=1), ModelError, r"Invalid parameter 'D'"),
        (lambda of: of("VotingClassifier")(), ModelError, r"needs estimators: SklearnVotingClassifier\(estimators=…\)"),
        (lambda of: of("SVC")(LogisticRegression()), ModelError, r"takes a SVC, but was given a LogisticRegression"),
        (lambda of: of("SVC")(SVC), ModelError, r"was given the class: write SVC\(…\)"),
        (lambda _: EstimatorModel(), ModelError, r"set its estimator_class"),
    ],
    ids=lambda each: "" if callable(each) else None,
)
def test_a_wrong_keyword_is_an_error_that_names_the_right_one(make, error, message):
    """A misspelt keyword or parameter, one given twice or missing, and another estimator are told apart and told."""
    with pytest.raises(error, match=message):
        make(model_class)


def test_an_estimator_that_does_not_exist_is_an_attribute_error_with_the_nearest_name():
    """A misspelt class name is told with the one that was meant; a pipeline is sent where it belongs."""
    with pytest.raises(AttributeError, match=r"did you mean 'SklearnLogisticRegression'\?"):
        simpleml.models.SklearnLogisticRegresion  # noqa: B018 - the lookup is what is tested
    with pytest.raises(AttributeError, match=r"simpleml\.pipelines\.SklearnPipeline"):
        simpleml.models.SklearnPipeline  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        simpleml.models.Nothing  # noqa: B018
    assert not hasattr(simpleml.models, "Sklearn_private")
    assert not hasattr(simpleml.models, "SklearnBaseEstimator")


def test_without_scikit_learn_the_message_has_the_pip_line():
    """Asking for a class without scikit-learn is an import error that says what to install."""
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "try: from simpleml.models import SklearnRidge\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pip install 'simpleml[sklearn]'" in done.stdout


def test_threads_that_ask_at_once_get_the_same_class(monkeypatch):
    """Eight threads that ask for a class that nobody has asked for yet all get one and the same."""
    monkeypatch.setattr(estimators, "_classes", {})
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        return estimators.estimator_model("SklearnRidgeCV")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_a_subclass_of_a_generated_class_is_a_model_like_others(database):
    """A user's own class on top of a generated one is saved and found under its own name."""
    model = OwnRidge(name="own", alpha=2).fit(FEATURES, TARGET).save()
    loaded = SklearnModel.load("own")
    assert type(loaded) is OwnRidge
    assert loaded.halved(FEATURES).tobytes() == (model.predict(FEATURES) / 2).tobytes()


class OwnRidge(simpleml.models.SklearnRidge):
    """A ridge regression that says half of what it thinks."""

    def halved(self, data):
        """Return half of the prediction."""
        return self.predict(data) / 2


# what is learned of the features


@pytest.mark.parametrize(
    ("name", "params", "key", "attribute"),
    [
        ("LogisticRegression", {"solver": "liblinear"}, "coefficients", "coef_"),
        ("RandomForestClassifier", {"n_estimators": 3}, "importances", "feature_importances_"),
        ("MultinomialNB", {}, "log_probabilities", "feature_log_prob_"),
        ("GaussianNB", {}, "class_means", "theta_"),
        ("SVC", {}, "support_vectors", "n_support_"),
        ("KMeans", {"n_clusters": 2}, "centers", "cluster_centers_"),
        ("PCA", {"n_components": 2}, "explained_variance", "explained_variance_ratio_"),
    ],
)
def test_what_was_learned_of_each_feature_is_recorded(name, params, key, attribute):
    """Coefficients, importances, log-probabilities and the like are plain numbers in `feature_metadata`."""
    model = model_class(name)(**params).fit(X, Y)
    assert model.feature_metadata["count"] == X.shape[1]
    assert model.feature_metadata[key] == np.asarray(getattr(model.estimator, attribute)).tolist()


def test_what_would_be_too_long_is_left_out_and_sparse_coefficients_are_not():
    """More than 500 numbers of one kind stay in the estimator; sparse ones are written as numbers."""
    wide = np.random.default_rng(0).normal(size=(20, 501))
    logistic = model_class("LogisticRegression")
    assert "coefficients" not in logistic().fit(wide, np.arange(20) % 2).feature_metadata
    sparse = SklearnModel(logistic(solver="liblinear").fit(X, Y).estimator.sparsify())
    sparse.feature_metadata = sparse._features_of(sparse.estimator)
    assert sparse.feature_metadata["coefficients"] == sparse.estimator.coef_.toarray().tolist()
