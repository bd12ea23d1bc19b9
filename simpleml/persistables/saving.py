"""From an object to a row, and what may still change once the row is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from simpleml import encoding
from simpleml.errors import (
    EncodingError,
    HashingError,
    ImmutableVersionError,
    LineageError,
    SavePatternError,
    UnsavedReferenceError,
)
from simpleml.hashing import hash_value
from simpleml.persistables.artifact import UNREAD, undeclared
from simpleml.persistables.changes import Changes, is_same
from simpleml.persistables.classes import HINT, RECORDED
from simpleml.persistables.display import one_line
from simpleml.persistables.environment import PYTHON, library_versions, platform_name, recorded_for
from simpleml.persistables.identity import (
    checked_description,
    checked_id,
    checked_mapping,
    checked_text,
    checked_version,
    copied,
)
from simpleml.persistables.ports import Committed, Database, Draft, Origin, Parent, Row, keys_in
from simpleml.persistables.storing import retold, store
from simpleml.registries import class_path
from simpleml.types import Filepaths, Metadata, Reference

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

P = TypeVar("P", bound="Persistable")

_CHANGED_BY_SAVING = ("hash_", "project", "author", "metadata_", "filepaths", "_origin", "_assigned")


def insert(owner: Persistable, database: Database) -> None:
    """Store the artifacts of `owner` and commit its record as a new version; on any error `owner` is as it was."""
    before = {field: owner.__dict__[field] for field in _CHANGED_BY_SAVING}

    def abandoned() -> None:
        owner.__dict__.update(before)

    try:
        draft = _draft(owner, database)
        database.insert(draft)
    except BaseException:
        abandoned()
        raise
    database.on_rollback(abandoned)


def _draft(owner: Persistable, database: Database) -> Draft:
    """Return the record of `owner`, whose bytes are durable; `owner` is pending from now on."""
    _check_identity(owner, database)
    _check_declared(owner)
    parents = _parents(owner, database)
    filepaths = {name: store(owner, name, database) for name in _present(owner)}
    with hashing_once(owner):
        row = _row(owner, filepaths)

    def renew(lost: frozenset[str]) -> Row:
        for name, patterns in row["filepaths"].items():
            if any(lost.intersection(keys_in(reference)) for reference in patterns.values()):
                again = store(owner, name, database, reuse=False)
                _check_renewal(owner, name, patterns, again)
                row["filepaths"] = {**row["filepaths"], name: again}
        return row

    def committed(result: Committed) -> None:
        if owner.id != row["id"]:  # deleted again in the same transaction
            return
        owner.version = result.version
        owner.created_timestamp = owner.modified_timestamp = result.created
        owner.filepaths = row["filepaths"]
        origin.facts = {**origin.facts, "version": result.version}
        origin.pending = False

    owner.hash_, owner.filepaths, owner._assigned = row["hash_"], filepaths, frozenset()
    # As it is now: it may be changed before the commit.
    owner._origin = origin = origin_of(owner, database, row["metadata_"])
    origin.pending = True
    return Draft(owner.kind, row, parents, renew, committed)


def update(owner: Persistable, origin: Origin) -> None:
    """Save what this object changed of the state, the metadata and the description of a saved version, if nothing else did.

    It is merged key by key into what the record holds by then; of one key that several changed, the later value stays.
    """
    _check_metadata(owner)
    owner.metadata_.update(copied({key: origin.metadata[key] for key in RECORDED if key in origin.metadata}))
    with hashing_once(owner):
        changed = _changes(owner, origin)
    if changed:
        raise ImmutableVersionError(
            f"{one_line(owner)} is saved, and a saved version cannot change: {', '.join(changed)} changed since. Save it as the "
            "next version instead: x = x.new_version(); x.save()"
        )
    now, held = datetime.now(UTC), _snapshot(owner, "metadata_", owner.metadata_)
    changes = Changes.between(origin.metadata, held)
    values: Row = {} if origin.pending else {"modified_timestamp": now}  # the commit says when it was created
    if owner.version_description != origin.description:
        values["version_description"] = checked_description(owner.version_description)

    def merged(there: Metadata) -> Row:
        return {**values, "metadata_": changes.onto(there)}

    origin.database.revise(owner.kind, origin.id, merged)
    before = origin.metadata, origin.description, owner.modified_timestamp

    def abandoned() -> None:
        origin.metadata, origin.description, owner.modified_timestamp = before

    origin.database.on_rollback(abandoned)
    origin.metadata, origin.description, owner.modified_timestamp = held, owner.version_description, now


def copy(owner: P) -> P:
    """Return an unsaved object with the same config, state, artifacts and lineage, and an id of its own.

    The values of artifacts and the objects of its lineage are the same objects.
    """
    for role in owner._lineage_declared:
        owner._parent_id(role)  # edges that have not been asked for yet are fetched while the record is known
    made: P = type(owner).__new__(type(owner))
    made.__dict__.update(owner.__dict__)
    made.metadata_ = copied(owner.metadata_)
    for field in ("_values", "_patterns", "_parents", "_parent_ids", "filepaths"):
        setattr(made, field, dict(getattr(owner, field)))
    _forget(made)
    return made


def delete(owner: Persistable) -> None:
    """Delete the record of `owner`, which becomes an unsaved object again."""
    if owner._origin is None:
        raise LineageError(f"{one_line(owner)} is not saved, so there is nothing to delete")
    origin, before = owner._origin, dict(owner.__dict__)
    origin.database.delete(owner.kind, origin.id)
    _forget(owner)
    origin.database.on_rollback(lambda: owner.__dict__.update(before))


def _forget(owner: Persistable) -> None:
    """Make `owner` an unsaved object; artifacts that were not read stay where they are."""
    if owner._origin is not None:
        owner._inherit = owner._origin.database
    owner.id = uuid4()
    owner.version = owner.hash_ = owner.created_timestamp = owner.modified_timestamp = owner._origin = None


def identity_artifacts(owner: Persistable) -> list[str]:
    """Return the artifacts that are part of the identity of `owner` and have a value."""
    return [name for name in _present(owner) if owner._artifacts_declared[name].identity]


def artifact_hash(owner: Persistable, name: str) -> str:
    """Return the content hash of an artifact; of one that was stored and never read, the recorded one."""
    known = owner.metadata_.get("artifacts", {}).get(name, {})
    if name not in owner._values or (known.get(UNREAD) and name not in owner._assigned):
        recorded = known.get("hash")
        if isinstance(recorded, str):
            return recorded
    if owner._hashes is not None and name in owner._hashes:
        return owner._hashes[name]
    try:
        found = hash_value(owner.get_artifact(name))
    except HashingError as error:
        raise HashingError(
            f"artifact {name!r} of {one_line(owner)} has no stable hash: {error} An artifact that need not count for the identity "
            f"is declared with Artifact(identity=False)."
        ) from error
    if owner._hashes is not None:
        owner._hashes[name] = found
    return found


@contextmanager
def hashing_once(owner: Persistable) -> Iterator[None]:
    """Keep the content hash of each artifact while one save is under way: hashing is most of its work."""
    if owner._hashes is not None:  # inside another such block
        yield
        return
    owner._hashes = {}
    try:
        yield
    finally:
        owner._hashes = None


def _present(owner: Persistable) -> list[str]:
    return [name for name in owner._artifacts_declared if owner.has_artifact(name)]


def _check_identity(owner: Persistable, database: Database) -> None:
    if owner.project is None:
        owner.project = database.settings.project
    if owner.author is None:
        owner.author = database.settings.author
    for field in ("name", "project", "author", "registered_name"):
        checked_text(field, getattr(owner, field))
    owner.id = checked_id(owner.id)
    if owner.version is not None:
        checked_version(owner.version)
    checked_description(owner.version_description)
    _check_metadata(owner)


def _check_metadata(owner: Persistable) -> None:
    """Refuse metadata that became something else than a mapping with a config and a state."""
    metadata = checked_mapping("metadata_", owner.metadata_)
    for part in ("config", "state"):
        checked_mapping(part, metadata.get(part))


def _check_declared(owner: Persistable) -> None:
    """Refuse a new version of what was saved with artifacts that its class has no name for any more: they would be lost."""
    if others := undeclared(owner, owner.filepaths):
        raise SavePatternError(
            f"{one_line(owner)} would lose artifacts: {others}. Declare the old ones again, or take each away: "
            "x.forget_artifact('OLD NAME'), where it was renamed after x.new_name = x.get_artifact('OLD NAME')"
        )


def _parents(owner: Persistable, database: Database) -> tuple[Parent, ...]:
    """Return the edges to what `owner` is made from, all of which must be saved in the same database."""
    edges = []
    for role, declared in owner._lineage_declared.items():
        held, id_ = owner._parents.get(role), owner._parent_id(role)
        if id_ is None:
            continue
        if held is not None:
            id_ = owner._parent_ids[role] = held.id
            if held._origin is None:
                raise UnsavedReferenceError(
                    f"{one_line(owner)} is made from {one_line(held)} ({role}), which is not saved: save that first"
                )
            if held._origin.database.ledger_id != database.ledger_id:
                raise UnsavedReferenceError(
                    f"{one_line(owner)} is made from {one_line(held)} ({role}), which is saved in another database"
                )
        edges.append(Parent(role, declared.kind, id_))
    return tuple(edges)


def _check_renewal(owner: Persistable, name: str, old: dict[str, Reference], new: dict[str, Reference]) -> None:
    """Refuse to commit bytes that another state of the object made than the one that was saved."""
    changed = {pattern for pattern in old if old[pattern]["digest"] != new.get(pattern, old[pattern])["digest"]}
    if changed and artifact_hash(owner, name) != owner.metadata_["artifacts"][name]["hash"]:
        raise ImmutableVersionError(
            f"artifact {name!r} of {one_line(owner)} was changed between save() and the end of the transaction: save it after the change"
        )


def _row(owner: Persistable, filepaths: Filepaths) -> Row:
    """Return the values of the new record."""
    stored = packages_of(patterns for name, patterns in filepaths.items() if name in owner._values)
    carried = packages_of(patterns for name, patterns in filepaths.items() if name not in owner._values)
    metadata = {
        **owner.metadata_,
        "artifacts": {name: _described(owner, name) for name in filepaths},
        "library_versions": {**library_versions(stored), **recorded_for(carried, owner.library_versions)},
        "platform": platform_name(),
    }
    hint = class_path(type(owner))
    metadata.pop(HINT, None)
    if hint is not None:
        metadata[HINT] = hint
    owner.metadata_ = metadata
    row = owner.as_row()
    row.update(hash_=owner._hash(), filepaths=filepaths, has_external_files=bool(filepaths))
    for field in ("metadata_", *owner.record_fields):
        row[field] = _snapshot(owner, field, row[field])
    return row


def _snapshot(owner: Persistable, field: str, value: Any) -> Any:
    """Return what the record holds of a container, as it is now: the object may be changed before the row is written.

    Raises `EncodingError`, which says where in it, for what JSON cannot hold.
    """
    if not isinstance(value, dict | list):
        return value
    name = field.removesuffix("_")
    try:
        return encoding.decode(encoding.encode(value, name=name), name=name)
    except EncodingError as error:
        raise retold(error, f"{one_line(owner)} cannot be saved: ") from error


def _described(owner: Persistable, name: str) -> dict[str, Any]:
    """Return what the metadata says of an artifact: its content hash, with which a later save finds changes, and its type."""
    if name not in owner._values:
        known: dict[str, Any] = owner.metadata_.get("artifacts", {}).get(name, {})
        return known
    value = owner._values[name]
    described: dict[str, Any] = {"type": f"{type(value).__module__}.{type(value).__qualname__}"}
    if name in owner._patterns:
        described["save_patterns"] = list(owner._patterns[name])
    try:
        described["hash"] = artifact_hash(owner, name)
    except HashingError:
        if owner._artifacts_declared[name].identity:
            raise
    return described


def packages_of(stored: Iterable[dict[str, Reference]]) -> set[str]:
    """Return the top-level packages that reading these references imports, and `PYTHON` if any of them runs code."""
    found: set[str] = set()
    for patterns in stored:
        for reference in patterns.values():
            details = reference.get("details") if type(reference) is dict else None  # a record may have been edited
            packages = details.get("packages") if isinstance(details, dict) else None
            if isinstance(packages, list):
                found.add(PYTHON)
                found.update(package for package in packages if isinstance(package, str))
    return found


def origin_of(owner: Persistable, database: Database, metadata: Metadata) -> Origin:
    """Return what the database holds of `owner`, which was just saved or restored; `metadata` must be shared with nobody."""
    return Origin(database, owner.id, str(owner.hash_), _facts(owner), metadata, owner.version_description)


def _facts(owner: Persistable) -> dict[str, object]:
    """Return what a version stands for besides its hash and its artifacts."""
    return {
        **{field: getattr(owner, field) for field in ("id", "name", "project", "author", "version")},
        **{field: copied(getattr(owner, field)) for field in owner.record_fields},
        **owner._parent_ids,
    }


def _changes(owner: Persistable, origin: Origin) -> list[str]:
    """Name everything that differs from the saved version, as far as a version stands for it."""
    facts = {**_facts(owner), **{role: held.id for role, held in owner._parents.items() if held is not None}}
    changed = [name for name, then in origin.facts.items() if not is_same(facts.get(name), then)]
    recorded = origin.metadata.get("artifacts", {})
    for name in owner._artifacts_declared:
        known = recorded.get(name, {})
        wanted = owner._patterns.get(name, ())
        if wanted and name in owner.filepaths and wanted != tuple(owner.filepaths[name]):
            changed.append(f"the save patterns of artifact {name!r}")
        if name not in owner._values:
            changed += [f"artifact {name!r}"] if name in recorded and name not in owner.filepaths else []
            continue
        now = artifact_hash(owner, name) if known.get("hash") is not None else None
        hashless = known.get("hash") is None and name in owner._assigned
        if name not in owner.filepaths or hashless or now != known.get("hash"):
            changed.append(f"artifact {name!r}")
    if not changed and owner._hash() != origin.hash_:
        others = undeclared(owner, recorded)
        changed.append(f"the class ({others})" if others else "the config or the lineage")
    return changed
