"""What models of Keras and of PyTorch share: settings of the training, the course of it, and labels of classes."""

# ruff: noqa: N803 - `X` is the field's own name for a table of features

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from simpleml.errors import ModelError, known_names
from simpleml.models.keywords import params_among
from simpleml.models.model import Model
from simpleml.types import JSON


class NetworkModel(Model):
    """A model whose parameters say how a network is trained; they are kept with it, for the network itself knows few of them.

    A network that is handed in is where the training starts, with the weights that it has: they are part of `hash_`, and
    `new_version()` goes on from where it was. One that the class makes itself starts anew each time, from the seed.
    """

    SETTINGS: ClassVar[Mapping[str, Any]] = {}
    """The parameters, with what they are if nobody says otherwise."""

    MACHINE: ClassVar[frozenset[str]] = frozenset()
    """Those of them that say where it runs: no part of `hash_`, and not kept."""

    _uses_validation = True
    _settings: Mapping[str, Any] = {}  # never written to, replaced as a whole
    _classes: Any = None  # sorted labels, while it is fitted on classes

    def _start_network(self, params: Mapping[str, Any] | None, identity: dict[str, Any]) -> None:
        """Set what the base does, and take the parameters out of the keywords."""
        given = params_among(type(self), identity, self.SETTINGS, params)
        super().__init__(**identity)
        self._settings = {**self.SETTINGS, **given}

    def __post_restore__(self) -> None:
        """Bring back the parameters that the record holds as they are; the others are gone until they are given again."""
        super().__post_restore__()
        described = self.config.get("params", {})
        kept = {name: _Gone(name) if _is_hash(one) else one for name, one in described.items() if name in self.SETTINGS}
        self._settings = {**self.SETTINGS, **kept}

    def declare_fitted(self) -> Self:
        """Say that the network needs no fitting (somebody else trained it), and return the model."""
        self._refuse_fitted("declare_fitted()")
        self.state["fitted"] = True
        return self

    @property
    def history(self) -> dict[str, list[float]]:
        """What was measured in each epoch of the fit: `loss`, `validation_loss` (Keras says `val_loss`), metrics."""
        found: dict[str, list[float]] = self.state.get("history", {})
        return found

    def get_params(self) -> dict[str, Any]:
        """Return the parameters of the training."""
        return dict(self._settings)

    def _with_params(self, external: Any, params: Mapping[str, Any]) -> Any:
        unknown = [name for name in params if name not in self.SETTINGS]
        if unknown:
            raise ModelError(f"{self!r} has no parameter {unknown[0]!r}; {known_names(self.SETTINGS, near=unknown[0])}")
        self._settings = {**self._settings, **params}
        return external

    def _trained_by(self) -> dict[str, Any]:
        """Return the parameters that count for the hash."""
        return {name: self._setting(name) for name in self._settings if name not in self.MACHINE}

    def _setting(self, name: str) -> Any:
        """Return a parameter; raises `ModelError` for one that its record could not hold."""
        value = self._settings[name]
        if isinstance(value, _Gone):
            raise ModelError(
                f"{self!r} was trained with a {name} that is no plain value, so its record holds only its hash: give it again, "
                f"set_params({name}=…)"
            )
        return value

    # classes

    def _encoded(self, y: Any) -> Any:
        """Return labels as the numbers of their classes, which are sorted, and remember the classes."""
        import numpy as np

        classes, codes = np.unique(np.asarray(y), return_inverse=True)
        self._classes = classes
        return codes.reshape(np.asarray(y).shape)

    def _coded(self, y: Any) -> Any:
        """Return other labels as the numbers of the classes that it was fitted on."""
        import numpy as np

        labels, classes = np.asarray(y), np.asarray(self._classes)
        codes = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
        strange = labels[classes[codes] != labels]
        if strange.size:
            raise ModelError(
                f"{self!r}: the label {strange.ravel()[0]!r} is none of the classes that it is fitted on, {classes.tolist()!r:.200}"
            )
        return codes

    @property
    def classes_(self) -> Any:
        """The classes in the order of the columns of `predict_proba`; None if it was not fitted on classes."""
        import numpy as np

        if self._classes is None:
            known = (self.feature_metadata or {}).get("classes")
            return None if known is None else np.asarray(known)
        return self._classes

    def _features_of(self, external: Any) -> dict[str, JSON]:
        return {} if self._classes is None else {"classes": self._classes.tolist()}

    def _scored(self, X: Any, y: Any, transform: bool, params: Mapping[str, Any]) -> float:
        """Return the accuracy for classes, and else R²."""
        import numpy as np

        predicted, wanted = np.asarray(self.predict(X, transform, **params)), np.asarray(y)
        if self.classes_ is not None:
            return float(np.mean(predicted == wanted))
        wanted = wanted.reshape(predicted.shape)
        total = float(np.sum((wanted - wanted.mean(axis=0)) ** 2))
        return (
            1.0 - float(np.sum((wanted - predicted) ** 2)) / total if total else float(np.allclose(wanted, predicted))
        )

    def score(self, X: Any, y: Any = None, transform: bool = True, **params: Any) -> Any:
        """Return the accuracy if it was fitted on classes, else R²."""
        if y is None:
            raise ModelError(f"{self!r}: score() compares with labels: score(X, y)")
        return self._scored(X, y, transform, params)


class _Gone:
    """Stands for a parameter whose value was not kept."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}: not kept>"


def _is_hash(described: object) -> bool:
    """Whether a record's description of a parameter is its type and hash."""
    return isinstance(described, dict) and described.keys() == {"type", "hash"}


def array_of(data: Any) -> Any:
    """Return a frame, a list or an array as a numpy array; a single column as one of one dimension."""
    import numpy as np

    if hasattr(data, "to_numpy"):
        data = data.to_numpy()
    elif hasattr(data, "toarray"):  # a sparse matrix
        data = data.toarray()
    return np.asarray(data)
