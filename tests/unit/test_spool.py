"""Spools: what they count, digest and write is one and the same."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from simpleml.save_patterns.locations.spool import Spool

BLOCK = 4 * 1024 * 1024
SIZES = [0, 1, 256 * 1024, 256 * 1024 + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 5]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [0, 7, 300_000])
def test_every_byte_is_written_and_digested_once(tmp_path: Path, size: int, before: int) -> None:
    """Whatever the sizes of the pieces: below the buffer's, above it, of a block, and of blocks and a rest."""
    data = np.random.default_rng(size).bytes(before + size)
    spool = Spool(tmp_path)
    spool.write(data[:before])
    assert spool.write(np.frombuffer(data[before:], "u1").data) == size
    path, _ = spool.materialize()
    assert path.read_bytes() == data
    assert spool.size == len(data)
    assert spool.digest == f"blake3:{blake3(data).hexdigest()}"
    spool.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("elements", [100_000, 1_500_000])
def test_an_array_that_changes_while_it_is_saved_gives_a_whole_object(tmp_path: Path, elements: int) -> None:
    """Training may go on in another thread: what is digested is what is written, whichever moment that shows."""
    values = np.zeros(elements)
    ended = threading.Event()

    def train() -> None:
        while not ended.is_set():
            np.add(values, 1, out=values)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        seen = set()
        for _ in range(20):
            spool = Spool(tmp_path)
            spool.write(values.data)
            path, _ = spool.materialize()
            assert spool.digest == f"blake3:{blake3(path.read_bytes()).hexdigest()}"
            seen.add(spool.digest)
            spool.close()
    finally:
        ended.set()
        thread.join()
    assert len(seen) > 1, "nothing changed, so nothing was shown"


def test_a_disk_that_fills_while_the_next_block_is_digested_stops_the_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure of the thread that writes is the write's, and comes before anything is said to be taken."""

    def full(descriptor: int, view: memoryview) -> None:
        raise OSError(28, "No space left on device")

    spool = Spool(tmp_path)
    spool.materialize()
    monkeypatch.setattr("simpleml.save_patterns.locations.spool.write_all", full)
    with pytest.raises(OSError, match="No space left"):
        spool.write(bytes(3 * BLOCK))
    spool.close()
    assert not list(tmp_path.iterdir())
