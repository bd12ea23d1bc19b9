"""Find saved objects by columns and by what is in their metadata; count, sort, copy and delete versions.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from uuid import uuid4

import simpleml
from simpleml import Artifact, Persistable
from simpleml.errors import RecordNotFoundError
from simpleml.orm import ORMGeneral


class Curve(Persistable):
    """The values of x ↦ x^power."""

    values: Artifact[list[float]] = Artifact()


def main() -> None:
    """Save a few curves under names of this run, and ask for them."""
    run = f"run-{uuid4().hex[:8]}"
    for power in (1, 2, 3):
        for step in (0.5, 0.25):
            curve = Curve(name=f"{run}-power-{power}", project=run, config={"power": power, "step": step})
            curve.values = [(number * step) ** power for number in range(5)]
            curve.state["area"] = sum(curve.values) * step
            curve.save()

    everything = Curve.query(project=run)
    assert everything.count() == 6
    assert [curve.version for curve in everything.where(name__endswith="power-2")] == [1, 2]
    print(f"count     {everything.count()} curves in the project {run}")

    # Metadata is JSON with types; a path into it compares as a number, a text or a truth value.
    steep = everything.where(metadata__config__power__ge=2, metadata__config__step=0.5).order_by("-name")
    assert [curve.config["power"] for curve in steep] == [3, 2]
    large = everything.where(metadata__state__area__gt=1.0)
    assert large.count() == sum(curve.state["area"] > 1.0 for curve in everything)
    first = everything.order_by("created_timestamp").first()
    assert first is not None
    assert first.config == {"power": 1, "step": 0.5}
    print(f"steep     {', '.join(map(repr, steep))}")

    # The same by the mapped class, which gives records instead of objects.
    records = ORMGeneral.where(project=run, version=2).order_by("name").all()
    assert [record.version for record in records] == [2, 2, 2]
    found = records[0].load()
    assert isinstance(found, Curve)
    assert found.values[2] == 0.5

    # A copy shares the stored bytes that it does not change; a deleted number is never used again.
    name = f"{run}-power-1"
    copied = Curve.load(name).new_version()
    copied.version_description = "a copy"
    copied.save()
    assert copied.filepaths == found.filepaths
    assert Curve.versions(name) == [1, 2, 3]
    copied.delete()
    assert Curve.versions(name) == [1, 2]
    assert Curve.load(name).new_version().save().version == 4
    assert ORMGeneral.get_latest_version(name) == 5  # the number that the next save will get
    print(f"versions  {Curve.versions(name)}")

    try:
        Curve.load(name, version=3)
    except RecordNotFoundError as error:
        print(f"refused   {error}")
    else:
        raise AssertionError("a deleted version was loaded")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        simpleml.connect(home=os.environ.get("SIMPLEML_HOME", folder))
        main()
        simpleml.disconnect()
