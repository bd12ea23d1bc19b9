"""Save and load against their floors: the raw library calls that move the same bytes just as durably.

Run: python tests/benchmarks/bench_save.py [name …]. Prints one JSON line for each figure; a ratio is the median of pairs that
were measured in turns, in the same run.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import numpy as np
from blake3 import blake3
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import simpleml
from simpleml import Artifact, Persistable


class Holder(Persistable):
    """Holds one value."""

    data: Artifact[object] = Artifact()


def report(name: str, ours: list[float], floor: list[float], goal: float | None, **more: object) -> None:
    """Print one figure."""
    pairs = [a / b for a, b in zip(ours, floor, strict=True)]
    figure = {
        "name": name,
        "ours_s": round(statistics.median(ours), 6),
        "floor_s": round(statistics.median(floor), 6),
        "ratio": round(statistics.median(ours) / statistics.median(floor), 3),
        "ratio_low": round(min(pairs), 3),
        "ratio_high": round(max(pairs), 3),
        "goal": f"<= {goal}" if goal else "none",
        **more,
    }
    print(json.dumps(figure), flush=True)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(ours: Callable[[], object], floor: Callable[[], object], times: int) -> tuple[list[float], list[float]]:
    """Time two things in turns, so that a machine that changes its pace changes both."""
    ours()
    floor()
    a, b = [], []
    for _ in range(times):
        a.append(timed(ours))
        b.append(timed(floor))
    return a, b


def fsync_folder(folder: Path) -> None:
    """Flush the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


class Floor:
    """The least that a durable save needs: a file, its name, and one row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "floor"
        self.folder.mkdir()
        self.file = folder / "floor.db"
        self.connection = sqlite3.connect(self.file, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE records (name TEXT, version INTEGER, path TEXT, digest TEXT)")
        self.version = 0

    def save(self, value: object) -> None:
        """Pickle with a digest, fsync, rename, fsync of the folder, one durable commit."""
        part = self.folder / f"{uuid.uuid4().hex}.part"
        data = cloudpickle.dumps(value, protocol=5)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._commit(part, blake3(data).hexdigest())

    def save_large(self, value: object) -> None:
        """The same, streamed: pickle protocol 5 into the file, digest over it, fsync."""
        part = self.folder / f"{uuid.uuid4().hex}.part"
        hasher = blake3(max_threads=blake3.AUTO)
        with part.open("wb") as file:
            pickle.dump(value, file, protocol=5)
            file.flush()
            os.fsync(file.fileno())
        hasher.update_mmap(str(part))
        self._commit(part, hasher.hexdigest())

    def _commit(self, part: Path, digest: str) -> None:
        final = part.with_suffix("")
        part.rename(final)
        fsync_folder(self.folder)
        self.version += 1
        self.connection.execute("INSERT INTO records VALUES ('n', ?, ?, ?)", (self.version, str(final), digest))

    def load(self) -> object:
        """Read the row, check the digest, unpickle."""
        path, digest = self.connection.execute(
            "SELECT path, digest FROM records ORDER BY version DESC LIMIT 1"
        ).fetchone()
        hasher = blake3(max_threads=blake3.AUTO)
        hasher.update_mmap(path)
        assert hasher.hexdigest() == digest
        with open(path, "rb") as file:
            return pickle.load(file)


def small_estimator(folder: Path) -> None:
    """Save and load of a fitted logistic regression."""
    from simpleml.models import SklearnModel

    x, y = load_breast_cancer(return_X_y=True)
    fitted = LogisticRegression(max_iter=5000).fit(x, y)
    floor = Floor(folder)
    count = iter(range(10**6))

    def changed() -> LogisticRegression:
        other = copy.deepcopy(fitted)
        other.intercept_[0] = next(count)  # other bytes each time: nothing is reused
        return other

    models = [SklearnModel(changed(), name="small") for _ in range(60)]
    plain = [changed() for _ in range(60)]
    a, b = in_turns(lambda: models.pop().save(), lambda: floor.save(plain.pop()), 50)
    report("small estimator, save", a, b, 3)
    a, b = in_turns(lambda: SklearnModel.load(name="small").external_model, floor.load, 40)
    report("small estimator, load in the same process", a, b, None)
    a, b = in_turns(lambda: _fresh(folder, OURS), lambda: _fresh(folder, FLOOR), 5)
    report("small estimator, load in a fresh process (whole process)", a, b, 3)


OURS = """
import simpleml, sys
simpleml.connect(sys.argv[1] + "/bench.db", store=sys.argv[1] + "/store")
simpleml.load("model", name="small").external_model
"""

FLOOR = """
import sqlite3, pickle, sys
path = sqlite3.connect(sys.argv[1] + "/floor.db").execute("SELECT path FROM records ORDER BY version DESC LIMIT 1").fetchone()[0]
with open(path, "rb") as file:
    pickle.load(file)
"""


def _fresh(folder: Path, code: str) -> None:
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def large_arrays(folder: Path) -> None:
    """Save and load of a model that is 200 MB of arrays."""
    floor = Floor(folder)
    generator = np.random.default_rng(0)
    value = {"weights": generator.random(20_000_000), "bias": generator.random(5_000_000)}

    def ours() -> None:
        value["bias"][0] += 1
        Holder(name="large", data=value).save()

    def theirs() -> None:
        value["bias"][0] += 1
        floor.save_large(value)

    a, b = in_turns(ours, theirs, 7)
    report("200 MB of arrays, save", a, b, 1.3)
    a, b = in_turns(lambda: Holder.load(name="large").data, floor.load, 7)
    report("200 MB of arrays, load", a, b, 1.2)


def many_records(folder: Path) -> None:
    """The time of one save and of one load by name with 10 and with 100,000 records in the database."""
    figures: dict[str, list[float]] = {}
    size = 10
    for wanted in (10, 100_000):
        with simpleml.orm.open_database(folder / f"many{wanted}.db", store=folder / "many") as database:
            for index in range(10):
                Holder(name=f"n{index}", data=index).save()
            if wanted > size:
                _fill(folder / f"many{wanted}.db", wanted)
            database.close()
    databases = {
        wanted: simpleml.orm.open_database(folder / f"many{wanted}.db", store=folder / "many")
        for wanted in (10, 100_000)
    }
    for index in range(41):
        for wanted, database in databases.items():
            with database:
                save = timed(lambda index=index, wanted=wanted: Holder(name="n5", data=[index, wanted]).save())
                load = timed(lambda: Holder.load(name="n5").data)
            if index:
                figures.setdefault(f"save{wanted}", []).append(save)
                figures.setdefault(f"load{wanted}", []).append(load)
    report("save with 100,000 records, against 10", figures["save100000"], figures["save10"], 1.3)
    report("load by name with 100,000 records, against 10", figures["load100000"], figures["load10"], 1.3)


def _fill(file: Path, wanted: int) -> None:
    """Multiply the rows that are there, by plain SQL."""
    connection = sqlite3.connect(file)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(persistables)")]
    template = connection.execute("SELECT * FROM persistables WHERE name = 'n0'").fetchone()
    rows, blobs, refs = [], [], []
    for index in range(wanted):
        row = dict(zip(columns, template, strict=True))
        digest = hashlib.sha256(str(index).encode()).hexdigest()
        key = f"objects-000000000000/{digest[:2]}/{digest[:32]}-{uuid.uuid4().hex}"
        row.update(id=uuid.uuid4().hex, name=f"m{index % 1000}", version=index // 1000 + 1, hash=f"1:{digest}")
        rows.append(tuple(row.values()))
        blobs.append((key, f"blake3:{digest}", 10, "default", "live", 1, 0.0))
        refs.append((row["id"], key))
    connection.executemany(f"INSERT INTO persistables VALUES ({','.join('?' * len(columns))})", rows)
    connection.executemany(
        "INSERT INTO blobs (key, digest, size, store, state, refs, lease_until) VALUES (?,?,?,?,?,?,?)", blobs
    )
    connection.executemany("INSERT INTO blob_refs (record, key) VALUES (?,?)", refs)
    connection.execute("ANALYZE")
    connection.commit()
    connection.close()


def imports(folder: Path) -> None:
    """`import simpleml` and touching two names, against `import sqlalchemy.orm`."""
    ours = "import simpleml; simpleml.Persistable; simpleml.connect"
    a, b = in_turns(lambda: _fresh(folder, ours), lambda: _fresh(folder, "import sqlalchemy.orm"), 9)
    c, d = in_turns(lambda: _fresh(folder, "pass"), lambda: _fresh(folder, "pass"), 5)
    empty = statistics.median(c + d)
    report(
        "import and touch, against sqlalchemy.orm",
        [t - empty for t in a],
        [t - empty for t in b],
        1.8,
        note="without the start of Python",
    )


FIGURES = {"small": small_estimator, "large": large_arrays, "many": many_records, "imports": imports}


def main(names: list[str]) -> None:
    """Run the figures that are named, or all."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        folder = Path(temporary)
        os.environ["SIMPLEML_HOME"] = str(folder / "home")
        for name in names or FIGURES:
            place = folder / name
            place.mkdir()
            simpleml.connect(place / "bench.db", store=place / "store")
            FIGURES[name](place)
            simpleml.disconnect()


if __name__ == "__main__":
    main(sys.argv[1:])
