"""The proxy that harms what passes between a client and S3."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request

import fsspec
import obstore
import pytest
from obstore.store import S3Store

from tests.backends.places import Place, s3_client
from tests.backends.proxy import Faults

CONTENT = bytes(range(256)) * 1024


class Raw:
    """A client that tries nothing twice, with requests that botocore signed."""

    def __init__(self, place: Place) -> None:
        self.client = s3_client(place)
        self.bucket, _, self.prefix = place.url.removeprefix("s3://").partition("/")

    def ask(self, method: str, name: str, data: bytes | None = None) -> tuple[int, bytes]:
        """The status and body of the answer."""
        operation = {"GET": "get_object", "PUT": "put_object"}[method]
        where = {"Bucket": self.bucket, "Key": f"{self.prefix}/{name}"}
        request = urllib.request.Request(self.client.generate_presigned_url(operation, where), data=data, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@pytest.fixture
def clients(faulty_s3):
    """A raw client through the proxy, one beside it, and the proxy."""
    return Raw(faulty_s3.place), Raw(faulty_s3.straight), faulty_s3.proxy


@pytest.mark.parametrize(
    ("fault", "done"), [("refused", False), ("lost_answer", True), ("cut_request", False), ("cut_response", True)]
)
def test_each_fault_happens_and_is_counted(fault, done, clients):
    """A put that is refused or cut leaves nothing; one whose answer is lost has been done; both look bad to the client."""
    through, beside, proxy = clients
    proxy.faults = Faults(**{fault: 1.0}, at_most=1)
    if fault in {"refused", "lost_answer"}:
        assert through.ask("PUT", "a", CONTENT)[0] in {500, 503, 429}
    else:
        with pytest.raises((OSError, http.client.HTTPException)):
            through.ask("PUT", "a", CONTENT)
    assert beside.ask("GET", "a") == (200, CONTENT) if done else beside.ask("GET", "a")[0] == 404
    assert through.ask("PUT", "a", CONTENT) == (200, b"")
    assert proxy.counts == {"requests": 2, fault: 1}


def test_an_answer_can_be_cut_in_the_middle(clients):
    """Over some tries, a reader gets a part of the content, and an error."""
    through, beside, proxy = clients
    assert beside.ask("PUT", "a", CONTENT)[0] == 200
    proxy.faults = Faults(cut_response=1.0)
    parts = []
    for _ in range(20):
        try:
            through.ask("GET", "a")
        except http.client.IncompleteRead as error:
            parts.append(error.partial)
        except OSError:
            continue
    assert parts
    assert all(CONTENT.startswith(part) and len(part) < len(CONTENT) for part in parts)
    assert proxy.counts == {"requests": 20, "cut_response": 20}


def test_delay_and_throttle_take_their_time_and_harm_nothing(clients):
    """A slow network takes at least as long as it was told, and brings every byte."""
    through, _, proxy = clients
    proxy.faults = Faults(delayed=1.0, throttled=1.0, delay=0.2, rate=len(CONTENT) * 5)
    begun = time.monotonic()
    assert through.ask("PUT", "a", CONTENT)[0] == 200
    assert through.ask("GET", "a") == (200, CONTENT)
    assert time.monotonic() - begun >= 0.8  # no race: it sleeps for that long
    assert proxy.counts == {"requests": 2, "delayed": 2, "throttled": 2}


def test_faults_keep_to_their_methods_and_end_when_told(clients):
    """What is meant for puts leaves gets alone, and after `calm` nothing happens any more."""
    through, _, proxy = clients
    proxy.faults = Faults(refused=1.0, statuses=(503,), methods=frozenset({"PUT"}))
    assert through.ask("GET", "a")[0] == 404
    assert through.ask("PUT", "a", CONTENT)[0] == 503
    proxy.calm()
    assert through.ask("PUT", "a", CONTENT)[0] == 200
    assert proxy.counts == {"requests": 3, "refused": 1}


def test_real_clients_pass_and_overcome_what_is_rare(faulty_s3):
    """s3fs and obstore sign for the proxy's address, upload in parts, list and read back, faults or none."""
    place, proxy = faulty_s3.place, faulty_s3.proxy
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    keys = {"access_key_id": place.options["key"], "secret_access_key": place.options["secret"], "region": "us-east-1"}
    options = {"client_options": {"allow_http": True}, "virtual_hosted_style_request": False}
    store = S3Store(bucket, prefix=prefix, endpoint=place.options["endpoint_url"], **keys, **options)
    filesystem, path = fsspec.url_to_fs(place.url, skip_instance_cache=True, **place.options)
    for faults in (Faults(), Faults(cut_request=0.1, refused=0.1, lost_answer=0.1, cut_response=0.05)):
        proxy.faults = faults
        content = CONTENT * 24  # more than one part
        obstore.put(store, "rust", content, chunk_size=5 << 20)
        assert bytes(obstore.get(store, "rust").bytes()) == content
        with filesystem.open(f"{path}/python", "wb", block_size=5 << 20) as file:
            file.write(content)
        assert filesystem.cat_file(f"{path}/python") == content
        assert [each["path"] for each in store.list().collect()] == ["python", "rust"]
    proxy.calm()
    assert proxy.counts.total() > proxy.counts["requests"]
