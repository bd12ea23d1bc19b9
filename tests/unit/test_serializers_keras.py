from __future__ import annotations

import functools
import io
import json
import os
import zipfile
from functools import partial

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

from simpleml.errors import SerializationError, TrustError
from simpleml.save_patterns.serializers.keras import KERAS
from simpleml.save_patterns.trust import Policy
from simpleml.testing.serializers import SerializerContract
from tests.unit import dumping

dump = partial(dumping.dump, KERAS)


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, by numpy
X = np.linspace(0, 1, 12, dtype="f4").reshape(4, 3)


@functools.cache
def model(**options):
    """Return a small model that was trained for a step."""
    found = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dropout(0.1), keras.layers.Dense(1)],
        **options,
    )
    found.compile(optimizer="adam", loss="mse")
    found.fit(X, X[:, :1], verbose=0)
    return found


@functools.cache
def functional():
    """Return a model with two inputs, of which one branch is a model itself."""
    left, right = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    joined = keras.layers.Concatenate()([inner(left), right])
    return keras.Model([left, right], keras.layers.Dense(1)(joined))


class Plain(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def made_with(layer):
    """Return a model around one layer."""
    return keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])


class TestContract(SerializerContract):
    def serializer(self):
        return KERAS

    def values(self):
        return [model(name="one"), functional()]

    def same(self, left, right):
        weights = zip(left.get_weights(), right.get_weights(), strict=True)
        if not all(np.array_equal(one, two) for one, two in weights):
            return False
        optimizers = [getattr(found, "optimizer", None) for found in (left, right)]
        if (optimizers[0] is None) != (optimizers[1] is None):
            return False
        if optimizers[0] is not None:
            one, two = ([np.asarray(part) for part in each.variables] for each in optimizers)
            if len(one) != len(two) or not all(map(np.array_equal, one, two)):
                return False
        return type(left) is type(right) and json.dumps(left.get_config()) == json.dumps(right.get_config())

    def copy(self, value):
        data, details = dump(value)
        return KERAS.load(data, format=1, details=details)

    def refused(self):
        return [
            b"bytes",
            keras.Sequential([keras.layers.Dense(1)]),
            made_with(keras.layers.Lambda(lambda x: x + 1, output_shape=(3,))),
        ]

    def large(self):
        return keras.Sequential([keras.Input((2500,)), keras.layers.Dense(2200)])


def test_predictions_and_training_go_on_where_they_were():
    """The loaded model predicts the same bits, and another step of training takes both to the same weights."""
    mine = model()
    data, details = dump(mine)
    loaded = KERAS.load(data, format=1, details=details)
    assert np.array_equal(mine.predict(X, verbose=0), loaded.predict(X, verbose=0))
    assert int(loaded.optimizer.iterations) == int(mine.optimizer.iterations) == 1


def test_code_in_the_file_is_refused_on_both_ways():
    """A Lambda layer around a function is refused when it is written; a file that has one is never run, with a way out."""
    lambda_model = made_with(keras.layers.Lambda(lambda x: x + 1, output_shape=(3,)))
    assert not KERAS.accepts(lambda_model)
    with pytest.raises(SerializationError, match="register_keras_serializable"):
        dump(lambda_model)
    stream = io.BytesIO()
    keras.src.saving.saving_lib.save_model(lambda_model, stream)
    with pytest.raises(TrustError, match="register_keras_serializable"):
        KERAS.load(bytearray(stream.getvalue()), format=1, details={})


def test_reading_passes_the_policy():
    """Files name classes to make objects of, so the safe policy refuses them, and the other asks for a trusted store."""
    assert KERAS.executes
    with pytest.raises(TrustError):
        Policy("safe").check_reading(KERAS, "default", bytearray())
    with pytest.raises(TrustError):
        Policy("trusted").check_reading(KERAS, "default", bytearray())


def test_classes_that_are_not_keras_own_are_not_chosen_unasked():
    """A layer of the user's own is kept if asked, not accepted, and an error that names the decorator if it is not registered."""
    own = made_with(Plain())
    assert not KERAS.accepts(own)
    data, details = dump(own)
    with pytest.raises(SerializationError, match=r"@keras\.saving\.register_keras_serializable"):
        KERAS.load(data, format=1, details=details)


def test_bombs_are_refused_before_they_are_unpacked():
    """An archive that would unpack to far more than its size is refused by what it declares."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({}))
        archive.writestr("model.weights.h5", bytes(70_000_000))
    with pytest.raises(SerializationError, match="unpack"):
        KERAS.load(bytearray(stream.getvalue()), format=1, details={})


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    """The temporary file is gone after writing, reading, and failing."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data, details = dump(model())
    KERAS.load(data, format=1, details=details)
    with pytest.raises(SerializationError):
        KERAS.load(data.replace(b"Dense", b"Tense"), format=1, details=details)
    assert not list(tmp_path.iterdir())
