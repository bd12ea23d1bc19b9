"""Project files: what they may say, what becomes of it, and what is told of every mistake."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from simpleml.errors import ConfigurationError, MissingDependencyError, ProjectError
from simpleml.jobs.nodes import nodes_of
from simpleml.jobs.project import read_project
from simpleml.jobs.project_schema import project_schema

ROOT = Path(__file__).resolve().parents[2]
ROLES = {
    "dataset": {"pipeline": "pipeline"},
    "pipeline": {"dataset": "dataset"},
    "model": {"pipeline": "pipeline"},
    "metric": {"model": "model", "dataset": "dataset"},
}

FILE = """
[project]
name = "crm"
author = "me"
import = ["kinds"]

[run]
executor = "processes"
workers = 2

[dataset.raw]
class = "Raw"

[pipeline.features]
class = "Features"
dataset = "raw"
train_size = 0.7

[model.forest]
class = "Forest"
pipeline = "features"
params.depth = 3

[model.line]
class = "Line"
pipeline = "features"

[metric.accuracy]
class = "Accuracy"
model = "*"
dataset_split = "TEST"
"""


@pytest.fixture
def read(tmp_path):
    """`read(text, …)` → the project of a file with this text and these changes."""

    def read_text(text, changes=(), name="project.toml"):
        path = tmp_path / name
        path.write_text(text)
        return read_project(path, changes)

    return read_text


def labels(project):
    """Return the label of every node, in order."""
    return [node.label for node in nodes_of(project, roles)]


def roles(kind, name, cls):
    """Return what an object of this kind is made from."""
    return ROLES[kind]


def test_a_file_is_read(read):
    """Tables, links by name, and what is common to all come out; what is made from something comes after it."""
    project = read(FILE)
    assert (project.name, project.author, project.modules) == ("crm", "me", ("kinds",))
    assert (project.executor, project.workers) == ("processes", 2)
    nodes = nodes_of(project, roles)
    assert [node.label for node in nodes] == [
        "dataset raw",
        "pipeline features",
        "model forest",
        "model line",
        "metric accuracy (model=forest)",
        "metric accuracy (model=line)",
    ]
    forest, metric = nodes[2], nodes[4]
    assert (forest.cls, forest.name, dict(forest.spec)) == ("Forest", "forest", {"params": {"depth": 3}})
    assert forest.parents == {"pipeline": nodes[1]}
    assert metric.parents == {"model": forest}
    assert dict(metric.spec) == {"dataset_split": "TEST"}


def test_yaml_is_read_like_toml(read):
    """The same content as YAML gives the same nodes."""
    text = json.dumps(tomllib.loads(FILE))  # which is YAML too
    one, other = nodes_of(read(FILE), roles), nodes_of(read(text, name="project.yaml"), roles)
    assert [(node.key, node.cls, node.spec) for node in one] == [(node.key, node.cls, node.spec) for node in other]


def test_yaml_is_an_extra(read, monkeypatch):
    """Without PyYAML a YAML file is an error with the pip line."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'simpleml\[yaml\]'"):
        read("{}", name="project.yml")


def test_an_object_may_have_another_name_than_its_table(read):
    """`name` is what an object is saved under; tables are linked by their own names."""
    nodes = nodes_of(read(FILE + '[model.third]\nclass = "Line"\nname = "a long name: v2"\n'), roles)
    assert [node.name for node in nodes if node.table == "third"] == ["a long name: v2"]


# changes


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("model.forest.params.depth=5", 5),
        ("model.forest.params.depth=[1, 2]", [1, 2]),
        ("model.forest.params.depth='deep'", "deep"),
        ("model.forest.params.depth=very deep", "very deep"),
        ("model.forest.params.depth={a = true}", {"a": True}),
        ("model.forest.params.depth = 0.5", 0.5),
    ],
)
def test_a_value_is_changed(read, change, value):
    """`PLACE=VALUE` sets a TOML value, or a text that needs no quotes, and everything else stays."""
    forest = nodes_of(read(FILE, [change]), roles)[2]
    assert dict(forest.spec) == {"params": {"depth": value}}


def test_a_key_that_is_not_there_is_added(read):
    """A place below a table may be new, with the tables on the way to it; a list is entered by number."""
    project = read(FILE, ["model.line.params.more.C=1", "model.line.steps=[1, {a = 2}]", "model.line.steps.1.a=3"])
    assert project.tables["model"]["line"]["params"] == {"more": {"C": 1}}
    assert project.tables["model"]["line"]["steps"] == [1, {"a": 3}]


def test_the_only_one_of_a_kind_needs_no_name(read):
    """`pipeline.train_size` means the file's only pipeline; links, classes and the run itself can be changed too."""
    changes = ["pipeline.train_size=0.5", "run.workers=7", "project.name=other", "model.line.class=Curve"]
    project = read(FILE, changes)
    assert project.tables["pipeline"]["features"]["train_size"] == 0.5
    assert (project.workers, project.name) == (7, "other")
    assert project.tables["model"]["line"]["class"] == "Curve"


def test_changes_may_be_a_mapping(read):
    """From Python, changes are places and values."""
    assert read(FILE, {"model.forest.params.depth": None}).tables["model"]["forest"]["params"] == {"depth": None}


def test_what_is_changed_is_not_swept(read):
    """A change is stronger than a sweep of the same place; what else the sweep varies, it still does."""
    text = FILE + sweep("model.forest.params.depth = [3, 4, 5]", 'model.forest.params.by = ["gini", "entropy"]')
    forests = [name for name in labels(read(text, {"model.forest.params.depth": 9})) if name.startswith("model forest")]
    assert forests == ["model forest (by=gini)", "model forest (by=entropy)"]
    alone = read(FILE + sweep("model.forest.params.depth = [3, 4]"), {"model.forest.params.depth": 9})
    assert alone.sweeps == ()
    assert nodes_of(alone, roles)[2].spec == {"params": {"depth": 9}}


# sweeps


def sweep(*lines):
    """Return the text of one sweep."""
    return "\n[[sweep]]\n" + "\n".join(lines) + "\n"


def test_a_sweep_makes_a_grid(read):
    """Every combination of the values is a model, with what is made from it; what is not swept is there once."""
    project = read(
        FILE + sweep("model.forest.params.depth = [3, 4, 5]", 'model.forest.params.by = ["gini", "entropy"]')
    )
    found = labels(project)
    assert len(found) == 1 + 1 + 6 + 6 + 2
    assert found.count("dataset raw") == found.count("model line") == 1
    assert "model forest (depth=3, by=gini)" in found
    assert "metric accuracy (depth=5, by=entropy, model=forest)" in found
    assert "model forest" not in found


def test_a_sweep_upstream_reaches_downstream(read):
    """Sweeping a pipeline makes every model of it, once for each value."""
    found = labels(read(FILE + sweep("pipeline.train_size = [0.5, 0.7]")))
    assert sorted(name for name in found if name.startswith("model")) == [
        "model forest (train_size=0.5)",
        "model forest (train_size=0.7)",
        "model line (train_size=0.5)",
        "model line (train_size=0.7)",
    ]


def test_several_sweeps_are_grids_of_their_own(read):
    """Sweeps of different models do not multiply, and neither brings back what the other one sweeps."""
    found = labels(read(FILE + sweep("model.forest.params.depth = [3, 4]") + sweep("model.line.params.C = [1, 2, 3]")))
    assert [name for name in found if name.startswith("model")] == [
        "model forest (depth=3)",
        "model forest (depth=4)",
        "model line (C=1)",
        "model line (C=2)",
        "model line (C=3)",
    ]


def test_the_same_point_twice_is_one_node(read):
    """Two sweeps over the same model are joined: what both have is there once."""
    found = labels(
        read(FILE + sweep("model.forest.params.depth = [3, 4]") + sweep("model.forest.params.depth = [4, 5]"))
    )
    assert [name for name in found if name.startswith("model forest")] == [
        f"model forest (depth={depth})" for depth in (3, 4, 5)
    ]


def test_dates_are_values_like_any_other(read):
    """What TOML knows and JSON does not may be swept, alone or within other values."""
    found = labels(read(FILE + sweep("model.forest.params.depth = [2020-01-01, [10:30:00], nan]")))
    told = [name for name in found if name.startswith("model forest")]
    assert told == [f"model forest (depth={value})" for value in ('"2020-01-01"', '["10:30:00"]', "NaN")]


def test_a_sweep_may_choose_links_classes_and_steps(read):
    """Links, classes, lists and whole tables are values too; the order of steps counts."""
    steps = "pipeline.features.transformers = [{a = 1, b = 2}, {b = 2, a = 1}]"
    assert len([name for name in labels(read(FILE + sweep(steps))) if name.startswith("pipeline")]) == 2
    second = '[pipeline.plain]\nclass = "Features"\ndataset = "raw"\n'
    text = FILE + second + sweep('model.line.pipeline = ["features", "plain"]', 'model.line.class = ["Line", "Curve"]')
    lines = [node for node in nodes_of(read(text), roles) if node.table == "line"]
    assert {(node.cls, node.parents["pipeline"].table) for node in lines} == {
        (cls, pipeline) for cls in ("Line", "Curve") for pipeline in ("features", "plain")
    }


def test_a_link_to_several_makes_one_of_each(read):
    """A model of two pipelines is two models, and a metric of that model is two metrics."""
    text = FILE.replace(
        '[model.line]\nclass = "Line"\npipeline = "features"',
        '[model.line]\nclass = "Line"\npipeline = ["features", "plain"]',
    )
    found = labels(read(text + '[pipeline.plain]\nclass = "Features"\ndataset = "raw"\n'))
    assert "model line (pipeline=plain)" in found
    assert [name for name in found if name.startswith("metric")] == [
        "metric accuracy (model=forest)",
        "metric accuracy (pipeline=features, model=line)",
        "metric accuracy (pipeline=plain, model=line)",
    ]


# mistakes

MISTAKES = [
    ("[models.x]\nclass = 'A'", r"unknown table 'models'; known: .*model.* \(did you mean 'model'\?\)"),
    ("[run]\nexecuter = 'x'", r"\[run\] has no key 'executer'; known: executor, workers \(did you mean 'executor'\?\)"),
    ("[run]\nworkers = 0", r"\[run\] workers: workers is 0, but must be a whole number from 1 on"),
    ("[run]\nexecutor = 3", r"\[run\] executor must be a text of 1 to 255 characters, not 3 \(int\)"),
    ("[project]\nimport = 'x'", r"\[project\] import must be a list of texts, not 'x' \(str\)"),
    ("run = 5", r"\[run\] must be a table of keys and values, not 5 \(int\)"),
    ("[model.x]\ntype = 'A'", r"\[model\.x\]: it has no class \(is 'type' meant to be it\?\)"),
    ("[model.x]\nclass = 5", r"\[model\.x\]: its class is 5 \(int\)"),
    ("[model]\nclass = 'A'", r"\[model\] holds tables, one for each model, but 'class' is 'A' \(str\): write \[model\.NAME\]"),
    ("[model.'a b']\nclass = 'A'", r"\[model\.a b\]: a table is named with letters, digits"),
    ("[model.x]\nclass = 'A'\nclass = = 'B'", "not valid TOML: .*line 3"),
    ("[sweep]\nmodel.x = [1]", r"write \[\[sweep\]\]"),
    ("sweep = 3", r"sweep must be a list of tables \[\[sweep\]\]"),
    ("[[sweep]]", r"\[\[sweep\]\] 1 must be a table of places and lists"),
    ("[[sweep]]\nmodel.x.y = [1]", r"the file has no model at all: add a table \[model\.NAME\]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_a_mistake_in_the_file_is_told(read, text, told):
    """A mistake is told with the file, the table, the key, and what is known there."""
    with pytest.raises(ProjectError, match=told) as caught:
        read(text)
    assert "project.toml" in str(caught.value)
    assert isinstance(caught.value, ConfigurationError | ValueError)


SWEEP_MISTAKES = [
    ("model.forst.params.depth = [1]", r"\[\[sweep\]\] 1: model\.forst\.params\.depth: the file has no model 'forst'; known: forest, line \(did you mean 'forest'\?\)"),
    ("modle.forest.params.depth = [1]", r"begins with one of the tables, not 'modle'; known: .* \(did you mean 'model'\?\)"),
    ("model.forest = [1]", "this names a table, not a key in it"),
    ("model.forest.params.depth = 3", r"must be a list of the values that it takes, not 3 \(int\)"),
    ("model.forest.params.depth = []", "must be a list of the values that it takes"),
    ("model.forest.params.depth.x = [1]", "params.depth is 3, so there is nothing below it"),
    ("model.forest.class.x = [1]", "class is a text, so there is nothing below it"),
    ("'model.forest.params.depth' = [1]\nmodel.forest.params.depth = [2]", "is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "told"), SWEEP_MISTAKES)
def test_a_mistake_in_a_sweep_is_told(read, line, told):
    """A place that does not exist, or no list of values, is told with the number of the sweep and the place."""
    with pytest.raises(ProjectError, match=told):
        read(FILE + sweep(line))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.forest.params.depth", "is no change: write PLACE=VALUE"),
        ("model.forest.params.depth=[1", "is no TOML value"),
        ("model.frest.params.depth=1", r"--set model\.frest\.params\.depth: the file has no model 'frest'.*'forest'"),
        ("pipeline.nope.class=X", r"--set pipeline\.nope\.class: the file has no pipeline 'nope'; known: features"),
        ("runs.workers=1", "not 'runs'; known: .*run.*did you mean 'run'"),
        ("run.worker=1", r"\[run\] has no key 'worker'.*did you mean 'workers'"),
    ],
)
def test_a_mistake_in_a_change_is_told(read, change, told):
    """A change that leads nowhere is told like a mistake in the file."""
    with pytest.raises(ProjectError, match=told):
        read(FILE, [change])


def test_a_password_in_a_change_is_not_shown(read):
    """A URL that is given without quotes is a text; one that is no value is told without its password."""
    project = read(FILE, ["dataset.raw.url=postgresql://me:hush@host/db"])
    assert project.tables["dataset"]["raw"]["url"] == "postgresql://me:hush@host/db"
    for text in ("dataset.raw.url=postgresql://me:hush%@host/db", "postgresql://me:hush@host/db"):
        with pytest.raises(ProjectError) as caught:
            read(FILE, [text])
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model.line.pipeline": "feature"}, r"\[model\.line\] pipeline: the file has no pipeline 'feature'; known: features \(did"),
        ({"model.line.pipeline": []}, r"\[model\.line\] pipeline is an empty list"),
        ({"model.line.pipeline": 3}, r"\[model\.line\] pipeline must be the name of a table \[pipeline\.NAME\], or a list of names, not 3"),
        ({"dataset.raw.pipeline": "features"}, r"dataset\.raw → pipeline\.features → dataset\.raw: each is made from the next, in a circle"),
    ],
)  # fmt: skip
def test_a_wrong_link_is_told(read, change, told):
    """A link to nothing and a circle of links are told with the tables they are in."""
    with pytest.raises(ProjectError, match=told):
        nodes_of(read(FILE, change), roles)


def test_a_link_to_all_of_none_is_told(read):
    """All there are must be some."""
    with pytest.raises(ProjectError, match=r"\[model\.line\] pipeline is '\*', but the file has no pipeline at all"):
        nodes_of(read('[model.line]\nclass = "Line"\npipeline = "*"\n'), roles)


def test_a_missing_file_is_told(tmp_path):
    """A file that is not there is told by its path; one that is no text too."""
    with pytest.raises(ProjectError, match=r"there is no project file .*absent\.toml"):
        read_project(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectError, match="cannot be read"):
        read_project(tmp_path / "binary.toml")


def test_wrong_yaml_is_told(read):
    """YAML that is none is told with the line; one that is no table too."""
    with pytest.raises(ProjectError, match=r"not valid YAML: .*line 1"):
        read("a: [", name="project.yaml")
    with pytest.raises(ProjectError, match="must be a table of keys and values, not 5"):
        read("5", name="project.yaml")
    with pytest.raises(ProjectError, match=r"not valid YAML: Circular"):
        read("model: {line: &a {class: Line, more: *a}}", name="project.yaml")


# schema


def test_the_schema_is_the_one_that_is_shipped():
    """`config/project.schema.json` is what the package says today; write it anew when that changes."""
    assert json.loads((ROOT / "config/project.schema.json").read_text()) == project_schema()


def test_the_schema_accepts_the_example_and_refuses_mistakes():
    """The example file follows the schema; files with a mistake that it can know of do not."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(project_schema())
    example = tomllib.loads((ROOT / "config/titanic-like.toml").read_text())
    assert list(validator.iter_errors(example)) == []
    assert list(validator.iter_errors(tomllib.loads(FILE))) == []
    for wrong in ("[modle.x]\nclass = 'A'", "[model.x]\ntype = 'A'", "[run]\nworkers = 0", "[[sweep]]\nx.y = [1]"):
        assert list(validator.iter_errors(tomllib.loads(wrong))) != [], wrong


def test_the_schema_and_the_reader_know_the_same_tables(read):
    """A table that the schema lists is read, and one that it does not list is refused."""
    tables = project_schema()["properties"]
    content = {name: [] if schema.get("type") == "array" else {} for name, schema in tables.items()}
    assert read(json.dumps(content), name="project.yaml").tables == {kind: {} for kind in ROLES}
    for name in ("project", "run"):
        listed = set(tables[name]["properties"])
        with pytest.raises(ProjectError) as caught:
            read(f"[{name}]\nwrong = 1")
        assert str(caught.value).endswith(f"known: {', '.join(sorted(listed))}")
