"""Old files as stored objects: what only holds data is read and saved anew, what could run code is copied byte by byte."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from simpleml.adapters.legacy.names import native_class
from simpleml.adapters.legacy.source import LegacySource, OldRecord
from simpleml.encoding.faults import short
from simpleml.errors import (
    HashingError,
    LegacyError,
    MissingDependencyError,
    SerializationError,
    SimpleMLError,
    StoreError,
)
from simpleml.hashing import hash_value
from simpleml.persistables.artifact import UNREAD
from simpleml.save_patterns.catalogue import choose_pattern, find_pattern
from simpleml.save_patterns.pattern import ObjectPattern
from simpleml.save_patterns.protocols import Places
from simpleml.save_patterns.trust import unpickle_renamed
from simpleml.types import JSON, Reference

ARTIFACTS: Final[Mapping[str, str]] = {
    "dataset": "dataframe",
    "pipeline": "external_pipeline",
    "model": "external_model",
}
"""The old names of artifacts and ours."""

_INDEX = "simpleml_index"  # the column in which SimpleML kept the index of a frame in CSV and JSON files
_CHUNK = 8 * 1024 * 1024


@dataclass(slots=True)
class Carried:
    """What became of the artifacts of one record: references and what the metadata says of each, under our names."""

    filepaths: dict[str, dict[str, Reference]] = field(default_factory=dict)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Carrier:
    """Brings the artifacts of old records into the stores of a database; pickles are read only if `unpickle` is set."""

    source: LegacySource
    places: Places
    store: str
    unpickle: bool = False

    def carry(self, record: OldRecord) -> Carried:
        """Store every artifact of `record` that can be had; of each that cannot, `troubles` says why.

        What fails on this side is raised: the record would be here without its artifact, and skipped the next time.
        """
        carried = Carried()
        files = record.columns.get("filepaths") or {}
        if not isinstance(files, dict):
            carried.troubles.append(f"its filepaths are {short(files)}, which names no artifact")
            return carried
        for old, patterns in files.items():
            if not isinstance(patterns, dict):
                carried.troubles.append(f"{old}: the record says {short(patterns)}, which is no save pattern and file")
                continue
            name = ARTIFACTS.get(old, old)
            reasons = []
            for pattern, where in patterns.items():
                try:
                    stored, described = self._one(pattern, where, carried.troubles)
                except (StoreError, MissingDependencyError):
                    raise
                except (SimpleMLError, ImportError) as error:
                    reasons.append(f"{old} by {pattern}: {error}")
                    continue
                carried.filepaths[name] = stored
                carried.described[name] = described
                break
            else:
                carried.troubles += reasons or [f"{old}: the record names no file for it"]
        return carried

    def _one(self, pattern: str, where: object, troubles: list[str]) -> tuple[dict[str, Reference], dict[str, Any]]:
        path = self.source.file(where)
        form = pattern.rpartition("_")[2]
        reader = _READERS.get(form) if pattern.startswith(("pandas_", "dask_")) else None
        if reader is not None:
            return self._value(_read(reader, path))
        if path.is_dir():
            raise LegacyError(
                f"{path.name} is a folder written by {pattern!r}: load it with SimpleML 0.14 and save it here"
            )
        if form == "pickled" and self.unpickle:
            try:
                return self._value(_unpickled(path))
            except (SerializationError, HashingError, ImportError) as error:
                troubles.append(f"{path.name} could not be read, so its bytes were copied as they are: {error}")
        return self._copied(path, "pickled" if form == "pickled" else "bytes")

    def _value(self, value: object) -> tuple[dict[str, Reference], dict[str, Any]]:
        """Save what was read as any other value is saved."""
        pattern = choose_pattern(value)
        described = {"type": f"{type(value).__module__}.{type(value).__qualname__}", "hash": hash_value(value)}
        return {pattern: find_pattern(pattern).save(value, self.places)}, described

    def _copied(self, path: Path, pattern: str) -> tuple[dict[str, Reference], dict[str, Any]]:
        """Copy the bytes as they are; their digest stands for what nobody has read."""
        reader: Any = find_pattern(pattern)
        copier = ObjectPattern(pattern, _Copy(reader.serializer.name, executes=reader.serializer.executes), self.store)
        reference = copier.save(path, self.places)
        return {pattern: reference}, {
            "type": "unread",
            "hash": hash_value({"digest": reference["digest"]}),
            UNREAD: True,
        }


@dataclass(frozen=True, slots=True)
class _Copy:
    """Writes a file as it is, in the place of the serializer that will read it."""

    name: str
    format: int = 1
    executes: bool = False

    def accepts(self, value: object) -> bool:
        return isinstance(value, Path)

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        with Path(str(value)).open("rb") as file:
            shutil.copyfileobj(file, stream, _CHUNK)
        return {}

    def load(self, data: object, *, format: int, details: Mapping[str, JSON]) -> object:
        raise LegacyError(f"{self.name!r} reads what was copied, not this")


def _unpickled(path: Path) -> object:
    """Return what an old pickle holds; its estimators cannot tell the version of scikit-learn, for they were wrapped."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to unpickle estimator")
        return unpickle_renamed(path.read_bytes(), native_class)


def _read(reader: Callable[[Path], Any], path: Path) -> Any:
    _pandas()
    try:
        return reader(path)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise LegacyError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from error


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("old data frames need pandas: pip install 'simpleml[pandas]'") from error
    return pd


def _indexed(frame: Any) -> Any:
    if _INDEX not in frame.columns:
        return frame
    indexed = frame.set_index(_INDEX)
    indexed.index.name = None
    return indexed


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _parquet(path: Path) -> Any:
    return _pandas().read_parquet(path)


def _csv(path: Path) -> Any:
    pd = _pandas()
    return _indexed(pd.concat([pd.read_csv(file) for file in _files(path)]))


def _jsonl(path: Path) -> Any:
    pd = _pandas()
    rows = [json.loads(line) for file in _files(path) for line in file.read_text("utf-8").splitlines() if line.strip()]
    return _indexed(pd.DataFrame.from_records(rows))


_READERS: Final[Mapping[str, Callable[[Path], Any]]] = {"parquet": _parquet, "csv": _csv, "json": _jsonl}
