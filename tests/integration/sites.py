"""Where the tests of the whole library keep artifacts: each kind of place, and a way into it that goes round the library."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
import sqlalchemy as sa

import simpleml
from simpleml.orm import Database
from simpleml.orm.tables import Blob, BlobChunk, DataTable
from tests.backends.places import Place, s3_client

ROOT = Path(__file__).resolve().parents[2]
FAR = ("s3", "azure", "sftp")
"""Places on other machines, as far as the library knows."""

_chunks: Any = BlobChunk.__table__
_frames: Any = DataTable.__table__


@dataclass(frozen=True)
class Site:
    """A database of records and a place for artifacts, both fresh; the place is the store `cloud`, or `database` itself."""

    kind: str
    database_url: str
    place: Place | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Our own options of the store."""

    @property
    def store(self) -> str:
        """The name of the store, and the first word of its patterns."""
        return "database" if self.place is None else "cloud"

    @property
    def far(self) -> bool:
        """Whether what was read is kept in the cache."""
        return self.kind in FAR or (self.place is None and not self.database_url.startswith("sqlite"))

    def pattern(self, format_: str) -> str:
        """Return the save pattern that keeps this format here."""
        return f"{self.store}_{format_}"

    def but(self, **options: object) -> Site:
        """Return the same site with some of our own options."""
        return replace(self, options={**self.options, **options})

    def dead(self) -> Site:
        """Return the same site on a machine from which its place cannot be reached."""
        return replace(self, place=unreachable(self.place), options={**self.options, "retries_for": 0.3})

    def table(self) -> dict[str, Any]:
        """Return the table `[stores.<name>]` of a settings file."""
        at = {"url": "database://"} if self.place is None else {"url": self.place.url, **self.place.options}
        return {**at, **self.options}

    def connect(self, home: Path, **arguments: Any) -> Database:
        """Open the database as a machine with this home, as the current one."""
        simpleml.disconnect()
        return simpleml.connect(self.database_url, home=home, stores={self.store: self.table()}, **arguments)

    def settings(self) -> str:
        """Return the settings file of a machine that shares this."""
        return f"[database]\nurl = {json.dumps(self.database_url)}\n\n[stores.{self.store}]\n" + "".join(
            f"{name} = {_toml(value)}\n" for name, value in self.table().items()
        )

    # round the library

    def objects(self, database: Database) -> set[str]:
        """Return the paths of all that is in the place: objects, temporary ones, and uploads that were not completed."""
        if self.place is None:
            return set(self._rows(database)) | self._tables(database)
        filesystem, root = reached(self.place)
        found = {path.partition(f"{root.strip('/')}/")[2] for path in filesystem.find(root)}
        return {path for path in found if not path.endswith(".ready")} | uploads(self.place)

    def remove(self, database: Database, key: str) -> None:
        """Take an object away."""
        if self.place is None:
            database.run(lambda connection: connection.execute(sa.delete(_chunks).where(_chunks.c.key == key)).close())
        else:
            filesystem, root = reached(self.place)
            filesystem.rm_file(f"{root}/{key}")

    def flip(self, database: Database, key: str) -> None:
        """Change one bit in the middle of an object."""
        if self.place is None:
            piece = (_chunks.c.key == key) & (_chunks.c.number == 1)

            def work(connection: sa.Connection) -> None:
                data = bytes(connection.execute(sa.select(_chunks.c.data).where(piece)).scalar_one())
                connection.execute(sa.update(_chunks).where(piece).values(data=_flipped(data)))

            database.run(work)
            return
        filesystem, root = reached(self.place)
        data = filesystem.cat_file(f"{root}/{key}")
        filesystem.rm_file(f"{root}/{key}")
        filesystem.pipe_file(f"{root}/{key}", _flipped(data))

    def _rows(self, database: Database) -> set[str]:
        return database.run(
            lambda connection: {
                str(key)
                for table in (_chunks, _frames)
                for key in connection.execute(sa.select(table.c.key).distinct()).scalars()
            },
            read=True,
        )

    def _tables(self, database: Database) -> set[str]:
        """Return the names of the tables that hold frames, wherever this database keeps them."""
        look = sa.inspect(database.engine)
        schemas = look.get_schema_names() if database.url.get_backend_name() == "postgresql" else [None]
        return {name for schema in schemas for name in look.get_table_names(schema=schema) if name.startswith("sml_")}


def reached(place: Place) -> tuple[Any, str]:
    """Return a filesystem of its own, and the place's path on it."""
    filesystem, root = fsspec.url_to_fs(place.url, skip_instance_cache=True, **place.options)
    filesystem.invalidate_cache()
    return filesystem, str(root).rstrip("/")


def uploads(place: Place) -> set[str]:
    """Return the names of the uploads to S3 that were begun and neither completed nor aborted."""
    if place.kind != "s3":
        return set()
    bucket, _, prefix = place.url.partition("://")[2].partition("/")
    client = s3_client(place)
    try:
        found = client.list_multipart_uploads(Bucket=bucket, Prefix=f"{prefix}/").get("Uploads", [])
    finally:
        client.close()
    return {f"upload {each['UploadId']} of {each['Key']}" for each in found}


def unreachable(place: Place | None) -> Place:
    """Return the place as a machine sees it that is not connected to where it is."""
    assert place is not None
    if place.kind == "s3":
        return place.but(endpoint_url="http://127.0.0.1:1")
    if place.kind == "azure":
        words = dict(word.split("=", 1) for word in place.options["connection_string"].strip(";").split(";"))
        words["BlobEndpoint"] = f"http://127.0.0.1:1/{place.options['account_name']}"
        return place.but(connection_string=";".join(f"{name}={value}" for name, value in words.items()))
    parts = urlsplit(place.url)
    if place.kind == "sftp":
        return replace(place, url=place.url.replace(f":{parts.port}/", ":1/"))
    return replace(place, url=f"{place.url}-elsewhere")


def allow_writing(place: Place, folder: str, mode: int) -> None:
    """Change the rights of a folder of an SFTP place, as the user that owns it."""

    async def change() -> None:
        import asyncssh

        parts = urlsplit(place.url)
        login = {"username": unquote(parts.username or ""), "agent_path": None, "config": None, **place.options}
        async with (
            asyncssh.connect(parts.hostname or "", parts.port or 22, **login) as connection,
            connection.start_sftp_client() as client,
        ):
            await client.chmod(f"{unquote(parts.path)}/{folder}".rstrip("/"), mode)

    asyncio.run(change())


def secrets_of(site: Site) -> set[str]:
    """Return what nobody may find in a database: credentials, servers, buckets and folders."""
    found: set[str] = set()
    url = sa.make_url(site.database_url)
    found |= {text for text in (url.password, url.host and f"{url.host}:{url.port}") if text}
    if site.place is not None:
        parts = urlsplit(site.place.url)
        found |= {parts.netloc, parts.path.strip("/"), site.place.url.partition("://")[2]}
        found |= {text for value in site.place.options.values() for text in _texts(value)}
    return {text for text in found if len(text) > 5}


def dumped(database: Database) -> str:
    """Return every value of every row of every table as one text."""
    schema = sa.MetaData()
    schema.reflect(database.engine)
    words: list[str] = []
    with database.engine.connect() as connection:
        for table in schema.tables.values():
            for row in connection.execute(sa.text(f"SELECT * FROM {table.name}")):
                words += [value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row]
    return "\n".join(words)


def expire(database: Database) -> None:
    """End every lease."""
    database.run(lambda connection: connection.execute(sa.update(Blob).values(lease_until=0.0)).close())


def machine(home: Path, settings: str, *arguments: object, **variables: str) -> list[Any]:
    """Run `second_machine` with these arguments on a machine of its own: a process with an empty home and these settings."""
    (home / "work").mkdir(parents=True, exist_ok=True)
    (home / "work" / "simpleml.toml").write_text(settings, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SIMPLEML_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.second_machine", json.dumps(arguments)],
        cwd=home / "work",
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _texts(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return {text for each in value.values() for text in _texts(each)}
    return {text for each in value for text in _texts(each)} if isinstance(value, list) else {str(value)}


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    return json.dumps(value)
