"""`simpleml demo`: the main job on real data, as a newcomer runs it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simpleml
from simpleml.cli import demo, main
from simpleml.cli.demo_models import DemoClassifier
from simpleml.cli.demo_reader import Answer, answer, load_table
from simpleml.errors import ConfigurationError, LineageError
from simpleml.models import SklearnModel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has a home of its own, child processes find the package, and no connection outlives a test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    simpleml.disconnect()
    yield
    simpleml.disconnect()


def run_demo(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo as a user does, in a process of its own."""
    command = [sys.executable, "-m", "simpleml", "demo", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run_json(*options: str) -> dict[str, Any]:
    """Run the demo for machines, successfully, and return what it says."""
    done = run_demo("--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_demo_works_in_an_empty_home_and_tells_what_it_did(home: Path) -> None:
    """On a fresh machine it saves, loads in a second process, compares, and names the next commands."""
    done = run_demo()
    assert (done.returncode, done.stderr) == (0, "")
    for told in ("demo-scaler", "demo-classifier", "C=1.0", "C=0.1", "demo-scaler:1", " ms", "B ", "1:"):
        assert told in done.stdout
    assert done.stdout.count("ok ") == 4
    assert "FAILED" not in done.stdout
    for following in ("simpleml ls", "simpleml show demo-classifier:1", "simpleml verify --all", "simpleml.load("):
        assert following in done.stdout
    assert (home / ".simpleml" / "simpleml.db").exists()


def test_it_goes_on_counting_versions() -> None:
    """A second run adds the next versions of the same names, with the same hashes."""
    first, second = run_json()["saved"], run_json()["saved"]
    assert [(each["name"], each["version"]) for each in first + second] == [
        ("demo-scaler", 1),
        ("demo-classifier", 1),
        ("demo-classifier", 2),
        ("demo-scaler", 2),
        ("demo-classifier", 3),
        ("demo-classifier", 4),
    ]
    assert [each["hash"] for each in first] == [each["hash"] for each in second]
    assert len({each["hash"] for each in first}) == 3


def test_what_it_saved_is_there_for_the_user() -> None:
    """The Python lines that it prints work, and the model predicts real diagnoses."""
    assert run_json()["ok"] is True
    model = simpleml.load("model", name="demo-classifier", version=1)
    assert isinstance(model, DemoClassifier)
    features, diagnoses = load_table()
    assert model.score(model.prepare(features), diagnoses) > 0.95
    assert model.made_from == "demo-scaler:1"


def test_it_works_on_every_database(database_url: str, tmp_path: Path, home: Path) -> None:
    """Database and store may be given, the second process is told of them, and the home stays empty."""
    shown = run_json("--database", database_url, "--store", str(tmp_path / "store"))
    assert shown["ok"] is True
    assert any((tmp_path / "store").rglob("*-*"))
    folder = home / ".simpleml"
    assert not folder.exists() or [path.name for path in folder.iterdir()] == ["cache"]


def test_no_password_is_shown_or_handed_to_anybody(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The command of the second process names no database, and what is printed to be typed next is masked."""
    from simpleml.cli.face import Face

    demo._tell_next_steps(Face(database="postgresql://u:hunter2@host/db"), SklearnModel(_tree()))
    assert "***" in (told := capsys.readouterr().out)
    assert "hunter2" not in told
    seen: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        seen.append((command, options))
        return subprocess.CompletedProcess(command, 0, "[]", "")

    monkeypatch.setattr(subprocess, "run", run)
    demo._ask_second_process(Face(database="postgresql://u:hunter2@host/db"), SklearnModel(_tree()))
    [(command, options)] = seen
    assert "hunter2" not in str(command) + str(options.get("env"))
    assert "hunter2" in options["input"]


def _tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier()


# it fails when it should


def test_a_damaged_artifact_fails_the_demo(home: Path) -> None:
    """A byte that changes in the store between two runs is found by the second process, named, and ends with 1."""
    run_json()
    key = DemoClassifier.load("demo-classifier", version=1).filepaths["external_model"]["pickled"]["key"]
    [damaged] = (home / ".simpleml").rglob(key.rpartition("/")[2])
    damaged.chmod(0o600)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    done = run_demo()
    assert done.returncode == 1
    assert done.stderr.startswith("error: the second process failed")
    assert "external_model" in done.stderr
    assert damaged.name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def answers() -> tuple[Answer, Answer]:
    """What two processes would say of one model."""
    scaler = demo._save_scaler().model
    model = demo._save_classifier(1.0, scaler).model
    return answer(model), answer(model, load_seconds=1.0)


def test_the_same_answers_are_the_same_whatever_they_took(answers: tuple[Answer, Answer]) -> None:
    """Loading time is no part of the comparison."""
    assert demo.same(*answers)


@pytest.mark.parametrize("bit", [0, 7, 12345])
def test_one_bit_of_a_prediction_is_enough(answers: tuple[Answer, Answer], bit: int) -> None:
    """Known-bad twin: predictions that differ in one bit are not the same."""
    content = bytearray(base64.b64decode(answers[1].predictions))
    assert np.frombuffer(content).size == 569 * 2
    content[bit // 8] ^= 1 << bit % 8
    assert not demo.same(answers[0], replace(answers[1], predictions=base64.b64encode(content).decode()))


@pytest.mark.parametrize(
    "change",
    [{"hash": "1:0"}, {"version": 9}, {"scaler": "demo-scaler:9"}, {"dtype": "float32"}, {"shape": [1138, 1]}],
    ids=lambda change: next(iter(change)),
)
def test_another_hash_version_scaler_or_shape_is_another_answer(
    answers: tuple[Answer, Answer], change: dict[str, Any]
) -> None:
    """Known-bad twin: whatever else is claimed of the model must agree too."""
    assert not demo.same(answers[0], replace(answers[1], **change))


def test_a_wrong_answer_fails_the_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Known-bad twin: if the second process predicts otherwise, the check fails by name and the exit code is 1."""
    ask = demo._ask_second_process

    def lie(*arguments: Any) -> list[Answer]:
        first, latest = ask(*arguments)
        return [replace(first, predictions=latest.predictions), latest]

    monkeypatch.setattr(demo, "_ask_second_process", lie)
    with pytest.raises(SystemExit) as left:
        main(["demo"])
    assert left.value.code == 1
    told = capsys.readouterr().out
    assert "FAILED  version 1 predicts the same" in told
    assert told.count("FAILED") == 1
    assert "What to type next" not in told


def test_another_demo_at_the_same_time_does_no_harm() -> None:
    """Demos that run beside each other share the names and all succeed."""
    command = [sys.executable, "-m", "simpleml", "demo", "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [each.communicate()[0] for each in running]
    assert [each.returncode for each in running] == [0, 0, 0]
    versions = [each["version"] for output in outputs for each in json.loads(output)["saved"] if each["setting"]]
    assert sorted(versions) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"name": "x"}', '{"name": "x", "version": 1, "evil": 2}'])
def test_the_second_process_refuses_what_is_no_request(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything but a request on standard input is an error that says so."""
    monkeypatch.setattr(sys, "stdin", StringIO(text))
    with pytest.raises(ConfigurationError, match="no request"):
        main(["--traceback", "demo-reader"])


def test_a_classifier_without_a_scaler_says_so() -> None:
    """The demo's class names what is missing."""
    with pytest.raises(LineageError, match="scaler="):
        DemoClassifier(_tree()).prepare(load_table()[0])


def test_without_scikit_learn_the_message_names_the_extra(home: Path) -> None:
    """The demo needs the extra `sklearn`, and says how to get it."""
    (home / "work" / "sklearn.py").write_text("raise ImportError('not here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "simpleml", "demo"], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 1
    assert "pip install 'simpleml[sklearn]'" in done.stderr
    assert asdict(demo.Request("x", 1))["database"] is None
