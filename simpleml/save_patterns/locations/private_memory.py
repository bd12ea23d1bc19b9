"""`private_memory`: memory for the bytes of an object."""

from __future__ import annotations

import mmap
from contextlib import suppress

_SMALL = 1024 * 1024  # below this a bytearray; above, anonymous pages that are filled as they are read


def private_memory(size: int) -> memoryview:
    """Return `size` bytes of zeroed memory of our own, writable, in large pages where the system has them."""
    if size < _SMALL:
        return memoryview(bytearray(size))
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return memoryview(bytearray(size))
    pages = mmap.mmap(
        -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )  # the default flags mean shared memory: slow
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A kernel without large pages says no; that is only slower.
        with suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)
