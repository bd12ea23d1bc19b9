"""The patterns that come with the package keep the contract of patterns."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simpleml import Folder
from simpleml.errors import SavePatternError
from simpleml.hashing import hash_value
from simpleml.save_patterns.catalogue import find_pattern
from simpleml.save_patterns.pattern import ObjectPattern
from simpleml.save_patterns.protocols import Places, SavePattern
from simpleml.save_patterns.serializers.numpy import NUMPY
from simpleml.testing.patterns import SavePatternContract
from simpleml.types import Reference


class TestJson(SavePatternContract):
    def pattern(self) -> SavePattern:
        return find_pattern("disk_json")

    def values(self) -> Sequence[object]:
        return [{"a": [1, 2.5, None]}, [], "text", {"b": {"c": True}}]


class TestPickled(SavePatternContract):
    def pattern(self) -> SavePattern:
        return find_pattern("pickled")

    def values(self) -> Sequence[object]:
        return [{1, 2}, (1, "x"), b"x" * 300_000]

    def runs_code(self) -> bool:
        return True


class TestBlob(SavePatternContract):
    def pattern(self) -> SavePattern:
        return find_pattern("database_bytes")

    def values(self) -> Sequence[object]:
        return [b"x", b"", bytes(range(256)) * 10_000]


class TestTable(SavePatternContract):
    def pattern(self) -> SavePattern:
        return find_pattern("database_table")

    def values(self) -> Sequence[object]:
        return [pd.DataFrame({"a": [1, 2], "b": ["x", None]}), pd.DataFrame({"c": np.arange(5.0)}, index=list("abcde"))]

    def same(self, left: object, right: object) -> bool:
        pd.testing.assert_frame_equal(left, right)  # type: ignore[arg-type]
        return True


class TestChunked(SavePatternContract):
    def pattern(self) -> SavePattern:
        return ObjectPattern("chunked_numpy", NUMPY, "default", chunked=True)

    def values(self) -> Sequence[object]:
        return [np.arange(1_000_000), np.zeros(700_000), np.arange(10)]

    def same(self, left: object, right: object) -> bool:
        return bool(np.array_equal(left, right))  # type: ignore[arg-type]


class TestFolder(SavePatternContract):
    @pytest.fixture(autouse=True)
    def _made(self, tmp_path: Path) -> None:
        self.folders = []
        for number in range(2):
            path = tmp_path / f"folder-{number}"
            (path / "inner").mkdir(parents=True)
            (path / "inner" / "file").write_text("same")
            (path / "own").write_text(str(number))
            self.folders.append(Folder(path))

    def pattern(self) -> SavePattern:
        return find_pattern("folder")

    def values(self) -> Sequence[object]:
        return self.folders

    def same(self, left: object, right: object) -> bool:
        return hash_value(left) == hash_value(right)


class _Forgetful:
    """A known-bad twin: what it saves is always the same object."""

    name = "forgetful"

    def save(self, value: object, places: Places) -> Reference:
        return find_pattern("json").save("always", places)

    def load(self, reference: Reference, places: Places) -> object:
        return find_pattern("json").load(reference, places)


def test_the_contract_catches_a_pattern_that_loses_values() -> None:
    """A pattern that gives back something else fails the suite."""

    class Broken(SavePatternContract):
        def pattern(self) -> SavePattern:
            return _Forgetful()

        def values(self) -> Sequence[object]:
            return ["one", "two"]

    with pytest.raises(AssertionError):
        Broken().test_what_was_saved_comes_back()


def test_the_contract_catches_a_pattern_that_tells_where_it_is() -> None:
    """A pattern whose references hold a path of this machine fails the suite."""

    class Telling:
        name = "telling"

        def save(self, value: object, places: Places) -> Reference:
            reference = find_pattern("json").save(value, places)
            reference["details"] = {"path": tempfile.gettempdir() + "/" + places.store("default").describe()}
            return reference

        def load(self, reference: Reference, places: Places) -> object:
            return find_pattern("json").load(reference, places)

    class Broken(SavePatternContract):
        def pattern(self) -> SavePattern:
            return Telling()

        def values(self) -> Sequence[object]:
            return ["one"]

    with pytest.raises(AssertionError):
        Broken().test_references_are_plain_and_hold_no_place()


def test_a_pattern_that_cannot_be_named_is_told() -> None:
    """An unknown pattern is refused before anything is saved by it."""
    with pytest.raises(SavePatternError, match="no save pattern 'under_contrat'"):
        find_pattern("under_contrat")
