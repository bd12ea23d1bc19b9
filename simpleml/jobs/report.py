"""`Report`: what became of every node of a run, and the table of results."""

from __future__ import annotations

import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from simpleml.jobs.plan import Planned
from simpleml.jobs.project import Project

Status = Literal["hit", "built", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one node: it was there (`hit`), or `built`; it `failed`, or is made from something that did."""

    planned: Planned
    status: Status
    id: UUID | None = None
    version: int | None = None
    hash_: str | None = None
    values: Any = None
    seconds: float = 0.0
    why: str = ""
    error: BaseException | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """Kind, table and what distinguishes it, for people."""
        return self.planned.node.label

    @property
    def trace(self) -> str:
        """Where the error was raised, wherever that was; empty if there was none."""
        return "" if self.error is None else "".join(traceback.format_exception(self.error))


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """What became of every node of a project, in the order of the plan."""

    project: Project
    outcomes: tuple[Outcome, ...]
    seconds: float

    def __repr__(self) -> str:
        return f"<Report of {self.project.path}: {self.counted} in {self.seconds:.1f} s>"

    @property
    def counted(self) -> str:
        """How many nodes there are of each status: `3 hit, 2 built`."""
        counts = Counter(each.status for each in self.outcomes)
        return ", ".join(f"{count} {status}" for status, count in counts.items()) or "nothing to do"

    @property
    def all_well(self) -> bool:
        """Whether everything that the project names is there."""
        return not self.having("failed", "skipped")

    def having(self, *statuses: Status) -> tuple[Outcome, ...]:
        """Return the outcomes of these statuses."""
        return tuple(each for each in self.outcomes if each.status in statuses)

    def results(self) -> list[dict[str, Any]]:
        """Return one row for each model: name, version, what distinguishes it, status, seconds, and the values of its metrics.

        A metric that is one number is that number, any other is its mapping; it stands under the name of its table.
        """
        rows = {
            each.planned.node.key: {
                "model": each.planned.node.name,
                "version": each.version,
                "point": each.planned.node.point,
                "status": each.status,
                "seconds": each.seconds,
            }
            for each in self.outcomes
            if each.planned.node.kind == "model"
        }
        for each in self.outcomes:
            model = each.planned.node.parents.get("model")
            if each.planned.node.kind == "metric" and model is not None:
                rows[model.key][each.planned.node.table] = _single(each.values)
        return list(rows.values())


def _single(values: Any) -> Any:
    """Return the number that the values of a metric are, if they are one."""
    return next(iter(values.values())) if isinstance(values, dict) and len(values) == 1 else values
