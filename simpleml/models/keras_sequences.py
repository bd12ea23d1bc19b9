"""Keras networks from sequences to sequences: what predicts is another network than what was trained, with its weights."""

# ruff: noqa: N803 - `X` is the field's own name for features

from __future__ import annotations

from typing import Any

from simpleml.errors import ModelError
from simpleml.models.keras import KerasModelClassifier, inputs_of, keras_library


class KerasSeq2SeqClassifier(KerasModelClassifier):
    """A classifier of sequences whose `build_inference_network(self, model)` returns the network that predicts.

    That one is made when it is first needed, and gets the weights of the trained one by the names of the layers; it is not
    stored. Targets are what the trained network takes, with no classes of ours: labels are numbers of tokens already.
    """

    _inference: tuple[Any, Any] | None = None  # the trained network, and what was made of it

    def build_inference_network(self, model: Any) -> Any:
        """Return the network that predicts (an encoder and a decoder, if there are two); to be overridden."""
        raise ModelError(
            f"{type(self).__name__} does not say how it predicts: override build_inference_network(self, model) so that it "
            "returns a keras.Model whose layers have the names of the trained ones"
        )

    def inference_networks(self) -> tuple[Any, ...]:
        """Return what `build_inference_network` made, with the weights of the network as it is now."""
        trained = self.external_model
        if self._inference is None or self._inference[0] is not trained:
            made = self.build_inference_network(keras_library().Model)
            networks = tuple(made) if isinstance(made, list | tuple) else (made,)
            for network in networks:
                self.transfer_weights(network, trained)
            self._inference = trained, networks
        return tuple(self._inference[1])

    def predict(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return what the inference network gives for `X`."""
        features = self._ready(X, transform)
        return self.inference_networks()[0].predict(features, **{"verbose": 0, **params})

    def _ready(self, X: Any, transform: bool) -> Any:
        if not self.is_fitted:
            self._refuse_unfitted("predict()")
        return inputs_of(self._transformed(X, transform))

    def _targets(self, y: Any, *, first: bool) -> Any:
        return None if y is None else inputs_of(y)


class KerasEncoderDecoderClassifier(KerasSeq2SeqClassifier):
    """One of an encoder and a decoder, which predicts a sequence token by token, always the most probable one.

    The decoder is given all tokens so far and what the encoder said.
    """

    def encode(self, X: Any) -> Any:
        """Return what the encoder says of `X`."""
        return self.inference_networks()[0].predict(X, verbose=0)

    def decode(self, X: Any) -> Any:
        """Return the probabilities of the next token; of a decoder with states also its next states."""
        return self.inference_networks()[1].predict(X, verbose=0)

    def predict(  # type: ignore[override]  # where a sequence ends has to be said
        self, X: Any, transform: bool = True, *, end_index: int, max_length: int, **params: Any
    ) -> Any:
        """Return one row of tokens for each row of `X`, which is `(encoder input, first tokens)`.

        A row is done with its first `end_index`, which fills the rest of it; all are after `max_length` tokens.
        """
        import numpy as np

        encoder_input, tokens = self._ready(X, transform)
        sequence = np.asarray(tokens).reshape(len(encoder_input), -1)
        state = self._first(self.encode(encoder_input))
        done = np.zeros(len(sequence), dtype=bool)
        while sequence.shape[1] < max_length and not done.all():
            probabilities, state = self._step(sequence, state)
            last = probabilities[:, -1] if probabilities.ndim == 3 else probabilities
            chosen = np.where(done, end_index, last.argmax(axis=1))
            sequence = np.concatenate([sequence, chosen[:, None].astype(sequence.dtype)], axis=1)
            done |= chosen == end_index
        return sequence

    def _first(self, encoded: Any) -> list[Any]:
        return list(encoded) if isinstance(encoded, list | tuple) else [encoded]

    def _step(self, sequence: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """Return the probabilities of the next token and what the decoder is given besides the tokens next time."""
        return self.decode([sequence, *state]), state


class KerasEncoderDecoderStateClassifier(KerasEncoderDecoderClassifier):
    """One whose decoder is given the last token and its states (of an LSTM or GRU), and returns the next ones, too."""

    def _step(self, sequence: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        probabilities, *states = self.decode([sequence[:, -1:], *state])
        return probabilities, states


KerasEncoderDecoderStatelessClassifier = KerasEncoderDecoderClassifier
"""SimpleML's name for one whose decoder has no states."""
