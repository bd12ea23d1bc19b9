"""How the bytes of an object come to this process: from the store, mapped from its file, or from the cache of this machine.

Whatever the way, the caller gets memory of its own, of the right size, whose digest was compared.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from functools import partial
from typing import TypeGuard

from simpleml.errors import ArtifactDamagedError, OfflineError
from simpleml.save_patterns.locations.cache import Cache
from simpleml.save_patterns.locations.disk import store_error
from simpleml.save_patterns.locations.mapping import VerifiedFiles, map_file, read_file
from simpleml.save_patterns.locations.spool import write_all
from simpleml.save_patterns.protocols import Buffer, FileStore, Store

_log = logging.getLogger(__name__)

_AT_ONCE = 8 * 1024 * 1024  # bytes; what is larger comes in parts, which those who wait for it see in the cache's file


class Fetcher:
    """Reads objects. What was read of a `remote` store is not read again; `offline`, such a store is not called at all.

    Without a `cache` remote objects are read each time, and what was verified is remembered by this process alone. Safe for
    threads.
    """

    def __init__(self, cache: Cache | None = None, *, offline: bool = False) -> None:
        self.cache = cache
        self.offline = offline
        self._verified = cache.verified if cache is not None else VerifiedFiles()

    def __repr__(self) -> str:
        return f"Fetcher({self.cache!r}, offline={self.offline})"

    def fetch(self, store: Store, key: str, size: int, digest: str, *, mmap: bool = False) -> Buffer:
        """Return the bytes of an object: with `mmap` mapped lazily, else in memory whose very bytes were digested.

        Raises what `store.read` raises, `ArtifactDamagedError` if the digest is another, and `OfflineError`.
        """
        if not store.remote:
            if not mmap:
                return _compared(*store.read(key, size), store, key, digest)
            if _has_files(store):
                return self._map(store, key, size, digest)
        return self._through_cache(store, key, size, digest, mmap=mmap)

    def _map(self, store: FileStore, key: str, size: int, digest: str) -> Buffer:
        with store.opened(key) as descriptor:
            found = os.fstat(descriptor)
            if found.st_size != size or not stat.S_ISREG(found.st_mode):
                has = f"has {found.st_size} bytes" if stat.S_ISREG(found.st_mode) else "is no file"
                raise ArtifactDamagedError(
                    f"the object {key} in the store {store.name!r} ({store.describe()}) {has}, but {size} bytes were saved"
                )
            try:
                data, known = map_file(descriptor, size, digest, self._verified, durable=True)
            except OSError as error:
                raise store_error(error, "read", store.name, store.describe()) from error
        return _compared(data, known, store, key, digest)

    def _through_cache(self, store: Store, key: str, size: int, digest: str, *, mmap: bool) -> Buffer:
        cache, damage = self.cache, None
        if cache is not None and (entry := cache.open(digest, size)) is not None:
            try:
                return self._take(cache, entry, size, digest, mmap=mmap)
            except ArtifactDamagedError as error:
                _log.warning("%s; it is read from the store again", error)
                damage = error
        if store.remote and self.offline:
            raise _offline(store, key, cache, damage) from damage
        if cache is not None and not mmap and size <= _AT_ONCE:
            return self._read_and_keep(cache, store, key, size, digest)
        if cache is not None:
            entry = cache.fill(digest, size, partial(_download, store, key, size, digest))
            if entry is not None:
                try:
                    return self._take(cache, entry, size, digest, mmap=mmap)
                except ArtifactDamagedError as error:
                    _log.warning("%s, just after it was filled", error)
        return _compared(*store.read(key, size), store, key, digest)

    def _read_and_keep(self, cache: Cache, store: Store, key: str, size: int, digest: str) -> Buffer:
        """Read a small object into memory and leave a copy in the cache, unless another process or thread did meanwhile."""
        came: list[Buffer] = []

        def write(descriptor: int) -> str:
            data = _compared(*store.read(key, size), store, key, digest)
            came.append(data)
            write_all(descriptor, memoryview(data))
            return digest

        entry = cache.fill(digest, size, write)
        if entry is not None and not came:
            try:
                return self._take(cache, entry, size, digest, mmap=False)
            except ArtifactDamagedError as error:
                _log.warning("%s, just after it was filled", error)
        elif entry is not None:
            os.close(entry)
        return came[0] if came else _compared(*store.read(key, size), store, key, digest)

    def _take(self, cache: Cache, entry: int, size: int, digest: str, *, mmap: bool) -> Buffer:
        """Return the bytes of an entry and close it; throw a damaged one out and raise `ArtifactDamagedError`."""
        what = f"the copy of {digest} in the cache {cache.folder}"
        try:
            if mmap:
                data, found = map_file(entry, size, digest, self._verified, durable=False)
            else:
                data, found = read_file(entry, size)
            if found == digest:
                return data
            cache.discard(digest, entry)
            raise ArtifactDamagedError(f"{what} is damaged: its digest is {found}")
        except OSError as error:
            if error.errno == errno.EIO:
                cache.discard(digest, entry)
            raise ArtifactDamagedError(f"{what} cannot be read: {error.strerror or error}") from error
        finally:
            os.close(entry)


def _has_files(store: Store) -> TypeGuard[FileStore]:
    return hasattr(store, "opened")  # `isinstance` would look for every call of the protocol, each time


def _download(store: Store, key: str, size: int, digest: str, descriptor: int) -> str:
    found = store.download(key, size, descriptor)
    if found != digest:
        raise _damaged(store, key, found, digest)
    return found


def _compared(data: Buffer, found: str, store: Store, key: str, digest: str) -> Buffer:
    if found != digest:
        raise _damaged(store, key, found, digest)
    return data


def _damaged(store: Store, key: str, found: str, digest: str) -> ArtifactDamagedError:
    return ArtifactDamagedError(
        f"the object {key} in the store {store.name!r} ({store.describe()}) is damaged: its digest is {found}, but {digest} "
        "was saved. Restore it from a backup, or save the value again if you have it: this process then stores its bytes anew, "
        "and every other one once `simpleml verify --all` has found the damage."
    )


def _offline(store: Store, key: str, cache: Cache | None, damage: ArtifactDamagedError | None) -> OfflineError:
    where = "this machine has no cache"
    if cache is not None:
        where = f"the cache of this machine ({cache.folder}) " + (
            "has a damaged copy" if damage else "does not have it"
        )
    return OfflineError(
        f"the object {key} is in the store {store.name!r}, {where}, and `offline` is set. Load it once with the network, or set "
        "offline = false (SIMPLEML_OFFLINE=false)."
    )
