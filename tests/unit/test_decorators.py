"""Formats, patterns, places and artifacts of one's own, by the decorators that SimpleML has."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from simpleml import Artifact, Persistable
from simpleml.errors import DuplicateNameError, SavePatternError, SerializationError, StoreError, UnknownNameError
from simpleml.orm import Database
from simpleml.save_patterns.catalogue import find_pattern, pattern_names, patterns, serializers
from simpleml.save_patterns.decorators import (
    ExternalArtifactDecorators,
    SavePatternDecorators,
    deregister_artifact,
    deregister_save_pattern,
    register_artifact,
    register_location,
    register_save_pattern,
    register_serializer,
)
from simpleml.save_patterns.protocols import Places, SavePattern
from simpleml.types import Reference
from tests.integration.kinds import Box


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What a test registers is forgotten at its end."""
    before = set(patterns.names()), set(serializers.names())
    yield
    for registry, names in zip((patterns, serializers), before, strict=True):
        for name in set(registry.names()) - names:
            registry.drop(name)


class Rounding:
    """Saves numbers rounded."""

    def save(self, value: object, places: Places) -> Reference:
        return find_pattern("json").save([round(number, 1) for number in value], places)  # type: ignore[attr-defined]


class Telling:
    """Loads what `Rounding` saved as text."""

    def load(self, reference: Reference, places: Places) -> object:
        return str(find_pattern("json").load(reference, places))


def test_two_classes_may_share_a_pattern(local: Database) -> None:
    """One class saves and another one loads, whichever is registered first; taking one half away leaves the other."""
    for first, second in ((Rounding, Telling), (Telling, Rounding)):
        for cls in (first, second):
            register_save_pattern("rounded", save=cls is Rounding, load=cls is Telling)(cls)
        box = Box(name="a", data=[1.25, 2.0], save_patterns={"data": "rounded"}).save()
        assert Box.load(name="a").data == "[1.2, 2.0]"
        deregister_save_pattern("rounded", save=False)
        with pytest.raises(SavePatternError, match="nothing loads by the pattern 'rounded'"):
            _ = Box.load(name="a").data
        assert box.new_version().save().version
        deregister_save_pattern(Rounding)
        assert "rounded" not in pattern_names()


def test_a_half_that_is_missing_is_told(local: Database) -> None:
    """A pattern that only loads says so when something is saved by it, and the object stays as it was."""
    register_save_pattern("half", save=False)(Telling)
    box = Box(name="a", data=[1.0], save_patterns={"data": "half"})
    with pytest.raises(SavePatternError, match=r"nothing saves by the pattern 'half': .*save\(value, places\)"):
        box.save()
    assert box.version is None


def test_the_name_comes_from_the_argument_or_the_class() -> None:
    """A pattern is named by the decorator, by `name`, or by SimpleML's `SAVE_PATTERN`; without any it is refused."""

    @register_save_pattern
    class Named(Rounding, Telling):
        name = "named"

    @SavePatternDecorators.register_save_pattern()
    class Old(Rounding, Telling):
        SAVE_PATTERN = "old"

    assert {"named", "old"} <= set(pattern_names())
    with pytest.raises(SavePatternError, match="has no name"):
        register_save_pattern(type("Nameless", (Rounding, Telling), {}))
    with pytest.raises(SavePatternError, match="neither to save nor to load"):
        register_save_pattern("none", save=False, load=False)(Rounding)
    SavePatternDecorators.deregister_save_pattern(Old)
    assert "old" not in pattern_names()
    with pytest.raises(SavePatternError, match="is not registered as a save pattern"):
        deregister_save_pattern(Old)
    with pytest.raises(UnknownNameError, match="no save pattern 'old'"):
        deregister_save_pattern("old")


def test_a_taken_name_is_refused_unless_it_is_to_be_overwritten() -> None:
    """Another class under a registered name is loud; `overwrite` replaces; the same class again is silent."""

    def define(value: int) -> type:
        class Mine(Rounding, Telling):
            number = value

        return register_save_pattern("mine")(Mine)

    define(1)
    define(2)
    assert patterns.get("mine").saver.number == 2  # type: ignore[attr-defined]
    for half in ({"save": False}, {"load": False}, {}):
        with pytest.raises(DuplicateNameError, match="save pattern 'mine' is"):
            register_save_pattern("mine", **half)(type("Other", (Rounding, Telling), {}))
    register_save_pattern("mine", overwrite=True)(type("Other", (Rounding, Telling), {}))
    assert type(patterns.get("mine").loader).__name__ == "Other"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["json", "disk_json", "pickled", "cloud_folder"])
def test_a_format_of_simpleml_is_not_replaced_by_accident(name: str) -> None:
    """A pattern under the name of a format and a store is refused, unless `overwrite` says that it is meant."""
    mine = type("Mine", (Rounding, Telling), {})
    with pytest.raises(DuplicateNameError, match=f"{name!r} is a format and a store already.*overwrite=True"):
        register_save_pattern(name)(mine)
    assert name not in patterns
    register_save_pattern(name, overwrite=True)(mine)
    assert isinstance(patterns.get(name).saver, mine)  # type: ignore[attr-defined]


def serializer(**changed: object) -> type:
    """Return a serializer class, with some members changed."""
    members = {"name": "wrong", "format": 1, "executes": False, "accepts": print, "dump": print, "load": print}
    return type("Wrong", (), members | changed)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: register_serializer(None), "None is no class: write @register_serializer above"),  # type: ignore[type-var]
    "a name": (lambda: register_serializer("lines"), "'lines' is no class"),  # type: ignore[type-var]
    "an instance": (lambda: register_save_pattern(Telling()), "is no class: write @register_save_pattern"),  # type: ignore[call-overload]
    "a named instance": (lambda: register_save_pattern("mine")(Telling()), "is no class"),  # type: ignore[type-var]
    "format 0": (lambda: register_serializer(serializer(format=0)), "format = 0"),
    "format '1'": (lambda: register_serializer(serializer(format="1")), "format = '1'"),
    "format True": (lambda: register_serializer(serializer(format=True)), "a number from 1 on"),
    "executes None": (lambda: register_serializer(serializer(executes=None)), "True or False"),
    "a path": (lambda: register_serializer(serializer(name="../a")), "'../a' is no name for save patterns"),
    "no text": (lambda: register_serializer(serializer(name=5)), "5 is no name"),
    "a pattern's name": (
        lambda: register_serializer(serializer(name="pickled")),
        "no serializer can be called 'pickled'",
    ),
    "a folder": (lambda: register_serializer(serializer(name="folder")), "no serializer can be called 'folder'"),
    "a place in it": (lambda: register_serializer(serializer(name="disk_lines")), "choose another word"),
    "a long name": (
        lambda: register_save_pattern("x" * 101)(type("Mine", (Rounding, Telling), {})),
        "up to 100 letters",
    ),
    "no transport": (lambda: register_location("shelf")(Telling), "is no Transport: it has no create, stat, fetch"),
    "a bare location": (lambda: register_location(Telling), "write @register_location"),  # type: ignore[arg-type]
    "no scheme": (lambda: register_location()(Telling), "nothing is no scheme"),
    "a scheme's slashes": (lambda: register_location("shelf://"), "'shelf://' is no scheme"),
    "a bare artifact": (lambda: register_artifact(Box), "names no artifact: write @register_artifact"),  # type: ignore[arg-type]
    "no persistable": (lambda: register_artifact("x")(Telling), "inherits from simpleml.Persistable"),
    "no class": (lambda: deregister_artifact("x")(len), "inherits from simpleml.Persistable"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_registered_is_told_at_once(case: str) -> None:
    """A decorator on the wrong thing says what it was given and how it is written, and registers nothing."""
    register, told = WRONG[case]
    before = pattern_names()
    with pytest.raises((SavePatternError, DuplicateNameError), match=told):
        register()
    assert pattern_names() == before


@pytest.mark.parametrize("by", ["decorator", "instance"])
@pytest.mark.parametrize("made", [None, "here", {}, {"path": "/tmp/x"}])
def test_what_is_no_reference_is_told_when_it_is_saved(local: Database, made: object, by: str) -> None:
    """A pattern that returns anything but a reference is told what one is, however it was registered; nothing is saved."""

    class MadeUp(Telling):
        def save(self, value: object, places: Places) -> Any:
            return made

    if by == "decorator":
        register_save_pattern("made_up")(MadeUp)
    else:
        patterns.register("made_up", cast("SavePattern", MadeUp()))
    with pytest.raises(
        SavePatternError, match=r"'made_up' returned .* from save\(\), which is no reference: return what"
    ):
        Box(name="a", data=1, save_patterns={"data": "made_up"}).save()
    assert Box.versions("a") == []


def test_what_the_code_of_others_raises_is_told_and_the_next_pattern_gets_its_turn(
    local: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a serializer or a pattern raises is an error of ours with its words; another pattern of the artifact is tried."""

    class Failing:
        name, format, executes = "failing", 1, False

        def accepts(self, value: object) -> bool:
            return True

        def dump(self, value: Any, stream: Any) -> dict[str, Any]:
            stream.write(value.encode("latin1"))
            return {}

        def load(self, data: Any, *, format: int, details: Any) -> object:
            return str(data, "utf-8")

    @register_save_pattern("half")
    class Half(Rounding):
        def load(self, reference: Reference, places: Places) -> object:
            raise ZeroDivisionError

    class Gone(Telling):
        def save(self, value: object, places: Places) -> Reference:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/nowhere")

    register_serializer(Failing)
    Box(name="a", data="ö", save_patterns={"data": ["failing", "json"]}).save()
    assert Box.load(name="a").data == "ö"
    assert "by 'failing': the serializer 'failing' could not read what it wrote: UnicodeDecodeError: " in caplog.text
    Box(name="b", data="ö", save_patterns={"data": "failing"}).save()
    with pytest.raises(SerializationError, match="UnicodeDecodeError") as caught:
        _ = Box.load(name="b").data
    assert isinstance(caught.value.__cause__, SerializationError)
    assert isinstance(caught.value.__cause__.__cause__, UnicodeDecodeError)
    Box(name="c", data=[1], save_patterns={"data": "half"}).save()
    with pytest.raises(SerializationError, match="'half' could not read what it kept: ZeroDivisionError"):
        _ = Box.load(name="c").data
    patterns.register("gone", cast("SavePattern", Gone()))
    with pytest.raises(StoreError, match=r"'gone' could not keep this list: .*No such file") as failed:
        Box(name="d", data=[1], save_patterns={"data": "gone"}).save()
    assert failed.value.errno == errno.ENOENT
    with pytest.raises(SerializationError, match="'failing' could not keep this int: AttributeError: "):
        Box(name="d", data=5, save_patterns={"data": "failing"}).save()
    assert Box.versions("d") == []


def test_an_artifact_declared_by_a_decorator(local: Database) -> None:
    """An artifact may be declared on a class from outside, under the names of its attributes; subclasses inherit it."""

    @register_artifact("vocabulary", save_attribute="_vocab", restore_attribute="_words")
    class Speller(Persistable):
        pass

    class Better(Speller):
        extra: Artifact[int] = Artifact()

    speller = Better(name="s", extra=1)
    speller._vocab = {"a": 1}  # type: ignore[attr-defined]
    assert speller.vocabulary == {"a": 1}  # type: ignore[attr-defined]
    speller.save()
    found = Better.load(name="s")
    assert set(found.filepaths) == {"vocabulary", "extra"}
    assert found._words == {"a": 1}  # type: ignore[attr-defined]
    changed = found.new_version()
    changed._words = {"b": 2}  # type: ignore[attr-defined]
    assert changed.save().version == 2
    assert Better.load(name="s").vocabulary == {"b": 2}  # type: ignore[attr-defined]


def test_an_artifact_taken_away(local: Database) -> None:
    """A class may do without an artifact that it inherits; what has none cannot lose it."""

    @ExternalArtifactDecorators.deregister_artifact("data")
    class Empty(Box):
        pass

    assert Empty(name="e").save().filepaths == {}
    with pytest.raises(SavePatternError, match="has no artifact 'data'"):
        deregister_artifact("data")(Empty)
    assert "data" in Box._artifacts_declared


def test_a_taken_attribute_cannot_become_an_artifact() -> None:
    """A name that the class has already is refused instead of being covered."""
    for arguments in (("name",), ("fresh", "save")):
        with pytest.raises(SavePatternError, match="already, so it cannot become an artifact's name"):
            ExternalArtifactDecorators.register_artifact(*arguments)(type(f"Taken{len(arguments)}", (Persistable,), {}))
