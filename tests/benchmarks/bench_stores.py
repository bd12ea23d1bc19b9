"""Stores against the least that moves the same bytes: a raw copy with digest on disk, the best raw client on S3.

Run: python tests/benchmarks/bench_stores.py [name …]. Prints one JSON line for each figure. The two sides of a ratio are
measured in turns, in the same run; a ratio is the median of the pairs, and above 1 means slower than the floor.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import uuid4

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import simpleml
from simpleml import Artifact, Persistable
from simpleml.hashing.digester import digester
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.protocols import Store
from simpleml.save_patterns.serializers.numpy import NUMPY
from simpleml.save_patterns.stream import Stream
from tests.backends import places
from tests.backends.client import Servers
from tests.backends.places import Place

BLOCK = 4 * 1024 * 1024
LOCAL = 1_000_000_000
LARGE = 200_000_000
SMALL = 4096
MANY = 1000
ROUNDS = 5  # in which they are moved
LEDGER = "0" * 12

Work = Callable[[], object]


class Holder(Persistable):
    """Holds one value."""

    data: Artifact[object] = Artifact()


class Times(NamedTuple):
    """Seconds by the clock, and seconds of this process's processors, of each round of each side."""

    clock: dict[str, list[float]]
    cpu: dict[str, list[float]]


def timed(work: Work) -> tuple[float, float]:
    """Return the seconds that `work` took, by the clock and of this process's processors."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def in_turns(
    ours: Work, floors: Mapping[str, Work], rounds: int, *, between: Work = lambda: None, best: int = 2
) -> Times:
    """Time our side and the `best` of the floors in turns, each round beginning with another side.

    A first round, which warms everything up and does not count, finds out which of the floors those are.
    """
    ours()
    fastest = sorted(floors, key=lambda name: timed(floors[name])[0]) if len(floors) > best else list(floors)
    sides = {"ours": ours, **{name: floors[name] for name in fastest[:best]}}
    times = Times({name: [] for name in sides}, {name: [] for name in sides})
    order = list(sides)
    for _ in range(rounds):
        for name in order:
            between()
            clock, cpu = timed(sides[name])
            times.clock[name].append(clock)
            times.cpu[name].append(cpu)
        order.append(order.pop(0))
    return times


def report(name: str, times: Times, goal: str, amount: float, unit: str) -> None:
    """Print one figure: `ours` against the fastest of the others; `amount` is what one round moved."""
    medians = {side: statistics.median(each) for side, each in times.clock.items()}
    floor = min((side for side in medians if side != "ours"), key=lambda side: medians[side])
    pairs = [ours / raw for ours, raw in zip(times.clock["ours"], times.clock[floor], strict=True)]
    figure = {
        "name": name,
        "floor": floor,
        "ratio": round(statistics.median(pairs), 3),
        "ratio_low": round(min(pairs), 3),
        "ratio_high": round(max(pairs), 3),
        unit: {side: round(amount / median, 1) for side, median in medians.items()},
        "cpu_s": {side: round(statistics.median(each), 3) for side, each in times.cpu.items()},
        "goal": goal,
    }
    print(json.dumps(figure), flush=True)


def put(store: Store, blocks: Iterator[memoryview] | list[Any]) -> tuple[str, str]:
    """Spool the blocks and put them; return key and digest."""

    def write(spool: Spool) -> None:
        for block in blocks:
            spool.write(block)

    return _put(store, write)


def put_array(store: Store, values: np.ndarray) -> tuple[str, str]:
    """Put an array as the save pattern of its format does; return key and digest."""

    def write(spool: Spool) -> None:
        NUMPY.dump(values, cast("Any", Stream(spool.write, spool.lend)))

    return _put(store, write)


def _put(store: Store, write: Callable[[Spool], None]) -> tuple[str, str]:
    spool = store.spool()
    try:
        write(spool)
        digest = spool.digest
        key = make_key(LEDGER, digest, uuid4().hex)
        store.put(spool, key)
    finally:
        spool.close()
    return key, digest


# local disk


def read_blocks(path: Path) -> Iterator[memoryview]:
    """Yield a file in blocks; each is valid until the next."""
    block = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(block):
            yield block[:length]


def raw_copy(source: Path, folder: Path) -> str:
    """Copy with digest, durably: blocks, fsync of the file and of its folder."""
    hasher = digester()
    target = folder / uuid4().hex
    with target.open("wb", buffering=0) as file:
        for block in read_blocks(source):
            hasher.update(block)
            file.write(block)
        os.fsync(file.fileno())
    flush(folder)
    target.unlink()
    return hasher.hexdigest()


def flush(folder: Path) -> None:
    """Flush the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def raw_read(source: Path) -> str:
    """Read into new memory with digest."""
    hasher = digester()
    memory = np.empty(source.stat().st_size, np.uint8)
    view, done = memory.data, 0
    with source.open("rb", buffering=0) as file:
        while length := file.readinto(view[done : done + BLOCK]):
            hasher.update(view[done : done + length])
            done += length
    return hasher.hexdigest()


def local(folder: Path) -> None:
    """1 GB to and from local disk, against a raw copy with digest."""
    source = folder / "source"
    numbers = np.random.default_rng(0).random(LOCAL // 8)
    source.write_bytes(numbers.data)
    store = open_store("mine", str(folder / "store"), {}, spool=folder / "spool")

    def to_disk() -> None:
        key, _ = put(store, read_blocks(source))
        store.delete(key)

    def download(key: str) -> None:
        target = folder / "target"
        with target.open("wb+", buffering=0) as file:
            store.download(key, LOCAL, file.fileno())
            os.fsync(file.fileno())
        flush(folder)
        target.unlink()

    calm = os.sync
    goal = "<= 1.25"
    copy: dict[str, Work] = {"copy": lambda: raw_copy(source, folder)}
    report("1 GB to local disk", in_turns(to_disk, copy, 5, between=calm), goal, LOCAL / 1e6, "mb_per_s")
    key, _ = put(store, read_blocks(source))
    times = in_turns(lambda: download(key), copy, 5, between=calm)
    report("1 GB from local disk to a file", times, goal, LOCAL / 1e6, "mb_per_s")
    times = in_turns(lambda: store.read(key, LOCAL), {"read": lambda: raw_read(source)}, 5, between=calm)
    report("1 GB from local disk to memory", times, goal, LOCAL / 1e6, "mb_per_s")
    store.delete(key)
    whole_local(folder, numbers, source)


def whole_local(folder: Path, numbers: np.ndarray, source: Path) -> None:
    """The same by `save()`, which also takes the hash of the values, and by `load()`."""
    database = simpleml.connect(folder / "bench.db", store=folder / "saved", home=folder / "home")
    objects = database.places.store("default")

    def save() -> None:
        numbers[0] += 1
        Holder(name="n", data=numbers).save()

    def remove() -> None:
        for prefix in (path.name for path in (folder / "saved").glob("objects-*")):
            for key in objects.keys(prefix):
                objects.delete(key)
        os.sync()

    times = in_turns(save, {"copy": lambda: raw_copy(source, folder)}, 3, between=remove)
    report("1 GB by save() with its hash", times, "none", LOCAL / 1e6, "mb_per_s")
    remove()
    save()
    times = in_turns(lambda: Holder.load(name="n").data, {"read": lambda: raw_read(source)}, 3)
    report("1 GB by load()", times, "none", LOCAL / 1e6, "mb_per_s")


# S3


@contextmanager
def s3_place() -> Iterator[Place]:
    """A new bucket on a real server: the given one, else Swift."""
    servers = Servers()
    try:
        with places.root("s3", servers.url("s3")) as place:
            yield place
    finally:
        servers.close()


class Raw:
    """The raw clients, each told what it is told in its own documentation to be fast."""

    def __init__(self, place: Place) -> None:
        import s3fs
        from obstore.store import S3Store

        self.bucket = place.url.removeprefix("s3://")
        self.s3fs = s3fs.S3FileSystem(**place.options, use_listings_cache=False, skip_instance_cache=True)
        self.obstore = S3Store(
            self.bucket,
            endpoint=place.options["endpoint_url"],
            access_key_id=place.options["key"],
            secret_access_key=place.options["secret"],
            region=place.options["client_kwargs"]["region_name"],
            client_options={"allow_http": True},
        )
        self.names = (f"raw/{number}" for number in count())


def large_puts(raw: Raw, data: bytes | Path, first: Work = lambda: None) -> dict[str, Work]:
    """200 MB to S3 by the raw clients: each with its own default size of parts, and with others; `first` belongs to it."""
    import obstore

    def by_obstore(size: int, at_once: int) -> Work:
        def work() -> None:
            first()
            obstore.put(raw.obstore, next(raw.names), data, chunk_size=size, max_concurrency=at_once)

        return work

    def by_s3fs(size: int) -> Work:
        def work() -> None:
            first()
            send = raw.s3fs.put_file if isinstance(data, Path) else raw.s3fs.pipe_file
            target = f"{raw.bucket}/{next(raw.names)}"
            send(*((str(data), target) if isinstance(data, Path) else (target, data)), chunksize=size)

        return work

    mebibyte = 1024 * 1024
    return {
        "obstore 5 MiB x 12": by_obstore(5 * mebibyte, 12),
        "obstore 8 MiB x 4": by_obstore(8 * mebibyte, 4),
        "obstore 16 MiB x 4": by_obstore(16 * mebibyte, 4),
        "s3fs 50 MiB": by_s3fs(50 * mebibyte),
        "s3fs 16 MiB": by_s3fs(16 * mebibyte),
    }


def large_gets(raw: Raw, name: str) -> dict[str, Work]:
    """200 MB from S3 by the raw clients: in one request, and in ranges at once."""
    import obstore

    step = 8 * 1024 * 1024
    starts = list(range(0, LARGE, step))
    ends = [min(start + step, LARGE) for start in starts]

    def in_ranges() -> bytes:
        with ThreadPoolExecutor(4) as pool:
            return b"".join(
                pool.map(
                    lambda pair: obstore.get_range(raw.obstore, name, start=pair[0], end=pair[1]),
                    zip(starts, ends, strict=True),
                )
            )

    return {
        "obstore": lambda: obstore.get(raw.obstore, name).bytes(),
        "obstore ranges": in_ranges,
        "s3fs": lambda: raw.s3fs.cat_file(f"{raw.bucket}/{name}"),
    }


def small_puts(raw: Raw, pieces: list[bytes], threads: int) -> dict[str, Work]:
    """1,000 small objects to S3 by the raw clients: by a pool of threads, and at once by their own loops."""
    import obstore

    def by_threads() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda data: obstore.put(raw.obstore, next(raw.names), data), pieces))

    async def at_once() -> None:
        turn = asyncio.Semaphore(threads)

        async def one(name: str, data: bytes) -> None:
            async with turn:
                await obstore.put_async(raw.obstore, name, data)

        await asyncio.gather(*(one(next(raw.names), data) for data in pieces))

    def by_s3fs() -> None:
        raw.s3fs.pipe({f"{raw.bucket}/{next(raw.names)}": data for data in pieces}, batch_size=threads)

    return {"obstore threads": by_threads, "obstore async": lambda: asyncio.run(at_once()), "s3fs": by_s3fs}


def small_gets(raw: Raw, names: list[str], threads: int) -> dict[str, Work]:
    """The same from S3."""
    import obstore

    def by_threads() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda name: obstore.get(raw.obstore, name).bytes(), names))

    async def at_once() -> None:
        turn = asyncio.Semaphore(threads)

        async def one(name: str) -> Any:
            async with turn:
                return await (await obstore.get_async(raw.obstore, name)).bytes_async()

        await asyncio.gather(*map(one, names))

    def by_s3fs() -> None:
        raw.s3fs.cat([f"{raw.bucket}/{name}" for name in names], batch_size=threads)

    return {"obstore threads": by_threads, "obstore async": lambda: asyncio.run(at_once()), "s3fs": by_s3fs}


GOAL_S3 = "<= 1.11"  # 0.9 of the best raw client's throughput


def s3_large(folder: Path) -> None:
    """200 MB to and from S3, against the fastest of the raw clients."""
    values = np.random.default_rng(0).random(LARGE // 8)
    data = values.tobytes()
    with s3_place() as place:
        store = open_store("mine", place.url, place.options, spool=folder / "spool")
        raw = Raw(place)
        times = in_turns(lambda: put_array(store, values), large_puts(raw, data), 9)
        report("200 MB to S3", times, GOAL_S3, LARGE / 1e6, "mb_per_s")
        spooled = folder / "spooled"

        def spool() -> None:
            digester().update(data)
            spooled.write_bytes(data)

        times = in_turns(lambda: put_array(store, values), large_puts(raw, spooled, spool), 5)
        report("200 MB to S3, the raw clients from a file with digest as well", times, "none", LARGE / 1e6, "mb_per_s")
        key, _ = put(store, [data])
        times = in_turns(lambda: store.read(key, LARGE), large_gets(raw, key), 7)
        report("200 MB from S3", times, GOAL_S3, LARGE / 1e6, "mb_per_s")
        whole_s3_large(folder, place, raw, np.frombuffer(data).copy())


def whole_s3_large(folder: Path, place: Place, raw: Raw, numbers: np.ndarray) -> None:
    """The same by `save()`, which also takes the hash of the values, and by `load()` with an empty cache."""
    connect(folder, place)

    def save() -> None:
        numbers[0] += 1
        Holder(name="n", data=numbers, save_patterns={"data": ["cloud_pickled"]}).save()

    times = in_turns(save, large_puts(raw, numbers.tobytes()), 3, best=1)
    report("200 MB to S3 by save()", times, "none", LARGE / 1e6, "mb_per_s")
    name = next(raw.names)
    raw.s3fs.pipe_file(f"{raw.bucket}/{name}", numbers.tobytes())

    def load() -> None:
        clear(folder / "home")
        _ = Holder.load(name="n").data

    times = in_turns(load, large_gets(raw, name), 3, best=1)
    report("200 MB from S3 by load(), cache empty", times, "none", LARGE / 1e6, "mb_per_s")


def clear(home: Path) -> None:
    """Empty the cache of a home."""
    for path in (home / "cache" / "objects" / "objects").glob("*/*"):
        with suppress(OSError):
            path.unlink()


def connect(folder: Path, place: Place, **settings: Any) -> Any:
    """Open a database whose cloud is a place."""
    cloud = {"url": f"{place.url}/{uuid4().hex[:8]}", **place.options}
    return simpleml.connect(folder / "bench.db", home=folder / "home", stores={"cloud": cloud}, **settings)


def s3_small(folder: Path) -> None:
    """1,000 objects of 4 KiB to and from S3, by pools of 8 and of 16 threads, against the fastest of the raw clients."""
    generator = np.random.default_rng(0)
    pieces = [generator.bytes(SMALL) for _ in range(MANY // ROUNDS)]
    with s3_place() as place:
        store = open_store("mine", place.url, place.options, spool=folder / "spool")
        raw = Raw(place)
        for threads in (8, 16):
            with ThreadPoolExecutor(threads) as pool:

                def to_s3(pool: ThreadPoolExecutor = pool) -> list[str]:
                    return [key for key, _ in pool.map(lambda data: put(store, [data]), pieces)]

                keys = to_s3()

                def from_s3(pool: ThreadPoolExecutor = pool, keys: list[str] = keys) -> None:
                    list(pool.map(lambda key: store.read(key, SMALL), keys))

                for title, ours, raws in (
                    ("to", to_s3, small_puts(raw, pieces, threads)),
                    ("from", from_s3, small_gets(raw, keys, threads)),
                ):
                    title = f"{MANY} small objects {title} S3, {threads} at once"
                    report(title, in_turns(ours, raws, ROUNDS), GOAL_S3, len(pieces), "per_s")
        whole_s3_small(folder, place, raw)


def whole_s3_small(folder: Path, place: Place, raw: Raw) -> None:
    """Small objects by `save()` and `load()`: with a record each, on SQLite."""
    generator = np.random.default_rng(1)
    many = 100
    database = connect(folder, place)
    pieces = [generator.bytes(SMALL) for _ in range(many)]
    names = [next(raw.names) for _ in pieces]
    raw.s3fs.pipe({f"{raw.bucket}/{name}": data for name, data in zip(names, pieces, strict=True)})

    def save(number: int) -> None:
        values = {"data": ["cloud_bytes"]}
        Holder(name=f"n{number}", data=generator.bytes(SMALL), save_patterns=values).save()

    def load(number: int) -> None:
        _ = Holder.load(name=f"n{number}").data

    with ThreadPoolExecutor(8) as pool, database:

        def to_s3() -> None:
            list(pool.map(save, range(many)))

        def from_s3() -> None:
            clear(folder / "home")
            list(pool.map(load, range(many)))

        times = in_turns(to_s3, small_puts(raw, pieces, 8), 3, best=1)
        report("small objects to S3 by save(), 8 at once", times, "none", many, "per_s")
        times = in_turns(from_s3, small_gets(raw, names, 8), 3, best=1)
        report("small objects from S3 by load(), cache empty, 8 at once", times, "none", many, "per_s")


# space


def space(folder: Path) -> None:
    """What ten saves of the same 200 MB take, on local disk without chunks and on S3."""
    numbers = np.random.default_rng(0).random(LARGE // 8)
    with s3_place() as place:
        place = place.below("space")
        cloud = {"url": place.url, **place.options}
        with simpleml.connect(
            folder / "bench.db", store=folder / "store", home=folder / "home", stores={"cloud": cloud}
        ):
            for title, pattern, stored in (
                ("local disk", "pickled", lambda: on_disk(folder / "store")),
                ("S3", "cloud_pickled", lambda: on_s3(place)),
            ):
                taken = []
                for _ in range(10):
                    Holder(name=pattern, data=numbers, save_patterns={"data": [pattern]}).save()
                    taken.append(stored())
                figure = {
                    "name": f"ten saves of the same 200 MB on {title}, against one",
                    "ratio": round(taken[-1] / taken[0], 4),
                    "against_the_object": round(taken[-1] / numbers.nbytes, 4),
                    "goal": "<= 1.01",
                }
                print(json.dumps(figure), flush=True)


def on_disk(root: Path) -> int:
    """Return how much of the disk everything below a folder takes."""
    return sum(path.stat().st_blocks * 512 for path in root.rglob("*"))


def on_s3(place: Place) -> int:
    """Return how many bytes the objects in a bucket have, and its uploads that are not completed: there must be none."""
    bucket = place.url.removeprefix("s3://").partition("/")[0]
    client = places.s3_client(place)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    sizes = [each["Size"] for page in pages for each in page.get("Contents", [])]
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    client.close()
    return sum(sizes)


FIGURES = {"local": local, "s3_large": s3_large, "s3_small": s3_small, "space": space}


def main(names: list[str]) -> None:
    """Run the figures that are named, or all."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        for name in names or FIGURES:
            folder = Path(temporary) / name
            folder.mkdir()
            FIGURES[name](folder)
            simpleml.disconnect()


if __name__ == "__main__":
    main(sys.argv[1:])
