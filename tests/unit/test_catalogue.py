"""The catalogue of save patterns: names, registration, and which pattern a value gets."""

from __future__ import annotations

import importlib
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import simpleml
from simpleml.errors import DuplicateNameError, SavePatternError, SerializationError
from simpleml.orm import Database
from simpleml.save_patterns import catalogue
from simpleml.save_patterns.catalogue import (
    choose_pattern,
    find_pattern,
    pattern_names,
    patterns,
    prefer,
    serializers,
)
from simpleml.save_patterns.decorators import register_save_pattern, register_serializer
from simpleml.save_patterns.pattern import ObjectPattern
from simpleml.save_patterns.protocols import Buffer, Places, SavePattern, Serializer
from simpleml.types import JSON, Reference
from tests.integration.kinds import Box


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers and prefers is forgotten at its end."""
    monkeypatch.setattr(catalogue, "_BY_TYPE", dict(catalogue._BY_TYPE))
    known = (set(serializers.live()), set(patterns.live()))
    yield
    for registry, before in zip((serializers, patterns), known, strict=True):
        for name in set(registry.live()) - before:
            if name not in registry._known and name not in ("cloudpickle", "json", "numpy", "parquet"):
                registry.drop(name)


def test_names_are_a_format_and_perhaps_a_place() -> None:
    """Every format goes by its word to `default`, and with a prefix to the stores `disk` and `cloud`."""
    words = {"json": "json", "numpy": "numpy", "parquet": "parquet", "pickled": "cloudpickle"}
    assert {f"{where}{word}" for where in ("", "disk_", "cloud_") for word in words} <= set(pattern_names())
    for word, serializer in words.items():
        for where, store in [("", "default"), ("disk_", "disk"), ("cloud_", "cloud")]:
            found = find_pattern(where + word)
            assert isinstance(found, ObjectPattern)
            assert (found.name, found.serializer.name, found.store) == (where + word, serializer, store)
            assert isinstance(found, SavePattern)
            assert isinstance(found.serializer, Serializer)


@pytest.mark.parametrize(
    "name",
    ["", "disk_", "disk", "cloud", "_json", "tape_json", "JSON", "json_disk", "disk_disk_json", "jsn", "cloudpickl"],
)
def test_an_unknown_pattern_lists_the_known_ones(name: str) -> None:
    """A name that is none raises an error that lists the names and says how to register one."""
    with pytest.raises(
        SavePatternError,
        match=r"there is no save pattern .*known: bytes, .*pickled.*disk_, cloud_, database_ in front.*register_serializer",
    ) as caught:
        find_pattern(name)
    assert isinstance(caught.value, ValueError)
    assert name not in pattern_names()


class _Int(IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (pd.DataFrame({"a": [1]}), "parquet"), (pl.DataFrame({"a": [1]}), "parquet"), (pa.table({"a": [1]}), "parquet"), (np.eye(2), "numpy"),
        ({"a": [1, None, "x"]}, "json"), ([], "json"), ("text", "json"), (5, "json"), (2.5, "json"), (True, "json"), (None, "json"),
        ((1, 2), "json"), ({1: 2}, "json"), ({1, 2}, "json"), ([b"x"], "json"), (Decimal(1), "json"), (date.min, "json"), (OrderedDict(a=1), "pickled"), (_Int.ONE, "pickled"), (b"x", "bytes"),
        ([object], "pickled"), (pd.Series([1]), "pickled"), (np.float64(1), "pickled"), (np.array([object()]), "pickled"), (len, "pickled"),
        (np.ma.masked_array([1], [True]), "pickled"), (pd.DataFrame({"a": [object()]}), "pickled"), ([[[]]], "json"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_type_of_a_value_chooses(value: Any, pattern: str) -> None:
    """Frames get parquet, arrays npy, plain data json, if those hold them exactly; everything else is pickled."""
    assert choose_pattern(value) == pattern


def test_a_better_choice_can_be_registered(local: Database) -> None:
    """`prefer` chooses for a class and its subclasses, if the pattern holds the value; an unknown pattern is refused."""

    class Mine(dict[str, int]):
        pass

    class Special(Mine):
        pass

    assert choose_pattern(Special(a=1)) == "pickled"
    prefer(tuple, "disk_json")
    assert choose_pattern((1,)) == "disk_json"
    assert choose_pattern((object,)) == "pickled"
    prefer(Mine, "disk_pickled")
    assert choose_pattern(Mine()) == choose_pattern(Special(a=1)) == "disk_pickled"
    prefer(list, "pickled")
    assert list(Box(name="a", data=[1]).save().filepaths["data"]) == ["pickled"]
    with pytest.raises(SavePatternError, match="no save pattern 'jsn'"):
        prefer(Mine, "jsn")


def test_a_serializer_of_ones_own_in_fifteen_lines(local: Database) -> None:
    """A class of a few lines, registered by a decorator, saves and loads by name in every store, and is chosen by type."""

    @register_serializer
    class Lines:
        name, format, executes = "lines", 1, False

        def accepts(self, value: object) -> bool:
            return isinstance(value, list) and all(isinstance(item, str) and "\n" not in item for item in value)

        def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
            assert isinstance(value, list)
            stream.write("\n".join(value).encode())
            return {"count": len(value)}

        def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
            return str(data, "utf-8").split("\n") if details["count"] else []

    prefer(list, "disk_lines")
    box = Box(name="a", data=["b", "ü"]).save()
    assert set(box.filepaths["data"]) == {"disk_lines"}
    assert box.filepaths["data"]["disk_lines"]["details"] == {"count": 2}
    assert Box.load(name="a").data == ["b", "ü"]
    assert {"lines", "disk_lines", "cloud_lines"} <= set(pattern_names())
    key = box.filepaths["data"]["disk_lines"]["key"]
    assert bytes(local.places.store("disk").read(key, 4)[0]) == "b\nü".encode()


def test_a_pattern_of_ones_own(local: Database) -> None:
    """A pattern that does it all itself reads its own references; the others' stay with their serializers."""

    @register_save_pattern("twice")
    class Twice:
        name = "doubled"

        def save(self, value: object, places: Places) -> Reference:
            return find_pattern("json").save([value, value], places)

        def load(self, reference: Reference, places: Places) -> object:
            first, second = find_pattern("json").load(reference, places)  # type: ignore[misc]
            assert first == second
            return first

    Box(name="a", data={"x": 1}, save_patterns={"data": ["twice", "json"]}).save()
    found = Box.load(name="a")
    assert list(found.filepaths["data"]) == ["twice", "json"]
    assert found.data == {"x": 1}
    patterns.drop("twice")
    with pytest.raises(AssertionError):  # without its pattern the reference is read by the serializer that it names
        assert Box.load(name="a").data == {"x": 1}


def test_names_are_taken_once_and_cells_may_run_twice() -> None:
    """Another class under a taken name is refused; the same class defined again, as in a notebook, replaces the first."""

    def define(number: int) -> type:
        @register_serializer
        class Cell:
            name, format, executes, made = "cell", 1, False, number
            accepts = dump = load = print

        return Cell

    define(1)
    define(2)
    assert serializers.get("cell").made == 2  # type: ignore[attr-defined]
    with pytest.raises(DuplicateNameError, match="serializer 'cell' is"):

        @register_serializer
        class Other:
            name, format, executes = "cell", 1, False
            accepts = dump = load = print

    with pytest.raises(DuplicateNameError, match=r"serializer 'json' is .*; choose another"):

        @register_serializer
        class Json:
            name, format, executes = "json", 1, False
            accepts = dump = load = print


def test_what_is_no_serializer_is_refused_when_it_is_registered() -> None:
    """A class that lacks a member of the protocol is told which, and where the protocol is."""
    with pytest.raises(
        SavePatternError,
        match=r"is no Serializer: it has no executes, accepts, load; see simpleml\.save_patterns\.protocols",
    ):

        @register_serializer  # type: ignore[type-var]
        class Half:
            name, format = "half", 1
            dump = print

    with pytest.raises(SavePatternError, match="is no SavePattern: it has no save"):

        @register_save_pattern()  # type: ignore[type-var]
        class Pattern:
            name = "half"
            load = print

    assert "half" not in pattern_names()


def test_what_is_no_pattern_is_refused_when_it_is_registered() -> None:
    """The registries take instances that are whole, at once and not when something is saved; the flag has one name everywhere."""
    for registry in (patterns, serializers):
        for wrong, told in ((ObjectPattern, "is a class, not a S"), (object(), "it has no ")):
            with pytest.raises(SavePatternError, match=told):
                registry.register("qq", wrong)  # type: ignore[arg-type]
            with pytest.raises(SavePatternError, match=told), registry.context_register("qq", wrong):  # type: ignore[arg-type]
                pass
        assert "qq" not in registry
    with pytest.raises(DuplicateNameError, match="overwrite=True"):
        serializers.register("json", serializers.get("bytes"))


def test_entry_points_are_found_and_imported_when_they_are_used(
    local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution offers a serializer by an entry point: its names are listed at once, its module imported at first use."""
    (tmp_path / "their_format.py").write_text(
        "from simpleml.save_patterns.serializers.json import JSONSerializer\n"
        "class Theirs(JSONSerializer):\n    name = 'theirs'\n    save = None\n"
        "ZERO = Theirs()\nZERO.format = 0\n"
        "THEIRS = Theirs()\n"
    )
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[simpleml.serializers]\ntheirs = their_format:THEIRS\nbroken = no_such_module:X\nraw = their_format:Theirs\n"
        "zero = their_format:ZERO\n"
        "[simpleml.save_patterns]\nbare = their_format:Theirs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert {"theirs", "disk_theirs", "broken"} <= set(pattern_names())
    assert "their_format" not in sys.modules
    try:
        Box(name="a", data=[1], save_patterns={"data": "disk_theirs"}).save()
        assert Box.load(name="a").data == [1]
        with pytest.raises(
            simpleml.errors.RegistryError,
            match=r"'broken' is no_such_module:X, an entry point of the distribution theirs 1\.0",
        ):
            find_pattern("broken")
        with pytest.raises(SavePatternError, match="format = 0 and executes = False: a format is a number from 1 on"):
            find_pattern("zero")
        for name, protocol in (("raw", "Serializer"), ("bare", "SavePattern")):
            with pytest.raises(
                SavePatternError, match=f"is a class, not a {protocol}: .*entry points take an instance"
            ):
                find_pattern(name)
    finally:
        sys.modules.pop("their_format", None)


def test_a_choice_that_fails_falls_back(local: Database) -> None:
    """When nobody named a pattern and the chosen one cannot keep the value after all, it is pickled; a named one is not replaced."""
    value: dict[str, Any] = {"a": [1]}

    @register_serializer
    class Picky:
        name, format, executes = "picky", 1, False

        def accepts(self, value: object) -> bool:
            return True

        def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
            stream.write(b"half")
            raise SerializationError("not this one, whatever accepts() said")

        def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
            raise AssertionError

    prefer(dict, "picky")
    assert list(Box(name="a", data=value).save().filepaths["data"]) == ["pickled"]
    assert Box.load(name="a").data == value
    with pytest.raises(
        SerializationError, match=r"artifact 'data' of <Box 'b' \(not saved\)>, by 'picky': not this one"
    ):
        Box(name="b", data=value, save_patterns={"data": "picky"}).save()
    assert local.places.store("default").clear_leftovers(-1) == 0
