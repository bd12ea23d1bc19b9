"""Giving back the pages of a mapped file after they were read, and never any other memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from simpleml.hashing.digester import digester
from simpleml.save_patterns.locations.mapping import VerifiedFiles, let_go, map_file
from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.save_patterns.protocols import Buffer

SIZE = 8 * 1024 * 1024 + 123


def _mapped(folder: Path, data: bytes) -> Buffer:
    file = folder / "file"
    file.write_bytes(data)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        digest = digest_of(digester().update(data).hexdigest())
        return map_file(descriptor, len(data), digest, VerifiedFiles(), durable=False)[0]
    finally:
        os.close(descriptor)


def _of_files() -> int:
    """Return how many bytes of files are in the memory of this process."""
    told = Path("/proc/self/status").read_text()
    return int(told.split("RssFile:")[1].split()[0]) * 1024


@pytest.mark.parametrize("bounds", [(0, SIZE), (1, SIZE - 1), (4095, 4097), (5, 5), (0, 1)])
def test_what_was_let_go_is_read_again(tmp_path: Path, bounds: tuple[int, int]) -> None:
    """Whatever range is given back, page or not, the memory shows the same bytes afterwards."""
    data = os.urandom(SIZE)
    view = _mapped(tmp_path, data)
    assert bytes(view) == data
    let_go(view, *bounds)
    assert bytes(view) == data


def test_the_memory_is_given_back(tmp_path: Path) -> None:
    """After it, the pages no longer count for this process; without it, they do."""
    view = _mapped(tmp_path, os.urandom(SIZE))
    before = _of_files()
    sum(memoryview(view)[:: mmap.PAGESIZE])
    assert _of_files() - before > SIZE // 2
    let_go(view, 0, SIZE)
    assert _of_files() - before < SIZE // 2


def test_memory_of_our_own_is_left_alone() -> None:
    """What no file stands behind would come back as zeros: it is not touched."""
    data = os.urandom(SIZE)
    own = private_memory(SIZE)
    own[:] = data
    let_go(own, 0, SIZE)
    assert bytes(own) == data
    let_go(bytearray(data), 0, SIZE)


def test_a_part_of_a_mapping_is_left_alone(tmp_path: Path) -> None:
    """Of a slice nobody knows where in the file it lies; what was written beside it stays."""
    view = memoryview(_mapped(tmp_path, os.urandom(SIZE)))
    view[:4096] = b"w" * 4096
    let_go(view[4096:], 0, SIZE - 4096)
    assert bytes(view[:4096]) == b"w" * 4096
