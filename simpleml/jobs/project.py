"""`Project`: what a project file says, read and checked: tables of datasets, pipelines, models and metrics, and sweeps."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from simpleml.errors import MissingDependencyError, ProjectError, known_names
from simpleml.executors.opening import checked_workers
from simpleml.jobs.places import Place, find_place, put
from simpleml.settings.secret import masked
from simpleml.types import JSON

KINDS: Final = ("dataset", "pipeline", "model", "metric")
"""The tables of a project file that hold nodes, `[model.NAME]`, and the kinds of what they become."""

Tables = dict[str, dict[str, dict[str, Any]]]
"""Kind → name → the keys of that table."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(frozen=True, slots=True)
class Sweep:
    """One `[[sweep]]`: the values that each place takes; the sweep is every combination of them."""

    number: int
    values: Mapping[Place, tuple[JSON, ...]]


@dataclass(frozen=True, slots=True)
class Project:
    """A project file, read and checked as far as that goes without importing the classes it names."""

    path: Path
    tables: Tables
    sweeps: tuple[Sweep, ...] = ()
    name: str | None = None
    author: str | None = None
    modules: tuple[str, ...] = ()
    executor: str | None = None
    workers: int | None = None
    changed: tuple[Place, ...] = ()
    """What was changed for this run. A place that a sweep varies is then no longer varied."""


def read_project(path: str | Path, changes: Sequence[str] | Mapping[str, JSON] = ()) -> Project:
    """Return the project that a TOML or YAML file describes, with `changes` made to it.

    Changes are texts like `model.forest.params.max_depth=3`, or the same as a mapping. Raises `ProjectError`, which says
    in which table and key, what is known there, and what to do. What is changed is not swept.
    """
    path = Path(path)
    content = _parsed(path)
    given = changes if isinstance(changes, Mapping) else dict(_change(text) for text in changes)
    top = {"project": _project_table, "run": _run_table}
    known = [*top, *KINDS, "sweep"]
    unknown = [key for key in content if key not in known]
    if unknown:
        raise ProjectError(f"{path}: unknown table {unknown[0]!r:.80}; {known_names(known, near=str(unknown[0]))}")
    own = {name: dict(_table(path, name, content.get(name, {}))) for name in top}
    project = Project(path, {kind: _nodes(path, kind, content.get(kind, {})) for kind in KINDS})
    for text, value in given.items():
        project = _changed(project, own, text, value)
    for name, read in top.items():
        project = replace(project, **read(path, own[name]))
    return replace(project, sweeps=_sweeps(project, content.get("sweep", [])))


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ProjectError(f"there is no project file {path}: correct the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"the project file {path} cannot be read: {error}") from error
    if path.suffix in {".yaml", ".yml"}:
        content = _yaml(path, text)
    else:
        try:
            content = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ProjectError(f"{path}: not valid TOML: {error}") from error
    return _table(path, "", content)


def _yaml(path: Path, text: str) -> object:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{path} is YAML, which needs PyYAML: pip install 'simpleml[yaml]'") from error
    try:
        content = yaml.safe_load(text)
        json.dumps(content, default=str, skipkeys=True)  # which refuses what contains itself
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ProjectError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return {} if content is None else content


def _table(path: Path, name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        where = f" [{name}]" if name else ""
        raise ProjectError(f"{path}:{where} must be a table of keys and values, not {_shown(value)}")
    return value


def _nodes(path: Path, kind: str, value: object) -> dict[str, dict[str, Any]]:
    """Return the tables of one kind, each with its class."""
    nodes = {}
    for name, keys in _table(path, kind, value).items():
        where = f"{path}: [{kind}.{name}]"
        if not isinstance(keys, Mapping):
            raise ProjectError(
                f"{path}: [{kind}] holds tables, one for each {kind}, but {name!r:.80} is {_shown(keys)}: write [{kind}.NAME] and "
                "the keys below it"
            )
        if not _NAME.fullmatch(name):
            raise ProjectError(
                f"{where}: a table is named with letters, digits, _ and -; give the {kind} itself any name with name = '…'"
            )
        table = copy.deepcopy(dict(_table(path, f"{kind}.{name}", keys)))
        if not isinstance(table.get("class"), str):
            near = [key for key in table if key.lower() in {"klass", "cls", "type", "registered_name", "kind"}]
            hint = f" (is {near[0]!r} meant to be it?)" if near else ""
            told = f"its class is {_shown(table['class'])}" if "class" in table else f"it has no class{hint}"
            raise ProjectError(f"{where}: {told}: write class = 'SklearnLogisticRegression', or 'module:Class'")
        nodes[name] = table
    return nodes


def _text(where: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 255:
        raise ProjectError(f"{where} must be a text of 1 to 255 characters, not {_shown(value)}")
    return value


def _texts(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ProjectError(f"{where} must be a list of texts, not {_shown(value)}")
    return tuple(value)


def _workers(where: str, value: object) -> int | None:
    try:
        return checked_workers(value)
    except ValueError as error:
        raise ProjectError(f"{where}: {error}") from error


_OWN: Mapping[str, Mapping[str, tuple[str, Callable[[str, object], object]]]] = {
    "project": {"name": ("name", _text), "author": ("author", _text), "import": ("modules", _texts)},
    "run": {"executor": ("executor", _text), "workers": ("workers", _workers)},
}
"""Table → key → the field of `Project`, and what reads it."""


def _own_table(path: Path, name: str, table: Mapping[str, object]) -> dict[str, Any]:
    known = _OWN[name]
    for key in table:
        if key not in known:
            raise ProjectError(f"{path}: [{name}] has no key {key!r:.80}; {known_names(known, near=key)}")
    return {known[key][0]: known[key][1](f"{path}: [{name}] {key}", value) for key, value in table.items()}


def _project_table(path: Path, table: Mapping[str, object]) -> dict[str, Any]:
    return _own_table(path, "project", table)


def _run_table(path: Path, table: Mapping[str, object]) -> dict[str, Any]:
    return _own_table(path, "run", table)


# changes and sweeps


def _change(text: str) -> tuple[str, JSON]:
    """Return place and value of `place=value`; the value is TOML, or a text that needs no quotes."""
    place, equals, value = text.partition("=")
    if not equals or not place.strip():
        raise ProjectError(
            f"--set {masked(text)!r:.120} is no change: write PLACE=VALUE, like model.forest.params.max_depth=3"
        )
    try:
        parsed: JSON = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if not re.fullmatch(r"\s*[^\W\d][\w .:/@-]*", value):
            raise ProjectError(
                f"--set {place.strip()}: {masked(value)!r:.80} is no TOML value: a number, true, [1, 2], {{a = 1}}, or a text in quotes"
            ) from None
        parsed = value.strip()
    return place.strip(), parsed


def _changed(project: Project, own: dict[str, dict[str, Any]], text: str, value: JSON) -> Project:
    told = f"{project.path}: --set {text}"
    head, _, key = text.partition(".")
    if head in own:
        own[head][key] = value
        return project
    place = find_place(text, project.tables, told, others=tuple(own))
    put(project.tables, place, value, told)
    return replace(project, changed=(*project.changed, place))


def _sweeps(project: Project, value: object) -> tuple[Sweep, ...]:
    if isinstance(value, Mapping):
        raise ProjectError(f"{project.path}: [sweep] is one table; a file has a list of sweeps: write [[sweep]]")
    if not isinstance(value, list):
        raise ProjectError(f"{project.path}: sweep must be a list of tables [[sweep]], not {_shown(value)}")
    sweeps = [_sweep(project, number, each) for number, each in enumerate(value, 1)]
    return tuple(sweep for sweep in sweeps if sweep.values)


def _sweep(project: Project, number: int, value: object) -> Sweep:
    where = f"{project.path}: [[sweep]] {number}"
    if not isinstance(value, Mapping) or not value:
        raise ProjectError(f"{where} must be a table of places and lists of values, not {_shown(value)}")
    found: dict[Place, tuple[JSON, ...]] = {}
    for text, values in _leaves("", value):
        place = find_place(text, project.tables, f"{where}: {text}")
        if not isinstance(values, list) or not values:
            raise ProjectError(f"{where}: {text} must be a list of the values that it takes, not {_shown(values)}")
        if place in found:
            raise ProjectError(f"{where}: {text} is there twice")
        # A place whose value cannot be set there is told now, not when its turn comes.
        put(copy.deepcopy(project.tables), place, values[0], f"{where}: {text}")
        found[place] = tuple(values)
    return Sweep(number, {place: values for place, values in found.items() if place not in project.changed})


def _leaves(head: str, value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the paths of a nested table and what is at their ends."""
    leaves = []
    for key, inner in value.items():
        path = f"{head}.{key}" if head else str(key)
        leaves += _leaves(path, inner) if isinstance(inner, Mapping) and inner else [(path, inner)]
    return leaves


def _shown(value: object) -> str:
    text = masked(repr(value))
    return f"{text if len(text) <= 80 else text[:79] + '…'} ({type(value).__name__})"
