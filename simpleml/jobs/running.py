"""`run_project`: what a plan says is missing is built, on an executor, each as soon as what it is made from is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from pathlib import Path
from uuid import UUID, uuid4

from simpleml.executors.opening import check_executor, open_executor
from simpleml.jobs.building import Built, BuiltParent, Work, build_node, built, forget_parents
from simpleml.jobs.connection import Connection
from simpleml.jobs.display import Display
from simpleml.jobs.plan import Plan, Planned, plan_project
from simpleml.jobs.project import Project, read_project
from simpleml.jobs.report import Outcome, Report, Status
from simpleml.orm.connections import current
from simpleml.orm.database import Database

DEFAULT_EXECUTOR = "threads"


def run_project(
    project: Project | str | Path,
    *,
    executor: str | Executor | None = None,
    workers: int | None = None,
    database: Database | None = None,
    planned: Callable[[Plan], object] = lambda _: None,
) -> Report:
    """Build what is missing of a project, and return what became of each node.

    What fails stops only what is made from it; what is there stays, so a second run goes on where the first one ended.
    `executor` and `workers` overrule the file, which overrules threads of this process. `planned` is shown the plan first.
    """
    start = time.perf_counter()
    project = project if isinstance(project, Project) else read_project(project)
    # The file's number of workers is meant for the file's executor.
    chosen = executor or project.executor or DEFAULT_EXECUTOR
    count = workers or (project.workers if executor is None else None)
    check_executor(chosen)
    database = database or current()
    plan = plan_project(project, database)
    planned(plan)
    run = _Run(plan, database)
    if plan.doing("build"):
        with database, Display(plan) as display:
            run.build_what_is_read(display)
            if run.waiting:
                with open_executor(chosen, count) as pool:
                    run.build_on(pool, display)
            forget_parents()
    return Report(project, tuple(run.outcomes[each.node.key] for each in plan), time.perf_counter() - start)


class _Run:
    """A run under way."""

    def __init__(self, plan: Plan, database: Database) -> None:
        self._id = uuid4().hex
        self._plan = plan
        self._connection = Connection.to(database)
        self.outcomes: dict[str, Outcome] = {}
        self.waiting: list[Planned] = []
        for each in plan:
            if each.action == "build":
                self.waiting.append(each)
            else:
                self.outcomes[each.node.key] = _settled(each)

    def build_what_is_read(self, display: Display) -> None:
        """Save what had to be read in order to be planned: its data is here, and need not be read again elsewhere."""
        for each in self.waiting:
            if getattr(each.object, "is_built", False) and all(self._parent(parent) for parent in each.parents):
                display.shows([each])
                self._end(each, _attempt(each), display)
        self.waiting = [each for each in self.waiting if each.node.key not in self.outcomes]

    def build_on(self, pool: Executor, display: Display) -> None:
        """Build everything that is left."""
        going: dict[Future[Built], Planned] = {}
        while self.waiting or going:
            self._submit(pool, going, display)
            display.shows(each for future, each in going.items() if future.running())
            for future in wait(going, display.patience, return_when=FIRST_COMPLETED).done:
                self._end(going.pop(future), _result(future), display)

    def _submit(self, pool: Executor, going: dict[Future[Built], Planned], display: Display) -> None:
        """Submit what is ready, and settle what can never be."""
        still = []
        for each in self.waiting:
            lost = [parent for parent in each.parents if self._is_lost(parent)]
            if lost:
                why = f"{lost[0].node.label} {self.outcomes[lost[0].node.key].status}"
                self.outcomes[each.node.key] = Outcome(each, "skipped", hash_=each.hash_, why=why)
                display.ends("skipped")
            elif all(parent.node.key in self.outcomes for parent in each.parents):
                going[pool.submit(build_node, self._work(each))] = each
            else:
                still.append(each)
        self.waiting = still

    def _is_lost(self, planned: Planned) -> bool:
        outcome = self.outcomes.get(planned.node.key)
        return outcome is not None and outcome.id is None

    def _parent(self, planned: Planned) -> UUID | None:
        outcome = self.outcomes.get(planned.node.key)
        return None if outcome is None else outcome.id

    def _work(self, planned: Planned) -> Work:
        parents = {}
        for role, parent in zip(planned.node.parents, planned.parents, strict=True):
            id_ = self._parent(parent)
            assert id_ is not None  # noqa: S101 - it is ready
            parents[role] = BuiltParent(parent.node.kind, parent.node.cls, id_)
        project = self._plan.project
        return Work(
            self._id,
            self._connection,
            project.modules,
            planned.node.kind,
            planned.node.cls,
            planned.spec,
            parents,
            planned.told,
        )

    def _end(self, planned: Planned, result: Built | BaseException, display: Display) -> None:
        if isinstance(result, BaseException):
            why = f"{type(result).__name__}: {result}"
            outcome = Outcome(planned, "failed", hash_=planned.hash_, why=why, error=result)
        else:
            why = planned.why if result.made else "another process built it meanwhile"
            status: Status = "built" if result.made else "hit"
            if planned.hash_ not in {None, result.hash_}:
                why += "; its hash is another one than its description had, so it will be built again: is something in it random?"
            outcome = Outcome(
                planned, status, result.id, result.version, result.hash_, result.values, result.seconds, why
            )
        self.outcomes[planned.node.key] = outcome
        planned.release()
        display.ends(outcome.status)


def _settled(planned: Planned) -> Outcome:
    """Return the outcome of a node about which there is nothing to do."""
    made = planned.object
    if planned.action == "hit":
        values = getattr(made, "values", None) if made.kind == "metric" else None
        return Outcome(planned, "hit", made.id, made.version, made.hash_, values, why=planned.why)
    status: Status = "failed" if planned.action == "fail" else "skipped"
    return Outcome(planned, status, hash_=planned.hash_, why=planned.why, error=planned.error)


def _attempt(planned: Planned) -> Built | BaseException:
    """Build and save the object of the plan itself, here."""
    start = time.perf_counter()
    try:
        return built(planned.object, start)
    except Exception as error:  # noqa: BLE001 - it is told, and stops only what is made from it
        return error


def _result(future: Future[Built]) -> Built | BaseException:
    """Return what a worker said, or what went wrong there."""
    try:
        return future.exception() or future.result()
    except CancelledError as error:
        return error
