"""What the fork server imports: everything, by doing the work once, so that no child has to."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import pymysql
import sqlalchemy.dialects.mysql.pymysql
import sqlalchemy.dialects.postgresql.psycopg

from tests.faults.invariants import aftermath
from tests.faults.workload import Place

__all__ = ["pymysql", "sqlalchemy"]

with tempfile.TemporaryDirectory() as _folder:
    _place = Place(f"sqlite:///{Path(_folder) / 'warm.db'}", str(Path(_folder) / "store"), _folder)
    _wrong: list[object] = []
    aftermath(_wrong.append, _place, [], "warm")
    if _wrong:
        raise RuntimeError(f"the undisturbed work fails: {_wrong}")

gc.collect()
gc.freeze()  # a child's first collection would otherwise look at, and so copy, everything that was imported
