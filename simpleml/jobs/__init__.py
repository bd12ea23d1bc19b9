"""Jobs: objects that are retrieved or made, one by one (`creators`, `loader`) or as a whole project.

The public names are resolved when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simpleml.jobs.creators import (
        DatasetCreator,
        MetricCreator,
        ModelCreator,
        PersistableCreator,
        PipelineCreator,
    )
    from simpleml.jobs.loader import PersistableLoader
    from simpleml.jobs.plan import plan_project
    from simpleml.jobs.project import read_project
    from simpleml.jobs.running import run_project

__all__ = [
    "DatasetCreator",
    "MetricCreator",
    "ModelCreator",
    "PersistableCreator",
    "PersistableLoader",
    "PipelineCreator",
    "plan_project",
    "read_project",
    "run_project",
]

_WHERE = {
    "DatasetCreator": "creators",
    "MetricCreator": "creators",
    "ModelCreator": "creators",
    "PersistableCreator": "creators",
    "PersistableLoader": "loader",
    "PipelineCreator": "creators",
    "plan_project": "plan",
    "read_project": "project",
    "run_project": "running",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'simpleml.jobs' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"simpleml.jobs.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
