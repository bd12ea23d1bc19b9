"""How files are opened: in the one way that gives their very bytes on every system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = '''
import os, sys
os.O_BINARY = os.O_NOCTTY  # a flag without effect stands for the one that only Windows has
plain, missed, opened = os.open, [], set()

def opening(path, flags, *arguments, **named):
    caller = sys._getframe(1).f_globals["__name__"]
    if caller.startswith("simpleml.") and not flags & (os.O_BINARY | os.O_DIRECTORY):
        missed.append(f"{caller} {path}")
    opened.add(caller)
    return plain(path, flags, *arguments, **named)

os.open = opening
os.supports_dir_fd.add(opening)
OPENING = """
    orm.bundles.archive orm.bundles.export save_patterns.files save_patterns.locations.cache save_patterns.locations.local
    save_patterns.locations.mapping save_patterns.locations.remote save_patterns.locations.spool save_patterns.workspace
""".split()
from pathlib import Path
import simpleml
from simpleml import Artifact, Folder, Persistable
from simpleml.orm.bundles.export import export_bundle
from simpleml.orm.bundles.imports import import_bundle
from simpleml.orm.bundles.wanted import Wanted
from simpleml.orm.housekeeping import collect
from simpleml.save_patterns.locations.memory import MemoryTransport
MemoryTransport.remote = True

class Box(Persistable):
    data: Artifact[object] = Artifact()

home = Path(sys.argv[1])
(home / "folder").mkdir()
(home / "folder" / "file").write_bytes(b"x" * 100)
far = {"cloud": {"url": "memory://x"}}
with simpleml.connect(home / "a.db", home=home / "a", store=home / "store", stores=far) as database:
    large = b"x" * 1_000_000
    for pattern, data in {"bytes": large, "cloud_text": "x" * len(large), "folder": Folder(home / "folder")}.items():
        Box(name=pattern, data=data, save_patterns={"data": [pattern]}).save()
        for mmap in (False, True):
            Box.load(name=pattern, mmap=mmap).data
    export_bundle(database, [Wanted("bytes")], home / "bundle.zip")
    collect(database, leftovers_after=0.0)
with simpleml.connect(home / "b.db", home=home / "b", store=home / "other") as database:
    import_bundle(database, home / "bundle.zip")
assert opened >= {f"simpleml.{name}" for name in OPENING}, opened
print(*missed)
'''


def test_every_file_is_opened_for_its_bytes(tmp_path: Path) -> None:
    """Saving, loading, mapping, caching, collecting and bundles open no file as what Windows calls text."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr
