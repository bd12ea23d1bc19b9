"""Models: persistables that are fitted and predict.

`model` is the base of the kind, `sklearn` wraps any scikit-learn estimator, `estimators` makes a class for each of them
when it is first asked for (`SklearnLogisticRegression`, `SklearnRidge`, …). Everything is resolved when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simpleml.lazy import lazy_names

if TYPE_CHECKING:
    from simpleml.models.catboost import CatBoostModel
    from simpleml.models.function import FunctionModel
    from simpleml.models.iterators import (
        DatasetSequence,
        PipelineTransformIterator,
        PipelineTransformSequence,
        PythonIterator,
        split_to_ordered_tuple,
    )
    from simpleml.models.keras import KerasModel, KerasModelClassifier, KerasSequentialClassifier
    from simpleml.models.keras_sequences import (
        KerasEncoderDecoderClassifier,
        KerasEncoderDecoderStateClassifier,
        KerasEncoderDecoderStatelessClassifier,
        KerasSeq2SeqClassifier,
    )
    from simpleml.models.lightgbm import LightGBMModel
    from simpleml.models.model import Model
    from simpleml.models.sklearn import SklearnModel
    from simpleml.models.torch import TorchModel
    from simpleml.models.xgboost import XGBoostModel

__all__ = [
    "CatBoostModel",
    "DatasetSequence",
    "FunctionModel",
    "KerasEncoderDecoderClassifier",
    "KerasEncoderDecoderStateClassifier",
    "KerasEncoderDecoderStatelessClassifier",
    "KerasModel",
    "KerasModelClassifier",
    "KerasSeq2SeqClassifier",
    "KerasSequentialClassifier",
    "LightGBMModel",
    "Model",
    "PipelineTransformIterator",
    "PipelineTransformSequence",
    "PythonIterator",
    "SklearnModel",
    "TorchModel",
    "XGBoostModel",
    "split_to_ordered_tuple",
]

_find, _listed = lazy_names(
    __name__,
    {
        "catboost": ["CatBoostModel"],
        "function": ["FunctionModel"],
        "iterators": [
            "DatasetSequence",
            "PipelineTransformIterator",
            "PipelineTransformSequence",
            "PythonIterator",
            "split_to_ordered_tuple",
        ],
        "keras": ["KerasModel", "KerasModelClassifier", "KerasSequentialClassifier"],
        "keras_sequences": [
            "KerasEncoderDecoderClassifier",
            "KerasEncoderDecoderStateClassifier",
            "KerasEncoderDecoderStatelessClassifier",
            "KerasSeq2SeqClassifier",
        ],
        "lightgbm": ["LightGBMModel"],
        "model": ["Model"],
        "sklearn": ["SklearnModel"],
        "torch": ["TorchModel"],
        "xgboost": ["XGBoostModel"],
    },
)


def __getattr__(name: str) -> Any:
    if not name.startswith("Sklearn") or name in __all__:
        return _find(name)
    from simpleml.models.estimators import estimator_model

    return globals().setdefault(name, estimator_model(name))


def __dir__() -> list[str]:
    from simpleml.models.estimators import listed_names

    return sorted({*_listed(), *listed_names()})
