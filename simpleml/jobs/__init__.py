"""Jobs: objects that are retrieved or made, one by one (`creators`, `loader`) or as a whole project.

The public names are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpleml.lazy import lazy_names

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
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "creators": ["DatasetCreator", "MetricCreator", "ModelCreator", "PersistableCreator", "PipelineCreator"],
            "loader": ["PersistableLoader"],
            "plan": ["plan_project"],
            "project": ["read_project"],
            "running": ["run_project"],
        },
    )

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
