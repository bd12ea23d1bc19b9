"""XGBoost estimators and boosters as XGBoost's own JSON model: read by `xgboost.Booster().load_model` anywhere.

Of an estimator (`XGBClassifier`, …) the file holds the booster, and the details its class and its attributes. XGBoost's
readers believe what they read: a file that was made to hurt takes the process down, so reading one passes the trust policy.
Its JSON reader, unlike the one for UBJSON, at least refuses whatever was merely cut off.
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

_WHAT = "XGBoost model"


class XGBoostSerializer:
    """Keeps fitted estimators of XGBoost itself, and boosters. A booster's training data and caches are not kept.

    Both ways take the memory of the file once more.
    """

    name = "xgboost"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """Whether `value` is a booster, or a fitted estimator of XGBoost itself none of whose attributes is a function."""
        module = sys.modules.get("xgboost")
        if module is None:
            return False
        if type(value) is module.Booster:
            return True
        return _is_fitted(module, value) and not any(map(callable, vars(value).values()))

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the booster; the details have the class and the attributes of the estimator around it."""
        xgboost = _xgboost()
        if type(value) is not xgboost.Booster and not _is_fitted(xgboost, value):
            raise SerializationError(
                f"xgboost keeps boosters and fitted estimators of XGBoost itself, and this {type(value).__module__}."
                f"{type(value).__qualname__} is neither: fit it first, or keep it with the pattern 'pickled'."
            )
        details: dict[str, JSON] = {"class": type(value).__name__, "packages": ["numpy", "xgboost"]}
        booster: Any = value
        if type(value) is not xgboost.Booster:
            details["attributes"] = attributes(value, vars(value), but=("_Booster",))
            details["packages"] = ["numpy", "sklearn", "xgboost"]
            booster = vars(value)["_Booster"]
        try:
            data = booster.save_raw("json")
        except xgboost.core.XGBoostError as error:
            raise SerializationError(f"this XGBoost model cannot be kept: {str(error)[:300]}") from error
        lend(stream, data)
        return details

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the estimator or the booster; nothing of `data` is kept."""
        xgboost = _xgboost()
        cls = class_among(_classes(xgboost), details, _WHAT)
        if not bytes(data[:10]) == b'{"learner"':
            raise unreadable(_WHAT, len(data), "they do not begin like one")
        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray(data))
        except (xgboost.core.XGBoostError, TypeError, ValueError) as error:
            raise unreadable(_WHAT, len(data), error) from error
        if cls is xgboost.Booster:
            return booster
        made: Any = cls.__new__(cls)
        made.__dict__.update(restored(details, _WHAT), _Booster=booster)
        return made


XGBOOST = XGBoostSerializer()


def _is_fitted(xgboost: Any, value: object) -> bool:
    own = type(value) in _classes(xgboost).values() and type(value) is not xgboost.Booster
    return own and vars(value).get("_Booster") is not None


def _classes(xgboost: Any) -> dict[str, type]:
    """Return the booster and the estimators that can be kept, by name: those for Dask and Spark are not among them."""
    found = [cls for cls in vars(xgboost.sklearn).values() if isinstance(cls, type)]
    own = [cls for cls in found if issubclass(cls, xgboost.XGBModel) and cls.__module__ == "xgboost.sklearn"]
    return {cls.__name__: cls for cls in (xgboost.Booster, *own)}


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError as error:
        raise MissingDependencyError(
            "xgboost artifacts need xgboost: pip install 'simpleml[xgboost]' (xgboost-cpu is the same without the libraries for "
            f"GPUs) ({str(error)[:200]})"
        ) from error
    return xgboost
