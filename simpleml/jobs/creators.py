"""Retrieve what is saved, or make it: by id, by name and version, or by content hash; one process makes it, others get that.

```python
dataset = DatasetCreator.retrieve_or_create(registered_name="TitanicDataset", name="titanic", label_columns=["Survived"])
pipeline = PipelineCreator.retrieve_or_create(registered_name="RandomSplitSklearnPipeline", dataset=dataset, train_size=0.8)
```
"""

from __future__ import annotations

import inspect
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, cast

from simpleml.datasets.dataset import Dataset
from simpleml.errors import (
    ClaimLostError,
    IdentityError,
    ModelError,
    SimpleMLError,
    TrainingError,
    UnsavedReferenceError,
)
from simpleml.jobs.classes import find
from simpleml.jobs.matching import Match, latest, why_not
from simpleml.jobs.requests import INPUTS, Request
from simpleml.metrics.kind import Metric
from simpleml.models.model import Model
from simpleml.orm.claims import Claim
from simpleml.orm.connections import current
from simpleml.orm.database import Database
from simpleml.persistables import Persistable
from simpleml.persistables.changes import is_same
from simpleml.persistables.lineage import roles_of
from simpleml.pipelines.pipeline import Pipeline

P = TypeVar("P", bound=Persistable)

_log = logging.getLogger(__name__)

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0  # seconds between two looks at what another process is making
_SILENT = 5.0  # seconds of waiting after which that is told


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of a request: the saved object that answers it (`hit`), or else one to `build`; `why` says which, and why.

    Without a `match`, what is built is matched by its class, its content hash and its name.
    """

    hit: Persistable | None
    unbuilt: Persistable | None
    why: str
    match: Match | None = None


def resolve(
    kind: str,
    spec: Mapping[str, Any],
    dependencies: Mapping[str, Persistable] | None = None,
    *,
    strict: bool | None = None,
    build_dependencies: bool = False,
) -> Resolution:
    """Return the saved object that `spec` describes, or an unbuilt one; what it is made from comes from `dependencies` first.

    Nested descriptions (`pipeline_kwargs`) are retrieved, or with `build_dependencies` built if they are missing. Raises
    `TrainingError` for what can neither be retrieved nor made.
    """
    request = Request.of(kind, {**spec, **(dependencies or {})})
    database = current()
    if request.is_reference:
        found = request.referenced(database, _nested(build_dependencies=build_dependencies))
        if found is not None:
            _refuse_untrue(request, found)
        told = ", ".join(f"{key}={value!s:.80}" for key, value in request.wanted.items())
        return Resolution(found, None, f"{kind} with {told} is {'there' if found is not None else 'not there'}")
    made = _unbuilt(request, build_dependencies=build_dependencies)
    by_content = kind == "dataset" if strict is None else strict
    if by_content and kind != "dataset":  # the hash of a dataset sees to its data itself
        _train(made)
    described = kind == "dataset" and not by_content
    match = Match.by_description(made) if described else Match.by_hash(made, named=spec.get("name") is not None)
    hit = match.find(database)
    if hit is not None:
        same = "description" if described else "content hash"
        return Resolution(hit, None, f"{kind} {hit.name!r} version {hit.version} has the same {same}", match)
    return Resolution(None, made, why_not(made, latest(kind, made.name, database)), match)


def build(resolution: Resolution) -> Persistable:
    """Return the hit, or build and save the object, unless another process is doing that: then wait, and return what it saved.

    However many processes ask for the same, one record is made. A process that dies while it builds is replaced when its
    lease is over; one that was silent for too long cannot save, and gets what the other one made. Raises `TransactionError`
    inside `transaction()`.
    """
    made = resolution.unbuilt
    if resolution.hit is not None:
        return resolution.hit
    if made is None:
        raise TrainingError(f"{resolution.why}, and without registered_name=… it is not said what to make")
    database = current()
    _check_inputs(made)
    match = resolution.match or Match.by_hash(made, named=True)
    patience = _Patience(made, database)
    while True:
        found = match.find(database)
        if found is not None:
            return found
        claim = database.claim(match.key)
        if claim is not None:
            try:
                return _build_claimed(made, match, claim, database)
            except ClaimLostError:
                _log.warning("%s was taken over by another process while it was built here", match.key)
        patience.wait()


class _Patience:
    """Waits between two looks at what another process is making: ever longer, and not without saying so."""

    def __init__(self, made: Persistable, database: Database) -> None:
        self._told = f"waiting for another process that makes {made!r}; if that one died, for"
        self._lease = database.settings.claim_lease
        self._pause = 0.0
        self._start: float | None = time.monotonic()

    def wait(self) -> None:
        """Sleep for a moment."""
        if self._start is not None and time.monotonic() - self._start > _SILENT:
            self._start = None
            _log.warning("%s %g s", self._told, self._lease)
        self._pause = min(max(self._pause * 1.5, _FIRST_WAIT), _LONGEST_WAIT)
        time.sleep(random.uniform(self._pause / 2, self._pause))  # noqa: S311 - jitter


def _build_claimed(made: Persistable, match: Match, claim: Claim, database: Database) -> Persistable:
    """Build and save under a claim; what somebody saved before it was ours, or has the hash that building led to, is taken.

    Who asked for the same in other words holds another claim. So what was built is claimed by its content too, always after
    the claim under which it was built: nobody waits for one who waits for him.
    """
    with claim:
        found = match.find(database)
        if found is not None:
            return found
        _train(made)
        content = Match.by_hash(made, named="name" in match.filters)
        if content.key == match.key:
            return _saved(made, claim, database=database)
        with _content_claim(made, content, database) as second:
            found = (content if match.config is None else match).find(database)
            return _saved(made, claim, second, database=database) if found is None else found


def _content_claim(made: Persistable, content: Match, database: Database) -> Claim:
    """Return the claim on what an object turned out to be, as soon as nobody else has it."""
    patience = _Patience(made, database)
    while True:
        claim = database.claim(content.key)
        if claim is not None:
            return claim
        patience.wait()


def _saved(made: Persistable, *claims: Claim, database: Database) -> Persistable:
    """Save an object, if all these claims are held at the commit."""
    with database, database.transaction():
        for claim in claims:
            database.write(claim.check)
        made.save()
    return made


def _train(made: Persistable) -> None:
    """Do what makes an object of its kind complete, if it is not."""
    step, done = {
        "dataset": ("build_dataframe", "is_built"),
        "pipeline": ("fit", "is_fitted"),
        "model": ("fit", "is_fitted"),
        "metric": ("score", "is_scored"),
    }.get(made.kind, ("build", "is_built"))
    if hasattr(type(made), step) and not _is_done(made, done):
        getattr(made, step)()


def _is_done(made: Persistable, done: str) -> bool:
    if made.kind == "dataset" and hasattr(type(made), done):
        return True  # it builds itself when it is hashed or saved
    return bool(getattr(made, done, False) or (made.kind == "metric" and getattr(made, "values", None) is not None))


def _unbuilt(request: Request, *, build_dependencies: bool) -> Persistable:
    """Return the object that a request describes, with what it is made from."""
    if request.registered_name is None:
        raise TrainingError(f"the class of the {request.kind} to make is not named: give registered_name=")
    cls = find(request.kind, request.registered_name)
    members, inputs = request.divided(roles_of(cls))
    made = _instance(cls, members)
    fetch = _nested(build_dependencies=build_dependencies)
    for role, given in inputs.items():
        parent = given.fetched(current(), fetch, f"{request.kind} {made.name!r}")
        add = getattr(made, f"add_{role}", None)
        if callable(add):
            add(parent)
        else:
            setattr(made, role, parent)
    return made


def _instance(cls: type[Persistable], members: Mapping[str, Any]) -> Persistable:
    """Return an object of the class; what its `__init__` takes only by position (an estimator) is given by name as well."""
    rest = dict(members)
    parameters = inspect.signature(cls.__init__).parameters.values()
    first = [rest.pop(each.name) for each in parameters if each.kind is each.POSITIONAL_ONLY and each.name in rest]
    return cls(*first, **rest)


def _refuse_untrue(request: Request, found: Persistable) -> None:
    """Refuse keywords besides those of a reference that nothing takes, and parameters that the record has not."""
    members, _ = request.divided({**INPUTS, **roles_of(type(found))})
    members = {key: value for key, value in members.items() if key not in ("id", "name", "version")}
    told = ", ".join(f"{key}={value!s:.80}" for key, value in request.wanted.items())
    try:
        if members:
            _instance(type(found), members)
    except (IdentityError, ModelError) as error:
        raise TrainingError(
            f"{found!r} is the {request.kind} with {told}, and what else is given is refused: {error}"
        ) from error
    except (SimpleMLError, TypeError, ValueError):
        pass  # it takes more to make one, which nobody wants here
    held = getattr(found, "params", None) or {}
    params = members.get("params")
    given = {**members, **(params if isinstance(params, Mapping) else {})}
    wrong = [key for key, value in given.items() if key in held and not _agree(value, held[key])]
    if wrong:
        raise TrainingError(
            f"{found!r} is the {request.kind} with {told}, and has {wrong[0]}={held[wrong[0]]!r:.80}, not {given[wrong[0]]!r:.80}: "
            f"leave that out, or give registered_name={found.registered_name!r} and no version to get one that has it"
        )


def _agree(given: object, held: object) -> bool:
    """Whether two parameters are the same to whoever asks; what cannot be compared is not in the way."""
    return given == held if isinstance(given, int | float) and isinstance(held, int | float) else is_same(given, held)


def _nested(*, build_dependencies: bool) -> Any:
    """Return what answers a nested description: the saved object, or one that is built, or nothing and why."""

    def fetch(kind: str, spec: Mapping[str, Any]) -> tuple[Persistable | None, str]:
        found = resolve(kind, spec, build_dependencies=build_dependencies)
        return (build(found) if build_dependencies else found.hit), found.why

    return fetch


def _check_inputs(made: Persistable) -> None:
    """Refuse to build what could not be saved afterwards."""
    for role in roles_of(type(made)):
        parent = getattr(made, role)
        if parent is not None and not parent.is_saved:
            raise UnsavedReferenceError(
                f"{made!r} is made from {parent!r} ({role}), which is not saved: save that first"
            )


class PersistableCreator(Generic[P]):
    """Retrieves or creates objects of one kind, described by keywords.

    `registered_name` names the class (or is it); whatever it is made from is given as an object (`dataset=`), by its id
    (`dataset_id=`), or as a description of its own (`dataset_kwargs={…}`); all other keywords go to the class. `id=`, or
    `name=` with `version=`, refer to what is saved, and so does a name alone; keywords that nothing takes and parameters that
    the record has not are refused then too (`TrainingError`).
    """

    kind: ClassVar[str]

    @classmethod
    def retrieve(cls, *, strict: bool | None = None, **spec: Any) -> P | None:
        """Return the latest saved object that answers the description, or None; nothing is made or saved.

        `strict` (usual for datasets) builds the object first and compares the content; otherwise what follows from its
        inputs is taken for the same (of datasets: what has the same name, class, inputs and config).
        """
        return cast("P | None", resolve(cls.kind, spec, strict=strict).hit)

    @classmethod
    def create(cls, *, build_dependencies: bool = False, **spec: Any) -> P:
        """Build and save a new version, whether or not there is one like it."""
        request = Request.of(cls.kind, spec)
        made = _unbuilt(request, build_dependencies=build_dependencies)
        _check_inputs(made)
        _train(made)
        return cast("P", made.save())

    @classmethod
    def retrieve_or_create(cls, *, strict: bool | None = None, build_dependencies: bool = False, **spec: Any) -> P:
        """Return what `retrieve` finds, or build and save it; of several processes that want the same, one does, all get it.

        What it is made from must be there (`TrainingError` says what to call), unless `build_dependencies` says to make it too.
        """
        resolution = resolve(cls.kind, spec, strict=strict, build_dependencies=build_dependencies)
        _log.info("%s: %s", cls.kind, resolution.why)
        return cast("P", build(resolution))


class DatasetCreator(PersistableCreator[Dataset]):
    """Retrieves or creates datasets. Whoever asks makes the data, to compare its content, unless `strict=False` is said."""

    kind = "dataset"


class PipelineCreator(PersistableCreator[Pipeline]):
    """Retrieves or creates pipelines."""

    kind = "pipeline"


class ModelCreator(PersistableCreator[Model]):
    """Retrieves or creates models."""

    kind = "model"


class MetricCreator(PersistableCreator[Metric]):
    """Retrieves or creates metrics."""

    kind = "metric"
