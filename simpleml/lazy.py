"""`lazy_names`: the public names of a package, each found when it is first asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, Iterable[str]], *, submodules: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package that imports a module when one of its names is first asked for.

    `modules` says which names each module below the package brings, as an import would: `"name"`, or `"name as public"`.
    `submodules` are names of modules themselves. What was found stays in the package.
    """
    where = {name.rpartition(" as ")[2]: (module, name) for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name in where:
            module, attribute = where[name]
            value = getattr(importlib.import_module(f"{package}.{module}"), attribute.partition(" as ")[0])
        elif name in submodules:
            value = importlib.import_module(f"{package}.{name}")
        else:
            from simpleml.errors import known_names  # a third of what `import simpleml` would cost

            raise AttributeError(f"module {package!r} has no attribute {name!r}; {known_names(where, near=name)}")
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where, *submodules})

    return find, listed
