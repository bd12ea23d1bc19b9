"""A machine of its own for a process: a network namespace that reaches chosen servers, or nothing at all.

A namespace has a loopback of its own. Connections to a port of it are carried by a Unix socket, which any namespace can
reach, to the same port of the loopback outside; without relays the cable is cut.

usage: python -m tests.backends.relays SOCKETS PORT,PORT,… COMMAND…     (inside the namespace; see `machine`)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

_UP = 0x1 | 0x40  # IFF_UP, IFF_RUNNING
_SET_FLAGS = 0x8914  # SIOCSIFFLAGS


def isolation() -> list[str]:
    """Return the command that runs another one in a network namespace of its own; empty where that is not allowed."""
    unshare = shutil.which("unshare")
    for options in ([], ["--user", "--map-current-user"]):
        command = [unshare or "unshare", *options, "--net", "--"]
        if unshare and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return []


def machine(folder: Path, ports: Sequence[int], command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` on a machine of its own, which reaches only these ports (by `relayed`)."""
    wanted = ",".join(map(str, ports)) or "-"
    return [*isolation(), sys.executable, "-m", "tests.backends.relays", str(folder), wanted, *command]


@contextmanager
def relayed(folder: Path, ports: Sequence[int]) -> Iterator[None]:
    """Carry what comes to the Unix socket of each port in `folder` to that port of this machine's loopback."""
    with ExitStack() as stack:
        for port in ports:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(folder / str(port)))
            listener.listen(64)
            _serve(listener, partial(socket.create_connection, ("127.0.0.1", port)))
        yield


def _serve(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    def accept() -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = listener.accept()
                threading.Thread(target=_join, args=(near, connect), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _join(near: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Carry both directions of a connection until both are over."""
    with near, suppress(OSError), connect() as far:
        back = threading.Thread(target=_carry, args=(far, near), daemon=True)
        back.start()
        _carry(near, far)
        back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh", b"lo", _UP))


def main() -> int:
    """Give this namespace a loopback and the relays, and run the command."""
    folder, ports, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if isolation():  # then we are inside
        _raise_loopback()
        for port in [] if ports == "-" else map(int, ports.split(",")):
            listener = socket.create_server(("127.0.0.1", port))

            def connect(port: int = port) -> socket.socket:
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(folder / str(port)))
                return far

            _serve(listener, connect)
    return subprocess.run(command, env=os.environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
