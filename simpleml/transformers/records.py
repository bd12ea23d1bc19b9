"""From a table to records, one mapping for each row, and from records to a matrix."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from simpleml.encoding.faults import short
from simpleml.errors import MissingDependencyError, PipelineError
from simpleml.transformers.tables import library_of
from simpleml.transformers.transformer import Transformer


class DataframeToRecords(Transformer):
    """Makes a list of `{column: value}` of a frame; a list is taken for records already, and comes out as it is.

    A dask frame is computed for it.
    """

    def transform(self, X: Any) -> Any:
        """Return the rows of `X` as mappings."""
        if isinstance(X, list):
            return X
        frame, library = X, library_of(X)
        if library not in ("pandas", "polars", "dask"):
            raise PipelineError(
                f"{self!r} takes a frame, whose columns have names, but was given {short(X)} ({library})"
            )
        if library == "dask":
            frame = X.compute()
        if not hasattr(frame, "columns"):
            frame = frame.to_frame()
        return frame.to_dicts() if library == "polars" else frame.to_dict("records")


class SklearnDictVectorizer(Transformer):
    """scikit-learn's `DictVectorizer`: records in, a matrix out, with one column for each number and each text's value.

    `vectorizer_` is the fitted one.
    """

    def __init__(self, *, dtype: Any = None, separator: str = "=", sparse: bool = True, sort: bool = True) -> None:
        super().__init__(dtype=dtype, separator=separator, sparse=sparse, sort=sort)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn which columns the matrix has."""
        try:
            from sklearn.feature_extraction import DictVectorizer
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "SklearnDictVectorizer needs scikit-learn: pip install 'simpleml[sklearn]'"
            ) from error
        params = {name: value for name, value in self.get_params().items() if value is not None}
        made = DictVectorizer(**params)
        output = self.__dict__.get("_sklearn_output_config")
        self.vectorizer_ = (made.set_output(**output) if output else made).fit(X)
        return self

    def transform(self, X: Any) -> Any:
        """Return the matrix of these records; what the fit did not see is left out."""
        if "vectorizer_" not in vars(self):
            raise PipelineError(f"{self!r} is not fitted: call fit(records) first")
        return self.vectorizer_.transform(X)

    def get_feature_names(self, input_features: Sequence[str]) -> list[str]:
        """Return the names of the columns of the matrix, such as `Sex=male`, whatever went in."""
        if "vectorizer_" not in vars(self):
            raise PipelineError(f"{self!r} is not fitted, so it does not know its columns: call fit(records) first")
        return [str(name) for name in self.vectorizer_.get_feature_names_out()]

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the matrix's class ("pandas", "polars", "default"; the first two with sparse=False), and return the transformer."""
        if transform is not None:
            # Under this name scikit-learn's `clone` finds it and gives it to the copy.
            self._sklearn_output_config = {"transform": transform}
            if "vectorizer_" in vars(self):
                self.vectorizer_.set_output(transform=transform)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return "vectorizer_" in vars(self)
