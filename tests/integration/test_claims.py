"""Claims: one holder at a time, by the database's clock, checked inside the commit; on all three databases."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import simpleml
from simpleml.errors import ClaimLostError, ConfigurationError, DatabaseError, IdentityError
from simpleml.orm import Database, backup
from simpleml.orm.claims import BEATS, Claim
from simpleml.orm.dialects import epoch_now
from simpleml.orm.tables import Claim as ClaimRow
from tests.integration.kinds import Box
from tests.races import twins


def rows(database: Database) -> list[Any]:
    """What the table holds, with the seconds that are left of each lease."""
    table = ClaimRow.__table__
    left = (table.c.lease_until - epoch_now()).label("left")
    found = sa.select(table.c.key, table.c.fence, table.c.holder, left)
    return database.run(lambda connection: list(connection.execute(found)), read=True)


def silence(claim: Claim) -> None:
    """Let the holder give no sign of life any more, without giving the claim back."""
    claim._ended.set()


def end_lease(database: Database) -> None:
    """Let every lease be over."""
    over = sa.update(ClaimRow).values(lease_until=epoch_now() - 1)
    database.run(lambda connection: connection.execute(over))


def test_one_holder_at_a_time(database: Database) -> None:
    """A key that is held is given to nobody else, another key is; released it is free, and its row is gone."""
    with database.claim("one") as first:
        assert database.claim("one") is None
        other = database.claim("One")
        assert other is not None
        other.release()
        other.release()
        ((key, fence, holder, left),) = rows(database)
        assert (key, fence, holder) == ("one", first.fence, first.holder) == ("one", 1, holder)
        assert 50 < left <= database.settings.claim_lease == 60
    assert rows(database) == []
    again = database.claim("one")
    assert again.holder != first.holder
    again.release()


def test_a_lease_that_is_over_can_be_taken(database: Database) -> None:
    """After the lease another one takes the key with the next fence; the first can neither commit nor release anything."""
    first = database.claim("key", lease=60)
    silence(first)
    assert database.claim("key") is None
    end_lease(database)
    second = database.claim("key")
    assert (second.fence, second.key) == (2, "key")
    made = Box(name="box", data=1)
    with pytest.raises(ClaimLostError, match="Nothing was committed"), database.transaction():
        database.write(first.check)
        made.save()
    assert not made.is_saved
    assert first.is_lost
    assert Box.query().count() == 0
    assert first.extend() is False
    first._ended.clear()
    first.release()
    assert [row.fence for row in rows(database)] == [2]
    with database.transaction():
        made.save()
        database.write(second.check)
    assert Box.load("box").data == 1
    second.release()


def test_a_lease_that_is_over_but_was_not_taken_still_holds(database: Database) -> None:
    """The fence decides and not the time: a late holder that nobody replaced commits, and has its lease back with that."""
    claim = database.claim("key")
    silence(claim)
    end_lease(database)
    with database.transaction():
        database.write(claim.check)
        Box(name="box", data=1).save()
    assert rows(database)[0].left > 50
    assert Box.load("box").version == 1


def test_a_holder_keeps_its_lease(local: Database) -> None:
    """A claim is held for many leases while its thread beats, and no thread is left when it is released."""
    before = threading.active_count()
    with local.claim("key", lease=0.4) as claim:
        for _ in range(6):
            time.sleep(0.2)
            assert local.claim("key") is None
        assert not claim.is_lost
    time.sleep(0.4 / BEATS)
    assert threading.active_count() == before


def test_a_holder_notices_that_it_was_replaced(local: Database) -> None:
    """When the next beat finds another holder, the claim says that it is lost, and beats no more."""
    claim = local.claim("key", lease=0.2)
    other = sa.update(ClaimRow).values(holder="other", fence=2)
    local.run(lambda connection: connection.execute(other))
    deadline = time.monotonic() + 30
    while not claim.is_lost:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def answer_lost(database: Database) -> Iterator[list[str]]:
    """Let the next commit that takes a key succeed, and its answer get lost with the connection."""
    taken: list[str] = []
    cut: list[str] = []
    true = database.engine.dialect.do_commit

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT INTO claims", "UPDATE claims")):
            taken.append(statement)

    def commit(connection: Any) -> None:
        true(connection)
        if taken and not cut:
            cut.append(taken[0])
            twins.end_connections(database)
            connection.cursor().execute("SELECT 1")  # raises what this driver raises when the server is gone

    sa.event.listen(database.engine, "after_cursor_execute", note)
    database.engine.dialect.do_commit = commit
    yield cut
    database.engine.dialect.do_commit = true
    sa.event.remove(database.engine, "after_cursor_execute", note)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_lost_answer_is_no_second_holder(new_database: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    """When the answer to taking a key is lost with the connection, the one who took it has it, with the fence that counts."""
    database = simpleml.connect(new_database(kind), store=tmp_path / "store", home=tmp_path / "home")
    for fence, verb in enumerate(("INSERT", "UPDATE"), 1):
        with answer_lost(database) as cut:
            claim = database.claim("key")
        assert cut[0].startswith(verb)
        assert claim is not None
        silence(claim)
        assert [(row.holder, row.fence) for row in rows(database)] == [(claim.holder, fence)]
        assert claim.fence == fence
        end_lease(database)


def test_a_release_that_fails_hides_nothing(
    local: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database is gone when the block ends, the block's own result stands, and the log says that the lease will end."""
    with caplog.at_level(logging.WARNING), local.claim("key"):

        def gone(*_: object, **__: object) -> None:
            raise DatabaseError("gone")

        monkeypatch.setattr(Database, "run", gone)
    assert "ends with its lease" in caplog.text


def test_a_key_has_to_be_text_that_can_be_stored(local: Database) -> None:
    """An empty key, one of another type and one too long are refused before anything is asked."""
    for wrong in ("", "x" * 256, "a\0b", 1):
        with pytest.raises(IdentityError, match="the key of a claim"):
            local.claim(wrong)


@pytest.mark.parametrize("lease", [0, -1.0, float("nan"), float("inf"), "60", True])
def test_a_lease_has_to_be_a_time(local: Database, lease: object) -> None:
    """A lease of no time, or of something that is none, is refused and nothing is claimed; whatever a clock can count is taken."""
    with pytest.raises(
        ConfigurationError, match=r"claim_lease cannot be .*; expected a number of seconds, more than 0"
    ):
        local.claim("key", lease=lease)
    assert rows(local) == []
    with local.claim("key", lease=1e15) as claim:
        assert claim.lease == 1e15


def test_the_settings_say_how_long_a_lease_is(tmp_path: Path) -> None:
    """A claim without a lease of its own has that of the settings."""
    with simpleml.connect(tmp_path / "claims.db", home=tmp_path, claim_lease=7.5) as database:
        held = database.claim("key")
        assert held.lease == 7.5
        assert 0 < rows(database)[0].left <= 7.5
        held.release()


def test_a_backup_knows_nothing_of_claims(database: Database, tmp_path: Path, new_database: Any) -> None:
    """What was claimed when a backup was made is not claimed in what is restored, and a claim makes no database filled."""
    Box(name="box", data=1).save()
    held = database.claim("key")
    backup.backup(database, tmp_path / "backup")
    held.release()
    with simpleml.connect(new_database("sqlite"), store=tmp_path / "restored", home=tmp_path / "home") as other:
        left = other.claim("left by somebody")
        backup.restore(other, tmp_path / "backup")
        assert [row.key for row in rows(other)] == ["left by somebody"]
        assert Box.load("box").data == 1
        left.release()
