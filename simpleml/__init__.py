"""Save fitted objects with their artifacts, and bring them back by name and version, anywhere.

The public names are resolved when they are first used, so that `import simpleml` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpleml.lazy import lazy_names

if TYPE_CHECKING:
    from simpleml import (  # noqa: F401 - the submodules below, as attributes
        constants,
        datasets,
        errors,
        jobs,
        metrics,
        models,
        orm,
        persistables,
        pipelines,
        save_patterns,
        settings,
        transformers,
    )
    from simpleml.jobs.creators import DatasetCreator, MetricCreator, ModelCreator, PipelineCreator
    from simpleml.jobs.loader import PersistableLoader
    from simpleml.orm.connections import connect, disconnect, transaction
    from simpleml.orm.database import Database
    from simpleml.persistables.artifact import Artifact
    from simpleml.persistables.comparison import diff
    from simpleml.persistables.lineage import Lineage
    from simpleml.persistables.loading import load_kind as load
    from simpleml.persistables.persistable import Persistable
    from simpleml.save_patterns.folder import Folder
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "jobs.creators": ["DatasetCreator", "MetricCreator", "ModelCreator", "PipelineCreator"],
            "jobs.loader": ["PersistableLoader"],
            "orm.connections": ["connect", "disconnect", "transaction"],
            "orm.database": ["Database"],
            "persistables.artifact": ["Artifact"],
            "persistables.comparison": ["diff"],
            "persistables.lineage": ["Lineage"],
            "persistables.loading": ["load_kind as load"],
            "persistables.persistable": ["Persistable"],
            "save_patterns.folder": ["Folder"],
        },
        submodules=(
            "constants",
            "datasets",
            "errors",
            "jobs",
            "metrics",
            "models",
            "orm",
            "persistables",
            "pipelines",
            "save_patterns",
            "settings",
            "transformers",
        ),
    )

__all__ = [
    "Artifact",
    "Database",
    "DatasetCreator",
    "Folder",
    "Lineage",
    "MetricCreator",
    "ModelCreator",
    "Persistable",
    "PersistableLoader",
    "PipelineCreator",
    "connect",
    "diff",
    "disconnect",
    "load",
    "transaction",
]
