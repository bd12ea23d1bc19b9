"""Retention: which versions go, which stay and why, and that a run can be cut short."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from simpleml import failpoints
from simpleml.cli import main
from simpleml.errors import ConfigurationError, IdentityError, RecordNotFoundError, UnknownNameError
from simpleml.orm import Database, retention
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.retention import Pruned, Version, prune
from simpleml.orm.tables import Blob
from tests.integration.kinds import Box, Corpus, Guess, Pair, Score


class CutShortError(Exception):
    """What a run is ended with."""


def boxes(count: int, name: str = "churn") -> list[Box]:
    """Return saved versions of one name."""
    return [Box(name=name, data=f"{name} {index}").save() for index in range(1, count + 1)]


def told(versions: tuple[Version, ...]) -> list[tuple[str, int]]:
    """Return names and versions."""
    return [(version.name, version.version) for version in versions]


def test_the_latest_stay(database: Database) -> None:
    """All versions but the latest go, of the names that were given only; what is kept anyway is not listed."""
    made = boxes(5)
    boxes(3, "other")
    done = prune(database, ["churn"], keep_last=2)
    assert told(done.deleted) == [("churn", 1), ("churn", 2), ("churn", 3)]
    assert [each.id for each in done.deleted] == [each.id for each in made[:3]]
    assert done.kept == ()
    assert (Box.versions("churn"), Box.versions("other")) == ([4, 5], [1, 2, 3])
    assert prune(database, ["churn"], keep_last=2) == Pruned((), ())
    assert Box(name="churn", data=6).save().version == 6


def test_all_names_of_all_kinds(database: Database) -> None:
    """Without names every name is pruned; with a kind only those of it; metrics are counted for each model."""
    boxes(3)
    boxes(2, "other")
    left, right = Guess(name="churn").save(), Guess(name="churn").save()
    for model in (left, left, right):
        Score(name="auc", model=model).save()
    done = prune(database, None, "metric", keep_last=1)
    assert [(each.kind, each.name, each.version) for each in done.deleted] == [("metric", "auc", 1)]
    done = prune(database, ["churn", "other"], keep_last=1)
    assert told(done.deleted) == [("churn", 1), ("churn", 2), ("other", 1)]
    assert [(each.kind, each.version, each.why) for each in done.kept] == [
        ("model", 1, "metric 'auc' version 2 of churn:1 was made from it")
    ]


def test_the_metrics_of_a_model_go_with_it(database: Database) -> None:
    """Where metrics are pruned too, the latest of an old model are no reason to keep it: they go in one transaction with it."""
    models = [Guess(name="churn").save() for _ in range(4)]
    scores = [Score(name=name, model=model).save() for model in models for name in ("auc", "f1")]
    scores[2].tag("good")  # of the second model, which stays, and with it its other metric
    for dry_run in (True, False):
        done = prune(database, None, keep_last=2, dry_run=dry_run)
        assert told(done.deleted) == [("auc", 1), ("f1", 1), ("churn", 1)]
        assert [(each.kind, each.name, each.why) for each in done.kept] == [
            ("metric", "auc", "it has the tag 'good'"),
            (
                "model",
                "churn",
                "metric 'auc' version 1 of churn:2 was made from it; metric 'f1' version 1 of churn:2 was made from it",
            ),
        ]
    assert Guess.versions("churn") == [2, 3, 4]
    assert [Score.query(name=name).count() for name in ("auc", "f1")] == [3, 3]
    assert told(prune(database, ["churn", "auc", "f1"], keep_last=1).deleted) == [("auc", 1), ("f1", 1), ("churn", 3)]
    assert verify(database, everything=True).findings == ()


def test_what_a_kept_metric_was_made_from_stays(database: Database) -> None:
    """A metric that stays with its model keeps the data that it was scored on, of which nothing else is made."""
    first, _ = (Corpus(name="rows", rows=[number]).save() for number in (1, 2))
    model = Guess(name="churn").save().alias("production")
    Score(name="auc", model=model, dataset=first).save()
    Guess(name="churn").save()
    done = prune(database, None, keep_last=1)
    assert done.deleted == ()
    assert [(each.kind, each.why) for each in done.kept] == [
        ("dataset", "metric 'auc' version 1 of churn:1 was made from it"),
        ("model", "the alias 'production' points to it; metric 'auc' version 1 of churn:1 was made from it"),
    ]


def _before_deleting(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Let something happen after each plan was made, and before it is carried out."""
    real = retention._delete

    def delete(*given: Any) -> Any:
        meanwhile()
        return real(*given)

    monkeypatch.setattr(retention, "_delete", delete)


def test_a_model_that_came_into_use_keeps_its_metrics(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """If somebody lets an alias point to a model after the plan was made, its metrics are not deleted either."""
    model = Guess(name="churn").save()
    Score(name="auc", model=model).save()
    Guess(name="churn").save()
    _before_deleting(monkeypatch, lambda: model.alias("production"))
    done = prune(database, None, keep_last=1)
    assert (done.deleted, [each.kind for each in done.kept]) == ((), ["model"])
    assert (Guess.versions("churn"), Score.versions("auc")) == ([1, 2], [1])


def test_a_metric_that_came_into_use_is_named(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """If somebody gives the latest metric of an old model a tag after the plan was made, the model is kept for that metric's sake."""
    model = Guess(name="churn").save()
    metric = Score(name="auc", model=model).save()
    Guess(name="churn").save()
    _before_deleting(monkeypatch, lambda: metric.tag("good"))
    done = prune(local, None, keep_last=1)
    assert (done.deleted, [(each.kind, each.why) for each in done.kept]) == (
        (),
        [("model", "metric 'auc' version 1 of churn:1 has the tag 'good'")],
    )


def test_a_metric_that_somebody_deleted_meanwhile_keeps_no_model(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose metric went after the plan was made is deleted all the same, and only what this run deleted is told."""
    model = Guess(name="churn").save()
    mine, other = (Score(name=name, model=model).save() for name in ("auc", "f1"))
    Guess(name="churn").save()
    _before_deleting(monkeypatch, lambda: other.delete())
    done = prune(database, None, keep_last=1)
    assert [(each.id, each.of) for each in done.deleted] == [(mine.id, "churn:1"), (model.id, "")]
    assert (Guess.versions("churn"), Score.versions("auc"), Score.versions("f1")) == ([2], [], [])


def test_versions_are_found_by_their_ids(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan compares no version with another, however many metrics stay with their models: it takes time as they are many."""
    models = [Guess(name="churn").save() for _ in range(4)]
    for model in models:
        Score(name="auc", model=model).save()
    models[0].tag("good")
    compared: list[object] = []

    def equal(one: object, other: object) -> bool:
        compared.append(other)
        return one is other

    monkeypatch.setattr(retention._Old, "__eq__", equal)
    assert len(prune(local, None, keep_last=1, dry_run=True).deleted) == 4
    assert compared == []


def test_tags_and_aliases_keep(database: Database) -> None:
    """Tagged and aliased versions stay and say so; with `keep_tagged=False` tags keep nothing, aliases always do."""
    made = boxes(5)
    made[0].tag("good", "best")
    made[1].alias("production")
    made[2].tag("good").alias("staging")
    done = prune(database, ["churn"], keep_last=1)
    assert told(done.deleted) == [("churn", 4)]
    assert [(each.version, each.why) for each in done.kept] == [
        (1, "it has the tag 'best'; it has the tag 'good'"),
        (2, "the alias 'production' points to it"),
        (3, "the alias 'staging' points to it; it has the tag 'good'"),
    ]
    done = prune(database, ["churn"], keep_last=1, keep_tagged=False)
    assert told(done.deleted) == [("churn", 1)]
    assert Box.versions("churn") == [2, 3, 5]


def test_what_others_were_made_from_stays_unless_they_go_too(database: Database) -> None:
    """Children go before their parents; a parent of what stays, stays, and so do all before it."""
    first, second, _ = boxes(3)
    Pair(name="pair", source=first).save()
    Pair(name="pair", source=second).save()
    assert [each.why for each in prune(database, ["churn"], keep_last=1, dry_run=True).kept] == [
        "persistable 'pair' version 1 was made from it",
        "persistable 'pair' version 2 was made from it",
    ]
    done = prune(database, ["churn", "pair"], keep_last=1)
    assert told(done.deleted) == [("churn", 1), ("pair", 1)]
    assert [(each.name, each.version, each.why) for each in done.kept] == [
        ("churn", 2, "persistable 'pair' version 2 was made from it")
    ]
    assert verify(database, everything=True).findings == ()


def test_what_has_many_children_tells_some_of_them(local: Database) -> None:
    """Of a version that many were made from, a few are named and the rest counted."""
    first, _ = boxes(2)
    for number in range(8):
        Pair(name=f"pair-{number}", source=first).save()
    [kept] = prune(local, "churn", keep_last=1).kept
    assert kept.why.count("was made from it") == 5
    assert kept.why.endswith("and 3 others were")


def test_a_dry_run_says_what_a_run_does(database: Database) -> None:
    """A dry run deletes nothing and reports what the run then does."""
    made = boxes(6)
    made[0].tag("good")
    Pair(name="pair", source=made[1]).save()
    Pair(name="pair", source=made[5]).save()
    planned = prune(database, None, keep_last=1, dry_run=True)
    assert Box.versions("churn") == [1, 2, 3, 4, 5, 6]
    done = prune(database, None, keep_last=1)
    assert planned == Pruned(done.deleted, done.kept, dry_run=True)
    assert len(done.deleted) == 5


def test_a_run_that_was_cut_short_goes_on(database: Database) -> None:
    """What was deleted before the cut stays deleted, what was not is whole, and the next run deletes it."""
    boxes(6)
    seen: list[str] = []

    def cut(name: str) -> None:
        seen.append(name)
        if seen.count("delete.commit.before") == 3:
            raise CutShortError

    failpoints.install(cut)
    try:
        with pytest.raises(CutShortError):
            prune(database, ["churn"], keep_last=1)
    finally:
        failpoints.install(None)
    left = Box.versions("churn")
    assert len(left) == 4
    assert [Box.load("churn", version=version).data for version in left] == [f"churn {version}" for version in left]
    assert len(prune(database, ["churn"], keep_last=1).deleted) == 3
    assert Box.versions("churn") == [6]


def test_bytes_go_with_the_next_collection(database: Database) -> None:
    """Pruning leaves the bytes to `collect`, which removes those of the deleted versions only."""
    boxes(4)
    prune(database, ["churn"], keep_last=1)
    assert collect(database).removed == 0
    database.run(lambda connection: connection.execute(update(Blob).values(lease_until=0.0)).close())
    assert collect(database).removed == 3
    assert Box.load("churn").data == "churn 4"
    assert verify(database, everything=True).findings == ()


def test_what_changed_since_the_plan_is_seen(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child, a deletion and the loss of newer versions between plan and deletion are each answered as they should be."""
    made = boxes(5)
    true = retention._delete

    def meanwhile(database: Database, old: Any, *options: Any) -> Any:
        if old.version == 3:
            Pair(name="pair", source=made[2]).save()
        if old.version == 2:
            made[1].delete()
        if old.version == 1:
            made[3].delete()
            made[4].delete()
        return true(database, old, *options)

    monkeypatch.setattr(retention, "_delete", meanwhile)
    done = prune(database, ["churn"], keep_last=2)
    assert done.deleted == ()
    assert [each.version for each in done.kept] == [1, 3]
    assert done.kept[0].why == "newer versions were deleted: it is one of the latest 2 now"
    assert "'pair' version 1" in done.kept[1].why
    assert Box.versions("churn") == [1, 3]


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "2", None])
def test_the_latest_always_stays(local: Database, bad: Any) -> None:
    """`keep_last` is a whole number from 1 on; anything else is refused."""
    boxes(2)
    with pytest.raises(ConfigurationError, match="keep_last is"):
        prune(local, None, keep_last=bad)
    assert Box.versions("churn") == [1, 2]


def test_a_name_that_was_mistyped_is_no_pruned_name(database: Database) -> None:
    """An unknown name or kind is an error that lists what there is, and nothing is deleted."""
    boxes(2)
    with pytest.raises(RecordNotFoundError, match=r"nothing is saved as 'chrun'.*did you mean 'churn'"):
        prune(database, ["churn", "chrun"], keep_last=1)
    with pytest.raises(RecordNotFoundError, match="nothing is saved as 'churn'"):
        prune(database, ["churn"], "model", keep_last=1)
    with pytest.raises(UnknownNameError, match="there is no kind 'modle'"):
        prune(database, None, "modle", keep_last=1)
    for wrong in ([5], ["churn", None], [("churn", 1)]):
        with pytest.raises(IdentityError, match="name is "):
            prune(database, wrong, keep_last=1)  # type: ignore[arg-type]
    assert Box.versions("churn") == [1, 2]


def test_the_command(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`simpleml prune` says what it deletes and what it keeps, and why, for people and for machines."""
    made = boxes(4)
    made[0].tag("good")
    url = database.url.render_as_string(hide_password=False)

    def cli(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["--database", url, "--store", str(tmp_path / "store"), "prune", *arguments])
        return (int(left.value.code or 0), *capsys.readouterr())

    code, out, _ = cli("churn", "--keep-last", "2", "--dry-run")
    assert code == 0
    assert out.splitlines()[1:] == [
        "persistable  churn  2        would be deleted",
        "persistable  churn  1        kept: it has the tag 'good'",
        "1 version would be deleted, 1 older one kept",
    ]
    done = json.loads(cli("--all", "--keep-last", "2", "--json")[1])
    version = {"kind": "persistable", "name": "churn"}
    assert done == {
        "deleted": [{**version, "version": 2, "id": str(made[1].id)}],
        "kept": [{**version, "version": 1, "id": str(made[0].id), "why": "it has the tag 'good'"}],
        "dry_run": False,
    }
    assert json.loads(cli("churn", "--keep-last", "2", "--no-keep-tagged", "--json")[1])["kept"] == []
    assert Box.versions("churn") == [3, 4]
    refused: list[tuple[Callable[[], Any], int, str]] = [
        (lambda: cli("churn"), 2, "--keep-last"),
        (lambda: cli("--keep-last", "2"), 2, "either names, or --all"),
        (lambda: cli("churn", "--all", "--keep-last", "2"), 2, "either names, or --all"),
        (lambda: cli("churn", "--keep-last", "0"), 2, "--keep-last"),
        (lambda: cli("chrun", "--keep-last", "2"), 1, "did you mean 'churn'?"),
    ]
    for call, wanted, words in refused:
        code, _, err = call()
        assert (code, words in err) == (wanted, True), err
