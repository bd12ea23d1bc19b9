"""File systems of our own, mounted where nobody else sees them, if this machine allows it (root, on Linux)."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.faults.stages import on_stage

_CLONE_NEWNS, _MS_PRIVATE = 0x20000, 0x44000  # the second: MS_PRIVATE | MS_REC
_IMAGE_BYTES = 64 * 1024 * 1024


def own_mounts() -> None:
    """Give this process (a stage) mounts of its own, which end with it; `OSError` if that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_PRIVATE, None):
        number = ctypes.get_errno()
        raise OSError(number, f"no mounts of our own: {os.strerror(number)}")


def run(*command: str | Path) -> None:
    """Run a command that must succeed; `OSError` with its complaint otherwise."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")


@contextmanager
def mounted(folder: Path, *arguments: str | Path) -> Iterator[Path]:
    """Mount something at `folder` for the block."""
    folder.mkdir(exist_ok=True)
    run("mount", *arguments, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


def make_image(image: Path) -> None:
    """Make an empty ext4 file system in a (sparse) file."""
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-F", "-m", "0", image)


def _try_tmpfs(folder: str) -> bool:
    try:
        own_mounts()
        with mounted(Path(folder) / "mnt", "-t", "tmpfs", "tmpfs"):
            return True
    except OSError:
        return False


def _try_loop(folder: str) -> bool:
    try:
        own_mounts()
        make_image(Path(folder) / "image")
        with mounted(Path(folder) / "mnt", "-o", "loop", Path(folder) / "image"):
            return True
    except OSError:
        return False


@cache
def _allowed(trial) -> bool:
    import tempfile

    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        return bool(on_stage(trial, folder))


def can_mount() -> bool:
    """Whether file systems in memory can be mounted here."""
    return _allowed(_try_tmpfs)


def can_cut() -> bool:
    """Whether a file system in a file can be mounted, and so be cut off."""
    return _allowed(_try_loop)
