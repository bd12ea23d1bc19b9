"""Make, save, load and use a dask dataset that does not fit into the memory that this process may take.

It is made, hashed, stored and read one partition at a time, and never collected: the kernel is told to refuse what would
be needed for that. Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder. Needs the extra `dask`.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa

import simpleml
from simpleml.constants import TEST_SPLIT, TRAIN_SPLIT
from simpleml.datasets import DaskDataset
from simpleml.pipelines import RandomSplitSklearnPipeline

PARTITIONS, ROWS = 48, 50_000
COLUMNS = [*(f"sensor_{number}" for number in range(19)), "alarm"]
BYTES = PARTITIONS * ROWS * len(COLUMNS) * 8  # 384 MB; a partition has 8 MB


def measurements(number: int) -> pd.DataFrame:
    """Return one partition, as it might come out of a file or a query."""
    drawn = np.random.default_rng(number).integers(0, 50, (ROWS, len(COLUMNS)))
    table = pd.DataFrame(drawn.astype("float64"), columns=COLUMNS)
    return table.assign(alarm=(table["sensor_0"] > 45).astype("int64"))


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Let the process have so many more bytes of data than now, for the block."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    now = int(status["VmData"].split()[0]) * 1024
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def main() -> None:
    """Save what is bigger than memory, load it, and ask something of it."""
    pa.set_cpu_count(2)  # threads take memory as well, and some machines would start a hundred
    with at_most(BYTES * 3 // 4), dask.config.set(num_workers=2):
        try:
            np.ones(BYTES // 8)
        except MemoryError as error:
            print(f"refused   {BYTES / 1e6:.0f} MB in one piece: {error}")
        else:
            raise AssertionError("the limit holds nothing back, so this example would show nothing")

        frame = dd.from_map(measurements, list(range(PARTITIONS)), meta=measurements(0).head(0))  # type: ignore[no-untyped-call]
        dataset = DaskDataset(frame, name="measurements", label_columns=["alarm"]).save()
        [stored] = dataset.filepaths["dataframe"].values()
        assert len(stored["parts"]) == PARTITIONS
        print(f"saved     {dataset}: {PARTITIONS} parquet files, {stored['total'] / 1e6:.0f} MB in the store")

        # Loading reads where the partitions are; their rows are read when something is computed, and let go afterwards.
        loaded = DaskDataset.load("measurements")
        assert loaded.dataframe.npartitions == PARTITIONS
        assert loaded.row_count == PARTITIONS * ROWS
        means = loaded.X.mean().compute()
        assert list(means.index) == COLUMNS[:-1]
        assert means.between(24.4, 24.6).all()
        alarms = loaded.y["alarm"].sum().compute()
        assert alarms == (loaded.X["sensor_0"] > 45).sum().compute()
        print(f"computed  {loaded.row_count} rows, {alarms} alarms, a mean of {means.mean():.2f}")

        # One partition comes back as it was made, bit for bit.
        assert loaded.dataframe.partitions[7].compute().equals(measurements(7))

        # Splits are lazy, too: which rows they have is known, and the rows themselves stay where they are.
        pipeline = RandomSplitSklearnPipeline(train_size=0.75, test_size=0.25, name="measurements", dataset=loaded)
        train, test = (pipeline.get_dataset_split(name) for name in (TRAIN_SPLIT, TEST_SPLIT))
        assert train.row_count == 3 * test.row_count == PARTITIONS * ROWS * 3 // 4
        assert len(test.X.partitions[0].compute()) < ROWS / 3
        print(f"divided   into {train.row_count} rows to train on and {test.row_count} to test on")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        simpleml.connect(home=os.environ.get("SIMPLEML_HOME", folder))
        main()
        simpleml.disconnect()
