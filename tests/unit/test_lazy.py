"""Packages whose public names are found when they are first asked for."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest

from simpleml.lazy import lazy_names
from simpleml.metrics.names import CURVES

PACKAGES = [
    "simpleml",
    "simpleml.datasets",
    "simpleml.jobs",
    "simpleml.metrics",
    "simpleml.models",
    "simpleml.pipelines",
]


def _imported(package: str) -> Iterator[tuple[str, str, str]]:
    """Module, name and public name of each import that a type checker sees in a package."""
    tree = ast.parse(inspect.getsource(importlib.import_module(package)))
    [block] = [each for each in tree.body if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"]
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom)
        for each in statement.names:
            yield str(statement.module), each.name, each.asname or each.name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_type_checker_and_python_find_the_same_names(package):
    """What a package lists, what a type checker sees in it and what is found at run time are the same, but for generated curves."""
    there = importlib.import_module(package)
    seen = {public: (module, name) for module, name, public in _imported(package)}
    modules = {public for public, (module, _) in seen.items() if module == package}
    assert {*seen} - modules == {*there.__all__} - {*CURVES}
    for public, (module, name) in seen.items():
        own = (
            importlib.import_module(f"{module}.{name}")
            if public in modules
            else getattr(importlib.import_module(module), name)
        )
        assert getattr(there, public) is own
    assert {*there.__all__, *modules} <= {*dir(there)}


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_told_with_the_nearest(package):
    """A misspelt name is an attribute error of the package that names the right one."""
    there = importlib.import_module(package)
    name = there.__all__[0]
    with pytest.raises(
        AttributeError, match=rf"module '{package}' has no attribute '{name}x'; .*did you mean '{name}'"
    ):
        getattr(there, f"{name}x")


def test_a_name_is_imported_when_it_is_asked_for_and_kept():
    """Asking for a name imports its module and no other, and what was found is the package's own from then on."""
    script = (
        "import sys, simpleml.jobs as jobs\n"
        "assert 'PersistableLoader' in dir(jobs) and 'PersistableLoader' not in vars(jobs)\n"
        "found = jobs.PersistableLoader\n"
        "assert vars(jobs)['PersistableLoader'] is found is sys.modules['simpleml.jobs.loader'].PersistableLoader\n"
        "assert 'simpleml.jobs.running' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_name_may_be_public_under_another():
    """`as` works as it does in an import: the module's own name is none of the package's."""
    find, listed = lazy_names("tests", {"unit.test_lazy": ["PACKAGES as MORE"]})
    with pytest.raises(AttributeError, match="known: MORE"):
        find("PACKAGES")
    assert "MORE" in listed()
