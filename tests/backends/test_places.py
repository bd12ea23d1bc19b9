"""The places that tests keep artifacts in, each on a real server."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import asyncssh
import fsspec
import pytest
from azure.core.exceptions import HttpResponseError

from tests.backends import places
from tests.backends.client import STORES
from tests.backends.places import Place

KINDS = ("local", "memory", *STORES)


def _reached(place: Place):
    """The filesystem, made anew, and the place's path on it."""
    return fsspec.url_to_fs(place.url, skip_instance_cache=True, **place.options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_is_fresh_and_empty_and_keeps_what_is_put_there(kind, new_place):
    """A client of fsspec, given the place's own URL and options and nothing else, writes, reads, lists and deletes."""
    place, other = new_place(kind), new_place(kind)
    filesystem, path = _reached(place)
    assert filesystem.find(path) == []
    if kind in {"local", "sftp"}:
        filesystem.makedirs(f"{path}/a ü")
    filesystem.pipe_file(f"{path}/a ü/b", b"12" * 1000)
    assert filesystem.cat_file(f"{path}/a ü/b") == b"12" * 1000
    assert [each.removeprefix(path.rstrip("/")) for each in filesystem.find(path)] == ["/a ü/b"]
    assert _reached(other)[0].find(_reached(other)[1]) == []
    filesystem.rm_file(f"{path}/a ü/b")
    assert filesystem.find(path) == []


@pytest.fixture
def other_key(tmp_path):
    """The files of a key that no server knows, and of a server's key that is not this server's."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    (tmp_path / "hosts").write_text(f"* {key.export_public_key().decode()}")
    return {"client_keys": [str(tmp_path / "key")], "known_hosts": str(tmp_path / "hosts")}


@pytest.mark.parametrize(
    ("kind", "option", "error", "message"),
    [
        ("s3", "secret", PermissionError, "signature"),
        ("azure", "connection_string", HttpResponseError, "AuthorizationFailure"),
        ("sftp", "client_keys", PermissionError, "Permission denied"),
        ("sftp", "known_hosts", asyncssh.HostKeyNotVerifiable, "not trusted"),
    ],
)
def test_wrong_credentials_are_refused(kind, option, error, message, new_place, other_key):
    """The servers check signatures and keys, and a client that knows another key of the server's turns away."""
    place = new_place(kind)
    right = place.options[option]
    wrong = {
        "secret": "guessed",
        "connection_string": str(right).replace(place.options.get("account_key", ""), "Z3Vlc3NlZA=="),
        **other_key,
    }[option]
    with pytest.raises(error, match=message):
        filesystem, path = _reached(place.but(**{option: wrong}))
        filesystem.pipe_file(f"{path}/a", b"1")
    assert repr(right) not in repr(place)


@pytest.mark.parametrize(("kind", "error"), [("s3", OSError), ("azure", FileExistsError)])
def test_a_second_create_only_put_is_refused(kind, error, new_place):
    """The servers hold `If-None-Match: *`: what was there first stays."""
    filesystem, path = _reached(new_place(kind))
    filesystem.pipe_file(f"{path}/a", b"first", mode="create")
    with pytest.raises(error):
        filesystem.pipe_file(f"{path}/a", b"second", mode="create")
    assert filesystem.cat_file(f"{path}/a") == b"first"


def test_an_upload_in_parts_becomes_one_object(new_place):
    """S3 puts the parts of an upload together, shows nothing of it before, and gives the tag that such objects have."""
    filesystem, path = _reached(new_place("s3"))
    with filesystem.open(f"{path}/a", "wb", block_size=5 << 20) as file:
        for _ in range(11):
            file.write(b"1" * (1 << 20))
        assert filesystem.find(path, refresh=True) == []
    assert filesystem.info(f"{path}/a", refresh=True)["size"] == 11 << 20
    assert filesystem.info(f"{path}/a")["ETag"].strip('"').endswith("-3")


@pytest.mark.parametrize(("kind", "end"), [("s3", "kill"), ("azure", "stop"), ("sftp", "kill")])
def test_a_private_storage_server_comes_back_with_what_was_put(kind, end, private_server):
    """A server refuses while it is away, and returns with its data under its URL; Azurite's survives no SIGKILL."""
    server = private_server(kind)
    with places.root(kind, server.url) as place:
        filesystem, path = _reached(place)
        filesystem.pipe_file(f"{path}/a", b"1")
        getattr(server, end)()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(server.url).port)) != 0
        server.start()
        filesystem, path = _reached(place)
        assert filesystem.cat_file(f"{path}/a") == b"1"


@pytest.mark.parametrize("kind", STORES)
def test_a_root_on_a_server_that_stays_is_removed(kind, servers):
    """On a server that was not started for the tests nothing is left: no object, no bucket, no folder."""
    with places.root(kind, servers.url(kind).replace("temporary=1", "")) as place:
        filesystem, path = _reached(place)
        filesystem.pipe_file(f"{path}/a", b"1")
    assert not _reached(place)[0].exists(path)
