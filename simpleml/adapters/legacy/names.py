"""The classes that SimpleML 0.14 wrapped around those of other libraries, and what is meant by each."""

from __future__ import annotations

import re
from typing import Final

_WRAPPED: Final = re.compile(r"simpleml\.models\.classifiers\.sklearn\.(\w+)")
_CLASSES: Final = {
    "SklearnExternalPipeline": ("sklearn.pipeline", "Pipeline"),
    "DefaultSklearnPipeline": ("sklearn.pipeline", "Pipeline"),
    "OrderedDictExternalPipeline": ("collections", "OrderedDict"),
    "FillWithValue": ("simpleml.transformers", "FillWithValue"),
    "DataframeToRecords": ("simpleml.transformers", "DataframeToRecords"),
    "SklearnDictVectorizer": ("simpleml.transformers", "SklearnDictVectorizer"),
}


def native_class(module: str, name: str) -> tuple[str, str]:
    """Return the module and the class that a pickle of SimpleML 0.14 means by these; others are what they say."""
    wrapped = _WRAPPED.fullmatch(module)
    if wrapped and name.startswith("WrappedSklearn"):
        return f"sklearn.{wrapped[1]}", name.removeprefix("WrappedSklearn")
    if module.startswith("simpleml.") and name in _CLASSES:
        return _CLASSES[name]
    return module, name
