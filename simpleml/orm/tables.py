"""The tables that are no persistables: stored bytes, who refers to them, version counters, lineage, aliases, tags, claims, the ledger."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Uuid,
    true,
)
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from simpleml.orm.types import IdentityText, UTCDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)
"""Every table of the schema, as declared; the migrations arrive at the same one."""


class BlobState(enum.Enum):
    """What is known of stored bytes."""

    PENDING = "pending"  # announced; the bytes may not be there yet
    LIVE = "live"  # the bytes are durable and whole
    DAMAGED = "damaged"  # they were, but are not what was saved; never reused
    CONDEMNED = "condemned"  # nothing refers to them, and nothing will: the bytes are being removed


class Base(DeclarativeBase):
    """Base of the mapped classes that users do not see."""

    metadata = metadata


class Blob(Base):
    """One stored object: its row is there before its bytes, and goes after them."""

    __tablename__ = "blobs"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    digest: Mapped[str] = mapped_column(String(80))
    size: Mapped[int] = mapped_column(BigInteger)
    store: Mapped[str] = mapped_column(IdentityText(63))
    state: Mapped[BlobState] = mapped_column(
        Enum(
            BlobState,
            native_enum=False,
            length=16,
            create_constraint=True,
            name="state",
            values_callable=lambda states: [state.value for state in states],
        )
    )
    refs: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[float] = mapped_column(Double)

    __table_args__ = (
        Index(None, "digest"),
        Index(None, "refs", "lease_until"),
        CheckConstraint("refs >= 0", name="refs"),
        CheckConstraint("size >= 0", name="size"),
    )


class BlobRef(Base):
    """One record's reference to one blob."""

    __tablename__ = "blob_refs"

    record: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey("blobs.key"), primary_key=True, index=True)


class VersionCounter(Base):
    """The last version given out for a name within a kind; `scope` is the model's id for metrics, else empty."""

    __tablename__ = "version_counters"

    kind: Mapped[str] = mapped_column(IdentityText(63), primary_key=True)
    name: Mapped[str] = mapped_column(IdentityText(), primary_key=True)
    scope: Mapped[str] = mapped_column(String(36), primary_key=True, default="")
    last: Mapped[int] = mapped_column(Integer)


class LineageEdge(Base):
    """What a record was made from, where its own table has no typed column for that role; one parent column is set."""

    __tablename__ = "lineage"

    child: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    role: Mapped[str] = mapped_column(IdentityText(63), primary_key=True)
    child_kind: Mapped[str] = mapped_column(IdentityText(63))
    dataset_id: Mapped[UUID | None] = mapped_column(ForeignKey("datasets.id"), index=True)
    pipeline_id: Mapped[UUID | None] = mapped_column(ForeignKey("pipelines.id"), index=True)
    model_id: Mapped[UUID | None] = mapped_column(ForeignKey("models.id"), index=True)
    metric_id: Mapped[UUID | None] = mapped_column(ForeignKey("metrics.id"), index=True)
    persistable_id: Mapped[UUID | None] = mapped_column(ForeignKey("persistables.id"), index=True)


class Ledger(Base):
    """Who this database is: its id is part of every key it makes, so that databases may share a store.

    The row with the highest number is the current id; the others are those that it had before it was copied or moved.
    """

    __tablename__ = "ledger"

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(32))
    place: Mapped[str | None] = mapped_column(String(128))  # where it was when it got this id
    own: Mapped[bool] = mapped_column(default=True, server_default=true())  # whether it collects the objects of this id


class BlobChunk(Base):
    """A piece of an object kept in this database, counted from 1; row 0 is written last and says how many bytes there are."""

    __tablename__ = "blob_chunks"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb"))


class DataTable(Base):
    """A frame kept as a table `name` in the database's schema `namespace`; `rows` is set last, when the table is whole.

    `size` is that of the canonical bytes that the values stand for; `columns` says what each column holds.
    """

    __tablename__ = "data_tables"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    namespace: Mapped[str | None] = mapped_column(String(63))
    size: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int | None] = mapped_column(BigInteger)
    columns: Mapped[Any] = mapped_column(JSON)
    created: Mapped[datetime] = mapped_column(UTCDateTime)


OBJECT_TABLES = frozenset({BlobChunk.__tablename__, DataTable.__tablename__})
"""What a store keeps its objects in: their rows are copied as objects, with their store, and never as rows."""


class Alias(Base):
    """A name for one version of a name, which can be moved to another; `scope` is as in `VersionCounter`."""

    __tablename__ = "aliases"

    kind: Mapped[str] = mapped_column(IdentityText(63), primary_key=True)
    name: Mapped[str] = mapped_column(IdentityText(), primary_key=True)
    scope: Mapped[str] = mapped_column(String(36), primary_key=True, default="")
    alias: Mapped[str] = mapped_column(IdentityText(63), primary_key=True)
    record: Mapped[UUID] = mapped_column(Uuid, index=True)
    version: Mapped[int] = mapped_column(Integer)


class AliasMove(Base):
    """One time that an alias was set, moved or taken away: by whom, when, from where to where."""

    __tablename__ = "alias_moves"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    kind: Mapped[str] = mapped_column(IdentityText(63))
    name: Mapped[str] = mapped_column(IdentityText())
    scope: Mapped[str] = mapped_column(String(36), default="")
    alias: Mapped[str] = mapped_column(IdentityText(63))
    from_version: Mapped[int | None] = mapped_column(Integer)
    to_version: Mapped[int | None] = mapped_column(Integer)
    from_record: Mapped[UUID | None] = mapped_column(Uuid)
    to_record: Mapped[UUID | None] = mapped_column(Uuid)
    author: Mapped[str] = mapped_column(IdentityText())
    moment: Mapped[datetime] = mapped_column(UTCDateTime)

    __table_args__ = (Index(None, "kind", "name", "alias"),)


class Tag(Base):
    """A word that marks one record."""

    __tablename__ = "tags"

    kind: Mapped[str] = mapped_column(IdentityText(63))
    record: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    tag: Mapped[str] = mapped_column(IdentityText(63), primary_key=True)

    __table_args__ = (Index(None, "kind", "tag"),)


class Claim(Base):
    """Who is doing something that only one may do, until when, and which taking of the key it was; gone when it is done."""

    __tablename__ = "claims"

    key: Mapped[str] = mapped_column(IdentityText(), primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str] = mapped_column(String(32))
    lease_until: Mapped[float] = mapped_column(Double)


PASSING_TABLES = frozenset({Claim.__tablename__})
"""What says nothing once the processes of this moment are gone: no backup has it, and it makes no database a filled one."""
