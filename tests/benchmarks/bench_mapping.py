"""Loading without copies, and the cache of this machine, against plain reads and plain BLAKE3 of the same files.

Run: python tests/benchmarks/bench_mapping.py. Prints one JSON line for each figure; times are the best of several rounds that
were measured in turns, in the same run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from blake3 import blake3

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simpleml.save_patterns.fetching import Fetcher
from simpleml.save_patterns.locations.cache import Cache
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.serializers.numpy import NUMPY

SIZE = 1_000_000_000
ROUNDS = 5


class FarStore(LocalStore):
    """A folder that is read as if it were behind a network."""

    remote = True


def seconds(*functions: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the best time of each, measured in turns, so that a busy machine is busy for all."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for place, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[place] = min(best[place], time.perf_counter() - start)
    return best


def report(name: str, ours: float, floor: float | None, goal: str, **more: object) -> None:
    """Print one figure."""
    figure: dict[str, object] = {"name": name, "ours_s": round(ours, 6)}
    if floor is not None:
        figure |= {"floor_s": round(floor, 6), "ratio": round(ours / floor, 3)}
    print(json.dumps({**figure, **more, "goal": goal}), flush=True)


def stored(store: LocalStore, size: int) -> tuple[str, int, str]:
    """Put an array of `size` bytes of random numbers and return the key, the size and the digest of its object."""
    spool = store.spool()
    try:
        block = np.random.default_rng(size).integers(0, 256, min(size, 100_000_000), np.uint8)
        NUMPY.dump(np.resize(block, size), spool)  # type: ignore[arg-type]
        key = make_key("0" * 12, spool.digest, f"{size:032x}")
        store.put(spool, key)
        return key, spool.size, spool.digest
    finally:
        spool.close()


def plain(path: Path) -> str:
    """BLAKE3's own digest of a mapped file, on all cores."""
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    return hasher.hexdigest()


def read_and_digest(path: Path) -> str:
    """Read a whole file, then digest it."""
    return blake3(path.read_bytes(), max_threads=blake3.AUTO).hexdigest()


def bench_mapping(folder: Path) -> None:
    """One artifact of 1 GB, mapped for the first time (which verifies it) and from the second time on."""
    store = LocalStore("local", folder / "store")
    key, size, digest = stored(store, SIZE)
    cache = Cache(folder / "cache", 4 * SIZE)

    def first() -> object:
        (folder / "cache" / "verified").unlink(missing_ok=True)
        return again(Fetcher(cache=Cache(folder / "cache", 4 * SIZE)))

    def again(fetcher: Fetcher) -> object:
        return NUMPY.load(fetcher.fetch(store, key, size, digest, mmap=True), format=1, details={})

    def copied() -> object:
        return NUMPY.load(Fetcher(cache).fetch(store, key, size, digest), format=1, details={})

    path = store.root / key
    plain(path)
    ours, floor, copy, whole = seconds(first, lambda: plain(path), copied, lambda: read_and_digest(path))
    report("1 GB, mapped, first time / blake3 of the file", ours, floor, "none", gigabytes_a_second=round(1 / ours, 2))
    report("1 GB, read into memory / read + blake3", copy, whole, "none")
    first()
    (second,) = seconds(lambda: again(Fetcher(Cache(folder / "cache", 4 * SIZE))), rounds=20)
    report("1 GB, mapped, second time, from another cache object", second, None, "ours_s <= 0.05")
    path.unlink()


def bench_cache(folder: Path) -> None:
    """A hit of the cache, of a small and of a large object, against reading and digesting the file that it lies in."""
    store = FarStore("far", folder / "far")
    for size in (10_000, 200_000_000):
        key, total, digest = stored(store, size)
        fetcher = Fetcher(Cache(folder / "cache", 4 * SIZE), offline=False)
        fetcher.fetch(store, key, total, digest)
        times = range(2000 if size < 1_000_000 else 1)
        path = folder / "cache" / "objects" / digest[7:9] / digest[7:]
        ours, least = seconds(
            lambda: [fetcher.fetch(store, key, total, digest) for _ in times],  # noqa: B023 - called within the round
            lambda: [read_and_digest(path) for _ in times],  # noqa: B023
        )
        report(f"cache hit of {size} bytes / read + blake3", ours / len(times), least / len(times), "none")
        path.unlink()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=os.environ.get("SIMPLEML_BENCH_DIR")) as scratch:
        bench_mapping(Path(scratch))
        bench_cache(Path(scratch))
