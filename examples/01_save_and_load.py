"""Save an object of your own class, and get it back by name and version.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any, Self

import simpleml
from simpleml import Artifact, Persistable
from simpleml.errors import ArtifactTypeError, ImmutableVersionError

TEXT = "the cat and the dog and the bird and the fish"


class Vocabulary(Persistable):
    """Counts the words that are frequent enough."""

    tokens: Artifact[dict[str, int]] = Artifact(save_patterns=["disk_json"])

    def __init__(self, *, min_count: int = 2, **identity: Any) -> None:
        super().__init__(**identity, config={"min_count": min_count})

    def fit(self, text: str) -> Self:
        """Count the words of a text."""
        words = text.split()
        counts = {word: words.count(word) for word in words}
        self.tokens = {word: count for word, count in counts.items() if count >= self.config["min_count"]}
        self.state["words_seen"] = len(words)
        return self


def main() -> None:
    """Save two versions, load them, and try what is refused."""
    first = Vocabulary(name="english").fit(TEXT).save()
    second = Vocabulary(name="english", min_count=1).fit(TEXT).save()
    print(f"saved     {first} and {second}")
    assert first.version is not None
    assert second.version == first.version + 1

    latest = Vocabulary.load("english")
    assert latest.version == second.version
    assert len(latest.tokens) == 6
    older = Vocabulary.load("english", version=first.version)
    assert older.tokens == {"the": 4, "and": 3}
    assert older.config == {"min_count": 2}
    assert older.state == {"words_seen": 11}
    print(f"loaded    {older}: {older.tokens}, config {older.config}, state {older.state}")

    # The hash says what an object is; the same class, config and artifacts always have the same one.
    assert first.hash_ == older.hash_ != second.hash_
    assert Vocabulary(name="another").fit(TEXT).save().hash_ == first.hash_
    print(f"hash      {first.hash_}")

    older.tokens = {}
    try:
        older.save()
    except ImmutableVersionError as error:
        print(f"refused   {error}")
    else:
        raise AssertionError("a saved version was changed")
    try:
        older.tokens = ["the", "and"]  # type: ignore[assignment]  # which a type checker finds too
    except ArtifactTypeError as error:
        print(f"refused   {error}")
    else:
        raise AssertionError("an artifact took a value of another type")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        simpleml.connect(home=os.environ.get("SIMPLEML_HOME", folder))
        main()
        simpleml.disconnect()
