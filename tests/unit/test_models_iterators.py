"""Batches: every row once an epoch, in another order when shuffled, all sections in step, transformed where asked."""

from __future__ import annotations

import sys
from itertools import islice

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.datasets.split import Split
from simpleml.errors import ModelError
from simpleml.models import (
    DatasetSequence,
    PipelineTransformIterator,
    PipelineTransformSequence,
    PythonIterator,
    split_to_ordered_tuple,
)
from simpleml.models.iterators import keras_dataset

ROWS = 10


class Doubling:
    """Stands for a pipeline: anything that transforms features."""

    def transform(self, X):
        """Return twice the features."""
        return X * 2


def numbers(data):
    """Return the first column of a section as a list, whatever holds it."""
    if isinstance(data, list):
        return data
    if scipy.sparse.issparse(data):
        data = data.toarray()
    return np.asarray(data).reshape(len(data), -1)[:, 0].tolist()


def split(**more):
    """Return ten rows with features 0 … 9 and labels that are their negatives."""
    return Split(X=np.arange(ROWS).reshape(-1, 1), y=-np.arange(ROWS), **more)


def rows_of(batches):
    """Return the features and labels of all batches in order, after a look at each batch's being in step."""
    features = [value for batch in batches for value in numbers(batch["X"])]
    labels = [value for batch in batches for value in numbers(batch["y"])]
    assert [-value for value in features] == labels
    return features


SECTIONS = {
    "numpy": np.arange(ROWS),
    "table": np.arange(ROWS).reshape(-1, 1),
    "pandas": pd.DataFrame({"a": range(ROWS)}, index=[7] * ROWS),
    "series": pd.Series(range(ROWS), index=[7] * ROWS),
    "polars": pl.DataFrame({"a": range(ROWS)}),
    "polars series": pl.Series(range(ROWS)),
    "sparse": scipy.sparse.csr_matrix(np.arange(ROWS).reshape(-1, 1)),
    "list": list(range(ROWS)),
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", SECTIONS)
def test_every_row_is_in_one_batch_of_each_epoch(kind, shuffle):
    """Whatever holds the rows, two epochs give each row twice, and a repeated index repeats no row."""
    given_ = Split(X=SECTIONS[kind], y=-np.arange(ROWS))
    batches = PythonIterator(given_, batch_size=3, shuffle=shuffle, random_state=0)
    for _ in range(2):
        epoch = list(batches)
        assert [len(numbers(batch["y"])) for batch in epoch] == [3, 3, 3, 1]
        assert len(batches) == 4
        assert all(type(batch["X"]) is type(SECTIONS[kind]) for batch in epoch)
        assert sorted(rows_of(epoch)) == list(range(ROWS))


def test_shuffled_epochs_differ_from_the_data_and_from_each_other():
    """The first epoch is shuffled already, the second in another way; the seed gives the same again."""
    batches = PythonIterator(split(), batch_size=4, random_state=1)
    first, second = rows_of(list(batches)), rows_of(list(batches))
    assert list(range(ROWS)) != first != second != list(range(ROWS))
    again = PythonIterator(split(), batch_size=4, random_state=1)
    assert [rows_of(list(again)), rows_of(list(again))] == [first, second]
    assert rows_of(list(PythonIterator(split(), shuffle=False))) == list(range(ROWS))


def test_an_infinite_loop_goes_through_whole_epochs():
    """Seven batches of four are two epochs and one batch, each epoch with every row."""
    batches = PythonIterator(split(), infinite_loop=True, batch_size=4, random_state=1)
    seen = list(islice(batches, 7))
    first, second = rows_of(seen[:3]), rows_of(seen[3:6])
    assert sorted(first) == sorted(second) == list(range(ROWS))
    assert first != second


def test_a_finite_iterator_stops_and_begins_again():
    """At the end of an epoch there is nothing more until it is iterated anew; a half epoch is begun from its start."""
    batches = PythonIterator(split(), batch_size=4, shuffle=False)
    assert next(batches)["y"].tolist() == [0, -1, -2, -3]
    assert rows_of(list(batches)) == list(range(ROWS))
    with pytest.raises(StopIteration):
        next(batches)


def test_tuples_hold_features_labels_and_the_other_sections_in_order():
    """X, then y, then whatever else there is; sections that are nothing are left out, also from the batches."""
    others = {"weight": np.ones(ROWS), "none": None, "empty": pd.DataFrame(index=range(ROWS))}
    mixed = Split(weight=others["weight"], y=np.zeros(ROWS), none=None, empty=others["empty"], X=np.arange(ROWS))
    ordered = split_to_ordered_tuple(mixed)
    assert [part is mixed[name] for part, name in zip(ordered, ("X", "y", "weight"), strict=True)] == [True] * 3
    [batch] = PythonIterator(mixed, return_tuple=True, shuffle=False)
    assert type(batch) is tuple
    assert [part.tolist() for part in batch] == [list(range(ROWS)), [0.0] * ROWS, [1.0] * ROWS]
    assert split_to_ordered_tuple({"X": [1]}) == ([1],)


@pytest.mark.parametrize("shuffle", [False, True])
def test_what_is_done_to_a_batch_stays_there(shuffle):
    """A batch is the receiver's own: writing to it changes neither the data nor the next epoch."""
    data = split()
    batches = PythonIterator(data, shuffle=shuffle, batch_size=4)
    for batch in batches:
        batch["X"][:] = 99
        batch["y"][:] = 99
    assert data["X"].max() == 9
    assert sorted(rows_of(list(batches))) == list(range(ROWS))


@pytest.mark.parametrize("return_tuple", [False, True])
def test_a_pipeline_transforms_the_features_of_each_batch(return_tuple):
    """Splits and tuples come out as such, with transformed features and the labels as they were."""
    plain = PythonIterator(split(), batch_size=4, shuffle=False, return_tuple=return_tuple)
    made = PipelineTransformIterator(Doubling(), plain)
    for _ in range(2):
        batches = list(made)
        assert len(batches) == len(made) == 3
        assert {type(batch) for batch in batches} == {tuple if return_tuple else Split}
        parts = [batch if return_tuple else (batch["X"], batch["y"]) for batch in batches]
        assert [value for X, _ in parts for value in numbers(X)] == [2 * value for value in range(ROWS)]
        assert [value for _, y in parts for value in numbers(y)] == [-value for value in range(ROWS)]


def test_features_alone_are_transformed_too():
    """An iterator over bare tables gives bare transformed tables."""
    tables = iter([np.ones(2), np.ones(1)])
    assert [each.tolist() for each in PipelineTransformIterator(Doubling(), tables)] == [[2.0, 2.0], [2.0]]


@pytest.mark.parametrize("return_tuple", [False, True])
def test_a_sequence_gives_batches_by_number(return_tuple):
    """`len`, `[number]`, negative numbers and iteration agree; an epoch's end gives another order and the same rows."""
    plain = DatasetSequence(split(), batch_size=4, return_tuple=return_tuple, random_state=3)
    made = PipelineTransformSequence(Doubling(), plain)
    features = lambda batch: numbers(batch[0] if return_tuple else batch["X"])
    for factor, sequence in ((1, plain), (2, made)):
        assert len(sequence) == 3
        first = [features(sequence[number]) for number in range(3)]
        assert first == [features(batch) for batch in sequence]
        assert features(sequence[-1]) == first[-1]
        for number in (3, -4):
            with pytest.raises(IndexError):
                sequence[number]
        sequence.on_epoch_end()
        second = [features(batch) for batch in sequence]
        assert first != second
        for epoch in (first, second):
            assert sorted(value for batch in epoch for value in batch) == [factor * value for value in range(ROWS)]


def test_an_unshuffled_sequence_keeps_its_order():
    """The end of an epoch changes nothing when rows are not shuffled."""
    sequence = DatasetSequence(split(), batch_size=4, shuffle=False)
    sequence.on_epoch_end()
    assert [value for X, _ in sequence for value in numbers(X)] == list(range(ROWS))


@settings(max_examples=50)
@given(rows=st.integers(0, 40), size=st.integers(1, 50), shuffle=st.booleans())
def test_batches_have_the_wanted_size_and_all_rows(rows, size, shuffle):
    """For any number of rows and any size: as many batches as `len` says, all but the last one full, each row once."""
    batches = list(PythonIterator(Split(X=np.arange(rows)), batch_size=size, shuffle=shuffle))
    assert len(batches) == -(-rows // size) == len(DatasetSequence(Split(X=np.arange(rows)), batch_size=size))
    assert all(len(batch["X"]) == size for batch in batches[:-1])
    assert sorted(value for batch in batches for value in batch["X"].tolist()) == list(range(rows))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PythonIterator(split(), batch_size=0), "batch_size is 0"),
        (lambda: PythonIterator(split(), batch_size=2.5), r"batch_size is 2\.5"),
        (lambda: PythonIterator(Split(X=[]), infinite_loop=True), "without rows"),
        (lambda: DatasetSequence(Split(X=[1, 2], y=[1])), r"same number of rows.*X: 2, y: 1"),
        (lambda: next(PythonIterator(Split(X={"a": 1}))), "no rows by position"),
    ],
    ids=["no rows a batch", "half a row", "endless nothing", "out of step", "no table"],
)
def test_what_cannot_be_cut_into_batches_is_told(make, message):
    """A wrong size, a split without rows for ever, sections out of step, and data without rows are taught errors."""
    with pytest.raises(ModelError, match=message):
        make()


def test_keras_takes_the_sequences(monkeypatch):
    """A network learns the doubled numbers from batches that a pipeline transforms, epoch after epoch in another order."""
    if "keras" not in sys.modules:
        monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras

    plain = DatasetSequence(
        Split(X=np.linspace(-1, 1, 64).reshape(-1, 1), y=np.linspace(-2, 2, 64)), batch_size=16, return_tuple=False
    )
    batches = keras_dataset(PipelineTransformSequence(Doubling(), plain))
    assert isinstance(batches, keras.utils.PyDataset)
    network = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    network.compile("sgd", loss="mse")
    before = plain._order.copy()
    network.fit(batches, epochs=60, verbose=0)
    assert not np.array_equal(before, plain._order)
    assert network.predict(np.array([[3.0]]), verbose=0).item() == pytest.approx(3.0, abs=0.05)
