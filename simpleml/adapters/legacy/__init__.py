"""What SimpleML 0.14 saved, brought over: `import_legacy` reads its SQLite database and its filestore, and writes neither.

`source` reads the old side, `artifacts` turns its files into stored objects, `records` its rows into ours, `importing` does
it in the order of the lineage.
"""

from simpleml.adapters.legacy.importing import Brought, LegacyImport, Trouble, import_legacy

__all__ = ["Brought", "LegacyImport", "Trouble", "import_legacy"]
