"""BLAKE3 on several cores, also after a fork.

The threads of BLAKE3's pool do not live on in a forked child, which would wait for them for ever. So a child of a process
that used them digests on one core.
"""

from __future__ import annotations

import os

from blake3 import blake3

_started = False
_threads = blake3.AUTO


def digester() -> blake3:
    """Return a new BLAKE3 hasher that digests long input on as many cores as this process may use."""
    global _started
    _started = True
    return blake3(max_threads=_threads)


def _after_fork() -> None:
    global _threads
    if _started:
        _threads = 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
