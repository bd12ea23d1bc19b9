"""A JSON cell that somebody edited is told by record and column, and keeps nothing but its own record from being read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from simpleml.errors import EncodingError
from simpleml.orm import Database
from simpleml.orm.backup import backup
from simpleml.orm.housekeeping import verify
from simpleml.orm.inventory import usage
from tests.integration.kinds import Box

NO_JSON = ["{nope", b"\xff\xfe"]


def edit(database: Database, column: str, value: object, version: int = 1) -> None:
    """Put `value` into a cell of a version of `bad`, as who edits the database by hand."""
    changed = text(f"UPDATE persistables SET {column} = :value WHERE name = 'bad' AND version = {version}")
    database.run(lambda connection: connection.execute(changed, {"value": value}).close())


@pytest.fixture
def boxes(local: Database) -> Database:
    """An SQLite database with one good record, and two of the name `bad`."""
    for number, name in enumerate(["good", "bad", "bad"]):
        Box(name=name, data=[number]).save()
    return local


def read(what: str, database: Database, tmp_path: Path) -> Callable[[], Any]:
    """Return one of the ways to read the cells of `bad` version 1."""
    ways: dict[str, Callable[[], Any]] = {
        "versions": lambda: Box.versions("bad"),
        "query": lambda: Box.query().all(),
        "load": lambda: Box.load("bad", version=1),
        "backup": lambda: backup(database, tmp_path / "backup"),
        "usage": lambda: usage(database),
    }
    return ways[what]


@pytest.mark.parametrize("value", NO_JSON, ids=ascii)
@pytest.mark.parametrize("way", ["versions", "query", "load", "backup", "usage"])
def test_what_is_no_json_is_told_by_record_and_column(boxes: Database, tmp_path: Path, way: str, value: object) -> None:
    """Whoever reads the cell gets an error of ours that names the record, the column, and the command that finds all such."""
    edit(boxes, "filepaths", value)
    with pytest.raises(EncodingError, match=r"persistable 'bad' version 1: its column 'filepaths' .*verify --all"):
        read(way, boxes, tmp_path)()


@pytest.mark.parametrize("value", NO_JSON, ids=ascii)
def test_others_are_read_as_ever(boxes: Database, value: object) -> None:
    """The other records of the table, and the other versions of the name, are found and loaded."""
    edit(boxes, "metadata", value)
    assert (Box.load("good").data, Box.load("bad").data) == ([0], [2])


@pytest.mark.parametrize("value", NO_JSON, ids=ascii)
@pytest.mark.parametrize("column", ["filepaths", "metadata"])
def test_a_verification_lists_it_and_goes_on(boxes: Database, column: str, value: object) -> None:
    """Each such cell is one finding, and all other records and all objects are looked at."""
    edit(boxes, column, value)
    found = verify(boxes, everything=True)
    assert [(one.problem, one.record) for one in found.findings] == [("unreadable", "persistable 'bad' version 1")]
    assert f"'{column}'" in found.findings[0].message
    assert (found.records, found.blobs) == (3, 3)


@pytest.mark.parametrize("column", ["filepaths", "metadata"])
def test_json_that_is_no_mapping_is_a_finding(database: Database, column: str) -> None:
    """Where the database sees to it that a cell is JSON, it may still be another value: one finding, on every database."""
    Box(name="bad", data=[1]).save()
    Box(name="good", data=[2]).save()
    edit(database, column, "[1]")
    found = verify(database, everything=True)
    assert [(one.problem, one.record) for one in found.findings] == [("unreadable", "persistable 'bad' version 1")]
    assert found.records == 2


def test_findings_are_sorted(boxes: Database) -> None:
    """Findings come in the order of kinds, names and versions, these as numbers, and not in that of random ids."""
    for number in range(3, 13):
        Box(name="bad", data=[number]).save()
    for version in (12, 10, 2, 1, 9):
        edit(boxes, "metadata", "{", version)
    listed = [one.record for one in verify(boxes).findings]
    assert listed == [f"persistable 'bad' version {version}" for version in (1, 2, 9, 10, 12)]


def test_ls_names_the_record(boxes: Database, cli: Callable[..., tuple[int, str, str]]) -> None:
    """`ls`, which reads the latest version of each name, ends with the same words, and without a traceback."""
    edit(boxes, "filepaths", "{nope", version=2)
    code, _, told = cli("--database", str(boxes.settings.database), "ls")
    assert (code, "persistable 'bad' version 2: its column 'filepaths'" in told) == (1, True)


@pytest.mark.parametrize(
    "value",
    ["null", "[]", '{"data": null}', '{"data": "x"}', '{"data": {"json": null}}', '{"data": {"json": "x"}}',
     '{"data": {"json": {"size": "a", "total": null}}}', '{"data": {"json": {"size": 5, "parts": [1]}}}'],
)  # fmt: skip
def test_a_record_without_references_is_listed(
    boxes: Database, cli: Callable[..., tuple[int, str, str]], value: str
) -> None:
    """JSON that holds no references hides no other record from `ls`; `show` and `scan` say of it what can be said."""
    edit(boxes, "filepaths", value, version=2)
    there = ("--database", str(boxes.settings.database))
    code, out, err = cli(*there, "ls")
    assert (code, err, len(out.splitlines())) == (0, "", 3)
    for command in ("show", "scan"):
        code, out, err = cli(*there, command, "bad")
        assert (code, err) == (0, "")
        if "data" in value:
            assert "edited" in out


@pytest.mark.parametrize("value", ["null", "[1]", "5", '{"config": 5}'])
def test_metadata_of_another_shape_are_shown(
    boxes: Database, cli: Callable[..., tuple[int, str, str]], value: str
) -> None:
    """Metadata that are no mapping keep nobody from seeing the rest of a record."""
    edit(boxes, "metadata", value, version=2)
    code, out, _ = cli("--database", str(boxes.settings.database), "show", "bad")
    assert (code, "data by json" in out) == (0, True)
