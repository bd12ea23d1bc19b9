"""Two machines, one database, one store: nothing in common but settings, and then the network is cut.

Each machine is a process with a home of its own and, where the system allows it, a network of its own that reaches the
database and the store and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from tests.backends.places import Place
from tests.backends.relays import isolation, machine, relayed

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from simpleml.models import SklearnModel

X, y = load_iris(return_X_y=True)
model = SklearnModel(LogisticRegression(max_iter=500), name="walk").fit(X, y).save()
model.alias("production")
print(json.dumps([model.version, model.predict_proba(X).tolist()]))
"""
LOAD = """
from sklearn.datasets import load_iris
from simpleml.models import SklearnModel

X, _ = load_iris(return_X_y=True)
model = SklearnModel.load("walk", alias="production")
print(json.dumps([model.version, model.predict_proba(X).tolist()]))
"""
TRY = """
import simpleml
try:
    simpleml.load("model", name="walk").external_model
except simpleml.errors.SimpleMLError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


class Machine:
    """A home with a settings file, and a network that reaches some ports."""

    def __init__(self, home: Path, sockets: Path, ports: list[int], settings: str) -> None:
        self.home, self.sockets, self.ports = home, sockets, ports
        home.mkdir()
        (home / "simpleml.toml").write_text(settings)

    def run(self, script: str, *, cable: bool = True, **variables: str) -> Any:
        """Return what a script prints that runs on this machine, with the cable in or out."""
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        environment = {**inherited, "HOME": str(self.home), "PYTHONPATH": str(ROOT), **variables}
        command = [sys.executable, "-W", "error", "-c", f"import json\n{script}"]
        reached = self.ports if cable else []
        done = subprocess.run(
            machine(self.sockets, reached, command),
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)


@pytest.fixture(params=["s3", "sftp"])
def machines(
    request: pytest.FixtureRequest,
    new_database: Callable[[str], str],
    new_place: Callable[[str], Place],
    tmp_path: Path,
) -> Iterator[Callable[[str], Machine]]:
    """`machines("a")` → a machine that knows the database and the store by its own settings file."""
    url, place = new_database("postgresql"), new_place(request.param)
    address = place.options.get("endpoint_url") or place.url
    ports = [make_url(url).port, int(address.rpartition(":")[2].split("/")[0])]
    options = "\n".join(
        f"{key} = {json.dumps(value)}" for key, value in place.options.items() if not isinstance(value, dict)
    )
    inner = "\n".join(
        f"[stores.default.{key}]\n" + "\n".join(f"{name} = {json.dumps(one)}" for name, one in value.items())
        for key, value in place.options.items()
        if isinstance(value, dict)
    )
    settings = f"""
lock_timeout = 5
[database]
url = {json.dumps(url)}
[stores.default]
url = {json.dumps(place.url)}
retries_for = 5
{options}
{inner}
"""
    sockets = Path(tempfile.mkdtemp(dir="/tmp"))  # the path of a Unix socket has to be short
    try:
        with relayed(sockets, ports):
            yield lambda name: Machine(tmp_path / name, sockets, ports, settings)
    finally:
        shutil.rmtree(sockets)


def test_train_here_load_there_and_again_without_the_network(machines: Callable[[str], Machine]) -> None:
    """A trains, B loads by name with an empty home; with the cable out, B loads the same again, and C is told why it cannot."""
    a, b, c = machines("a"), machines("b"), machines("c")
    version, expected = a.run(TRAIN)
    assert version == 1
    assert b.run(LOAD) == [1, expected]
    assert b.run(LOAD, cable=False, SIMPLEML_OFFLINE="true") == [1, expected]
    kind, told = c.run(TRY, cable=False, SIMPLEML_OFFLINE="true")
    assert (kind, "nothing was loaded on this machine" in told) == ("OfflineError", True)
    assert a.run(TRAIN)[0] == 2
    assert b.run(LOAD) == [2, expected]


def test_a_cut_cable_is_told_in_our_words(machines: Callable[[str], Machine]) -> None:
    """Where networks can be taken apart: without the network and without `offline`, the error says who does not answer."""
    if not isolation():
        return
    a = machines("a")
    a.run(TRAIN)
    kind, told = a.run(TRY, cable=False)
    assert kind == "DatabaseError"
    assert "cannot be reached" in told
