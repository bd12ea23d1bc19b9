"""What a model's record says of an estimator: its class, its parameters and the features it was fitted on, as plain values."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from simpleml.hashing import hash_value
from simpleml.registries import class_path
from simpleml.types import JSON

_LONGEST = 1000  # characters of JSON; a longer value is named by its hash alone
_CLASSES = 100
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def estimator_path(estimator: Any) -> str:
    """Return `module:Class`; of a class that cannot be imported its name alone."""
    return class_path(type(estimator)) or type(estimator).__qualname__


def described_params(params: dict[str, Any]) -> dict[str, JSON]:
    """Return each parameter as it is if it is short plain data, else as its type and content hash: the same everywhere."""
    described: dict[str, JSON] = {}
    for name, value in sorted(params.items()):
        plain = _plain(value)
        if _is_short(plain):
            described[name] = plain
        else:
            described[name] = {"type": type(value).__qualname__, "hash": hash_value(value)}
    return described


def shown_params(params: dict[str, Any]) -> dict[str, JSON]:
    """Return each parameter as it is if it is short plain data, else as its `repr`, for people."""
    shown: dict[str, JSON] = {}
    for name, value in sorted(params.items()):
        plain = _plain(value)
        shown[name] = plain if _is_short(plain) else _ADDRESS.sub("", repr(value))[:_LONGEST]
    return shown


def described_features(estimator: Any) -> dict[str, JSON]:
    """Return the number and names of the features and the classes (if there are few), as far as they are known."""
    described: dict[str, JSON] = {}
    count = getattr(estimator, "n_features_in_", None)
    if count is not None:
        described["count"] = int(count)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        described["names"] = [str(name) for name in names]
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) <= _CLASSES:
        plain = _plain(classes.tolist() if hasattr(classes, "tolist") else classes)
        if plain is not _NOT_PLAIN:
            described["classes"] = plain
    return described


def row_count(data: Any) -> int | None:
    """Return how many rows `data` has, if it says so."""
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0])
    return len(data) if hasattr(data, "__len__") else None


_NOT_PLAIN: Any = object()


def _plain(value: Any) -> Any:
    """Return `value` as plain JSON, numpy's numbers as Python's; `_NOT_PLAIN` if anything in it is something else."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        items = [_plain(item) for item in value]
        return _NOT_PLAIN if any(item is _NOT_PLAIN for item in items) else items
    if type(value) is dict and all(type(key) is str for key in value):
        members = {key: _plain(item) for key, item in value.items()}
        return _NOT_PLAIN if any(item is _NOT_PLAIN for item in members.values()) else members
    return _NOT_PLAIN


def _is_short(plain: Any) -> bool:
    return plain is not _NOT_PLAIN and len(json.dumps(plain)) <= _LONGEST
