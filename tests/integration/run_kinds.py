"""What project files of the tests name: importable, so that workers find it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from simpleml.datasets import PandasDataset


class Survivors(PandasDataset):
    """A small frame with two classes, unless the file that it waits for says how it fails."""

    def __init__(self, *, rows: int = 60, needs: str | None = None, **members: Any) -> None:
        super().__init__(config={"rows": rows}, **members)
        self.state["needs"] = needs

    def build_dataframe(self) -> None:
        """Make the frame."""
        if self.state["needs"] is not None:
            Path(self.state["needs"]).read_text(encoding="utf-8")
        number = np.arange(self.config["rows"])
        self.dataframe = pd.DataFrame(
            {
                "age": (number * 37) % 80,
                "fare": (number * 7919) % 100 / 4,
                "survived": ((number * 37) % 80 > 30).astype(int),
            }
        )


class Scaled(PandasDataset):
    """What a pipeline makes of its data, hashed by content: what it is cannot be known before the pipeline is there."""

    def build_dataframe(self) -> None:
        """Transform."""
        self.dataframe = pd.DataFrame(self.pipeline.transform().X)


class Fragile(ClassifierMixin, BaseEstimator):
    """Predicts the majority, or fails, or takes its process along."""

    def __init__(self, behaviour: str = "well") -> None:
        self.behaviour = behaviour

    def fit(self, X, y):
        """Fit, or not."""
        if self.behaviour == "raise":
            raise RuntimeError("it was to fail")
        if self.behaviour == "die":
            os._exit(9)
        self.classes_, counts = np.unique(np.asarray(y).ravel(), return_counts=True)
        self.best_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        """Say the same of everybody."""
        return np.full(len(X), self.best_)


def double(values):
    """Double."""
    return values * 2
