"""`python -m tests.integration.bare_install '{…}'`: what a process does in which only the core dependencies can be imported."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
PLACES = {"s3": "s3://b/x", "azure": "az://b/x", "gcs": "gs://b/x", "sftp": "sftp://me@h/x"}
KEPT = [
    "parquet",
    "polars",
    "arrow",
    "feather",
    "csv",
    "database_table",
    "numpy",
    "joblib",
    "skops",
    "safetensors",
    "dask",
    "chunks",
]
"""What the parent has saved, under these names."""
WRITTEN = ["database_table", "joblib", "skops", "keras", "torch", "xgboost", "lightgbm", "catboost", "dask_parquet"]
"""Patterns whose library is asked for whatever the value is."""
READ = ["torch", "keras", "xgboost", "lightgbm", "catboost", "onnx"]


def core() -> set[str]:
    """Return the distributions that `pip install simpleml` brings."""
    waiting = list(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"])
    found: set[str] = set()
    while waiting:
        name = re.split(r"[^A-Za-z0-9_.-]", waiting.pop())[0].lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            waiting += [each for each in metadata.requires(name) or () if "extra ==" not in each]
        except metadata.PackageNotFoundError:  # for another platform
            continue
    return found


class OnlyCore:
    """Finds nothing that an extra would bring."""

    def __init__(self) -> None:
        kept = core()
        self.hidden = {
            module
            for module, owners in metadata.packages_distributions().items()
            if module != "simpleml" and not any(owner.lower().replace("_", "-") in kept for owner in owners)
        }

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Say of a hidden module what Python says of one that is not installed."""
        if name.partition(".")[0] in self.hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def told(work: Callable[[], object]) -> str:
    """Return the type and the text of the error that `work` ends in."""
    try:
        return f"no error: {work()!r:.80}"
    except Exception as error:  # noqa: BLE001 - the parent judges it
        return f"{type(error).__name__}: {error}"


def main(database: str, home: str, stores: dict[str, Any]) -> dict[str, str]:
    """Return what was told of each case."""
    import simpleml
    from simpleml.save_patterns.catalogue import find_serializer, patterns, serializers
    from simpleml.save_patterns.pattern import ObjectPattern
    from tests.integration.kinds import Box

    def save(name: str, pattern: str, value: object) -> object:
        return Box(name=name, data=value, save_patterns={"data": pattern}).save()

    results: dict[str, str] = {}
    simpleml.connect(database, home=home, stores={**stores, **PLACES})
    for store in (*PLACES, "cut"):
        patterns.register(f"{store}_bytes", ObjectPattern(f"{store}_bytes", serializers.get("bytes"), store=store))
    for store in PLACES:
        results[f"save to {store}"] = told(lambda at=store: save(f"to {at}", f"{at}_bytes", b"x"))  # type: ignore[misc]
    results["save in chunks"] = told(lambda: save("cut", "cut_bytes", b"x" * 9_000_000))
    for name in KEPT:
        results[f"load {name}"] = told(lambda kept=name: Box.load(name=kept).data)  # type: ignore[misc]
    for pattern in WRITTEN:
        results[f"save {pattern}"] = told(lambda format_=pattern: save(format_, format_, [1]))  # type: ignore[misc]
    for name in READ:
        data = keras_file() if name == "keras" else b"x" * 100
        results[f"load {name}"] = told(
            lambda each=name, read=data: find_serializer(each).load(read, format=1, details={})
        )  # type: ignore[misc]
    for scheme in ("postgresql", "mysql", "mariadb"):
        url = f"{scheme}://me:secret@h/d"
        results[f"connect to {scheme}"] = told(lambda at=url: simpleml.connect(at))  # type: ignore[misc]
    os.environ |= {f"SIMPLEML_STORES_{name.upper()}": url for name, url in PLACES.items()} | {"SIMPLEML_HOME": home}
    for name in PLACES:
        results[f"store check {name}"] = run("--database", database, "store", "check", name, "default")
        results[f"push to {name}"] = run("--database", database, "push", "numpy", "--to", name)
    return results


def run(*words: str) -> str:
    """Return the exit code of a command, and what it printed."""
    from simpleml.cli import main as command

    sys.argv[1:] = words
    with io.StringIO() as printed, redirect_stdout(printed), redirect_stderr(printed):
        try:
            command()
        except SystemExit as done:
            return f"exit code {done.code}: {printed.getvalue()}"
        return f"no exit code: {printed.getvalue()}"


def keras_file() -> bytes:
    """Return what looks like a model of Keras to whoever does not have it."""
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("config.json", "{}")
        return file.getvalue()


if __name__ == "__main__":
    sys.meta_path.insert(0, OnlyCore())  # type: ignore[arg-type]
    print(json.dumps(main(**json.loads(sys.argv[1]))))
