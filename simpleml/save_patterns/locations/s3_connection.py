"""Signed HTTP to one bucket: the bytes of objects, at the speed of the network.

Credentials, endpoint, region and options are those that s3fs has found, and botocore signs. Only what carries the bytes of
objects goes this way, because s3fs takes 2 ms of one thread for each request; everything else goes through s3fs.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from html import unescape
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from simpleml.save_patterns.locations.filesystem import unreadable
from simpleml.save_patterns.locations.transport import MEBIBYTE

_FRESH = (
    60.0  # seconds that credentials are used before they are asked for again; they are renewed long before they end
)
_IDLE = 64  # connections that are kept open
_FORGOTTEN = 12.0  # seconds after which what lies between may have forgotten a connection, and would say nothing
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,1000})</Message>")


class S3Connection:
    """PUT and GET of objects of one bucket; safe for threads. Refusals are botocore's `ClientError`."""

    def __init__(self, filesystem: Any, bucket: str) -> None:
        from botocore.utils import get_environ_proxies
        from fsspec.asyn import sync

        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._fs = filesystem
        client = sync(filesystem.loop, filesystem.set_session)
        secure = urlsplit(client.meta.endpoint_url).scheme == "https"
        self._context = _tls(filesystem, client.meta.config) if secure else None
        client = _regional(filesystem, bucket, client)
        self._config = client.meta.config
        # the address of the bucket, and what a signature is for, as botocore works them out
        signed = sync(
            filesystem.loop, client.generate_presigned_url, "get_object", Params={"Bucket": bucket, "Key": "k"}
        )
        parts = urlsplit(signed)
        self._host = parts.netloc
        self._base = f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('k')}"
        scope = parse_qs(parts.query).get("X-Amz-Credential", [""])[0].split("/")
        self._scope = (scope[-2], scope[-3]) if len(scope) >= 5 else None  # of "KEY/date/region/service/aws4_request"
        self.direct = not (self._config.proxies or get_environ_proxies(self._base))
        """Whether the server can be spoken with from here; proxies are left to s3fs."""
        self._credentials: Any = None
        self._until = 0.0

    def put(self, key: str, body: bytes, headers: Mapping[str, str], query: str = "") -> str:
        """PUT the bytes and return the ETag that they got."""
        connection, answer = self._send("PUT", key, query, headers, body)
        answer.read()
        self._keep(connection, answer)
        return str(answer.headers["ETag"])

    def get(self, key: str, start: int, target: memoryview) -> int:
        """GET a range straight into `target`, and return how many bytes came; what came before a cut counts."""
        headers = {"Range": f"bytes={start}-{start + len(target) - 1}"}
        connection, answer = self._send("GET", key, "", headers, b"")
        done = 0
        try:
            if start and answer.status != 206:
                raise NotImplementedError("the server does not know ranges of objects, which loading needs")
            while done < len(target) and (count := answer.readinto(target[done : done + MEBIBYTE])):
                done += count
            if not done and answer.length:
                raise ConnectionResetError("the server closed the connection before the first byte")
        except (OSError, http.client.HTTPException):
            if not done:
                raise
        finally:
            self._keep(connection, answer)
        return done

    def _send(
        self, method: str, key: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Return the answer, whose body is still to be read, if it is a good one."""
        url, signed = self._sign(method, f"{self._base}{quote(key, safe='/~')}{query}", headers, body)
        connection = self._connect()
        cut: OSError | None = None
        try:
            target = url.removeprefix(f"{urlsplit(url).scheme}://{self._host}")
            try:
                connection.request(method, target, body or None, signed)
            except (BrokenPipeError, ConnectionResetError) as error:
                cut = error  # whoever refuses need not read what it refuses: its answer says why
            answer = connection.getresponse()
            if answer.status < 300:
                if cut is not None:
                    raise cut
                return connection, answer
            text = answer.read(5000)
        except BaseException:
            connection.close()
            self.close_idle()  # a server that closed one may have closed them all
            raise
        if cut is None:
            self._keep(connection, answer)
        else:
            connection.close()
        raise _refused(method, answer.status, text)

    def _sign(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, str]]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body or None)
        request.context["client_config"] = self._config
        if self._scope is not None:
            S3SigV4Auth(self._current(), *self._scope).add_auth(request)
        return str(request.url), dict(request.headers.items())

    # connections

    def _connect(self) -> http.client.HTTPConnection:
        with suppress(IndexError):
            idle, since = self._idle.pop()
            if time.monotonic() - since < _FORGOTTEN:
                return idle
            idle.close()
            self.close_idle()  # the others have waited longer
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                self._host, timeout=self._config.connect_timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, timeout=self._config.connect_timeout)
        connection.connect()
        connection.sock.settimeout(self._config.read_timeout)
        return connection

    def _keep(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        """Keep a connection whose answer was read to its end, for the next request."""
        if answer.isclosed() and not answer.will_close and len(self._idle) < _IDLE:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        with suppress(IndexError):
            while True:
                self._idle.pop()[0].close()

    def __del__(self) -> None:
        self.close_idle()

    # credentials

    def _current(self) -> Any:
        from fsspec.asyn import sync

        if time.monotonic() >= self._until:
            self._credentials = sync(self._fs.loop, self._frozen)
            self._until = time.monotonic() + _FRESH
        return self._credentials

    async def _frozen(self) -> Any:
        from botocore.credentials import ReadOnlyCredentials
        from botocore.exceptions import NoCredentialsError

        given = self._fs.client_kwargs
        key = given.get("aws_access_key_id") or self._fs.key
        secret = given.get("aws_secret_access_key") or self._fs.secret
        if key and secret:
            return ReadOnlyCredentials(key, secret, given.get("aws_session_token") or self._fs.token)
        found = await self._fs.session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return await found.get_frozen_credentials()


def _regional(filesystem: Any, bucket: str, client: Any) -> Any:
    """Return a client of the bucket's own region: AWS sends others away, which only botocore's own calls would follow."""
    from fsspec.asyn import sync

    if not urlsplit(client.meta.endpoint_url).netloc.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return client
    try:
        answer = filesystem.call_s3("head_bucket", Bucket=bucket)
    except FileNotFoundError:
        raise NotADirectoryError(f"there is no bucket {bucket}") from None
    except OSError as error:  # who may not list may put and get all the same; the refusal names the region
        answer = getattr(error.__cause__, "response", None)
        if answer is None:
            raise
    region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if not region or region == client.meta.region_name:
        return client
    filesystem.client_kwargs = {**filesystem.client_kwargs, "region_name": region}
    return sync(filesystem.loop, filesystem.set_session, refresh=True)


def _tls(filesystem: Any, config: Any) -> ssl.SSLContext:
    """Return what botocore would check certificates by: the option, `AWS_CA_BUNDLE`, or the usual authorities."""
    from botocore.httpsession import get_cert_path

    verify = filesystem.client_kwargs.get("verify")
    if verify is None:
        verify = filesystem.session.get_config_variable("ca_bundle") or True
    named_by = "the options of the store (verify, client_cert), by AWS_CA_BUNDLE or by a profile"
    authorities = get_cert_path(verify)
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise unreadable(error, named_by, str(authorities)) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_cert:
        pair = (config.client_cert,) if isinstance(config.client_cert, str) else config.client_cert
        try:
            context.load_cert_chain(*pair)
        except OSError as error:
            raise unreadable(error, named_by, ", ".join(pair)) from error
    return context


def _refused(method: str, status: int, text: bytes) -> Exception:
    from botocore.exceptions import ClientError

    code, message = _CODE.search(text), _MESSAGE.search(text)
    error = {
        "Code": code[1].decode(errors="replace") if code else str(status),
        "Message": unescape(message[1].decode(errors="replace")) if message else "",
    }
    return ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, method)  # type: ignore[no-any-return]
