"""LightGBM estimators and boosters as LightGBM's own text: read by `lightgbm.Booster(model_file=…)` anywhere.

Of an estimator (`LGBMClassifier`, …) the file holds the booster, and the details its class and its attributes. LightGBM's
reader believes what it reads: a file that was made to hurt takes the process down, so reading one passes the trust policy.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.native import attributes, class_among, restored, unreadable
from simpleml.save_patterns.stream import lend
from simpleml.types import JSON

_WHAT = "LightGBM model"
_WHOLE = re.compile(rb"\nend of trees\n.*\npandas_categorical:[^\n]*\n\Z", re.DOTALL)
_BOOSTER = ("best_iteration", "best_score", "params", "_train_data_name", "_network", "network")


class LightGBMSerializer:
    """Keeps fitted estimators of LightGBM itself, and boosters, with all their iterations. Training data is not kept.

    Both ways take the memory of the file once more.
    """

    name = "lightgbm"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """Whether `value` is a booster, or a fitted estimator of LightGBM itself none of whose attributes is a function."""
        module = sys.modules.get("lightgbm")
        if module is None:
            return False
        if type(value) is module.Booster:
            return True
        return _is_fitted(module, value) and not any(map(callable, vars(value).values()))

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the booster; the details have the class and the attributes of the estimator around it."""
        lightgbm = _lightgbm()
        details: dict[str, JSON] = {"class": type(value).__name__, "packages": ["lightgbm", "numpy"]}
        booster: Any = value
        if type(value) is not lightgbm.Booster:
            if not _is_fitted(lightgbm, value):
                raise SerializationError(
                    f"lightgbm keeps boosters and fitted estimators of LightGBM itself, and this {type(value).__module__}."
                    f"{type(value).__qualname__} is neither: fit it first, or keep it with the pattern 'pickled'."
                )
            details["attributes"] = attributes(value, vars(value), but=("_Booster", "_le"))
            details["packages"] = ["lightgbm", "numpy", "sklearn"]
            booster = vars(value)["_Booster"]
        found = {name: one for name, one in vars(booster).items() if name in _BOOSTER}
        details["booster"] = attributes(booster, found)
        try:
            text = booster.model_to_string(num_iteration=-1)
        except lightgbm.basic.LightGBMError as error:
            raise SerializationError(f"this LightGBM model cannot be kept: {str(error)[:300]}") from error
        lend(stream, text.encode())
        return details

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the estimator or the booster; nothing of `data` is kept."""
        lightgbm = _lightgbm()
        cls = class_among(_classes(lightgbm), details, _WHAT)
        if bytes(data[:5]) != b"tree\n" or not _WHOLE.search(data):
            raise unreadable(_WHAT, len(data), "they do not begin and end like one")
        try:
            booster = lightgbm.Booster(model_str=str(data, "utf-8"))
        except (lightgbm.basic.LightGBMError, ValueError, KeyError) as error:
            raise unreadable(_WHAT, len(data), error) from error
        vars(booster).update(restored({"attributes": details.get("booster", {})}, _WHAT))
        if cls is lightgbm.Booster:
            return booster
        made: Any = cls.__new__(cls)
        made.__dict__.update(_attributes(details), _Booster=booster)
        return made


LIGHTGBM = LightGBMSerializer()


def _attributes(details: Mapping[str, JSON]) -> dict[str, Any]:
    """Return the attributes of an estimator; what numbers the classes of a classifier is made of them again."""
    found = restored(details, _WHAT)
    if found.get("_class_map") is not None:
        from sklearn.preprocessing import LabelEncoder

        found["_le"] = LabelEncoder().fit(found["_classes"])
    return found


def _is_fitted(lightgbm: Any, value: object) -> bool:
    own = type(value) in _classes(lightgbm).values() and type(value) is not lightgbm.Booster
    return own and vars(value).get("_Booster") is not None


def _classes(lightgbm: Any) -> dict[str, type]:
    names = ("Booster", "LGBMModel", "LGBMClassifier", "LGBMRegressor", "LGBMRanker")
    return {name: getattr(lightgbm, name) for name in names if hasattr(lightgbm, name)}


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: the system has no OpenMP runtime for it
        raise MissingDependencyError(
            f"lightgbm artifacts need lightgbm: pip install 'simpleml[lightgbm]' ({str(error)[:200]})"
        ) from error
    return lightgbm
