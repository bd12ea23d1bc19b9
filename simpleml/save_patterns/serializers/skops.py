"""Scikit-learn estimators without pickle: a skops file holds names of types and their state, and running it runs no code.

Types that skops does not know to be harmless (a user's own estimator) are read only if the setting `trusted_types` has their
names: the policy asks `untrusted` before `load`. The file is a zip archive that `skops.io.load` reads anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.archives import FAULTS, open_archive
from simpleml.save_patterns.serializers.memory import MemoryFile
from simpleml.save_patterns.stream import lend
from simpleml.save_patterns.trust import unskops
from simpleml.types import JSON


class SkopsSerializer:
    """Keeps scikit-learn estimators and what they are made of: arrays, sparse matrices, containers, types by name.

    Writing takes the memory of the file once more, reading that of each array.
    """

    name = "skops"
    format = 1
    executes = False

    def accepts(self, value: object) -> bool:
        """Whether `value` is an estimator of scikit-learn itself; whether its parameters are, only writing it tells."""
        base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
        return base is not None and isinstance(value, base) and type(value).__module__.startswith("sklearn.")

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write the object; the details name the types that `trusted_types` has to have for reading it."""
        io = _skops()
        try:
            data = io.dumps(value)
            types = io.get_untrusted_types(data=data)
        except MemoryError:
            raise
        except Exception as error:  # the object's own methods are called, so any exception may come out
            raise SerializationError(
                f"this {type(value).__module__}.{type(value).__qualname__} cannot be kept as skops: {type(error).__name__}: "
                f"{str(error)[:300]}. Skops keeps scikit-learn estimators whose parameters are plain values, arrays, or types "
                "and functions that can be imported; keep others with the pattern 'pickled'."
            ) from error
        lost = [name for name in types if "<" in name]
        if lost:
            raise SerializationError(
                f"this {type(value).__module__}.{type(value).__qualname__} cannot be kept as skops: it holds {lost[0][:200]}, "
                "which no other process finds by that name. Define it at the top of a module, or keep it with the pattern "
                "'pickled'."
            )
        lend(stream, data)
        tops = {name.partition(".")[0] for name in (type(value).__module__, *types)} | {"sklearn", "numpy"}
        return {
            "types": [*types],
            "packages": [*sorted(top for top in tops if top not in sys.stdlib_module_names and top != "__main__")],
        }

    def untrusted(self, data: Buffer) -> Sequence[str]:
        """Return the types that reading would make objects of and that skops does not know to be harmless."""
        io = _skops()
        open_archive(data, "skops file").close()
        try:
            return tuple(io.get_untrusted_types(file=MemoryFile(data)))
        except FAULTS as error:
            raise SerializationError(
                f"these {len(data)} bytes are no whole skops file: {type(error).__name__}: {str(error)[:300]}"
            ) from error

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the object, made of the types that `untrusted` named to the policy and of those that skops knows."""
        return unskops(data, self.untrusted(data))


SKOPS = SkopsSerializer()


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingDependencyError("skops artifacts need skops: pip install 'simpleml[skops]'") from error
    return skops.io
