"""Tags: given, taken, found, and gone with their version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

import simpleml
from simpleml.cli import main
from simpleml.errors import IdentityError, RecordNotFoundError, UnsavedReferenceError
from simpleml.orm import Database, ORMGeneral
from simpleml.orm.tables import Tag
from tests.integration.kinds import Box
from tests.races.test_statements import counting


def box(name: str = "churn") -> Box:
    """Return a saved version."""
    return Box(name=name, data=str(uuid4())).save()


def count(database: Database) -> int:
    """Return how many tags there are in all."""
    return database.run(lambda connection: connection.execute(select(func.count()).select_from(Tag)).scalar_one())


def test_tags_are_given_and_taken(database: Database) -> None:
    """Tags are a sorted tuple; giving one twice and taking one that is not there change nothing."""
    made = box()
    assert made.tags == ()
    assert made.tag("reviewed", "candidate") is made
    assert made.tag("candidate").tags == ("candidate", "reviewed")
    assert made.untag("candidate", "never given").tags == ("reviewed",)
    assert made.tag().untag().tags == ("reviewed",)
    assert Box.load("churn").tags == ("reviewed",)
    assert Box(name="churn").tags == ()


def test_tags_are_found_by_queries_and_loads(database: Database) -> None:
    """`tags__has` narrows a query, a count and a load, and goes with every other filter."""
    first, second, third = box(), box(), box("other")
    first.tag("good")
    second.tag("good", "best")
    third.tag("good")
    assert [(found.name, found.version) for found in Box.query(tags__has="good")] == [
        ("churn", 1),
        ("churn", 2),
        ("other", 1),
    ]
    assert Box.query(tags__has="good").where(tags__has="best").first().id == second.id
    assert Box.query(name="churn", tags__has="good").count() == 2
    assert Box.load("churn", tags__has="good").version == 2
    assert Box.load("other", tags__has="good").version == 1
    with pytest.raises(RecordNotFoundError, match="bad"):
        Box.load("churn", tags__has="bad")
    with pytest.raises(IdentityError, match="the tag is 5"):
        Box.query(tags__has=5).all()


def test_names_compare_by_bytes(database: Database) -> None:
    """`Good`, `good`, `good ` and `göod` are four tags, on every database."""
    names = ("Good", "good", "good ", "göod")
    made = box().tag(*names)
    assert made.tags == tuple(sorted(names))
    assert made.untag("good").tags == ("Good", "good ", "göod")
    assert Box.query(tags__has="good").count() == 0


@pytest.mark.parametrize("bad", ["", "x" * 64, "a\x00b", "\ud800", 5, None])
def test_what_no_tag_can_be_is_refused(local: Database, bad: Any) -> None:
    """A tag has 1 to 63 characters; a wrong one is refused together with those that it came with."""
    made = box()
    for call in (made.tag, made.untag):
        with pytest.raises(IdentityError, match="the tag"):
            call("fine", bad)
    assert made.tags == ()
    assert made.tag("x" * 63).tags == ("x" * 63,)


def test_each_takes_one_statement(database: Database) -> None:
    """Giving a tag, giving it again and taking some is one statement each; SQLite begins each transaction by one more."""
    made = box()
    begins = database.engine.dialect.name == "sqlite"
    for call in (lambda: made.tag("a"), lambda: made.tag("a"), lambda: made.untag("a", "b"), lambda: made.tags):
        with counting(database) as seen:
            call()
        assert len(seen) == 1 + begins, seen


def test_tags_join_the_block(database: Database) -> None:
    """In a block tags are given at its end, also to a version that is saved in it; one that fails gives none."""
    with simpleml.transaction():
        made = Box(name="churn", data=1).save().tag("good", "bad").untag("bad")
        assert Box.query(tags__has="good").count() == 0
    assert made.tags == ("good",)
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        made.tag("best").untag("good")
        raise ZeroDivisionError
    assert made.tags == ("good",)


def test_tags_go_with_their_version(database: Database) -> None:
    """Deleting a version, by whichever way, removes its tags and nobody else's."""
    first, second, third = (box().tag("good", str(number)) for number in range(3))
    first.delete()
    ORMGeneral.destroy(second.id)
    assert count(database) == 2
    assert third.tags == ("2", "good")


def test_what_is_not_there_is_not_tagged(database: Database) -> None:
    """An unsaved object and one whose record is gone cannot be tagged, and no tag is left behind."""
    made = box()
    ORMGeneral.destroy(made.id)
    with pytest.raises(RecordNotFoundError, match="any more"):
        made.tag("good")
    made.untag("good")
    for call in (Box(name="churn").tag, Box(name="churn").untag):
        with pytest.raises(UnsavedReferenceError, match=r"save\(\) it first"):
            call("good")
    assert count(database) == 0


def test_the_commands(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`simpleml tag` and `untag` change the tags of a version and say what it has now, for people and for machines."""
    box()
    box()
    url = database.url.render_as_string(hide_password=False)

    def cli(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["--database", url, "--store", str(tmp_path / "store"), *arguments])
        return (int(left.value.code or 0), *capsys.readouterr())

    told = json.loads(cli("--json", "tag", "churn:1", "good", "best")[1])
    assert told == {"kind": "persistable", "name": "churn", "version": 1, "tags": ["best", "good"]}
    assert cli("untag", "churn:1", "good")[1] == "persistable 'churn' version 1 has the tags best\n"
    assert cli("untag", "churn:1", "best")[1] == "persistable 'churn' version 1 has no tag\n"
    assert cli("tag", "churn", "latest")[:2] == (0, "persistable 'churn' version 2 has the tags latest\n")
    assert cli("tag", "churn", "y" * 64)[0] == 1
    assert cli("tag", "churn")[0] == 2
    assert Box.load("churn").tags == ("latest",)
