"""`Registry`: names to things, found late; and `find_class`, which imports a class that a record names.

The one order of every registry: a live name, then a known path (imported when it is asked for), then an entry point of
an installed distribution. A registry knows no kind of thing: each package makes its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar, cast, overload

from simpleml.errors import DuplicateNameError, RegistryError, SimpleMLError, TrustError, UnknownNameError, known_names

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

_PATH = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", re.ASCII)


def same_definition(one: object, other: object) -> bool:
    """Say whether both are one class or function, perhaps defined again (a notebook cell that was run twice).

    That is: equal module and qualified name, or, of things defined inside functions, equal module and name. Lambdas
    and instances are the same only as one object.
    """
    if one is other:
        return True
    a, b = _definition(one), _definition(other)
    if a is None or b is None or type(one) is not type(other) or not isinstance(one, type | FunctionType):
        return False
    if "<locals>" in a[1] and "<locals>" in b[1]:
        a, b = ((module, qualname.rpartition(".")[2]) for module, qualname in (a, b))
    return a == b and not a[1].endswith("<lambda>")


def class_path(thing: type) -> str | None:
    """Return `module:qualname`, by which `find_class` finds this class in another process; `None` if nothing can.

    Classes of `__main__` and those made inside functions have no path.
    """
    path = f"{thing.__module__}:{thing.__qualname__}"
    found = _PATH.fullmatch(path)
    return path if found and not _has_dunder(path) else None


class Registry(Generic[T]):
    """Names to things of one kind; safe across threads; importing a thing never happens under its lock."""

    def __init__(
        self,
        kind: str,
        *,
        known: Mapping[str, str] | None = None,
        entry_points: str | None = None,
        same: Callable[[T, T], bool] | None = None,
        check: Callable[[T], object] | None = None,
    ) -> None:
        """Make a registry of `kind` (the word for messages: "save pattern").

        `known` maps names to `"module:attribute"` paths of this package, `entry_points` is the group in which
        distributions offer things, `same` says that a thing may silently replace another under its name
        (`same_definition` if not given), and `check` raises for what is no such thing, when it is registered or imported.
        """
        self.kind = kind
        self._known = dict(known or {})
        self._group = entry_points
        self._same: Callable[[T, T], bool] = same or same_definition
        self._check: Callable[[T], object] = check or (lambda _: None)
        self._live: dict[str, T] = {}
        self._overrides: dict[str, list[tuple[object, T]]] = {}
        self._lock = threading.RLock()

    @overload
    def register(self, name: str, thing: T, *, overwrite: bool = False) -> T: ...

    @overload
    def register(self, name: str, thing: None = None, *, overwrite: bool = False) -> Callable[[T], T]: ...

    def register(self, name: str, thing: T | None = None, *, overwrite: bool = False) -> T | Callable[[T], T]:
        """Put `thing` under `name` and return it; without a thing, return a decorator that does.

        The same thing again replaces the first silently. Another thing raises `DuplicateNameError`, unless `overwrite`.
        """
        if not _is_name(name):
            raise RegistryError(f"{name!r} cannot name a {self.kind}: expected a text that is not empty")
        if thing is None:
            return lambda decorated: self._put(name, decorated, overwrite)
        return self._put(name, thing, overwrite)

    def _put(self, name: str, thing: T, overwrite: bool) -> T:
        self._check(thing)
        with self._lock:
            if not overwrite:
                if name in self._live:
                    taken = self._live[name]
                    if not self._same(taken, thing):
                        raise self._duplicate(name, _place(taken), thing)
                elif name in self._known and self._known[name] != _place(thing):
                    raise self._duplicate(name, self._known[name], thing)
            self._live[name] = thing
        return thing

    def get(self, name: str) -> T:
        """Return the thing under `name`, importing it if need be.

        Raises `UnknownNameError`, or `RegistryError` with its cause when the thing cannot be imported.
        """
        with self._lock:
            if self._overrides.get(name):
                return self._overrides[name][-1][1]
            if name in self._live:
                return self._live[name]
            path = self._known.get(name)
        if path is not None:
            thing = self._load(name, path, path)
        else:
            point = self._entry_point(name)
            if point is None:
                raise UnknownNameError(f"there is no {self.kind} {_short(name)}; {self._known_names(name)}")
            thing = self._load(name, point, f"{point.value}, an entry point of {_distribution(point)}")
        self._check(thing)
        with self._lock:
            return self._live.setdefault(name, thing)

    def drop(self, name: str) -> None:
        """Forget the thing and the known path under `name`; what an entry point offers comes back when asked for.

        Raises `UnknownNameError` when there is neither.
        """
        with self._lock:
            if name not in self._live and name not in self._known:
                raise UnknownNameError(f"there is no {self.kind} {_short(name)} to drop; {self._known_names(name)}")
            self._live.pop(name, None)
            self._known.pop(name, None)

    @contextmanager
    def context_register(self, name: str, thing: T) -> Iterator[T]:
        """Put `thing` under `name`, whatever is there, for this block, and bring back what was there at its end.

        All threads see it. Blocks may overlap and end in any order: the latest one that is open counts.
        """
        self._check(thing)
        token = object()
        with self._lock:
            self._overrides.setdefault(name, []).append((token, thing))
        try:
            yield thing
        finally:
            with self._lock:
                left = [entry for entry in self._overrides[name] if entry[0] is not token]
                if left:
                    self._overrides[name] = left
                else:
                    del self._overrides[name]

    def names(self) -> list[str]:
        """Return every name, sorted; imports nothing."""
        with self._lock:
            mine = {*self._live, *self._known, *self._overrides}
        return sorted(mine | set(self._points()))

    def live(self) -> dict[str, T]:
        """Return the things that are imported already, by name; imports nothing."""
        with self._lock:
            return {**self._live, **{name: stack[-1][1] for name, stack in self._overrides.items()}}

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield every name and its thing, each imported when its turn comes."""
        for name in self.names():
            yield name, self.get(name)

    def __contains__(self, name: object) -> bool:
        with self._lock:
            if name in self._overrides or name in self._live or name in self._known:
                return True
        return name in self._points()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __repr__(self) -> str:
        return f"<Registry of {self.kind}: {len(self.names())} names>"

    def _load(self, name: str, source: str | EntryPoint, told: str) -> T:
        try:
            if not isinstance(source, str):
                return cast(T, source.load())
            module, _, attribute = source.partition(":")
            return cast(T, getattr(importlib.import_module(module), attribute))
        except SimpleMLError:
            raise
        except Exception as error:
            raise RegistryError(
                f"the {self.kind} {name!r} is {told}, which cannot be imported ({type(error).__name__}: {error}); "
                "install what it needs, or repair or remove what offers it"
            ) from error

    def _points(self) -> Mapping[str, tuple[EntryPoint, ...]]:
        return _entry_points(self._group, tuple(sys.path)) if self._group else {}

    def _entry_point(self, name: str) -> EntryPoint | None:
        points = self._points().get(name, ())
        if len({point.value for point in points}) > 1:
            offers = " and ".join(f"{point.value} of {_distribution(point)}" for point in points)
            raise DuplicateNameError(
                f"two distributions offer a {self.kind} {name!r}: {offers}; remove one, or choose with "
                "register(name, thing, overwrite=True)"
            )
        return points[0] if points else None

    def _duplicate(self, name: str, taken: str, thing: T) -> DuplicateNameError:
        return DuplicateNameError(
            f"the {self.kind} {name!r} is {taken} already, so {_place(thing)} cannot have this name; choose "
            "another (for a persistable class: its registered_name), or replace the first for a while (context_register) or "
            "for good (overwrite=True)"
        )

    def _known_names(self, name: object) -> str:
        return known_names(self.names(), near=name if isinstance(name, str) else None)


def find_class(path: str, *, packages: tuple[str, ...] | None = None, project: Path | None = None) -> type:
    """Return the class that `path` (`module:qualname`, as from a record) names, importing its module if allowed.

    Allowed are this package and what lies below `packages`; without `packages`, whatever an installed distribution
    offers and what lies below `project` (not given: the folder of the running script and the working folder), and
    never the standard library. Raises `TrustError` for anything else, before anything is imported, and
    `UnknownNameError` when there is no such class.
    """
    found = _PATH.fullmatch(path) if _is_name(path) and len(path) <= 1000 else None
    if found is None or _has_dunder(path):
        raise TrustError(f"{_short(path)} is no path of a class; expected module:Class")
    module, qualname = found.groups()
    _demand_allowed(path, module, packages, project)
    thing = _walk(path, _import(path, module), qualname)
    if thing.__module__ != module:
        # a class that the module merely imported from somewhere else is only as good as that place
        _demand_allowed(path, str(thing.__module__), packages, project)
    return thing


def _demand_allowed(path: str, module: str, packages: tuple[str, ...] | None, project: Path | None) -> None:
    top = module.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return
    if packages is not None:
        if not any(module == name or module.startswith(f"{name}.") for name in packages):
            raise _refused(path, f"{module} is below none of import_packages ({', '.join(packages) or 'empty'})")
        return
    if top in sys.stdlib_module_names or top == "__main__":
        raise _refused(path, f"{top} belongs to Python itself")
    places = _places(top)
    if places is None:
        raise UnknownNameError(f"no module {top!r} can be imported here, so {_short(path)} cannot be found; install it")
    if places and all(_in_project(place, project) for place in places):
        return
    if top not in _installed(tuple(sys.path)):
        raise _refused(path, f"{top} is neither installed nor part of the running project")


def _refused(path: str, why: str) -> TrustError:
    return TrustError(
        f"the class {_short(path)} is not imported, because {why}; import its module yourself, or add its package to "
        "the setting import_packages (SIMPLEML_IMPORT_PACKAGES)"
    )


def _import(path: str, module: str) -> object:
    try:
        return importlib.import_module(module)
    except SimpleMLError:
        raise
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (module == missing or module.startswith(f"{missing}.")):
            raise UnknownNameError(f"there is no module {missing!r}, so {_short(path)} cannot be found") from error
        raise RegistryError(
            f"the class {_short(path)} cannot be imported: {module} fails with {type(error).__name__}: {error}"
        ) from error


def _walk(path: str, place: object, qualname: str) -> type:
    """Follow `qualname` through the dictionaries of classes only, so that no attribute hook runs but those of this package."""
    for part in qualname.split("."):
        if part not in vars(place):
            _make(place, part)
        if part not in vars(place):
            raise UnknownNameError(f"{_short(path)} cannot be found: its module is there, but has no {part!r}")
        place = vars(place)[part]
        if not isinstance(place, type):
            raise TrustError(f"{_short(path)} is no path of a class: {part!r} is of type {type(place).__name__}")
    return cast(type, place)


def _make(place: object, name: str) -> None:
    """Let a module of this package make a class that it makes at first use; what it makes, it keeps in its dictionary."""
    if isinstance(place, ModuleType) and place.__name__.partition(".")[0] == __name__.partition(".")[0]:
        with suppress(AttributeError):
            getattr(place, name)


def _places(top: str) -> list[str] | None:
    """Return where the top-level module `top` lies, importing nothing; `None` when there is no such module."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # a module made by hand has no spec
        return []
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        return [os.path.realpath(place) for place in spec.submodule_search_locations]
    return [os.path.realpath(spec.origin)] if spec.has_location and spec.origin else []


def _in_project(place: str, project: Path | None) -> bool:
    own = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    if any(_is_below(place, folder) for folder in own):
        # a project folder that contains Python (say, /) does not make Python part of the project
        return False
    folders = _project_folders() if project is None else [os.path.realpath(project)]
    return any(_is_below(place, folder) for folder in folders)


def _project_folders() -> list[str]:
    folders = []
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if script:
        folder = os.path.dirname(os.path.realpath(script))
        parent = getattr(getattr(main, "__spec__", None), "parent", None) or ""
        for _ in filter(None, parent.split(".")):  # python -m package.module: the folder that holds the package
            folder = os.path.dirname(folder)
        folders.append(folder)
    try:
        folders.append(os.path.realpath(os.getcwd()))
    except FileNotFoundError:
        return folders
    return folders


def _is_below(place: str, folder: str) -> bool:
    return Path(place).is_relative_to(folder)


@lru_cache(maxsize=8)
def _installed(_: tuple[str, ...]) -> frozenset[str]:
    """Return the top-level names that installed distributions offer on this `sys.path`."""
    from importlib.metadata import packages_distributions  # half the cost of importing this module

    return frozenset(packages_distributions())


@lru_cache(maxsize=64)
def _entry_points(group: str, _: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    from importlib.metadata import entry_points

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _distribution(point: EntryPoint) -> str:
    return f"the distribution {point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _definition(thing: object) -> tuple[str, str] | None:
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return (module, qualname) if isinstance(module, str) and isinstance(qualname, str) else None


def _place(thing: object) -> str:
    defined = _definition(thing)
    return ":".join(defined) if defined else getattr(thing, "__name__", None) or _short(thing)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != ""


def _has_dunder(path: str) -> bool:
    return any(part.startswith("__") for part in re.split(r"[.:]", path))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
