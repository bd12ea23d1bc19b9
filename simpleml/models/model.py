"""`Model`: the base of every persistable that is fitted and predicts."""

from __future__ import annotations

from typing import Any, ClassVar

from simpleml.persistables import Lineage, Persistable
from simpleml.types import JSON


class Model(Persistable):
    """A persistable of the kind `model`: it has parameters, knows what features it was fitted on, and may have a pipeline.

    A subclass declares its fitted artifacts with `Artifact(identity=False)` and sets `params` and `feature_metadata`, which
    have columns of their own so that plain SQL can ask for them.
    """

    kind: ClassVar[str] = "model"
    record_fields: ClassVar[tuple[str, ...]] = ("params", "feature_metadata")

    pipeline: Lineage[Persistable] = Lineage("pipeline")
    """What made the features of the data it was fitted on."""

    params: dict[str, JSON] | None = None
    """The parameters it was fitted with, for reading and for queries."""

    feature_metadata: dict[str, JSON] | None = None
    """What is known of the features and the classes it was fitted on."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**members)
        self.params = None
        self.feature_metadata = None
