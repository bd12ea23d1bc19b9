"""Back up a database with its store, find a damaged file, restore, and collect what nothing refers to any more.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder; a new folder in there for each run.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import simpleml
from simpleml import Artifact, Persistable
from simpleml.errors import ArtifactDamagedError
from simpleml.orm.backup import backup, restore
from simpleml.orm.housekeeping import collect, verify


class Box(Persistable):
    """Holds anything."""

    data: Artifact[object] = Artifact()


def main(folder: Path) -> None:
    """Save, back up, damage, verify, restore, collect."""
    database = simpleml.connect(folder / "app.db", store=folder / "store", home=folder, grace=0)
    box = Box(name="treasure", data=list(range(1000))).save()
    Box(name="letter", data="Dear reader").save()

    made = backup(database, folder / "backup")
    assert (made.records, made.blobs) == (2, 2)
    assert not verify(database, everything=True).findings
    print(f"backup    {made.records} records, {made.blobs} stored objects, {made.bytes_} bytes")

    # One bit of one file is flipped: nothing of it is parsed, and the error says where it is.
    [reference] = box.filepaths["data"].values()
    path = folder / "store" / reference["key"]
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    try:
        Box.load("treasure").load_external_files()
    except ArtifactDamagedError as error:
        print(f"damaged   {error}")
    else:
        raise AssertionError("a flipped bit was not found")
    [finding] = verify(database).findings
    assert (finding.problem, finding.key) == ("damaged", reference["key"])

    # The backup is whole, and comes back into an empty database with a store of its own.
    restored = simpleml.connect(folder / "restored.db", store=folder / "restored-store", home=folder, grace=0)
    restore(restored, folder / "backup")
    assert Box.load("treasure").data == list(range(1000))
    assert Box.load("letter").data == "Dear reader"
    assert not verify(restored, everything=True).findings
    print("restored  everything is as it was saved")

    # Deleting removes the row at once; the bytes go with the next collection, after `grace` seconds (here: none).
    # The backup's rows keep the lease that protected them while it was taken, so a new object is used to show it.
    brief = Box(name="brief", data="only for a moment").save()
    [gone] = brief.filepaths["data"].values()
    brief.delete()
    assert (folder / "restored-store" / gone["key"]).exists()
    collected = collect(restored)
    assert collected.keys == (gone["key"],)
    assert not (folder / "restored-store" / gone["key"]).exists()
    assert Box.load("letter").data == "Dear reader"
    print(f"collected {collected.removed} stored object, {collected.freed} bytes")
    restored.close()
    database.close()


if __name__ == "__main__":
    home = os.environ.get("SIMPLEML_HOME")
    if home is not None:
        Path(home).mkdir(parents=True, exist_ok=True)
        main(Path(tempfile.mkdtemp(prefix="backup-example-", dir=home)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
