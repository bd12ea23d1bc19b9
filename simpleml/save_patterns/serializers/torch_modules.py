"""How a PyTorch module is made anew without pickle: its class by name and what its `__init__` was given, as JSON.

What `__init__` was given is read off the module, as scikit-learn does it: the attribute of the same name. A module whose
`__init__` keeps its arguments under other names says them outright, as a dict in its attribute `init_arguments`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any, cast

from simpleml import encoding
from simpleml.encoding.faults import short
from simpleml.errors import EncodingError, SerializationError, SimpleMLError
from simpleml.registries import class_path, find_class
from simpleml.types import JSON

ARGUMENTS = "init_arguments"
"""The attribute in which a module may say what its `__init__` was given."""

_DEEPEST = 100
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_NOT_ASKED = frozenset({"self", "device", "dtype"})  # the class and the tensors know them
_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)


class _Missing(Exception):  # noqa: N818  # not an error of its own: becomes a SerializationError with the way out
    """Why a module cannot be described."""


def described(module: Any) -> dict[str, JSON]:
    """Return what makes a module like this one, which was tried; raises `SerializationError` if nothing does."""
    import torch

    try:
        found = _described(module, torch, 0)
        _check(module, made(found, meta=True), torch)
    except _Missing as error:
        raise SerializationError(
            f"this {type(module).__module__}.{type(module).__qualname__} cannot be kept as torch: {error}. Keep what __init__ "
            f"is given in attributes of the same names, or say it outright, self.{ARGUMENTS} = {{…}}; or keep the module with "
            "the pattern 'pickled'."
        ) from error
    return found


def made(description: JSON, *, meta: bool = False) -> Any:
    """Return a new module of a description, on the device `meta` (without numbers) if asked and possible.

    A class is imported by `find_class` alone, and must be one of modules. The random numbers of the caller stay as they were.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        if meta:
            try:
                with torch.device("meta"):
                    return _made(description, torch, 0)
            except SimpleMLError:
                raise
            except Exception:  # noqa: BLE001 - its __init__ looks at numbers, which that device has none of
                return _made(description, torch, 0)
        return _made(description, torch, 0)


def _described(module: Any, torch: Any, depth: int) -> dict[str, JSON]:
    cls = type(module)
    path = class_path(cls)
    if path is None or _imported(cls) is not cls:
        raise _Missing(f"no other process finds the class {cls.__qualname__}: define it at the top of a module")
    if depth > _DEEPEST:
        raise _Missing("it is nested too deeply")
    if any(getattr(module, name, None) for name in _HOOKS):
        raise _Missing("it has hooks, which are code")
    if cls in {getattr(torch.nn, name) for name in _CONTAINERS}:
        parts: list[JSON] = [[name, _described(part, torch, depth + 1)] for name, part in module.named_children()]
        return {"class": path, "parts": parts}
    if ARGUMENTS in vars(module):
        told = vars(module)[ARGUMENTS]
        if not isinstance(told, dict):
            raise _Missing(f"its {ARGUMENTS} is {short(told)}, not a dict of keywords")
        return {
            "class": path,
            "arguments": {name: _value(name, one, torch, depth) for name, one in told.items()},
            "told": True,
        }
    arguments: dict[str, JSON] = {}
    for name, parameter in _parameters(cls, torch).items():
        if name in _NOT_ASKED or parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            continue
        if hasattr(module, name):
            value = getattr(module, name)
            if isinstance(parameter.default, bool) and (value is None or isinstance(value, torch.Tensor)):
                value = value is not None  # `bias=True` makes a parameter of this name
            arguments[name] = _value(name, value, torch, depth)
        elif parameter.default is parameter.empty:
            raise _Missing(f"its __init__ takes {name!r}, of which the module keeps nothing under that name")
    return {"class": path, "arguments": arguments}


def _parameters(cls: Any, torch: Any) -> Mapping[str, inspect.Parameter]:
    """Return what `__init__` of a class takes; recurrent networks pass on what they take."""
    recurrent = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU)
    if cls not in recurrent:
        return inspect.signature(cls.__init__).parameters
    found = dict(inspect.signature(torch.nn.RNNBase.__init__).parameters)
    del found["mode"]
    if cls is not torch.nn.LSTM:
        del found["proj_size"]
    if cls is torch.nn.RNN:
        found["nonlinearity"] = inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh")
    return found


def _value(name: str, value: Any, torch: Any, depth: int) -> JSON:
    if isinstance(value, torch.nn.Module):
        return {"module": _described(value, torch, depth + 1)}
    try:
        return {"value": encoding.encode(value, name=name)}
    except EncodingError as error:
        raise _Missing(f"its {name} is {short(value)}, which is no plain value") from error


def _made(description: JSON, torch: Any, depth: int) -> Any:
    if not isinstance(description, dict) or not isinstance(description.get("class"), str) or depth > _DEEPEST:
        raise SerializationError("the description of this torch module is not one that simpleml wrote")
    path = cast("str", description["class"])
    cls: Any = find_class(path)
    if not issubclass(cls, torch.nn.Module):
        raise SerializationError(f"{path} is no class of torch modules: the record was edited, or its module was")
    if "parts" in description:
        parts = [(name, _made(part, torch, depth + 1)) for name, part in cast("Any", description["parts"])]
        module = cls()
        for name, part in parts:
            module.add_module(name, part)
        return module
    arguments = {
        name: _made(one["module"], torch, depth + 1) if "module" in one else encoding.decode(one["value"], name=name)
        for name, one in cast("Any", description.get("arguments", {})).items()
    }
    module = cls(**arguments)
    if description.get("told"):
        setattr(module, ARGUMENTS, arguments)
    return module


def _check(module: Any, again: Any, torch: Any) -> None:
    """Raise `_Missing` unless `again` is a module like this one but for its numbers."""
    ours, theirs = dict(module.named_modules()), dict(again.named_modules())
    if [*ours] != [*theirs]:
        raise _Missing(f"made anew it has the parts {short([*theirs])}, not {short([*ours])}")
    for name, one in ours.items():
        other = theirs[name]
        where = f"its part {name!r}" if name else "it"
        if type(one) is not type(other) or one.extra_repr() != other.extra_repr():
            raise _Missing(f"made anew, {where} is {short(other)}, not {short(one)}")
        _check_attributes(where, vars(one), vars(other), torch)
    for kind in ("_parameters", "_buffers"):
        mine, new = _tensors(ours, kind), _tensors(theirs, kind)
        if mine != new:
            raise _Missing(f"made anew it has the tensors {short(new)}, not {short(mine)}")


def _tensors(modules: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found = {f"{name}.{key}": one for name, part in modules.items() for key, one in getattr(part, kind).items()}
    return {name: None if one is None else tuple(one.shape) for name, one in found.items()}


def _check_attributes(where: str, mine: Mapping[str, Any], new: Mapping[str, Any], torch: Any) -> None:
    """Raise `_Missing` if a plain attribute would come back as something else: it was set after `__init__`."""
    for name in {*mine, *new}:
        if name.startswith("_") or name in {"training", ARGUMENTS}:
            continue
        one, other = mine.get(name, _ABSENT), new.get(name, _ABSENT)
        if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
            raise _Missing(f"{where} keeps the tensor {name!r} as a plain attribute: make it a buffer or a parameter")
        try:
            same = encoding.encode(one) == encoding.encode(other) if one is not other else True
        except EncodingError:
            same = type(one) is type(other)  # an object of its own kind, such as a function that it makes itself
        if not same:
            raise _Missing(f"made anew, {where} has {name} = {short(other)}, not {short(one)}")


_ABSENT = object()


def _imported(cls: type) -> object:
    found: object = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found
