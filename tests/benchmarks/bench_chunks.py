"""Artifacts in chunks and folders: what a new version stores, what cutting costs, and how much memory it takes.

Run: python tests/benchmarks/bench_chunks.py [name …]. Prints one JSON line for each figure; the two sides of a ratio are measured
in turns, in the same run. Times against saving in one piece are for information: chunks buy space with time.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import simpleml
from simpleml import Artifact, Persistable
from simpleml.hashing.digester import digester
from simpleml.orm import Database
from simpleml.save_patterns.chunks import cut
from simpleml.save_patterns.folder import Folder

SIZE = 200_000_000


class Holder(Persistable):
    """Holds one value."""

    data: Artifact[object] = Artifact()


def report(name: str, goal: str, **figures: object) -> None:
    """Print one figure."""
    print(json.dumps({"name": name, **figures, "goal": goal}), flush=True)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def opened(folder: Path, *, chunked: bool) -> Database:
    """Open a new database whose store keeps artifacts in chunks, or not."""
    database = simpleml.connect(folder / "bench.db", store=folder / "store", home=folder / "home")
    database.places.store("default").chunked = chunked
    return database


def stored(folder: Path) -> int:
    """Return how many bytes the objects of the store below a folder have."""
    return sum(path.stat().st_size for path in (folder / "store").glob("objects-*/*/*") if path.is_file())


def numbers(count: int = SIZE // 8, seed: int = 0) -> np.ndarray:
    """Return random floats, which do not shrink."""
    return np.random.default_rng(seed).random(count)


def cutting(folder: Path) -> None:
    """Cutting 200 MB, against their digest on one core."""
    data = memoryview(numbers()).cast("B")
    rounds: list[tuple[float, float]] = []
    for _ in range(5):
        ours = timed(lambda: sum(1 for _ in cut(io.BytesIO(data), len(data))))
        rounds.append((ours, timed(lambda: digester().update(data).hexdigest())))
    ours, floor = (min(times) for times in zip(*rounds, strict=True))
    report("cut 200 MB, against their digest", "none", mb_per_s=round(SIZE / ours / 1e6), ratio=round(ours / floor, 2))


def space(folder: Path) -> None:
    """What ten saves of the same, and versions of which 1 % changed, take."""
    opened(folder, chunked=True)
    data = numbers()
    Holder(name="m", data=data).save()
    first = stored(folder)
    for _ in range(9):
        Holder(name="m", data=data).save()
    report("ten saves of the same 200 MB", "<= 1.01", ratio=round(stored(folder) / first, 4))
    for regions in (1, 10):
        changed = data.copy()
        length = len(data) // 100 // regions
        for start in np.random.default_rng(regions).integers(0, len(data) - length, regions):
            changed[start : start + length] = numbers(length, int(start))
        before = stored(folder)
        Holder(name="m", data=changed).save()
        share = (stored(folder) - before) / data.nbytes
        report(f"1 % of 200 MB changed, in {regions} regions", "<= 0.03", new=round(share, 4))


def speed(folder: Path) -> None:
    """First save, save of what is known, and load, in chunks and in one piece."""
    times: dict[str, list[float]] = {}
    for number in range(4):
        data = numbers(seed=number)
        for chunked in (True, False):
            place = folder / ("chunks" if chunked else "whole")
            with opened(place, chunked=chunked):
                name = f"n{number}"
                for what in ("first save", "second save"):
                    times.setdefault(f"{what} {chunked}", []).append(
                        timed(lambda name=name, data=data: Holder(name=name, data=data).save())
                    )
                times.setdefault(f"load {chunked}", []).append(timed(lambda name=name: Holder.load(name=name).data))
            simpleml.disconnect()
    for what in ("first save", "second save", "load"):
        ours, whole = min(times[f"{what} True"]), min(times[f"{what} False"])
        report(f"{what} of 200 MB in chunks, against one piece", "none", s=round(ours, 3), ratio=round(ours / whole, 2))


def memory(folder: Path) -> None:
    """The most memory of a process that saves, and of one that loads, an artifact of 600 MB in chunks."""
    for what in ("save", "load"):
        peak = int(subprocess.run(_itself("memory", what, folder), check=True, capture_output=True, text=True).stdout)
        report(f"memory to {what} 600 MB in chunks, beyond the object", "<= 200 MB", mb=round(peak / 1e6 - 600))


def _memory(what: str, folder: Path) -> None:
    opened(folder, chunked=True)
    if what == "save":
        Holder(name="big", data=numbers(75_000_000)).save()
    else:
        _ = Holder.load(name="big").data
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _itself(*arguments: object) -> list[str]:
    return [sys.executable, __file__, "--inside", *map(str, arguments)]


def folders(folder: Path) -> None:
    """A folder of 200 files: what a version with one changed file takes, and the first and the second load."""
    opened(folder, chunked=False)
    (folder / "model").mkdir()
    for number in range(200):
        (folder / "model" / f"{number}.bin").write_bytes(numbers(12_500, number).tobytes())

    def save() -> None:
        Holder(name="f", data=Folder(folder / "model")).save()

    save()
    before = stored(folder)
    (folder / "model" / "7.bin").write_bytes(numbers(12_500, 777).tobytes())
    save()
    report("one of 200 files changed", "<= 0.02", new=round((stored(folder) - before) / before, 4))
    first, second = (timed(lambda: Holder.load(name="f").data) for _ in range(2))
    report("second load of a folder, against the first", "none", ratio=round(second / first, 3), s=round(second, 4))


FIGURES = {"cutting": cutting, "space": space, "speed": speed, "memory": memory, "folders": folders}


def main(names: list[str]) -> None:
    """Run the figures that are named, or all."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        for name in names or FIGURES:
            place = Path(temporary) / name
            place.mkdir()
            FIGURES[name](place)
            simpleml.disconnect()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _memory(sys.argv[3], Path(sys.argv[4]))
    else:
        main(sys.argv[1:])
