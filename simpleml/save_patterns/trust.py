"""What may be read: the policy, and the only place in the package that unpickles.

Reading a pickle runs whatever its author wrote. So bytes of such a format come here last: after their size and digest
matched the reference, and only from a store that the user trusts. A skops file runs nothing by itself, but names types to
make objects of: those that skops does not know to be harmless are asked for one by one.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal, Protocol, cast, runtime_checkable

from simpleml.errors import MissingDependencyError, SerializationError, TrustError
from simpleml.save_patterns.protocols import Buffer, Serializer
from simpleml.save_patterns.serializers.memory import MemoryFile

SAFE_PATTERNS = ("parquet", "feather", "csv", "numpy", "safetensors", "onnx", "skops", "json", "text", "bytes")
"""Patterns whose bytes can be read without running code."""

_SHOWN = 12


@runtime_checkable
class NamesTypes(Protocol):
    """A serializer whose bytes name types that reading makes objects of, beyond those known to be harmless."""

    def untrusted(self, data: Buffer) -> Sequence[str]:
        """Return the dotted names of these types, sorted; runs and imports nothing that `data` names.

        Raises `SerializationError` if the bytes are not of this format.
        """


@dataclass(frozen=True, slots=True)
class Policy:
    """Which stores may hand us code: those in `trusted` under `mode="trusted"`, none under `mode="safe"`.

    In both modes a file that names types (skops) is read if they are all in `trusted_types`, whatever store it is from.
    """

    mode: Literal["trusted", "safe"] = "trusted"
    trusted: frozenset[str] = field(default_factory=frozenset)
    trusted_types: frozenset[str] = field(default_factory=frozenset)

    def check_reading(self, serializer: Serializer, store: str, data: Buffer) -> None:
        """Raise `TrustError` if reading these verified bytes could run code that the policy does not allow."""
        self.check(executes=serializer.executes, serializer=serializer.name, store=store)
        if isinstance(serializer, NamesTypes):
            self.check_types(serializer.untrusted(data), serializer=serializer.name)

    def check(self, *, executes: bool, serializer: str, store: str) -> None:
        """Raise `TrustError` if reading `serializer` from `store` could run code that the policy does not allow."""
        self.check_format(executes=executes, serializer=serializer)
        if executes and store not in self.trusted:
            known = ", ".join(sorted(self.trusted)) or "none"
            raise TrustError(
                f"{serializer} artifacts can run code when they are read, and the store {store!r} is not trusted "
                f"(trusted: {known}). If everyone who can write there is trusted, say so in simpleml.toml: "
                f"{trusting(store, self.trusted)}; or save with one of the safe patterns ({', '.join(SAFE_PATTERNS)})."
            )

    def check_format(self, *, executes: bool, serializer: str) -> None:
        """Raise `TrustError` if the policy allows `serializer` from no store at all."""
        if executes and self.mode == "safe":
            raise TrustError(
                f'{serializer} artifacts can run code when they are read, and trust = "safe" forbids that. Save it with one '
                f'of the safe patterns ({", ".join(SAFE_PATTERNS)}), or set trust = "trusted" if everyone who can write '
                "there is trusted."
            )

    def check_types(self, types: Iterable[str], *, serializer: str) -> None:
        """Raise `TrustError` that lists those of `types` that are not in `trusted_types`."""
        odd = sorted(set(types) - self.trusted_types)
        if odd:
            shown = ", ".join(name[:200] for name in odd[:_SHOWN]) + (
                f", … ({len(odd)} in all)" if len(odd) > _SHOWN else ""
            )
            wanted = ", ".join(f'"{name[:200]}"' for name in sorted({*self.trusted_types, *odd})[:_SHOWN])
            raise TrustError(
                f"this {serializer} artifact makes objects of types that are not known to be harmless: {shown}. If you know "
                f"each of them and trust its code, say so in simpleml.toml: trusted_types = [{wanted}]"
            )


def trusting(store: str, trusted: Iterable[str]) -> str:
    """Return the line of the settings that trusts `store` besides those that are `trusted`."""
    names = ", ".join(f'"{name}"' for name in sorted({*trusted, store}))
    return f"trusted_stores = [{names}]"


def unpickle(data: bytes | bytearray | memoryview, buffers: Iterable[memoryview] = ()) -> object:
    """Return the object of a pickle that was verified and allowed before; `buffers` are its out-of-band parts.

    An import that fails is passed on as it is (it names the missing package); everything else that the bytes make go
    wrong is a `SerializationError`.
    """
    try:
        return pickle.loads(data, buffers=buffers)
    except ImportError:
        raise
    except Exception as error:  # the bytes decide what is called, so any exception may come out
        raise _broken("pickle", error) from error


def unpickle_renamed(data: bytes, renamed: Callable[[str, str], tuple[str, str]]) -> object:
    """Return the object of a pickle that the user asked to be read; `renamed` says where each class it names is today.

    Fails as `unpickle` does.
    """

    class Reader(pickle.Unpickler):
        def find_class(self, module_name: str, global_name: str, /) -> Any:
            return super().find_class(*renamed(module_name, global_name))

    try:
        return cast("object", Reader(BytesIO(data)).load())
    except ImportError:
        raise
    except Exception as error:  # as above
        raise _broken("pickle", error) from error


def unjoblib(data: Buffer) -> object:
    """Return the object of a joblib file that was verified and allowed before; its arrays keep their byte order.

    Each array is copied once, out of `data`. Fails as `unpickle` does.
    """
    try:
        import joblib
    except ImportError as error:
        raise MissingDependencyError("joblib artifacts need joblib: pip install 'simpleml[joblib]'") from error
    try:
        return cast("object", joblib.load(MemoryFile(data), ensure_native_byte_order=False))
    except ImportError:
        raise
    except Exception as error:  # as above
        raise _broken("joblib file", error) from error


def unskops(data: Buffer, types: Sequence[str]) -> object:
    """Return the object of a skops file; `types` are those it may make objects of, beyond skops' own list."""
    try:
        import skops.io
    except ImportError as error:
        raise MissingDependencyError("skops artifacts need skops: pip install 'simpleml[skops]'") from error
    try:
        try:
            return cast("object", skops.io.load(MemoryFile(data), trusted=list(types)))
        except SystemError:  # Python 3.11 miscounts its own depth when threads read the headers of arrays at once
            return cast("object", skops.io.load(MemoryFile(data), trusted=list(types)))
    except ImportError:
        raise
    except Exception as error:  # skops calls what makes the objects anew: their own `__setstate__`, numpy, scipy
        raise _broken("skops file", error) from error


def _broken(what: str, error: Exception) -> SerializationError:
    return SerializationError(
        f"the {what} could not be read: {type(error).__name__}: {str(error)[:500]}. Its digest is right, so the bytes are "
        "those that were saved: the classes it names have changed since, or belong to another version of their library."
    )
