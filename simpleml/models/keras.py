"""`KerasModel`: any Keras 3 network, as a model; and the classifiers that build their own network."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

from simpleml.errors import HashingError, MissingDependencyError, ModelError
from simpleml.hashing import hash_value
from simpleml.models.network import NetworkModel, array_of
from simpleml.progress import Progress
from simpleml.types import JSON

_COMPILE = ("optimizer", "loss", "metrics", "loss_weights", "weighted_metrics")
_FIT = ("epochs", "batch_size", "validation_split", "shuffle", "class_weight", "steps_per_epoch", "validation_freq")


class KerasModel(NetworkModel):
    """A Keras network with a name and versions: `KerasModel(network, optimizer="adam", loss="mse", epochs=5)`.

    A network that is handed in is where training starts: its numbers count for `hash_`. A subclass that overrides
    `build_network` has a new one for each fit, whose numbers are drawn from the `seed`: then how it is built, its `arguments`
    and the parameters count. Without a loss among the parameters, the network is trained as it was compiled. Equal seeds give
    equal numbers on one machine and backend; Python's and numpy's random numbers stay as they were.

    What is stored is a `.keras` file, which `keras.saving.load_model` reads anywhere; a network with classes of the user's
    own among its layers is pickled. Generators (`use_training_generator` in SimpleML) are given as data, `fit(sequence)`.
    """

    SETTINGS: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            **dict.fromkeys((*_COMPILE, *_FIT)),
            "epochs": 1,
            "shuffle": True,
            "validation_split": 0.0,
            "validation_freq": 1,
            "seed": 0,
        }
    )

    def __init__(
        self,
        network: Any = None,
        /,
        *,
        arguments: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        """Take a network, or what `build_network` is called with; what `compile` and `fit` take as keywords or `params`."""
        external = identity.pop("external_model", None) if network is None else network
        self._start_network(params, identity)
        self._settings = {name: _plain(one) for name, one in self._settings.items()}
        if external is None:
            self.config["arguments"] = dict(arguments or {})
            external = self._built()
        elif arguments is not None:
            raise ModelError("arguments={…} are what build_network is called with, and a network was given already")
        self._take(self._checked(external), None)

    def build_network(self, model: Any, **arguments: Any) -> Any:
        """Return a new network; to be overridden. `model` is what it is made with, here the class `keras.Model`."""
        raise ModelError(
            f"{type(self).__name__} was given no network: write {type(self).__name__}(network), or override "
            "build_network(self, model, **arguments) so that it returns one"
        )

    @staticmethod
    def transfer_weights(new_model: Any, old_model: Any) -> list[str]:
        """Give each layer of one network the weights of the layer of its name in another; return the names.

        Raises `ModelError` for layers of one name whose weights differ in shape.
        """
        old = {layer.name: layer for layer in old_model.layers}
        found = [layer for layer in new_model.layers if layer.name in old]
        for layer in found:
            try:
                layer.set_weights(old[layer.name].get_weights())
            except ValueError as error:
                raise ModelError(f"the layers {layer.name!r:.80} have other weights: {error}") from error
        return [layer.name for layer in found]

    def predict(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return what the network gives for `X`, as numpy arrays; one column as an array of one dimension."""
        return _column(self._outputs(X, transform, "predict()", params))

    def _outputs(self, X: Any, transform: bool, call: str, params: Mapping[str, Any]) -> Any:
        if not self.is_fitted:
            self._refuse_unfitted(call)
        features = inputs_of(self._transformed(X, transform))
        return self.external_model.predict(features, **{"verbose": 0, **params})

    # the hooks of Model

    def _checked(self, external: Any) -> Any:
        if isinstance(external, keras_library().Model):
            return external
        raise ModelError(
            f"{type(self).__name__} takes a keras.Model, but was given {external!r:.80} ({type(external).__name__})"
        )

    def _unfitted(self, external: Any) -> Any:
        return self._built() if "arguments" in self.config else _copy(external)

    def _built(self) -> Any:
        """Return a new network whose numbers are drawn from the seed."""
        with _seeded(self._setting("seed")):
            return self._checked(self.build_network(self._material(), **self.config["arguments"]))

    def _material(self) -> Any:
        """Return what `build_network` makes a network with."""
        return keras_library().Model

    def _params_of(self, external: Any) -> dict[str, Any]:
        keras_model = keras_library().Model
        if "arguments" not in self.config:
            return {"network": external, **self._trained_by()}
        from simpleml.hashing.networks import described

        found = dict(self.config["arguments"])
        try:
            hash_ = hash_value(described(external))
        except HashingError:  # a class of the user's own: by its source
            hash_ = hash_value([type(self).build_network, None if type(external) is keras_model else type(external)])
        return {**found, "network": hash_, **self._trained_by()}

    def _with_params(self, external: Any, params: Mapping[str, Any]) -> Any:
        return super()._with_params(external, {name: _plain(one) for name, one in params.items()})

    def _fit_external(self, external: Any, X: Any, y: Any, validation: Any, **fit_params: Any) -> Any:
        self._classes = None
        with _seeded(self._setting("seed")):
            self._compile(external)
            given = {name: one for name in _FIT if (one := self._setting(name)) is not None}
            if y is not None:
                given["y"] = self._targets(y, first=True)  # which learns the classes that the others are told by
            if validation is not None and "validation_data" not in fit_params:
                held_out = inputs_of(validation["X"]), self._targets(validation.get("y"), first=False)
                given |= {"validation_data": held_out, "validation_split": 0.0}
            given |= {"verbose": 0, **fit_params}
            with Progress("epochs", given["epochs"]) as bar:
                shown = keras_library().callbacks.LambdaCallback(on_epoch_end=lambda *_: bar.advance())
                given["callbacks"] = [*(given.get("callbacks") or ()), shown]
                history = external.fit(inputs_of(X), **given).history
        self.state["history"] = {name: [float(one) for one in numbers] for name, numbers in history.items()}
        return external

    def _compile(self, external: Any) -> None:
        given = {name: _made(one) for name in _COMPILE if (one := self._setting(name)) is not None}
        if "loss" in given or "optimizer" in given:
            external.compile(**given)
        elif not external.compiled:
            raise ModelError(
                f"{self!r} does not say how it is trained: give optimizer='adam' and loss='mse' (or others), or a network that is "
                "compiled"
            )

    def _targets(self, y: Any, *, first: bool) -> Any:
        """Return labels as the network takes them."""
        return None if y is None else inputs_of(_columns(y))

    def _features_of(self, external: Any) -> dict[str, JSON]:
        return {**super()._features_of(external), "parameters": int(external.count_params())}

    def _passes(self, external: Any) -> bool:
        """Whether it was trained."""
        optimizer = getattr(external, "optimizer", None)
        return optimizer is not None and int(optimizer.iterations) > 0


class KerasModelClassifier(KerasModel):
    """A Keras network that tells classes, from `build_network(self, model, **arguments)`, where `model` is `keras.Model`.

    Labels may be of any kind: the network gets the numbers of the sorted classes (or rows of a one-hot table as they are).
    Its output is the probability of each class, or of the second of two.
    """

    def predict(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the most probable class of each row."""
        best = self.predict_proba(X, transform, **params).argmax(axis=1)
        return best if self.classes_ is None else self.classes_[best]

    def predict_proba(self, X: Any, transform: bool = True, **params: Any) -> Any:
        """Return the probability of each class, one row for each row of `X`; columns are in the order of `classes_`."""
        import numpy as np

        outputs = self._outputs(X, transform, "predict_proba()", params)
        if outputs.ndim == 2 and outputs.shape[1] > 1:
            return outputs
        positive = outputs.reshape(-1)
        return np.stack([1.0 - positive, positive], axis=1)

    def _targets(self, y: Any, *, first: bool) -> Any:
        if y is None:
            return None
        labels = array_of(_columns(y))
        if labels.ndim > 1:
            return labels
        return self._encoded(labels) if first else self._coded(labels)


class KerasSequentialClassifier(KerasModelClassifier):
    """The same, where `model` is an empty `keras.Sequential` to which `build_network` adds layers."""

    def _material(self) -> Any:
        return keras_library().Sequential()


def _columns(y: Any) -> Any:
    from simpleml.models.training import column_of

    return column_of(y)


def _column(outputs: Any) -> Any:
    return outputs[:, 0] if getattr(outputs, "ndim", 0) == 2 and outputs.shape[1] == 1 else outputs


def inputs_of(data: Any) -> Any:
    """Return frames and sparse matrices as arrays, also where there are several of them; what Keras knows stays as it is."""
    if isinstance(data, dict):
        return {name: inputs_of(part) for name, part in data.items()}
    if isinstance(data, list | tuple) and data and not isinstance(data[0], int | float):
        return type(data)(inputs_of(part) for part in data)
    return array_of(data) if hasattr(data, "to_numpy") or hasattr(data, "toarray") else data


def _plain(value: Any) -> Any:
    """Return an optimizer, a loss or a metric as its configuration, which Keras takes in its place; others as they are."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "get_config") and hasattr(value, "from_config") and not isinstance(value, type):
        keras = keras_library()
        found = keras.saving.serialize_keras_object(value)
        if isinstance(value, keras.optimizers.Optimizer):  # Keras counts its names up: the third Adam is no other Adam
            found["config"]["name"] = re.sub(r"_\d+\Z", "", found["config"]["name"])
        return found
    return value


def _made(value: Any) -> Any:
    """Return what `_plain` made a configuration of; raises `ModelError` for a class that is neither Keras' nor registered."""
    if isinstance(value, list):
        return [_made(one) for one in value]
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    saving = keras_library().saving
    top = str(value.get("module") or "").partition(".")[0]
    if top != "keras" and saving.get_registered_object(value.get("registered_name") or "") is None:
        raise ModelError(
            f"the class {value['class_name']!r:.80} is not of Keras and not known to it: import the module that registers it with "
            "@keras.saving.register_keras_serializable first"
        )
    return saving.deserialize_keras_object(value)


def _copy(external: Any) -> Any:
    """Return a network with the same weights whose optimizer has not begun."""
    made = copy.deepcopy(external) if external.built else type(external).from_config(external.get_config())
    if external.compiled:
        made.compile_from_config(external.get_compile_config())
    return made


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Let Keras draw from `seed`; afterwards Python, numpy and torch draw as if it had not."""
    import random
    import sys

    import numpy as np

    if seed is None:
        yield
        return
    torch = sys.modules.get("torch")
    states = random.getstate(), np.random.get_state(), None if torch is None else torch.random.get_rng_state()  # noqa: NPY002 - what Keras uses
    keras_library().utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002 - as above
        if torch is not None:
            torch.random.set_rng_state(states[2])


def keras_library() -> Any:
    """Return Keras, or raise the error that says how to install it."""
    try:
        import h5py  # noqa: F401  # Keras finds out too late that it is missing
        import keras
    except ImportError as error:
        raise MissingDependencyError(
            "KerasModel needs keras, h5py and one of its backends (tensorflow, torch or jax; the variable KERAS_BACKEND "
            f"chooses): pip install 'simpleml[keras]' ({str(error)[:200]})"
        ) from error
    return keras
