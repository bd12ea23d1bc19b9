"""Models: persistables that are fitted and predict.

`model` is the base of the kind, `sklearn` wraps any scikit-learn estimator, `estimators` makes a class for each of them
when it is first asked for (`SklearnLogisticRegression`, `SklearnRidge`, …). Everything is resolved when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_WHERE = {
    "CatBoostModel": "catboost",
    "DatasetSequence": "iterators",
    "FunctionModel": "function",
    "KerasEncoderDecoderClassifier": "keras_sequences",
    "KerasEncoderDecoderStateClassifier": "keras_sequences",
    "KerasEncoderDecoderStatelessClassifier": "keras_sequences",
    "KerasModel": "keras",
    "KerasModelClassifier": "keras",
    "KerasSeq2SeqClassifier": "keras_sequences",
    "KerasSequentialClassifier": "keras",
    "LightGBMModel": "lightgbm",
    "Model": "model",
    "PipelineTransformIterator": "iterators",
    "PipelineTransformSequence": "iterators",
    "PythonIterator": "iterators",
    "SklearnModel": "sklearn",
    "TorchModel": "torch",
    "XGBoostModel": "xgboost",
    "split_to_ordered_tuple": "iterators",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(f"simpleml.models.{_WHERE[name]}"), name)
    elif name.startswith("Sklearn"):
        value = importlib.import_module("simpleml.models.estimators").estimator_model(name)
    else:
        raise AttributeError(f"module 'simpleml.models' has no attribute {name!r}; it offers {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    estimators = importlib.import_module("simpleml.models.estimators")
    return sorted({*globals(), *__all__, *estimators.listed_names()})
