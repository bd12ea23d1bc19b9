"""Bytes in a store that are not those that were saved: every one is found, before anything is parsed."""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simpleml import Artifact, Persistable
from simpleml.errors import ArtifactDamagedError, ArtifactError, ArtifactMissingError, SimpleMLError
from simpleml.persistables.loading import from_row
from simpleml.save_patterns.locations.local import LocalStore

_EVERY = 8192  # objects up to this size are damaged at every position
_SAMPLE = 400

_unpickled: list[str] = []
_listening = False


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "pickle.find_class":
        _unpickled.append(f"{arguments[0]}.{arguments[1]}")


sys.addaudithook(_listen)


class Canary:
    """Says so when it is unpickled."""

    sung = 0

    def __reduce__(self):
        return _sing, ()


def _sing() -> Canary:
    Canary.sung += 1
    return Canary()


class Kept(Persistable):
    """One artifact by each way to keep it."""

    pickled: Artifact = Artifact("pickled", identity=False)
    numpy: Artifact = Artifact("numpy", identity=False)
    parquet: Artifact = Artifact("parquet", identity=False)
    json: Artifact = Artifact("json", identity=False)
    large: Artifact = Artifact("numpy", identity=False)


PATTERNS = ("pickled", "numpy", "parquet", "json", "large")


@pytest.fixture
def kept(local):
    """The row of a saved object, and where the file of each artifact is."""
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
    saved = Kept(name="kept", pickled=Canary(), numpy=np.arange(30.0), parquet=frame, json={"a": [1, 2.5, None]})
    saved.large = np.random.default_rng(7).normal(size=200_000)
    saved.save()
    [row] = local.select("persistable", {"name": "kept"})
    store = local.places.store("default")
    assert isinstance(store, LocalStore)
    return (
        local,
        row,
        {name: store.root / reference["key"] for name in PATTERNS for reference in row["filepaths"][name].values()},
    )


def _error(kept, name: str) -> SimpleMLError | None:
    """Load one artifact and return what that raises."""
    database, row, _ = kept
    try:
        getattr(from_row(row, database), name)
    except SimpleMLError as error:
        return error
    return None


def _missed(kept, name: str, damages, kind: type[ArtifactError]) -> list[str]:
    """Apply every damage to the file of an artifact in turn; return those that were not told as they should."""
    global _listening
    _, row, files = kept
    [reference] = row["filepaths"][name].values()
    whole = files[name].read_bytes()
    missed = []
    Canary.sung = 0
    _unpickled.clear()
    _listening = True
    try:
        for title, data in damages(whole):
            files[name].write_bytes(data)
            error = _error(kept, name)
            told = str(error)
            words = (repr(name), "'default'", reference["key"], str(files[name].parents[2]))
            if type(error) is not kind or not all(word in told for word in words):
                missed.append(f"{title}: {error!r}")
    finally:
        _listening = False
        files[name].write_bytes(whole)
    assert _error(kept, name) is None
    return missed


def _flips(whole: bytes):
    """Flip one bit at every position of a small object, at many of a large one: each bit of a byte in turn."""
    positions = range(len(whole))
    if len(whole) > _EVERY:
        ends = [0, 1, len(whole) - 2, len(whole) - 1]
        positions = [*ends, *random.Random(len(whole)).sample(positions, _SAMPLE)]
    data = bytearray(whole)
    for count, position in enumerate(positions):
        data[position] ^= 1 << (count % 8)
        yield f"bit {count % 8} of byte {position}", bytes(data)
        data[position] = whole[position]


def _lengths(whole: bytes):
    """Cut off and add bytes."""
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        yield f"cut to {length} of {len(whole)}", whole[:length]
    for more in (b"\0", b"\n", whole):
        yield f"{len(more)} bytes more", whole + more


def _swaps(whole: bytes):
    """Put other bytes of the same length."""
    yield "turned round", whole[::-1]
    yield "zeros", bytes(len(whole))


@pytest.mark.parametrize("damages", [_flips, _lengths, _swaps])
@pytest.mark.parametrize("name", PATTERNS)
def test_every_damage_is_found_before_anything_is_parsed(kept, name, damages):
    """Any flipped bit, any other length and any other content is an error that names artifact, store and key; no pickle is read."""
    assert _missed(kept, name, damages, ArtifactDamagedError) == []
    assert Canary.sung == (1 if name == "pickled" else 0), (
        "the canary sings once, for the whole bytes after the damages"
    )
    assert _unpickled == []


@pytest.mark.parametrize("name", PATTERNS)
def test_another_object_in_its_place_is_found(kept, name):
    """A valid object of the same store under the wrong key is damage, even where its format is the same."""
    _, _, files = kept
    others = [(other, files[other].read_bytes()) for other in PATTERNS if other != name]
    assert _missed(kept, name, lambda _: others, ArtifactDamagedError) == []
    assert _unpickled == []


@pytest.mark.parametrize("name", PATTERNS)
def test_a_missing_object_is_an_error_that_says_which(kept, name):
    """An object that is gone is an `ArtifactMissingError` that names artifact, store and key, and where the store is."""
    _, row, files = kept
    whole = files[name].read_bytes()
    files[name].unlink()
    error = _error(kept, name)
    [reference] = row["filepaths"][name].values()
    assert type(error) is ArtifactMissingError
    assert all(word in str(error) for word in (repr(name), "'default'", reference["key"], str(files[name].parents[2])))
    files[name].write_bytes(whole)
    assert _error(kept, name) is None


@pytest.fixture
def unchecked(kept, monkeypatch):
    """A store that vouches for whatever it reads: the known-bad twin."""
    _, row, _ = kept
    digests = {
        reference["key"]: reference["digest"] for each in row["filepaths"].values() for reference in each.values()
    }
    read = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda self, key, size: (read(self, key, size)[0], digests[key]))
    return kept


def test_unchecked_flips_would_come_back_as_wrong_values(unchecked):
    """The same flips against a load that compares no digest: most come back as another value and no error at all."""
    missed = _missed(unchecked, "numpy", _flips, ArtifactDamagedError)
    assert sum(told.endswith(": None") for told in missed) > 200


def test_unchecked_flips_would_be_unpickled(unchecked):
    """The listeners do hear a pickle that is read: unchecked, damaged ones import what they name, and the canary sings."""
    global _listening
    _, _, files = unchecked
    Canary.sung = 0
    _unpickled.clear()
    _listening = True
    try:
        for _, data in _flips(files["pickled"].read_bytes()):
            files["pickled"].write_bytes(data)
            with contextlib.suppress(Exception):  # what a damaged pickle makes go wrong is not the point
                _error(unchecked, "pickled")
    finally:
        _listening = False
    assert Canary.sung > 0
    assert len(_unpickled) > Canary.sung
