"""`simpleml demo`: the main job on real data, with every claim checked by a second process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simpleml.cli.demo_reader import Answer, Request, answer, load_and_answer, load_table
from simpleml.cli.face import Face
from simpleml.errors import MissingDependencyError, SimpleMLError
from simpleml.persistables.display import human_size

if TYPE_CHECKING:
    from simpleml.cli.demo_models import DemoClassifier
    from simpleml.models import SklearnModel

SCALER = "demo-scaler"
CLASSIFIER = "demo-classifier"
_STRENGTHS = (1.0, 0.1)
_COLUMNS = ("name", "version", "setting", "accuracy", "hash", "made_from", "size", "fit", "save", "load")


M = TypeVar("M", bound="SklearnModel")


@dataclass
class Saved(Generic[M]):
    """One saved model and how long its parts took."""

    model: M
    setting: str
    accuracy: float | None
    made_from: str
    save_seconds: float
    load_seconds: float | None = None

    def entry(self) -> dict[str, Any]:
        """Return what is shown of it, as plain values under the names of the columns."""
        model = self.model
        size = sum(reference["size"] for patterns in model.filepaths.values() for reference in patterns.values())
        return {
            "name": model.name,
            "version": model.version,
            "setting": self.setting,
            "accuracy": self.accuracy,
            "hash": model.hash_,
            "made_from": self.made_from,
            "size": size,
            "fit_seconds": model.state["fit_seconds"],
            "save_seconds": self.save_seconds,
            "load_seconds": self.load_seconds,
        }


def run_demo(face: Face) -> bool:
    """Fit, save, load in another process, compare and tell; return whether every check held."""
    _demand_sklearn()
    with face.opened(creating=True) as database:
        face.say(f"database  {database!r}")
        face.say(f"store     {database.places.store('default').describe()}")
        face.say()
        face.say(
            "1. Fit a scaler and a classifier on scikit-learn's breast-cancer table (569 rows, 30 columns); save both."
        )
        scaler = _save_scaler()
        first = _save_classifier(_STRENGTHS[0], scaler.model)
        face.say("2. Fit the classifier again with another setting; saving it makes the next version.")
        second = _save_classifier(_STRENGTHS[1], scaler.model)
        face.say("3. Start a second process, which loads the first one by version and the latest by name.")
        theirs = _ask_second_process(face, first.model)
        checks = _check(first, second, theirs)
    entries = [scaler.entry(), first.entry(), second.entry()]
    face.data({"saved": entries, "checks": checks, "ok": all(checks.values())})
    face.say()
    face.table([column.replace("_", " ") for column in _COLUMNS], [_cells(entry) for entry in entries])
    face.say()
    for claim, held in checks.items():
        face.say(f"{'ok    ' if held else 'FAILED'}  {claim}")
    face.say()
    if all(checks.values()):
        _tell_next_steps(face, first.model)
    return all(checks.values())


def _demand_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("simpleml demo needs scikit-learn: pip install 'simpleml[sklearn]'") from error


def _save_scaler() -> Saved[SklearnModel]:
    from sklearn.preprocessing import StandardScaler

    from simpleml.models import SklearnModel

    return _save(SklearnModel(StandardScaler(), name=SCALER).fit(load_table()[0]))


def _save_classifier(strength: float, scaler: SklearnModel) -> Saved[DemoClassifier]:
    from sklearn.linear_model import LogisticRegression

    from simpleml.cli.demo_models import DemoClassifier

    features, diagnoses = load_table()
    model = DemoClassifier(LogisticRegression(C=strength), name=CLASSIFIER, scaler=scaler)
    model.fit(model.prepare(features), diagnoses)
    accuracy = float(model.score(model.prepare(features), diagnoses))
    return _save(model, f"C={strength}", accuracy, model.made_from)


def _save(model: M, setting: str = "", accuracy: float | None = None, made_from: str = "") -> Saved[M]:
    start = time.perf_counter()
    model.save()
    return Saved(model, setting, accuracy, made_from, time.perf_counter() - start)


def _ask_second_process(face: Face, first: SklearnModel) -> list[Answer]:
    """Let a process of its own load the models, and return its answers: for the first version, and for the latest."""
    request = Request(CLASSIFIER, first.version or 0, face.database, face.store)
    command = [sys.executable, "-m", "simpleml", "demo-reader"]
    done = subprocess.run(command, input=json.dumps(asdict(request)), capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise SimpleMLError(f"the second process failed with exit code {done.returncode}: {done.stderr.strip()}")
    return [Answer(**each) for each in json.loads(done.stdout)]


def _check(first: Saved[DemoClassifier], second: Saved[DemoClassifier], theirs: list[Answer]) -> dict[str, bool]:
    """Compare what the second process answered with what this one knows; return each claim and whether it held."""
    by_version, latest = theirs
    first.load_seconds, second.load_seconds = by_version.load_seconds, latest.load_seconds
    mine = answer(first.model)
    newest = answer(second.model)
    if latest.version > newest.version:  # somebody else's demo saved a later one meanwhile
        newest = load_and_answer(CLASSIFIER, latest.version)
    return {
        f"the second fit got a later version ({mine.version} → {second.model.version})": _later(first, second),
        "another setting gave another hash": first.model.hash_ != second.model.hash_,
        f"version {mine.version} predicts the same to the bit in another process": same(mine, by_version),
        f"the latest, version {newest.version}, predicts the same to the bit in another process": same(newest, latest),
    }


def _later(first: Saved[DemoClassifier], second: Saved[DemoClassifier]) -> bool:
    return (second.model.version or 0) > (first.model.version or 0) > 0


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are of one version with one hash, one scaler, and predictions that agree in every bit."""
    return replace(one, load_seconds=0.0) == replace(other, load_seconds=0.0)


def _cells(entry: dict[str, Any]) -> list[str]:
    def duration(seconds: float | None) -> str:
        return "" if seconds is None else f"{seconds * 1000:.1f} ms"

    accuracy = "" if entry["accuracy"] is None else f"{entry['accuracy']:.4f}"
    shown = {
        **entry,
        "accuracy": accuracy,
        "hash": f"{entry['hash'][:14]}…",
        "size": human_size(entry["size"]),
        **{name: duration(entry[f"{name}_seconds"]) for name in ("fit", "save", "load")},
    }
    return [str(shown[column]) for column in _COLUMNS]


def _tell_next_steps(face: Face, first: SklearnModel) -> None:
    options = "".join(
        f" --{name} {value}"
        for name, value in (("database", _masked(face.database)), ("store", face.store))
        if value is not None
    )
    arguments = ", ".join(
        f"{prefix}{value!r}"
        for prefix, value in (("", _masked(face.database)), ("store=", face.store))
        if value is not None
    )
    face.say("What to type next:")
    for command in ("ls", f"show {CLASSIFIER}:{first.version}", "verify --all", "demo"):
        face.say(f"  simpleml{options} {command}")
    face.say("and in Python:")
    face.say("  import simpleml")
    if arguments:
        face.say(f"  simpleml.connect({arguments})")
    face.say(f'  model = simpleml.load("model", name="{CLASSIFIER}", version={first.version})')
    face.say("  model.estimator, model.scaler, model.config")


def _masked(url: str | None) -> str | None:
    from simpleml.settings.secret import masked

    return None if url is None else str(masked(url))
