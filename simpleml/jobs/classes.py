"""`find`: the class that a registered name means, of whatever kind, without its module having been imported."""

from __future__ import annotations

import importlib
from types import ModuleType

from simpleml.errors import TrainingError, known_names
from simpleml.persistables import Persistable
from simpleml.persistables.classes import classes

PACKAGES = {kind: f"simpleml.{kind}s" for kind in ("dataset", "pipeline", "model", "metric")}
"""The package that has our own classes of each kind."""


def find(kind: str, registered_name: str | type[Persistable]) -> type[Persistable]:
    """Return the class of this kind that is registered under a name, or is ours by that name (SimpleML's too).

    Raises `TrainingError`, which lists what is known, if there is none, or if it is of another kind.
    """
    found = (
        registered_name
        if isinstance(registered_name, type)
        else _registered(registered_name) or _own(kind, registered_name) or _other(kind, registered_name)
    )
    if found is None:
        raise TrainingError(
            f"no {kind} class is registered as {registered_name!r:.80}; {known_names(_known(kind), near=str(registered_name))}. Import "
            "the module that defines it first"
        )
    if not issubclass(found, Persistable) or found.kind != kind:
        other = f"a {found.kind}" if issubclass(found, Persistable) else "no persistable"
        raise TrainingError(f"{found.__name__} is {other}, not a {kind}: give the name of a {kind} class")
    return found


def _registered(name: object) -> type[Persistable] | None:
    return classes.get(name) if isinstance(name, str) and name in classes else None


def _own(kind: str, name: object) -> type | None:
    """Return our own class of this name; the packages make some of theirs when they are asked for."""
    package = _package(kind)
    found = getattr(package, name, None) if package is not None and isinstance(name, str) else None
    return found if isinstance(found, type) else None


def _other(kind: str, name: object) -> type | None:
    """Return our own class of this name that is of another kind, to be told so."""
    found = (_own(other, name) for other in PACKAGES if other != kind)
    return next((cls for cls in found if cls is not None and issubclass(cls, Persistable)), None)


def _package(kind: str) -> ModuleType | None:
    return importlib.import_module(PACKAGES[kind]) if kind in PACKAGES else None


def _known(kind: str) -> set[str]:
    """Return the names to choose from: those registered, and those that our package offers, as far as they are of the kind."""
    live = {name for name, cls in classes.live().items() if cls.kind == kind}
    package = _package(kind)
    if package is None:
        return live
    offered = {name for name in package.__all__ if _is_of(kind, getattr(package, name))}
    made = set(dir(package)) - set(package.__all__) - vars(package).keys()  # when they are asked for
    return live | offered | made


def _is_of(kind: str, offered: object) -> bool:
    return isinstance(offered, type) and issubclass(offered, Persistable) and offered.kind == kind
