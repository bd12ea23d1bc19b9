"""The most memory of a process that saves, and of one that loads, one big object through every kind of place.

Run: python tests/benchmarks/bench_memory.py [--size=MEGABYTES] [place …]; 400 by default, the goal is meant for 2000. Prints one
JSON line for each figure: the peak of a process of its own, with the interpreter and all libraries, less the object's size.
Places are those of `PLACES`; `memory://` is not among them, for it keeps what it was given in the very process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import simpleml
from simpleml import Artifact, Persistable
from simpleml.orm import Database
from tests.backends import places
from tests.backends.client import Servers
from tests.backends.databases import fresh

BEYOND = 200_000_000
STORES = ("s3", "azure", "sftp")
DATABASES = ("sqlite", "postgresql", "mariadb")
PLACES = (
    "local",
    *STORES,
    *(f"database_{database}" for database in DATABASES),
    *(f"table_{database}" for database in DATABASES),
)


class Holder(Persistable):
    """Holds one value."""

    data: Artifact[object] = Artifact()


@contextmanager
def settings(place: str, servers: Servers, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the save pattern for a place, and what `connect` is given to reach it."""
    given: dict[str, Any] = {"url": f"sqlite:///{folder / 'bench.db'}", "store": str(folder / "store")}
    with ExitStack() as stack:
        if place in STORES:
            root = stack.enter_context(places.root(place, servers.url(place)))
            at = stack.enter_context(places.fresh(root))
            yield "cloud_pickled", {**given, "stores": {"cloud": {"url": at.url, **at.options}}}
            return
        kind, _, database = place.partition("_")
        if database in DATABASES[1:]:
            given["url"] = stack.enter_context(fresh(servers.url(database)))
        yield {"local": "pickled", "database": "database_pickled", "table": "database_table"}[kind], given


def measure(place: str, size: int, servers: Servers, folder: Path) -> None:
    """Print the peaks of a process that saves to a place, and of another, whose cache is empty, that loads from there."""
    with settings(place, servers, folder) as (pattern, given):
        connected({**given, "home": str(folder / "first")}).close()  # a new schema is not what is measured
        for what in ("save", "load"):
            order = {**given, "home": str(folder / what), "what": what, "pattern": pattern, "size": size}
            done = subprocess.run(
                [sys.executable, __file__, "--inside"],
                input=json.dumps(order),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env={**os.environ, "TMPDIR": str(folder)},
            )
            told = json.loads(done.stdout)
            beyond = told["peak"] - told["object"]
            figure = {
                "name": f"memory to {what} {told['object'] / 1e6:.0f} MB, {place}",
                "mb_beyond_the_object": round(beyond / 1e6),
                "mb_of_the_interpreter": round(told["before"] / 1e6),
                "met": beyond <= BEYOND,
                "goal": f"<= {BEYOND / 1e6:.0f} MB",
            }
            print(json.dumps(figure), flush=True)


def connected(given: dict[str, Any]) -> Database:
    """Open the database that is given, and make it the current one."""
    return simpleml.connect(given["url"], **{name: value for name, value in given.items() if name != "url"})


def inside(order: dict[str, Any]) -> dict[str, int]:
    """Save or load, in a process of its own; return its peak, what it took before, and the size of the object."""
    what, pattern, size = order.pop("what"), order.pop("pattern"), order.pop("size")
    connected(order)
    if what == "save":
        value = _frame(size) if pattern == "database_table" else np.random.default_rng(0).random(size // 8)
        taken = _size(value)
        reset()
        before = resident("VmRSS") - taken
        Holder(name="n", data=value, save_patterns={"data": [pattern]}).save()
        return {"peak": resident("VmHWM"), "before": before, "object": taken}
    if pattern == "database_table":
        import pandas as pd  # noqa: F401 - a part of the interpreter's share
    reset()
    before = resident("VmRSS")
    value = Holder.load(name="n").data
    return {"peak": resident("VmHWM"), "before": before, "object": _size(value)}


def _frame(size: int) -> Any:
    """Return a frame of numbers, moments, truth values and text, of about this many bytes."""
    import pandas as pd
    import pyarrow as pa

    rows = size // 80
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"f{number}": random.random(rows) for number in range(5)}
    columns |= {f"i{number}": random.integers(0, 10**9, rows) for number in range(2)}
    columns |= {"moment": pd.date_range("2020-01-01", periods=rows, freq="s"), "flag": columns["f0"] < 0.5}
    # In pieces and without a Python object of each: arrow and the interpreter would keep more than the frame has.
    pieces = (columns["i0"][start : start + 2**16] // 10**5 for start in range(0, rows, 2**16))
    text = pa.chunked_array([pa.array(piece).cast(pa.large_string()) for piece in pieces]).combine_chunks()
    columns["text"] = pd.Series(pd.array(text, dtype="str"))
    return pd.DataFrame(columns)


def _size(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return int(value.memory_usage(deep=True).sum())


def reset() -> None:
    """Give back what is not used, and let the peak begin anew."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if (pa := sys.modules.get("pyarrow")) is not None:  # importing it would count as ours
        pa.default_memory_pool().release_unused()
    Path("/proc/self/clear_refs").write_text("5")


def resident(name: str) -> int:
    """Return a figure of this process's memory in bytes: `VmRSS` now, `VmHWM` at its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def main(arguments: list[str]) -> None:
    """Measure the places that are named, or all."""
    sizes = [argument for argument in arguments if argument.startswith("--size=")]
    size = int(sizes[-1].partition("=")[2]) if sizes else 400
    names = [argument for argument in arguments if argument not in sizes]
    if unknown := set(names).difference(PLACES):
        sys.exit(f"no such place: {', '.join(sorted(unknown))}; there are {', '.join(PLACES)}")
    servers = Servers()
    try:
        for place in names or PLACES:
            with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
                measure(place, size * 1_000_000, servers, Path(folder))
    finally:
        servers.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(inside(json.load(sys.stdin))))
    else:
        main(sys.argv[1:])
