"""Bundles: an object, all that it was made from, and their bytes, on the way from one database to another.

A *bundle* is a manifest (records, lineage, the digest and size of every object) and those objects. The digest of the
manifest is the bundle's sign: whoever knows it knows every byte. A bundle is a file (`export_bundle`, `import_bundle`), or
lies in a store that needs no common database (`push`, `pull`, `offers`). It holds no key, no store, no path and no URL of
where it was made.

What comes in is not believed: names, sizes and digests are compared, every field of every record is checked, and all
records come in one transaction, after their objects. Objects go to a store that is not trusted, unless another is named.
"""

from __future__ import annotations

from simpleml.orm.bundles.export import export_bundle
from simpleml.orm.bundles.imports import import_bundle
from simpleml.orm.bundles.results import Exported, Imported, Line, Offer, Pushed, Renumbered
from simpleml.orm.bundles.sharing import offers, pull, push
from simpleml.orm.bundles.wanted import Wanted

__all__ = [
    "Exported",
    "Imported",
    "Line",
    "Offer",
    "Pushed",
    "Renumbered",
    "Wanted",
    "export_bundle",
    "import_bundle",
    "offers",
    "pull",
    "push",
]
