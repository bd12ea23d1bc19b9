"""Persistables: native objects with a name, versions, a content hash and artifacts.

`persistable` is the base class, `artifact` and `lineage` its declarations, `saving` and `loading` the ways to a row and
back, `query` the choice of several, `ports` what all this needs of a database.
"""

from simpleml.persistables.artifact import Artifact
from simpleml.persistables.lineage import Lineage
from simpleml.persistables.persistable import Persistable

__all__ = ["Artifact", "Lineage", "Persistable"]
