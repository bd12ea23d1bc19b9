"""PyTorch modules without pickle: the state dict in the safetensors format, and in the details how the module is made.

The file is read by `safetensors.torch.load_file` anywhere, as the state dict that `load_state_dict` takes. Reading it as a
module imports the class that the reference names and calls its `__init__`, so that passes the trust policy first.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from simpleml.errors import MissingDependencyError, SerializationError, SimpleMLError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.safetensors import SAFETENSORS
from simpleml.save_patterns.serializers.torch_modules import described, made
from simpleml.types import JSON


class TorchSerializer:
    """Keeps modules that their class and the arguments of `__init__` make again; parameters that are tied stay tied.

    Loaded modules are on the CPU; their tensors are views into what was read, as numpy arrays and safetensors are.
    """

    name = "torch"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """Whether `value` is a module that its class and its attributes make again, which takes as long as its `__init__`."""
        module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
        if module is None or not isinstance(value, module):
            return False
        try:
            described(value)
            _state(value)
        except Exception:  # noqa: BLE001 - the user's own __init__ is called: whatever it raises, the answer is no
            return False
        return True

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the state dict; the details have the classes, their arguments, and what is trained of it."""
        torch = _torch()
        if not isinstance(value, torch.nn.Module):
            raise SerializationError(
                f"torch keeps modules, and this is a {type(value).__module__}.{type(value).__qualname__}: keep a state dict with "
                "the pattern 'safetensors', anything else with 'pickled'."
            )
        try:
            description = described(value)
        except (SimpleMLError, MemoryError):
            raise
        except Exception as error:  # its own __init__ is called, so any exception may come out
            raise SerializationError(
                f"this {type(value).__module__}.{type(value).__qualname__} cannot be kept as torch: its __init__, called with "
                f"what its attributes say, raised {type(error).__name__}: {str(error)[:300]}. Say what __init__ is given in "
                "self.init_arguments = {…}, or keep the module with the pattern 'pickled'."
            ) from error
        state, tied = _state(value)
        module: Any = value
        written = dict(SAFETENSORS.dump(state, stream)) if state else {}
        if not state:
            stream.write(_EMPTY)
        return {
            "module": description,
            "state": written,
            "tied": cast("JSON", tied),
            "training": [name for name, part in module.named_modules() if part.training],
            "frozen": [name for name, one in module.named_parameters(remove_duplicate=False) if not one.requires_grad],
            "torch": str(torch.__version__),
            "packages": ["torch", *_packages(module)],
        }

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the module; its parameters and buffers are views into `data`."""
        _torch()
        written = details.get("state", {})
        if bytes(data[: len(_EMPTY)]) == _EMPTY and len(data) == len(_EMPTY):
            state: dict[str, Any] = {}
        else:
            state = cast("dict[str, Any]", SAFETENSORS.load(data, format=1, details=cast("Any", written)))
        if "module" not in details:
            raise SerializationError("the details of this torch artifact do not say what module it is of")
        try:
            module = made(details["module"])
            _fill(module, state, details)
        except (ImportError, MemoryError, SimpleMLError):
            raise
        except Exception as error:  # its own __init__ is called, so any exception may come out
            raise SerializationError(
                f"the torch module could not be made again: {type(error).__name__}: {str(error)[:500]}. Its class has changed "
                "since it was saved; its state dict alone can be read with safetensors.torch."
            ) from error
        return module


TORCH = TorchSerializer()

_EMPTY = (56).to_bytes(8, "little") + b"{}".ljust(56)  # a safetensors file without tensors


def _state(module: Any) -> tuple[OrderedDict[str, Any], dict[str, str]]:
    """Return the state dict as SAFETENSORS keeps it, and the names of parameters that are another's under a second name."""
    names: dict[int, str] = {}
    tied: dict[str, str] = {}
    for name, one in (
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ):
        first = names.setdefault(id(one), name)
        if first != name:
            tied[name] = first
    whole = module.state_dict()
    odd = [name for name, one in whole.items() if not hasattr(one, "detach")]
    if odd:
        raise SerializationError(
            f"this {type(module).__qualname__} has extra state ({odd[0]!r:.80}) that is no tensor: keep it with the pattern 'pickled'"
        )
    state = OrderedDict((name, one.detach().cpu()) for name, one in whole.items() if name not in tied)
    state._metadata = getattr(whole, "_metadata", None)  # type: ignore[attr-defined]  # noqa: SLF001  # where torch keeps versions
    return state, {name: first for name, first in tied.items() if name in whole}


def _fill(module: Any, state: dict[str, Any], details: Mapping[str, JSON]) -> None:
    """Give a new module the tensors and flags of the one that was saved."""
    tied: Any = details.get("tied", {})
    whole = OrderedDict(state)
    whole.update({name: state[first] for name, first in tied.items()})
    if hasattr(state, "_metadata"):
        whole._metadata = state._metadata  # type: ignore[attr-defined]  # noqa: SLF001  # as above
    module.load_state_dict(whole, strict=True, assign=True)
    for name, first in tied.items():
        holder, _, leaf = name.rpartition(".")
        owner, _, other = first.rpartition(".")
        setattr(module.get_submodule(holder), leaf, getattr(module.get_submodule(owner), other))
    training: Any = details.get("training", [])
    for name, part in module.named_modules():
        part.training = name in training
    frozen: Any = details.get("frozen", [])
    for name, one in module.named_parameters(remove_duplicate=False):
        one.requires_grad_(name not in frozen)


def _packages(module: Any) -> list[str]:
    tops = {type(part).__module__.partition(".")[0] for part in module.modules()} - {"torch"}
    return sorted(top for top in tops if top not in sys.stdlib_module_names)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            "torch artifacts need torch: pip install 'simpleml[torch]' (for this machine's hardware, see pytorch.org) "
            f"({str(error)[:200]})"
        ) from error
    return torch
