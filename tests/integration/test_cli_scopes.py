"""Metrics of one name on the command line: their versions are counted for each model, so the model says which is meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simpleml
from tests.integration.kinds import Box, Guess, Score


@pytest.fixture
def call(cli: Callable[..., tuple[int, str, str]], database_url: str, tmp_path: Path) -> Callable[..., Any]:
    """The command line on a database, on each of the three, with a metric of two models: `guess:1` has two versions of it."""
    options = ("--database", database_url, "--store", str(tmp_path / "store"))
    with simpleml.connect(database_url, store=tmp_path / "store", home=tmp_path / "embedded") as database:
        for number in (1, 2):
            model = Guess(name="guess", config={"C": number}).save()
            for _ in range(3 - number):
                Score(name="auc", model=model).save()
        for _ in range(2):
            Score(name="f1", model=model).save()
        Box(name="thing", data=1).save()
    database.close()
    return lambda *arguments: cli(*arguments, *options)


def read(result: tuple[int, str, str]) -> Any:
    """Return the JSON of a command that went well."""
    assert (result[0], result[2]) == (0, "")
    return json.loads(result[1])


def test_ls_says_of_which_model_a_metric_is(call: Callable[..., Any]) -> None:
    """One line for each model, with its name and version; where nothing is of something else, there is no such column."""
    rows = read(call("ls", "metric", "--json"))
    assert sorted((row["name"], row["of"], row["versions"]) for row in rows) == [
        ("auc", "guess:1", 2),
        ("auc", "guess:2", 1),
        ("f1", "guess:2", 2),
    ]
    assert all(row["model_id"] for row in rows)
    head, *lines = call("ls", "metric")[1].splitlines()
    assert head.split()[:4] == ["kind", "name", "of", "versions"]
    assert sorted(line.split()[2] for line in lines) == ["guess:1", "guess:2", "guess:2"]
    assert "of" not in call("ls", "model")[1].splitlines()[0].split()


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "auc"),
        ("show", "auc:1"),
        ("lineage", "auc:1"),
        ("scan", "auc:1"),
        ("diff", "auc:1", "auc:2"),
        ("alias", "auc:1", "best"),
        ("tag", "auc", "good"),
        ("untag", "auc", "good"),
        ("export", "auc:1", "{folder}/auc.zip"),
        ("push", "auc", "--to", "default"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_metric_of_several_models_is_refused(call: Callable[..., Any], arguments: Any, tmp_path: Path) -> None:
    """Nothing is picked silently: the models are listed, with the option that says which; nothing is changed."""
    code, out, err = call(*(each.format(folder=tmp_path) for each in arguments))
    assert (code, out) == (1, "")
    assert "'auc' is a metric of several models: " in err
    assert {"guess:1", "guess:2"} <= set(err.replace(",", " ").replace(";", " ").split())
    assert "say of which: --of guess:" in err
    assert read(call("alias", "auc", "--list", "--json")) == []


def test_the_model_says_which_is_meant(call: Callable[..., Any], tmp_path: Path) -> None:
    """`--of` takes a model as any command does, by version, alias or the latest; with it, every command takes the metric."""
    one = read(call("show", "auc", "--of", "guess:1", "--json"))
    other = read(call("show", "auc", "--of", "guess", "--json"))
    assert (one["version"], one["lineage"]["model"]["version"]) == (2, 1)
    assert (other["version"], other["lineage"]["model"]["version"]) == (1, 2)
    assert read(call("show", "auc:2", "--json"))["id"] == one["id"]  # which only one of them has
    call("alias", "guess:1", "old")
    assert read(call("show", "auc", "--of", "guess@old", "--json"))["id"] == one["id"]
    assert read(call("lineage", "auc:1", "--of", "guess:2", "--json"))["root"]["id"] == other["id"]
    assert call("scan", "auc", "--of", "guess")[0] == 0
    assert call("tag", "auc", "good", "--of", "guess:2")[1] == "metric 'auc' version 1 of guess:2 has the tags good\n"
    assert read(call("show", "auc", "--of", "guess:2", "--json"))["tags"] == ["good"]
    records = read(call("export", "auc", str(tmp_path / "a.zip"), "--of", "guess:1", "--json"))["records"]
    assert {(each["kind"], each["version"]) for each in records} == {("metric", 2), ("model", 1)}
    every = read(call("export", "auc", str(tmp_path / "b.zip"), "--of", "guess:1", "--all-versions", "--json"))[
        "records"
    ]
    assert sorted((each["kind"], each["version"]) for each in every) == [("metric", 1), ("metric", 2), ("model", 1)]
    assert read(call("push", "auc:1", "--of", "guess:2", "--to", "default", "--json"))["records"]


def test_of_is_for_the_metrics_among_several_names(call: Callable[..., Any], tmp_path: Path) -> None:
    """Other names beside them are found as without `--of`; where no name is of a metric, it is refused."""
    expected = {("persistable", 1), ("metric", 2), ("model", 1)}
    for rest in (("export", str(tmp_path / "a.zip")), ("push", "--to", "default")):
        records = read(call(rest[0], "thing", "auc", *rest[1:], "--of", "guess:1", "--json"))["records"]
        assert {(each["kind"], each["version"]) for each in records} == expected
    assert "leave --of out" in call("export", "thing", "guess", str(tmp_path / "b.zip"), "--of", "guess:1")[2]
    assert "no 'aux' in " in call("export", "thing", "aux", str(tmp_path / "b.zip"), "--of", "guess:1")[2]
    assert not (tmp_path / "b.zip").exists()


def test_a_pushed_metric_is_pulled_of_its_model(call: Callable[..., Any]) -> None:
    """`--list` says of which model each is; nothing is picked silently; `--of` says which is meant, without a version of the latest."""
    there = {model: read(call("show", "auc", "--of", model, "--json"))["id"] for model in ("guess:1", "guess:2")}
    for model in reversed(there):  # the older model's is pushed last
        assert call("push", "auc", "--of", model, "--to", "default")[0] == 0
    assert call("push", "guess:1", "--to", "default")[0] == 0
    pull = ("pull", "--from", "default")
    offers = read(call(*pull, "--list", "--json"))
    assert [(each["name"], each["of"], each["version"]) for each in offers] == [
        ("auc", "guess:1", 2),
        ("auc", "guess:2", 1),
        ("guess", "", 1),
    ]
    head, first, *_ = call(*pull, "--list")[1].splitlines()
    assert (head.split()[:4], first.split()[:4]) == (
        ["kind", "name", "of", "version"],
        ["metric", "auc", "guess:1", "2"],
    )
    code, out, err = call(*pull, "auc")
    assert (code, out) == (1, "")
    assert "'auc' is a metric of several models: guess:1, guess:2; say of which: " in err
    assert "--of guess:1" in err
    for of, id_ in (*there.items(), ("guess", there["guess:2"])):
        pulled = {each["id"] for each in read(call(*pull, "auc", "--of", of, "--json"))["skipped"]}
        assert pulled & set(there.values()) == {id_}
    assert call(*pull, "auc:2")[0] == 0  # which only one of them has
    assert "nobody pushed 'auc' version 9 of guess:1 to " in (refused := call(*pull, "auc:9", "--of", "guess:1")[2])
    assert "known versions: 2. " in refused
    assert "there is one of guess:1, guess:2. " in call(*pull, "auc", "--of", "guess:3")[2]
    assert "leave --of out" in call(*pull, "guess", "--of", "guess:1")[2]
    assert call(*pull, "--list", "--of", "guess:1")[0] == 2


def test_diff_takes_a_model_for_each_side(call: Callable[..., Any]) -> None:
    """Once is for both sides; twice, first for A and then for B."""
    same = read(call("diff", "auc:1", "auc:2", "--of", "guess:1", "--json"))
    assert "model" not in {each["path"] for each in same["differences"]}
    across = read(call("diff", "auc:1", "auc:1", "--of", "guess:1", "--of", "guess:2", "--json"))
    assert "model" in {each["path"] for each in across["differences"]}
    assert call("diff", "auc", "auc", *["--of", "guess"] * 3)[0] == 2


def test_each_model_has_aliases_of_its_metrics(call: Callable[..., Any]) -> None:
    """Aliases are pointed, listed, followed and dropped for one model; one that two models have is dropped only of one."""
    for model in ("guess:1", "guess:2"):
        code, out, _ = call("alias", "auc", "best", "--of", model)
        assert (code, out.endswith(f" of {model}\n")) == (0, True)
    assert {row["of"] for row in read(call("alias", "auc", "--list", "--json"))} == {"guess:1", "guess:2"}
    assert [row["version"] for row in read(call("alias", "auc", "--list", "--of", "guess:1", "--json"))] == [2]
    assert [row["of"] for row in read(call("alias", "auc", "--history", "--of", "guess:2", "--json"))] == ["guess:2"]
    assert "guess:2" in call("alias", "auc", "--history")[1]
    for arguments in (("show", "auc@best"), ("alias", "auc", "--drop", "best")):
        assert "say of which: --of guess:" in call(*arguments)[2]
    assert call("show", "auc@best", "--of", "guess:1")[0] == 0
    assert call("alias", "auc", "--drop", "best", "--of", "guess:1")[0] == 0
    assert [row["of"] for row in read(call("alias", "auc", "--list", "--json"))] == ["guess:2"]
    assert call("show", "auc@best")[0] == 0
    assert "'auc' has no alias 'best'" in call("show", "auc@best", "--of", "guess:1")[2]


def test_what_is_not_of_that_model_is_told(call: Callable[..., Any]) -> None:
    """A version that this model's metric has not, a model that there is not, and a kind that is of nothing are errors that teach."""
    err = call("show", "auc:2", "--of", "guess:2")[2]
    assert "no metric 'auc' version 2 of guess:2 in" in err
    assert "known versions: 1. " in err
    assert "did you mean 'guess'?" in call("show", "auc", "--of", "gess")[2]
    assert "leave --of out" in call("show", "thing", "--kind", "persistable", "--of", "guess")[2]
    assert "known versions: 1, 2. " in call("show", "auc:7")[2]


def test_one_version_is_deleted(call: Callable[..., Any]) -> None:
    """The version has to be said, and of which model; what something was made from stays, and an alias is no version."""
    assert "say which version: thing:1 is" in (refused := call("delete", "thing"))[2]
    assert refused[0] == 2
    call("alias", "thing", "best")
    assert call("delete", "thing@best")[0] == 2
    assert "best" in call("delete", "thing:1")[2]
    assert "made from" in call("delete", "guess:1")[2]
    assert "say of which: --of" in call("delete", "auc:1")[2]
    assert call("delete", "auc:1", "--of", "guess:2")[1] == "deleted metric 'auc' version 1 of guess:2\n"
    assert [row["of"] for row in read(call("ls", "metric", "--json")) if row["name"] == "auc"] == ["guess:1"]
    assert read(call("delete", "auc:1", "--json"))["version"] == 1
    assert read(call("show", "auc", "--json"))["version"] == 2


def test_what_is_changed_is_told_with_its_model(call: Callable[..., Any]) -> None:
    """Deleting, pruning, pointing and tagging say of which model a metric is, also in JSON, and so do their refusals."""
    mine = ("--of", "guess:1")
    version = {"kind": "metric", "name": "auc", "of": "guess:1", "version": 2}
    assert read(call("alias", "auc:2", "best", *mine, "--json")) == {**version, "alias": "best"}
    assert read(call("tag", "auc:2", "good", *mine, "--json")) == {**version, "tags": ["good"]}
    assert "the metric 'auc' version 2 of guess:1 cannot be deleted" in call("delete", "auc:2", *mine)[2]
    assert read(call("alias", "auc", "--drop", "best", *mine, "--json")) == {**version, "dropped": "best"}
    err = call("delete", "guess:1")[2]
    assert "the model 'guess' version 1 cannot be deleted" in err
    assert "metric 'auc' version 1 of guess:1" in err
    head, *lines, _ = call("prune", "--all", "--keep-last", "1", "--kind", "metric", "--dry-run")[1].splitlines()
    assert head.split() == ["kind", "name", "of", "version"]
    assert [line.split()[:4] for line in lines] == [["metric", "auc", "guess:1", "1"], ["metric", "f1", "guess:2", "1"]]
    pruned = read(call("prune", "--all", "--keep-last", "1", "--kind", "model", "--json"))
    assert [(each["name"], "of" in each) for each in pruned["kept"]] == [("guess", False)]
    pruned = read(call("prune", "auc", "--keep-last", "1", "--json"))
    assert [(each["of"], each["version"]) for each in pruned["deleted"]] == [("guess:1", 1)]
    assert read(call("delete", "auc:1", "--of", "guess:2", "--json"))["of"] == "guess:2"


def test_one_model_need_not_be_said(call: Callable[..., Any]) -> None:
    """A metric that one model has is found by its name alone, whatever versions it has."""
    assert read(call("show", "f1", "--json"))["version"] == 2
    assert read(call("show", "f1:1", "--json"))["version"] == 1
