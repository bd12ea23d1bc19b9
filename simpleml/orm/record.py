"""`Record`: the active-record verbs of sqlalchemy-mixins, on sessions that cannot leak.

The mixin's own verbs commit whatever else the thread has pending, leave a transaction open after every read, bind one
session per base class, and take an object with a length of zero for "not found". Here every verb works on the current
database in a session of its own that ends with the verb; inside `simpleml.transaction()` the writes wait for its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self, cast
from uuid import UUID

from sqlalchemy import Connection, delete, inspect
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy_mixins import AllFeaturesMixin
from sqlalchemy_mixins.utils import classproperty

from simpleml.errors import IdentityError, RecordNotFoundError, TransactionError, known_names
from simpleml.orm import tables
from simpleml.orm.home import Home
from simpleml.orm.rows import QUEUED, InsertRow, UpdateRow
from simpleml.orm.selection import HOME, Selection, remembering
from simpleml.orm.types import plain
from simpleml.persistables.identity import checked_id
from simpleml.persistables.ports import current_database


class Record(DeclarativeBase, AllFeaturesMixin):
    """A mapped row that saves, finds and deletes itself in the current database; detached as soon as a verb returns.

    A record that was found or saved stays with the database it was found or saved in.
    """

    __abstract__ = True
    metadata: ClassVar[Any] = tables.metadata

    @classproperty
    def session(cls) -> Session:  # noqa: N805
        """Refuse: a session that outlives a verb is how transactions are left open and shared by accident."""
        raise TransactionError(
            "records have no session of their own: use their verbs (find, where, save, …), simpleml.transaction() for several "
            "writes together, or Session(database.engine) for SQL of your own"
        )

    @classmethod
    def database(cls) -> Home:
        """Return the database that the verbs work on: the current one."""
        return cast("Home", current_database())

    def home(self) -> Home:
        """Return the database that this record came from or went to; of a new one, the current one."""
        found: Home = inspect(self).info.get(HOME) or self.database()
        return found

    # reading

    @classmethod
    def find(cls, id_: object) -> Self | None:
        """Return the record with this primary key, or None."""
        key = _as_key(cls, id_)
        database = cls.database()
        found = database.read(lambda session: session.get(cls, key))
        return None if found is None else remembering(found, database)

    @classmethod
    def find_or_fail(cls, id_: object) -> Self:
        """Return the record with this primary key; `RecordNotFoundError` if there is none."""
        found = cls.find(id_)
        if found is None:
            raise RecordNotFoundError(f"no {cls.__name__} with id {id_!s:.80} in {cls.database()!r}")
        return found

    @classmethod
    def where(cls, **filters: object) -> Selection[Self]:  # type: ignore[override]
        """Return the records that match, lazily: columns with an optional operator, as `name__like`, `version__lt`."""
        return Selection(cls, filters)

    @classmethod
    def sort(cls, *columns: str) -> Selection[Self]:  # type: ignore[override]
        """Return all records, sorted by these columns; a leading `-` means descending."""
        return Selection(cls, {}).order_by(*columns)

    @classmethod
    def smart_query(  # type: ignore[override]
        cls, filters: dict[str, object] | None = None, sort_attrs: Iterable[str] | None = None, schema: None = None
    ) -> Selection[Self]:
        """Return the records that match, sorted."""
        if schema is not None:
            raise TransactionError("records have no relationships to load eagerly; follow lineage with load_reference")
        return Selection(cls, filters or {}).order_by(*(sort_attrs or ()))

    @classmethod
    def all(cls) -> list[Self]:  # type: ignore[override]
        """Return every record."""
        return Selection(cls, {}).all()

    @classmethod
    def first(cls) -> Self | None:
        """Return any record, or None."""
        return Selection(cls, {}).first()

    # writing

    @classmethod
    def check_update(cls, connection: Connection, id_: Any, values: Mapping[str, Any], grace: float) -> None:
        """Run before changes of a row are written, in the same transaction; a hook for subclasses, which may refuse them."""

    @classmethod
    def create(cls, commit: bool = True, **values: object) -> Self:
        """Insert a record and return it."""
        _check_columns(cls, values)
        return cls(**values).save(commit)

    def fill(self, **values: object) -> Self:
        """Set several attributes, all of them or, if one is unknown, none."""
        _check_columns(type(self), values)
        for name, value in values.items():
            setattr(self, name, value)
        return self

    def save(self, commit: bool = True) -> Self:
        """Insert or update the row in a transaction of its own, or with the block that this thread is in."""
        refuse_uncommitted("save", commit)
        state = inspect(self)
        if state.info.get(QUEUED):  # the block that it waits for writes what it holds then
            return self
        database = self.home()
        check = partial(self.check_update, grace=database.settings.grace)
        row = InsertRow(self) if state.key is None else UpdateRow(self, check)
        state.info[QUEUED] = True
        try:
            database.write(row)
        except BaseException:
            row.undo()
            raise
        database.on_rollback(row.undo)
        remembering(self, database)
        return self

    def update(self, commit: bool = True, **values: object) -> Self:  # type: ignore[override]
        """Set several attributes and save."""
        return self.fill(**values).save(commit)

    def delete(self, commit: bool = True) -> None:
        """Delete the row."""
        refuse_uncommitted("delete", commit)
        state = inspect(self)
        with self.home():
            type(self).destroy(*(state.identity or state.mapper.primary_key_from_instance(self)))

    @classmethod
    def destroy(cls, *ids: object, commit: bool = True) -> None:
        """Delete the records with these primary keys in one statement; those that are not there are no error."""
        refuse_uncommitted("destroy", commit)
        keys = [_as_key(cls, id_) for id_ in ids]
        column = inspect(cls).primary_key[0]

        def write(connection: Connection) -> None:
            if keys:
                connection.execute(delete(cls).where(column.in_(keys)))

        cls.database().write(write)

    def to_dict(
        self, nested: bool = False, hybrid_attributes: bool = False, exclude: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """Return the mapped attributes and their values; containers are copies."""
        left_out = set(exclude or ())
        return {
            attribute.key: plain(getattr(self, attribute.key))
            for attribute in inspect(type(self)).column_attrs
            if attribute.key not in left_out
        }

    def __repr__(self) -> str:
        name = getattr(self, "name", None)
        version = getattr(self, "version", None)
        return f"<{type(self).__name__}" + (f" {name!r} version {version}>" if name else ">")


def refuse_uncommitted(verb: str, commit: bool) -> None:
    """Refuse what the mixin takes for a change that is not committed yet."""
    if not commit:
        raise TransactionError(f"{verb}(commit=False) has no meaning here: group writes with simpleml.transaction()")


def _as_key(cls: type[Record], value: object) -> object:
    """Return a primary key in its column's own type: the text of a UUID is taken for one."""
    column = inspect(cls).primary_key[0]
    return checked_id(value) if column.type.python_type is UUID else value


def _check_columns(cls: type[Record], values: Iterable[str]) -> None:
    known = {attribute.key for attribute in inspect(cls).column_attrs}
    for name in values:
        if name not in known:
            raise IdentityError(f"{cls.__name__} has no column {name!r}; {known_names(known, near=name)}")
