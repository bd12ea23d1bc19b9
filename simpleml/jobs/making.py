"""From what a project file says to an object: its class found, the values in it made, its `__init__` called."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from simpleml.errors import ProjectError, SimpleMLError, known_names
from simpleml.jobs.classes import find
from simpleml.persistables import Persistable

_NEAR = ("simpleml.transformers", "simpleml.pipelines")
"""Where a class is looked for that is named without its module."""


def import_modules(modules: Iterable[str], told: str) -> None:
    """Import modules of the user's, from the working folder too; `ProjectError`, which begins with `told`, if one cannot be."""
    for module in modules:
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            _module(module)
        except ImportError as error:
            raise ProjectError(f"{told}: {module}: {error}; name a module that can be imported from here") from error


def class_named(kind: str, name: str, told: str) -> type[Persistable]:
    """Return the persistable class of a kind, by its registered name or as `module:Class`.

    Raises `ProjectError`, which begins with `told` and lists what is known.
    """
    try:
        found = _at(name) if ":" in name else find(kind, name)
    except (SimpleMLError, ImportError, AttributeError) as error:
        raise ProjectError(f"{told} class: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Persistable)):
        raise ProjectError(f"{told} class: {name!r:.80} is no persistable class: take one, or write a subclass")
    if found.kind != kind:
        raise ProjectError(f"{told} class: {name!r:.80} is a {found.kind}, not a {kind}: put it below [{found.kind}.…]")
    return found


def make(cls: type[Persistable], spec: Mapping[str, Any], parents: Mapping[str, Any], told: str) -> Persistable:
    """Return the object that a table describes, neither built nor fitted.

    Raises `ProjectError`, which begins with `told`, for whatever the class or a value in the table refuses.
    """
    keywords = {key: _value(f"{told} {key}", value) for key, value in spec.items()}
    if isinstance(keywords.get("transformers"), dict):
        keywords["transformers"] = list(keywords["transformers"].items())
    names = [each.name for each in _parameters(cls) if each.kind is each.POSITIONAL_ONLY]
    first = [keywords.pop(name) for name in names if name in keywords]
    try:
        return cls(*first, **keywords, **parents)
    except SimpleMLError as error:
        raise ProjectError(f"{told}: {error}") from error
    except TypeError as error:
        known = _keywords(cls)
        wrong = next((key for key in keywords if key not in known), None)
        raise ProjectError(f"{told}: {cls.__name__}: {error}; {known_names(known, near=wrong)}") from error
    except ValueError as error:
        raise ProjectError(f"{told}: {cls.__name__}: {error}") from error


def _parameters(cls: type) -> list[inspect.Parameter]:
    return list(inspect.signature(cls.__init__).parameters.values())  # type: ignore[misc]


def _keywords(cls: type) -> set[str]:
    """Return the names of the parameters that a class says it takes; those of C may say nothing."""
    try:
        return {each.name for each in _parameters(cls) if each.kind is not each.VAR_KEYWORD} - {"self"}
    except ValueError:
        return set()


def _value(told: str, value: Any) -> Any:
    """Return a value of the file, with tables that name a class or a function as what they name."""
    if isinstance(value, list):
        return [_value(told, each) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("function"), str) and len(value) == 1:
        return _imported(told, value["function"])
    made = {key: _value(f"{told}.{key}", inner) for key, inner in value.items()}
    if not isinstance(value.get("class"), str):
        return made
    cls = _imported(told, made.pop("class"))
    if not isinstance(cls, type):
        raise ProjectError(
            f"{told}: {value['class']!r:.80} is no class, but {cls!r:.80}; a function is {{function = '…'}}"
        )
    try:
        return cls(**made)
    except (TypeError, ValueError) as error:
        wrong = next((key for key in made if key not in _keywords(cls)), None)
        known = f"; {known_names(_keywords(cls), near=wrong)}" if wrong else ""
        raise ProjectError(
            f"{told}: {cls.__name__} refuses {', '.join(made) or 'no keywords'}: {error}{known}"
        ) from error


def _imported(told: str, path: str) -> Any:
    try:
        return _at(path)
    except (ImportError, AttributeError) as error:
        raise ProjectError(f"{told}: {error}") from error


def _module(name: str) -> ModuleType:
    if not name or name.startswith("."):
        raise ImportError(f"{name!r} is no full name of a module, like 'mycompany.kinds'")
    return importlib.import_module(name)


def _at(path: str) -> Any:
    """Return what `module:name` or `module.name` names; a bare name is one of our transformers or splits."""
    module, colon, name = path.partition(":")
    if not colon:
        module, _, name = path.rpartition(".")
    if module:
        found: Any = _module(module)
        for part in name.split("."):
            if not hasattr(found, part):
                public = [each for each in dir(found) if not each.startswith("_")]
                raise AttributeError(f"{module} has no {part!r:.80}; {known_names(public, near=part)}")
            found = getattr(found, part)
        return found
    known: set[str] = set()
    for place in _NEAR:
        offered = importlib.import_module(place)
        known.update(each for each in offered.__all__ if not each.endswith(("Pipeline", "Mixin")))
        if name in known:
            return getattr(offered, name)
    raise ImportError(
        f"there is no {name!r:.80} here; {known_names(known, near=name)}; any other is named with its module, "
        "like 'sklearn.preprocessing:StandardScaler'"
    )
