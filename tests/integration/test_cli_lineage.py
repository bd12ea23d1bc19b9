"""`simpleml lineage` and `simpleml diff`: for people, for other programs, and without anything of the user's imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import simpleml
from tests.integration.kinds import Box, Cleaner, Corpus, Guess

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def there(database_url: str, tmp_path: Path) -> list[str]:
    """The options that lead to a filled database, on each of the three."""
    with simpleml.connect(database_url, store=tmp_path / "store", home=tmp_path / "embedded") as database:
        for number in (1, 2):
            corpus = Corpus(name="data", rows=[number]).save()
            cleaner = Cleaner(name="clean", dataset=corpus, fitted=1).save()
            Guess(name="guess", pipeline=cleaner, corpus=corpus, weights=1, config={"C": number}).save()
        Box(name="data", data=1).save()
    database.close()
    return ["--database", database_url]


def test_lineage_for_people_and_programs(cli, there) -> None:
    """The tree, Mermaid, DOT and JSON show the same graph, as far as asked; an alias or a version may be given."""
    code, out, err = cli("lineage", "guess:1", *there)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "model guess:1 (Guess)",
        "└─ made from",
        "   ├─ corpus: dataset data:1 (Corpus)",
        "   └─ pipeline clean:1 (Cleaner)",
        "      └─ dataset data:1 (Corpus)",
    ]
    assert len(cli("lineage", "guess", "--depth", "1", *there)[1].splitlines()) == 4
    assert cli("lineage", "guess", "--format", "mermaid", *there)[1].startswith("flowchart TB\n")
    assert cli("lineage", "guess", "--format", "dot", *there)[1].startswith("digraph lineage {\n")
    for asked in (["--format", "json"], ["--json"]):
        graph = json.loads(cli("lineage", "guess:1", *asked, *there)[1])
        assert (len(graph["nodes"]), len(graph["edges"]), graph["root"]["kind"]) == (3, 3, "model")


def test_lineage_asks_what_is_unclear(cli, there) -> None:
    """A name of two kinds, one that is not there and a wrong depth are told, with what is known."""
    code, _, err = cli("lineage", "data", *there)
    assert (code, "--kind dataset" in err) == (1, True)
    assert "dataset data:2" in cli("lineage", "data", "--kind", "dataset", *there)[1]
    code, _, err = cli("lineage", "gues", *there)
    assert (code, "did you mean 'guess'" in err) == (1, True)
    assert cli("lineage", "guess", "--depth", "-1", *there)[0] == 2


def test_diff(cli, there) -> None:
    """Two versions are compared, in words and as JSON; a version with itself differs in nothing."""
    code, out, err = cli("diff", "guess:1", "guess:2", *there)
    assert (code, err) == (0, "")
    assert out.startswith("model guess:1 → model guess:2\n  config\n    C: 1 → 2\n")
    found = json.loads(cli("diff", "guess:1", "guess:2", "--json", *there)[1])
    assert found["differences"][0] == {"part": "config", "path": "C", "before": 1, "after": 2}
    assert cli("diff", "guess:1", "guess:1", *there)[1] == "model guess:1 → model guess:1: no difference\n"


def test_nothing_of_the_users_is_imported(local, tmp_path: Path) -> None:
    """Both commands read rows alone: in a process that knows none of the classes they work the same."""
    for number in (1, 2):
        Box(name="box", data=number, config={"n": number}).save()
    options = ["--database", local.url.render_as_string(), "--store", str(tmp_path / "store")]
    for arguments in (["lineage", "box"], ["diff", "box:1", "box:2"]):
        call = [sys.executable, "-m", "simpleml", *options, *arguments]
        done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        assert "box:2" in done.stdout
