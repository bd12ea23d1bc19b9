"""Old rows as ours: identity, config and state under our names, the rest kept where it can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simpleml.adapters.legacy.artifacts import Carried
from simpleml.adapters.legacy.source import OldRecord
from simpleml.encoding.faults import short
from simpleml.errors import LegacyError, TrainingError
from simpleml.hashing import hash_value
from simpleml.jobs.classes import find
from simpleml.persistables.classes import HINT, RECORDED
from simpleml.persistables.identity import checked_description, checked_mapping, checked_text
from simpleml.persistables.ports import Parent, Row
from simpleml.registries import class_path

LEGACY: Final = "legacy"
"""The key of the metadata under which an imported record keeps what it was in SimpleML."""

_SOURCE = ("filepath", "format", "reader_params")
_SIZES = ("train_size", "validation_size", "test_size", "random_state", "shuffle")
_OURS = ("config", "state", *RECORDED)
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "dataset": (),
    "pipeline": ("params",),
    "model": ("params", "feature_metadata"),
    "metric": ("values",),
}


def check(record: OldRecord) -> None:
    """Raise `IdentityError` or `LegacyError` for what no record of ours can be, however a database of SQLite took it."""
    columns = record.columns
    for name in ("name", "registered_name"):
        checked_text(name, columns[name])
    for name in ("author", "project"):
        checked_text(name, columns.get(name) or "default")
    checked_description(columns.get("version_description"))
    version: object = columns["version"]
    if not isinstance(version, int):
        raise LegacyError(f"its version is {short(version)}, and no whole number")
    metadata = checked_mapping("metadata", columns.get("metadata"))
    for name in ("config", "state", "library_versions"):
        checked_mapping(name, metadata.get(name))
    for name in ("params", "feature_metadata"):
        checked_mapping(name, columns.get(name))
    if record.kind == "metric" and columns.get("values") is None:
        raise LegacyError("it has no values, and a metric without them says nothing")


def row_of(record: OldRecord, carried: Carried, parents: tuple[Parent, ...], hashes: Mapping[str, str]) -> Row:
    """Return the values of our record; its content hash covers config, lineage (`hashes` by role) and artifacts anew."""
    columns = record.columns
    name, path = _class_of(record)
    metadata = _metadata(record, carried)
    if path is not None:
        metadata[HINT] = path
    identity = {name: one["hash"] for name, one in carried.described.items() if name == "dataframe"}
    content = {
        "class": name,
        "config": metadata["config"],
        "lineage": dict(hashes),
        "artifacts": identity,
    }
    return {
        "id": record.id,
        "hash_": hash_value(content),
        "registered_name": name,
        "author": columns.get("author") or "default",
        "project": columns.get("project") or "default",
        "name": columns["name"],
        "version": columns["version"] if 1 <= columns["version"] < 2**31 else None,
        "version_description": columns.get("version_description") or "",
        "has_external_files": bool(carried.filepaths),
        "filepaths": carried.filepaths,
        "metadata_": metadata,
        **{field: columns.get(field) for field in _FIELDS[record.kind]},
        **{f"{parent.role}_id": parent.id for parent in parents},
    }


def _class_of(record: OldRecord) -> tuple[str, str | None]:
    """Return the registered name and the path of the class that restores it; of a class of the user's, its old name alone."""
    name: str = record.columns["registered_name"]
    try:
        found = find(record.kind, name)
    except TrainingError:
        return name, None
    return found.registered_name, class_path(found)


def _metadata(record: OldRecord, carried: Carried) -> dict[str, Any]:
    old = record.columns.get("metadata") or {}
    config, state = dict(old.get("config") or {}), dict(old.get("state") or {})
    state.pop("save_patterns", None)
    source = {key: config.pop(key) for key in _SOURCE if key in config}
    if source:
        state["source"] = source
    if record.kind == "pipeline":
        if "train_size" in config:
            config["split"] = {"kind": "random", **{key: config.pop(key) for key in _SIZES if key in config}}
        if carried.filepaths:  # SimpleML stores none for a pipeline without steps
            steps = old.get("transformers")
            known = isinstance(steps, list) and steps and all(isinstance(step, list) for step in steps)
            config["steps"] = steps if known else [["unread", "unknown"]]
    return {
        **{key: value for key, value in old.items() if key not in _OURS},
        "config": config,
        "state": state,
        "artifacts": carried.described,
        "library_versions": dict(old.get("library_versions") or {}),
        LEGACY: {
            "hash": str(record.columns["hash"]),
            "registered_name": record.columns["registered_name"],
            "version": record.columns["version"],
            "filepaths": record.columns.get("filepaths") or {},
            "created": record.columns.get("created_timestamp"),
            "modified": record.columns.get("modified_timestamp"),
        },
    }
