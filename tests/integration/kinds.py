"""Persistable classes that several integration tests use; importable, so that other processes find them."""

from __future__ import annotations

from typing import Any

from simpleml import Artifact, Lineage, Persistable


class Vocabulary(Persistable):
    """Counts words; its parameter is part of its identity."""

    tokens: Artifact[dict[str, int]] = Artifact(save_patterns=["disk_json"])

    def __init__(self, *, min_count: int = 2, **identity: Any) -> None:
        super().__init__(**identity, config={"min_count": min_count})

    def fit(self, text: str) -> Vocabulary:
        """Count the words that are frequent enough."""
        words = text.split()
        self.tokens = {word: words.count(word) for word in words if words.count(word) >= self.config["min_count"]}
        return self


class Box(Persistable):
    """Holds anything."""

    data: Artifact[Any] = Artifact()


class Pair(Persistable):
    """Two artifacts, and something it was made from."""

    left: Artifact[Any] = Artifact()
    right: Artifact[Any] = Artifact(identity=False)
    source: Lineage[Box] = Lineage("persistable")


class SpecialBox(Box):
    """A more specific box."""


class Corpus(Persistable):
    """A dataset of numbers."""

    kind = "dataset"
    rows: Artifact[Any] = Artifact()
    pipeline: Lineage[Any] = Lineage("pipeline")


class Cleaner(Persistable):
    """A pipeline that was fitted on a corpus."""

    kind = "pipeline"
    record_fields = ("params",)
    params: dict[str, Any] | None = None
    fitted: Artifact[Any] = Artifact(identity=False)
    dataset: Lineage[Corpus] = Lineage("dataset")


class Guess(Persistable):
    """A model with two lineages, for one of which its table has no column."""

    kind = "model"
    weights: Artifact[Any] = Artifact(identity=False)
    pipeline: Lineage[Cleaner] = Lineage("pipeline")
    corpus: Lineage[Corpus] = Lineage("dataset")


class Score(Persistable):
    """A metric of a model on a corpus."""

    kind = "metric"
    record_fields = ("values",)
    values: dict[str, Any] | None = None
    model: Lineage[Guess] = Lineage("model")
    dataset: Lineage[Corpus] = Lineage("dataset")
