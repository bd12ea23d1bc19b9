"""Keras models: how they are built and compiled, and all their numbers."""

from __future__ import annotations

import json
import re
from typing import Any

from simpleml.hashing.hashers import opens
from simpleml.hashing.origins import is_library_module, type_name
from simpleml.hashing.tokens import Node, Refusal

_JIT = re.compile(r'"jit_compile": (?:true|false|null), ')  # whether this machine's backend can
_COUNTED = re.compile(r"(.*?[^_\d])(_\d+)?")


@opens("keras.Model")
def open_keras(value: Any) -> Node:
    """A Keras model is its class, its configuration, how it was compiled, its weights and the optimizer's.

    Names that Keras counted up (`dense_3`) count by their order alone: building the same model again is no other model.
    """
    cls = type(value)
    parts = (
        None if is_library_module(cls.__module__) else cls,
        described(value),
        [_numbers(one) for one in value.weights],
        [_numbers(one) for one in getattr(getattr(value, "optimizer", None), "variables", ())],
    )
    labels = (".__class__", ".get_config()", ".weights", ".optimizer.variables")
    return Node(b"keras", type_name(cls), parts, labels)


def described(value: Any) -> str:
    """Return the configuration and the compilation of a Keras model as JSON, its counted names by their order."""
    import keras

    try:
        parts = {"config": keras.saving.serialize_keras_object(value)}
        text = json.dumps(parts, sort_keys=True, default=repr)
    except (NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        raise Refusal(
            f"the Keras model {value.name!r:.80} has no configuration ({str(error)[:200]}); give its class a get_config"
        ) from error
    return _renamed(_JIT.sub("", text))


def _renamed(text: str) -> str:
    """Return the text with each `"name": "dense_7"` as the class of name and the number of its first appearance."""
    found: dict[str, str] = {}
    for name in re.findall(r'"name": "([^"]+)"', text):
        match = _COUNTED.fullmatch(name)
        found.setdefault(name, f"{match.group(1) if match else name}#{len(found)}")
    return re.sub(r'"([^"]+)"', lambda match: f'"{found.get(match.group(1), match.group(1))}"', text)


def _numbers(variable: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(variable.value)
