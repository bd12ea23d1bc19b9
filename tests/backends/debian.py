"""A Debian package with what it needs, unpacked into the user's cache: no installation, no rights, no service."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.backends.client import ENVIRONMENT, BackendError

NEVER = frozenset({"libc6", "libcrypt1", "libgcc-s1", "gcc-12-base", "libelogind0"})
"""The C library and its kin: unpacked beside the system's they break every program; elogind stands in for systemd's."""


def cache() -> Path:
    """Return the folder below the user's cache folder, or below the temporary one if that cannot be written."""
    base = ENVIRONMENT.get("XDG_CACHE_HOME") or os.path.join(ENVIRONMENT.get("HOME", "/nonexistent"), ".cache")
    for folder in (Path(base) / "simpleml-tests", Path(tempfile.gettempdir()) / f"simpleml-tests-cache-{os.geteuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if folder.stat().st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise BackendError(f"no cache folder can be written: set XDG_CACHE_HOME or HOME to a place that can (now {base})")


def unpacked(package: str, *, probe: Sequence[str], answer: str, advice: str) -> Path:
    """Return a folder in which `package` and its missing dependencies are unpacked and the command `probe` runs.

    It runs if it says `answer`, whatever its status; a program that lacks a library says nothing of the kind. `advice`
    ends every error: what else can be done.
    """
    target = cache() / f"{package}-{_release()}-{platform.machine()}"
    if answer in _said(target, probe):
        return target
    if not all(shutil.which(tool) for tool in ("apt-get", "apt-cache", "dpkg-query", "dpkg-deb")):
        raise BackendError(f"{package}: the system does not have it, and no apt to fetch it with. {advice}")
    print(f"fetching {package} from Debian into {target}", file=sys.stderr, flush=True)
    work = Path(tempfile.mkdtemp(prefix=f"{package}-", dir=cache()))
    try:
        try:
            root = _fetch(package, work)
        except BackendError as error:
            raise BackendError(f"{error}\n{advice}") from error
        if answer not in (said := _said(root, probe)):
            raise BackendError(
                f"{package}: unpacked from Debian, but `{' '.join(probe)}` does not run:\n{said}\n{advice}"
            )
        if target.exists() and answer not in _said(target, probe):
            shutil.rmtree(target, ignore_errors=True)
        try:
            root.rename(target)
        except OSError:
            if answer not in _said(target, probe):  # else another process was first, which is as good
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _fetch(package: str, work: Path) -> Path:
    """Download with the system's package lists; if they are missing or old, with fresh ones of our own."""
    options = ["-o", f"Dir::Cache={work / 'cache'}", "-o", f"APT::Sandbox::User={_user()}", "-o", "Debug::NoLocking=1"]
    options += ["-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30", "-o", "Acquire::https::Timeout=30"]
    (work / "cache/archives/partial").mkdir(parents=True)
    try:
        _download(package, work, options)
    except BackendError:
        (work / "state/lists/partial").mkdir(parents=True)
        options += ["-o", f"Dir::State={work / 'state'}", "-o", "Dir::State::status=/var/lib/dpkg/status"]
        _run(["apt-get", *options, "-qq", "update"], work)
        _download(package, work, options)
    root = work / "root"
    for archive in sorted((work / "debs").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(root)], work)
    return root


def _download(package: str, work: Path, options: list[str]) -> None:
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    listed = _run(["apt-cache", *options, "depends", "--recurse", *(f"--no-{kind}" for kind in kinds), package], work)
    needed = [line for line in listed.splitlines() if line and line[0].isalnum() and line not in NEVER]
    missing = [name for name in needed if not _installed(name)]
    shutil.rmtree(work / "debs", ignore_errors=True)
    (work / "debs").mkdir()
    _run(["apt-get", *options, "-qq", "download", *missing], work / "debs")


def _installed(package: str) -> bool:
    said = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}\n", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return "installed" in said.stdout.split()


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        raise BackendError(
            f"`{' '.join(command)}` ended with status {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout


def _said(root: Path, probe: Sequence[str]) -> str:
    libraries = [str(path) for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu") for path in root.glob(pattern)]
    try:
        done = subprocess.run(
            [str(root / probe[0]), *probe[1:]],
            env={**ENVIRONMENT, "LD_LIBRARY_PATH": os.pathsep.join(libraries)},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        return str(error)
    return f"{done.returncode}: {done.stdout}{done.stderr}"


def _release() -> str:
    release = platform.freedesktop_os_release()
    return f"{release.get('ID', 'linux')}{release.get('VERSION_ID', '')}"


def _user() -> str:
    """The user apt's own downloads run as: root stays root, for `_apt` cannot write into a private folder."""
    return "root" if os.geteuid() == 0 else ""
