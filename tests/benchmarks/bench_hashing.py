"""Print what hashing costs beside a floor measured in the same run, one JSON line each: `python tests/benchmarks/bench_hashing.py`."""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from blake3 import blake3
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simpleml.hashing import hash_value

ROWS = 1_000_000


def seconds(*functions: Callable[[], object], repeat: int = 7, number: int = 1) -> list[float]:
    """Return the best time of one call of each, measured in turns, so that a busy machine is busy for all."""
    best = [float("inf")] * len(functions)
    for _ in range(repeat):
        for place, function in enumerate(functions):
            best[place] = min(best[place], timeit.timeit(function, number=number) / number)
    return best


def report(name: str, ours: float, floor: float, ratio: float, goal: str) -> None:
    """Print one line."""
    print(
        json.dumps(
            {"name": name, "ours_s": round(ours, 7), "floor_s": round(floor, 7), "ratio": round(ratio, 3), "goal": goal}
        )
    )


def mixed_frame() -> pd.DataFrame:
    """Return a million rows of integers, floats (one column with NaN), categories, times and strings."""
    rng = np.random.default_rng(0)
    gaps = rng.normal(size=ROWS)
    gaps[::100] = np.nan
    words = np.array([f"word{i}" for i in range(5000)])
    return pd.DataFrame(
        {
            "id": rng.permutation(ROWS),
            "count": rng.integers(0, 100, ROWS).astype("int32"),
            "flag": rng.random(ROWS) < 0.5,
            "x": rng.normal(size=ROWS),
            "y": rng.normal(size=ROWS).astype("float32"),
            "gaps": gaps,
            "kind": pd.Categorical.from_codes(rng.integers(0, 12, ROWS), [f"kind {i}" for i in range(12)]),
            "at": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, ROWS), unit="s"),
            "word": pd.Series(words[rng.integers(0, 5000, ROWS)], dtype="str"),
            "code": pd.Series([f"{i:08x}" for i in rng.integers(0, 2**32, ROWS)], dtype="str"),
        }
    )


def bench_frame() -> None:
    """The mixed frame, against pandas' own hash of it, and against BLAKE3 over its buffers on all cores."""
    frame = mixed_frame()
    buffers = [np.frombuffer(buffer, np.uint8) for buffer in arrow_buffers(frame)]
    ours, pandas_hash, floor = seconds(
        lambda: hash_value(frame),
        lambda: pd.util.hash_pandas_object(frame, index=True),
        lambda: [blake3(buffer, max_threads=blake3.AUTO).digest() for buffer in buffers],
    )
    report("frame 1M x 10: pandas.util.hash_pandas_object / ours", ours, pandas_hash, pandas_hash / ours, ">= 5")
    report(f"frame 1M x 10: ours / blake3 of its {sum(map(len, buffers)) >> 20} MiB", ours, floor, ours / floor, "none")


def arrow_buffers(frame: pd.DataFrame) -> list[pa.Buffer]:
    """Return the buffers of the frame's columns, copied nowhere where Arrow need not."""
    columns = pa.Table.from_pandas(frame, preserve_index=False).combine_chunks().columns
    return [buffer for column in columns for buffer in column.chunk(0).buffers() if buffer is not None]


def bench_forest() -> None:
    """A forest of about 150 MB, in GB/s, and against BLAKE3 over its arrays on one core."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 10))
    forest = RandomForestRegressor(83, random_state=0, n_jobs=2).fit(features, rng.normal(size=20_000))
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    arrays = [state[name].reshape(-1).view(np.uint8) for state in states for name in ("nodes", "values")]
    size = sum(map(len, arrays))
    ours, floor = seconds(lambda: hash_value(forest), lambda: [blake3(array).digest() for array in arrays], repeat=15)
    report(f"forest {size / 1e6:.0f} MB: GB/s", ours, floor, size / 1e9 / ours, ">= 2")
    report("forest: ours / blake3 of its arrays", ours, floor, ours / floor, "<= 2")


def bench_array() -> None:
    """200 MB of floats, with and without NaN, against BLAKE3 over the same bytes on all cores."""
    array = np.random.default_rng(0).normal(size=25_000_000)
    gaps = array.copy()
    gaps[7] = np.nan
    ours, with_nan, floor = seconds(
        lambda: hash_value(array),
        lambda: hash_value(gaps),
        lambda: blake3(array.view(np.uint8), max_threads=blake3.AUTO).digest(),
    )
    report("array 200 MB: ours / blake3", ours, floor, ours / floor, "<= 2")
    report("array 200 MB with a NaN: ours / blake3", with_nan, floor, with_nan / floor, "none")


def bench_small() -> None:
    """Small values: a configuration against `json.dumps` and BLAKE3, a fitted model against a millisecond."""
    config = {"C": 0.5, "penalty": "l2", "solver": "lbfgs", "steps": [1, 2, 3], "nested": {"a": True, "b": None}}
    ours, floor = seconds(
        lambda: hash_value(config), lambda: blake3(json.dumps(config, sort_keys=True).encode()).hexdigest(), number=1000
    )
    report("small config: ours / json + blake3", ours, floor, ours / floor, "ours_s <= 1e-4")
    rng = np.random.default_rng(0)
    model = LogisticRegression().fit(rng.normal(size=(100, 5)), rng.integers(0, 2, 100))
    (ours,) = seconds(lambda: hash_value(model), number=100)
    report("fitted LogisticRegression: 1 ms / ours", ours, 1e-3, 1e-3 / ours, ">= 1")


if __name__ == "__main__":
    bench_frame()
    bench_forest()
    bench_array()
    bench_small()
