"""A proxy that stands between a client and an HTTP server and does what bad networks and busy servers do.

What it lets through it passes on byte by byte, with the client's own `Host`, so signatures stay right.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from tests.backends.places import Place

BLOCK = 65536
CODES = {500: "InternalError", 503: "SlowDown", 429: "TooManyRequests"}


@dataclass(frozen=True, slots=True)
class Faults:
    """How probable each fault is, per request; at most one of the first four happens to one request."""

    cut_request: float = 0.0
    """The connection is cut when a part of the request has gone to the server, which never sees the rest."""
    cut_response: float = 0.0
    """The server did it all; the connection is cut before or within its answer."""
    refused: float = 0.0
    """The answer is one of `statuses`; the server hears nothing."""
    lost_answer: float = 0.0
    """The answer is one of `statuses`, although the server did what was asked."""
    delayed: float = 0.0
    """The request waits for `delay` seconds."""
    throttled: float = 0.0
    """Request and answer flow at `rate` bytes a second."""
    statuses: tuple[int, ...] = (500, 503, 429)
    delay: float = 0.2
    rate: int = 1 << 20
    methods: frozenset[str] = frozenset()
    """The only methods that faults happen to; none given: all."""
    at_most: int | None = None
    """After so many faults all is well."""


CALM = Faults()
EXCLUSIVE = ("cut_request", "cut_response", "refused", "lost_answer")


class Cut(Exception):
    """This connection ends here, as was planned."""


class FaultProxy:
    """A proxy on a free port of 127.0.0.1, for as long as the block; `faults` may be changed at any time.

    `counts` says how often each fault has happened, and how many `requests` there were.
    """

    def __init__(self, target: str, faults: Faults = CALM, *, seed: int = 0) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, name="fault proxy", daemon=True)

    def __enter__(self) -> Self:
        """Take connections."""
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Cut what is open, and return when nothing of the proxy runs any more."""
        with self._lock:
            self._closed = True
            for each in (self._server, *self._open):
                with suppress(OSError):  # the other side was faster
                    each.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._server.close()
        for thread in self._threads:
            thread.join()

    def calm(self) -> None:
        """Do no harm from now on."""
        self.faults = CALM

    def plan(self, method: str) -> frozenset[str]:
        """Draw the faults of one request, and count them."""
        with self._lock:
            faults = self.faults
            self.counts["requests"] += 1
            if faults.methods and method not in faults.methods:
                return frozenset()
            draw = self._random.random()
            planned = set()
            for name in EXCLUSIVE:
                draw -= getattr(faults, name)
                if draw < 0:
                    planned.add(name)
                    break
            planned |= {name for name in ("delayed", "throttled") if self._random.random() < getattr(faults, name)}
            happened = self.counts.total() - self.counts["requests"]
            if faults.at_most is not None and happened >= faults.at_most:
                return frozenset()
            self.counts.update(planned)
            return frozenset(planned)

    def chosen(self, low: int, high: int) -> int:
        """Draw a number from `low` up to but not including `high`."""
        with self._lock:
            return self._random.randrange(low, max(high, low + 1))

    def connect(self) -> socket.socket:
        """Return a new connection to the server, which ends with the proxy."""
        return self.keep(socket.create_connection(self._target))

    def keep(self, connection: socket.socket) -> socket.socket:
        """Let the end of the proxy cut this connection."""
        with self._lock:
            if self._closed:
                connection.close()
                raise Cut
            self._open.add(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def drop(self, connection: socket.socket) -> None:
        """Close a connection."""
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # closed
            thread = threading.Thread(target=self._serve, args=(client,), name="fault proxy", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, Cut, ValueError):  # either side may go at any time: so does this connection, then
            self.keep(client)
            Exchange(self, client).run()
        self.drop(client)


class Exchange:
    """One client's connection, its own one to the server, and the requests that come over it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server = proxy.connect()
        self.pause = 0.0
        """Seconds to sleep per byte."""

    def run(self) -> None:
        """Serve requests until one side goes or a connection is cut."""
        try:
            with self.client.makefile("rb") as requests, self.server.makefile("rb") as answers:
                while self._one(requests, answers):
                    pass
        finally:
            self.proxy.drop(self.server)

    def _one(self, requests: BinaryIO, answers: BinaryIO) -> bool:
        head = _head(requests)
        if not head:
            return False
        method = head.split(b" ", 1)[0].decode()
        faults = self.proxy.faults
        planned = self.proxy.plan(method)
        self.pause = 1 / faults.rate if "throttled" in planned else 0.0
        if "delayed" in planned:
            time.sleep(faults.delay)
        waits = _field(head, b"expect") is not None  # for a word of the server, before it sends the body
        if "refused" in planned:
            if not waits:
                for _ in _body(requests, head, request=True):
                    pass
            self._refuse(faults, method, close=waits)
            return not waits
        self._forward(requests, answers, head, cut="cut_request" in planned)
        if waits and (answer := self._head_of_answer(answers, to_client=True)):
            return self._answer(answers, answer, method, frozenset())  # refused before it was sent
        if waits:
            self._pass(self.server, _body(requests, head, request=True), None)
        answer = self._head_of_answer(answers, to_client=False)
        if "lost_answer" in planned:
            for _ in _body(answers, answer, request=False, method=method):
                pass
            self._refuse(faults, method, close=False)
            return True
        return self._answer(answers, answer, method, planned)

    def _forward(self, requests: BinaryIO, answers: BinaryIO, head: bytes, *, cut: bool) -> None:
        """Send the request's head, and its body unless the client waits with that."""
        length = int(_field(head, b"content-length") or 0)
        if not cut:
            self.server.sendall(head)
            if _field(head, b"expect") is None:
                self._pass(self.server, _body(requests, head, request=True), None)
            return
        if length == 0:
            self.server.sendall(head[: self.proxy.chosen(0, len(head) - 4)])
        else:
            self.server.sendall(head)
            if _field(head, b"expect") is not None:
                self._head_of_answer(answers, to_client=True)
            self._pass(self.server, _body(requests, head, request=True), self.proxy.chosen(0, length))
        self._cut()

    def _head_of_answer(self, answers: BinaryIO, *, to_client: bool) -> bytes:
        """Return the head of the final answer; nothing if it was the word to go on, which then goes to the client."""
        head = _head(answers)
        if not head:
            raise Cut
        if head.split(b" ", 2)[1] != b"100":
            return head
        if to_client:
            self.client.sendall(head)
            return b""
        return self._head_of_answer(answers, to_client=False)

    def _answer(self, answers: BinaryIO, head: bytes, method: str, planned: frozenset[str]) -> bool:
        limit = None
        if "cut_response" in planned:
            length = int(_field(head, b"content-length") or 0) if method != "HEAD" else 0
            if length == 0 or self.proxy.chosen(0, 4) == 0:
                self._cut()
            limit = self.proxy.chosen(0, length)
        self.client.sendall(head)
        self._pass(self.client, _body(answers, head, request=False, method=method), limit)
        if limit is not None:
            self._cut()
        return (_field(head, b"connection") or b"").lower() != b"close"

    def _pass(self, to: socket.socket, blocks: Iterator[bytes], limit: int | None) -> None:
        """Send blocks on, at the pace of this request; only up to `limit` bytes if one is given."""
        for block in blocks:
            part = block if limit is None else block[:limit]
            for start in range(0, len(part), step := 4096 if self.pause else BLOCK):
                to.sendall(part[start : start + step])
                time.sleep(self.pause * min(step, len(part) - start))
            if limit is not None and (limit := limit - len(block)) <= 0:
                return

    def _refuse(self, faults: Faults, method: str, *, close: bool) -> None:
        status = faults.statuses[self.proxy.chosen(0, len(faults.statuses))]
        body = f"<?xml version='1.0'?><Error><Code>{CODES.get(status, 'Fault')}</Code><Message>fault</Message></Error>"
        self.client.sendall(
            f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n{'' if method == 'HEAD' else body}".encode()
        )

    def _cut(self) -> None:
        """End the connection, half of the times without a farewell."""
        if self.proxy.chosen(0, 2):
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Cut


def _head(stream: BinaryIO) -> bytes:
    """Read up to the empty line; nothing if the stream ends before."""
    lines = []
    while line := stream.readline(BLOCK):
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _field(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


def _body(stream: BinaryIO, head: bytes, *, request: bool, method: str = "") -> Iterator[bytes]:
    """Yield the body as it is on the wire, with the frames of its chunks if it has any."""
    if not request and (method == "HEAD" or head.split(b" ", 2)[1] in {b"204", b"304"}):
        return
    if (_field(head, b"transfer-encoding") or b"").lower() == b"chunked":
        yield from _chunks(stream)
        return
    length = _field(head, b"content-length")
    left = int(length) if length is not None else (0 if request else 1 << 62)  # an answer may end with its connection
    while left and (block := stream.read1(min(left, BLOCK))):  # type: ignore[attr-defined]
        left -= len(block)
        yield block
    if left and length is not None:
        raise Cut


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while True:
        line = stream.readline(BLOCK)
        size = int(line.split(b";")[0], 16)
        yield line
        if size == 0:
            break
        yield stream.read(size + 2)
    while line := stream.readline(BLOCK):
        yield line
        if line == b"\r\n":
            return


@dataclass(frozen=True, slots=True)
class FaultyPlace:
    """A place behind a proxy; the same place without it; the proxy."""

    place: Place
    straight: Place
    proxy: FaultProxy
