"""The demo's own class: an importable module, because the second process finds the class again by its name."""

from __future__ import annotations

from typing import Any

from simpleml.errors import LineageError
from simpleml.models import SklearnModel
from simpleml.persistables import Lineage


class DemoClassifier(SklearnModel):
    """A classifier that remembers the scaler which prepared its data."""

    scaler: Lineage[SklearnModel] = Lineage("model")

    def prepare(self, features: Any) -> Any:
        """Return `features` as the scaler transforms them."""
        return self._scaler().transform(features)

    @property
    def made_from(self) -> str:
        """Name and version of the scaler."""
        return f"{self._scaler().name}:{self._scaler().version}"

    def _scaler(self) -> SklearnModel:
        scaler = self.scaler
        if scaler is None:
            raise LineageError(f"{self!r} was made without a scaler: give it one, DemoClassifier(…, scaler=…)")
        return scaler
