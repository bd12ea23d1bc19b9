"""What may be read: the policy, and the only place in the package that unpickles.

Reading a pickle runs whatever its author wrote. So bytes of such a format come here last: after their size and digest
matched the reference, and only from a store that the user trusts.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from simpleml.errors import SerializationError, TrustError

SAFE_PATTERNS = ("parquet", "numpy", "json")
"""Patterns whose bytes can be read without running code."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which stores may hand us code: those in `trusted` under `mode="trusted"`, none under `mode="safe"`."""

    mode: Literal["trusted", "safe"] = "trusted"
    trusted: frozenset[str] = field(default_factory=frozenset)

    def check(self, *, executes: bool, serializer: str, store: str) -> None:
        """Raise `TrustError` if reading `serializer` from `store` could run code that the policy does not allow."""
        self.check_format(executes=executes, serializer=serializer)
        if executes and store not in self.trusted:
            known = ", ".join(sorted(self.trusted)) or "none"
            raise TrustError(
                f"{serializer} artifacts can run code when they are read, and the store {store!r} is not trusted "
                f"(trusted: {known}). Add it to trusted_stores in the settings if everyone who can write there is "
                f"trusted, or save with one of the safe patterns ({', '.join(SAFE_PATTERNS)})."
            )

    def check_format(self, *, executes: bool, serializer: str) -> None:
        """Raise `TrustError` if the policy allows `serializer` from no store at all."""
        if executes and self.mode == "safe":
            raise TrustError(
                f'{serializer} artifacts can run code when they are read, and trust = "safe" forbids that. Save it with one '
                f'of the safe patterns ({", ".join(SAFE_PATTERNS)}), or set trust = "trusted" if everyone who can write '
                "there is trusted."
            )


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
        raise SerializationError(
            f"the pickle could not be read: {type(error).__name__}: {error}. Its digest is right, so the bytes are those "
            "that were saved: the classes it names have changed since, or belong to another version of their library."
        ) from error
