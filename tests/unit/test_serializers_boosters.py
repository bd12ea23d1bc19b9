from __future__ import annotations

import functools
import pickle
import subprocess
import sys

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from simpleml.errors import MissingDependencyError, SerializationError, TrustError
from simpleml.hashing import hash_value
from simpleml.save_patterns.catalogue import choose_pattern
from simpleml.save_patterns.serializers.catboost import CATBOOST
from simpleml.save_patterns.serializers.lightgbm import LIGHTGBM
from simpleml.save_patterns.serializers.xgboost import XGBOOST
from simpleml.save_patterns.trust import Policy
from simpleml.testing.serializers import SerializerContract
from tests.unit.dumping import dump, there_and_back

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 3))
Y = (X[:, 0] > 0).astype(int)
WORDS = np.where(Y, "yes", "no")
FRAME = pd.DataFrame({"a": X[:, 0], "c": pd.Categorical(RANDOM.choice(list("uvw"), 200))})
QUIET = {"verbose": False, "allow_writing_files": False, "thread_count": 1}


@functools.cache
def of_xgboost():
    """Return small fitted estimators and a booster."""
    return [
        xgboost.XGBClassifier(n_estimators=4, enable_categorical=True, n_jobs=1).fit(FRAME, Y),
        xgboost.XGBRegressor(n_estimators=4, early_stopping_rounds=2, n_jobs=1).fit(
            X, Y, eval_set=[(X, Y)], verbose=False
        ),
        xgboost.XGBRFClassifier(n_estimators=3, n_jobs=1).fit(X, Y),
        xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(X, Y), 3),
    ]


@functools.cache
def of_lightgbm():
    """Return small fitted estimators and a booster."""
    stop = lightgbm.early_stopping(2, verbose=False)
    return [
        lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1).fit(FRAME, WORDS),
        lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1).fit(
            X, X[:, 0], eval_X=X, eval_y=X[:, 1], callbacks=[stop]
        ),
        lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 3),
    ]


@functools.cache
def of_catboost():
    """Return small fitted models."""
    return [
        catboost.CatBoostClassifier(iterations=3, **QUIET).fit(X, WORDS),
        catboost.CatBoostRegressor(iterations=6, **QUIET).fit(X, X[:, 0], eval_set=(X, X[:, 1])),
        catboost.CatBoost({"iterations": 3, **QUIET}).fit(X, Y),
    ]


def data_of(value):
    """Return what a model of the tables above predicts on."""
    names = getattr(value, "feature_name_", None) or getattr(value, "feature_names_in_", ())
    return FRAME if "c" in list(names) else X


class Same(SerializerContract):
    def same(self, left, right):
        return type(left) is type(right) and hash_value(left) == hash_value(right)

    def copy(self, value):
        return pickle.loads(pickle.dumps(value))


class TestXGBoost(Same):
    def serializer(self):
        return XGBOOST

    def values(self):
        return of_xgboost()

    def refused(self):
        return [b"bytes", xgboost.XGBClassifier(), xgboost.XGBClassifier(objective=lambda y, p: (p - y, p)).fit(X, Y)]

    def large(self):
        model = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 1)
        model.set_attr(note="x" * 21_000_000)
        return model


class TestLightGBM(Same):
    def serializer(self):
        return LIGHTGBM

    def values(self):
        return of_lightgbm()

    def refused(self):
        return [
            b"bytes",
            lightgbm.LGBMClassifier(),
            lightgbm.LGBMRegressor(objective=lambda y, p: (p - y, p * 0 + 1), verbose=-1).fit(X, Y),
        ]

    def large(self):
        model = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 1)
        model.pandas_categorical = [["x" * 21_000_000]]
        return model


class TestCatBoost(Same):
    def serializer(self):
        return CATBOOST

    def values(self):
        return of_catboost()

    def same(self, left, right):
        return super().same(left, right) and left.get_params() == right.get_params()

    def refused(self):
        return [b"bytes", catboost.CatBoostClassifier()]

    def large(self):
        model = catboost.CatBoost({"iterations": 1, **QUIET}).fit(X, Y)
        model.get_metadata()["note"] = "x" * 21_000_000
        return model


ALL = [(XGBOOST, of_xgboost), (LIGHTGBM, of_lightgbm), (CATBOOST, of_catboost)]


@pytest.mark.parametrize(("serializer", "models"), ALL, ids=lambda each: getattr(each, "name", ""))
def test_what_comes_back_predicts_the_same_bits_and_knows_its_parameters(serializer, models):
    """Each estimator is of its class, has its parameters, classes and attributes, and predicts the very same numbers."""
    for value in models():
        loaded = there_and_back(serializer, value)
        data = xgboost.DMatrix(X) if isinstance(value, xgboost.Booster) else data_of(value)
        for method in ("predict", "predict_proba"):
            if hasattr(value, method):
                one, other = getattr(value, method)(data), getattr(loaded, method)(data)
                assert np.array_equal(one, other)
        if hasattr(value, "get_params"):
            one, other = (repr(sorted(each.get_params().items())) for each in (value, loaded))
            assert one == other
        if hasattr(value, "classes_"):
            assert np.array_equal(value.classes_, loaded.classes_)


@pytest.mark.parametrize(("serializer", "models"), ALL, ids=lambda each: getattr(each, "name", ""))
def test_each_is_chosen_by_type_and_what_is_no_plain_value_is_not(serializer, models):
    """A fitted estimator of the library itself gets its own format unasked, an unfitted or a user's own one is pickled."""
    for value in models():
        assert choose_pattern(value) == serializer.name
    own = type("Own", (type(models()[0]),), {})
    assert choose_pattern(type(models()[0])()) == choose_pattern(own()) == "pickled"


@pytest.mark.parametrize(("serializer", "models"), ALL, ids=lambda each: getattr(each, "name", ""))
def test_their_readers_believe_what_they_read_so_the_policy_is_asked(serializer, models):
    """The safe policy refuses these files, and the other wants a trusted store: a hostile one could break the process."""
    for policy in (Policy("safe", trusted=frozenset({"default"})), Policy()):
        with pytest.raises(TrustError):
            policy.check_reading(serializer, "default", bytearray())
    Policy(trusted=frozenset({"default"})).check_reading(serializer, "default", bytearray())


@pytest.mark.parametrize(("serializer", "models"), ALL, ids=lambda each: getattr(each, "name", ""))
def test_only_classes_of_the_library_are_looked_up(serializer, models):
    """A record that names another class, or none, is refused; nothing is imported for it."""
    data, details = dump(serializer, models()[0])
    for name in ("Popen", "subprocess:Popen", None, 3, "XGBModelX"):
        with pytest.raises(SerializationError, match="the class of this"):
            serializer.load(data, format=1, details={**details, "class": name})
    with pytest.raises(SerializationError, match="attributes"):
        serializer.load(data, format=1, details={**details, "attributes": [1]})


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])
def test_the_library_alone_reads_the_file(tmp_path, name):
    """A process that never heard of simpleml reads the file with the library, and it predicts the same numbers."""
    readers = {
        "xgboost": "m = xgboost.XGBRegressor(); m.load_model(path)",
        "lightgbm": "m = lightgbm.Booster(model_file=path)",
        "catboost": "m = catboost.CatBoostRegressor(); m.load_model(path)",
    }
    suffix = {"xgboost": "json", "lightgbm": "txt", "catboost": "cbm"}[name]
    serializer, models = next(pair for pair in ALL if pair[0].name == name)
    value = models()[1]
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(dump(serializer, value)[0])
    np.save(tmp_path / "x.npy", X)
    script = (
        f"import sys, numpy, {name}; path = sys.argv[1]; {readers[name]}\n"
        "numpy.save(sys.argv[3], m.predict(numpy.load(sys.argv[2])))\n"
        "assert not [each for each in sys.modules if each.partition('.')[0] == 'simpleml']"
    )
    command = [sys.executable, "-P", "-c", script, str(path), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    told = np.load(tmp_path / "y.npy")
    if name == "lightgbm":
        assert np.array_equal(told, value.booster_.predict(X, num_iteration=-1))
    else:
        assert np.array_equal(told, value.predict(X))


@pytest.mark.parametrize(("serializer", "models"), ALL, ids=lambda each: getattr(each, "name", ""))
def test_a_missing_library_is_told_with_the_pip_line(serializer, models, monkeypatch):
    """Without the library both ways name the extra that brings it."""
    data, details = dump(serializer, models()[0])
    monkeypatch.setitem(sys.modules, serializer.name, None)
    for work in (lambda: serializer.load(data, format=1, details=details), lambda: dump(serializer, 1)):
        with pytest.raises(MissingDependencyError, match=rf"pip install 'simpleml\[{serializer.name}\]'"):
            work()


def test_equal_fits_hash_alike_and_other_trees_do_not():
    """The hash of a booster is that of its trees: the same after loading, another after one more round."""
    one, two = (xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y) for _ in range(2))
    assert hash_value(one) == hash_value(two)
    one, two = (lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(X, Y) for _ in range(2))
    assert hash_value(one) == hash_value(two)
    more = [
        (xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 2), of_xgboost()[3]),
        (lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 2), of_lightgbm()[2]),
        (catboost.CatBoost({"iterations": 2, **QUIET}).fit(X, Y), of_catboost()[2]),
    ]
    for left, right in more:
        assert hash_value(left) != hash_value(right)
