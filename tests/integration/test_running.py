"""Project files, run: what is missing is built, on every executor alike, and nothing that is there is built again."""

from __future__ import annotations

import json
import os
import pickle
import pty
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, inspect

import simpleml
from simpleml.cli import main
from simpleml.errors import ConfigurationError, ProjectError, UnknownNameError
from simpleml.executors import open_executor
from simpleml.jobs import creators, plan_project, read_project, run_project, running
from simpleml.jobs.building import Work, build_node
from simpleml.jobs.connection import Connection

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "titanic-like.toml"

FILE = """
[project]
name = "titanic"
import = ["tests.integration.run_kinds"]

[dataset.passengers]
class = "Survivors"
label_columns = ["survived"]

[pipeline.features]
class = "RandomSplitSklearnPipeline"
dataset = "passengers"
train_size = 0.7
transformers.scale.class = "sklearn.preprocessing:StandardScaler"

[model.line]
class = "SklearnLogisticRegression"
pipeline = "features"
params.C = 1.0

[model.most]
class = "SklearnModel"
pipeline = "features"
estimator = { class = "tests.integration.run_kinds:Fragile", behaviour = "well" }

[metric.accuracy]
class = "AccuracyMetric"
model = "*"
dataset_split = "TEST"
"""

KINDS = ("dataset", "pipeline", "model", "metric")


@pytest.fixture
def write(tmp_path):
    """`write(text)` → the path of a project file."""

    def write_text(text=FILE, name="project.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_text


def statuses(report):
    """Return label → status."""
    return {each.planned.node.label: each.status for each in report.outcomes}


def hashes(report):
    """Return label → hash."""
    assert report.all_well, [each.trace for each in report.having("failed")]
    return {each.planned.node.label: each.hash_ for each in report.outcomes}


def counts(database):
    """Return how many records of each kind there are."""
    return {kind: database.count(kind, {}) for kind in KINDS}


@contextmanager
def statements(database) -> Iterator[list[str]]:
    """Give what a database is asked in the block."""
    asked: list[str] = []

    def note(connection, cursor, statement, *rest):
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


# what a run does


def test_a_run_builds_and_a_second_one_finds(database, write):
    """On every database, the first run saves everything that the file names, the second one finds it and saves nothing."""
    first = run_project(write())
    assert first.all_well, [each.trace for each in first.having("failed")]
    assert Counter(each.status for each in first.outcomes) == {"built": 6}
    assert counts(database) == {"dataset": 1, "pipeline": 1, "model": 2, "metric": 2}
    line = simpleml.load("model", name="line")
    assert line.project == "titanic"
    assert line.get_params()["C"] == 1.0
    scored = simpleml.load("metric", name="accuracy", model_id=line.id)
    told = {each.planned.node.label: each for each in first.outcomes}["metric accuracy (model=line)"]
    assert (told.id, told.version, told.hash_, told.values) == (scored.id, 1, scored.hash_, scored.values)

    second = run_project(write())
    assert Counter(each.status for each in second.outcomes) == {"hit": 6}
    assert hashes(second) == hashes(first)
    assert [(each.id, each.version, each.values) for each in second.outcomes] == [
        (each.id, each.version, each.values) for each in first.outcomes
    ]
    assert counts(database) == {"dataset": 1, "pipeline": 1, "model": 2, "metric": 2}


def test_only_what_changed_is_built(local, write):
    """A changed parameter builds the model and what is made from it, as the next version; the rest is found."""
    run_project(write())
    again = run_project(read_project(write(), ["model.line.params.C=2"]))
    assert statuses(again) == {
        "dataset passengers": "hit",
        "pipeline features": "hit",
        "model line": "built",
        "model most": "hit",
        "metric accuracy (model=line)": "built",
        "metric accuracy (model=most)": "hit",
    }
    assert simpleml.load("model", name="line").version == 2
    back = run_project(write())
    assert {each.status for each in back.outcomes} == {"hit"}
    assert back.outcomes[2].version == 1


def test_equal_content_under_another_name_is_saved_under_it(local, write):
    """The name counts: what is called otherwise is there under both names, and each finds its own metrics."""
    run_project(write())
    renamed = run_project(read_project(write(), {"model.line.name": "curve"}))
    assert {each.planned.node.label for each in renamed.having("built")} == {
        "model line",
        "metric accuracy (model=line)",
    }
    assert simpleml.load("model", name="curve").hash_ == simpleml.load("model", name="line").hash_


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What everything hashes to when it is built in line."""
    folder = tmp_path_factory.mktemp("expected")
    (folder / "project.toml").write_text(FILE)
    with simpleml.orm.open_database(folder / "x.db", store=folder / "store", home=folder) as opened:
        found = hashes(run_project(folder / "project.toml", executor="inline", database=opened))
    opened.close()
    return found


@pytest.mark.parametrize("executor", ["threads", "processes", "processes:fork", "dask", "ray"])
def test_every_executor_gives_the_same_hashes(local, write, expected, executor, monkeypatch):
    """Byte for byte the hashes are those of a run in line, on two real workers of every kind."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    report = run_project(write(), executor=executor, workers=2)
    assert hashes(report) == expected
    assert {each.status for each in report.outcomes} == {"built"}


def test_ones_own_executor(local, write, expected):
    """Any executor of `concurrent.futures` does the work, and stays open."""
    with ThreadPoolExecutor(2) as pool:
        assert hashes(run_project(write(), executor=pool)) == expected
        assert pool.submit(abs, -1).result() == 1


def test_the_file_says_where_it_runs(local, write):
    """`[run]` names the executor and its workers; an argument is stronger, and the file's workers are then not meant."""
    text = FILE + '[run]\nexecutor = "threads"\nworkers = 1\n'
    assert run_project(write(text)).all_well
    with pytest.raises(UnknownNameError, match="no executor 'thread'"):
        run_project(read_project(write(text), {"run.executor": "thread"}))
    changed = read_project(write(text), {"run.workers": 2, "model.line.params.C": 7})
    assert run_project(changed, executor="inline").all_well


# workers


def test_workers_get_to_the_database(database, write):
    """On every database, processes open it by what the driver was given, password and all."""
    report = run_project(write(), executor="processes", workers=1)
    assert report.all_well, [each.trace for each in report.having("failed")]
    assert counts(database) == {"dataset": 1, "pipeline": 1, "model": 2, "metric": 2}


def test_no_secret_shows(local):
    """What travels to a worker has the password that `connect` was given, and does not show it; one from a variable stays."""
    settings = local.settings.replace(database_url="postgresql://me:hush@host/db", store="/elsewhere")

    class Elsewhere:
        ledger_id = "0" * 12

        def __init__(self, settings):
            self.settings = settings

    connection = Connection.to(Elsewhere(settings))
    work = Work("run", connection, (), "model", "X", {"url": "sqlite://u:hush@x"}, {}, "file")
    assert "hush" in str(connection.arguments["database_url"])
    assert "hush" not in repr(work)
    environ = {"SIMPLEML_DATABASE_URL": "postgresql://me:hush@host/db", "HOME": "/nowhere"}
    from_variables = Connection.to(Elsewhere(simpleml.settings.Settings.load(environ=environ)))
    assert from_variables.arguments == {}


@pytest.mark.parametrize("given", ["arguments", "file", "section", "variables"])
def test_a_worker_finds_the_database_however_it_was_given(home, given, monkeypatch, tmp_path):
    """A worker opens the sender's database whether it comes from arguments, from the settings file or from variables."""
    url, store = f"sqlite:///{tmp_path / 'there.db'}", str(tmp_path / "there")
    tables = {
        "file": f"[stores]\ndefault = '{store}'\n[database]\nurl = '{url}'\n",
        "section": f"[stores]\ndefault = '{store}'\n[databases.other]\nurl = '{url}'\n",
    }
    if given in tables:
        Path("simpleml.toml").write_text(tables[given])
    if given == "variables":
        monkeypatch.setenv("SIMPLEML_DATABASE_URL", url)
        monkeypatch.setenv("SIMPLEML_STORE", store)
    arguments = {"arguments": {"database_url": url, "store": store}, "section": {"database_conf": "other"}}
    opened = simpleml.connect(**arguments.get(given, {}))
    sent = pickle.loads(pickle.dumps(replace(Connection.to(opened), owner=0)))
    assert bool(sent.arguments) == (given in arguments)
    there = sent.open()
    try:
        assert there is not opened
        assert (there.ledger_id, there.settings.stores["default"]) == (opened.ledger_id, store)
        assert sent.open() is there
    finally:
        there.close()


def test_a_worker_in_another_database_is_told(local, write, tmp_path):
    """A worker whose settings lead elsewhere says so, and builds nothing there."""
    lost = Connection("f" * len(local.ledger_id), "sqlite:///the-right-one.db", {"home": tmp_path / "other"})
    work = Work("run", lost, (), "dataset", "Survivors", {}, {}, "file")
    with pytest.raises(
        ConfigurationError, match=r"other/simpleml\.db, but the run is about sqlite:///the-right-one\.db"
    ):
        build_node(work)


# failures


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_failure_stops_what_depends_on_it_alone(local, write, executor):
    """A model that fails takes its metric along and nothing else; put right, the next run builds only these two."""
    broken = read_project(write(), {"model.most.estimator.behaviour": "raise"})
    workers = None if executor == "inline" else 1
    report = run_project(broken, executor=executor, workers=workers)
    assert not report.all_well
    assert statuses(report) == {
        "dataset passengers": "built",
        "pipeline features": "built",
        "model line": "built",
        "model most": "failed",
        "metric accuracy (model=line)": "built",
        "metric accuracy (model=most)": "skipped",
    }
    [failed] = report.having("failed")
    assert "it was to fail" in failed.why
    assert "run_kinds.py" in failed.trace
    assert report.having("skipped")[0].why == "model most failed"
    mended = statuses(run_project(write(), executor=executor, workers=workers))
    assert [label for label, status in mended.items() if status == "built"] == [
        "model most",
        "metric accuracy (model=most)",
    ]


def test_a_dead_worker_is_a_failure_of_one_node(local, write):
    """A model that takes its process along fails alone."""
    report = run_project(
        read_project(write(), {"model.most.estimator.behaviour": "die"}), executor="processes", workers=1
    )
    assert {label for label, status in statuses(report).items() if status != "built"} == {
        "model most",
        "metric accuracy (model=most)",
    }
    assert report.having("failed")[0].why.startswith("WorkerDiedError: process")


def test_data_that_cannot_be_read_is_a_failure_of_its_node(local, write, tmp_path):
    """A dataset that cannot be had fails in the plan, with what is made from it; another branch is built."""
    text = FILE + '[dataset.other]\nclass = "Survivors"\nrows = 20\n'
    absent = tmp_path / "absent.csv"
    project = read_project(write(text), {"dataset.passengers.needs": str(absent)})
    plan = plan_project(project, local)
    assert [each.action for each in plan] == ["fail", "build", *["skip"] * 5]
    report = run_project(project)
    assert [each.status for each in report.outcomes] == ["failed", "built", *["skipped"] * 5]
    assert "FileNotFoundError" in report.having("failed")[0].why
    absent.write_text("")
    assert run_project(project).all_well


# the plan


def test_a_plan_changes_nothing(local, write):
    """A plan saves nothing, and has the hashes that a run then gives."""
    plan = plan_project(read_project(write()), local)
    assert set(counts(local).values()) == {0}
    assert {each.action for each in plan} == {"build"}
    assert {each.why for each in plan} >= {"no dataset is named 'passengers'", "no model is named 'line'"}
    assert hashes(run_project(write())) == {each.node.label: each.hash_ for each in plan}


def test_a_plan_says_why(local, write):
    """What is to be built differs from the latest of its name, and the plan says in what."""
    run_project(write())
    changes = {"model.line.params.C": 3.0, "model.most.class": "SklearnLogisticRegression", "pipeline.train_size": 0.7}
    project = read_project(write(), changes)
    del project.tables["model"]["most"]["estimator"]
    why = {each.node.label: each.why for each in plan_project(project, local)}
    assert why["dataset passengers"] == "version 1 has this hash"
    assert why["model line"] == "version 1 of 'line' differs in params.C: 1.0 → 3.0"
    assert "SklearnModel → SklearnLogisticRegression" in why["model most"].replace("'", "")
    assert why["metric accuracy (model=line)"] == "version 1 of 'accuracy' differs in the model"
    saved = creators.resolve("model", {"name": "line", "registered_name": "SklearnLogisticRegression", "C": 3.0})
    assert saved.why == "version 1 of 'line' differs in params.C: 1.0 → 3.0; the pipeline"
    other = read_project(write(), {"pipeline.train_size": 0.5})
    assert [each.action for each in plan_project(other, local)] == ["hit", *["build"] * 5]


def test_the_plan_asks_as_often_for_many_as_for_few(local, write):
    """However many models a sweep has, what is there is found by the same number of statements."""

    def asked(count):
        values = [number / 100 for number in range(1, count + 1)]
        path = write(FILE + f"\n[[sweep]]\nmodel.line.params.C = {values}\n", f"{count}.toml")
        run_project(path)
        with statements(local) as found:
            report = run_project(path)
        assert {each.status for each in report.outcomes} == {"hit"}
        return len(report.outcomes), len(found)

    few, many = asked(2), asked(12)
    assert many[0] == few[0] + 20
    assert many[1] == few[1]


def test_what_follows_from_something_that_is_missing_is_planned(local, write):
    """A dataset whose content a pipeline makes is built after it, and the next plan knows it."""
    text = FILE + '[dataset.scaled]\nclass = "Scaled"\npipeline = "features"\n'
    plan = plan_project(read_project(write(text)), local)
    [scaled] = [each for each in plan if each.node.table == "scaled"]
    assert (scaled.action, scaled.hash_) == ("build", None)
    assert scaled.why == "what it is follows from pipeline features, which is to be built"
    assert run_project(write(text)).all_well
    assert {each.action for each in plan_project(read_project(write(text)), local)} == {"hit"}
    assert simpleml.load("dataset", name="scaled").pipeline.name == "features"


# sweeps


def test_a_sweep_makes_versions(local, write):
    """Each point is a version of its name with its own metric; one more value builds one more."""
    sweep = "\n[[sweep]]\nmodel.line.params.C = [0.1, 1.0, 10.0]\n"
    first = run_project(write(FILE + sweep), executor="inline")
    assert first.all_well
    assert simpleml.load("model", name="line").versions("line") == [1, 2, 3]
    second = run_project(write(FILE + sweep.replace("10.0", "10.0, 100.0")))
    assert [each.planned.node.label for each in second.having("built")] == [
        "model line (C=100.0)",
        "metric accuracy (C=100.0, model=line)",
    ]


def test_results_are_a_table(local, write):
    """The report has one row for each model, with its point, its version and its metrics."""
    report = run_project(write(FILE + "\n[[sweep]]\nmodel.line.params.C = [0.1, 1.0]\n"), executor="inline")
    rows = report.results()
    assert [(row["model"], row["version"], row["point"]) for row in rows] == [
        ("line", 1, "C=0.1"),
        ("line", 2, "C=1.0"),
        ("most", 1, ""),
    ]
    assert all(0.5 < row["accuracy"] <= 1 for row in rows)
    assert "8 built" in repr(report)


def test_two_runs_at_once_build_everything_once(local, write, tmp_path):
    """Two processes that run the same file at the same time save one record of each node."""
    path = write()
    script = (
        "import sys, simpleml; from simpleml.jobs import run_project;"
        f"simpleml.connect({str(local.url.database)!r}, store={str(tmp_path / 'store')!r});"
        f"print(run_project({str(path)!r}, executor='inline').all_well)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", script], env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=300)[0].split() for process in both] == [["True"], ["True"]]
    assert counts(local) == {"dataset": 1, "pipeline": 1, "model": 2, "metric": 2}


# mistakes that only the classes know


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model.line.class": "SklearnLogisticRegresion"}, r"\[model\.line\] class: no model class is registered as 'SklearnLogisticRegresion'"),
        ({"model.line.class": "AccuracyMetric"}, r"\[model\.line\] class: .*metric, not a model"),
        ({"model.line.class": "tests.integration.run_kinds:Fragile"}, r"\[model\.line\] class: .* is no persistable class"),
        ({"model.line.class": "tests.nowhere:X"}, r"\[model\.line\] class: .*No module named 'tests\.nowhere'"),
        ({"model.line.params.CC": 1}, r"\[model\.line\] \(model\.line\.params\.CC changed by --set\): .*no parameter 'CC'; .*did you mean 'C'"),
        ({"model.line.parms.C": 1}, r"\[model\.line\].*takes no keyword 'parms'; .*did you mean 'params'"),
        ({"pipeline.features.train_sise": 1}, r"\[pipeline\.features\].*takes no keyword 'train_sise'; .*did you mean 'train_size'"),
        ({"pipeline.features.train_size": "much"}, r"\[pipeline\.features\].*much"),
        ({"dataset.passengers.rows": [1], "dataset.passengers.label_colums": []}, r"\[dataset\.passengers\].*label_colums"),
        ({"pipeline.features.transformers.scale.class": "StandardScaler"}, r"\[pipeline\.features\] .* transformers\.scale: there is no 'StandardScaler' here; .*sklearn\.preprocessing:StandardScaler"),
        ({"pipeline.features.transformers.scale.with_men": True}, r"transformers\.scale: StandardScaler refuses with_men"),
        ({"pipeline.features.transformers.scale.class": "tests.integration.run_kinds:double"}, r"is no class, but <function double"),
        ({"metric.accuracy.model": "lines"}, r"\[metric\.accuracy\] model: the file has no model 'lines'"),
        ({"pipeline.features.transformers.scale.class": "sklearn.preprocessing:StandardScalr"}, r"transformers\.scale: .*did you mean 'StandardScaler'"),
        ({"pipeline.features.transformers.scale.with_men": True}, r"did you mean 'with_mean'"),
        ({"model.line.class": "RocAucMetric"}, r"\[model\.line\] class: .*metric, not a model"),
        ({"model.line.class": ".here:X"}, r"\[model\.line\] class: '\.here' is no full name"),
        ({"metric.accuracy.model": []}, r"\[metric\.accuracy\] model is an empty list"),
        ({"project.import": [""]}, r"\[project\] import: : '' is no full name"),
        ({"project.import": ["no_such_module"]}, r"\[project\] import: no_such_module: No module named"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_is_built(local, write, changes, told):
    """What a class refuses is told with the file, the table and the key, and nothing is saved."""
    with pytest.raises(ProjectError, match=told) as caught:
        run_project(read_project(write(), changes))
    assert "project.toml" in str(caught.value)
    assert set(counts(local).values()) == {0}


def test_a_mistake_in_one_point_of_a_sweep_is_told(local, write):
    """A value that a class refuses is told with the point of the sweep."""
    sweep = "\n[[sweep]]\nmodel.line.params.CC = [1, 2]\n"
    with pytest.raises(ProjectError, match=r"\[model\.line\] \(with CC=1\): .*no parameter 'CC'"):
        run_project(write(FILE + sweep))


# the command


@pytest.fixture
def cli(capsys, home, tmp_path):
    """`cli("run", …)` → exit code, standard output, standard error."""
    there = ["--database", f"sqlite:///{tmp_path / 'cli.db'}", "--store", str(tmp_path / "store")]

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([*arguments, *there])
        return (int(left.value.code or 0), *capsys.readouterr())

    return run


def test_the_command_builds_and_shows(cli, write):
    """`simpleml run` prints counts and every model with its metrics; nothing is drawn where nobody looks."""
    code, out, err = cli("run", str(write()))
    assert (code, err) == (0, "")
    assert "6 build" in out
    [line] = [row for row in out.splitlines() if row.startswith("line:1")]
    assert "built" in line
    assert out.splitlines()[-1].startswith("6 built in ")
    assert "6 hit in " in cli("run", str(write()))[1]


def test_an_interrupted_command_says_how_to_go_on(cli, write, monkeypatch):
    """After Ctrl-C the last line says that what was built is there, and the exit code is that of an interrupt."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_project", interrupted)
    code, out, _ = cli("run", str(write()))
    assert code == 130
    assert "the same command goes on from there" in out


def test_the_command_shows_the_plan(cli, write):
    """`--dry-run` prints hit or build, and why, of every node, and saves nothing."""
    code, out, err = cli("run", str(write()), "--dry-run")
    assert (code, err) == (0, "")
    assert "build  model line                    no model is named 'line'" in out
    assert out.splitlines()[-1] == "6 build"
    assert "there is no database" in cli("ls", "--json")[2]


@pytest.mark.parametrize("asked", ["plan", "run"])
def test_a_dry_run_writes_nothing(write, home, database_url, capsys, asked):
    """In an empty home, and in a database of each kind that has no tables, a plan makes no file and no table; a run does both."""
    before = sorted(home.rglob("*"))
    for options in ([], ["--store", str(home / "store"), "--database", database_url]):
        with pytest.raises(SystemExit) as left:
            main([*options, "run", str(write()), *(["--dry-run"] if asked == "plan" else [])])
        assert not left.value.code
        out, err = capsys.readouterr()
        assert "6 build" in out
        assert err == ""
    engine = create_engine(database_url)
    there = Path(engine.url.database).exists() if engine.name == "sqlite" else inspect(engine).get_table_names() != []
    engine.dispose()
    assert there is (asked == "run")
    assert (sorted(home.rglob("*")) != before) is there


def test_a_dry_run_sees_what_is_there(cli, write):
    """In a database that is there a plan tells hits."""
    assert cli("run", str(write()))[0] == 0
    assert cli("run", str(write()), "--dry-run")[1].splitlines()[-1] == "6 hit"


def test_the_command_speaks_json(cli, write):
    """With `--json` the plan and the outcomes are data, and nothing else is printed."""
    planned = json.loads(cli("run", str(write()), "--dry-run", "--json")[1])
    assert {each["action"] for each in planned} == {"build"}
    outcomes = json.loads(cli("run", str(write()), "--json")[1])
    assert (outcomes[0]["table"], outcomes[0]["status"]) == ("passengers", "built")
    assert [each["hash"] for each in outcomes] == [each["hash"] for each in planned]
    assert all(each["values"] for each in outcomes if each["kind"] == "metric")


def test_the_command_takes_changes_and_executors(cli, write):
    """`--set`, `--executor` and `--workers` mean what they say."""
    code, _, _ = cli("run", str(write()), "--set", "model.line.params.C=5", "--executor", "threads", "--workers", "1")
    assert code == 0
    assert "differs in params.C: 5 → 1.0" in cli("run", str(write()), "--dry-run")[1]
    code, _, err = cli("run", str(write()), "--set", "model.lin.params.C=5")
    assert code == 1
    assert "did you mean 'line'" in err


def test_the_command_fails_if_something_failed(cli, write):
    """A failure is printed with its reason, and the exit code is 1."""
    code, out, _ = cli("run", str(write()), "--set", "model.most.estimator.behaviour=raise")
    assert code == 1
    assert "failed: model most: RuntimeError: it was to fail" in out
    assert "skipped: metric accuracy (model=most): model most failed" in out


def test_modules_of_the_command_line_travel(cli, write, monkeypatch):
    """A class of a module that `--import` names is found by workers too."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("ownkinds.py").write_text("from tests.integration.run_kinds import Survivors\nclass Drowned(Survivors): ...\n")
    text = '[dataset.d]\nclass = "Drowned"\nlabel_columns = ["survived"]\n'
    text += '[pipeline.p]\nclass = "SklearnPipeline"\ndataset = "d"\n'
    code, out, err = cli("--import", "ownkinds", "run", str(write(text)), "--executor", "processes", "--workers", "1")
    assert (code, err) == (0, ""), out
    assert "2 built" in out


def test_a_terminal_shows_what_is_under_way(write, home, tmp_path):
    """In a terminal a bar counts what is built, and is gone at the end."""
    command = [sys.executable, "-m", "simpleml", "run", str(write())]
    command += ["--database", f"sqlite:///{tmp_path / 'tty.db'}", "--store", str(tmp_path / "store")]
    reading, writing = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    shown = b""
    while chunk := _read(reading):
        shown += chunk
    out, _ = process.communicate(timeout=120)
    os.close(reading)
    assert process.returncode == 0
    assert b"building 6" in shown
    assert b"building" not in out.replace(b"6 build\n", b"")


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


def test_the_example_file_runs(cli):
    """`config/titanic-like.toml` runs, twice, and the second time everything is there."""
    code, out, err = cli("run", str(EXAMPLE))
    assert (code, err) == (0, "")
    assert "26 built in " in out
    code, out, _ = cli("run", str(EXAMPLE), "--set", "run.executor=processes")
    assert code == 0
    assert "26 hit in " in out
    assert cli("run", str(EXAMPLE), "--set", "model.params.C=3.0", "--dry-run")[1].splitlines()[-1] == "2 hit, 6 build"


def test_values_may_be_functions_and_files_yaml(local, write):
    """A table with a function is that function, in YAML as in TOML."""
    text = json.dumps(
        {
            "project": {"import": ["tests.integration.run_kinds"]},
            "dataset": {"d": {"class": "Survivors", "label_columns": ["survived"]}},
            "pipeline": {
                "p": {
                    "class": "SklearnPipeline",
                    "dataset": "d",
                    "transformers": {
                        "double": {
                            "class": "sklearn.preprocessing:FunctionTransformer",
                            "func": {"function": "tests.integration.run_kinds:double"},
                        }
                    },
                }
            },
        }
    )
    report = run_project(write(text, "project.yaml"), executor="processes", workers=1)
    assert report.all_well, [each.trace for each in report.having("failed")]
    assert simpleml.load("pipeline", name="p").transform().X["age"].max() > 80


def test_one_executor_may_do_several_runs(local, write):
    """An executor that is kept open does one run after the other, without confusing what workers keep."""
    with open_executor("processes", workers=1) as pool:
        assert run_project(write(), executor=pool).all_well
        again = run_project(read_project(write(), {"model.line.params.C": 9.0}), executor=pool)
    assert Counter(each.status for each in again.outcomes) == {"hit": 4, "built": 2}
