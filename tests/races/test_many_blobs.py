"""Many blobs at once: announced and claimed by few statements, with the promises that each of them had alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Connection, delete, select, update

from simpleml.orm import blobs
from simpleml.orm.database import Database
from simpleml.orm.tables import Blob, BlobRef, BlobState
from tests.races import work
from tests.races.crew import Crew
from tests.races.test_statements import counting
from tests.races.work import Note, Place

COUNT = 1203  # more than two statements take
CONTENTS = [(f"blake3:{number:064x}", number) for number in range(COUNT)]


def announced(database: Database) -> list[str]:
    """Announce all contents, and return their keys."""
    return [intent.key for intent in database.places.ledger.intend_many(CONTENTS, store="default")]


def become(database: Database, keys: list[str], state: BlobState) -> None:
    """Let blobs be in this state."""
    database.run(
        lambda connection: connection.execute(update(Blob).where(Blob.key.in_(keys)).values(state=state)).close()
    )


def spoil(database: Database, key: str, how: str) -> None:
    """Let one blob be condemned, damaged or gone."""
    if how == "gone":
        database.run(lambda connection: connection.execute(delete(Blob).where(Blob.key == key)).close())
    else:
        become(database, [key], BlobState(how))


def rows(database: Database) -> dict[str, tuple[BlobState, int]]:
    """Return state and count of references of every blob."""
    found = select(Blob.key, Blob.state, Blob.refs)
    return database.run(
        lambda connection: {key: (state, refs) for key, state, refs in connection.execute(found)}, read=True
    )


def claimed(database: Database, wanted: list[tuple[UUID, str]]) -> None:
    """Claim blobs in a transaction of its own."""
    database.run(lambda connection: blobs.claim(connection, wanted, 60.0))


def without_check(connection: Connection, statement: Any, keys: list[str], values: dict[str, Any]) -> set[str]:
    """The twin for which a statement that found any row has found them all."""
    return set() if connection.execute(statement, {"keys": keys, **values}).rowcount else set(keys)


def test_each_content_is_announced_as_alone(database: Database) -> None:
    """Of many contents the live ones are found, by their first key; those of any other state get a new key, and keep their order."""
    first = announced(database)
    assert rows(database) == dict.fromkeys(first, (BlobState.PENDING, 0))
    live, damaged, condemned = first[:600], first[600:601], first[700:]
    for keys, state in ((live, BlobState.LIVE), (damaged, BlobState.DAMAGED), (condemned, BlobState.CONDEMNED)):
        become(database, keys, state)
    second = database.places.ledger.intend_many(CONTENTS, store="default")
    assert [intent.key for intent in second if intent.stored] == live
    assert [intent.stored for intent in second] == [True] * 600 + [False] * (COUNT - 600)
    assert len({intent.key for intent in second}.difference(first)) == COUNT - 600
    become(database, [intent.key for intent in second], BlobState.LIVE)
    third = [intent.key for intent in database.places.ledger.intend_many(CONTENTS[::-1], store="default")][::-1]
    assert third[600:] == [intent.key for intent in second[600:]]
    assert database.places.ledger.intend_many([], store="default") == []


def test_a_lease_that_cannot_be_extended_is_a_new_key(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that is condemned just after it was found live is announced anew; the others of its batch are reused."""
    keys = announced(database)[:3]
    become(database, keys, BlobState.LIVE)
    right = blobs._missed

    def overtaken(connection: Connection, statement: Any, keys: list[str], values: dict[str, Any]) -> set[str]:
        connection.execute(update(Blob).where(Blob.key == keys[1]).values(state=BlobState.CONDEMNED))
        return right(connection, statement, keys, values)

    monkeypatch.setattr(blobs, "_missed", overtaken)
    intents = database.places.ledger.intend_many(CONTENTS[:3], store="default")
    lost = sorted(keys)[1]
    assert [intent.key for intent in intents if intent.stored] == [key for key in keys if key != lost]
    assert rows(database)[intents[keys.index(lost)].key] == (BlobState.PENDING, 0)


@pytest.mark.parametrize("how", ["condemned", "damaged", "gone"])
def test_all_are_claimed_or_none(database: Database, how: str) -> None:
    """One unusable blob among many is named, and no other is claimed."""
    keys = announced(database)
    odd = sorted(keys)[555]
    spoil(database, odd, how)
    before = rows(database)
    with pytest.raises(blobs.BlobsLost) as caught:
        claimed(database, [(uuid4(), key) for key in keys])
    assert caught.value.keys == {odd}
    assert rows(database) == before


@pytest.mark.parametrize("how", ["condemned", "damaged"])
def test_a_claim_that_asks_for_any_row_is_caught(database: Database, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin that does not compare the number of rows commits references to a blob that may be gone tomorrow."""
    monkeypatch.setattr(blobs, "_missed", without_check)
    keys = announced(database)
    odd = sorted(keys)[555]
    spoil(database, odd, how)
    claimed(database, [(uuid4(), key) for key in keys])
    assert rows(database)[odd] == (BlobState(how), 0)


def test_blobs_are_counted_as_often_as_they_are_wanted(database: Database) -> None:
    """Two records with the same blobs, and one of them with more, count each reference; releasing takes them back."""
    keys = announced(database)
    few = announced(database)[::7]
    one, other = uuid4(), uuid4()
    claimed(database, [*((one, key) for key in [*keys, *few]), *((other, key) for key in few)])
    expected = {key: (BlobState.LIVE, 2 if key in few else 1) for key in [*keys, *few]}
    assert {key: found for key, found in rows(database).items() if key in expected} == expected
    database.run(lambda connection: blobs.release(connection, other, 0.0))
    found = rows(database)
    assert {found[key] for key in expected} == {(BlobState.LIVE, 1)}
    database.run(lambda connection: blobs.release(connection, one, 0.0))
    found = rows(database)
    assert {found[key] for key in expected} == {(BlobState.LIVE, 0)}
    assert database.run(lambda connection: connection.execute(select(BlobRef.key)).all(), read=True) == []


def test_chunks_cost_few_statements(database: Database) -> None:
    """An artifact of some hundred chunks is announced and claimed by a tenth as many statements."""
    database.places.store("default").chunked = True
    with counting(database) as seen:
        saved = Note(name="big", data=np.random.default_rng(0).random(4_000_000)).save()
    parts = next(iter(saved.filepaths["data"].values()))["parts"]
    assert len(parts) > 200
    assert len([statement for statement in seen if "INTO blob_refs" not in statement]) < len(parts) / 10


def test_batches_that_overlap_do_not_lose(crew: Crew, place: Place) -> None:
    """Four processes that claim and give up overlapping choices of the same many blobs all come to their end."""
    with place.opened() as database:
        keys = announced(database)
    outcomes = crew.together(4, work.claim_again_and_again, place, keys[:200], 10)
    assert outcomes == [10] * 4
    with place.opened() as database:
        found = rows(database)
        assert {found[key] for key in keys[:200]} == {(BlobState.LIVE, 0)}
