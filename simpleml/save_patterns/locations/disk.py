"""This machine's disk: folders and files that outlast a power cut, and what its failures mean for a store."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

from simpleml.errors import StoreCredentialsError, StoreError, StoreFullError, StoreReadOnlyError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What an operating system says when there is no space, or none for this user, or not for so big a file."""

_NO_FOLDER = {errno.ENOTDIR, errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG}
_READS = {"read", "list"}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


def start_flushing(descriptor: int) -> None:
    """Let the system begin to write the file to the medium, where it can be told to, and do not wait for it."""
    if sys.platform == "linux":
        with suppress(OSError):  # it only saves time
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def flush_file(descriptor: int) -> None:
    """Return once the file is on the medium itself; an error is final, for asking again may be answered wrongly.

    On macOS a file system that has no call for the medium (a network's) is asked for the usual one, as it was not tried yet.
    """
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in {errno.ENOTSUP, errno.EINVAL}:
                raise
    os.fsync(descriptor)


def flush_folder(folder: Path) -> None:
    """Return once the names in `folder` are on the medium, where folders can be flushed at all.

    Windows has no such call and keeps names in its journal; some file systems have none either (autofs, squashfs, sysfs).
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        flush_file(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make `folder` and whatever is missing above it (0700), durably.

    Every name above it is flushed, also of folders that were there: another process may have made one an instant ago and
    not come to flush it.
    """
    above = folder.absolute().parents
    for path in reversed([path for path in above if not path.exists()]):  # `parents=True` would give them other rights
        path.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in above:
        try:
            flush_folder(path)
        except PermissionError:  # not ours to write, so nobody of us made what is in it
            return


def store_error(error: OSError, action: str, name: str, where: str) -> StoreError:
    """Return the error of our tree for a failure of the operating system while doing `action` in a store."""
    kind: type[StoreError] = StoreError
    advice = "What was saved before is unharmed."
    if action in {"prepare", "write"}:
        advice = f"The save did not happen. {advice}"
    if error.errno in FULL:
        kind = StoreFullError
        advice = "Free some space (`simpleml gc` removes what nothing refers to) and save again; nothing half-written is kept."
    elif error.errno in _FORBIDDEN:
        kind, right = (StoreCredentialsError, "read") if action in _READS else (StoreReadOnlyError, "write")
        advice = (
            f'Give this user the right to {right} there, or name another place: [stores] {name} = "…" in simpleml.toml.'
        )
    elif error.errno in _NO_FOLDER:
        advice = f'See that this is a folder, or name another place: [stores] {name} = "…" in simpleml.toml. {advice}'
    raised = kind(f"cannot {action} in the store {name!r} ({where}): {error.strerror or error}. {advice}")
    raised.errno = error.errno
    return raised
