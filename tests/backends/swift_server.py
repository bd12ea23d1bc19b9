"""`python -m tests.backends.swift_server [--lazy] FOLDER`: OpenStack Swift with its S3 API, whole, in one process.

Swift's own commands run one process or more for each of its four servers, of 45 MB each. Their code is served here as
it is: the same applications, made from the same files by Swift's own loader, on Swift's own server loop. `--lazy`
leaves it to the kernel when files reach the disk.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Application: TypeAlias = Callable[[dict[str, Any], object], object]

PARTS = ("account", "container", "object", "proxy")
"""The servers of a cluster; the last one is what clients speak to. Each has `FOLDER/etc/<part>.conf`."""


def main(etc: Path) -> None:
    """Serve until killed; the process ends as soon as one of the servers does."""
    # Nothing but the warnings' filter may come before: the libraries have to be patched while they are new.
    wsgi = importlib.import_module("swift.common.wsgi")
    importlib.import_module("swift.common.utils").monkey_patch()
    eventlet = importlib.import_module("eventlet")
    _keep_hubs(importlib.import_module("eventlet.hubs"))
    prepared = {part: wsgi._initrp(str(etc / f"{part}.conf"), f"{part}-server", verbose=True) for part in PARTS}
    for part in PARTS[:-1]:
        _make_ring(etc / f"{part}.ring.gz", int(prepared[part][0]["bind_port"]))
    threads = []
    for part in PARTS:
        configuration, logger, _ = prepared[part]
        threads.append(eventlet.spawn(wsgi.run_server, configuration, logger, wsgi.get_socket(configuration)))
    for thread in threads:
        thread.link(lambda ended: sys.exit(f"a server of Swift's has ended: {ended}"))
    for thread in threads:
        thread.wait()


class Memory:
    """The part of a memcached client that Swift uses for what it knows of accounts and buckets, without a memcached.

    It forgets nothing by itself: there is one proxy, and Swift deletes here what it changes.
    """

    def __init__(self) -> None:
        self._known: dict[str, object] = {}

    def get(self, key: str, **_: object) -> object:
        return self._known.get(key)

    def set(self, key: str, value: object, **_: object) -> None:
        self._known[key] = value

    def delete(self, key: str, **_: object) -> None:
        self._known.pop(key, None)


def remembering(settings: Mapping[str, str], **_: str) -> Callable[[Application], Application]:
    """Return a filter, as paste calls them, that lends each request one `Memory`."""
    memory = Memory()

    def wrap(application: Application) -> Application:
        def serve(environment: dict[str, Any], start: object) -> object:
            return application({**environment, "swift.cache": memory}, start)

        return serve

    return wrap


def _keep_hubs(hubs: Any) -> None:
    """Let a thread that has a loop keep it: each server takes a new one, and would leave those before it in the old."""
    take = hubs.use_hub
    hubs.use_hub = lambda *which: None if hasattr(hubs._threadlocal, "hub") else take(*which)


def _make_ring(file: Path, port: int) -> None:
    """Say, in Swift's own way, that everything of one kind lies on the device `disk` behind one port."""
    builder = importlib.import_module("swift.common.ring").RingBuilder
    ring = builder(1, 1, 0)  # 2 ** 1 partitions, 1 replica, which may move again after 0 hours
    address = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    ring.add_dev({"region": 1, "zone": 1, "device": "disk", "weight": 1.0, **address})
    ring.rebalance()
    ring.get_ring().save(str(file))


if __name__ == "__main__":
    if "--lazy" in sys.argv:
        os.fsync = os.fdatasync = lambda _: None  # type: ignore[assignment]
    main(Path(sys.argv[-1]) / "etc")
