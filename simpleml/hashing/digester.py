"""BLAKE3 on several cores, also after a fork.

The threads of BLAKE3's pool do not live on in a forked child, which would wait for them for ever. So a child of a process
that used them digests on one core.
"""

from __future__ import annotations

import os

from blake3 import blake3

_LONG = 1024 * 1024
_started = False
_threads = blake3.AUTO


def digester(piece: int = _LONG) -> blake3:
    """Return a new BLAKE3 hasher that digests long input on as many cores as this process may use.

    `piece` is how many bytes it is given at a time: waking other threads for a few hundred kilobytes takes longer than they save.
    """
    global _started
    if piece < _LONG:
        return blake3()
    _started = True
    return blake3(max_threads=_threads)


def _after_fork() -> None:
    global _threads
    if _started:
        _threads = 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
