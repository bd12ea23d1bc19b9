"""One server as a child process: prepared once, then started, stopped and killed as often as a test likes."""

from __future__ import annotations

import abc
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.backends.client import BackendError

PATIENCE = 120.0
"""Seconds that a server may take to start or stop; a busy machine with two cores takes three."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def nobody() -> tuple[int, int] | None:
    """Return the user and group that servers run as: for root those of `nobody`, else `None`: our own."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid


def identity(owner: tuple[int, int] | None) -> tuple[int | None, int | None, tuple[int, ...] | None]:
    """Return the arguments `user`, `group` and `extra_groups` of `Popen` that make a process the `owner`'s, if given."""
    return (None, None, None) if owner is None else (*owner, ())


def make_folder() -> Path:
    """Return a new folder that `nobody` can pass through, below the first temporary folder where that is so."""
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        path = parent.resolve()
        if nobody() and not all(each.stat().st_mode & 0o001 for each in (path, *path.parents)):
            continue
        folder = Path(tempfile.mkdtemp(prefix="simpleml-tests-", dir=path))
        folder.chmod(0o711)
        return folder
    raise BackendError(
        "no temporary folder can be reached by the user `nobody`, whom servers run as: set TMPDIR to one"
    )


def copy_tree(source: Path, target: Path) -> None:
    """Copy `source` so that every user can read it; needed where the original lies below a folder that is root's own."""
    ignore = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")
    shutil.copytree(source, target, symlinks=True, ignore=ignore, copy_function=_place)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir() and not path.is_symlink())):
        folder.chmod(0o755)


def _place(source: str, target: str) -> None:
    """Put one file there, as a second name of the same file where that is possible, which costs nothing."""
    mode = os.stat(source).st_mode & 0o777
    readable = mode | (0o555 if mode & 0o100 else 0o444)
    if mode == readable:
        with suppress(OSError):  # another file system
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    os.chmod(target, readable)


class Daemon(abc.ABC):
    """A server that listens on 127.0.0.1 only, behind a random password, and dies with this process.

    `durable` servers survive `kill` with every acknowledged commit on disk; others may lose it and are faster.
    The port stays the same over every stop and start, so `url` does too.
    """

    title: str
    scheme: str
    database: str
    stop_signal: signal.Signals
    demoted = True
    """Whether it runs as `nobody` when root starts it; then whatever it reads must be readable for everyone."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.durable = durable
        self.port = free_port()
        self.user = "simpleml"
        self.password = secrets.token_hex(16)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """The user and group that the server runs as, if they are not our own."""
        return nobody() if self.demoted else None

    @property
    def url(self) -> str:
        """What `client.VARIABLES` says of the kind; of a database, its first one, for a user who may do everything."""
        return f"{self.scheme}://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.database}"

    @abc.abstractmethod
    def prepare(self) -> None:
        """Find the binaries and make the data folder."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Say whether the server takes connections."""

    def environment(self) -> dict[str, str]:
        """Return the variables the server runs with."""
        return {**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def make_own(self, *paths: Path) -> None:
        """Make folders that belong to the user the server runs as, and to nobody else."""
        for path in paths:
            path.mkdir(mode=0o700, parents=True)
            if self.owner:
                os.chown(path, *self.owner)

    def run(self, command: Sequence[str], *, stdin: bytes = b"") -> None:
        """Run a command as the server's user; its output is part of the error if it fails."""
        user, group, extra = identity(self.owner)
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=self.environment(),
            cwd=self.folder,
            check=False,
            user=user,
            group=group,
            extra_groups=extra,
        )
        if done.returncode:
            output = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
            raise BackendError(f"{self.title}: {Path(command[0]).name} ended with status {done.returncode}:\n{output}")

    def launch(self) -> None:
        """Start the server and return at once. Call it from the main thread: the server dies with the thread."""
        if self.process is not None and self.process.poll() is None:
            raise BackendError(f"{self.title} runs already (process {self.process.pid}): stop or kill it first")
        user, group, extra = identity(self.owner)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
                cwd=self.data,
                preexec_fn=_die_with_parent,
                user=user,
                group=group,
                extra_groups=extra,
            )

    def wait_ready(self) -> None:
        """Return when the server takes connections; raise with the end of its log if it ends before."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self.process.poll() is not None:
                raise BackendError(
                    f"{self.title} ended with status {self.process.returncode} while starting:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise BackendError(f"{self.title} took no connection within {PATIENCE:.0f} s:\n{self.log_tail()}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start the server and return when it takes connections."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """Shut the server down in good order; open connections are closed. Nothing happens if it does not run."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End every process of the server with SIGKILL, as a crash of the machine's power would not but `kill -9` does."""
        self._end(signal.SIGKILL)

    def log_tail(self) -> str:
        """Return the end of what the server said."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else "(it logged nothing)"

    def _end(self, how: signal.Signals) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        main = psutil.Process(self.process.pid)
        family = [main, *main.children(recursive=True)]
        if how is signal.SIGKILL:
            main.suspend()  # it must not see its children die and clean up after them
            family = [main, *main.children(recursive=True)]
            for each in reversed(family):
                _kill(each)
        else:
            self.process.send_signal(how)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            for each in family:
                _kill(each)
            self.process.wait(PATIENCE)
        wait_ended(family[1:], PATIENCE)


def wait_ended(processes: Iterable[psutil.Process], patience: float) -> list[psutil.Process]:
    """Return when all have ended, or those that have not after `patience` seconds.

    An ended one may be a zombie for a minute until the machine's first process takes note; that is no matter of ours.
    """
    deadline = time.monotonic() + patience
    left = list(processes)
    while (left := [each for each in left if not _has_ended(each)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def first_executable(candidates: Iterable[Path]) -> Path | None:
    """Return the first of `candidates` that can be executed."""
    return next((each for each in candidates if os.access(each, os.X_OK)), None)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent is gone: the last resort, if the keeper itself is killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
