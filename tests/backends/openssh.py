"""OpenSSH: the system's `sshd`, or Debian's package unpacked into the user's cache; SFTP only, keys of its own."""

from __future__ import annotations

import asyncio
import importlib
import os
import pwd
import shutil
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.backends.client import BackendError
from tests.backends.daemon import Daemon, copy_tree, first_executable, nobody
from tests.backends.debian import unpacked

ADVICE = "Install OpenSSH's server, or set SIMPLEML_TEST_SFTP_URL to a running one."


class OpenSSH(Daemon):
    """An SFTP server of its own in `folder`, for the very user it runs as: that takes no rights and no account.

    It gives no shell, forwards nothing, and lets in whoever has the key that was made with it.
    """

    title = "OpenSSH"
    stop_signal = signal.SIGTERM

    @property
    def owner(self) -> tuple[int, int] | None:
        """For root another user than the other servers have."""
        return None if nobody() is None else (_account().pw_uid, _account().pw_gid)

    @property
    def url(self) -> str:
        """The folder that is to be used, with the files of the user's key and of the server's in the query."""
        query = f"client_keys={quote(str(self.key))}&known_hosts={quote(str(self.known_hosts))}&temporary=1"
        return f"sftp://{quote(self.user)}@127.0.0.1:{self.port}{quote(str(self.files))}?{query}"

    def prepare(self) -> None:
        """Find or fetch the binaries and make the keys of both sides."""
        self.user = _account().pw_name
        self.prefix = self._prefix()
        self.files = self.data / "files"
        self.key = self.folder / "client_key"
        self.known_hosts = self.folder / "known_hosts"
        self.make_own(self.data, self.files)
        asyncssh = importlib.import_module("asyncssh")
        ours, servers = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        line = servers.export_public_key().decode().strip()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {line}\n")
        self._write(self.key, ours.export_private_key())
        for name, text in {
            "host_key": servers.export_private_key(),
            "authorized_keys": ours.export_public_key(),
            "sshd_config": self._configuration().encode(),
        }.items():
            self._write(self.data / name, text)
            if self.owner:
                os.chown(self.data / name, *self.owner)

    def command(self) -> list[str]:
        """Run `sshd` in the foreground; it has to be named by its whole path, for it starts itself anew."""
        return [str(self.binary), "-D", "-e", "-f", str(self.data / "sshd_config")]

    def is_ready(self) -> bool:
        """Log in and list a folder, as the tests are about to."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                if not probe.recv(8).startswith(b"SSH-2.0-"):
                    return False
        except OSError:
            return False
        asyncssh = importlib.import_module("asyncssh")
        try:
            asyncio.run(self._list(asyncssh))
        except (OSError, asyncssh.Error) as error:
            raise BackendError(f"{self.title} runs, but refuses its own key: {error}\n{self.log_tail()}") from error
        return True

    def environment(self) -> dict[str, str]:
        """Let unpacked binaries find the libraries that lie beside them."""
        libraries = [
            str(path) for pattern in ("usr/lib/*-linux-gnu", "lib/*-linux-gnu") for path in self.prefix.glob(pattern)
        ]
        inherited = super().environment()
        return inherited if self.prefix == Path("/") else {**inherited, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}

    async def _list(self, asyncssh: Any) -> None:
        login = {"username": self.user, "client_keys": [str(self.key)], "known_hosts": str(self.known_hosts)}
        options = {"config": None, "agent_path": None, "login_timeout": 20}
        async with (
            asyncssh.connect("127.0.0.1", self.port, **login, **options) as connection,
            connection.start_sftp_client() as client,
        ):
            await client.listdir(str(self.files))

    def _configuration(self) -> str:
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.data / "host_key",
            "AuthorizedKeysFile": self.data / "authorized_keys",
            "PidFile": "none",
            "StrictModes": "no",  # it would mind that the temporary folder is everybody's
            "UsePAM": "no",
            "AuthenticationMethods": "publickey",
            "AllowUsers": self.user,
            "ForceCommand": "internal-sftp",
            "Subsystem": "sftp internal-sftp",
            "DisableForwarding": "yes",
            "PermitTTY": "no",
            "PrintMotd": "no",
            "UseDNS": "no",
            "LogLevel": "INFO",
            "MaxStartups": 1000,
            "MaxSessions": 100,
        }
        # From 9.8 on the server is several programs, at a place that was fixed when they were built.
        parts = self.prefix / "usr/lib/openssh"
        if (parts / "sshd-session").exists():
            settings |= {"SshdSessionPath": parts / "sshd-session", "PerSourcePenalties": "no"}
        if (parts / "sshd-auth").exists():
            settings |= {"SshdAuthPath": parts / "sshd-auth"}
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _prefix(self) -> Path:
        """Return the folder that stands for `/`: the system's own root if it has the server, else the unpacked one."""
        on_path = shutil.which("sshd")
        if found := first_executable([Path("/usr/sbin/sshd"), *([Path(on_path)] if on_path else [])]):
            self.binary = found
            return Path("/")
        prefix = unpacked("openssh-server", probe=("usr/sbin/sshd", "-V"), answer="OpenSSH_", advice=ADVICE)
        if nobody():
            own = self.folder / "install"
            for part in ("usr/lib", "usr/sbin", "lib"):
                if (prefix / part).exists():
                    copy_tree(prefix / part, own / part)
            prefix = own
        self.binary = prefix / "usr/sbin/sshd"
        return prefix

    def _write(self, path: Path, text: bytes) -> None:
        path.touch(mode=0o600)
        path.write_bytes(text)


def _account() -> pwd.struct_passwd:
    """Return the user that the server runs as, and therefore lets in.

    For root that is `daemon`, which every Linux has: systemd says of `nobody` (and of root) that the account is locked.
    """
    try:
        return pwd.getpwuid(os.geteuid()) if nobody() is None else pwd.getpwnam("daemon")
    except KeyError as error:
        raise BackendError(f"OpenSSH lets in a user with a name, and there is none here ({error}). {ADVICE}") from error
