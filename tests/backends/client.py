"""The side of the tests: start a keeper, learn its URLs, tell it to stop, start or kill a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

DATABASES = {"postgresql": "SIMPLEML_TEST_POSTGRESQL_URL", "mariadb": "SIMPLEML_TEST_MARIADB_URL"}
"""Kind of database server → variable with the SQLAlchemy URL of a running one, whose user may create databases."""

STORES = {"s3": "SIMPLEML_TEST_S3_URL", "azure": "SIMPLEML_TEST_AZURE_URL", "sftp": "SIMPLEML_TEST_SFTP_URL"}
"""Kind of storage server → variable with the URL of a running one, as `places` says, where folders may be made."""

VARIABLES = {**DATABASES, **STORES}


ENVIRONMENT = dict(os.environ)
"""As it was when this was imported: tests replace HOME, but where MariaDB was unpacked is below the user's own."""


class BackendError(RuntimeError):
    """A server cannot be had; the message says why and what to do."""


class Keeper(AbstractContextManager["Keeper"]):
    """A process that owns servers of some kinds; it starts at once, and `urls` waits until they are ready.

    It ends with `close()`, or by itself when this process dies, however that happens.
    """

    def __init__(self, *kinds: str, durable: bool = False, python: str = sys.executable) -> None:
        self.kinds = kinds
        self._urls: dict[str, str] | None = None
        self._folder = ""
        self._process = subprocess.Popen(
            [python, "-m", "tests.backends.keeper", *(["--durable"] if durable else []), *kinds],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt from the keyboard is for us; the keeper follows
        )

    @property
    def urls(self) -> dict[str, str]:
        """Kind → SQLAlchemy URL, once every server takes connections."""
        if self._urls is None:
            answer = self._answer()
            self._urls, self._folder = answer["urls"], answer["folder"]
        return self._urls

    @property
    def folder(self) -> Path:
        """The temporary folder of the servers: it goes with the keeper, and so does what others put there."""
        _ = self.urls  # known with them
        return Path(self._folder)

    def order(self, verb: str, kind: str) -> None:
        """Have one server started, stopped or killed, and return when that is done."""
        _ = self.urls  # its first answer comes before that to any order
        self._tell({"do": verb, "kind": kind})
        self._answer()

    def close(self) -> None:
        """End the servers and remove their folder; calling it again does nothing."""
        if self._process.returncode is not None:
            return
        self._tell({"do": "quit"})  # the pipe's end alone is not enough: a forked child may hold it
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is gone already
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the servers."""
        self.close()

    def _tell(self, what: dict[str, str]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it is gone already; whoever waits for an answer hears of it

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BackendError(f"the keeper of {', '.join(self.kinds)} ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BackendError(answer["error"])
        return answer


class Server:
    """One server of one kind, all for one test, which may stop, kill and start it."""

    def __init__(self, kind: str, *, durable: bool = True) -> None:
        self.kind = kind
        self._keeper = Keeper(kind, durable=durable)

    @property
    def url(self) -> str:
        """The SQLAlchemy URL; it stays the same over every stop and start."""
        return self._keeper.urls[self.kind]

    def start(self) -> None:
        """Start the server again and return when it takes connections."""
        self._keeper.order("start", self.kind)

    def stop(self) -> None:
        """Shut the server down in good order; open connections are closed."""
        self._keeper.order("stop", self.kind)

    def kill(self) -> None:
        """End all of its processes with SIGKILL."""
        self._keeper.order("kill", self.kind)

    def close(self) -> None:
        """End the server for good and remove its data."""
        self._keeper.close()


class Servers:
    """The servers that a whole test session shares: given by URL in the environment, else started at first use."""

    def __init__(self) -> None:
        self._keepers: dict[str, Keeper] = {}

    def url(self, kind: str) -> str:
        """Return the URL of a server of `kind`, whose user may create databases."""
        if given := os.environ.get(VARIABLES[kind]):
            return given
        if kind not in self._keepers:
            self._keepers[kind] = Keeper(kind)
        return self._keepers[kind].urls[kind]

    def close(self) -> None:
        """End what was started here."""
        for keeper in self._keepers.values():
            keeper.close()
