"""No room for the store, no room for the database: a clear error, no half state, and success once there is room."""

from __future__ import annotations

from tests.faults import twins
from tests.faults.filling import full_disk, limited_files
from tests.faults.mounts import can_mount
from tests.faults.stages import on_stage

_MB = 1_000_000


def test_a_full_store_is_a_clear_error_and_no_half_state(quick):
    """A save without room for its bytes says which store is full and what to do; after some is freed, the same save works."""
    if can_mount():
        errors, wrong = on_stage(full_disk, str(quick), "store")
        assert len(errors) == 2, errors  # a small artifact and a large one
    else:
        print("nothing can be mounted here: a limit on the size of files stood in")
        errors, wrong = on_stage(limited_files, str(quick), 5 * _MB, 6 * _MB)
        assert len(errors) == 1, errors
    assert wrong == []
    for kind, message in errors:
        assert kind == "StoreFullError"
        assert all(word in message for word in ("'data'", "'default'", str(quick), "simpleml gc")), message


def test_a_file_that_may_not_grow_is_a_full_store(quick):
    """A limit on the size of files, like a quota, is told as a full store, and leaves nothing behind."""
    errors, wrong = on_stage(limited_files, str(quick), 5 * _MB, 6 * _MB)
    assert wrong == []
    [(kind, message)] = errors
    assert kind == "StoreFullError"
    assert "'default'" in message


def test_a_full_database_is_a_clear_error_and_no_half_state(quick):
    """A save without room for its rows says which database is full; nothing is half there, and later the same save works."""
    if can_mount():
        errors, wrong = on_stage(full_disk, str(quick), "database")
        assert [kind for kind, _ in errors] == ["StoreFullError"], errors
        assert "full.db" in errors[0][1]
        assert "no space left" in errors[0][1]
    else:
        print("nothing can be mounted here: a limit on the size of files stood in")
        errors, wrong = on_stage(limited_files, str(quick), 400_000, 2_000)
        assert len(errors) == 1, errors
    assert wrong == []


def test_a_twin_that_swallows_the_error_is_caught(quick):
    """The same checks find the record whose bytes had no room, if the put does not say so."""
    errors, wrong = on_stage(limited_files, str(quick), 5 * _MB, 6 * _MB, twins.torn_and_swallowed)
    assert errors == []
    assert any("does not load" in each for each in wrong), wrong
