"""Stores and databases that may not be written: taught errors, everything still loads, nothing is lost or half there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults import twins
from tests.faults.forbidding import (
    permissions,
    prepared,
    read_only_mount,
    read_only_session,
    reader_of,
    tried,
)
from tests.faults.mounts import can_mount
from tests.faults.stages import on_stage

STORE_REFUSES = {
    "save small": "StoreReadOnlyError",
    "save large": "StoreReadOnlyError",
    "save known": "done",  # its bytes are there
    "delete": "done",  # a matter of rows
    "collect": "StoreReadOnlyError",
    "verify": "done",
}
DATABASE_REFUSES = {
    "save small": "DatabaseReadOnlyError",
    "save large": "DatabaseReadOnlyError",
    "save known": "DatabaseReadOnlyError",
    "delete": "DatabaseReadOnlyError",
    "collect": "DatabaseReadOnlyError",
    "verify": "done",
}


def _expect(outcome, kinds, *words):
    """Each action ends as it should, with a message that says where and what to do, and nothing is wrong afterwards."""
    assert outcome.pop("wrong") == []
    assert {action: each if each == "done" else each[0] for action, each in outcome.items()} == kinds, outcome
    for each in outcome.values():
        if each != "done":
            assert all(word in each[1] for word in words), each


def test_a_store_without_the_right_to_write_is_a_taught_error(quick):
    """A user who may only read the store reads all of it; each write says which store refuses, and how to name another."""
    outcome = on_stage(permissions, str(quick), True, False, False)
    _expect(outcome, STORE_REFUSES, "'default'", str(quick / "store"), "right to write")


def test_a_twin_that_takes_the_refusal_for_success_is_caught(quick):
    """The same checks find the record whose bytes the store refused, if the put does not say so."""
    outcome = on_stage(permissions, str(quick), True, False, False, twins.swallowed)
    assert outcome["save small"] == "done"
    assert any("does not load" in wrong for wrong in outcome["wrong"]), outcome


def test_a_store_on_a_read_only_file_system_is_a_taught_error(quick):
    """The same where the file system itself is mounted read only."""
    if can_mount():
        outcome = on_stage(read_only_mount, str(quick))
    else:
        print("nothing can be mounted here: permissions stood in")
        outcome = on_stage(permissions, str(quick), True, False, False)
    _expect(outcome, STORE_REFUSES, "'default'", str(quick / "store"), "right to write")


def test_a_sqlite_file_without_the_right_to_write_is_a_taught_error(quick):
    """A user who may only read the database file reads all of it; each write says which database refuses."""
    outcome = on_stage(permissions, str(quick), False, True, True)
    _expect(outcome, DATABASE_REFUSES, "records.db", "right to write", "nothing was changed")


def test_a_sqlite_folder_without_the_right_to_write_is_a_taught_error(quick):
    """Where the folder of the database file cannot be written either, SQLite cannot even read it: opening it says so, and why."""
    outcome = on_stage(permissions, str(quick), False, True, False)
    _expect(
        outcome, {"open": "DatabaseReadOnlyError"}, "records.db", "right to write", "in the folder too", "also to read"
    )


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@pytest.mark.parametrize("how", ["user", "session"])
def test_a_server_that_refuses_to_be_written_is_a_taught_error(new_database, local_place, quick, kind, how):
    """A user with SELECT alone, and a session that may not write, read all of it; each write says which database refuses."""
    place = replace(local_place, url=new_database(kind))
    before = on_stage(prepared, place)
    if how == "session":
        outcome = on_stage(tried, place, before, read_only_session(place.url))
    else:
        with reader_of(place.url) as forbidden:
            outcome = on_stage(tried, place, before, forbidden)
    _expect(outcome, DATABASE_REFUSES, "simpleml_", "right to write", "nothing was changed")
