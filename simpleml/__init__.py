"""Save fitted objects with their artifacts, and bring them back by name and version, anywhere.

The public names are resolved when they are first used, so that `import simpleml` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_WHERE = {
    "Artifact": "simpleml.persistables.artifact:Artifact",
    "Database": "simpleml.orm.database:Database",
    "DatasetCreator": "simpleml.jobs.creators:DatasetCreator",
    "Folder": "simpleml.save_patterns.folder:Folder",
    "Lineage": "simpleml.persistables.lineage:Lineage",
    "MetricCreator": "simpleml.jobs.creators:MetricCreator",
    "ModelCreator": "simpleml.jobs.creators:ModelCreator",
    "Persistable": "simpleml.persistables.persistable:Persistable",
    "PersistableLoader": "simpleml.jobs.loader:PersistableLoader",
    "PipelineCreator": "simpleml.jobs.creators:PipelineCreator",
    "connect": "simpleml.orm.connections:connect",
    "diff": "simpleml.persistables.comparison:diff",
    "disconnect": "simpleml.orm.connections:disconnect",
    "load": "simpleml.persistables.loading:load_kind",
    "transaction": "simpleml.orm.connections:transaction",
}

_SUBMODULES = (
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
)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        module, _, attribute = _WHERE[name].partition(":")
        value = getattr(importlib.import_module(module), attribute)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"simpleml.{name}")
    else:
        raise AttributeError(f"module 'simpleml' has no attribute {name!r}; it offers {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
