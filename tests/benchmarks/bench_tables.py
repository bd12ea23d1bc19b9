"""Frames as tables against their floors: the raw bulk path of each database, and `pandas.to_sql`.

Run: python tests/benchmarks/bench_tables.py [sqlite] [postgresql] [mariadb]. Prints one JSON line for each figure: a frame of
1M rows and 10 columns (100,000 rows on MariaDB), written durably with its digest, and read back with its digest compared.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

import simpleml
from simpleml.orm import Database
from simpleml.orm.locations.database import DatabaseStore
from simpleml.orm.locations.tables import DATABASE_TABLE
from simpleml.types import Reference

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.backends.client import Servers
from tests.backends.databases import fresh
from tests.benchmarks.bench_save import report, timed

ROUNDS = 3
BLOCK = 100_000
_TYPES = ["DOUBLE PRECISION"] * 4 + ["BIGINT"] * 3 + ["TEXT", "TIMESTAMP", "BOOLEAN"]


def frame_of(rows: int) -> pd.DataFrame:
    """Four columns of floats, three of whole numbers, one each of text, moments and truth values."""
    random = np.random.default_rng(0)
    words = np.array([f"text number {number}" for number in range(5000)], dtype=object)
    return pd.DataFrame(
        {
            **{f"f{number}": random.normal(size=rows) for number in range(4)},
            **{f"i{number}": random.integers(0, 10**9, rows) for number in range(3)},
            "text": pd.Series(random.choice(words, rows), dtype="str"),
            "moment": pd.date_range("2020-01-01", periods=rows, freq="s"),
            "flag": random.random(rows) < 0.5,
        }
    )


class Bench:
    """One database with its floors."""

    def __init__(self, url: str, folder: Path, rows: int) -> None:
        self.database: Database = simpleml.connect(url, store=folder / "store", home=folder / "home")
        self.frame = frame_of(rows)
        self.count = 0
        self.kind = self.database.url.get_backend_name()
        store = self.database.places.store("database")
        assert isinstance(store, DatabaseStore)
        self.store = store

    def save(self) -> Reference:
        """Save the frame, with another value in it each time: equal ones would be stored once."""
        self.count += 1
        self.frame.iloc[0, 0] = self.count
        return DATABASE_TABLE.save(self.frame, self.database.places)

    def load(self, reference: Reference) -> object:
        """Load it, with its digest compared, from the table itself."""
        return DATABASE_TABLE.load({**reference, "store": "database"}, self.database.places)

    def raw_write(self) -> None:
        """The bulk path alone, in one transaction: no digest, no order, no types but the plain ones."""
        with self.database.engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS raw"))
            columns = ", ".join(f"{name} {kind}" for name, kind in zip(self.frame, _TYPES, strict=True))
            connection.exec_driver_sql(f"CREATE TABLE raw ({columns})")
            self._fill(connection)

    def _fill(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        if self.kind == "postgresql":
            text = io.BytesIO()
            csv.write_csv(table, text, csv.WriteOptions(include_header=False))
            with driver.cursor().copy("COPY raw FROM STDIN (FORMAT csv)") as copy:
                copy.write(text.getbuffer())
            return
        mark = "?" if self.kind == "sqlite" else "%s"
        statement = f"INSERT INTO raw VALUES ({', '.join([mark] * 10)})"
        for start in range(0, len(self.frame), BLOCK):
            part = table.slice(start, BLOCK)
            moments = part.column("moment").cast(pa.timestamp("us")).cast(pa.string())
            part = part.set_column(8, "moment", moments).set_column(9, "flag", part.column("flag").cast(pa.int8()))
            lists = [column.to_numpy().tolist() for column in part.columns]
            cursor = driver.cursor()
            cursor.executemany(statement, list(zip(*lists, strict=True)))

    def raw_read(self) -> None:
        """All rows, and a frame of them."""
        with self.database.engine.begin() as connection:
            driver: Any = connection.connection.driver_connection
            if self.kind == "postgresql":
                with driver.cursor().copy("COPY raw TO STDOUT (FORMAT csv)") as copy:
                    csv.read_csv(
                        pa.py_buffer(b"".join(copy)), csv.ReadOptions(column_names=list(self.frame))
                    ).to_pandas()
            else:
                cursor = driver.cursor()
                cursor.execute("SELECT * FROM raw")
                pd.DataFrame(cursor.fetchall(), columns=list(self.frame))

    def to_sql(self) -> None:
        """What pandas offers."""
        with self.database.engine.begin() as connection:
            self.frame.to_sql("pandas_table", connection, index=False, if_exists="replace")

    def read_sql(self) -> None:
        """And for reading."""
        with self.database.engine.begin() as connection:
            pd.read_sql_table("pandas_table", connection)


def pairs(ours: Callable[[], object], floor: Callable[[], object], after: Callable[[object], None]) -> Any:
    """Time two things in turns; `after` cleans up behind ours, untimed."""
    one, other = [], []
    for _ in range(ROUNDS):
        kept: list[object] = []
        one.append(timed(lambda kept=kept: kept.append(ours())))  # type: ignore[misc]
        after(kept[0])
        other.append(timed(floor))
    return one, other


def figures(bench: Bench) -> None:
    """Print the figures of one database."""
    rows = f"{len(bench.frame):,} rows"

    def drop(reference: Any) -> None:
        bench.store.delete(reference["key"])

    bench.raw_write()
    ours, floor = pairs(bench.save, bench.raw_write, drop)
    goal = 1.3 if bench.kind in {"postgresql", "sqlite"} else None
    report(f"frame to a table of {bench.kind}, {rows}, against its raw bulk path", ours, floor, goal)
    slow = timed(bench.to_sql)
    faster = slow / statistics.median(ours)
    wanted = ">= 8" if goal else "none"
    print(
        json.dumps(
            {
                "name": f"pandas.to_sql on {bench.kind}",
                "s": round(slow, 2),
                "times_slower": round(faster, 2),
                "goal": wanted,
            }
        )
    )
    reference = bench.save()
    assert bench.frame.equals(bench.load(reference))
    local = bench.store.remote
    bench.store.remote = False  # the table itself, and not this machine's cache
    ours, floor = pairs(lambda: bench.load(reference), bench.raw_read, lambda _: None)
    report(f"frame from a table of {bench.kind}, {rows}, against its raw bulk path", ours, floor, None)
    bench.store.remote = local
    slow = timed(bench.read_sql)
    print(
        json.dumps(
            {
                "name": f"pandas.read_sql_table on {bench.kind}",
                "s": round(slow, 2),
                "times_slower": round(slow / statistics.median(ours), 2),
            }
        )
    )


def main(names: list[str]) -> None:
    """Run the figures of the databases that are named, or of all."""
    wanted = names or ["sqlite", "postgresql", "mariadb"]
    with ExitStack() as stack, tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        servers = Servers()
        stack.callback(servers.close)
        for name in wanted:
            folder = Path(temporary) / name
            folder.mkdir()
            url = (
                f"sqlite:///{folder / 'bench.db'}"
                if name == "sqlite"
                else stack.enter_context(fresh(servers.url(name)))
            )
            figures(Bench(url, folder, 100_000 if name == "mariadb" else 1_000_000))
            simpleml.disconnect()


if __name__ == "__main__":
    main(sys.argv[1:])
