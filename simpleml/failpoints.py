"""Named points before and after each durable step, at which a test can kill the process or make the step fail.

In production `reach` looks at one global that is `None`: nothing can switch it on from outside the process (no
variable, no file). The names are the protocol's own steps, so a test that walks over `NAMES` walks over every step.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = tuple(
    f"{step}.{side}"
    for step in (
        "store.folders",  # once: the folders of a new store, made and flushed, but not marked as ready
        "save.spool",  # 0: the bytes of one artifact, in a private temporary file
        "save.intend",  # T1: the intent row
        "put.fsync",  # 2: the finished file, flushed
        "put.rename",  # 2: under its key
        "put.fsync_folder",  # 2: and its name, flushed
        "save.commit",  # T3: the commit point
        "delete.commit",  # record and references go
        "gc.condemn",  # blobs that nothing refers to
        "gc.remove",  # their bytes
        "gc.forget",  # their rows
        "sweep.remove",  # a key without a row, an old temporary file
    )
    for side in ("before", "after")
)

_hook: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Say that execution reached `name`; does nothing unless a test installed a hook."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """Call `hook(name)` at every failpoint of this process from now on; `None` takes it away."""
    global _hook
    _hook = hook
