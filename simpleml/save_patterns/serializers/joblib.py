"""Any picklable object, as `joblib.dump` writes it: `joblib.load` reads the file anywhere that scikit-learn is at home.

Uncompressed. Arrays lie between the parts of the pickle, written piece by piece. Unlike `cloudpickle`, functions and classes
are kept by name alone: those of `__main__`, and lambdas, cannot be kept.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from simpleml.errors import MissingDependencyError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.output import Output
from simpleml.save_patterns.trust import unjoblib
from simpleml.types import JSON

if TYPE_CHECKING:
    from collections.abc import Callable


class JoblibSerializer:
    """Keeps any object that pickles by name; arrays with byte order and C or Fortran order, views as arrays of their own."""

    name = "joblib"
    format = 1
    executes = True

    def accepts(self, value: object) -> bool:
        """True: whether an object pickles is known only once it did."""
        return True

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write `value`; the returned details name the third-party packages that reading it will import."""
        pickler_class = _pickler()
        output = Output(stream)
        modules: set[str] = set()
        try:
            pickler_class(output, modules.add).dump(value)
        except MemoryError:
            raise
        except Exception as error:  # the object's own methods are called, so any exception may come out
            if error is output.error:
                raise
            raise _explain(value, error) from error
        tops = {module.partition(".")[0] for module in modules}
        return {"packages": [*sorted(top for top in tops if top not in sys.stdlib_module_names and top != "__main__")]}

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the object; nothing of `data` is kept. What `joblib.dump` compressed is read as well."""
        return unjoblib(data)


JOBLIB = JoblibSerializer()


def _pickler() -> Callable[[Output, Callable[[str], None]], Any]:
    """Return joblib's pickler, which notes the modules of what it pickles by name."""
    try:
        from joblib.numpy_pickle import NumpyPickler
    except ImportError as error:
        raise MissingDependencyError("joblib artifacts need joblib: pip install 'simpleml[joblib]'") from error

    class Noting(NumpyPickler):  # type: ignore[misc]  # joblib ships no types
        dispatch: ClassVar[dict[Any, Any]] = dict(NumpyPickler.dispatch)

        def __init__(self, output: Output, note: Callable[[str], None]) -> None:
            super().__init__(output, protocol=5)
            self._note = note

        def save_global(self, obj: Any, name: Any = None) -> None:
            module = getattr(obj, "__module__", None)
            if isinstance(module, str):
                self._note(module)
            super().save_global(obj, name)

    for kind, method in NumpyPickler.dispatch.items():  # where the pickler looks its methods up
        if method.__name__ == "save_global":
            Noting.dispatch[kind] = Noting.save_global
    return Noting


def _explain(value: object, error: Exception) -> SerializationError:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if isinstance(error, RecursionError):
        return SerializationError(
            f"this {kind} is nested too deeply to be pickled (the interpreter's limit is {sys.getrecursionlimit()} calls): "
            "give its class a __getstate__ and __setstate__ that keep it flat, or raise sys.setrecursionlimit, here and "
            "wherever it is loaded."
        )
    return SerializationError(
        f"this {kind} cannot be kept as joblib: {type(error).__name__}: {str(error)[:300]}. What is defined in a notebook, a "
        "script or a function is kept by the pattern 'pickled'; locks, files and connections belong outside of the artifact."
    )
