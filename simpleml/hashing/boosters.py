"""Models of XGBoost, LightGBM and CatBoost: the trees as the library itself writes them, without its caches."""

from __future__ import annotations

from typing import Any

from simpleml.hashing.hashers import opens
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node


@opens("xgboost.core.Booster")
def open_xgboost(value: Any) -> Node:
    """A booster is its trees and what is written beside them, on however many threads they were grown."""
    return Node(b"xgboost", type_name(type(value)), (bytes(value.save_raw("ubj")),), (".save_raw()",))


@opens("lightgbm.basic.Booster")
def open_lightgbm(value: Any) -> Node:
    """A booster is all its trees with the parameters that they were grown by, and which of them is the last good one."""
    parts = (value.model_to_string(num_iteration=-1), value.best_iteration)
    return Node(b"lightgbm", type_name(type(value)), parts, (".model_to_string()", ".best_iteration"))


@opens("catboost.core.CatBoost")
def open_catboost(value: Any) -> Node:
    """A model is the parameters that were given to it, and once it is fitted its file: that says when and as which fit, too.

    The order of the notes in the file is that of a hash table, which is the same from the first reading on.
    """
    parts: tuple[object, ...] = (value.get_params(),)
    if value.is_fitted():
        again = type(value)().load_model(blob=_file(value))
        parts += (_file(again),)
    return Node(b"catboost", type_name(type(value)), parts, (".get_params()", ".save_model()"))


def _file(value: Any) -> bytes:
    data: bytes = value.__getstate__()["__model"]
    return data
