"""What a place must be able to do so that a store can be made of it, and what its failures mean.

A *transport* is a place in the few calls that `RemoteStore` makes; keys, spools, digests, retries, parallel parts, progress
and messages are the store's. A new place is a class with five methods, registered for the scheme of its URLs.
"""

from __future__ import annotations

import errno
import socket
import ssl
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from simpleml.save_patterns.locations.disk import FULL

MEBIBYTE = 1024 * 1024


class Fault(Enum):
    """What a failure means for whoever asked."""

    TRANSIENT = "the same call may work in a moment"
    MISSING = "there is no such object"
    TAKEN = "there is an object under this key already"
    NO_PLACE = "what should hold the objects is not there"
    CREDENTIALS = "nobody is let in with these credentials"
    FORBIDDEN = "who we are may not do this"
    FULL = "no space, or a quota"
    OTHER = "anything else"


@dataclass(frozen=True, slots=True)
class Stat:
    """What a place knows of an object; the digest if it keeps what `create` was given."""

    size: int
    digest: str | None = None


class Source(Protocol):
    """The finished bytes of one object, for one thread at a time; they can be asked for again.

    If they are not what was announced any more, the last of them never come, but a `SourceChangedError`.
    """

    size: int
    digest: str

    def whole(self) -> bytes:
        """Return all bytes."""

    def pieces(self) -> Iterator[bytes]:
        """Give all bytes from the start, a few megabytes at a time."""


class Transport(Protocol):
    """One place, as `(url, options)` makes it; called by several threads of one process at once.

    Making one does no work: it may raise `ConfigurationError`, and connects on first use. Calls raise whatever their
    library does; `fault` says what that means. Subclass this to get the calls that have a body here.
    """

    noun: str = "place"
    """What holds the objects: bucket, container, folder."""
    remote: bool = True
    """Whether reading goes over a network."""
    workers: int = 8
    """How many parts of an object are on their way at once, each of them in memory."""
    range_size: int = 8 * MEBIBYTE
    """What one `fetch` asks for of a larger object; smaller ones come in one."""

    @abstractmethod
    def create(self, key: str, source: Source) -> None:
        """Make the whole object appear under `key` at once; `FileExistsError`, or its like, if there is one."""

    @abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Return what is known of the object, or None if there is none."""

    @abstractmethod
    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Fill `target` with the object from `start` on, and return how many bytes came: none beyond its end.

        Fewer than there are may come; the rest is asked for. `FileNotFoundError`, or its like, if there is no object.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; one that is not there may be an error or none."""

    @abstractmethod
    def list(self, folder: str) -> Iterable[str]:
        """List the keys below `folder`; others may be among them."""

    def clear_leftovers(self, older_than: float) -> int:
        """Remove what uploads left that were cut short and that is `older_than` seconds old; return how many."""
        return 0

    def close(self) -> None:
        """Give back the connections of this process; the next call makes new ones, also one that is under way."""

    def describe(self) -> str:
        """Where this is, without credentials, equal for two names of one place; empty: the URL says it."""
        return ""

    def guarantees(self) -> Mapping[str, str]:
        """What the place gives, as `Store.guarantees` says."""
        return {"put": "not known to be atomic", "durable": "not known", "listing": "not known"}

    def fault(self, error: Exception) -> Fault:
        """Say what a failure of one of these calls means."""
        return fault_of(error)


@runtime_checkable
class PartedTransport(Transport, Protocol):
    """A place that takes an object in parts, several at once, of which nothing is visible before `finish`.

    Every call may be made again with the same arguments after it failed.
    """

    part_size: int = 8 * MEBIBYTE
    """Objects larger than this go in parts of this size; `create` gets the others."""

    @abstractmethod
    def begin(self, key: str, source: Source) -> str:
        """Announce an upload and return its name."""

    @abstractmethod
    def add(self, key: str, upload: str, number: int, start: int, data: bytes) -> str:
        """Take the part `number` (from 0), which begins at `start`, and return what `finish` needs of it."""

    @abstractmethod
    def finish(self, key: str, upload: str, parts: Iterable[str], source: Source) -> None:
        """Make the parts, in this order, appear under `key` at once, as `create` does."""

    @abstractmethod
    def abort(self, key: str, upload: str) -> None:
        """Remove what was taken."""


_OF_FILES = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}


def fault_of(error: Exception) -> Fault:
    """Say what a standard exception means; libraries that raise their own have a transport that knows them."""
    if isinstance(error, ssl.SSLError):  # whose numbers are not those of the operating system
        return Fault.OTHER if isinstance(error, ssl.SSLCertVerificationError) else Fault.TRANSIENT
    if isinstance(error, FileNotFoundError):
        return Fault.MISSING
    if isinstance(error, NotADirectoryError):
        return Fault.NO_PLACE
    if isinstance(error, FileExistsError):
        return Fault.TAKEN
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in _FORBIDDEN:
        return Fault.FORBIDDEN
    number = getattr(error, "errno", None)
    if isinstance(error, TimeoutError | ConnectionError | EOFError | socket.gaierror) or number in _NO_WAY:
        return Fault.TRANSIENT
    return Fault.FULL if number in FULL else Fault.OTHER


def fault_here(error: Exception) -> Fault:
    """Say what a standard exception means, of a place that has words of its own for what it lacks or forbids.

    What the operating system has numbered is then about a file of this machine that logging in takes, never about an object.
    """
    return Fault.CREDENTIALS if isinstance(error, _OF_FILES) and error.errno else fault_of(error)
