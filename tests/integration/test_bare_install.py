"""What needs an extra that is not installed says how to install it, wherever it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

import simpleml
from simpleml.save_patterns.catalogue import patterns, serializers
from simpleml.save_patterns.pattern import ObjectPattern
from tests.integration.bare_install import KEPT, PLACES, READ, WRITTEN
from tests.integration.kinds import Box

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = {
    **{f"save to {place}": place for place in PLACES},
    **{f"store check {place}": place for place in PLACES},
    **{f"push to {place}": place for place in PLACES},
    **{f"load {name}": name for name in (*KEPT, *READ)},
    **{f"save {name}": name for name in WRITTEN},
    **dict.fromkeys(("load parquet", "load polars", "load feather", "load csv", "load database_table"), "arrow"),
    **dict.fromkeys(("save dask_parquet", "load dask"), "dask"),
    "save database_table": "arrow",
    "save in chunks": "chunks",
    "connect to postgresql": "postgres",
    "connect to mysql": "mysql",
    "connect to mariadb": "mysql",
}
LINES = {case: f"pip install 'simpleml[{extra}]'" for case, extra in EXTRAS.items()} | dict.fromkeys(
    ("load numpy", "load safetensors"), "pip install numpy"
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a process without any extra says of each case, of records that one with all of them has saved."""
    folder = tmp_path_factory.mktemp("bare")
    stores = {"default": str(folder / "store"), "cut": {"url": str(folder / "cut"), "chunked": True}}
    frame, arrays = pd.DataFrame({"a": [1]}), {"a": np.eye(2)}
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    rng = np.random.default_rng(1)
    text = np.repeat(rng.integers(0, 200, 1_000_000, dtype=np.uint8), 9).tobytes()  # chunks that are compressed
    values = {"polars": pl.DataFrame({"a": [1]}), "arrow": pa.table({"a": [1]}), "numpy": np.eye(2), "skops": model}
    values |= {"safetensors": arrays, "dask": dd.from_pandas(frame, npartitions=1), "chunks": text}
    by_type = {"parquet", "polars", "arrow", "numpy", "dask"}
    cut = ObjectPattern("cut_bytes", serializers.get("bytes"), store="cut")
    with patterns.context_register("cut_bytes", cut), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        simpleml.connect(folder / "t.db", home=folder / "home", stores=stores)
        for name in KEPT:
            chosen = {} if name in by_type else {"data": "cut_bytes" if name == "chunks" else name}
            Box(name=name, data=values.get(name, frame), save_patterns=chosen).save()
        simpleml.disconnect()
        asked = json.dumps({"database": str(folder / "t.db"), "home": str(folder / "other"), "stores": stores})
        command = [sys.executable, "-m", "tests.integration.bare_install", asked]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == EXTRAS.keys()
    return found


@pytest.mark.parametrize("case", EXTRAS)
def test_what_needs_an_extra_says_how_to_install_it(case: str, told: dict[str, str]) -> None:
    """Without any extra, each save, load, connection, check and push that needs one ends in its pip line and no traceback."""
    assert LINES[case] in told[case]
    if case.startswith(("store check", "push")):
        assert told[case].startswith("exit code 1: ")
    else:
        assert told[case].startswith("MissingDependencyError: ")


@pytest.mark.parametrize("place", PLACES)
def test_a_store_that_cannot_be_opened_does_not_hide_the_others(place: str, told: dict[str, str]) -> None:
    """`store check` goes on to the stores after one whose extra is not installed."""
    assert "works\n" in told[f"store check {place}"]
