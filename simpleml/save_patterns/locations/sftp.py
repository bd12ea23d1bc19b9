"""`sftp://user@host/folder`: a folder of another machine. A temporary name, flushed where the server can, then renamed."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import uuid4

from simpleml.errors import ConfigurationError, StoreError
from simpleml.save_patterns.locations.filesystem import missing, unreadable, wrong_options
from simpleml.save_patterns.locations.keys import FANOUT
from simpleml.save_patterns.locations.transport import MEBIBYTE, Fault, PartedTransport, Source, Stat, fault_of

_T = TypeVar("_T")

_NAMED_BY = "the options of the store (client_keys, known_hosts, config) or by the user's own ~/.ssh/config"


class SFTPTransport(PartedTransport):
    """Objects as files below a folder that is there; connected by sshfs (asyncssh), to hosts whose keys are known.

    Unknown hosts are refused, as `ssh` does when it cannot ask, unless the option `known_hosts` says otherwise.
    """

    noun = "folder"
    part_size = range_size = 4 * MEBIBYTE  # asyncssh cuts each into messages before it sends the first
    workers = 4

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        parts = _split(url)
        self._root = unquote(parts.path).rstrip("/") or "."
        port = f":{parts.port}" if parts.port not in {None, 22} else ""
        self._shown = f"sftp://{parts.hostname}{port}{self._root}"
        login: dict[str, Any] = {"host": parts.hostname, "port": parts.port}
        login["username"] = unquote(parts.username) if parts.username else None
        login["password"] = unquote(parts.password) if parts.password else None
        given = {name: value for name, value in login.items() if value is not None}
        # sshfs would take any host for the right one; asyncssh's own default, the empty tuple, is the user's known_hosts
        patience = {
            "keepalive_interval": 15,
            "connect_timeout": 15,
            "login_timeout": 30,
        }  # else a silent cut is waited for
        self._options = {"known_hosts": (), **patience, **given, **options}
        self._lock = threading.Lock()
        self._session: tuple[Any, Any] | None = None
        self._flushes: bool | None = None

    def describe(self) -> str:
        """The host and the folder."""
        return self._shown

    # the connection

    def _run(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        """Return what `work` does with an SFTP client; a connection that broke is made anew the next time."""
        from fsspec.asyn import sync

        session = self._connected()
        filesystem, client = session
        try:
            return sync(filesystem.loop, work, client)  # type: ignore[no-any-return]
        except Exception as error:
            if self.fault(error) is Fault.TRANSIENT:
                with self._lock:
                    if self._session is session:
                        self._session = None
                _cut(filesystem)
            raise

    def _connected(self) -> tuple[Any, Any]:
        from fsspec.asyn import sync

        try:
            from sshfs import SSHFileSystem
        except ImportError as error:
            raise missing("sftp", "sftp", error) from error
        with self._lock:
            if self._session is None:
                try:
                    filesystem = SSHFileSystem(skip_instance_cache=True, **self._options)
                except TypeError as error:
                    raise wrong_options("sftp", self._options, error) from error
                except OSError as error:
                    if error.filename is None:  # of the network
                        raise
                    raise unreadable(error, _NAMED_BY) from error
                try:
                    self._session = filesystem, sync(filesystem.loop, filesystem.client.start_sftp_client)
                except BaseException:
                    _cut(filesystem)
                    raise
            return self._session

    def close(self) -> None:
        """Say goodbye to the server; a call that is under way is lost, and made again with a new connection."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session[0].loop.call_soon_threadsafe(session[0].client.close)

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}"

    # the calls

    def create(self, key: str, source: Source) -> None:
        """Write a temporary file and rename it."""
        upload = self.begin(key, source)
        try:
            start = 0
            for number, piece in enumerate(source.pieces()):
                self.add(key, upload, number, start, piece)
                start += len(piece)
            self.finish(key, upload, (), source)
        except BaseException:
            self._discard(key, upload)
            raise

    def _discard(self, key: str, upload: str) -> None:
        try:
            self.abort(key, upload)
        except Exception:  # noqa: BLE001 - what counts is the first failure; a sweep removes the file later
            return

    def stat(self, key: str) -> Stat | None:
        """Ask for the attributes; what is no file is no object."""
        try:
            found = self._run(lambda client: client.lstat(self._at(key)))
        except Exception as error:
            if self.fault(error) is Fault.MISSING:
                return None
            raise
        return Stat(int(found.size)) if _is_file(found) else None

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Read a range, in many requests at once."""

        async def read(client: Any) -> bytes:
            async with client.open(self._at(key), "rb") as file:
                return bytes(await file.read(len(target), start))

        data = self._run(read)
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """Remove the file."""
        self._run(lambda client: client.remove(self._at(key)))

    def list(self, folder: str) -> Iterable[str]:
        """List folder by folder."""

        async def names(client: Any) -> list[str]:
            found = []
            there = {entry.filename async for entry in client.scandir(self._at(folder))}
            for fan in FANOUT:
                if fan in there:
                    found += [
                        f"{folder}/{fan}/{entry.filename}"
                        async for entry in client.scandir(self._at(f"{folder}/{fan}"))
                        if _is_file(entry.attrs)
                    ]
            return found

        return self._run(names)

    # parts: ranges of the temporary file

    def begin(self, key: str, source: Source) -> str:
        """Make an empty temporary file."""
        upload = f"tmp/{uuid4().hex}.part"

        async def make(client: Any) -> str:
            from asyncssh import SFTPAttrs, SFTPError

            try:
                await client.mkdir(self._at("tmp"), SFTPAttrs(permissions=0o700))
            except SFTPError:
                if not await client.isdir(self._at("tmp")):
                    if not await client.isdir(self._root):
                        raise NotADirectoryError(f"there is no folder {self._root}") from None
                    raise
            async with client.open(self._at(upload), "xb", SFTPAttrs(permissions=0o600)):
                return upload

        return self._run(make)

    def add(self, key: str, upload: str, number: int, start: int, data: bytes) -> str:
        """Write a range of the temporary file."""

        async def write(client: Any) -> str:
            async with client.open(self._at(upload), "r+b") as file:
                await file.write(data, start)
            return ""

        return self._run(write)

    def finish(self, key: str, upload: str, parts: Iterable[str], source: Source) -> None:
        """Flush the file, see that it is whole, and rename it if nothing is there."""

        async def rename(client: Any) -> None:
            from asyncssh import SFTPError

            async with client.open(self._at(upload), "r+b") as file:
                found = (await file.stat()).size
                if found != source.size:
                    raise StoreError(
                        f"cannot write in the store at {self._shown}: {found} of {source.size} bytes reached it. The save did not "
                        "happen; save again."
                    )
                await self._flush(file)
            # OpenSSH links and unlinks: unlike posix-rename, that never replaces what is there
            with suppress(SFTPError):
                await client.rename(self._at(upload), self._at(key))
                return
            if await client.lexists(self._at(key)):
                raise FileExistsError(key)
            await self._make_folders(client, key)
            try:
                await client.rename(self._at(upload), self._at(key))
            except SFTPError:  # a file system without links
                if await client.lexists(self._at(key)):
                    raise FileExistsError(key) from None
                await client.posix_rename(self._at(upload), self._at(key))

        self._run(rename)

    async def _flush(self, file: Any) -> None:
        from asyncssh.sftp import SFTPOpUnsupported

        try:
            await file.fsync()
            self._flushes = True
        except SFTPOpUnsupported:
            self._flushes = False

    async def _make_folders(self, client: Any, key: str) -> None:
        from asyncssh import SFTPAttrs, SFTPError

        folder, fan, _ = key.split("/")
        for path in (self._at(folder), self._at(f"{folder}/{fan}")):
            try:
                await client.mkdir(path, SFTPAttrs(permissions=0o700))
            except SFTPError:
                if not await client.isdir(path):
                    raise

    def abort(self, key: str, upload: str) -> None:
        """Remove the temporary file."""
        self._run(lambda client: client.remove(self._at(upload)))

    def clear_leftovers(self, older_than: float) -> int:
        """Remove temporary files that nobody has written to for long, by the server's clock and ours."""
        limit = time.time() - older_than

        async def clear(client: Any) -> int:
            from asyncssh.sftp import SFTPNoSuchFile

            removed = 0
            try:
                found = [entry async for entry in client.scandir(self._at("tmp"))]
            except SFTPNoSuchFile:
                return 0
            for entry in found:
                if entry.filename.endswith(".part") and _is_file(entry.attrs) and entry.attrs.mtime < limit:
                    try:
                        await client.remove(self._at(f"tmp/{entry.filename}"))
                        removed += 1
                    except SFTPNoSuchFile:  # its writer, or another sweeper, was first
                        continue
            return removed

        return self._run(clear)

    # words

    def guarantees(self) -> Mapping[str, str]:
        """What SFTP gives, and whether this server flushes, once that was seen."""
        flushed = {
            True: "the bytes when put returns (the server flushed them); the name when its file system writes it",
            False: "when the server's file system writes: it has no fsync@openssh.com",
            None: "the bytes when put returns, if the server has fsync@openssh.com; the name when its file system writes it",
        }
        return {
            "put": "atomic: a temporary name is renamed to the key, which nothing replaces on OpenSSH",
            "durable": flushed[self._flushes],
            "listing": "sees every object from its put on",
        }

    def fault(self, error: Exception) -> Fault:
        """Go by asyncssh's words."""
        try:
            import asyncssh
            from asyncssh import sftp
            from fsspec.asyn import FSTimeoutError
        except ImportError:
            return fault_of(error)
        refused = (asyncssh.HostKeyNotVerifiable, asyncssh.PermissionDenied, asyncssh.KeyImportError)
        if isinstance(error, refused) or isinstance(error.__cause__, refused):  # sshfs translates one of them
            return Fault.CREDENTIALS
        if isinstance(error, sftp.SFTPNoSuchFile | sftp.SFTPNoSuchPath):
            return Fault.MISSING
        if isinstance(error, sftp.SFTPPermissionDenied | sftp.SFTPWriteProtect):
            return Fault.FORBIDDEN
        if isinstance(error, sftp.SFTPFileAlreadyExists):
            return Fault.TAKEN
        if isinstance(error, sftp.SFTPNoSpaceOnFilesystem | sftp.SFTPQuotaExceeded):
            return Fault.FULL
        lost = (sftp.SFTPConnectionLost, sftp.SFTPNoConnection, asyncssh.ChannelOpenError, FSTimeoutError)
        if isinstance(error, lost) or (
            isinstance(error, asyncssh.DisconnectError) and not isinstance(error, sftp.SFTPError)
        ):
            return Fault.TRANSIENT
        known = fault_of(error)
        return Fault.TRANSIENT if known is Fault.OTHER and isinstance(error, OSError) else known  # no route, no name


def _split(url: str) -> SplitResult:
    """Take the URL apart; one that has no host, no number for a port, or more than a path, is refused without being shown."""
    try:
        parts = urlsplit(url)
        if parts.hostname and (parts.port is None or parts.port > 0) and not (parts.query or parts.fragment):
            return parts
    except ValueError:  # its words show what may be a piece of a password
        pass
    raise ConfigurationError(
        "a store by SFTP is at sftp://user@host:port/absolute/folder; in a password, / ? # [ ] and @ are %-encoded, in the folder ? "
        "and #, as %3F and %23"
    )


def _cut(filesystem: Any) -> None:
    """Close a connection at once, without a word to a server that may be gone; whoever uses it does so again with another."""
    filesystem.loop.call_soon_threadsafe(filesystem.client.abort)


def _is_file(attributes: Any) -> bool:
    import stat

    return attributes.permissions is None or stat.S_ISREG(attributes.permissions)
