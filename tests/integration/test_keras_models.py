"""Keras models: networks that are handed in and networks that a class builds, saved, loaded elsewhere, predicting the same."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

import simpleml
from simpleml.datasets import PandasDataset
from simpleml.errors import IdentityError, MissingDependencyError, ModelError
from simpleml.hashing import hash_value
from simpleml.models import KerasModel
from simpleml.orm import Database
from simpleml.pipelines import RandomSplitSklearnPipeline
from tests.integration.keras_networks import TOKENS, Functional, Layers, Recurrent, Stateless

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, by numpy
ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 4)).astype("f4")
WORDS = np.where(X[:, 0] > 0, "yes", "no")
DATA = X[:10]

ELSEWHERE = """
import json, sys
import numpy
import simpleml
simpleml.connect(sys.argv[1], store=sys.argv[2], home=sys.argv[3])
model = simpleml.load("model", name="it", version=1)
print(json.dumps(model.predict_proba(numpy.array(json.loads(sys.argv[4]), dtype="f4")).tolist()))
"""


def layers(**more):
    """Return an unfitted classifier that builds its own network."""
    options = {"optimizer": "adam", "loss": "binary_crossentropy", "epochs": 2, "name": "it", **more}
    return Layers(arguments={"width": 5}, **options)


def network():
    """Return a network that is not compiled."""
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])


def test_a_network_comes_back_in_another_process_and_predicts_the_same(database: Database, tmp_path):
    """A classifier that builds its network is kept as a `.keras` file, and a fresh process gives the same probabilities."""
    model = layers().fit(X, WORDS).save()
    assert list(model.filepaths["external_model"]) == ["keras"]
    assert model.feature_metadata["classes"] == ["no", "yes"]
    assert set(model.predict(DATA)) <= {"no", "yes"}
    arguments = [
        database.engine.url.render_as_string(hide_password=False),
        str(tmp_path / "store"),
        str(tmp_path / "embedded"),
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, *arguments, json.dumps(DATA.tolist())],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == model.predict_proba(DATA).tolist()
    loaded = simpleml.load("model", name="it")
    assert np.array_equal(loaded.predict(DATA), model.predict(DATA))
    loaded.save()
    assert loaded.hash_ == model.hash_


def test_training_is_the_same_each_time_and_leaves_the_callers_seeds_alone(local: Database):
    """Equal settings give equal numbers and hashes, also from a loaded record; another seed or width others."""
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - what Keras draws from
    one, two, other = layers(), layers(), layers(seed=1)
    known = one._hash()
    assert known == two._hash() != other._hash()
    assert known != Layers(arguments={"width": 6}, **one.get_params())._hash()
    for model in (one, two, other):
        model.fit(X, WORDS)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert np.array_equal(one.predict_proba(DATA), two.predict_proba(DATA))
    assert not np.array_equal(one.predict_proba(DATA), other.predict_proba(DATA))
    one.save()
    again = Layers.load(name="it").new_version().fit(X, WORDS).save()
    assert again.hash_ == one.hash_
    assert np.array_equal(again.predict_proba(DATA), one.predict_proba(DATA))


def test_a_network_that_is_handed_in_is_where_training_starts(local: Database):
    """It is not touched itself, may be given Keras' own objects as parameters, and a new version goes on from where it was."""
    mine = network()
    before = mine.get_weights()
    settings = {"optimizer": keras.optimizers.Adam(0.01), "loss": keras.losses.Huber(), "validation_split": 0.2}
    model = KerasModel(mine, name="in", epochs=2, batch_size=32, **settings).fit(X, X[:, 1]).save()
    assert all(np.array_equal(one, two) for one, two in zip(before, mine.get_weights(), strict=True))
    assert set(model.history) == {"loss", "val_loss"}
    assert model.params["loss"]["class_name"] == "Huber"
    assert model.history["loss"][1] < model.history["loss"][0]
    assert model.score(X, X[:, 1]) > KerasModel(mine, name="before").declare_fitted().score(X, X[:, 1])
    more = KerasModel.load(name="in").new_version().set_params(epochs=1).fit(X, X[:, 1]).save()
    assert more.history["loss"][0] < model.history["loss"][0]
    frame = pd.DataFrame(DATA, columns=list("abcd"))
    assert np.array_equal(more.predict(frame), more.predict(DATA))


def test_one_that_was_trained_elsewhere_is_taken_as_it_is(local: Database):
    """A trained network is saved without a fit; one that was only built needs it to be said."""
    trained = network()
    trained.compile("adam", "mse")
    trained.fit(X, X[:, :1], verbose=0)
    model = KerasModel(trained, name="elsewhere").save()
    assert np.array_equal(KerasModel.load(name="elsewhere").predict(DATA), trained.predict(DATA, verbose=0)[:, 0])
    assert model.hash_ != KerasModel(network(), name="elsewhere").declare_fitted()._hash()
    with pytest.raises(ModelError, match="not fitted"):
        KerasModel(network(), name="built").save()
    KerasModel(network(), name="built").declare_fitted().save()
    assert KerasModel.load(name="built").is_fitted


def test_several_classes_and_callbacks(local: Database):
    """Labels of three classes, of any kind, go through a network that compiles itself; callbacks are given to `fit`."""
    labels = np.array(["red", "green", "blue"])[RANDOM.integers(0, 3, 200)]
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=100.0)
    model = Functional(name="colours", epochs=20).fit(X, labels, callbacks=[stop]).save()
    assert len(model.history["loss"]) == 2
    assert model.predict_proba(DATA).shape == (10, 3)
    assert Functional.load(name="colours").classes_.tolist() == ["blue", "green", "red"]
    assert set(model.predict(DATA)) <= set(labels)


def test_with_a_pipeline_the_validation_split_is_watched(local: Database):
    """The classifier is fitted on TRAIN and evaluated on VALIDATION, whose labels are numbered as those of TRAIN."""
    frame = pd.DataFrame(X, columns=list("abcd")).assign(target=WORDS)
    dataset = PandasDataset(frame, label_columns=["target"], name="data").save()
    sizes = {"train_size": 0.6, "validation_size": 0.2, "test_size": 0.2}
    pipeline = RandomSplitSklearnPipeline(name="split", **sizes).add_dataset(dataset).fit().save()
    model = layers().add_pipeline(pipeline)
    known = model._hash()
    model.fit().save()
    assert model.hash_ == known
    assert len(model.history["val_loss"]) == 2
    raw = pd.DataFrame(DATA, columns=list("abcd"))
    assert np.array_equal(Layers.load(name="it").predict(raw), model.predict(raw))


def test_the_hash_of_a_network_is_that_of_its_layers_and_numbers(local: Database):
    """Building the same network again makes no other hash, whatever Keras counts its names up to; other numbers do."""
    one, two = network(), network()
    two.set_weights(one.get_weights())
    assert one.name != two.name
    assert hash_value(one) == hash_value(two)
    two.layers[0].set_weights([1 + part for part in two.layers[0].get_weights()])
    assert hash_value(one) != hash_value(two)


def test_weights_are_transferred_by_name():
    """Layers of one name get the weights of the other network, others keep theirs; other shapes are told."""

    def made(width):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(width, name="shared"), keras.layers.Dense(1)])

    one, two = made(3), made(3)
    own = two.layers[1].get_weights()
    assert KerasModel.transfer_weights(two, one) == ["shared"]
    assert np.array_equal(two.layers[0].get_weights()[0], one.layers[0].get_weights()[0])
    assert np.array_equal(two.layers[1].get_weights()[0], own[0])
    with pytest.raises(ModelError, match="'shared' have other weights"):
        KerasModel.transfer_weights(made(5), one)


@pytest.mark.parametrize("kind", [Recurrent, Stateless])
def test_sequences_are_predicted_token_by_token(local: Database, kind):
    """The network that predicts has the trained weights, also after loading; a row is filled up after its own end."""
    source = RANDOM.integers(1, TOKENS, (40, 3)).astype("f4")
    so_far = np.concatenate([np.zeros((40, 1)), source[:, :2]], axis=1).astype("i4")
    target = source.astype("i4") if kind is Recurrent else source[:, 2].astype("i4")
    model = kind(optimizer="adam", loss="sparse_categorical_crossentropy", epochs=2, name="sequences")
    model.fit([source, so_far], target).save()
    first = np.zeros((10, 1), dtype="i4")
    told = model.predict((source[:10], first), end_index=2, max_length=6)
    assert told.shape[0] == 10
    assert 2 <= told.shape[1] <= 6
    for row in told.tolist():
        if 2 in row:
            assert set(row[row.index(2) :]) == {2}
    again = kind.load(name="sequences").predict((source[:10], first), end_index=2, max_length=6)
    assert np.array_equal(told, again)
    step = model.external_model.predict([source[:10], first], verbose=0)
    best = (step[:, -1] if step.ndim == 3 else step).argmax(axis=1)
    assert np.array_equal(told[:, 1], best)


MISTAKES = {
    "nothing": (KerasModel, "override build_network"),
    "no network": (lambda: KerasModel(5), r"takes a keras\.Model"),
    "both": (lambda: KerasModel(network(), arguments={}), "a network was given already"),
    "typo": (lambda: layers(epoch=3), "epochs"),
    "not compiled": (lambda: KerasModel(network()).fit(X, X[:, 0]), "does not say how it is trained"),
    "unfitted": (lambda: layers().predict(X), "not fitted"),
    "no labels": (lambda: KerasModel(network(), loss="mse").score(X), "compares with labels"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_with_networks_are_told(local: Database, mistake):
    """Each usual mistake is an error that says what is wrong and what to write instead."""
    work, message = MISTAKES[mistake]
    with pytest.raises((ModelError, IdentityError), match=message):
        work()


def test_missing_keras_is_told_with_the_pip_line(monkeypatch):
    """Without Keras the constructor names the extra that brings it."""
    mine = network()
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'simpleml\[keras\]'"):
        KerasModel(mine)
