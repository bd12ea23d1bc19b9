"""`ORMPersistable`, the abstract base of mapped persistables, and the record of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from sqlalchemy import (
    Boolean,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    Uuid,
    inspect,
    select,
)
from sqlalchemy.orm import Mapped, declared_attr, make_transient_to_detached, mapped_column, validates

from simpleml.errors import (
    ArtifactMissingError,
    IdentityError,
    ImmutableVersionError,
    LineageError,
    UnknownNameError,
    known_names,
)
from simpleml.migrations import TABLES
from simpleml.orm.blobs import BlobsLost, refer_anew
from simpleml.orm.home import Home
from simpleml.orm.record import Record, refuse_uncommitted
from simpleml.orm.selection import remembering
from simpleml.orm.types import IdentityText, UTCDateTime, mutable_json
from simpleml.persistables import Persistable
from simpleml.persistables.identity import checked_description, checked_id, checked_text, checked_version
from simpleml.persistables.loading import from_row
from simpleml.persistables.ports import Committed, keys_of
from simpleml.registries import Registry

_FIXED = ("name", "version", "hash_", "registered_name")  # what a version stands for

records: Registry[type[ORMPersistable]] = Registry("kind of record", entry_points="simpleml.kinds")
"""The mapped class of each kind."""


_COUNTED = ("version", "created_timestamp", "modified_timestamp")  # the commit decides


def _now() -> datetime:
    return datetime.now(UTC)


class ORMPersistable(Record):
    """One saved version: its identity, what it was made with, and where its artifacts are.

    Abstract; a concrete subclass names its table and its `kind`. `(name, version)` is unique within a kind.
    """

    __abstract__ = True

    kind: ClassVar[str]
    scope: ClassVar[str | None] = None
    """A column within whose values versions are counted, besides the name (a metric's model)."""

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4, sort_order=-20)
    hash_: Mapped[str] = mapped_column("hash", String(128), sort_order=-19)
    registered_name: Mapped[str] = mapped_column(IdentityText(), sort_order=-18)
    author: Mapped[str] = mapped_column(IdentityText(), default="default", sort_order=-17)
    project: Mapped[str] = mapped_column(IdentityText(), default="default", sort_order=-16)
    name: Mapped[str] = mapped_column(IdentityText(), sort_order=-15)
    version: Mapped[int] = mapped_column(Integer, sort_order=-14)
    version_description: Mapped[str | None] = mapped_column(Text, sort_order=-13)
    has_external_files: Mapped[bool] = mapped_column(Boolean, default=False, sort_order=-12)
    filepaths: Mapped[dict[str, Any] | None] = mapped_column(mutable_json(), sort_order=-11)
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", mutable_json(), sort_order=-10)
    created_timestamp: Mapped[datetime] = mapped_column(UTCDateTime, default=_now, sort_order=-9)
    modified_timestamp: Mapped[datetime] = mapped_column(UTCDateTime, default=_now, onupdate=_now, sort_order=-8)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        unique = ("name", cls.scope, "version") if cls.scope else ("name", "version")
        return (
            UniqueConstraint(*unique),
            Index(None, "hash"),
            Index(None, "project"),
            Index(None, "created_timestamp"),
        )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.__dict__.get("__abstract__", False):
            records.register(cls.kind, cls)

    @classmethod
    def database(cls) -> Home:
        """Return the database that the verbs work on: the current one, which has the table of this kind from now on."""
        found = super().database()
        found.table_of(cls.kind)
        return found

    @classmethod
    def save_record(cls, id: UUID | str, **values: Any) -> None:
        """Insert the record with this id, or update it if it is there; names that are no columns are left out."""
        key = checked_id(id)
        database = cls.database()
        record = cls(**{name: value for name, value in values.items() if name in cls.__mapper__.column_attrs})
        if database.is_queued(key) or cls.find(key) is not None:
            given = record.to_dict()
            database.update(cls.kind, key, {name: given[name] for name in values if name in given})
        else:
            record.id = key
            record.save()

    def save(self, commit: bool = True) -> Self:
        """Insert the record, counting its version if it has none, or update it; blobs it refers to are claimed."""
        if not commit or inspect(self).key is not None:
            return super().save(commit)
        database = self.home()
        if database.is_queued(self.id):
            later = self.to_dict(exclude=("id", "version", "created_timestamp", "modified_timestamp"))
            database.update(self.kind, self.id, later)
            return self

        def committed(result: Committed) -> None:
            self.version = result.version
            self.created_timestamp = self.modified_timestamp = result.created
            make_transient_to_detached(self)

        self._complete()
        given = {key: value for key, value in self.to_dict().items() if value is not None}
        database.insert_row(self.kind, given, committed)
        remembering(self, database)
        return self

    @classmethod
    def check_update(cls, connection: Connection, id_: UUID, values: Mapping[str, Any], grace: float) -> None:
        """Refuse to change what a version stands for, and keep the references to blobs in step with `filepaths`."""
        fixed = [name for name in _FIXED if name in values]
        if fixed:
            found = connection.execute(
                select(*(getattr(cls, name) for name in fixed)).where(cls.id == id_)
            ).one_or_none()
            changed = [name for name, then in zip(fixed, found or (), strict=False) if values[name] != then]
            if changed:
                raise ImmutableVersionError(
                    f"the {cls.kind} {id_} is saved, and {', '.join(changed)} of a saved version cannot change: save another version"
                )
        if "filepaths" in values:
            try:
                refer_anew(connection, id_, keys_of(values["filepaths"] or {}), grace)
            except BlobsLost as error:
                raise ArtifactMissingError(
                    f"the {cls.kind} {id_} cannot refer to {', '.join(sorted(error.keys))}: no such blob is live"
                ) from error

    def _complete(self) -> None:
        """Give every column a value, for a detached record cannot read one later; say which of them only the caller knows."""
        defaults: dict[str, Any] = {"id": uuid4(), "project": "default", "author": "default", "filepaths": {}}
        defaults["has_external_files"] = bool(self.filepaths)
        missing = []
        for key, attribute in self.__mapper__.column_attrs.items():
            value = getattr(self, key)
            setattr(self, key, defaults.get(key) if value is None else value)
            if getattr(self, key) is None and not attribute.columns[0].nullable and key not in _COUNTED:
                missing.append(key)
        if missing:
            raise IdentityError(f"a new {type(self).__name__} needs {', '.join(missing)}: nothing was saved")

    @validates("name", "project", "author", "registered_name", "version", "version_description", "id")
    def _check(self, field: str, value: Any) -> Any:
        """Refuse at once what some database could not store, or would store as something else."""
        if value is None or field == "version_description":
            return checked_description(value)
        if field == "version":
            return checked_version(value)
        return checked_id(value) if field == "id" else checked_text(field, value)

    def load(self, load_externals: bool = False) -> Persistable:
        """Return the object that this record stands for, of its most specific class; with its artifacts if asked."""
        found = from_row(self.to_dict(), self.home())
        if load_externals:
            found.load_external_files()
        return found

    @classmethod
    def get_latest_version(cls, name: str, scope: str = "") -> int:
        """Return the version that the next save of `name` will get: one more than the highest ever given out."""
        return cls.database().last_version(cls.kind, name, scope) + 1

    @staticmethod
    def load_reference(reference_cls: type[ORMPersistable], id: UUID | str) -> Persistable:
        """Return the object of another record, such as the pipeline of a model."""
        found = reference_cls.find(id)
        if found is None:
            raise LineageError(f"{reference_cls.__name__} {id} is not in the database")
        return found.load()

    @classmethod
    def destroy(cls, *ids: object, commit: bool = True) -> None:
        """Delete records and their references to blobs; `ReferencedError` if others were made from one of them."""
        refuse_uncommitted("destroy", commit)
        database = cls.database()
        keys = sorted({checked_id(id_) for id_ in ids})
        there = [key for key in keys if database.is_queued(key)]
        there += [row["id"] for row in database.select(cls.kind, {"id__in": keys}, order_by=("id",))]
        if len(there) == 1:
            database.delete(cls.kind, there[0])
            return
        with database.transaction():
            for key in there:
                database.delete(cls.kind, key)


class ORMDataset(ORMPersistable):
    """A dataset, and the pipeline that derived it from another one, if any did."""

    __tablename__ = "datasets"
    kind = "dataset"

    # Datasets and pipelines refer to each other, so this constraint is added once both tables are there.
    pipeline_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("pipelines.id", use_alter=True, name="fk_datasets_pipeline_id"), index=True
    )


class ORMPipeline(ORMPersistable):
    """A pipeline and the dataset it was fitted on."""

    __tablename__ = "pipelines"
    kind = "pipeline"

    params: Mapped[dict[str, Any] | None] = mapped_column(mutable_json())
    dataset_id: Mapped[UUID | None] = mapped_column(ForeignKey("datasets.id"), index=True)


class ORMModel(ORMPersistable):
    """A model and the pipeline that feeds it."""

    __tablename__ = "models"
    kind = "model"

    params: Mapped[dict[str, Any] | None] = mapped_column(mutable_json())
    feature_metadata: Mapped[dict[str, Any] | None] = mapped_column(mutable_json())
    pipeline_id: Mapped[UUID | None] = mapped_column(ForeignKey("pipelines.id"), index=True)


class ORMMetric(ORMPersistable):
    """A metric of a model on a dataset; its versions are counted per name and model."""

    __tablename__ = "metrics"
    kind = "metric"
    scope = "model_id"

    values: Mapped[dict[str, Any] | None] = mapped_column(mutable_json())
    model_id: Mapped[UUID] = mapped_column(ForeignKey("models.id"), index=True)
    dataset_id: Mapped[UUID | None] = mapped_column(ForeignKey("datasets.id"), index=True)


class ORMGeneral(ORMPersistable):
    """A persistable of a class that brings no table of its own."""

    __tablename__ = "persistables"
    kind = "persistable"


def kinds_in(connection: Connection) -> list[str]:
    """Return the kinds that this database has a table for: ours, and those of users that were saved here."""
    names = records.names()
    own = [kind for kind in names if record_class(kind).__tablename__ not in TABLES]
    there = set(inspect(connection).get_table_names()) if own else set()
    return [kind for kind in names if kind not in own or record_class(kind).__tablename__ in there]


def record_class(kind: str) -> type[ORMPersistable]:
    """Return the mapped class of a kind; the error says how a kind brings its own."""
    try:
        return records.get(kind)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"there is no kind {kind!r}; {known_names(records.names(), near=str(kind))}. A kind of your own brings a mapped "
            f'class: class ORMThing(ORMPersistable): __tablename__ = "things"; kind = {kind!r}'
        ) from error
