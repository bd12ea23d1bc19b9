"""Print what datasets cost beside a floor measured in the same run, one JSON line each: `python tests/benchmarks/bench_datasets.py`."""

from __future__ import annotations

import json
import os
import sys
import timeit
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import dask.dataframe as dd
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import simpleml
from simpleml.datasets import DaskDataset, PandasDataset
from simpleml.hashing import hash_value

ROWS = 1_000_000


def seconds(*functions: Callable[[], object], repeat: int = 7) -> list[float]:
    """Return the best time of one call of each, measured in turns, so that a busy machine is busy for all."""
    best = [float("inf")] * len(functions)
    for _ in range(repeat):
        for place, function in enumerate(functions):
            best[place] = min(best[place], timeit.timeit(function, number=1))
    return best


def report(name: str, ours: float, floor: float, goal: str) -> None:
    """Print one line."""
    print(
        json.dumps(
            {
                "name": name,
                "ours": round(ours, 7),
                "floor": round(floor, 7),
                "ratio": round(ours / floor, 3),
                "goal": goal,
            }
        )
    )


def frame() -> pd.DataFrame:
    """Return a million rows of eight floats, an integer and a label."""
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(ROWS, 8)), columns=[f"x{i}" for i in range(8)])
    return made.assign(count=rng.integers(0, 100, ROWS), y=rng.integers(0, 2, ROWS))


def bench_projection(data: pd.DataFrame) -> None:
    """Reading X of a random split and of a slice, against the same by pandas alone; and what making a split allocates."""
    dataset = PandasDataset(data, label_columns=["y"])
    features = dataset.get_feature_names()
    rows = np.random.default_rng(1).permutation(ROWS)[: ROWS * 8 // 10]
    split, part = dataset.projected(rows), dataset.projected(slice(0, ROWS * 8 // 10))
    ours, floor = seconds(lambda: split.X, lambda: data.drop(columns="y").iloc[rows])
    report("X of 800k random rows of 1M x 10 / iloc", ours, floor, "<= 1.2")
    ours, floor = seconds(lambda: split.X, lambda: data[features].iloc[rows])
    report("X of 800k random rows of 1M x 10 / frame[columns].iloc", ours, floor, "<= 1.2")
    ours, floor = seconds(lambda: part.X, lambda: data[features].iloc[: ROWS * 8 // 10])
    report("X of the first 800k rows of 1M x 10 / frame[columns].iloc", ours, floor, "<= 1.2")
    tracemalloc.start()
    dataset.projected(slice(0, ROWS // 2)).squeeze()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    report(
        "bytes allocated to read every section of half of it / its bytes",
        peak,
        int(data.memory_usage().sum()),
        "<= 0.1",
    )


def bench_save(data: pd.DataFrame, folder: Path) -> None:
    """Hashing and saving a new dataset, durable in store and database, against pandas' own parquet, flushed to the disk."""
    count = iter(range(10**6))

    def ours() -> object:
        changed = data.assign(count=data["count"] + next(count))  # other bytes each time: the same are stored once
        return PandasDataset(changed, name="bench", label_columns=["y"]).save()

    def plain() -> None:
        changed = data.assign(count=data["count"] + next(count))
        path = folder / f"plain-{next(count)}.parquet"
        changed.to_parquet(path)
        with path.open("rb") as file:
            os.fsync(file.fileno())

    saved, floor, hashed = seconds(ours, plain, lambda: hash_value(data), repeat=5)
    report("dataset of 1M x 10: hash + save / to_parquet", saved, floor, "none")
    report("dataset of 1M x 10: hash / to_parquet", hashed, floor, "none")


def bench_dask(data: pd.DataFrame, folder: Path) -> None:
    """Hashing and saving a dask dataset of ten partitions, against dask's own parquet."""
    count = iter(range(10**6))

    def ours() -> object:
        changed = data.assign(count=data["count"] + next(count))
        return DaskDataset(dd.from_pandas(changed, npartitions=10), name="bench-dask", label_columns=["y"]).save()

    def plain() -> None:
        changed = data.assign(count=data["count"] + next(count))
        dd.from_pandas(changed, npartitions=10).to_parquet(folder / f"dask-{next(count)}")

    saved, floor = seconds(ours, plain, repeat=4)
    report("dask dataset of 1M x 10: hash + save / to_parquet", saved, floor, "none")


if __name__ == "__main__":
    with TemporaryDirectory() as home:
        at = Path(home)
        with simpleml.connect(at / "bench.db", store=at / "store", home=at):
            table = frame()
            bench_projection(table)
            bench_save(table, at)
            bench_dask(table, at)
