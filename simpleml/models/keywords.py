"""Which keywords of a model's `__init__` are ours, which are parameters of the external model, and which are mistakes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from simpleml.errors import IdentityError, ModelError, known_names
from simpleml.persistables.identity import checked_mapping

if TYPE_CHECKING:
    from simpleml.models.model import Model


@cache
def keywords_of(cls: type[Model]) -> frozenset[str]:
    """Return the keywords that identity, artifacts and lineage take, and those that any `__init__` of the class names."""
    found = {*cls._artifacts_declared, *cls._lineage_declared, *(f"{role}_id" for role in cls._lineage_declared)}
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if inspect.isfunction(init):
            signature = inspect.signature(init).parameters.values()
            found.update(each.name for each in signature if each.kind is each.KEYWORD_ONLY)
    return frozenset(found)


def params_among(
    cls: type[Model], keywords: dict[str, Any], known: Iterable[str], params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Take the parameters of the external model out of `keywords` and return them with `params`.

    `known` are the names of its parameters; a keyword of ours that is also one of them stays ours. Raises `IdentityError`
    for a keyword that is neither, `ModelError` for a name in `params` that is none, or a parameter given twice.
    """
    names = set(known)
    own = keywords_of(cls)
    found = checked_mapping("params", params)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise ModelError(f"{cls.__name__} has no parameter {unknown[0]!r}; {known_names(names, near=unknown[0])}")
    for key in [key for key in keywords if key not in own]:
        if key not in names:
            raise IdentityError(
                f"{cls.__name__} takes no keyword {key!r}; {known_names(own | names, near=key, limit=60)}. Parameters of your own "
                "belong in config={…}, or in the __init__ of your class."
            )
        if key in found:
            raise ModelError(f"{cls.__name__} was given {key!r} twice, as a keyword and in params={{…}}: leave one out")
        found[key] = keywords.pop(key)
    return found
