"""MariaDB: the system's `mariadbd`, or Debian's package unpacked into the user's cache; nothing is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

from tests.backends.daemon import Daemon, copy_tree, first_executable, nobody
from tests.backends.debian import unpacked

ADVICE = "Install MariaDB's server, or set SIMPLEML_TEST_MARIADB_URL to a running one."

SCHEMA = ("mysql_system_tables.sql", "mysql_system_tables_data.sql", "maria_add_gis_sp_bootstrap.sql")
"""What `mariadb-install-db` feeds to the bootstrap, without the help texts and the sys schema."""


class MariaDB(Daemon):
    """A server of its own in `folder`; 400 connections, utf8mb4, a time zone that is not UTC so that a slip shows."""

    title = "MariaDB"
    scheme = "mysql+pymysql"
    database = "mysql"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        """As every server's, without TLS: PyMySQL would read all of the machine's certificates for each connection."""
        return f"{super().url}?ssl_disabled=true"

    def prepare(self) -> None:
        """Find or fetch the binaries, copy them to where `nobody` can read them, and make the data folder."""
        self.prefix = self._prefix()
        self.make_own(self.data)
        share = self._share()
        script = "create database mysql;\nuse mysql;\n" + "".join(
            (share / name).read_text() for name in SCHEMA if (share / name).exists()
        )
        script += (
            "flush privileges;\n"
            f"create or replace user '{self.user}'@'%' identified by '{self.password}';\n"
            f"grant all privileges on *.* to '{self.user}'@'%' with grant option;\n"
        )
        options = ["--bootstrap", "--log-warnings=0", "--enforce-storage-engine=", "--max-allowed-packet=8M"]
        self.run([*self._base(), *options, "--net-buffer-length=16K"], stdin=script.encode())

    def command(self) -> list[str]:
        """Run `mariadbd` on 127.0.0.1; its socket has a relative name, which is short wherever the folder lies."""
        durability = ["--innodb-flush-log-at-trx-commit=1"]
        if not self.durable:
            durability = [
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
                "--innodb-doublewrite=0",
            ]
        return [
            *self._base(),
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--socket=socket",
            "--pid-file=pid",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--max-connections=400",
            "--character-set-server=utf8mb4",
            "--default-time-zone=+05:45",
            *durability,
        ]

    def is_ready(self) -> bool:
        """Take a connection and see the first packet of the protocol: length, number 0, version 10."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                greeting = probe.recv(5)
                return len(greeting) == 5 and greeting[3:] == b"\x00\x0a"
        except OSError:
            return False

    def environment(self) -> dict[str, str]:
        """Let unpacked binaries find the libraries that lie beside them."""
        libraries = [
            str(path) for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu") for path in self.prefix.glob(pattern)
        ]
        inherited = super().environment()
        return inherited if self.prefix == Path("/") else {**inherited, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}

    def _prefix(self) -> Path:
        """Return the folder that stands for `/`: the system's own root if it has the server, else the unpacked one."""
        on_path = shutil.which("mariadbd")
        places = [Path("/usr/sbin/mariadbd"), Path("/usr/libexec/mariadbd"), Path("/usr/bin/mariadbd")]
        if found := first_executable([*places, *([Path(on_path)] if on_path else [])]):
            self.binary = found
            return Path("/")
        probe = ("usr/sbin/mariadbd", "--no-defaults", "--version")
        prefix = unpacked("mariadb-server-core", probe=probe, answer="Ver ", advice=ADVICE)
        if nobody():
            own = self.folder / "install"
            for part in ("usr/lib", "usr/sbin", "usr/share/mysql", "lib"):
                if (prefix / part).exists():
                    copy_tree(prefix / part, own / part)
            prefix = own
        self.binary = prefix / "usr/sbin/mariadbd"
        return prefix

    def _share(self) -> Path:
        places = (self.prefix / "usr/share/mysql", self.prefix / "usr/share/mariadb")
        return next((place for place in places if (place / SCHEMA[0]).exists()), places[0])

    def _base(self) -> list[str]:
        share = self._share()
        return [
            str(self.binary),
            "--no-defaults",
            f"--basedir={self.prefix / 'usr'}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            f"--plugin-dir={self.prefix / 'usr/lib/mysql/plugin'}",
            f"--datadir={self.data}",
            f"--tmpdir={self.data}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
        ]
