"""Aliases: what they point to, that moving them is recorded, and that what they point to stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import MetaData, String
from sqlalchemy.orm import Mapped, mapped_column

import simpleml
from simpleml import Artifact, Persistable
from simpleml.cli import main
from simpleml.errors import (
    IdentityError,
    LineageError,
    RecordNotFoundError,
    ReferencedError,
    UnsavedReferenceError,
)
from simpleml.orm import Database, ORMGeneral, ORMPersistable, aliases, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.persistable import ORMMetric
from simpleml.persistables.ports import AliasMove
from tests.integration.kinds import Box, Guess, Pair, Score, SpecialBox
from tests.races.test_statements import counting


def boxes(count: int, name: str = "churn") -> list[Box]:
    """Return saved versions of one name."""
    return [Box(name=name, data=index).save() for index in range(1, count + 1)]


def steps(moves: list[AliasMove]) -> list[tuple[int | None, int | None]]:
    """Return from where to where each move went."""
    return [(move.from_version, move.to_version) for move in moves]


# pointing and loading


def test_an_alias_loads_the_version_it_points_to(database: Database) -> None:
    """`load(name, alias=…)` returns the version, by class and by kind; a later save does not move it."""
    first, second = boxes(2)
    assert first.alias("production") is first
    boxes(1)
    for found in (
        Box.load("churn", alias="production"),
        simpleml.load("persistable", name="churn", alias="production"),
    ):
        assert (found.version, found.data, found.id) == (1, 1, first.id)
    assert simpleml.load(Box, name="churn", alias="production").version == 1
    second.alias("production")
    assert Box.load("churn", alias="production").version == 2
    assert [found.version for found in Box.query(aliases__has="production")] == [2]
    assert Box.query(name="churn").where(aliases__has="staging").count() == 0


def test_a_version_and_a_name_know_their_aliases(database: Database) -> None:
    """`object.aliases` are those of the version, `X.aliases(name)` those of the name; each name has its own."""
    first, second = boxes(2)
    [other] = boxes(1, "other")
    second.alias("production").alias("best")
    first.alias("staging")
    other.alias("production")
    assert second.aliases == ("best", "production")
    assert first.aliases == ("staging",)
    assert Box.aliases("churn") == {"best": 2, "production": 2, "staging": 1}
    assert SpecialBox.aliases("other") == {"production": 1}
    assert Box.aliases("nothing") == {}
    assert Box(name="churn").aliases == ()


def test_loading_by_alias_is_one_statement(database: Database) -> None:
    """Loading by alias takes as many statements as loading by name, and a load that names none looks at no alias."""
    boxes(2)[0].alias("production")
    with counting(database) as plain:
        Box.load("churn")
    with counting(database) as aliased:
        Box.load("churn", alias="production")
    assert len(aliased) == len(plain)
    assert not any("aliases" in statement for statement in plain)


def test_names_compare_by_bytes(database: Database) -> None:
    """`Best`, `best`, `best ` and `bést` are four aliases, on every database."""
    names = ("Best", "best", "best ", "bést")
    for version, name in zip(boxes(4), names, strict=True):
        version.alias(name)
    assert Box.aliases("churn") == {name: version for version, name in enumerate(names, 1)}
    assert [Box.load("churn", alias=name).version for name in names] == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", ["", "x" * 64, "a\x00b", "\ud800", 5, None, b"best"])
def test_what_no_alias_can_be_is_refused(local: Database, bad: Any) -> None:
    """An alias has 1 to 63 characters; anything else is refused before the database is asked, also in a filter."""
    [box] = boxes(1)
    calls: list[Callable[[], Any]] = [
        lambda: box.alias(bad),
        lambda: box.drop_alias(bad),
        lambda: Box.alias_history("churn", bad),
        lambda: Box.query(aliases__has=bad).all(),
    ]
    if bad is not None:
        calls.append(lambda: Box.load("churn", alias=bad))
    for call in calls:
        with pytest.raises(IdentityError, match=r"alias"):
            call()
    assert box.alias("x" * 63).aliases == ("x" * 63,)


def test_an_unknown_alias_lists_those_that_there_are(database: Database) -> None:
    """The error names the aliases of the name and where they point; without any, the versions; without those, the names."""
    first, second = boxes(2)
    with pytest.raises(RecordNotFoundError, match=r"alias='best'.*known versions of 'churn': 1, 2"):
        Box.load("churn", alias="best")
    first.alias("staging")
    second.alias("production")
    with pytest.raises(
        RecordNotFoundError, match=r"aliases of 'churn': production \(version 2\), staging \(version 1\)"
    ):
        Box.load("churn", alias="best")
    with pytest.raises(RecordNotFoundError, match=r"did you mean 'churn'"):
        Box.load("chrun", alias="staging")


def test_an_alias_says_the_version_and_needs_a_name(local: Database) -> None:
    """`alias` with `version` or `id`, or without a name, is refused."""
    [box] = boxes(1)
    box.alias("best")
    with pytest.raises(IdentityError, match=r"alias='best' says which version to load, and so does version=1"):
        Box.load("churn", alias="best", version=1)
    with pytest.raises(IdentityError, match=r"and so does id="):
        Box.load(id=box.id, alias="best")
    with pytest.raises(IdentityError, match=r"needs a name="):
        simpleml.load("persistable", alias="best")


def test_what_is_not_saved_has_no_alias(local: Database) -> None:
    """An unsaved object, or a deleted one, cannot get an alias or a tag."""
    [deleted] = boxes(1)
    deleted.delete()
    for box in (Box(name="churn"), deleted):
        for call in (lambda box=box: box.alias("best"), lambda box=box: box.drop_alias("best")):
            with pytest.raises(UnsavedReferenceError, match=r"not saved.*save\(\) it first"):
                call()


def test_a_version_that_somebody_deleted_gets_no_alias(database: Database) -> None:
    """An object whose record is gone meanwhile is told so, and nothing is moved."""
    [box] = boxes(1)
    ORMGeneral.destroy(box.id)
    with pytest.raises(RecordNotFoundError, match=r"any more"):
        box.alias("best")
    assert (Box.aliases("churn"), Box.alias_history("churn", "best")) == ({}, [])


# the record of moves


def test_every_move_is_recorded(database_url: str, tmp_path: Path) -> None:
    """The history says who moved it when from which version to which; moving it to where it is, is no move."""
    before = datetime.now(UTC)
    with open_database(database_url, store=tmp_path / "store", home=tmp_path / "home", author="ada"):
        first, second = boxes(2)
        first.alias("best")
        second.alias("best").alias("best")
    with open_database(database_url, store=tmp_path / "store", home=tmp_path / "home", author="bob"):
        Box.load("churn", alias="best").drop_alias("best")
        Box.load("churn", version=1).alias("best").alias("other")
        moves = Box.alias_history("churn", "best")
        assert Box.alias_history("churn", "none") == []
    assert steps(moves) == [(None, 1), (1, 2), (2, None), (None, 1)]
    assert [move.author for move in moves] == ["ada", "ada", "bob", "bob"]
    assert [(move.from_id, move.to_id) for move in moves[:3]] == [
        (None, first.id),
        (first.id, second.id),
        (second.id, None),
    ]
    moments = [before, *(move.moment for move in moves), datetime.now(UTC)]
    assert moments == sorted(moments)
    with pytest.raises(AttributeError):
        moves[0].author = "eve"  # type: ignore[misc]


def test_the_moves_stay_in_order_when_clocks_do_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move by a machine whose clock is behind is still the one after the move before it."""

    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - timedelta(hours=1)

    first, second = boxes(2)
    first.alias("best")
    with monkeypatch.context() as patch:
        patch.setattr(aliases, "datetime", Late)
        second.alias("best")
        first.alias("best")
    moves = Box.alias_history("churn", "best")
    assert steps(moves) == [(None, 1), (1, 2), (2, 1)]
    assert len({move.moment for move in moves}) == 3


def test_an_alias_is_dropped_from_where_it_points(database: Database) -> None:
    """`drop_alias` is refused where the alias points elsewhere or nowhere, and leaves the others alone."""
    first, second = boxes(2)
    second.alias("best").alias("other")
    with pytest.raises(RecordNotFoundError, match=r"points to version 2, not to version 1"):
        first.drop_alias("best")
    assert second.drop_alias("best").aliases == ("other",)
    with pytest.raises(RecordNotFoundError, match=r"points to nothing"):
        second.drop_alias("best")
    with pytest.raises(RecordNotFoundError):
        Box.load("churn", alias="best")
    assert steps(Box.alias_history("churn", "best")) == [(None, 2), (2, None)]


# transactions


def test_an_alias_joins_the_block(database: Database) -> None:
    """In a block the alias moves at its end, also to a version that is saved in it; nothing is seen before."""
    [first] = boxes(1)
    first.alias("best")
    with simpleml.transaction():
        second = Box(name="churn", data=2).save().alias("best").alias("new")
        assert Box.aliases("churn") == {"best": 1}
        assert second.aliases == ()
    assert second.version == 2
    assert Box.aliases("churn") == {"best": 2, "new": 2}
    assert steps(Box.alias_history("churn", "best")) == [(None, 1), (1, 2)]


def test_a_block_that_fails_moves_nothing(database: Database) -> None:
    """An exception in the block leaves the alias where it was, without a record of a move."""
    [first] = boxes(1)
    first.alias("best")
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        Box(name="churn", data=2).save().alias("best")
        first.drop_alias("best")
        raise ZeroDivisionError
    assert Box.aliases("churn") == {"best": 1}
    assert len(Box.alias_history("churn", "best")) == 1
    with pytest.raises(RecordNotFoundError), simpleml.transaction():
        kept_out = Box(name="churn", data=2).save()
        kept_out.drop_alias("best")  # which points to the other
    assert (Box.versions("churn"), Box.aliases("churn")) == ([1], {"best": 1})


def test_an_alias_is_moved_away_before_its_version_is_deleted(database: Database) -> None:
    """Moving the alias and deleting the old version in one block works; in the other order it is refused as a whole."""
    first, second = boxes(2)
    first.alias("best")
    with pytest.raises(ReferencedError), simpleml.transaction():
        first.delete()
        second.alias("best")
    assert Box.aliases("churn") == {"best": 1}
    first = Box.load("churn", version=1)
    with simpleml.transaction():
        second.alias("best")
        first.delete()
    assert (Box.versions("churn"), Box.aliases("churn")) == ([2], {"best": 2})


# deletion


def test_what_an_alias_points_to_cannot_be_deleted(database: Database) -> None:
    """Deleting is refused by every way there is, the error names the aliases and what to do, and nothing is changed."""
    first, second = boxes(2)
    first.alias("best").alias("production").tag("seen")
    record = ORMGeneral.find_or_fail(first.id)
    told = (
        r"^the persistable 'churn' version 1 cannot be deleted, because aliases point to it: 'best', 'production'\. "
        r".*alias\(…\).*drop_alias\(…\), or with: simpleml alias NAME --drop ALIAS$"
    )
    for delete in (
        first.delete,
        record.delete,
        lambda: ORMGeneral.destroy(first.id),
        lambda: ORMGeneral.destroy(second.id, first.id),
        lambda: database.delete("persistable", first.id),
    ):
        with pytest.raises(ReferencedError, match=told):
            delete()
    assert first.is_saved
    assert Box.versions("churn") == [1, 2]
    assert Box.load("churn", alias="best").data == 1
    assert first.tags == ("seen",)
    first.drop_alias("best").drop_alias("production").delete()
    assert Box.versions("churn") == [2]
    assert steps(Box.alias_history("churn", "best")) == [(None, 1), (1, None)]


def test_a_record_saved_by_hand_has_aliases_too(database: Database) -> None:
    """A record that came in by SQL of somebody's own, which no counter knows, can be pointed to."""
    columns = {**boxes(1)[0].to_dict(), "id": uuid4(), "name": "by hand", "version": 4}
    table: Any = ORMGeneral.__table__
    row = {column.key: columns[name] for name, column in ORMGeneral.__mapper__.columns.items()}
    database.run(lambda connection: connection.execute(table.insert().values(**row)).close())
    Box.load("by hand").alias("best")
    assert Box.aliases("by hand") == {"best": 4}
    assert Box(name="by hand").save().version == 5


# metrics: their versions are counted for each model


def test_each_model_has_aliases_of_its_metrics(database: Database) -> None:
    """One alias points to one metric of each model; without saying which, what several models have is refused."""
    left, right = Guess(name="left").save(), Guess(name="right").save()
    scores = [Score(name="auc", model=model).save() for model in (left, right, right)]
    assert [score.version for score in scores] == [1, 1, 2]
    scores[0].alias("best")
    assert Score.aliases("auc") == {"best": 1}
    scores[2].alias("best")
    assert Score.load("auc", alias="best", model_id=left.id).id == scores[0].id
    assert Score.load("auc", alias="best", model=right).id == scores[2].id
    several = r"of several models: 'right' version 1, 'left' version 1; say of which: model=…, or model_id=…"
    with pytest.raises(IdentityError, match=rf"metric alias='best', name='auc' is there {several}"):
        Score.load("auc", alias="best")
    with pytest.raises(IdentityError, match=rf"'best' of metric 'auc' is there {several}"):
        Score.aliases("auc")
    assert Score.aliases("auc", model=right) == Score.aliases("auc", model_id=right.id) == {"best": 2}
    assert steps(Score.alias_history("auc", "best", model=left)) == [(None, 1)]
    for wrong in ({"scope": right.id}, {"model": left, "model_id": left.id}):
        with pytest.raises(IdentityError, match="does not say whose versions of the name are meant; known: model"):
            Score.aliases("auc", **wrong)
    with pytest.raises(IdentityError, match="a persistable has its versions by its name alone"):
        Box.aliases("auc", model_id=left.id)
    assert len(Score.alias_history("auc", "best")) == 2
    with pytest.raises(ReferencedError, match="best"):
        ORMMetric.destroy(scores[0].id)


def test_a_version_that_several_models_have_is_refused_unless_one_is_said(database: Database) -> None:
    """A metric's version means one metric for each model; the newest of the latest is what a bare name means."""
    left, right = Guess(name="left").save(), Guess(name="right").save()
    scores = [Score(name="auc", model=model).save() for model in (left, left, right, right)]
    assert [score.version for score in scores] == [1, 2, 1, 2]
    assert Score.load("auc").id == simpleml.load("metric", "auc").id == scores[3].id
    assert Score.load("auc", model=left).id == scores[1].id
    assert Score.load("auc", version=1, model=left).id == scores[0].id
    assert simpleml.load("metric", "auc", version=1, model=right).id == scores[2].id
    for load in (Score.load, partial(simpleml.load, "metric")):
        with pytest.raises(
            IdentityError, match=r"version=1 is there of several models: 'right' version 1, 'left' version 1"
        ):
            load("auc", version=1)
    scores[2].delete()
    assert Score.load("auc", version=1).id == scores[0].id
    assert Score.versions("auc", model=right) == [2]
    assert [found.id for found in Score.query(model=right)] == [scores[3].id]
    assert Score.query(name="auc").where(model=left).count() == 2
    with pytest.raises(RecordNotFoundError, match=r"model=<Guess 'right' version 1>.*known versions of 'auc': 1, 2$"):
        Score.load("auc", version=1, model=right)


# kinds of users, whose versions are counted within the values of a column


class ORMSurvey(ORMPersistable):
    """A kind of a user's, of which every region has versions of its own."""

    __tablename__ = "surveys_of_aliases"
    metadata = MetaData()  # of its own: no other test's schema has this table
    kind = "survey"
    scope = "region"

    region: Mapped[str] = mapped_column(String(50))


class Survey(Persistable):
    """An object of that kind."""

    kind = "survey"
    record_fields = ("region",)
    region: str | None = None
    text: Artifact[str] = Artifact()


def surveys() -> list[Survey]:
    """Return two versions of one survey in each of two regions; in both, the same alias points to the latest."""
    made = []
    for region in ("eu", "us"):
        for number in (1, 2):
            survey = Survey(name="annual", text=f"{region} {number}")
            survey.region = region
            made.append(survey.save())
        survey.alias("best")
    return made


def test_each_value_of_a_column_has_versions_and_aliases(database: Database) -> None:
    """A version or an alias that several regions have is refused, and the column says which is meant."""
    made = surveys()
    several = r"is there of several values of region: 'us', 'eu'; say of which: region=…"
    for call, what in (
        (lambda: Survey.load("annual", version=1), "version=1"),
        (lambda: simpleml.load("survey", "annual", alias="best"), "alias='best', name='annual'"),
        (lambda: Survey.aliases("annual"), "the alias 'best' of survey 'annual'"),
    ):
        with pytest.raises(IdentityError, match=f"{what}.* {several}$"):
            call()
    assert [survey.version for survey in made] == [1, 2, 1, 2]
    assert Survey.load("annual", version=1, region="eu").id == made[0].id
    assert Survey.load("annual", alias="best", region="us").id == made[3].id
    assert Survey.aliases("annual", region="eu") == {"best": 2}
    assert steps(Survey.alias_history("annual", "best", region="us")) == [(None, 2)]
    with pytest.raises(IdentityError, match=r"does not say whose versions of the name are meant; known: region"):
        Survey.aliases("annual", area="eu")


def test_what_plays_a_role_is_a_filter_also_without_a_column(database: Database) -> None:
    """Edges of the lineage table are asked too; another role, another kind and what is not saved are refused."""
    left, right = boxes(2)
    Pair(name="p", left=1, source=left).save()
    Pair(name="p", left=2, source=right).save()
    assert (Pair.load("p", source=left).version, Pair.load("p").version) == (1, 2)
    assert Pair.query(source=right).count() == 1
    assert Pair.versions("p", source=right) == [2]
    with pytest.raises(RecordNotFoundError, match="source=<Box"):
        Pair.load("p", source=boxes(1)[0])
    with pytest.raises(LineageError, match=r"cannot be filtered by sauce = .*made from: source \(a persistable\)"):
        Pair.load("p", sauce=left)
    with pytest.raises(LineageError, match=r"cannot be filtered by source = .*a model"):
        Pair.query(source=Guess(name="g").save())
    with pytest.raises(UnsavedReferenceError, match=r"is not saved"):
        Pair.load("p", source=Box(name="new", data=1))


def test_two_kinds_have_aliases_of_their_own(database: Database) -> None:
    """A model and a box of one name do not share an alias."""
    Guess(name="same").save().alias("best")
    box = Box(name="same", data=1).save()
    assert (Guess.aliases("same"), Box.aliases("same")) == ({"best": 1}, {})
    box.delete()
    assert Guess.load("same", alias="best").version == 1


# backup


def test_a_backup_brings_aliases_moves_and_tags_back(
    database: Database, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """A restored database has the same aliases, moves and tags, and goes on from there."""
    first, second = boxes(2)
    first.alias("best").tag("seen", "old")
    second.alias("best").alias("production")
    moves = Box.alias_history("churn", "best")
    backup(database, tmp_path / "backup")
    family = database.engine.dialect.name.replace("mysql", "mariadb")
    with open_database(new_database(family), store=tmp_path / "other", home=tmp_path / "other-home") as other:
        restore(other, tmp_path / "backup")
        assert Box.aliases("churn") == {"best": 2, "production": 2}
        assert Box.alias_history("churn", "best") == moves
        assert Box.load("churn", version=1).tags == ("old", "seen")
        with pytest.raises(ReferencedError):
            Box.load("churn", alias="best").delete()
        assert steps(Box.load("churn", version=1).alias("best").alias_history("churn", "best"))[-1] == (2, 1)
    assert Box.aliases("churn")["best"] == 2


# the command line


@pytest.fixture
def cli(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """`cli("alias", …)` → exit code, JSON, standard error; in the current database, filled with three versions."""
    boxes(3)
    url = database.url.render_as_string(hide_password=False)

    def run(*arguments: str, as_json: bool = True) -> tuple[int, Any, str]:
        capsys.readouterr()
        where = ["--database", url, "--store", str(tmp_path / "store"), *(["--json"] if as_json else [])]
        with pytest.raises(SystemExit) as left:
            main([*where, *arguments])
        out, err = capsys.readouterr()
        return int(left.value.code or 0), json.loads(out) if as_json and out else out, err

    return run


def test_the_alias_command(cli: Callable[..., tuple[int, Any, str]]) -> None:
    """It points, lists, follows and drops, and `show` finds a version by its alias, for people and for machines."""
    assert cli("alias", "churn:2", "best")[1] == {"kind": "persistable", "name": "churn", "version": 2, "alias": "best"}
    assert cli("alias", "churn", "best", as_json=False)[1] == (
        "the alias 'best' now points to persistable 'churn' version 3\n"
    )
    Box.load("churn").tag("seen")
    listed = [{"kind": "persistable", "name": "churn", "alias": "best", "version": 3}]
    assert cli("alias", "churn", "--list")[1] == listed
    assert "persistable  churn  best   3" in cli("alias", "churn", "--list", as_json=False)[1]
    shown = cli("show", "churn@best")[1]
    assert (shown["version"], shown["aliases"], shown["tags"]) == (3, ["best"], ["seen"])
    assert "best\n" in cli("show", "churn", as_json=False)[1]
    moves = cli("alias", "churn", "best", "--history")[1]
    assert [(move["from_version"], move["to_version"]) for move in moves] == [(None, 2), (2, 3)]
    assert moves == cli("alias", "churn", "--history")[1]
    assert "default  persistable  best   2     3" in cli("alias", "churn", "--history", as_json=False)[1]
    assert cli("alias", "churn", "--drop", "best")[1]["dropped"] == "best"
    assert cli("alias", "churn", "--list", as_json=False)[1] == "'churn' has no alias\n"
    assert cli("alias", "churn", "none", "--history", as_json=False)[1] == "no alias of 'churn' was ever moved\n"


def test_the_history_of_a_deleted_name_can_be_read(cli: Callable[..., tuple[int, Any, str]]) -> None:
    """Who deleted every version can still see where the aliases were."""
    Box.load("churn").alias("best").drop_alias("best")
    for version in Box.query(name="churn").all():
        version.delete()
    assert len(cli("alias", "churn", "--history")[1]) == 2
    assert "error: no 'churn' in" in cli("alias", "churn", "--list")[2]


def test_what_the_alias_command_refuses(cli: Callable[..., tuple[int, Any, str]]) -> None:
    """Wrong usage leaves with 2; names, versions and aliases that are not there with 1, and the error lists what is."""
    for arguments in (["churn"], ["churn", "best", "--list"], ["churn", "--list", "--drop", "best"]):
        code, _, err = cli("alias", *arguments)
        assert code == 2
        assert "say one of: an ALIAS, --list" in err
    Box.load("churn").alias("best")
    for arguments, told in {
        ("alias", "churn:9", "best"): "known versions: 1, 2, 3",
        ("alias", "chrun", "best"): "did you mean 'churn'?",
        ("alias", "chrun", "--list"): "did you mean 'churn'?",
        ("alias", "churn", "--drop", "bset"): "aliases of 'churn': best (version 3)",
        ("show", "churn@bset"): "'churn' has no alias 'bset'",
        ("show", "chrun@best"): "known: churn",
        ("alias", "churn", "x" * 64): "1 to 63 characters",
    }.items():
        code, _, err = cli(*arguments)
        assert code == 1, arguments
        assert told in err


def test_a_name_with_an_at_sign_is_a_name_first(cli: Callable[..., tuple[int, Any, str]]) -> None:
    """`me@home` is the object of that name if there is one, and an alias of `me` otherwise."""
    Box(name="me", data=1).save().alias("home")
    assert cli("show", "me@home")[1]["name"] == "me"
    Box(name="me@home", data=2).save()
    assert cli("show", "me@home")[1]["name"] == "me@home"


def test_a_name_with_a_colon_is_found_as_it_is(cli: Callable[..., tuple[int, Any, str]], tmp_path: Path) -> None:
    """`me:3` is version 3 of `me` if there is one, and the object of that name otherwise, with all of its versions."""
    for number in (1, 2):
        Box(name="me:3", data=number).save()
    for what in ("me:3", "me:3:2"):
        shown = cli("show", what)[1]
        assert (shown["name"], shown["version"]) == ("me:3", 2)
    records = cli("export", "me:3", str(tmp_path / "me.zip"), "--all-versions")[1]["records"]
    assert sorted((each["name"], each["version"]) for each in records) == [("me:3", 1), ("me:3", 2)]
    for number in (1, 2, 3):
        Box(name="me", data=number).save()
    assert (cli("show", "me:3")[1]["name"], cli("show", "me:4")[0]) == ("me", 1)


def test_an_alias_of_several_kinds_needs_the_kind(cli: Callable[..., tuple[int, Any, str]]) -> None:
    """Dropping an alias that two kinds have is refused until one of them is named."""
    Guess(name="churn").save().alias("best")
    Box.load("churn").alias("best")
    assert len(cli("alias", "churn", "--list")[1]) == 2
    assert "--kind" in cli("alias", "churn", "--drop", "best")[2]
    assert cli("alias", "churn", "--drop", "best", "--kind", "model")[1]["kind"] == "model"
    assert cli("alias", "churn", "--list")[1][0]["kind"] == "persistable"


def test_the_value_of_a_column_says_which_is_meant(cli: Callable[..., tuple[int, Any, str]]) -> None:
    """The command line shows of which region a version is, asks where several have it, and takes the region by --of."""
    made = surveys()
    assert "survey of several values of region: us, eu; say of which: --kind survey --of us" in cli("show", "annual")[2]
    assert cli("show", "annual", "--kind", "survey", "--of", "eu")[1]["id"] == str(made[1].id)
    listed = cli("alias", "annual", "--list")[1]
    assert [(row["of"], row["version"]) for row in listed] == [("eu", 2), ("us", 2)]
    assert sorted(row["of"] for row in cli("ls", "survey")[1]) == ["eu", "us"]
    assert len(cli("alias", "annual", "--history", "--kind", "survey", "--of", "us")[1]) == 1
    pruned = cli("prune", "annual", "--keep-last", "1", "--dry-run")[1]["deleted"]
    assert [(row["of"], row["version"]) for row in pruned] == [("eu", 1), ("us", 1)]
    assert (
        "the survey 'annual' version 2 of eu cannot" in cli("delete", "annual:2", "--kind", "survey", "--of", "eu")[2]
    )
    assert cli("delete", "annual:1", "--kind", "survey", "--of", "eu")[1]["of"] == "eu"


def test_children_are_told_before_aliases(database: Database) -> None:
    """A version that others were made from and an alias points to is refused for both, one after the other."""
    source = Box(name="source", data=1).save().alias("best")
    pair = Pair(name="pair", source=source).save()
    with pytest.raises(
        ReferencedError, match=r"^the persistable 'source' version 1 cannot.*: persistable 'pair' version 1\."
    ):
        source.delete()
    pair.delete()
    with pytest.raises(ReferencedError, match="best"):
        source.delete()
