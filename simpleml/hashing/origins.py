"""Where code comes from: a library (known by its name) or the user (known by its source)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache

_PACKAGE = __name__.partition(".")[0]


@cache
def _library_folders() -> tuple[str, ...]:
    """Return the folders that hold the standard library and installed distributions, each with a closing separator."""
    import site
    import sysconfig

    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    if hasattr(site, "getsitepackages"):
        folders.update(site.getsitepackages())
    if hasattr(site, "getusersitepackages"):
        folders.add(site.getusersitepackages())
    return tuple({os.path.join(os.path.realpath(folder), "") for folder in folders})


@cache
def is_library_file(path: str) -> bool:
    """Whether code compiled from `path` belongs to Python, to an installed distribution or to this package."""
    if path.startswith("<frozen "):
        return True
    real = os.path.realpath(path)
    own = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "")
    return real.startswith((*_library_folders(), own)) or bool(
        {"site-packages", "dist-packages"}.intersection(real.split(os.sep))
    )


@cache
def is_library_module(name: str) -> bool:
    """Whether the module called `name` belongs to Python, to an installed distribution or to this package."""
    if name == "__main__":
        return False
    if name.partition(".")[0] == _PACKAGE:
        return True
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return name in sys.builtin_module_names or name.partition(".")[0] in sys.stdlib_module_names
    return is_library_file(file)


def resolve(module: str | None, qualname: str) -> object:
    """Return what an importer of `module` finds under `qualname`, or `None`."""
    found: object = sys.modules.get(module or "")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def type_name(cls: type) -> bytes:
    """Return the name that a type's instances are hashed under: with the module for a library's, without for a user's."""
    module = str(cls.__module__)
    return f"{module if is_library_module(module) else ''}:{cls.__qualname__}".encode("utf-8", "surrogatepass")


def library_name(value: type | Callable[..., object]) -> str | None:
    """Return `module:qualname` if a library holds exactly this object under that name, else `None`."""
    module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if isinstance(module, str) and is_library_module(module) and resolve(module, qualname) is value:
        return f"{module}:{qualname}"
    return None
