"""`python -m tests.backends.keeper [--durable] KIND...`: own servers for as long as whoever started this lives.

Spoken in JSON lines. First one line out: `{"urls": {kind: url}, "folder": ...}` or `{"error": ...}`. Then, per line in,
`{"do": "start" | "stop" | "kill", "kind": kind}`, one line out: `{}` or `{"error": ...}`. `{"do": "quit"}`, the end of
the input, a signal, or the death of the parent (even by SIGKILL) ends the servers and removes the folder.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from tests.backends.azurite import Azurite
from tests.backends.client import BackendError
from tests.backends.daemon import Daemon, make_folder
from tests.backends.mariadb import MariaDB
from tests.backends.openssh import OpenSSH
from tests.backends.postgres import Postgres
from tests.backends.swift import Swift

KINDS: dict[str, type[Daemon]] = {
    "postgresql": Postgres,
    "mariadb": MariaDB,
    "s3": Swift,
    "azure": Azurite,
    "sftp": OpenSSH,
}


def main(arguments: list[str]) -> int:
    """Start the servers, serve commands, and leave nothing behind."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    os.umask(0o022)  # `nobody` has to read what root puts there; folders of data are made private by hand
    parent = os.getppid()
    durable = "--durable" in arguments
    kinds = [each for each in arguments if each != "--durable"]
    daemons: dict[str, Daemon] = {}
    folder: Path | None = None
    try:
        folder = make_folder()
        for kind in kinds:
            (folder / kind).mkdir(mode=0o711)
            daemons[kind] = KINDS[kind](folder / kind, durable=durable)
        _start(daemons)
        _say({"urls": {kind: daemon.url for kind, daemon in daemons.items()}, "folder": str(folder)})
        for line in _lines(parent):
            order = json.loads(line)
            if order["do"] == "quit":
                break
            _say(_obey(daemons[order["kind"]], order["do"]))
    except (BackendError, OSError) as error:
        _say({"error": str(error)})
        return 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for daemon in daemons.values():
            daemon.kill()  # the data goes with it, so there is nothing that good order would save
        if folder is not None:
            _remove(folder)
    return 0


def _start(daemons: dict[str, Daemon]) -> None:
    """Prepare side by side; launch from this thread, for a server dies with the thread that launched it."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(daemon.prepare) for daemon in daemons.values()]:
            done.result()
    for daemon in daemons.values():
        daemon.launch()
    for daemon in daemons.values():
        daemon.wait_ready()


def _obey(daemon: Daemon, verb: str) -> dict[str, str]:
    try:
        {"start": daemon.start, "stop": daemon.stop, "kill": daemon.kill}[verb]()
    except BackendError as error:
        return {"error": str(error)}
    return {}


def _lines(parent: int) -> Iterator[bytes]:
    """Yield lines of the input until it ends or the parent is gone (a forked child of it may hold the pipe open)."""
    buffer = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], 0.5)[0]:
            continue
        block = os.read(0, 65536)
        if not block:
            return
        *lines, buffer = (buffer + block).split(b"\n")
        yield from lines


def _say(what: Mapping[str, object]) -> None:
    try:
        print(json.dumps(what), flush=True)
    except BrokenPipeError:  # nobody listens any more: the loop is about to see that
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _remove(folder: Path) -> None:
    """Remove the folder, also while a dying process of the tests still writes into it."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
