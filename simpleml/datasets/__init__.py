"""Datasets: persistables that hold data, in sections and splits.

The public names are resolved when they are first used: no library of frames is imported before.
"""

from __future__ import annotations

import importlib
from typing import Any

from simpleml.datasets.names import LEGACY_NAMES, WHERE

__all__ = sorted({*WHERE, *LEGACY_NAMES})  # noqa: PLE0605 - the table is the one place that names them


def __getattr__(name: str) -> Any:
    own = LEGACY_NAMES.get(name, name)
    if own not in WHERE:
        raise AttributeError(f"module 'simpleml.datasets' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"simpleml.datasets.{WHERE[own]}"), own)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
