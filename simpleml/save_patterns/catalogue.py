"""Which patterns and serializers there are, by name, and which one a value gets when nobody names one.

A pattern's name is `<format>` (to the store `default`) or `<where>_<format>` (to the store of that name): `pickled`,
`parquet`, `disk_pickled`, `cloud_json`, `database_numpy`. Others are registered, by a decorator (`decorators`) or by an entry
point of the group `simpleml.serializers` or `simpleml.save_patterns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TypeVar

from simpleml.encoding.faults import short
from simpleml.errors import (
    MissingDependencyError,
    SavePatternError,
    SerializationError,
    SimpleMLError,
    StoreError,
    UnknownNameError,
    known_names,
)
from simpleml.registries import Registry, same_definition
from simpleml.save_patterns.folder import NAME as FOLDER
from simpleml.save_patterns.folder import FolderPattern, load_folder
from simpleml.save_patterns.pattern import ObjectPattern, check_reference, load_object
from simpleml.save_patterns.protocols import Places, SavePattern, Serializer
from simpleml.save_patterns.split import same_pattern
from simpleml.types import Reference

T = TypeVar("T")

DEFAULT_STORE = "default"
WHERE = ("disk", "cloud", "database")
"""Stores that a pattern's name can begin with."""

_HERE = "simpleml.save_patterns.serializers"


def complete_serializer(thing: Serializer) -> Serializer:
    """Return `thing` if it is an instance that has what `Serializer` asks for; a `SavePatternError` tells what it lacks."""
    found = _complete(thing, "Serializer", ("name", "format", "executes", "accepts", "dump", "load"))
    number: object = found.format
    executes: object = found.executes
    if type(number) is not int or number < 1 or type(executes) is not bool:
        raise SavePatternError(
            f"the serializer {found.name!r:.80} has format = {short(number)} and executes = {short(executes)}: a format is a number "
            "from 1 on, and executes says whether reading can run code, True or False"
        )
    return found


def complete_pattern(thing: T, members: Sequence[str] = ("save", "load")) -> T:
    """Return `thing` if it is an instance that has these members of `SavePattern`; a `SavePatternError` tells what it lacks."""
    return _complete(thing, "SavePattern", members)


def _complete(thing: T, protocol: str, members: Sequence[str]) -> T:
    if isinstance(thing, type):
        raise SavePatternError(
            f"{thing!r:.200} is a class, not a {protocol}: `register` and entry points take an instance, the decorators of "
            "simpleml.save_patterns.decorators a class"
        )
    missing = [member for member in members if not hasattr(thing, member)]
    if missing:
        raise SavePatternError(
            f"{type(thing)!r:.200} is no {protocol}: it has no {', '.join(missing)}; see simpleml.save_patterns.protocols"
        )
    return thing


serializers: Registry[Serializer] = Registry(
    "serializer",
    known={
        "cloudpickle": f"{_HERE}.cloudpickle:CLOUDPICKLE",
        "json": f"{_HERE}.json:JSON_TEXT",
        "numpy": f"{_HERE}.numpy:NUMPY",
        "parquet": f"{_HERE}.parquet:PARQUET",
        "table": "simpleml.orm.locations.canonical:TABLE",
        "feather": f"{_HERE}.feather:FEATHER",
        "csv": f"{_HERE}.csv:CSV",
        "joblib": f"{_HERE}.joblib:JOBLIB",
        "skops": f"{_HERE}.skops:SKOPS",
        "safetensors": f"{_HERE}.safetensors:SAFETENSORS",
        "onnx": f"{_HERE}.onnx:ONNX",
        "keras": f"{_HERE}.keras:KERAS",
        "torch": f"{_HERE}.torch:TORCH",
        "xgboost": f"{_HERE}.xgboost:XGBOOST",
        "lightgbm": f"{_HERE}.lightgbm:LIGHTGBM",
        "catboost": f"{_HERE}.catboost:CATBOOST",
        "text": f"{_HERE}.text:TEXT",
        "bytes": f"{_HERE}.bytes:BYTES",
    },
    entry_points="simpleml.serializers",
    same=lambda one, other: same_definition(type(one), type(other)),
    check=complete_serializer,
)
"""Serializers by the name that references carry."""

OWN_PATTERNS = {
    "database_table": "simpleml.orm.locations.tables:DATABASE_TABLE",
    "dask_parquet": "simpleml.datasets.partitions:DASK_PARQUET",
    "disk_dask_parquet": "simpleml.datasets.partitions:DISK_DASK_PARQUET",
    "cloud_dask_parquet": "simpleml.datasets.partitions:CLOUD_DASK_PARQUET",
    "database_dask_parquet": "simpleml.datasets.partitions:DATABASE_DASK_PARQUET",
}
"""Patterns of this package that are not simply a serializer and a store."""

patterns: Registry[SavePattern] = Registry(
    "save pattern",
    known=OWN_PATTERNS,
    entry_points="simpleml.save_patterns",
    same=same_pattern,
    check=complete_pattern,
)
"""Patterns that are not simply a serializer and a store, by name."""

_FORMATS = {"pickled": "cloudpickle"}  # a format's word in pattern names, where it is not the serializer's own

_TABLE = "table"  # what tables are to whoever reads them as bytes: no format that anybody would choose

_BY_TYPE: dict[str, str] = {
    "numpy.ndarray": "numpy",
    "pandas.DataFrame": "parquet",
    "pandas.core.frame.DataFrame": "parquet",
    "polars.dataframe.frame.DataFrame": "parquet",
    "pyarrow.lib.Table": "parquet",
    "dask.dataframe.dask_expr._collection.DataFrame": "dask_parquet",
    "onnx.onnx_ml_pb2.ModelProto": "onnx",
    "keras.src.models.model.Model": "keras",
    "torch.nn.modules.module.Module": "torch",
    "xgboost.core.Booster": "xgboost",
    "xgboost.sklearn.XGBModel": "xgboost",
    "lightgbm.basic.Booster": "lightgbm",
    "lightgbm.sklearn.LGBMModel": "lightgbm",
    "catboost.core.CatBoost": "catboost",
    "builtins.bytes": "bytes",
    "builtins.bytearray": "bytes",
    "simpleml.save_patterns.folder.Folder": "folder",
}


def find_pattern(name: str) -> SavePattern:
    """Return the pattern of this name; `SavePatternError` lists the known ones."""
    if name in patterns:
        return patterns.get(name)
    where, _, format_ = name.partition("_")
    store, word = (where, format_) if where in WHERE and format_ else (DEFAULT_STORE, name)
    if word == FOLDER:
        return FolderPattern(name=name, store=store)
    try:
        serializer = find_serializer(_FORMATS.get(word, word))
    except UnknownNameError as error:
        raise SavePatternError(
            f"there is no save pattern {name!r}{_meant(name)}; {known_names(_words() | set(patterns.names()), limit=40)}, each "
            f"format also with {', '.join(f'{where}_' for where in WHERE)} in front, for the store of that name. "
            "Register one with simpleml.save_patterns.decorators.register_serializer or register_save_pattern; for a store of "
            "another name, simpleml.save_patterns.catalogue.patterns takes an ObjectPattern(name, serializer, store)."
        ) from error
    return ObjectPattern(name=name, serializer=serializer, store=store)


def find_serializer(name: str) -> Serializer:
    """Return the serializer of this name; `UnknownNameError` lists the known ones."""
    return serializers.get(name)


def pattern_names() -> list[str]:
    """Return every name that `find_pattern` takes."""
    words = _words()
    return sorted({*patterns.names(), *words, *(f"{where}_{word}" for where in WHERE for word in words)})


def _meant(name: str) -> str:
    close = get_close_matches(name, pattern_names(), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _words() -> set[str]:
    """Return the formats, as the names of patterns call them."""
    words = {word for word, name in _FORMATS.items() if name in serializers}
    return words | {FOLDER, *(name for name in serializers.names() if name not in _FORMATS.values() and name != _TABLE)}


def save_value(pattern: str, value: object, places: Places) -> Reference:
    """Return the reference under which the pattern of this name keeps `value`; one that returns anything else is told."""
    found = find_pattern(pattern)
    with _telling(f"the pattern {pattern!r} could not keep this {type(value).__name__}"):
        made = found.save(value, places)
    try:
        return check_reference(made, pattern)
    except SavePatternError as error:
        raise SavePatternError(
            f"the pattern {pattern!r} returned {short(made)} from save(), which is no reference: return what a pattern that "
            'stores the bytes does, such as find_pattern("json").save(value, places)'
        ) from error


def load_reference(pattern: str, reference: Reference, places: Places) -> object:
    """Return the object behind a reference; a registered pattern reads its own, every other is read by its serializer."""
    if pattern in patterns:
        with _telling(f"the pattern {pattern!r} could not read what it kept"):
            return patterns.get(pattern).load(reference, places)
    if reference["serializer"] == FOLDER:
        return load_folder(reference, places)
    serializer = find_serializer(reference["serializer"])
    with _telling(f"the serializer {serializer.name!r} could not read what it wrote"):
        return load_object(reference, serializer, places)


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Turn what the code of others raises into an error of our tree, so that the next pattern gets its turn."""
    try:
        yield
    except (SimpleMLError, MemoryError):
        raise
    except ImportError as error:
        raise MissingDependencyError(f"{what}: {error}: install the missing package and try again") from error
    except OSError as error:
        failed = StoreError(f"{what}: {error}")
        failed.errno = error.errno
        raise failed from error
    except Exception as error:  # a serializer or a pattern may be anybody's, and raise anything
        raise SerializationError(f"{what}: {type(error).__name__}: {error}") from error


def choose_pattern(value: object) -> str:
    """Return the pattern for a value that nobody chose one for: by its type, if that holds it exactly, else `pickled`."""
    for cls in type(value).__mro__:
        name = _BY_TYPE.get(f"{cls.__module__}.{cls.__qualname__}")
        if name is not None:
            if _accepts(name, value):
                return name
            break
    return "json" if serializers.get("json").accepts(value) else "pickled"


def _accepts(pattern: str, value: object) -> bool:
    found = find_pattern(pattern)
    return not isinstance(found, ObjectPattern) or found.serializer.accepts(value)


def prefer(cls: type, pattern: str) -> None:
    """Let values of `cls` (and its subclasses) be kept by `pattern` when no other is named."""
    find_pattern(pattern)
    _BY_TYPE[f"{cls.__module__}.{cls.__qualname__}"] = pattern
