"""The class registry: how a record finds the class that restores it, and what making such a class and its objects adds."""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING, Any, cast

from simpleml.errors import IdentityError, SimpleMLError, UnknownNameError, known_names
from simpleml.persistables.artifact import declare, withdraw
from simpleml.registries import Registry, find_class

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

classes: Registry[type[Persistable]] = Registry("persistable class", entry_points="simpleml.persistables")
"""Every persistable class of this process, by `registered_name`."""

HINT = "module"
"""The metadata key under which a record says where its class was defined: a hint, never `__main__`."""


RECORDED = ("artifacts", "library_versions", "platform", HINT)
"""The keys of the metadata that saving writes; users have every other one."""


def class_of(registered_name: str, hint: object, packages: tuple[str, ...] | None) -> type[Persistable]:
    """Return the class registered under this name, importing the module that the record names if that is allowed.

    Raises `UnknownNameError`, which says what was tried, if there is none.
    """
    if registered_name in classes:
        return classes.get(registered_name)
    tried = "the record does not say where it was defined"
    if isinstance(hint, str):
        try:
            find_class(hint, packages=packages)
        except (SimpleMLError, ImportError) as error:
            tried = f"importing {hint!r}: {error}"
        else:
            if registered_name in classes:
                return classes.get(registered_name)
            tried = f"{hint!r} was imported, but registers no class of this name"
    raise UnknownNameError(
        f"no class is registered as {registered_name!r}; {known_names(classes.names(), near=registered_name)}. Import the "
        f"module that defines it first ({tried}); if the class was renamed, write registered_name = {registered_name!r} in it."
    )


class PersistableMeta(ABCMeta):
    """Calls the hook after construction, when every `__init__` is done; keeps the registry in step with `registered_name`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make an instance, and refuse one that was not made completely."""
        made = super().__call__(*args, **kwargs)
        if "_origin" not in made.__dict__:
            raise IdentityError(
                f"{cls.__name__}.__init__ did not call Persistable's: begin it with super().__init__(**identity). A dataclass "
                "cannot be a persistable; keep its fields in config, or hold it as an artifact."
            )
        made.__post_init__()
        return made

    def declare_artifact(cls, name: str, save_attribute: str, restore_attribute: str) -> None:
        """Declare an artifact that is also read and set as these attributes; what `register_artifact` does."""
        declare(cast("type[Persistable]", cls), name, (save_attribute, restore_attribute))

    def withdraw_artifact(cls, name: str) -> None:
        """Take an artifact away; what `deregister_artifact` does."""
        withdraw(cast("type[Persistable]", cls), name)

    def __setattr__(cls, name: str, value: Any) -> None:
        before = cls.__dict__.get("registered_name")
        super().__setattr__(name, value)
        if name == "registered_name" and before is not None and before != value:
            # A class that travelled by value gets its attributes after it was made, and registered.
            if before in classes and classes.get(before) is cls:
                classes.drop(before)
            classes.register(value, cast("type[Persistable]", cls))
