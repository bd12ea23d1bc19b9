"""The hashes that scheme 1 gave on the day it was made, so that no change of a hash can pass unseen.

Is a change of a hash meant? Then every stored `hash_` of every user changes: raise `SCHEME` in `simpleml/hashing/tokens.py`,
say so in CHANGELOG.md, and write the new hashes with `python -m tests.unit.test_hashing_golden --write`. A *new* kind of
value needs no new scheme: add it to `values` and write; the test then shows that no old line changed.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import functools
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sp

from simpleml.hashing import SCHEME, hash_value

HERE = Path(__file__).resolve()
GOLDEN = HERE.with_name("golden_hashes.json")


@dataclasses.dataclass
class Config:
    depth: int
    names: tuple[str, ...] = ()


class Color(enum.Enum):
    RED = 1


class Thing:
    def __init__(self):
        self.a, self.b = 1, [2.0, None]


class Point(NamedTuple):
    x: int
    y: int


def scale(x, by=2):
    """Return more of it."""
    return x * by


def scaler(by):
    """Return a function that closes over `by`."""
    return lambda x: x * by


def values() -> dict[str, object]:
    """Return values whose hashes depend on no library's version."""
    return {**python_values(), **array_values(), **frame_values()}


def python_values() -> dict[str, object]:
    """Return one value of every kind of Python's own."""
    zone = ZoneInfo("Europe/Berlin")
    return {
        "none": None,
        "true": True,
        "false": False,
        "zero": 0,
        "one": 1,
        "minus": -1,
        "huge": -(10**300),
        "float": 1.5,
        "minus zero": -0.0,
        "nan": float("nan"),
        "inf": float("inf"),
        "complex": 1 - 2j,
        "empty text": "",
        "text": "grün",
        "surrogate": "\ud800",
        "long text": "abc" * 10_000,
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"ab"),
        "memoryview": memoryview(b"ab"),
        "ellipsis": ...,
        "list": [1, "a", [None]],
        "tuple": (1, "a", (None,)),
        "dict": {"b": 1, "a": {2: 3.0}, None: ()},
        "set": {"a", "b", 3, (4,)},
        "frozenset": frozenset("abc"),
        "ordered": collections.OrderedDict(b=1, a=2),
        "defaultdict": collections.defaultdict(list, a=[1]),
        "counter": collections.Counter("abca"),
        "deque": collections.deque([1, 2], maxlen=5),
        "namedtuple": Point(1, 2),
        "range": range(2, 9, 3),
        "date": dt.date(2024, 2, 29),
        "datetime": dt.datetime(2024, 2, 29, 1, 2, 3, 4),
        "datetime utc": dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
        "datetime zone": dt.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1),
        "time": dt.time(1, 2, 3),
        "timedelta": dt.timedelta(days=-1, microseconds=5),
        "decimal": Decimal("1.50"),
        "fraction": Fraction(1, 3),
        "uuid": UUID(int=5),
        "path": Path("data/train.csv"),
        "pattern": re.compile(r"\d+", re.ASCII),
        "enum": Color.RED,
        "dataclass": Config(3, ("a",)),
        "instance": Thing(),
        "function": scale,
        "closure": scaler(3),
        "class": Thing,
        "builtin": len,
        "library function": json.dumps,
        "library class": collections.OrderedDict,
        "module": json,
        "partial": functools.partial(scale, by=5),
        "method": Thing().__init__,
    }


def array_values() -> dict[str, object]:
    """Return NumPy and SciPy values."""
    square = np.arange(6, dtype="i8").reshape(2, 3)
    record = np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    with_nan = np.array([0.0, -0.0, np.nan, np.inf])
    return {
        "scalar int64": np.int64(1),
        "scalar float32": np.float32(0.5),
        "scalar time": np.datetime64("2024-01-01", "D"),
        "int64": square,
        "int64 fortran": np.asfortranarray(square),
        "int64 big-endian": square.astype(">i8"),
        "float64": with_nan,
        "float32": with_nan.astype("f4"),
        "float16": with_nan.astype("f2"),
        "complex128": with_nan.astype("c16"),
        "bool": np.array([True, False]),
        "text": np.array(["a", "ü"]),
        "bytes": np.array([b"a", b"bc"]),
        "times": np.array(["2024-01-01", "NaT"], "M8[ns]"),
        "record": record,
        "objects": np.array([1, "a", None], dtype=object),
        "object texts": np.array(["a", "ü"], dtype=object),
        "empty": np.zeros((0, 3)),
        "0-d": np.array(2.0),
        "masked": np.ma.array([1, 2], mask=[False, True], fill_value=7),
        "large": np.arange(500_000, dtype="f8"),
        "dtype": np.dtype("f8"),
        "ufunc": np.add,
        "csr": sp.csr_matrix((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 1, 2])), shape=(2, 2)),
    }


def frame_values() -> dict[str, object]:
    """Return pandas, Arrow and polars values."""
    frame = pd.DataFrame(
        {
            "int": np.array([1, 2, 3], "i8"),
            "float": [1.0, np.nan, -0.0],
            "bool": [True, False, True],
            "string": pd.array(["a", None, "ü"], dtype="string"),
            "category": pd.Series(pd.Categorical([2, 1, 2])),
            "time": np.array(["2024-01-01", "2024-01-02", "NaT"], "M8[ns]"),
            "zoned": pd.Series(np.array(["2024-01-01", "2024-01-02", "NaT"], "M8[ns]")).dt.tz_localize("UTC"),
            "Int64": pd.array([1, None, 3], dtype="Int64"),
            "object": pd.Series([1, "a", None], dtype=object),
        }
    )
    table = pa.table({"i": [1, None, 3], "s": ["a", None, "ü"], "f": [0.5, 1.5, None], "l": [[1], None, [2, 3]]})
    polars = pl.DataFrame({"i": [1, None, 3], "s": ["a", None, "ü"], "b": [True, False, None]})
    return {
        "frame": frame,
        "series": frame["float"],
        "range index": pd.RangeIndex(3),
        "index": pd.Index([3, 1], name="i"),
        "multiindex": pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["a", "b"]),
        "timestamp": pd.Timestamp("2024-01-01", tz="UTC").as_unit("ns"),
        "NaT": pd.NaT,
        "NA": pd.NA,
        "arrow table": table,
        "arrow column": table["l"],
        "polars frame": polars,
        "polars series": polars["s"],
    }


def hashes() -> dict[str, str]:
    """Return the hash of every golden value."""
    return {name: hash_value(value) for name, value in values().items()}


def test_hashes_are_those_of_the_scheme():
    """Every golden value has the hash that is stored; a meant change needs a new scheme (this module says how)."""
    golden = json.loads(GOLDEN.read_text())
    assert golden["scheme"] == SCHEME
    assert hashes() == golden["hashes"], "a hash changed: was that meant? See this module's docstring"


def test_hashes_are_alike_in_other_processes(tmp_path):
    """Another process, as a script, with another hash seed and another working folder, gives the same hashes."""
    expected = hashes()
    done = subprocess.run(
        [sys.executable, str(HERE)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(HERE.parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == expected


def test_golden_values_differ_but_for_layout():
    """Only the three layouts of one array share a hash."""
    found = collections.Counter(hashes().values())
    assert sorted(found.values(), reverse=True)[:2] == [3, 1]


if __name__ == "__main__":
    if "--write" in sys.argv:
        GOLDEN.write_text(json.dumps({"scheme": SCHEME, "hashes": hashes()}, indent=1, ensure_ascii=False) + "\n")
    else:
        print(json.dumps(hashes()))
