"""`Transformer`: the base of transformers that work with and without scikit-learn."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features, and scikit-learn's for the argument

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from simpleml.errors import PipelineError, known_names

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Transformer:
    """Changes nothing, learns nothing, and is a complete transformer: override what yours does otherwise.

    Give the parameters to `super().__init__(…)` by name: each is an attribute then, and is found by `get_params`. What
    `fit` learns goes into attributes that end in an underscore. scikit-learn takes it anywhere it takes a transformer of
    its own, and clones it, without this class needing scikit-learn.
    """

    _parameters: tuple[str, ...] = ()

    def __init__(self, **params: Any) -> None:
        self._parameters = tuple(params)
        self.__dict__.update(params)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from the data, and return the transformer."""
        return self

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from more data, and return the transformer; as `fit`, unless overridden."""
        return self.fit(X, y)

    def transform(self, X: Any) -> Any:
        """Return `X` transformed; what is given is never changed itself."""
        return X

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit, and return `X` transformed."""
        return self.fit(X, y).transform(X)

    def reset(self) -> Self:
        """Forget what was learned, and return the transformer."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)
        return self

    def get(self, param: str) -> Any:
        """Return one parameter."""
        self._demand(param)
        return getattr(self, param)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._parameters}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, and return the transformer; raises `PipelineError` for one that it does not have."""
        for name, value in params.items():
            self._demand(name)
            setattr(self, name, value)
        return self

    def get_feature_names(self, input_features: Sequence[str]) -> list[str]:
        """Return the names of the columns that come out when columns of these names go in: the same, unless overridden."""
        return list(input_features)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[Any]:
        """Return the names of the columns that come out, as scikit-learn asks for them."""
        import numpy as np

        if input_features is None and type(self).get_feature_names is Transformer.get_feature_names:
            raise PipelineError(f"{self!r} leaves names as they are: give get_feature_names_out the names that go in")
        return np.asarray(self.get_feature_names([] if input_features is None else input_features), dtype=object)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Return the transformer as it is: what comes out is a table of the kind that went in."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(one_d_array=True, string=True, dict=True, allow_nan=True, sparse=True),
            requires_fit=False,
        )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r:.60}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({shown})"

    def _demand(self, param: str) -> None:
        if param not in self._parameters:
            raise PipelineError(
                f"{type(self).__name__} has no parameter {param!r}; {known_names(self._parameters, near=param)}"
            )


TransformerMixin = Transformer
"""The name under which SimpleML has the protocol itself; both are one here."""
