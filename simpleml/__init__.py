"""Save fitted objects with their artifacts, and bring them back by name and version, anywhere.

The public names are resolved when they are first used, so that `import simpleml` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simpleml.orm.connections import connect, disconnect, transaction
    from simpleml.orm.database import Database
    from simpleml.persistables.artifact import Artifact
    from simpleml.persistables.lineage import Lineage
    from simpleml.persistables.loading import load_kind as load
    from simpleml.persistables.persistable import Persistable
    from simpleml.save_patterns.folder import Folder

__all__ = ["Artifact", "Database", "Folder", "Lineage", "Persistable", "connect", "disconnect", "load", "transaction"]

_WHERE = {
    "Artifact": "simpleml.persistables.artifact:Artifact",
    "Database": "simpleml.orm.database:Database",
    "Folder": "simpleml.save_patterns.folder:Folder",
    "Lineage": "simpleml.persistables.lineage:Lineage",
    "Persistable": "simpleml.persistables.persistable:Persistable",
    "connect": "simpleml.orm.connections:connect",
    "disconnect": "simpleml.orm.connections:disconnect",
    "load": "simpleml.persistables.loading:load_kind",
    "transaction": "simpleml.orm.connections:transaction",
}

_SUBMODULES = ("errors", "models", "orm", "persistables", "save_patterns", "settings")


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
