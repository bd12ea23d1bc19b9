"""CatBoost models as CatBoost's own binary (`.cbm`): read by `CatBoost().load_model` anywhere.

The file holds the trees, and the details the class, the parameters that were given to it and what it worked out of its
training data. CatBoost's reader believes what it reads: a file that was made to hurt takes the process down, so reading one
passes the trust policy.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.native import attributes, class_among, restored, unreadable
from simpleml.save_patterns.stream import lend
from simpleml.types import JSON

_WHAT = "CatBoost model"
_MAGIC = b"CBM1"


class CatBoostSerializer:
    """Keeps fitted models of CatBoost itself, with what they scored on the data that they were checked on meanwhile.

    Both ways take the memory of the file once more.
    """

    name = "catboost"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """Whether `value` is a fitted model of CatBoost itself none of whose parameters is a function."""
        module = sys.modules.get("catboost")
        if module is None or not _is_fitted(module, value):
            return False
        return not any(map(callable, getattr(value, "_init_params", {}).values()))

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the trees; the details have the class and the parameters."""
        catboost = _catboost()
        if not _is_fitted(catboost, value):
            raise SerializationError(
                f"catboost keeps fitted models of CatBoost itself, and this {type(value).__module__}."
                f"{type(value).__qualname__} is none: fit it first, or keep it with the pattern 'pickled'."
            )
        model: Any = value
        state = model.__getstate__()
        data = state.pop("__model")
        details: dict[str, JSON] = {
            "class": type(value).__name__,
            "attributes": attributes(value, state),
            "packages": ["catboost", "numpy"],
        }
        lend(stream, data)
        return details

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the model; nothing of `data` is kept."""
        catboost = _catboost()
        cls = class_among(_classes(catboost), details, _WHAT)
        size = int.from_bytes(data[4:8], "little")
        if bytes(data[:4]) != _MAGIC or len(data) < 8 + size:
            raise unreadable(_WHAT, len(data), "they do not begin like one, or are cut off")
        made: Any = cls()
        try:
            made.__setstate__({**restored(details, _WHAT), "__model": bytes(data)})
        except (catboost.CatBoostError, ValueError) as error:
            raise unreadable(_WHAT, len(data), error) from error
        return made


CATBOOST = CatBoostSerializer()


def _is_fitted(catboost: Any, value: object) -> bool:
    return type(value) in _classes(catboost).values() and bool(getattr(value, "is_fitted", bool)())


def _classes(catboost: Any) -> dict[str, type]:
    names = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")
    return {name: getattr(catboost, name) for name in names if hasattr(catboost, name)}


def _catboost() -> Any:
    try:
        import catboost
    except ImportError as error:
        raise MissingDependencyError(
            f"catboost artifacts need catboost: pip install 'simpleml[catboost]' ({str(error)[:200]})"
        ) from error
    return catboost
