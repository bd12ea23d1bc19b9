"""`gs://bucket/prefix`: Google Cloud Storage. One conditional upload, or a resumable one that is visible once it is whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from simpleml.errors import ConfigurationError
from simpleml.save_patterns.locations.filesystem import make_filesystem
from simpleml.save_patterns.locations.transport import MEBIBYTE, Fault, Source, Stat, Transport, fault_here

_DIGEST = "simpleml-digest"
_WHOLE = 8 * MEBIBYTE  # smaller objects take one request
_TYPE = "application/octet-stream"


class GCSTransport(Transport):
    """Objects of a bucket, below a prefix, with their digest as metadata; by gcsfs, which finds the credentials."""

    noun = "bucket"

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        place = url.partition("://")[2]
        self._bucket, _, prefix = place.partition("/")
        if not self._bucket or not {*"@?:"}.isdisjoint(place):  # a login, or parameters, that nobody would read
            raise ConfigurationError(
                "a store on Google Cloud is at gs://bucket/prefix, without any of @ ? and :; credentials are options or come from "
                "the environment"
            )
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._options = options
        self._lock = threading.Lock()
        self._opened: Any = None
        self._is_there = False

    def describe(self) -> str:
        """The bucket and prefix, and the server if it is not Google's."""
        where, server = f"gs://{self._bucket}/{self._prefix}".rstrip("/"), self._options.get("endpoint_url")
        return f"{where} at {str(server).rpartition('@')[2]}" if server else where

    @property
    def _fs(self) -> Any:
        with self._lock:
            if self._opened is None:
                options = {"use_listings_cache": False, **self._options}
                self._opened = make_filesystem("gcs", options, extra="gcs", module="gcsfs.core:GCSFileSystem")
            return self._opened

    def _url(self, key: str) -> str:
        return f"b/{quote(self._bucket)}/o/{quote(self._prefix + key, safe='')}"

    # the calls

    def create(self, key: str, source: Source) -> None:
        """Upload the object if nothing is there."""
        from fsspec.asyn import sync

        try:
            sync(self._fs.loop, self._upload, key, source)
        except FileNotFoundError as error:  # all that can be missing for a new object
            raise self._no_bucket() from error

    async def _upload(self, key: str, source: Source) -> None:
        from gcsfs.core import initiate_upload, simple_upload, upload_chunk

        name, metadata = self._prefix + key, {_DIGEST: source.digest}
        if source.size <= _WHOLE:
            data = source.whole()
            await simple_upload(
                self._fs, self._bucket, name, data, metadatain=metadata, content_type=_TYPE, mode="create"
            )
            return
        upload = await initiate_upload(self._fs, self._bucket, name, _TYPE, metadata=metadata, mode="create")
        try:
            start = 0
            for piece in source.pieces():
                await upload_chunk(self._fs, upload, piece, start, source.size, _TYPE)
                start += len(piece)
        except BaseException:
            with contextlib.suppress(Exception):  # what counts is the first failure; Google drops it after a week
                await self._fs._call("DELETE", upload)  # noqa: SLF001 - gcsfs offers no other way to the interface
            raise

    def stat(self, key: str) -> Stat | None:
        """Ask for the metadata."""
        try:
            found = self._fs.call("GET", self._url(key), json_out=True)
        except FileNotFoundError:
            self._demand_bucket()
            return None
        return Stat(int(found["size"]), found.get("metadata", {}).get(_DIGEST))

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Get a range."""
        headers = {"Range": f"bytes={start}-{start + len(target) - 1}"}
        try:
            _, data = self._fs.call("GET", self._url(key), alt="media", headers=headers)
        except FileNotFoundError:
            self._demand_bucket()
            raise
        except Exception as error:
            if str(getattr(error, "code", "")) == "416":
                return 0
            raise
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """Delete the object."""
        self._fs.call("DELETE", self._url(key))

    def list(self, folder: str) -> Iterable[str]:
        """List the objects below, page by page."""
        more: dict[str, str] = {}
        while True:
            page = self._page(prefix=f"{self._prefix}{folder}/", **more)
            yield from (each["name"].removeprefix(self._prefix) for each in page.get("items", []))
            if not page.get("nextPageToken"):
                return
            more = {"pageToken": page["nextPageToken"]}

    def _page(self, **wanted: str) -> Any:
        try:
            page = self._fs.call("GET", f"b/{quote(self._bucket)}/o", json_out=True, **wanted)
        except FileNotFoundError as error:
            raise self._no_bucket() from error
        self._is_there = True
        return page

    def _demand_bucket(self) -> None:
        """Raise if there is no bucket, for gcsfs says the same of all that is not there; one that was seen is believed."""
        if not self._is_there:
            self._page(prefix=self._prefix, maxResults="1")

    def _no_bucket(self) -> NotADirectoryError:
        return NotADirectoryError(f"there is no bucket {self._bucket}")

    # words

    def guarantees(self) -> Mapping[str, str]:
        """What Google gives."""
        return {
            "put": "atomic and create-only: an upload is invisible until it is whole (Google itself removes unfinished ones, "
            "after a week)",
            "durable": "when the server has answered",
            "listing": "sees every object from its put on",
        }

    def fault(self, error: Exception) -> Fault:
        """Go by the status that gcsfs passes on."""
        code = str(getattr(error, "code", None) or "")
        if code.isdigit():
            status = int(code)
            known = {401: Fault.CREDENTIALS, 403: Fault.FORBIDDEN, 404: Fault.MISSING, 412: Fault.TAKEN}
            return Fault.TRANSIENT if status >= 500 or status in {408, 429} else known.get(status, Fault.OTHER)
        module = type(error).__module__.partition(".")[0]
        if isinstance(error, FileNotFoundError):
            return Fault.MISSING
        if type(error) is OSError and str(error).startswith("Forbidden"):  # all that gcsfs leaves of a 403
            return Fault.FORBIDDEN
        if module == "google":  # asking for a token: what it could not reach, or what refused it
            retryable = getattr(error, "retryable", False) or type(error).__name__ == "TransportError"
            return Fault.TRANSIENT if retryable else Fault.CREDENTIALS
        if "credentials" in type(error).__name__.lower():
            return Fault.CREDENTIALS
        return Fault.TRANSIENT if module in {"aiohttp", "requests"} else fault_here(error)
