"""`python -m tests.integration.second_machine '[[name, version, mmap], …]'`: load each, and tell what came in a line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from simpleml.hashing import hash_value
from tests.integration.kinds import Box


def mapped() -> list[str]:
    """Return the files that are mapped into this process and belong to no library."""
    words = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()]
    files = {each[5].strip() for each in words if len(each) == 6}
    return sorted(path for path in files if "/objects" in path)


if __name__ == "__main__":
    for name, version, mmap in json.loads(sys.argv[1]):
        found = Box.load(name=name, version=version, mmap=mmap)
        value = found.data
        files = mapped() if mmap else []
        print(json.dumps([name, found.version, found.hash_, hash_value(value), type(value).__name__, files]))
