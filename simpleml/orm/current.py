"""`Current`: which one of several a thread works with: that of the innermost block, else the default of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

from simpleml.errors import TransactionError

T = TypeVar("T")


class Current(Generic[T]):
    """The blocks that each context is in, and the default; safe for threads. One for the life of the process."""

    def __init__(self, name: str) -> None:
        self._blocks: ContextVar[tuple[T, ...]] = ContextVar(name, default=())
        self._default: T | None = None
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it

    def get(self, make: Callable[[], T]) -> T:
        """Return the current one; `make` gives the default where there is none yet."""
        blocks = self._blocks.get()
        if blocks:
            return blocks[-1]
        if self._default is None:
            with self._lock:
                if self._default is None:
                    self._default = make()
        return self._default

    def adopt(self, default: T) -> None:
        """Make this one the default."""
        with self._lock:
            self._default = default

    def drop(self) -> T | None:
        """Return the default, which is none any more."""
        with self._lock:
            dropped, self._default = self._default, None
        return dropped

    def push(self, one: T) -> None:
        """Enter a block of this one."""
        self._blocks.set((*self._blocks.get(), one))

    def pop(self, one: T) -> None:
        """Leave the innermost block, which must be that of this one."""
        blocks = self._blocks.get()
        if not blocks or blocks[-1] is not one:
            raise TransactionError(f"the block of {one!r} is left out of order")
        self._blocks.set(blocks[:-1])
