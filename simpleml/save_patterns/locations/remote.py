"""A store on any place that is not a folder of this machine, whatever its transport.

A put is: private file on this machine → one create-only call, or parts that become visible together. Keys are never used
twice, so an answer that did not come is settled by looking: an object under our key with our size and digest is ours.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, ConfigurationError, SimpleMLError, StoreError
from simpleml.failpoints import reach
from simpleml.hashing.digester import digester
from simpleml.progress import Progress
from simpleml.save_patterns.locations.disk import store_error
from simpleml.save_patterns.locations.faults import Where, told
from simpleml.save_patterns.locations.keys import checked, is_key
from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.locations.retries import Retries
from simpleml.save_patterns.locations.spool import PLAIN, Spool, clear_spools, digest_of, write_all
from simpleml.save_patterns.locations.spooled import Spooled, read_file, read_memory
from simpleml.save_patterns.locations.transport import Fault, PartedTransport, Stat, Transport
from simpleml.save_patterns.locations.uploads import upload
from simpleml.save_patterns.locations.workers import Workers
from simpleml.save_patterns.protocols import Buffer
from simpleml.settings.secret import masked

_T = TypeVar("_T")


class RemoteStore:
    """Objects behind a transport; safe for threads, for processes and forks, and for a kill or a cut at any instant."""

    chunked = False

    def __init__(
        self,
        name: str,
        transport: Callable[[], Transport],
        spool: Path,
        *,
        place: str,
        options: Mapping[str, Any] | None = None,
        retries: Retries | None = None,
    ) -> None:
        """Make the store at `place` (its URL without credentials), with a private `spool` folder on this machine.

        `transport` makes the place's transport, once in each process: connections do not live on in a forked child.
        Values in `options` that may be credentials never appear in messages.
        """
        self.name = name
        self._make = transport
        self._spools = spool
        self._place = place
        self._options = options or {}
        self._retries = retries or Retries()
        first = transport()
        self._transports = {os.getpid(): first}
        self.remote = first.remote

    def __repr__(self) -> str:
        return f"RemoteStore({self.name!r}, {self.describe()!r})"

    def describe(self) -> str:
        """The URL, without credentials, and the server if it is not the usual one."""
        return masked(self._transport.describe() or self._place)

    def guarantees(self) -> Mapping[str, str]:
        """What the place gives."""
        return self._transport.guarantees()

    @property
    def _transport(self) -> Transport:
        found = self._transports.get(os.getpid())
        return found if found is not None else self._transports.setdefault(os.getpid(), self._make())

    def close(self) -> None:
        """Give back the connections of this process; whoever uses the store after that gets new ones."""
        self._transport.close()

    # writing

    def spool(self) -> Spool:
        """Open a spool, whose private temporary file, if it needs one, is on this machine."""
        with self._spool_failures("prepare"):
            self._spools.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Spool(self._spools, lambda: self._spool_failures("write"), borrows=True)

    def put(self, spool: Spool, key: str) -> None:
        """Make the spooled bytes appear under `key`: in one create-only call, or in parts that become visible together."""
        key = checked(key, self.name)
        transport = self._transport
        with (
            self._source(spool) as source,
            Progress("uploading", source.size, bytes_=True) as bar,
            self._failures("write"),
        ):
            try:
                # the second half of the question is slow, and small objects are many
                if getattr(transport, "part_size", source.size) < source.size and isinstance(
                    transport, PartedTransport
                ):
                    upload(transport, key, source, self._call, bar)
                else:
                    reach("put.rename.before")
                    self._call(partial(transport.create, key, source))
                    bar.advance(source.size)
            except Exception as error:
                if not self._is_ours(transport, key, source, error):
                    raise
            reach("put.rename.after")

    def _is_ours(self, transport: Transport, key: str, source: Spooled, error: Exception) -> bool:
        """Whether, after `error`, the object is there all the same: an earlier call was done, but its answer got lost."""
        if isinstance(error, SimpleMLError):
            return False
        fault = transport.fault(error)
        if fault in {Fault.NO_PLACE, Fault.CREDENTIALS, Fault.FORBIDDEN, Fault.FULL}:
            return False
        try:
            # After a failure that lasted as long as one may, one look is enough.
            found = transport.stat(key) if fault is Fault.TRANSIENT else self._stat(transport, key)
            if found is None or found.size != source.size:
                return False
            return (found.digest or self.read(key, source.size)[1]) == source.digest
        except Exception:  # noqa: BLE001 - the first failure is the one to tell
            return False

    # reading

    def size(self, key: str) -> int | None:
        """Ask the place for the size of the object."""
        key = checked(key, self.name)
        with self._failures("read"):
            found = self._stat(self._transport, key)
            return None if found is None else found.size

    def _stat(self, transport: Transport, key: str) -> Stat | None:
        return self._call(partial(transport.stat, key))

    def told_digest(self, key: str) -> str | None:
        """Return the digest that the place keeps beside an object, whose bits it checks by itself; None if it keeps none."""
        key = checked(key, self.name)
        with self._failures("read"):
            found = self._stat(self._transport, key)
            return None if found is None else found.digest

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        """Return the object, fetched in parallel parts straight into memory of its own."""
        key = checked(key, self.name)
        transport = self._transport
        with self._failures("read", key), Progress("downloading", size, bytes_=True) as bar:
            if size <= transport.range_size:
                data = private_memory(size + 1)
                came = self._fetch(transport, key, 0, data, size)
                if came != size:
                    found = self._demand(transport, key)
                    raise self._other_size(key, size, found) if found != size else self._ended(key, came)
                bar.advance(size)
                return data[:size], _digest(data[:size])
            self._check_size(transport, key, size)
            data = private_memory(size)

            def take(start: int, stop: int) -> None:
                self._fetch_all(transport, key, start, data[start:stop])

            return data, self._parts(transport, size, take, data, bar)

    def digest(self, key: str, size: int) -> str:
        """Return the digest of the object, fetched in parallel parts, of which a few are in memory and none is kept."""
        key = checked(key, self.name)
        transport = self._transport
        hasher = digester()

        def fetch(start: int) -> memoryview:
            part = memoryview(bytearray(min(transport.range_size, size - start)))
            self._fetch_all(transport, key, start, part)
            return part

        with (
            self._failures("read", key),
            Progress("downloading", size, bytes_=True) as bar,
            Workers(transport.workers) as pool,
        ):
            self._check_size(transport, key, size)
            starts = iter(range(0, size, transport.range_size))
            parts = [pool.submit(fetch, start) for start in islice(starts, transport.workers)]
            while parts:
                part = parts.pop(0).result()
                hasher.update(part)
                bar.advance(len(part))
                parts += [pool.submit(fetch, start) for start in islice(starts, 1)]
        return digest_of(hasher.hexdigest())

    def download(self, key: str, size: int, descriptor: int) -> str:
        """Write the object to the file, which can be read as well, in parallel parts of bounded memory."""
        if size <= self._transport.range_size:
            data, digest = self.read(key, size)
            write_all(descriptor, memoryview(data))
            return digest
        key = checked(key, self.name)
        transport = self._transport
        with self._failures("read", key):
            self._check_size(transport, key, size)
        os.ftruncate(descriptor, size)

        def take(start: int, stop: int) -> None:
            part = memoryview(bytearray(stop - start))
            with self._failures("read", key):
                self._fetch_all(transport, key, start, part)
            done = 0
            while done < len(part):
                done += os.pwrite(descriptor, part[done:], start + done)

        with (
            mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as pages,
            memoryview(pages) as view,
            Progress("downloading", size, bytes_=True) as bar,
        ):
            return self._parts(transport, size, take, view, bar)

    def _parts(
        self, transport: Transport, size: int, take: Callable[[int, int], None], data: memoryview, bar: Progress
    ) -> str:
        """Have `take` bring all parts, several at once, and return the digest of `data`, read as soon as they are there."""
        hasher = digester()
        with Workers(transport.workers) as pool:
            step = transport.range_size
            ranges = [(start, min(start + step, size)) for start in range(0, size, step)]
            for (start, stop), part in zip(ranges, [pool.submit(take, *each) for each in ranges], strict=True):
                part.result()
                with data[start:stop] as view:
                    hasher.update(view)
                bar.advance(stop - start)
        return digest_of(hasher.hexdigest())

    def _fetch(self, transport: Transport, key: str, start: int, target: memoryview, wanted: int) -> int:
        """Bring `wanted` bytes, or up to the object's end, and return how many came: more if `target` is larger."""
        done = 0
        while True:
            came = self._call(partial(transport.fetch, key, start + done, target[done:]))
            if not 0 <= came <= len(target) - done:
                raise StoreError(
                    f"cannot read in the store {self.name!r} ({self.describe()}): {type(transport).__name__}.fetch said that {came} "
                    f"bytes came into room for {len(target) - done}; it has to return how many it filled in"
                )
            done += came
            if done >= wanted or not came:
                return done

    def _fetch_all(self, transport: Transport, key: str, start: int, target: memoryview) -> None:
        came = self._fetch(transport, key, start, target, len(target))
        if came != len(target):
            raise self._ended(key, start + came)

    def _ended(self, key: str, after: int) -> ArtifactDamagedError:
        return ArtifactDamagedError(
            f"the object {key} in the store {self.name!r} ({self.describe()}) ended after {after} bytes"
        )

    def _check_size(self, transport: Transport, key: str, size: int) -> None:
        found = self._demand(transport, key)
        if found != size:
            raise self._other_size(key, size, found)

    def _demand(self, transport: Transport, key: str) -> int:
        found = self._stat(transport, key)
        if found is None:
            raise FileNotFoundError(key)
        return found.size

    def _other_size(self, key: str, size: int, found: int) -> ArtifactDamagedError:
        return ArtifactDamagedError(
            f"the object {key} in the store {self.name!r} ({self.describe()}) has {found} bytes, but {size} bytes were saved. "
            "Restore it from a backup, or save the value again if you have it"
        )

    # housekeeping

    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""
        key = checked(key, self.name)
        transport = self._transport
        with self._failures("delete"):
            try:
                self._call(partial(transport.delete, key))
            except Exception as error:
                if transport.fault(error) is not Fault.MISSING:
                    raise

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys below the folder `prefix`, as many as the place gives at once."""
        transport = self._transport
        with self._failures("list"):
            try:
                found = self._call(lambda: list(transport.list(prefix)))
            except Exception as error:
                if transport.fault(error) is not Fault.MISSING:
                    raise
                return
        yield from (key for key in found if is_key(key) and key.startswith(f"{prefix}/"))

    def clear_leftovers(self, older_than: float) -> int:
        """Remove old spools on this machine that no writer has open, and old uploads there that were cut short."""
        with self._spool_failures("clear"):
            removed = clear_spools(self._spools, older_than)
        with self._failures("clear"):
            return removed + self._call(partial(self._transport.clear_leftovers, older_than))

    # failures

    def _call(self, call: Callable[[], _T]) -> _T:
        fault = self._transport.fault

        def passes(error: Exception) -> bool:
            lasting = isinstance(error, SimpleMLError) or "CERTIFICATE_VERIFY_FAILED" in str(
                error
            )  # OpenSSL's own code
            return not lasting and fault(error) is Fault.TRANSIENT

        return self._retries.run(call, passes)

    @contextmanager
    def _failures(self, action: str, key: str | None = None) -> Iterator[None]:
        """Say of any failure of the place which store it hit, where that is, and what to do."""
        try:
            yield
        except ConfigurationError as error:
            raise ConfigurationError(
                f"cannot {action} in the store {self.name!r}: {error} See the table [stores.{self.name}] in simpleml.toml."
            ) from error
        except SimpleMLError:
            raise
        except Exception as error:
            transport = self._transport
            fault = transport.fault(error)
            if fault is Fault.MISSING and key is not None:
                raise ArtifactMissingError(
                    f"the object {key} is not in the store {self.name!r} ({self.describe()}). If the store was moved, say where "
                    f'it is: [stores] {self.name} = "…" in simpleml.toml.'
                ) from error
            if (
                fault is Fault.MISSING and action == "write"
            ):  # all that can be missing for a new object is what holds it
                fault = Fault.NO_PLACE
            where = Where(self.name, self.describe(), transport.noun, self._retries.seconds, self._options)
            raise told(error, fault, action, where) from error

    @contextmanager
    def _spool_failures(self, action: str) -> Iterator[None]:
        """Say of a failure of this machine's disk that it is not the store's."""
        try:
            yield
        except SimpleMLError:
            raise
        except OSError as error:
            raise store_error(error, action, self.name, f"its spool on this machine, {self._spools}") from error

    @contextmanager
    def _source(self, spool: Spool) -> Iterator[Spooled]:
        held = spool.held
        if held is not None:
            yield Spooled(spool.size, spool.digest, partial(read_memory, held))
            return
        with self._spool_failures("read"):
            path, _ = spool.materialize()
            descriptor = os.open(path, os.O_RDONLY | PLAIN)
        try:
            yield Spooled(spool.size, spool.digest, partial(read_file, descriptor))
        finally:
            os.close(descriptor)


def _digest(data: memoryview) -> str:
    hasher = digester()
    hasher.update(data)
    return digest_of(hasher.hexdigest())
