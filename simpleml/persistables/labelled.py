"""What every persistable can be called besides its name and version."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self, cast

from simpleml.persistables import labels
from simpleml.persistables.ports import AliasMove

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable


class Labelled:
    """The part of `Persistable` that gives its versions aliases and tags."""

    aliases: ClassVar[labels.Aliases] = labels.Aliases()
    """Of an object the aliases that point to its version, sorted; `X.aliases(name)` maps those of a name to versions."""

    def alias(self, alias: str) -> Self:
        """Let an alias of this name point to this version, from now on (inside `transaction()`: when that ends).

        It is moved at once, by whoever comes last, and the move is recorded. What an alias points to cannot be deleted.
        """
        labels.point(cast("Persistable", self), alias)
        return self

    def drop_alias(self, alias: str) -> Self:
        """Let an alias that points to this version point to nothing; `RecordNotFoundError` if it points elsewhere."""
        labels.drop(cast("Persistable", self), alias)
        return self

    @classmethod
    def alias_history(cls, name: str, alias: str, **scope: object) -> list[AliasMove]:
        """Return every move of an alias of this name, oldest first; each begins where the one before it ended.

        Of metrics each model's form a chain of their own: `alias_history(name, alias, model=model)`.
        """
        return labels.history(cast("type[Persistable]", cls), name, alias, scope)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of this version, sorted, as the database has them now."""
        return labels.tags_of(cast("Persistable", self))

    def tag(self, *tags: str) -> Self:
        """Give this version tags; `query(tags__has="candidate")` finds it. One that it has already is no error."""
        labels.add_tags(cast("Persistable", self), tags)
        return self

    def untag(self, *tags: str) -> Self:
        """Take tags from this version; one that it has not is no error."""
        labels.remove_tags(cast("Persistable", self), tags)
        return self
