"""Transformers: small steps of pipelines that take pandas, polars and dask frames and arrays, and work anywhere.

Any object with `fit` and `transform` is a transformer; these are for what scikit-learn has none for.
"""

from simpleml.transformers.columns import Cast, ColumnSelector, DropColumns, Rename
from simpleml.transformers.filling import FillWithValue
from simpleml.transformers.function import Apply
from simpleml.transformers.records import DataframeToRecords, SklearnDictVectorizer
from simpleml.transformers.transformer import Transformer, TransformerMixin

__all__ = [
    "Apply",
    "Cast",
    "ColumnSelector",
    "DataframeToRecords",
    "DropColumns",
    "FillWithValue",
    "Rename",
    "SklearnDictVectorizer",
    "Transformer",
    "TransformerMixin",
]
