"""Every benchmark, one after the other: `python -m tests.benchmarks`. Prints JSON lines; fails on nothing but errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("bench_*.py")):
    subprocess.run([sys.executable, str(script)], check=True)
