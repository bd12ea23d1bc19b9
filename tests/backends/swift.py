"""OpenStack Swift, whose S3 API is a real one: signatures, multipart uploads, conditional requests; by pip."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from tests.backends.client import ROOT, BackendError
from tests.backends.daemon import Daemon, free_port

REGION = "us-east-1"
PIPELINE = "catch_errors cache listing_formats bulk s3api tempauth copy slo dlo symlink proxy-server"


class Swift(Daemon):
    """A cluster of its own in `folder`: one process, one device, one replica; it runs as whoever started it."""

    title = "OpenStack Swift"
    stop_signal = signal.SIGTERM
    demoted = False  # the interpreter and its packages may lie where `nobody` cannot read

    def __init__(self, folder: Path, *, durable: bool) -> None:
        super().__init__(folder, durable=durable)
        self.user = "test:tester"  # account and user; what clients call the access key

    @property
    def url(self) -> str:
        """The endpoint with the keys before it, and the region; whatever is made there goes with the server."""
        return f"http://{quote(self.user)}:{self.password}@127.0.0.1:{self.port}/?region={REGION}&temporary=1"

    def prepare(self) -> None:
        """Write the configuration of a cluster that lies in one folder."""
        if importlib.util.find_spec("swift") is None:
            raise BackendError(
                f"{self.title} is not installed: install the extra `dev`, or set SIMPLEML_TEST_S3_URL to a running server"
            )
        etc = self.folder / "etc"
        self.make_own(self.data / "disk", etc)
        _check_attributes(self.data)
        (etc / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = x\nswift_hash_path_prefix = y\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n"
        )
        (etc / "proxy.conf").write_text(self._proxy(etc))
        for part in ("account", "container", "object"):
            (etc / f"{part}.conf").write_text(self._backend(part, free_port(), etc))

    def command(self) -> list[str]:
        """Run the four servers in one process of this interpreter."""
        lazy = [] if self.durable else ["--lazy"]
        return [sys.executable, "-m", "tests.backends.swift_server", *lazy, str(self.folder)]

    def environment(self) -> dict[str, str]:
        """Let the process find this package."""
        return {**super().environment(), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}

    def is_ready(self) -> bool:
        """Have a signed request answered: by then the proxy has spoken with the server of accounts."""
        request = urllib.request.Request(self._signed(f"http://127.0.0.1:{self.port}/"))
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise BackendError(f"{self.title} refused its own keys: {error.read().decode()[:500]}") from error
            return False
        except OSError:
            return False

    def _signed(self, url: str) -> str:
        """Return `url` with a signature in its query, by botocore."""
        auth = importlib.import_module("botocore.auth")
        keys = importlib.import_module("botocore.credentials").Credentials(self.user, self.password)
        request = importlib.import_module("botocore.awsrequest").AWSRequest(method="GET", url=url)
        auth.S3SigV4QueryAuth(keys, "s3", REGION, expires=60).add_auth(request)
        return str(request.url)

    def _proxy(self, etc: Path) -> str:
        options = {
            "s3api": "s3_acl = no\nlocation = us-east-1\ncheck_bucket_owner = no\ndns_compliant_bucket_names = no\n"
            "max_multi_delete_objects = 1000\nmulti_delete_concurrency = 8\nmin_segment_size = 5242880",
            "tempauth": f"user_{self.user.replace(':', '_')} = {self.password} .admin\ntoken_life = 604800",
        }
        programs = {"cache": "call:tests.backends.swift_server:remembering"}
        filters = [name for name in PIPELINE.split() if name != "proxy-server"]
        return "".join(
            [
                f"[DEFAULT]\n{_common(self.port, etc)}[pipeline:main]\npipeline = {PIPELINE}\n",
                "[app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\naccount_autocreate = true\n",
                *(f"[filter:{n}]\nuse = {programs.get(n, f'egg:swift#{n}')}\n{options.get(n, '')}\n" for n in filters),
            ]
        )

    def _backend(self, part: str, port: int, etc: Path) -> str:
        return (
            f"[DEFAULT]\n{_common(port, etc)}devices = {self.data}\nmount_check = false\n"
            "fallocate_reserve = 0\ndisable_fallocate = true\n"
            f"[pipeline:main]\npipeline = {part}-server\n[app:{part}-server]\nuse = egg:swift#{part}\n"
        )


def _common(port: int, etc: Path) -> str:
    return f"swift_dir = {etc}\nlog_level = WARNING\nbind_ip = 127.0.0.1\nbind_port = {port}\n"


def _check_attributes(folder: Path) -> None:
    """Raise where files cannot have attributes of their own, in which Swift keeps names and digests."""
    try:
        os.setxattr(folder, "user.simpleml", b"x")
    except OSError as error:
        raise BackendError(
            f"OpenStack Swift needs extended attributes, which the file system of {folder} has not ({error.strerror}): "
            "set TMPDIR to a folder on ext4, xfs, btrfs or overlay"
        ) from error
