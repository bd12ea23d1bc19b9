"""`az://container/prefix`: Azure Blob Storage. One conditional upload, or blocks that one conditional call commits."""

from __future__ import annotations

import re
import threading
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from simpleml.errors import ConfigurationError
from simpleml.save_patterns.locations.filesystem import make_filesystem
from simpleml.save_patterns.locations.transport import MEBIBYTE, Fault, PartedTransport, Source, Stat, fault_here

_DIGEST = "simpleml_digest"

_CREDENTIALS = {
    "AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo", "NoAuthenticationInformation",
    "AccountIsDisabled",
}  # fmt: skip
_ACCOUNT = re.compile(r"\bAccountName=([a-z0-9]+)", re.IGNORECASE)
_NO_PLACE = {
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "ContainerDisabled",
    "ResourceTypeMismatch",
    "AccountNotFound",
}


class AzureTransport(PartedTransport):
    """Block blobs of a container, below a prefix, with their digest as metadata.

    adlfs finds account and credentials; the blobs go through Azure's own client, which has the conditions and the blocks.
    """

    noun = "container"
    workers = 4
    range_size = 4 * MEBIBYTE  # Azure's client copies what comes, twice

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        place, _, prefix = url.partition("://")[2].partition("/")
        self._container, _, host = place.partition("@")  # abfs://container@account.dfs.core.windows.net/prefix
        # a login, or parameters, that nobody would read
        odd = not {*"@?:"}.isdisjoint(self._container + host + prefix) or not {".", ".."}.isdisjoint(prefix.split("/"))
        if not self._container or odd:
            raise ConfigurationError(
                "a store on Azure is at az://container/prefix or abfss://container@account.dfs.core.windows.net/prefix, "
                "without any other of @ ? and :, or folders called . or ..; credentials are options or come from the environment"
            )
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._options = {"account_name": host.partition(".")[0], **options} if host else dict(options)
        self._lock = threading.Lock()
        self._opened: Any = None

    def describe(self) -> str:
        """The container and prefix, and the account that is named in the settings."""
        where = f"az://{self._container}/{self._prefix}".rstrip("/")
        named = _ACCOUNT.search(str(self._options.get("connection_string", "")))
        account = named[1] if named else self._options.get("account_name")
        return f"{where} in the account {account}" if account else where

    def _container_client(self) -> Any:
        with self._lock:
            if self._opened is None:
                fs = make_filesystem("abfs", {"use_listings_cache": False, **self._options}, extra="azure")
                self._opened = _service(fs).get_container_client(self._container)
            return self._opened

    def _blob(self, key: str) -> Any:
        return self._container_client().get_blob_client(self._prefix + key)

    # the calls

    def create(self, key: str, source: Source) -> None:
        """Upload the blob in one request, if nothing is there."""
        self._blob(key).upload_blob(
            source.whole(), length=source.size, overwrite=False, metadata={_DIGEST: source.digest}
        )

    def stat(self, key: str) -> Stat | None:
        """Ask for the properties."""
        try:
            found = self._blob(key).get_blob_properties()
        except Exception as error:
            if self.fault(error) is Fault.MISSING:
                return None
            raise
        return Stat(int(found.size), (found.metadata or {}).get(_DIGEST))

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """Download a range in one request."""
        try:
            data = self._blob(key).download_blob(offset=start, length=len(target), max_concurrency=1).readall()
        except Exception as error:
            if getattr(error, "status_code", None) == 416:  # beyond the end
                return 0
            raise
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """Delete the blob."""
        self._blob(key).delete_blob()

    def list(self, folder: str) -> Iterable[str]:
        """List the blobs below, page by page."""
        names = self._container_client().list_blob_names(name_starts_with=f"{self._prefix}{folder}/")
        return (str(name).removeprefix(self._prefix) for name in names)

    # blocks

    def begin(self, key: str, source: Source) -> str:
        """Nothing has to be announced: blocks belong to the key."""
        return ""

    def add(self, key: str, upload: str, number: int, start: int, data: bytes) -> str:
        """Stage one block; staged again, it replaces itself."""
        block = b64encode(f"{number:08d}".encode()).decode()
        self._blob(key).stage_block(block, data, length=len(data))
        return block

    def finish(self, key: str, upload: str, parts: Iterable[str], source: Source) -> None:
        """Commit the blocks if nothing is there."""
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock

        self._blob(key).commit_block_list(
            [BlobBlock(block_id=block) for block in parts],
            metadata={_DIGEST: source.digest},
            match_condition=MatchConditions.IfMissing,
        )

    def abort(self, key: str, upload: str) -> None:
        """Leave the blocks to Azure: there is no call that removes them, and it does after a week."""

    # words

    def guarantees(self) -> Mapping[str, str]:
        """What Azure gives."""
        return {
            "put": "atomic and create-only: one upload, or blocks that are invisible until one call commits them (Azure "
            "itself removes blocks that were never committed, after a week)",
            "durable": "when the server has answered",
            "listing": "sees every object from its put on",
        }

    def fault(self, error: Exception) -> Fault:
        """Go by Azure's error code, then by the status."""
        try:
            from azure.core import exceptions as azure
        except ImportError:
            return fault_here(error)
        given = getattr(error, "error_code", None) or ""
        code = str(getattr(given, "value", given))
        if code in _NO_PLACE:
            return Fault.NO_PLACE
        if code in _CREDENTIALS:
            return Fault.CREDENTIALS
        if isinstance(error, azure.HttpResponseError) and error.status_code:
            return _by_status(error.status_code, code)
        if isinstance(error, azure.ClientAuthenticationError):
            return Fault.CREDENTIALS
        if isinstance(error, azure.ServiceRequestError | azure.ServiceResponseError | azure.HttpResponseError):
            return Fault.TRANSIENT
        return (
            Fault.TRANSIENT
            if type(error).__module__.partition(".")[0] in {"requests", "urllib3"}
            else fault_here(error)
        )


def _by_status(status: int, code: str) -> Fault:
    if status >= 500 or status in {408, 429}:
        return Fault.FULL if status == 507 else Fault.TRANSIENT
    if status in {409, 412}:
        return (
            Fault.TAKEN
            if code in {"BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite"}
            else Fault.OTHER
        )
    return {401: Fault.CREDENTIALS, 403: Fault.FORBIDDEN, 404: Fault.MISSING}.get(status, Fault.OTHER)


def _service(fs: Any) -> Any:
    """Return Azure's own client, which waits in our threads, for the account and the credentials that adlfs found."""
    from azure.storage.blob import BlobServiceClient

    settings: dict[str, Any] = {
        "retry_total": 0,  # the store repeats what failed, and knows for how long
        "connection_timeout": 10,
        "read_timeout": 60,
        "max_single_put_size": 64 * MEBIBYTE,
        "max_single_get_size": 64 * MEBIBYTE,
    }
    if fs.connection_string is not None:
        return BlobServiceClient.from_connection_string(fs.connection_string, **settings)
    url = str(fs.account_url)
    if fs.credential is not None:
        credential = fs.sync_credential or (fs.credential if isinstance(fs.credential, str) else _Waiting(fs))
        return BlobServiceClient(url, credential=credential, **settings)
    if fs.account_key is None and fs.sas_token is not None:
        split = urlsplit(url)
        return BlobServiceClient(f"{split.scheme}://{split.netloc}{split.path}?{fs.sas_token.lstrip('?')}", **settings)
    return BlobServiceClient(url, credential=fs.account_key, **settings)


class _Waiting:
    """A credential that adlfs was given for its event loop, for those who wait."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def get_token(self, *scopes: str, **options: Any) -> Any:
        from fsspec.asyn import sync

        return sync(self._fs.loop, self._fs.credential.get_token, *scopes, **options)
