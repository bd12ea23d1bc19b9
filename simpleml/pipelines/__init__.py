"""Pipelines: persistables that divide a dataset into splits and transform it.

The public names are resolved when they are first used: no library is imported before.
"""

from __future__ import annotations

import importlib
from typing import Any

from simpleml.pipelines.names import WHERE

__all__ = sorted(WHERE)  # noqa: PLE0605 - the table is the one place that names them


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module 'simpleml.pipelines' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"simpleml.pipelines.{WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
