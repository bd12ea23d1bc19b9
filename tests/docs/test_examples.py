"""Every example runs, checks its own result, says what it shows, and leaves nothing behind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(example: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run an example from the working folder, as a user of a checkout would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-W", "error", str(example)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True, scope="module")
def fonts(tmp_path_factory):
    """Matplotlib lists the fonts of a machine once, and says so on stderr if that takes long; here it is done before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", str(tmp_path_factory.mktemp("matplotlib")))
        subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], capture_output=True, check=True)
        yield


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_each_example_checks_itself_in_a_folder_that_it_removes(example, home):
    """Without any setting an example succeeds, prints what it shows, and writes neither to the home nor to the work folder."""
    temporary = home / "tmp"
    temporary.mkdir()
    done = run(example, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) >= 3
    assert done.stderr == ""
    assert not (home / ".simpleml").exists()
    assert list((home / "work").iterdir()) == list(temporary.iterdir()) == []


def test_examples_can_be_repeated_in_a_home_that_is_given(home):
    """With SIMPLEML_HOME all examples keep their things there, one beside the other, and run again where they ran before."""
    for example in [*EXAMPLES, *EXAMPLES]:
        done = run(example, SIMPLEML_HOME=str(home / "kept"))
        assert done.returncode == 0, f"{example.name}: {done.stdout}{done.stderr}"
    assert (home / "kept/simpleml.db").exists()


def test_examples_are_numbered_without_a_gap():
    """The examples are 01, 02, 03, …, so that they can be read in order."""
    assert [int(example.stem[:2]) for example in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_each_example_asserts_something_and_says_what_it_shows(example):
    """An example has a docstring and assertions: one that checks nothing shows nothing."""
    tree = ast.parse(example.read_text())
    assert (ast.get_docstring(tree) or "").partition("\n")[0].endswith(".")
    assert sum(isinstance(node, ast.Assert) for node in ast.walk(tree)) >= 3
