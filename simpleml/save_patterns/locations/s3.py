"""`s3://bucket/prefix`: S3 and what speaks like it. One conditional PUT, or parts that one conditional call puts together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from simpleml.errors import ConfigurationError, SimpleMLError
from simpleml.save_patterns.locations.filesystem import make_filesystem, wrong_options
from simpleml.save_patterns.locations.s3_connection import S3Connection
from simpleml.save_patterns.locations.transport import MEBIBYTE, Fault, PartedTransport, Source, Stat, fault_here
from simpleml.settings.secret import masked

_DIGEST = "simpleml-digest"

_TRANSIENT = {
    "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequests",
    "RequestLimitExceeded", "BandwidthLimitExceeded", "RequestTimeout", "RequestTimeoutException", "InternalError",
    "ServiceUnavailable", "Busy", "OperationAborted", "ConditionalRequestConflict", "IncompleteBody", "BadDigest",
    "XAmzContentSHA256Mismatch", "PriorRequestNotComplete", "ServerBusy",
}  # fmt: skip
_CREDENTIALS = {
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired",
    "AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "InvalidSecurity", "NotSignedUp", "UnauthorizedAccess", "401",
    "AuthFailure", "MissingSecurityHeader", "InvalidClientTokenId",
}  # fmt: skip
_FAULTS = {
    **dict.fromkeys(_TRANSIENT, Fault.TRANSIENT),
    **dict.fromkeys(_CREDENTIALS, Fault.CREDENTIALS),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "AccountProblem", "403"), Fault.FORBIDDEN),
    **dict.fromkeys(("NoSuchKey", "404"), Fault.MISSING),
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName", "PermanentRedirect"), Fault.NO_PLACE),
    **dict.fromkeys(("PreconditionFailed", "412"), Fault.TAKEN),
    **dict.fromkeys(("QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"), Fault.FULL),
}


class S3Transport(PartedTransport):
    """Objects of a bucket, below a prefix, with their digest as metadata."""

    noun = "bucket"
    workers = 4
    part_size = 16 * MEBIBYTE  # each part costs the server a fixed price, and four of them are in memory

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        place = url.partition("://")[2]
        self._bucket, _, prefix = place.partition("/")
        if not self._bucket or not {*"@?:"}.isdisjoint(place):  # a login, or parameters, that nobody would read
            raise ConfigurationError(
                "a store on S3 is at s3://bucket/prefix, without any of @ ? and :; credentials are options or come from the "
                "environment"
            )
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._options = options
        server = self._server()
        if server and "://" not in server:
            raise ConfigurationError(
                f"the endpoint_url of a store on S3 is {masked(server)!r:.120}, without a scheme: write http:// or https:// before it"
            )
        self._lock = threading.Lock()
        self._opened: tuple[Any, S3Connection] | None = None
        self._conditional = True

    def describe(self) -> str:
        """The bucket and prefix, and the server if it is not Amazon's."""
        server = self._server()
        where = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        return f"{where} at {server.rpartition('@')[2]}" if server else where

    def _server(self) -> str:
        client = self._options.get("client_kwargs") or {}
        return str(self._options.get("endpoint_url") or client.get("endpoint_url") or "")

    # the two ways there

    def _open(self) -> tuple[Any, S3Connection]:
        with self._lock:
            if self._opened is None:
                fs = make_filesystem("s3", {"use_listings_cache": False, **self._options}, extra="s3")
                fs.retries = 1  # the store repeats what failed, and knows for how long
                fs.config_kwargs = {
                    "retries": {"total_max_attempts": 1},
                    "signature_version": "s3v4",
                    "max_pool_connections": 32,
                    **fs.config_kwargs,
                }
                try:
                    self._opened = fs, S3Connection(fs, self._bucket)
                except (TypeError, ValueError) as error:  # s3fs hands what it does not know on to botocore
                    raise wrong_options("s3", self._options, error) from error
            return self._opened

    def close(self) -> None:
        """Close what is idle, and what s3fs has open."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            fs, connection = opened
            connection.close_idle()
            client = getattr(fs, "_s3creator", None)  # what its own finalizer closes
            if client is not None:
                fs.close_session(fs.loop, client)

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._open()[0].call_s3(method, Bucket=self._bucket, **arguments)

    def _plain(self) -> bool:
        """Whether nothing is asked for that only s3fs can do: encryption, requesters who pay, old signatures, proxies."""
        fs, connection = self._open()
        asks = fs.s3_additional_kwargs or fs.req_kw or fs.config_kwargs["signature_version"] != "s3v4"
        return connection.direct and not asks

    # the calls

    def create(self, key: str, source: Source) -> None:
        """PUT the bytes if nothing is there; the digest goes along, and the signature covers the bytes."""
        data = source.whole()
        if self._plain():
            headers = {"Content-Type": "application/octet-stream", f"x-amz-meta-{_DIGEST}": source.digest}
            self._if_absent(
                {"If-None-Match": "*"},
                lambda condition: self._open()[1].put(self._prefix + key, data, {**headers, **condition}),
            )
        else:
            self._if_absent(
                {"IfNoneMatch": "*"},
                lambda condition: self._call(
                    "put_object", Key=self._prefix + key, Body=data, Metadata={_DIGEST: source.digest}, **condition
                ),
            )

    def _if_absent(self, condition: Mapping[str, str], call: Any) -> None:
        """Make the call on condition that nothing is there; without, on a server that knows no conditions."""
        try:
            call(condition if self._conditional else {})
        except Exception as error:
            if not self._conditional or _code(error) != "NotImplemented":
                raise
            self._conditional = False  # what is left is that no key is ever used twice
            call({})

    def stat(self, key: str) -> Stat | None:
        """HEAD the object."""
        try:
            found = self._call("head_object", Key=self._prefix + key)
        except Exception as error:
            fault = self.fault(error)
            if fault is Fault.MISSING:
                return None
            if _code(error) in {"400", "403"}:  # an answer to HEAD has no body that says why
                self._call("list_objects_v2", Prefix=self._prefix + key, MaxKeys=1)
            raise
        return Stat(int(found["ContentLength"]), found.get("Metadata", {}).get(_DIGEST))

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        """GET a range, straight into `target`; what came before a cut is kept."""
        if not len(target):
            return 0
        try:
            if self._plain():
                return self._open()[1].get(self._prefix + key, start, target)
            path = f"{self._bucket}/{self._prefix}{key}"
            data = self._open()[0].cat_file(path, start=start, end=start + len(target))
        except Exception as error:
            if _code(error) in {"InvalidRange", "416"}:
                return 0
            raise
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        """DELETE the object."""
        self._call("delete_object", Key=self._prefix + key)

    def list(self, folder: str) -> Iterable[str]:
        """List the objects below, page by page."""
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=f"{self._prefix}{folder}/", **more)
            yield from (each["Key"].removeprefix(self._prefix) for each in page.get("Contents", []))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    # parts

    def begin(self, key: str, source: Source) -> str:
        """Begin a multipart upload, which nobody sees."""
        begun = self._call(
            "create_multipart_upload",
            Key=self._prefix + key,
            Metadata={_DIGEST: source.digest},
            ContentType="application/octet-stream",
        )
        return str(begun["UploadId"])

    def add(self, key: str, upload: str, number: int, start: int, data: bytes) -> str:
        """PUT one part."""
        from urllib.parse import quote

        if self._plain():
            query = f"?partNumber={number + 1}&uploadId={quote(upload, safe='')}"
            return self._open()[1].put(self._prefix + key, data, {}, query)
        done = self._call("upload_part", Key=self._prefix + key, UploadId=upload, PartNumber=number + 1, Body=data)
        return str(done["ETag"])

    def finish(self, key: str, upload: str, parts: Iterable[str], source: Source) -> None:
        """Complete the upload if nothing is there."""
        listed = {"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(parts, 1)]}
        self._if_absent(
            {"IfNoneMatch": "*"},
            lambda condition: self._call(
                "complete_multipart_upload",
                Key=self._prefix + key,
                UploadId=upload,
                MultipartUpload=listed,
                **condition,
            ),
        )

    def abort(self, key: str, upload: str) -> None:
        """Abort the upload, whose parts would cost money for ever."""
        self._call("abort_multipart_upload", Key=self._prefix + key, UploadId=upload)

    def clear_leftovers(self, older_than: float) -> int:
        """Abort the uploads below our prefix that began long ago."""
        from simpleml.save_patterns.locations.keys import is_key

        removed, limit = 0, time.time() - older_than
        for upload in list(self._uploads()):
            key = upload["Key"].removeprefix(self._prefix)
            if is_key(key) and upload["Initiated"].timestamp() < limit:
                try:
                    self.abort(key, upload["UploadId"])
                    removed += 1
                except Exception as error:
                    if _code(error) not in {"NoSuchUpload", "404"}:  # its writer, or another sweeper, was first
                        raise
        return removed

    def _uploads(self) -> Iterator[Mapping[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_multipart_uploads", Prefix=self._prefix, **more)
            yield from page.get("Uploads", [])
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    # words

    def guarantees(self) -> Mapping[str, str]:
        """What S3 gives."""
        condition = (
            "create-only" if self._conditional else "the server has no conditional writes, so by a key used once"
        )
        return {
            "put": f"atomic and {condition}: one PUT, or parts that are invisible until one call completes them",
            "durable": "when the server has answered",
            "listing": "sees every object from its put on (Amazon S3; other servers may lag)",
        }

    def fault(self, error: Exception) -> Fault:
        """Go by the code of the answer, and by botocore's word for what happened where there was none."""
        if isinstance(error, SimpleMLError):  # it says already what is wrong, be it that botocore is not there
            return Fault.OTHER
        code = _code(error)
        if code:
            known = _FAULTS.get(code)
            status = _status(error)
            return known or (
                Fault.TRANSIENT if status in {408, 429} or (status >= 500 and status != 501) else Fault.OTHER
            )
        from botocore import exceptions as botocore
        from fsspec.asyn import FSTimeoutError

        root = _root(error)
        credentials = (
            botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.CredentialRetrievalError,
            botocore.ProfileNotFound, botocore.SSOError, botocore.TokenRetrievalError,
        )  # fmt: skip
        if isinstance(root, credentials):
            return Fault.CREDENTIALS
        transient = (botocore.ConnectionError, botocore.HTTPClientError, botocore.IncompleteReadError, FSTimeoutError)
        if isinstance(root, transient):
            return Fault.TRANSIENT
        if type(root).__module__.partition(".")[0] in {"aiohttp", "urllib3", "http"}:
            return Fault.TRANSIENT
        return fault_here(error)


def _root(error: BaseException) -> BaseException:
    """Return the failure that s3fs translated, if it did."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _response(error: BaseException) -> Mapping[str, Any]:
    found: Any = getattr(error, "response", None)
    if not isinstance(found, Mapping) and error.__cause__ is not None:
        found = getattr(error.__cause__, "response", None)
    return found if isinstance(found, Mapping) else {}


def _code(error: Exception) -> str:
    return str(_response(error).get("Error", {}).get("Code", ""))


def _status(error: Exception) -> int:
    return int(_response(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
