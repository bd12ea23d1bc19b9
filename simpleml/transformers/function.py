"""`Apply`: any function as a transformer."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simpleml.transformers.transformer import Transformer


class Apply(Transformer):
    """Returns `function(X, **kwargs)`; `feature_names` are the columns that come out, if they are others than go in."""

    def __init__(
        self,
        function: Callable[..., Any],
        kwargs: Mapping[str, Any] | None = None,
        feature_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__(function=function, kwargs=kwargs, feature_names=feature_names)

    def transform(self, X: Any) -> Any:
        """Return what the function makes of `X`."""
        return self.get("function")(X, **(self.get("kwargs") or {}))

    def get_feature_names(self, input_features: Sequence[str]) -> list[str]:
        """Return `feature_names`, or else the names that go in."""
        names = self.get("feature_names")
        return list(input_features if names is None else names)
