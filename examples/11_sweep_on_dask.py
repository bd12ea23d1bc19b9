"""Build fifty models that a project file describes on a Dask cluster of two worker processes; a second run finds them all.

The file is sweep.toml, beside this one. Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder;
a new folder in there for each run. Needs the extras `dask`, `sklearn` and `pandas`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import simpleml
from simpleml.jobs import plan_project, read_project, run_project
from simpleml.models import SklearnRandomForestClassifier

FILE = Path(__file__).with_name("sweep.toml")


def main(home: Path) -> None:
    """Plan, run, run again, look at the results."""
    database = simpleml.connect(home=home)
    project = read_project(FILE)
    plan = plan_project(project, database)
    assert len(plan.doing("build")) == len(plan) == 1 + 1 + 50 + 50
    print(f"planned   {len(plan)} objects, none of which is there: {plan.nodes[-1].why}")

    first = run_project(project)
    assert first.all_well, [each.trace for each in first.having("failed")]
    assert len(first.having("built")) == len(plan)
    print(f"first     {first}")

    # Objects are found by their content hash, which is known without fitting anything.
    second = run_project(project)
    assert len(second.having("hit")) == len(plan)
    share = second.seconds / first.seconds
    assert share < 0.05
    print(f"second    {second}: {share:.1%} of the first")

    # One value that is new makes what follows from it, and nothing else.
    changed = read_project(FILE, ["model.forest.params.max_depth=3", "model.forest.params.n_estimators=10"])
    actions = [each.action for each in plan_project(changed, database)]
    assert (actions.count("hit"), actions.count("build")) == (2, 5 + 5)
    print(f"changed   {actions.count('build')} of {len(actions)} objects would be built")

    best = max(second.results(), key=lambda row: row["accuracy"])
    model = SklearnRandomForestClassifier.load("forest", version=best["version"])
    assert model.pipeline is not None
    assert best["accuracy"] > 0.9
    print(f"best      {model} of {len(second.results())}, {best['point']}: accuracy {best['accuracy']:.3f}")
    assert len(model.pipeline.lineage(up=False)) == 1 + 50 + 50
    simpleml.disconnect()


if __name__ == "__main__":  # worker processes read this file again
    home = os.environ.get("SIMPLEML_HOME")
    if home is not None:
        Path(home).mkdir(parents=True, exist_ok=True)
        main(Path(tempfile.mkdtemp(prefix="sweep-example-", dir=home)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
