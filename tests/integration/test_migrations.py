"""The schema's migrations on all three databases: they arrive at what is declared, from wherever they were cut short."""

from __future__ import annotations

import ast
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

import simpleml.orm.persistable
from simpleml import migrations
from simpleml.errors import SchemaError
from simpleml.migrations import environment
from simpleml.orm import tables
from simpleml.orm.dialects import make_engine, schema_lock
from simpleml.orm.types import IdentityText

FOLDER = Path(migrations.__file__).parent
STATEMENTS = 53  # that an upgrade takes to make everything; 54 where two tables that refer to each other need ALTER
RECORD = {
    "hash": "1:00",
    "registered_name": "Thing",
    "author": "a",
    "project": "p",
    "name": "n",
    "version": 1,
    "has_external_files": False,
}

SECOND = migrations.TABLES - {"claims"}
FIRST = SECOND - {"blob_chunks", "data_tables", "aliases", "alias_moves", "tags"}
FRAME = f"sml_{'0' * 32}"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

assert simpleml.orm.persistable  # it declares the tables of records


def engine_of(url: str) -> sa.Engine:
    """An engine as the package makes it."""
    return make_engine(make_url(url), durability="normal", patience=60)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a fresh, empty database of each kind."""
    made = engine_of(database_url)
    yield made
    made.dispose()


@contextmanager
def changing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """What `connect()` and the command line hold around a change of the schema."""
    with engine.begin() as connection, schema_lock(connection, 60):
        yield connection


def first_use(engine: sa.Engine) -> str:
    """Do what `connect()` does to a schema; return the state that it was found in."""
    with changing(engine) as connection:
        state = migrations.guard(connection)
        if state == "fresh":
            migrations.upgrade(connection)
    return state


def declared() -> sa.MetaData:
    """A copy of the declared schema that a test may alter; without the kinds that other tests have declared."""
    copy = sa.MetaData(naming_convention=tables.NAMING)
    for table in tables.metadata.sorted_tables:
        if table.name in migrations.TABLES:
            table.to_metadata(copy)
    return copy


def compared(engine: sa.Engine, metadata: sa.MetaData | None = None) -> list[str]:
    """The differences between a database and the declared schema, or another one."""
    with engine.begin() as connection:
        return migrations.differences(connection, metadata or declared())


def names(engine: sa.Engine) -> set[str]:
    """The tables that a database has."""
    return set(sa.inspect(engine).get_table_names())


def fill(engine: sa.Engine) -> None:
    """Put rows into the tables, with a dataset and a pipeline that refer to each other."""
    fill_second(engine)
    with engine.begin() as connection:
        claim = {"key": "k", "fence": 1, "holder": "h", "lease_until": 0.0}
        connection.execute(sa.insert(tables.metadata.tables["claims"]).values(**claim))


def fill_second(engine: sa.Engine) -> None:
    """Put rows into the tables of the second revision."""
    fill_first(engine)
    at = tables.metadata.tables
    alias = {"kind": "model", "name": "n", "scope": "", "alias": "production"}
    fill_objects(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(at["aliases"]).values(**alias, record=uuid4(), version=1))
        connection.execute(sa.insert(at["alias_moves"]).values(**alias, id=uuid4(), author="a", moment=MOMENT))
        connection.execute(sa.insert(at["tags"]).values(kind="model", record=uuid4(), tag="good"))


def fill_objects(engine: sa.Engine) -> None:
    """Put rows into the tables of a store, with the table of a frame."""
    at = tables.metadata.tables
    with engine.begin() as connection:
        connection.execute(sa.insert(at["blob_chunks"]).values(key="k", number=1, data=b"\0\xff"))
        frame = {"key": "k", "name": FRAME, "size": 1, "rows": 1, "columns": [], "created": MOMENT}
        connection.execute(sa.insert(at["data_tables"]).values(**frame))
        sa.Table(FRAME, sa.MetaData(), sa.Column("sml_row", sa.BigInteger, primary_key=True)).create(connection)


def fill_first(engine: sa.Engine) -> None:
    """Put rows into the tables of the first revision."""
    at = tables.metadata.tables
    with engine.begin() as connection:
        made: dict[str, Any] = {}
        for name in ("datasets", "pipelines", "models", "metrics", "persistables"):
            links = {
                "pipelines": {"dataset_id": made.get("datasets")},
                "models": {"pipeline_id": made.get("pipelines")},
                "metrics": {"model_id": made.get("models"), "dataset_id": made.get("datasets")},
            }.get(name, {})
            made[name] = connection.execute(sa.insert(at[name]).values(**RECORD, **links)).inserted_primary_key[0]
        connection.execute(sa.update(at["datasets"]).values(pipeline_id=made["pipelines"]))
        parent = {"dataset_id": made["datasets"], "metric_id": made["metrics"]}
        edge = {"child": made["models"], "role": "input", "child_kind": "model", **parent}
        connection.execute(sa.insert(at["lineage"]).values(**edge))
        blob = {"key": "k", "digest": "d", "size": 1, "store": "s", "state": tables.BlobState.LIVE, "lease_until": 0.0}
        connection.execute(sa.insert(at["blobs"]).values(**blob))
        connection.execute(sa.insert(at["blob_refs"]).values(record=made["models"], key="k"))


def shape(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    """All that the database's own catalogue says of our tables."""
    inspector = sa.inspect(engine)
    found = {}
    for name in sorted(migrations.TABLES):
        found[name] = {
            "columns": [
                (column["name"], column["type"].compile(engine.dialect), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            ],
            "key": inspector.get_pk_constraint(name),
            "references": sorted(str(key) for key in inspector.get_foreign_keys(name)),
            "unique": sorted(str(unique) for unique in inspector.get_unique_constraints(name)),
            "indexes": sorted(str(index) for index in inspector.get_indexes(name)),
            "checks": sorted(str(check) for check in inspector.get_check_constraints(name)),
        }
    return found


# the schema


def test_the_migrated_schema_is_the_declared_one(engine: sa.Engine) -> None:
    """After an upgrade no difference to the declared tables is found, and there are no other tables."""
    assert first_use(engine) == "fresh"
    assert compared(engine) == []
    assert names(engine) == migrations.TABLES | {migrations.VERSION_TABLE}


def test_the_catalogue_is_that_of_create_all(
    engine: sa.Engine, database_url: str, new_database: Callable[[str], str]
) -> None:
    """Columns, types, defaults, keys, references, indexes and checks are those that SQLAlchemy makes of the declaration."""
    first_use(engine)
    family = engine.dialect.name
    other = engine_of(new_database("mariadb" if family == "mysql" else family))
    declared().create_all(other)
    assert shape(engine) == shape(other)
    other.dispose()


def test_the_ledger_has_its_one_row(engine: sa.Engine) -> None:
    """The upgrade gives every database an id of its own, of 32 hexadecimal digits; a second upgrade does not change it."""
    ids = []
    for _ in range(2):
        first_use(engine)
        with engine.begin() as connection:
            ids.append(connection.execute(sa.select(tables.Ledger.number, tables.Ledger.id)).all())
    assert ids[0] == ids[1]
    ((number, made),) = ids[0]
    assert number == 1
    assert len(made) == 32
    assert int(made, 16)


def _without(metadata: sa.MetaData, table: str, kind: type, *columns: str) -> None:
    """Take the constraint or index on these columns out of a declaration."""
    at = metadata.tables[table]
    held: set[Any] = at.indexes if kind is sa.Index else at.constraints
    (found,) = [one for one in held if type(one) is kind and [column.name for column in one.columns] == list(columns)]
    held.discard(found)


def _retyped(metadata: sa.MetaData, table: str, column: str, type_: Any) -> None:
    metadata.tables[table].c[column].type = type_


def _alterations() -> dict[str, Callable[[sa.MetaData], object]]:
    """What the report has to name → a change of the declaration."""
    return {
        "models: the column extra is missing": lambda m: m.tables["models"].append_column(
            sa.Column("extra", sa.Integer)
        ),
        "things: the table is missing": lambda m: sa.Table("things", m, sa.Column("id", sa.Integer, primary_key=True)),
        "ledger: the table is not declared": lambda m: m.remove(m.tables["ledger"]),
        "models: the index ix_models_hash on (hash) is not declared": lambda m: _without(m, "models", sa.Index, "hash"),
        "models: the index ix_models_author on (author) is missing": lambda m: sa.Index(
            "ix_models_author", m.tables["models"].c.author
        ),
        "models: the unique key uq_models_name_version on (name, version) is not declared": lambda m: _without(
            m, "models", sa.UniqueConstraint, "name", "version"
        ),
        "blob_refs: the foreign key fk_blob_refs_key on (key) is not declared": lambda m: _without(
            m, "blob_refs", sa.ForeignKeyConstraint, "key"
        ),
        "models.version: is of type": lambda m: _retyped(m, "models", "version", sa.Text()),
        "models.hash: is of type VARCHAR(128), not VARCHAR(64)": lambda m: _retyped(m, "models", "hash", sa.String(64)),
        "models.name: may be NULL is False, not True": lambda m: setattr(m.tables["models"].c.name, "nullable", True),
        "blobs: the check ck_blobs_age is missing": lambda m: m.tables["blobs"].append_constraint(
            sa.CheckConstraint("refs < 9", name="age")
        ),
        "ledger: the primary key is (number), not (number, id": lambda m: m.tables["ledger"].primary_key._reload(
            m.tables["ledger"].columns
        ),
    }


def test_every_alteration_of_the_declaration_is_reported(engine: sa.Engine) -> None:
    """The comparison is not empty for lack of looking: each kind of change to the declaration is named by it, alone."""
    first_use(engine)
    for words, alter in _alterations().items():
        metadata = declared()
        alter(metadata)
        found = compared(engine, metadata)
        assert [line for line in found if line.startswith(words)], f"{words}: {found}"
        if words != "things: the table is missing":
            assert {line.split(":")[0].split(".")[0] for line in found} == {words.split(":")[0].split(".")[0]}


def test_a_lost_collation_is_reported(engine: sa.Engine) -> None:
    """An identity column that no longer compares by bytes is named, where a database can lose that at all."""
    first_use(engine)
    change = {
        "postgresql": 'ALTER TABLE models ALTER COLUMN name TYPE varchar(255) COLLATE "default"',
        "mysql": "ALTER TABLE models MODIFY name varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL",
    }.get(engine.dialect.name)
    if change is None:  # SQLite compares by bytes, unless a column says otherwise, and ours cannot say so
        assert IdentityText().load_dialect_impl(engine.dialect).collation is None
        return
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
    (line,) = compared(engine)
    assert line.startswith("models.name: is of type")


def test_other_tables_in_the_database_are_none_of_our_business(engine: sa.Engine) -> None:
    """A user's table is neither reported nor refused, and outlives an upgrade and a downgrade."""
    own = sa.MetaData()
    sa.Table("invoices", own, sa.Column("id", sa.Integer, primary_key=True), sa.Column("sum", sa.Integer, index=True))
    own.create_all(engine)
    assert first_use(engine) == "fresh"
    assert compared(engine) == []
    with changing(engine) as connection:
        migrations.downgrade(connection, "base")
    assert names(engine) == {"invoices"}


# there and back


def test_down_to_nothing_and_up_again(engine: sa.Engine) -> None:
    """A downgrade to base drops filled tables, also those that refer to each other; the next upgrade starts anew."""
    for _ in range(2):
        assert first_use(engine) == "fresh"
        assert first_use(engine) == "current"
        fill(engine)
        with changing(engine) as connection:
            migrations.downgrade(connection, "base")
        assert names(engine) == set()
    first_use(engine)
    assert compared(engine) == []


def test_a_downgrade_that_was_cut_short_can_be_run_again(engine: sa.Engine) -> None:
    """Whatever an interrupted downgrade has already dropped (on MariaDB for good), running it again completes it."""
    for moment in (1, 2, 7, 12):
        first_use(engine)
        fill(engine)
        with pytest.raises(InterruptedError), changing(engine) as connection, cut_short(engine, moment):
            migrations.downgrade(connection, "base")
        with changing(engine) as connection:
            migrations.downgrade(connection, "base")
        assert names(engine) == set()


def rows(engine: sa.Engine, of: frozenset[str] = FIRST) -> dict[str, list[Any]]:
    """Everything that the tables of the first revision hold, or those of another one."""
    at = tables.metadata.tables
    asked = {**{name: sa.select(at[name]) for name in of}, "ledger": sa.select(at["ledger"].c.id)}  # which has more now
    with engine.begin() as connection:
        return {name: [tuple(row) for row in connection.execute(asked[name])] for name in sorted(of)}


def test_an_upgrade_keeps_what_an_older_schema_holds(engine: sa.Engine) -> None:
    """From the first revision to the last and back nothing that it held is changed; what is new goes with its tables."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0001")
    fill_first(engine)
    held = rows(engine)
    assert {name for name, found in held.items() if not found} == {"version_counters"}
    with changing(engine) as connection:
        migrations.upgrade(connection)
        assert migrations.guard(connection) == "current"
    assert compared(engine) == []
    assert rows(engine) == held
    with changing(engine) as connection:
        migrations.downgrade(connection, "0001")
    assert names(engine) == FIRST | {migrations.VERSION_TABLE}
    assert rows(engine) == held


def test_an_upgrade_keeps_what_the_second_schema_holds(engine: sa.Engine) -> None:
    """From the second revision to the last and back nothing that it held is changed, frames and objects included."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0002")
    fill_second(engine)
    held = rows(engine, SECOND)
    assert {name for name, found in held.items() if not found} == {"version_counters"}
    with changing(engine) as connection:
        migrations.upgrade(connection)
        assert migrations.guard(connection) == "current"
    assert compared(engine) == []
    assert rows(engine, SECOND) == held
    assert FRAME in names(engine)
    with changing(engine) as connection:
        migrations.downgrade(connection, "0002")
    assert names(engine) == SECOND | {migrations.VERSION_TABLE, FRAME}
    assert rows(engine, SECOND) == held


def test_an_upgrade_keeps_who_the_third_schema_is(engine: sa.Engine) -> None:
    """From the third revision to the last and back, cut short after any statement or not, the id stays, and is its own."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0003")
    fill(engine)
    held = rows(engine, migrations.TABLES)
    for moment in (1, 2, 3):
        for go in (migrations.upgrade, lambda connection: migrations.downgrade(connection, "0003")):
            with pytest.raises(InterruptedError), changing(engine) as connection, cut_short(engine, moment):
                go(connection)
            with changing(engine) as connection:
                go(connection)
            assert rows(engine, migrations.TABLES) == held
    with changing(engine) as connection:
        migrations.upgrade(connection)
    assert compared(engine) == []
    with engine.begin() as connection:
        [(number, made, place, own)] = connection.execute(sa.select(tables.metadata.tables["ledger"])).all()
    assert (number, made, place, own) == (1, held["ledger"][0][0], None, True)


def test_an_upgrade_of_the_second_schema_that_was_cut_short_can_be_run_again(engine: sa.Engine) -> None:
    """What an interrupted upgrade made (on MariaDB for good) is made anew by the next one, and nothing is lost."""
    for moment in (1, 2):
        with changing(engine) as connection:
            migrations.upgrade(connection, "0002")
        fill_second(engine)
        held = rows(engine, SECOND)
        with pytest.raises(InterruptedError), changing(engine) as connection, cut_short(engine, moment):
            migrations.upgrade(connection)
        with changing(engine) as connection:
            migrations.upgrade(connection)
        assert compared(engine) == []
        assert rows(engine, SECOND) == held
        with changing(engine) as connection:
            migrations.downgrade(connection, "base")


@pytest.mark.parametrize("foreign", ["shape", "row"])
def test_claims_of_somebody_else_are_refused(engine: sa.Engine, foreign: str) -> None:
    """A table `claims` of another shape, or with rows, stops the upgrade with what to do, and keeps what it holds."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0002")
    made = tables.metadata.tables["claims"]
    if foreign == "shape":
        made = sa.Table("claims", sa.MetaData(), sa.Column("key", sa.String(20), primary_key=True))
    made.create(engine)
    values = {"key": "k"} if foreign == "shape" else {"key": "k", "fence": 1, "holder": "h", "lease_until": 0.0}
    with engine.begin() as connection:
        connection.execute(sa.insert(made).values(**values))
    with (
        pytest.raises(SchemaError, match=r"now: claims\. Nothing was changed\. Rename"),
        changing(engine) as connection,
    ):
        migrations.upgrade(connection)
    with engine.begin() as connection:
        assert migrations.revision_of(connection) == "0002"
        assert len(connection.execute(sa.select(made)).all()) == 1


@pytest.mark.parametrize("moment", [1, 4, 8])
def test_an_upgrade_of_an_older_schema_that_was_cut_short_can_be_run_again(engine: sa.Engine, moment: int) -> None:
    """Whatever of the new tables an interrupted upgrade has made (on MariaDB for good), running it again completes it."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0001")
    fill_first(engine)
    held = rows(engine)
    with pytest.raises(InterruptedError), changing(engine) as connection, cut_short(engine, moment):
        migrations.upgrade(connection)
    with engine.begin() as connection:
        assert migrations.revision_of(connection) == "0001"
    with changing(engine) as connection:
        migrations.upgrade(connection)
    assert compared(engine) == []
    assert rows(engine) == held


def objects(engine: sa.Engine) -> None:
    """Make the tables that a store in this database makes, with an object in each."""
    tables.metadata.create_all(engine, [tables.metadata.tables[name] for name in sorted(tables.OBJECT_TABLES)])
    fill_objects(engine)


def held_objects(engine: sa.Engine) -> list[Any]:
    """What the tables of a store hold, and whether its frame is there."""
    with engine.begin() as connection:
        found = [
            tuple(row)
            for name in sorted(tables.OBJECT_TABLES)
            for row in connection.execute(sa.select(tables.metadata.tables[name]))
        ]
    return [*found, FRAME in names(engine)]


def test_an_upgrade_keeps_the_objects_of_a_store(engine: sa.Engine) -> None:
    """A database of the first revision that somebody else keeps objects in has them all after the upgrade."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0001")
    objects(engine)
    held = held_objects(engine)
    assert len(held) == 3
    with changing(engine) as connection:
        migrations.upgrade(connection)
    assert held_objects(engine) == held
    assert compared(engine) == []


@pytest.mark.parametrize("name", ["tags", "aliases", "alias_moves", "blob_chunks", "data_tables"])
def test_an_upgrade_refuses_the_table_of_somebody_else(engine: sa.Engine, name: str) -> None:
    """A table of another shape is named with what to do, also if it is empty, and nothing is changed; renamed, it stays."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0001")
    own = sa.Table(
        name, sa.MetaData(), sa.Column("key", sa.String(20), primary_key=True), sa.Column("mine", sa.Integer)
    )
    own.create(engine)
    before = names(engine)
    for rows in ([], [{"key": "a", "mine": 1}]):
        with engine.begin() as connection:
            for row in rows:
                connection.execute(sa.insert(own).values(**row))
        with (
            pytest.raises(SchemaError, match=rf"now: {name}\. Nothing was changed\. Rename"),
            changing(engine) as connection,
        ):
            migrations.upgrade(connection)
        with engine.begin() as connection:
            assert migrations.revision_of(connection) == "0001"
            assert [tuple(row) for row in connection.execute(sa.select(own))] == [tuple(row.values()) for row in rows]
        assert names(engine) == before
    with changing(engine) as connection:
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO renamed")
        migrations.upgrade(connection)
    assert compared(engine) == []
    assert "renamed" in names(engine)


def test_an_upgrade_drops_no_row(engine: sa.Engine) -> None:
    """A table of our shape that holds rows is not what an interrupted upgrade left: it is refused and keeps them."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0001")
    made = tables.metadata.tables["tags"]
    made.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(made).values(kind="model", record=uuid4(), tag="good"))
    with pytest.raises(SchemaError, match="now: tags"), changing(engine) as connection:
        migrations.upgrade(connection)
    with engine.begin() as connection:
        assert len(connection.execute(sa.select(made)).all()) == 1


def test_the_tables_of_a_store_alone_are_a_fresh_database(engine: sa.Engine) -> None:
    """A database that was used as nothing but a store is fresh; with other tables of ours, or of another shape, it is not."""
    made = [tables.metadata.tables[name] for name in sorted(tables.OBJECT_TABLES)]
    tables.metadata.create_all(engine, made)
    with engine.begin() as connection:
        assert migrations.guard(connection) == "fresh"
    other = sa.Table("tags", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    other.create(engine)
    with pytest.raises(SchemaError, match="no simpleml_version"), engine.begin() as connection:
        migrations.guard(connection)
    other.drop(engine)
    assert first_use(engine) == "fresh"
    assert compared(engine) == []
    with changing(engine) as connection:
        migrations.downgrade(connection, "base")
    sa.Table("blob_chunks", sa.MetaData(), sa.Column("key", sa.Integer, primary_key=True)).create(engine)
    with (
        pytest.raises(SchemaError, match="the tables blob_chunks but no simpleml_version"),
        engine.begin() as connection,
    ):
        migrations.guard(connection)


@pytest.mark.parametrize("moment", [None, 3, 15, STATEMENTS - 9])
def test_a_store_becomes_a_database_of_records(engine: sa.Engine, moment: int | None) -> None:
    """A database that was used as a store gets the schema beside its objects, also if the first attempt was cut short."""
    objects(engine)
    held = held_objects(engine)
    if moment:
        with pytest.raises(InterruptedError), changing(engine) as connection, cut_short(engine, moment):
            migrations.upgrade(connection)
        assert held_objects(engine) == held
    assert first_use(engine) == "fresh"
    assert compared(engine) == []
    assert held_objects(engine) == held


def test_a_downgrade_of_a_store_keeps_its_objects(engine: sa.Engine) -> None:
    """A downgrade to base of a database that is nothing but a store leaves it as it is."""
    objects(engine)
    held = held_objects(engine)
    with changing(engine) as connection:
        migrations.downgrade(connection, "base")
    assert held_objects(engine) == held
    assert names(engine) == tables.OBJECT_TABLES | {FRAME}


def test_only_known_revisions_are_targets(engine: sa.Engine) -> None:
    """An unknown revision is an error that lists the known ones, and changes nothing."""
    with (
        pytest.raises(SchemaError, match=r"no revision '0815' to upgrade to; known: 0001, 0002, 0003, 0004, head"),
        changing(engine) as c,
    ):
        migrations.upgrade(c, "0815")
    assert names(engine) == set()
    first_use(engine)
    with (
        pytest.raises(SchemaError, match=r"no revision '0815' to downgrade to; known: base, 0001, 0002, 0003, 0004"),
        changing(engine) as c,
    ):
        migrations.downgrade(c, "0815")
    with changing(engine) as connection:
        migrations.downgrade(connection, migrations.HEAD)
        assert migrations.guard(connection) == "current"


# cut short


@contextmanager
def cut_short(engine: sa.Engine, moment: int, strike: Callable[[], object] | None = None) -> Iterator[None]:
    """Strike (raise, if nothing else is wanted) right after statement number `moment` of those that change anything."""
    count = 0

    def look(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal count
        count += statement.split(maxsplit=1)[0] in {"CREATE", "ALTER", "INSERT", "UPDATE", "DROP", "DELETE"}
        if count == moment:
            if strike is not None:
                strike()
            raise InterruptedError(statement)

    sa.event.listen(engine, "after_cursor_execute", look)
    try:
        yield
    finally:
        sa.event.remove(engine, "after_cursor_execute", look)


def _leaves_nothing(engine: sa.Engine) -> bool:
    return engine.dialect.name != "mysql"


@pytest.mark.parametrize("moment", [2, STATEMENTS])
def test_an_upgrade_that_failed_leaves_nothing_or_can_be_run_again(engine: sa.Engine, moment: int) -> None:
    """A failed upgrade leaves no table on SQLite and PostgreSQL; on MariaDB the next one clears up and completes."""
    with pytest.raises(InterruptedError), changing(engine) as connection, cut_short(engine, moment):
        migrations.upgrade(connection)
    assert (names(engine) == set()) == _leaves_nothing(engine)
    assert first_use(engine) == "fresh"
    assert compared(engine) == []


def _die(url: str, moment: int) -> None:
    engine = engine_of(url)
    with changing(engine) as connection, cut_short(engine, moment, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        migrations.upgrade(connection)


def killed(url: str, moment: int) -> None:
    """Begin an upgrade in another process, which is killed after so many statements."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(url, moment))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("moment", [1, 15, STATEMENTS])
def test_a_killed_first_use_does_not_harm_the_next(database_url: str, moment: int) -> None:
    """After `kill -9` in the middle of an upgrade the next first use makes the whole schema."""
    killed(database_url, moment)
    engine = engine_of(database_url)
    assert first_use(engine) == "fresh"
    assert compared(engine) == []
    assert (names(engine) - migrations.TABLES) == {migrations.VERSION_TABLE}
    engine.dispose()


@pytest.mark.parametrize("moment", [None, 15])
def test_a_downgrade_of_no_schema_leaves_none(database_url: str, moment: int | None) -> None:
    """A downgrade to base of an empty database, or of one whose first use was killed, leaves it empty."""
    if moment:
        killed(database_url, moment)
    engine = engine_of(database_url)
    with changing(engine) as connection:
        migrations.downgrade(connection, "base")
    assert names(engine) == set()
    engine.dispose()


def test_without_clearing_up_a_killed_first_use_does_harm(
    new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known-bad twin: an upgrade that does not remove what a killed one left cannot complete on MariaDB."""
    url = new_database("mariadb")
    killed(url, 9)
    monkeypatch.setattr(environment, "_clear", lambda *_: None)
    engine = engine_of(url)
    with pytest.raises(sa.exc.OperationalError, match="already exists"):
        first_use(engine)
    engine.dispose()


# many at once


def _race(url: str, barrier: Any, results: Any) -> None:
    engine = engine_of(url)
    barrier.wait()
    try:
        state = first_use(engine)
        with engine.begin() as connection:
            results.put((state, connection.execute(sa.select(tables.Ledger.id)).scalar_one()))
    except BaseException as error:
        results.put(("error", repr(error)))
        raise
    finally:
        engine.dispose()


def test_sixteen_first_users_make_one_schema(database_url: str) -> None:
    """16 processes that find a database empty at one instant: one makes the schema, the others find it, none fails."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(16), context.Queue()
    racers = [context.Process(target=_race, args=(database_url, barrier, results)) for _ in range(16)]
    for racer in racers:
        racer.start()
    answers = [results.get() for _ in racers]
    for racer in racers:
        racer.join()
    assert sorted(state for state, _ in answers) == ["current"] * 15 + ["fresh"], answers
    assert len({ledger for _, ledger in answers}) == 1
    engine = engine_of(database_url)
    assert compared(engine) == []
    engine.dispose()


def test_nothing_is_pending_when_the_lock_of_mariadb_is_given_up(engine: sa.Engine, database_url: str) -> None:
    """Before the caller's commit others see the whole schema on MariaDB, whose lock ends before it, and none elsewhere."""
    other = engine_of(database_url)
    with engine.begin() as connection:
        with schema_lock(connection, 60):
            migrations.upgrade(connection)
        with other.connect().execution_options(simpleml_read=True) as looking:
            assert migrations.guard(looking) == ("current" if engine.dialect.name == "mysql" else "fresh")
    other.dispose()


def test_looking_during_a_first_use_is_never_refused(engine: sa.Engine, database_url: str) -> None:
    """Asked without the lock while another process makes the tables, `guard` says "fresh" or "current" and nothing else."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    for _ in range(2):
        maker = context.Process(target=_race, args=(database_url, barrier, results))
        maker.start()
        barrier.wait()
        seen = []
        while not seen or seen[-1] != "current":
            with engine.connect().execution_options(simpleml_read=True) as connection:
                seen.append(migrations.guard(connection))
            time.sleep(0.001)
        assert results.get()[0] == "fresh"
        maker.join()
        assert set(seen) <= {"fresh", "current"}
        with changing(engine) as connection:
            migrations.downgrade(connection, "base")


def test_threads_upgrade_their_own_databases(tmp_path: Path) -> None:
    """Eight threads that upgrade eight databases at once each get a whole schema: nothing global is shared."""
    engines = [engine_of(f"sqlite:///{tmp_path / f'{number}.db'}") for number in range(8)]
    barrier = threading.Barrier(len(engines))
    states: list[str] = []

    def work(engine: sa.Engine) -> None:
        barrier.wait()
        states.append(first_use(engine))

    threads = [threading.Thread(target=work, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["fresh"] * 8
    for engine in engines:
        assert compared(engine) == []
        engine.dispose()


# refused


def _stamp(engine: sa.Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '{revision}'")


def test_a_newer_schema_is_refused(engine: sa.Engine) -> None:
    """A revision that this package does not know is refused with the command to run, by every function, untouched."""
    first_use(engine)
    _stamp(engine, "9999")
    for act in (
        migrations.guard,
        migrations.upgrade,
        lambda connection: migrations.downgrade(connection, "base"),
    ):
        words = r"revision '9999'.* knows 0001, 0002, 0003, 0004.*: pip install -U simpleml$"
        with pytest.raises(SchemaError, match=words), changing(engine) as connection:
            act(connection)
    with engine.begin() as connection:
        assert migrations.revision_of(connection) == "9999"
    assert compared(engine) == []


def test_an_older_schema_is_refused(engine: sa.Engine) -> None:
    """A revision before the one that this package works with is refused with the command to run."""
    with changing(engine) as connection:
        migrations.upgrade(connection, "0001")
    assert names(engine) == FIRST | {migrations.VERSION_TABLE}
    words = r"revision '0001', older than '0004'.*: simpleml db upgrade$"
    with pytest.raises(SchemaError, match=words), engine.begin() as connection:
        migrations.guard(connection)


def test_tables_without_a_version_are_refused(engine: sa.Engine) -> None:
    """Tables with our names that no upgrade of ours made are named, left alone, and not built upon."""
    own = sa.MetaData()
    for name in ("models", "datasets"):
        sa.Table(name, own, sa.Column("id", sa.Integer, primary_key=True))
    own.create_all(engine)
    words = r"the tables datasets, models but no simpleml_version.*: simpleml db init$"
    for act in (migrations.guard, migrations.upgrade, lambda connection: migrations.downgrade(connection, "base")):
        with pytest.raises(SchemaError, match=words), changing(engine) as connection:
            act(connection)
    assert names(engine) == {"models", "datasets"}


def test_a_schema_whose_version_row_is_gone_is_not_overwritten(engine: sa.Engine) -> None:
    """What looks like an interrupted first use but holds data is refused and keeps its data."""
    first_use(engine)
    fill(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {migrations.VERSION_TABLE}")
    with pytest.raises(
        SchemaError, match=r"simpleml_version is empty, but the table alias_moves is not.* simpleml restore$"
    ):
        first_use(engine)
    with engine.begin() as connection:
        for name in migrations.TABLES - {"version_counters"}:
            assert connection.execute(sa.select(sa.func.count()).select_from(sa.table(name))).scalar_one() == 1


# manners


def test_the_applications_logging_is_left_alone(engine: sa.Engine, capfd: pytest.CaptureFixture[str]) -> None:
    """Upgrade, comparison and downgrade change no level or handler of the root logger or Alembic's, and print nothing."""
    loggers = [logging.getLogger(name) for name in (None, "alembic", "sqlalchemy", "simpleml")]

    def state() -> list[object]:
        return [(logger.level, list(logger.handlers), logger.propagate, logger.disabled) for logger in loggers]

    before = state()
    first_use(engine)
    assert compared(engine) == []
    with changing(engine) as connection:
        migrations.downgrade(connection, "base")
    assert state() == before
    assert capfd.readouterr() == ("", "")


def test_a_look_takes_two_statements(engine: sa.Engine) -> None:
    """What every connect asks of a database in order costs one look into the catalogue and one select."""
    first_use(engine)
    asked = []
    with engine.begin() as connection:
        sa.event.listen(engine, "after_cursor_execute", lambda *args: asked.append(args[2]))
        assert migrations.guard(connection) == "current"
    assert len(asked) == 2, asked


def test_alembic_is_imported_only_to_change_or_compare(tmp_path: Path) -> None:
    """Looking at a database, also at one with a schema, does not import Alembic."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    engine = engine_of(url)
    first_use(engine)
    engine.dispose()
    code = (
        "import sys, sqlalchemy as sa\n"
        "from simpleml import migrations\n"
        "with sa.create_engine(sys.argv[1]).connect() as c: print(migrations.guard(c), migrations.known_revisions())\n"
        "assert 'alembic' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url], cwd=FOLDER.parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout == "current ['0001', '0002', '0003', '0004']\n"


def test_the_listed_revisions_are_those_that_alembic_finds() -> None:
    """The constants that need no Alembic agree with the files: one line of revisions, the last of them the head."""
    script = ScriptDirectory(str(FOLDER))
    assert [entry.revision for entry in script.walk_revisions()][::-1] == migrations.known_revisions()
    assert script.get_current_head() == migrations.HEAD


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports relatively"
            found.add(node.module or "")
    return found


def test_revisions_are_frozen() -> None:
    """A revision imports nothing of ours, so no later change of the package can alter what it does."""
    revisions = sorted((FOLDER / "versions").glob("revision_*.py"))
    assert [path.stem for path in revisions] == [f"revision_{known}" for known in migrations.known_revisions()]
    for path in revisions:
        assert {name for name in _imported(path) if name.split(".")[0] == "simpleml"} == set()


def test_migrations_know_nothing_of_the_models() -> None:
    """No module of the layer imports `orm`, which stands above it."""
    modules = sorted(FOLDER.rglob("*.py"))
    assert len(modules) == 9
    assert {name for path in modules for name in _imported(path) if name.startswith("simpleml.orm")} == set()
