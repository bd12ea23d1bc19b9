"""Databases that share a store: neither collects what the other refers to."""

from __future__ import annotations

from pathlib import Path

import simpleml
from simpleml.orm import Database, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.housekeeping import collect, verify
from tests.integration.kinds import Box


def test_a_restored_database_may_share_the_store_with_the_original(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """After a restore over the same store, saves, deletes and collections of either leave the other whole."""
    simpleml.connect(database_url, store=tmp_path / "store", grace=0)
    kept = Box(name="kept", data=[1, 2]).save()
    backup(simpleml.orm.current(), tmp_path / "backup")
    with open_database(tmp_path / "twin.db", store=tmp_path / "store", grace=0) as twin:
        restore(twin, tmp_path / "backup")
        assert Box.load(name="kept").data == [1, 2]
    Box(name="later", data="only in the first").save()
    with twin:
        collect(twin, leftovers_after=0)
        Box.load(name="kept").delete()
        collect(twin, leftovers_after=0)
    assert verify(simpleml.orm.current(), everything=True).findings == ()
    assert Box.load(id=kept.id).data == [1, 2]
    assert Box.load(name="later").data == "only in the first"
    twin.close()


def test_two_databases_over_one_store_keep_their_own(database: Database, tmp_path: Path) -> None:
    """A collection in one database removes nothing that another one announced in the same store."""
    Box(name="a", data=["first"]).save()
    with open_database(tmp_path / "other.db", store=tmp_path / "store", grace=0) as other:
        Box(name="a", data=["second"]).save()
        assert collect(other, leftovers_after=0).keys == ()
        assert Box.load(name="a").data == ["second"]
    assert Box.load(name="a").data == ["first"]
    assert verify(database, everything=True).findings == ()
    other.close()


def test_an_impatient_sweep_spares_whoever_is_writing(local: Database) -> None:
    """A temporary file that a writer has open is left alone, however old it may be; one of a dead writer goes."""
    store = local.places.store("default")
    spool = store.spool()
    spool.write(b"x" * 1_000_000)
    assert store.clear_leftovers(-1) == 0
    path, _ = spool.materialize()
    spool.path = None  # its writer ended without tidying up
    spool.close()
    assert path.exists()
    assert store.clear_leftovers(-1) == 1
