"""`Persistable`: the native object whose identity, config and fitted artifacts can be saved and brought back."""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID, uuid4

from simpleml.errors import ArtifactUnsetError, IdentityError, SavePatternError, known_names
from simpleml.hashing import hash_value, register_hasher
from simpleml.persistables import loading, saving
from simpleml.persistables.artifact import Artifact, declared_name, pattern_tuple
from simpleml.persistables.classes import RECORDED, PersistableMeta, classes
from simpleml.persistables.display import html_table, one_line
from simpleml.persistables.identity import (
    checked_description,
    checked_id,
    checked_mapping,
    checked_text,
    checked_version,
    copied,
)
from simpleml.persistables.labelled import Labelled
from simpleml.persistables.lineage import Lineage
from simpleml.persistables.ports import Row, current_database
from simpleml.persistables.query import Query
from simpleml.persistables.related import Related
from simpleml.registries import class_path
from simpleml.save_patterns.catalogue import find_pattern
from simpleml.types import Filepaths, Metadata

_IDENTITY = (
    "id",
    "name",
    "project",
    "author",
    "version",
    "version_description",
    "metadata_",
    "config",
    "state",
    "save_patterns",
)

P = TypeVar("P", bound="Persistable")


class Persistable(Labelled, Related, metaclass=PersistableMeta):
    """An object with a name and versions, whose artifacts are saved with it and come back on first use.

    Subclass it, declare what is fitted with `Artifact` and what it is made from with `Lineage`, keep parameters in
    `config` (part of the identity, hashed) and observations in `state` (not hashed), and call `save()`. A saved version is
    immutable but for its state, its metadata and its description. Not safe for use by several threads at once.
    """

    kind: ClassVar[str] = "persistable"
    """Which table holds the records; a subclass that brings its own mapped class names it here."""

    registered_name: ClassVar[str] = "Persistable"
    """The name under which records find the class again; its `__name__` unless it says otherwise."""

    record_fields: ClassVar[tuple[str, ...]] = ()
    """Attributes that the kind's own mapped class stores in columns of their own."""

    _artifacts_declared: ClassVar[Mapping[str, Artifact[Any]]] = {}

    id: UUID
    name: str
    project: str | None  # None until the first save: then that of the settings
    author: str | None
    version: int | None
    version_description: str
    metadata_: Metadata
    hash_: str | None
    filepaths: Filepaths
    created_timestamp: datetime | None
    modified_timestamp: datetime | None
    _values: dict[str, Any]  # of artifacts that were set or read
    _patterns: dict[str, tuple[str, ...]]
    _hashes: dict[str, str] | None  # of artifacts, while a save is under way
    _assigned: frozenset[str]  # artifacts that were set since the last save
    _environment_checked: bool

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "registered_name" not in cls.__dict__:
            cls.registered_name = cls.__name__
        checked_text("registered_name", cls.registered_name)
        members = {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}
        cls._artifacts_declared = {name: value for name, value in members.items() if isinstance(value, Artifact)}
        cls._lineage_declared = {name: value for name, value in members.items() if isinstance(value, Lineage)}
        for name in (*cls._artifacts_declared, *cls._lineage_declared):
            annotated = name in Persistable.__annotations__ or name in Related.__annotations__
            if annotated or hasattr(Persistable, name):
                raise IdentityError(
                    f"{cls.__name__}.{name} cannot be an artifact or a lineage: every persistable has a {name!r} of its own; "
                    "choose another name"
                )
        classes.register(cls.registered_name, cls)

    def __init__(
        self,
        *,
        name: str = "default",
        project: str | None = None,
        author: str | None = None,
        version: int | None = None,
        version_description: str = "",
        id: UUID | str | None = None,
        metadata_: Metadata | None = None,
        config: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        save_patterns: Mapping[str, Sequence[str] | str] | None = None,
        **members: Any,
    ) -> None:
        self._start(checked_id(id) if id is not None else uuid4())
        self.name = checked_text("name", name)
        self.project = checked_text("project", project) if project is not None else None
        self.author = checked_text("author", author) if author is not None else None
        self.version = checked_version(version) if version is not None else None
        self.version_description = checked_description(version_description) or ""
        self.metadata_ = checked_mapping("metadata_", metadata_)
        for key in RECORDED:
            if key in self.metadata_:
                raise IdentityError(
                    f"metadata_[{key!r}] is written by saving; choose another key than {', '.join(RECORDED)}"
                )
        for part, given in (("config", config), ("state", state)):
            kept = checked_mapping(f"metadata_[{part!r}]", self.metadata_.get(part))
            self.metadata_[part] = {**kept, **checked_mapping(part, given)}
        example = "{'data': ['disk_pickled']}"
        for artifact, patterns in checked_mapping("save_patterns", save_patterns, example).items():
            self.set_save_patterns(artifact, patterns)
        for patterns in self.save_patterns.values():
            for pattern in patterns:
                find_pattern(pattern)
        self._take_members(members)

    def _start(self, id_: UUID) -> None:
        """Set what every instance has, however it comes to be."""
        self.id = id_
        self.name = "default"
        self.project = self.author = self.version = self.hash_ = None
        self.version_description = ""
        self.metadata_, self.filepaths = {}, {}
        self.created_timestamp = self.modified_timestamp = None
        self._values, self._patterns = {}, {}
        self._parents, self._parent_ids = {}, {}
        self._origin = self._inherit = None
        self._hashes, self._assigned = None, frozenset()
        self._environment_checked = self._mapped = False

    def _take_members(self, members: Mapping[str, Any]) -> None:
        """Set artifacts and lineage that were given as keywords; every other keyword is a mistake."""
        for key, value in members.items():
            role = key.removesuffix("_id")
            if key in self._artifacts_declared or key in self._lineage_declared:
                setattr(self, key, value)
            elif key.endswith("_id") and role in self._lineage_declared:
                self._lineage_declared[role].set_id(self, value)
            else:
                known = [*_IDENTITY, *self._artifacts_declared, *self._lineage_declared]
                raise IdentityError(
                    f"{type(self).__name__} takes no keyword {key!r}; {known_names(known, near=key)}. Parameters of your own "
                    "belong in config={…}, or in the __init__ of your class."
                )

    def __post_init__(self) -> None:
        """Run after construction; a hook for subclasses."""

    def __post_restore__(self) -> None:
        """Run after an object was restored from its record, before any artifact is loaded; a hook for subclasses."""

    # identity

    @property
    def config(self) -> dict[str, Any]:
        """What makes it this object: parameters, part of `hash_`."""
        config: dict[str, Any] = self.metadata_.setdefault("config", {})
        return config

    @property
    def state(self) -> dict[str, Any]:
        """What happened to it: not part of `hash_`, may be saved again."""
        state: dict[str, Any] = self.metadata_.setdefault("state", {})
        return state

    @property
    def library_versions(self) -> dict[str, str]:
        """The versions of Python and of the libraries its artifacts need, as recorded when it was saved."""
        versions: dict[str, str] = self.metadata_.get("library_versions", {})
        return versions

    @property
    def has_external_files(self) -> bool:
        """Whether any artifact was stored."""
        return bool(self.filepaths)

    @property
    def save_patterns(self) -> dict[str, tuple[str, ...]]:
        """The save patterns of each artifact, in order; empty: the type of the value chooses."""
        return {
            name: self._patterns.get(name, artifact.save_patterns)
            for name, artifact in self._artifacts_declared.items()
        }

    def set_save_patterns(self, artifact: str, patterns: Sequence[str] | str) -> None:
        """Choose the save patterns of one artifact of this object; unknown names are refused at once."""
        artifact = declared_name(self._artifacts_declared, artifact)
        if artifact not in self._artifacts_declared:
            raise SavePatternError(
                f"{type(self).__name__} has no artifact {artifact!r}; {known_names(self._artifacts_declared, near=artifact)}"
            )
        chosen = pattern_tuple(patterns)
        for pattern in chosen:
            find_pattern(pattern)
        self._patterns[artifact] = chosen

    def _hash(self) -> str:
        """Return the content hash: class, config, inputs by their hash, and artifacts that are part of the identity.

        A subclass whose artifacts follow from its config and inputs declares them with `identity=False`.
        """
        return hash_value(
            {
                "class": self.registered_name,
                "config": self.config,
                "lineage": {role: hash_ for role in self._lineage_declared if (hash_ := self._parent_hash(role))},
                "artifacts": {name: saving.artifact_hash(self, name) for name in saving.identity_artifacts(self)},
            }
        )

    # artifacts

    def get_artifact(self, name: str) -> Any:
        """Return the value of an artifact, loading it if it was saved and not read yet; also one that the class declared once."""
        if name in self._values:
            return self._values[name]
        value = loading.load_artifact(self, name)
        self._values[name] = value
        return value

    def restore_artifact(self, name: str, value: object) -> None:
        """Set the value of an artifact without checking its type; what assigning does after the check."""
        self._values[name] = value
        self._assigned |= {name}

    def forget_artifact(self, name: str) -> None:
        """Take the value of an artifact away; what `del` does. One that was stored is not loaded again."""
        if not self.has_artifact(name):
            raise ArtifactUnsetError(f"the artifact {name!r} of {one_line(self)} was never set")
        self._values.pop(name, None)
        self.filepaths = {kept: patterns for kept, patterns in self.filepaths.items() if kept != name}

    def has_artifact(self, name: str) -> bool:
        """Whether an artifact has a value, loaded or stored."""
        return name in self._values or name in self.filepaths

    def load_external_files(self, artifact_name: str | None = None) -> None:
        """Load every stored artifact, or one, now instead of on first use."""
        for name in [artifact_name] if artifact_name else self._artifacts_declared:
            if artifact_name or name in self.filepaths:
                self.get_artifact(name)

    # saving

    def save(self) -> Self:
        """Save a new version, or the state and metadata of a saved one; bytes first, then one row.

        When it returns, the version is durable and visible to everybody (inside `transaction()`: when that ends). Raises
        `ImmutableVersionError` if a saved version was changed, and leaves everything as it was on any error.
        """
        if self._origin is None:
            saving.insert(self, current_database())
        else:
            saving.update(self, self._origin)
        return self

    def new_version(self) -> Self:
        """Return an unsaved copy, whose `save()` makes the next version; artifacts that were not read are not read for it.

        The values of those that were are shared: `x = x.new_version()` is the usual way.
        """
        return saving.copy(self)

    def delete(self) -> None:
        """Delete this version; its number is never used again, its bytes go when nothing refers to them any more.

        Raises `ReferencedError`, which lists them, if others were made from it, or aliases point to it.
        """
        saving.delete(self)

    @property
    def is_saved(self) -> bool:
        """Whether the database has this version (or will, when the transaction ends)."""
        return self._origin is not None

    # loading

    @classmethod
    def load(
        cls,
        name: str | None = None,
        *,
        version: int | None = None,
        id: UUID | str | None = None,
        alias: str | None = None,
        mmap: bool = False,
        **filters: object,
    ) -> Self:
        """Return the saved object of this name (its latest version unless `version` or `alias` is given), or with this id.

        It is of the most specific class of its record; further columns narrow the choice (`project="crm"`), and so does what
        it is made from (`model=model`). Where versions are counted for each of these too, as those of metrics are, the newest
        of the latest is returned, and a `version` or `alias` that several have is an `IdentityError`. Artifacts are loaded when they are first read; with `mmap` their big buffers are then pages of the stored file, copied when they are
        written to. Raises `RecordNotFoundError`, which lists what there is, or `WrongClassError`.
        """
        return loading.load(cls, name=name, version=version, id=id, alias=alias, mmap=mmap, filters=filters)

    @classmethod
    def versions(cls, name: str, **filters: object) -> list[int]:
        """Return the versions of this name that there are, oldest first; of one model: `versions("accuracy", model=model)`."""
        return loading.versions(cls, name, filters)

    @classmethod
    def query(cls, **filters: object) -> Query[Self]:
        """Return the saved objects of this class that match, as a lazy query: `query(name__like="ch%").order_by("-version")`."""
        return Query(cls, filters)

    # records

    def to_dict(self) -> Row:
        """Return what the record holds, under the names of its mapped attributes; a copy, inner containers included."""
        return {name: copied(value) for name, value in self.as_row().items()}

    def as_row(self) -> Row:
        """Return what the record holds, under the names of its mapped attributes; the object's own containers."""
        return {
            "id": self.id,
            "hash_": self.hash_,
            "registered_name": self.registered_name,
            "author": self.author,
            "project": self.project,
            "name": self.name,
            "version": self.version,
            "version_description": self.version_description,
            "has_external_files": self.has_external_files,
            "filepaths": self.filepaths,
            "metadata_": self.metadata_,
            "created_timestamp": self.created_timestamp,
            "modified_timestamp": self.modified_timestamp,
            **{field_: getattr(self, field_) for field_ in self.record_fields},
            **{f"{role}_id": self._parent_ids.get(role) for role in self._lineage_declared},
        }

    @classmethod
    def from_dict(cls, **row: Any) -> Self:
        """Return the object that a record stands for, without calling `__init__`; artifacts stay where they are until read."""
        return loading.restore(cls, row)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a reference if saved there, by value otherwise."""
        cls = type(self)
        if self._origin is None or self._origin.pending:
            return copyreg.__newobj__, (cls,), {**self.__dict__, "_origin": None, "_inherit": None}  # type: ignore[attr-defined]
        # A class that cannot be imported there travels along.
        return loading.load_by_reference, (self.kind, str(self._origin.id), None if class_path(cls) else cls)

    def __copy__(self) -> Self:
        """Return an unsaved copy, as `new_version` does."""
        return saving.copy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return an unsaved copy whose artifacts that were set or read are copied too."""
        made = saving.copy(self)
        made._values = copy.deepcopy(made._values, memo)
        return made

    def __repr__(self) -> str:
        return one_line(self)

    def _repr_html_(self) -> str:
        return html_table(self)


classes.register(Persistable.registered_name, Persistable)
register_hasher(Persistable, lambda owner: ("persistable", owner.hash_ or owner._hash()))
