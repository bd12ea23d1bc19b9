"""A thread that goes on training while an array is saved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def training(values: np.ndarray[Any, Any]) -> Iterator[None]:
    """Add one to all of an array, again and again, in another thread, until the end of the block."""
    ended = threading.Event()

    def train() -> None:
        while not ended.is_set():
            np.add(values, 1, out=values)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
