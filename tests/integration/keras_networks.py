"""Keras models that tests use; importable, so that other processes find them."""

from __future__ import annotations

from typing import Any

import keras

from simpleml.models.keras import KerasModelClassifier, KerasSequentialClassifier
from simpleml.models.keras_sequences import KerasEncoderDecoderClassifier, KerasEncoderDecoderStateClassifier

TOKENS = 6


class Layers(KerasSequentialClassifier):
    """A classifier that adds its layers to a sequential network."""

    def build_network(self, model: Any, width: int = 4) -> Any:
        """Return two layers with dropout between them."""
        model.add(keras.Input((4,)))
        model.add(keras.layers.Dense(width, activation="relu"))
        model.add(keras.layers.Dropout(0.1))
        model.add(keras.layers.Dense(1, activation="sigmoid"))
        return model


class Functional(KerasModelClassifier):
    """A classifier of several classes, made with the functional interface and compiled by itself."""

    def build_network(self, model: Any, classes: int = 3) -> Any:
        """Return one layer with a softmax."""
        inputs = keras.Input((4,))
        network = model(inputs, keras.layers.Dense(classes, activation="softmax")(inputs))
        network.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        return network


class Recurrent(KerasEncoderDecoderStateClassifier):
    """An encoder whose state starts a decoder, each a GRU."""

    def build_network(self, model: Any) -> Any:
        """Return the network that is trained: all tokens before each, to each."""
        source, target = keras.Input((None,), dtype="int32"), keras.Input((None,), dtype="int32")
        _, state = keras.layers.GRU(8, return_state=True, name="encoder")(
            keras.layers.Embedding(TOKENS, 4, name="into")(source)
        )
        steps = keras.layers.GRU(8, return_sequences=True, return_state=True, name="decoder")(
            keras.layers.Embedding(TOKENS, 4, name="back")(target), initial_state=state
        )
        output = keras.layers.Dense(TOKENS, activation="softmax", name="token")(steps[0])
        return model([source, target], output)

    def build_inference_network(self, model: Any) -> Any:
        """Return the encoder, and the decoder that is given its state."""
        source, target, state = (
            keras.Input((None,), dtype="int32"),
            keras.Input((None,), dtype="int32"),
            keras.Input((8,)),
        )
        _, encoded = keras.layers.GRU(8, return_state=True, name="encoder")(
            keras.layers.Embedding(TOKENS, 4, name="into")(source)
        )
        steps, following = keras.layers.GRU(8, return_sequences=True, return_state=True, name="decoder")(
            keras.layers.Embedding(TOKENS, 4, name="back")(target), initial_state=state
        )
        output = keras.layers.Dense(TOKENS, activation="softmax", name="token")(steps)
        return model(source, encoded), model([target, state], [output, following])


class Stateless(KerasEncoderDecoderClassifier):
    """A decoder that is given all tokens so far and what the encoder said."""

    def build_network(self, model: Any) -> Any:
        """Return the network that is trained: the tokens so far, to the next one."""
        source, target = keras.Input((3,), dtype="float32"), keras.Input((None,), dtype="int32")
        return model([source, target], self._decoded(keras.layers.Dense(8, name="encoder")(source), target))

    def build_inference_network(self, model: Any) -> Any:
        """Return the encoder and the decoder."""
        source, target, encoded = keras.Input((3,)), keras.Input((None,), dtype="int32"), keras.Input((8,))
        return model(source, keras.layers.Dense(8, name="encoder")(source)), model(
            [target, encoded], self._decoded(encoded, target)
        )

    def _decoded(self, encoded: Any, target: Any) -> Any:
        pooled = keras.layers.GlobalAveragePooling1D(name="mean")(
            keras.layers.Embedding(TOKENS, 8, name="into")(target)
        )
        joined = keras.layers.Concatenate(name="both")([pooled, encoded])
        return keras.layers.Dense(TOKENS, activation="softmax", name="token")(joined)
