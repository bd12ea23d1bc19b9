"""Keras 3 models as one `.keras` file: architecture, weights, and the optimizer's state; `keras.saving.load_model` reads it.

Reading one makes objects of classes that the file names, so it passes the trust policy first, and even then Keras' safe mode
stays on: Python code inside of a file (a `Lambda` layer around a Python function) is never run, and so never written.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from simpleml.errors import MissingDependencyError, SerializationError, TrustError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.archives import FAULTS, open_archive
from simpleml.types import JSON

_CHUNK = 8 * 1024 * 1024
_LAMBDA = (
    "a Lambda layer around a Python function keeps code in the file, which is never run when it is read. Make it a layer class "
    "registered with @keras.saving.register_keras_serializable(package=\"...\"), or keep the model with the pattern 'pickled'."
)


class KerasSerializer:
    """Keeps a built Keras 3 model; classes of the user's own have to be registered with Keras, here and where it is loaded.

    Keras itself goes by a file, so both ways pass a private temporary one of the model's size.
    """

    name = "keras"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """Whether `value` is a built Keras model of Keras' own classes alone, no Lambda among them; others may be kept if asked."""
        model = getattr(sys.modules.get("keras"), "Model", None)
        if model is None or not isinstance(value, model) or not getattr(value, "built", False):
            return False
        kinds = {type(part) for part in (value, *_layers(value, depth=8))}
        return all(kind.__module__.startswith("keras.") and kind.__name__ != "Lambda" for kind in kinds)

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the model; the details say which Keras wrote it."""
        keras = _keras()
        if not isinstance(value, keras.Model):
            raise SerializationError(
                f"keras keeps Keras models, and this is a {type(value).__module__}.{type(value).__qualname__}: keep it with "
                "the pattern 'pickled'."
            )
        if not value.built:
            raise SerializationError(
                f"the model {value.name!r:.80} is not built yet, so it has no weights: call it on some data, or model.build(...)"
            )
        with tempfile.TemporaryDirectory(prefix="simpleml-keras-") as folder:
            path = os.path.join(folder, "model.keras")
            try:
                keras.saving.save_model(value, path)
            except MemoryError:
                raise
            except Exception as error:  # the layers' own methods are called, so any exception may come out
                raise SerializationError(
                    f"the model {value.name!r:.80} cannot be kept as keras: {type(error).__name__}: {str(error)[:500]}"
                ) from error
            with zipfile.ZipFile(path) as archive:
                if _has_code(json.loads(archive.read("config.json"))):
                    raise SerializationError(f"the model {value.name!r:.80} cannot be kept as keras: {_LAMBDA}")
            with open(path, "rb") as file:
                while part := file.read(_CHUNK):
                    stream.write(part)
        return {"keras": str(keras.__version__), "packages": ["h5py", "keras"]}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the model, compiled if it was; nothing of `data` is kept."""
        _check_config(data)
        keras = _keras()
        with tempfile.TemporaryDirectory(prefix="simpleml-keras-") as folder:
            path = os.path.join(folder, "model.keras")
            with open(path, "xb") as file:
                file.write(data)
            try:
                loaded: object = keras.saving.load_model(path, safe_mode=True)
            except ImportError:
                raise
            except Exception as error:  # the layers' own methods are called, so any exception may come out
                raise SerializationError(
                    f"the Keras model (written by Keras {details.get('keras')!s:.40}, read by {keras.__version__}) could not be "
                    f"read: {type(error).__name__}: {str(error)[:500]}. Import the modules that register its own classes with "
                    "@keras.saving.register_keras_serializable before it is loaded."
                ) from error
        return loaded


KERAS = KerasSerializer()


def _keras() -> Any:
    try:
        import h5py  # noqa: F401  # Keras finds out too late that it is missing
        import keras
    except ImportError as error:
        raise MissingDependencyError(
            "keras artifacts need keras, h5py and one of its backends (tensorflow, torch or jax; the variable KERAS_BACKEND "
            f"chooses): pip install 'simpleml[keras]' ({str(error)[:200]})"
        ) from error
    return keras


def _layers(model: Any, depth: int) -> Iterator[Any]:
    """Yield the layers of a model and of the models and wrappers inside it."""
    for layer in getattr(model, "layers", None) or [getattr(model, "layer", None)]:
        if layer is not None:
            yield layer
            if depth:
                yield from _layers(layer, depth - 1)


def _check_config(data: Buffer) -> None:
    """Raise unless this is a whole archive that does not unpack to too much and holds no code."""
    try:
        with open_archive(data, ".keras file") as archive:
            config = json.loads(archive.read("config.json"))
        code = _has_code(config)
    except FAULTS as error:
        if isinstance(error, SerializationError):
            raise
        raise SerializationError(f"these {len(data)} bytes are no .keras file: {error}") from error
    if code:
        raise TrustError(_LAMBDA)


def _has_code(config: object) -> bool:
    return any(name.rpartition(".")[2] == "__lambda__" for name in class_names(config))


def class_names(config: object) -> Iterator[str]:
    """Yield `module.class` of everything that a model's configuration makes objects of."""
    todo = [config]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            if isinstance(part.get("class_name"), str):
                yield f"{part.get('module') or part.get('registered_name') or ''}.{part['class_name']}".lstrip(".")
            todo += part.values()
        elif isinstance(part, list):
            todo += part
