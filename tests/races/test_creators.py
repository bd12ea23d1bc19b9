"""Many processes that ask for the same thing at once, holders that die, and holders that come back to life."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.races import creating
from tests.races.crew import Actor, Crew
from tests.races.work import Place


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    """The folder in which every build leaves a file."""
    folder = tmp_path / "builds"
    folder.mkdir()
    return folder


def count(builds: Path) -> int:
    """How often the model was built."""
    return len(list(builds.iterdir()))


def saved(place: Place) -> list[Any]:
    """The models that there are, and that no claim is left."""
    with place.opened() as database:
        assert database.claim("anything") is not None
        return [row["id"] for row in database.select("model", {})]


def signalled(actor: Actor, number: signal.Signals) -> None:
    """Send a signal to a process of the crew."""
    assert actor._process.pid is not None
    os.kill(actor._process.pid, number)


def ask_together(crew: Crew, place: Place, builds: Path, twin: str = "") -> list[Any]:
    """Let 16 processes ask at one instant."""
    with place.opened():
        pass
    return crew.together(16, creating.ask, place, str(builds), 0.5, twin)


def test_sixteen_processes_make_one_model(crew: Crew, place: Place, builds: Path) -> None:
    """16 processes that ask for the same model get the same record, which one of them built, once."""
    outcomes = ask_together(crew, place, builds)
    (made,) = saved(place)
    assert outcomes == [(made, 1)] * 16
    assert count(builds) == 1


def test_without_claims_there_are_several(crew: Crew, new_place: Any, builds: Path) -> None:
    """The same without claims builds and saves more than one, so the test above would see it."""
    place = new_place("sqlite")
    ask_together(crew, place, builds, "no_claim")
    assert count(builds) > 1
    assert len(saved(place)) > 1


def test_a_holder_that_is_killed_is_replaced(crew: Crew, place: Place, builds: Path) -> None:
    """When the process that builds is killed, one that waits builds when the lease is over: one record, by the second."""
    first = crew.start(creating.ask_alone, place, str(builds), 1.0, True)
    first.until("building")
    others = [crew.start(creating.ask_alone, place, str(builds), 1.0, False) for _ in range(3)]
    first.kill()
    outcomes = [other.result() for other in others]
    (made,) = saved(place)
    assert outcomes == [(made, 1)] * 3
    assert count(builds) == 2


def test_a_holder_at_work_is_not_replaced(crew: Crew, place: Place, builds: Path) -> None:
    """While the holder lives, its lease goes on however long it takes: one that waits for three leases builds nothing."""
    first = crew.start(creating.ask_alone, place, str(builds), 0.8, True)
    first.until("building")
    second = crew.start(creating.ask_alone, place, str(builds), 0.8, False)
    assert not second.pipe.poll(2.4)
    first.go()
    (made,) = {first.result(), second.result()}
    assert saved(place) == [made[0]]
    assert count(builds) == 1


@pytest.mark.parametrize("twin", ["", "no_fence"])
def test_a_stalled_holder_cannot_commit(crew: Crew, place: Place, builds: Path, twin: str) -> None:
    """A holder that was silent for longer than its lease gets what the other one saved; without the fence it adds a second."""
    stalled = crew.start(creating.ask_alone, place, str(builds), 1.0, True, twin)
    stalled.until("building")
    signalled(stalled, signal.SIGSTOP)
    other = crew.start(creating.ask_alone, place, str(builds), 1.0, False).result()
    signalled(stalled, signal.SIGCONT)
    stalled.go()
    late = stalled.result()
    assert count(builds) == 2
    if twin:
        assert late != other
        assert len(saved(place)) == 2
    else:
        assert late == other
        assert saved(place) == [other[0]]


def test_a_whole_chain_is_made_once(crew: Crew, place: Place) -> None:
    """6 processes that ask for a metric and all that it is made from, with classes of ours, make one of each and agree."""
    with place.opened():
        pass
    outcomes = crew.together(6, creating.ask_for_all, place)
    assert outcomes == [outcomes[0]] * 6, outcomes
    with place.opened() as database:
        made = [[row["id"] for row in database.select(kind, {})] for kind in ("metric", "model", "pipeline", "dataset")]
    assert made == [[id_] for id_ in outcomes[0]]


def test_sixteen_processes_make_one_dataset(crew: Crew, place: Place) -> None:
    """Of 16 processes half ask for a dataset by its content and half by its description: all get the one record there is."""
    with place.opened():
        pass
    outcomes = crew.together(16, creating.ask_for_data, place, None)
    with place.opened() as database:
        assert [row["id"] for row in database.select("dataset", {})] == list(set(outcomes))


@pytest.mark.parametrize("twin", ["", "no_content_claim"])
@pytest.mark.parametrize("strict", [True, False])
def test_content_and_description_are_one_dataset(crew: Crew, place: Place, strict: bool, twin: str) -> None:
    """Who asks by content waits for who saves what was asked for by description, and the other way round: one record.

    If what was built is not claimed by its content too, there are two.
    """
    with place.opened():
        pass
    first = crew.start(creating.ask_for_data, 0, place, strict, True, twin)
    first.until("saving")
    second = crew.start(creating.ask_for_data, 1, place, not strict, False, twin)
    assert second.pipe.poll(60 if twin else 1.0) is bool(twin)
    first.go()
    outcomes = {first.result(), second.result()}
    with place.opened() as database:
        assert {row["id"] for row in database.select("dataset", {})} == outcomes
    assert len(outcomes) == (2 if twin else 1)


def test_a_claim_excludes(crew: Crew, place: Place) -> None:
    """Of 8 processes that claim one key over and over only one at a time has it: no count of what they change is lost."""
    counter = Path(place.store).parent / "counter"
    counter.write_text("0")
    with place.opened():
        pass
    assert crew.together(8, creating.claim_on_and_on, place, 10, 60.0) == [10] * 8
    assert counter.read_text() == "80"
