"""The libraries that an artifact was saved with, and what differs from them here."""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Literal

from simpleml.errors import EnvironmentMismatchError

PYTHON = "python"
"""Stands among packages for Python itself: what is read by running code depends on it, whatever else it imports."""

UNKNOWN = "unknown"
"""The version of what can be imported but was never installed: a checkout on the path."""

_DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "yaml": "PyYAML",
    "cv2": "opencv-python",
    "bs4": "beautifulsoup4",
}


class EnvironmentWarning(UserWarning):
    """An artifact is read with other library versions than it was saved with."""


@cache
def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def distribution_of(package: str) -> str | None:
    """Return the distribution that an importable top-level package comes from, or None (the project's own code)."""
    name = _DISTRIBUTIONS.get(package, package)
    if version_of(name) is not None:
        return name
    found = metadata.packages_distributions().get(package)
    return found[0] if found else None


def library_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of simpleml and of the distributions that `packages` come from."""
    found = {"python": platform.python_version(), "simpleml": version_of("simpleml") or UNKNOWN}
    for package in sorted(set(packages) - {PYTHON}):
        distribution = distribution_of(package)
        version = version_of(distribution) if distribution else None
        if distribution and version:
            found[distribution] = version
    return found


def platform_name() -> str:
    """Return the system and the machine, as `linux-x86_64`."""
    return f"{sys.platform}-{platform.machine()}"


def recorded_for(packages: set[str], recorded: Mapping[str, str]) -> dict[str, str]:
    """Return what is recorded of the distributions that `packages` come from, and of Python if that is among them."""
    wanted = _wanted(packages, recorded) | (packages & {PYTHON})
    return {name: version for name, version in recorded.items() if name in wanted}


def mismatches(recorded: Mapping[str, object], machine: object, packages: Iterable[str]) -> list[str]:
    """List how the environment differs from what is `recorded`: `packages`, Python's minor version, and the platform."""
    lines = []
    for name in sorted(_wanted(packages, recorded)):
        here = version_of(name)
        if (here or UNKNOWN) != recorded[name]:
            lines.append(f"{name} {recorded[name]} (here: {here or 'not installed'})")
    python = recorded.get("python")
    if isinstance(python, str) and python.split(".")[:2] != platform.python_version().split(".")[:2]:
        lines.append(f"python {python} (here: {platform.python_version()})")
    if isinstance(machine, str) and machine != platform_name():
        lines.append(f"platform {machine} (here: {platform_name()})")
    return lines


def _wanted(packages: Iterable[str], recorded: Mapping[str, object]) -> set[str]:
    return {name for package in packages if package != PYTHON and (name := _recorded_name(package, recorded))}


def _recorded_name(package: str, recorded: Mapping[str, object]) -> str | None:
    name = _DISTRIBUTIONS.get(package, package)
    if name in recorded:
        return name
    distribution = distribution_of(package)
    return distribution if distribution in recorded else None


def compare(title: str, differences: list[str], policy: Literal["warn", "strict", "ignore"]) -> None:
    """Warn once, or raise `EnvironmentMismatchError` under `strict`, that the environment differs."""
    if not differences or policy == "ignore":
        return
    text = (
        f"{title} was saved with {', '.join(differences)}; reading it with other versions may fail or predict otherwise"
    )
    if policy == "strict":
        raise EnvironmentMismatchError(f'{text}. Install those versions, or set environment = "warn" in the settings.')
    warnings.warn(text, EnvironmentWarning, stacklevel=6)
