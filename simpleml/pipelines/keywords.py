"""What the keywords of a pipeline's class say of its split."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from simpleml.errors import IdentityError, PipelineError, known_names
from simpleml.persistables import Persistable
from simpleml.pipelines.splits import NoSplit, Splitter


def splitter_of(
    cls: type[Persistable], kind: type[Splitter], given: Splitter | None, keywords: dict[str, Any]
) -> Splitter:
    """Return the splitter that was given, or that the keywords describe, which are taken out of them.

    Raises `PipelineError` if it is not of this kind, which is the class's, or something is missing, and `IdentityError`, which names the
    nearest, for a keyword that the class does not take at all.
    """
    fields = dataclasses.fields(kind)
    own = {field.name: keywords.pop(field.name) for field in fields if field.name in keywords}
    _check_keywords(cls, keywords, [field.name for field in fields])
    if given is None:
        absent = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in own]
        if absent:
            raise PipelineError(f"{cls.__name__} needs {', '.join(f'{name}=' for name in absent)}")
        return kind(**own)
    if not isinstance(given, Splitter):
        raise PipelineError(
            f"split is {given!r:.80} ({type(given).__name__}), but must be a value such as RandomSplit(train_size=0.8)"
        )
    if own or (kind is not NoSplit and not isinstance(given, kind)):
        raise PipelineError(
            f"{cls.__name__} splits by {kind.__name__}: give either its parameters or one such value as split="
        )
    return given


def _check_keywords(cls: type[Persistable], given: Iterable[str], of_split: Sequence[str]) -> None:
    """Refuse a keyword that nobody takes before what it was meant to be is missed."""
    roles = [*cls._lineage_declared, *(f"{role}_id" for role in cls._lineage_declared), *cls._artifacts_declared]
    parameters = inspect.signature(Persistable.__init__).parameters.values()
    identity = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    known = [*identity, *roles, *of_split, "transformers", "split", "params", "fitted"]
    for key in given:
        if key not in known:
            hint = (
                ". How rows are divided is said by split=RandomSplit(train_size=0.8)" if key.endswith("_size") else ""
            )
            raise IdentityError(
                f"{cls.__name__} takes no keyword {key!r}; {known_names(known, near=key, limit=40)}{hint}"
            )
