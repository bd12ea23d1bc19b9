"""Places to keep artifacts in: fresh, empty folders on the storage servers, described in fsspec's own words.

The URL of a server (`client.STORES`) holds all that is needed to reach it; parts are percent-encoded as usual:

    s3      http://KEY:SECRET@HOST:PORT/?region=us-east-1         (https as well; the user may make buckets)
    azure   http://ACCOUNT:KEY@HOST:PORT/ACCOUNT                  (the whole blob endpoint; may make containers)
    sftp    sftp://USER@HOST:PORT/FOLDER?client_keys=FILE&known_hosts=FILE     (FOLDER is there and can be written)

`temporary=1` in the query says that everything goes with the server, so that nobody needs to clean up.
"""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Place:
    """A root for a store: its fsspec URL, and the options that `fsspec.url_to_fs` takes with it."""

    kind: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def below(self, name: str) -> Place:
        """Return the place `name` in this one."""
        return replace(self, url=f"{self.url}/{name}")

    def but(self, **options: object) -> Place:
        """Return the same place reached with some options changed, such as a wrong secret."""
        return replace(self, options={**self.options, **options})


@contextmanager
def root(kind: str, server: str) -> Iterator[Place]:
    """Yield a new bucket, container or folder on `server`; it is removed at the end unless the server goes with it."""
    parts = urlsplit(server)
    make, remove = {"s3": (_make_s3, _drop_s3), "azure": (_make_azure, _drop_azure), "sftp": (_make_sftp, _drop_sftp)}[
        kind
    ]
    place = make(parts, f"simpleml-{uuid.uuid4().hex[:20]}")
    try:
        yield place
    finally:
        if "temporary" not in _query(parts):
            remove(parts, place)


@contextmanager
def fresh(within: Place) -> Iterator[Place]:
    """Yield a new, empty place in a root: a prefix of its own; on SFTP a folder that is there."""
    place = within.below(uuid.uuid4().hex[:12])
    if place.kind == "sftp":
        asyncio.run(_sftp(urlsplit(place.url), place.options, "mkdir"))
    yield place


@contextmanager
def in_memory() -> Iterator[Place]:
    """Yield a new, empty place in the memory of this process; it is emptied at the end."""
    filesystem = importlib.import_module("fsspec").filesystem("memory")
    name = f"simpleml-{uuid.uuid4().hex[:12]}"
    filesystem.mkdir(f"/{name}")
    try:
        yield Place("memory", f"memory://{name}")
    finally:
        filesystem.rm(f"/{name}", recursive=True)


def _query(parts: SplitResult) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(parts.query).items()}


def _endpoint(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _make_s3(parts: SplitResult, name: str) -> Place:
    options = {
        "key": unquote(parts.username or ""),
        "secret": unquote(parts.password or ""),
        "endpoint_url": _endpoint(parts),
        "client_kwargs": {"region_name": _query(parts).get("region", "us-east-1")},
    }
    place = Place("s3", f"s3://{name}", options)
    client = s3_client(place)
    client.create_bucket(Bucket=name)  # s3fs would send the region as a constraint, which S3 refuses for us-east-1
    client.close()
    return place


def _drop_s3(parts: SplitResult, place: Place) -> None:
    bucket = urlsplit(place.url).netloc
    client = s3_client(place)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        if found := [{"Key": each["Key"]} for each in page.get("Contents", [])]:
            client.delete_objects(Bucket=bucket, Delete={"Objects": found})
    client.delete_bucket(Bucket=bucket)
    client.close()


def s3_client(place: Place) -> Any:
    """Return botocore's client for a place on S3."""
    return (
        importlib.import_module("botocore.session")
        .get_session()
        .create_client(
            "s3",
            endpoint_url=place.options["endpoint_url"],
            aws_access_key_id=place.options["key"],
            aws_secret_access_key=place.options["secret"],
            config=importlib.import_module("botocore.config").Config(signature_version="s3v4"),
            **place.options["client_kwargs"],
        )
    )


def _make_azure(parts: SplitResult, name: str) -> Place:
    account, key = unquote(parts.username or ""), unquote(parts.password or "")
    connection = f"DefaultEndpointsProtocol={parts.scheme};AccountName={account};AccountKey={key};BlobEndpoint={_endpoint(parts)};"
    options = {"account_name": account, "account_key": key, "connection_string": connection}
    place = Place("azure", f"az://{name}", options)
    with _azure_client(place) as client:
        client.create_container(name)
    return place


def _drop_azure(parts: SplitResult, place: Place) -> None:
    with _azure_client(place) as client:
        client.delete_container(urlsplit(place.url).netloc)


def _azure_client(place: Place) -> Any:
    service = importlib.import_module("azure.storage.blob").BlobServiceClient
    return service.from_connection_string(place.options["connection_string"])


def _make_sftp(parts: SplitResult, name: str) -> Place:
    query = _query(parts)
    options: dict[str, Any] = {name: query[name] for name in ("client_keys", "known_hosts") if name in query}
    if "client_keys" in options:
        options["client_keys"] = [options["client_keys"]]
    password = f":{quote(unquote(parts.password), safe='')}" if parts.password else ""
    address = f"{parts.username}{password}@{parts.hostname}:{parts.port or 22}"
    place = Place("sftp", f"sftp://{address}{parts.path.rstrip('/')}/{name}", options)
    asyncio.run(_sftp(urlsplit(place.url), options, "mkdir"))
    return place


def _drop_sftp(parts: SplitResult, place: Place) -> None:
    asyncio.run(_sftp(urlsplit(place.url), place.options, "rmtree"))


async def _sftp(where: SplitResult, options: Mapping[str, Any], verb: str) -> None:
    """Do one thing at one path, on a connection of its own: one kept open would be carried into forked processes."""
    asyncssh = importlib.import_module("asyncssh")
    login = {"username": unquote(where.username or ""), "agent_path": None, "config": None, **options}
    if where.password:
        login["password"] = unquote(where.password)
    async with (
        asyncssh.connect(where.hostname, where.port, **login) as connection,
        connection.start_sftp_client() as client,
    ):
        await getattr(client, verb)(unquote(where.path))
