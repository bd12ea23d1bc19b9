"""Splits: which rows are in which one, for any data, sizes and seed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simpleml.errors import PipelineError
from simpleml.pipelines import partition
from simpleml.pipelines.sizes import checked_sizes, row_counts
from simpleml.pipelines.splits import (
    ChronologicalSplit,
    ExplicitSplit,
    GroupedSplit,
    KFold,
    NoSplit,
    RandomSplit,
    RepeatedKFold,
    StratifiedSplit,
    from_config,
)

ROOT = Path(__file__).resolve().parents[2]
SIZED = settings(max_examples=60)


class Table:
    """Rows and columns, as a splitter sees a dataset."""

    def __init__(self, rows, **columns):
        self.row_count = rows
        self._columns = columns

    def column_values(self, name):
        return np.asarray(self._columns[name])


def rows_of(positions, rows):
    """Return positions as a list, whatever form they have."""
    return np.arange(rows)[positions].tolist()


def divided(splitter, table):
    """Return the rows of each split as lists."""
    return {name: rows_of(found, table.row_count) for name, found in splitter.positions(table).items()}


def disjoint(splits):
    """Whether no row is in two splits."""
    return max(Counter(row for rows in splits.values() for row in rows).values(), default=0) <= 1


small = st.integers(0, 2**32)
shares = st.tuples(st.integers(1, 60), st.integers(0, 30), st.integers(1, 40)).map(
    lambda parts: [float(Fraction(part, sum(parts))) for part in parts]
)


# sizes


@SIZED
@given(rates=shares, rows=st.integers(0, 3000))
def test_rates_that_make_the_whole_leave_no_row_over(rates, rows):
    """Counts add up to the rows, each within one of its rate; a split that would be empty is an error instead."""
    sizes = checked_sizes(dict(zip(("TRAIN", "VALIDATION", "TEST"), rates, strict=True)))
    if any(rate * rows < 1 for rate in rates):
        with contextlib.suppress(PipelineError):
            assert all(row_counts(sizes, rows)[name] for name, rate in sizes.items() if rate)
        return
    counts = row_counts(sizes, rows)
    assert sum(counts.values()) == rows
    assert all(abs(counts.get(name, 0) - rate * rows) < 1 + 1e-6 for name, rate in sizes.items())


@pytest.mark.parametrize(
    ("sizes", "rows", "expected"),
    [
        ({"TRAIN": 0.5, "VALIDATION": 0.1, "TEST": 0.2}, 100, {"TRAIN": 50, "VALIDATION": 10, "TEST": 20}),
        ({"TRAIN": 0.7, "VALIDATION": 0.0, "TEST": None}, 10, {"TRAIN": 7, "TEST": 3}),
        ({"TRAIN": None, "VALIDATION": 2, "TEST": 3}, 10, {"TRAIN": 5, "VALIDATION": 2, "TEST": 3}),
        ({"TRAIN": 0.1, "VALIDATION": 0.2, "TEST": 0.7}, 10, {"TRAIN": 1, "VALIDATION": 2, "TEST": 7}),
        ({"TRAIN": 1, "VALIDATION": 0, "TEST": None}, 10, {"TRAIN": 1, "TEST": 9}),
        ({"TRAIN": 1.0, "VALIDATION": 0.0, "TEST": 0.0}, 10, {"TRAIN": 10}),
        ({"TRAIN": 0.5, "VALIDATION": 0.0, "TEST": 0.5}, 5, {"TRAIN": 3, "TEST": 2}),
        ({"TRAIN": 0.15, "VALIDATION": 0.0, "TEST": None}, 10, {"TRAIN": 2, "TEST": 8}),  # 1.5 rows, as it is written
        ({"TRAIN": 1 / 3, "VALIDATION": 1 / 3, "TEST": 1 / 3}, 10, {"TRAIN": 4, "VALIDATION": 3, "TEST": 3}),
        (
            {"TRAIN": np.float64(0.8), "VALIDATION": np.int64(1), "TEST": None},
            10,
            {"TRAIN": 8, "VALIDATION": 1, "TEST": 1},
        ),
    ],
)
def test_every_size_that_is_given_counts(sizes, rows, expected):
    """Rates, numbers and the remainder mean what they say, also beside each other; 1 is a row, 1.0 all of them."""
    assert row_counts(checked_sizes(sizes), rows) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSplit(0.9, 0.2), r"train_size=0\.9.*1\.1 of the rows, more than there can be"),
        (lambda: RandomSplit(), "TRAIN and TEST are both None"),
        (lambda: RandomSplit(0, 0), "leaves every split empty"),
        (lambda: RandomSplit(80.0), "a rate is between 0.0 and 1.0"),
        (lambda: RandomSplit(-1), "fewer than 0"),
        (lambda: RandomSplit(float("nan")), "a rate is between"),
        (lambda: RandomSplit("0.8"), "train_size is '0.8'.*number of rows such as 800"),
        (lambda: RandomSplit(True), "train_size is True"),
        (lambda: RandomSplit(0.8, random_state=None), "random_state is None.*the same rows come back"),
        (lambda: RandomSplit(0.8, random_state=-1), "random_state is -1"),
        (lambda: RandomSplit(0.8, shuffle=1), "shuffle is 1"),
        (lambda: StratifiedSplit(["y"], 0.8), "takes the name of the column"),
        (lambda: ChronologicalSplit("t", 0.8, ties="divided"), "did you mean 'divide'"),
        (lambda: KFold(1), "n_splits is 1, but must be a whole number from 2 on"),
        (lambda: KFold(3, fold=4), "fold is 4, but must be a whole number from 1 to 3"),
        (lambda: KFold(3, stratify="a", group="b"), "not both"),
        (lambda: RepeatedKFold(3, fold=1), "by both repeat= and fold="),
        (lambda: RepeatedKFold(3, shuffle=False), "every repeat has the same folds"),
        (lambda: from_config({"kind": "randon"}), "did you mean 'random'"),
        (lambda: from_config({"kind": "random", "size": 1}), "cannot be made of"),
    ],
)
def test_a_division_that_fits_no_data_is_refused_at_once(make, message):
    """Sizes, seeds, columns and folds are checked when they are given, before there is any data."""
    with pytest.raises(PipelineError, match=message):
        make()


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (RandomSplit(80, 40), "train_size=80.*needs 120 rows, but the dataset has 100"),
        (RandomSplit(0.9, 20), "needs 110 rows"),
        (RandomSplit(1.0), r"TEST would be empty.*test_size=0 to have no such split"),
        (RandomSplit(0.999, 0.001), "TEST would be empty"),
        (GroupedSplit("g", 0.5, 0.3, 0.2), "2 groups for the splits TRAIN, VALIDATION, TEST"),
        (GroupedSplit("m", 0.5), r"'m' is missing in 1 rows \(the first at position 7\)"),
        (ChronologicalSplit("m", 0.5), "'m' is missing in 1 rows"),
        (ChronologicalSplit("g", 0.5, 0.3, 0.2), "2 different times, too few for TRAIN, VALIDATION, TEST"),
        (ChronologicalSplit("mixed", 0.5), "'mixed' cannot be put in order"),
        (StratifiedSplit("lists", 0.5), "'lists' holds values that cannot be told apart"),
        (KFold(101), "101 folds of 100 rows"),
        (KFold(3, group="g"), "2 groups for 3 folds"),
    ],
)
def test_data_that_cannot_be_divided_so_is_refused(splitter, message):
    """Too few rows, groups or times, missing keys and values without an order are errors that say what to do."""
    lists = np.empty(100, object)
    lists[:] = [[1]] * 100
    table = Table(
        100,
        g=np.arange(100) % 2,
        m=np.where(np.arange(100) == 7, np.nan, np.arange(100)),
        mixed=np.array([1, "a"] * 50, object),
        lists=lists,
    )
    with pytest.raises(PipelineError, match=message):
        dict(splitter.positions(table))


# random


@SIZED
@given(rows=st.integers(10, 400), seed=small, rates=shares, shuffle=st.booleans())
def test_random_splits_take_every_row_once(rows, seed, rates, shuffle):
    """Each row is in exactly one split, sizes are exact, and without shuffle splits are slices that follow each other."""
    try:
        splitter = RandomSplit(rates[0], None, rates[1], random_state=seed, shuffle=shuffle)
        splits = splitter.positions(Table(rows))
    except PipelineError:
        assume(False)
    found = {name: rows_of(each, rows) for name, each in splits.items()}
    assert sorted(row for each in found.values() for row in each) == list(range(rows))
    counts = row_counts(checked_sizes({"TRAIN": rates[0], "VALIDATION": rates[1], "TEST": None}), rows)
    assert {name: len(each) for name, each in found.items()} == counts
    if not shuffle:
        assert all(isinstance(each, slice) for each in splits.values())
        assert [row for each in found.values() for row in each] == list(range(rows))


def test_sizes_that_do_not_cover_all_leave_rows_out():
    """Rows that no size asks for are in no split: nothing is filled up behind the user's back."""
    splits = divided(RandomSplit(0.5, 0.2, 0.1), Table(100))
    assert {name: len(rows) for name, rows in splits.items()} == {"TRAIN": 50, "VALIDATION": 10, "TEST": 20}
    assert disjoint(splits)


def test_other_seeds_give_other_rows():
    """The seed decides: neighbours differ, and shuffled rows are not in their old order."""
    drawn = [divided(RandomSplit(0.8, random_state=seed), Table(50))["TRAIN"] for seed in range(20)]
    assert len({tuple(rows) for rows in drawn}) == 20
    assert all(rows != sorted(rows) for rows in drawn)


def test_each_row_is_as_likely_as_any_other():
    """Over many seeds each of 20 rows is in TEST about as often as its size says, and order shows no preference."""
    drawn = [divided(RandomSplit(0.75, random_state=seed), Table(20)) for seed in range(2000)]
    tested = Counter(row for splits in drawn for row in splits["TEST"])
    assert all(400 < tested[row] < 600 for row in range(20))  # 500 expected, 19 is one standard deviation
    firsts = Counter(splits["TRAIN"][0] for splits in drawn)
    assert all(50 < firsts[row] < 160 for row in range(20))


GOLDEN = {
    "random": {"TRAIN": [1, 4, 3, 2, 11, 7], "VALIDATION": [10, 0, 5], "TEST": [8, 9, 6]},
    "stratified": {"TRAIN": [6, 3, 11, 4, 10, 2], "TEST": [9, 0, 8, 7, 5, 1]},
    "grouped": {"TRAIN": [1, 4, 2, 11, 7, 10, 5, 8], "TEST": [3, 0, 9, 6]},
    "chronological": {"TRAIN": [11, 10, 9, 8, 7, 6, 5, 4, 3], "TEST": [2, 1, 0]},
    "k_fold": {
        "FOLD_1_TRAIN": [0, 2, 5, 6, 7, 8, 9, 10, 11],
        "FOLD_1_TEST": [1, 3, 4],
        "FOLD_2_TRAIN": [0, 1, 3, 4, 5, 6, 8, 9, 10],
        "FOLD_2_TEST": [2, 7, 11],
        "FOLD_3_TRAIN": [1, 2, 3, 4, 6, 7, 8, 9, 11],
        "FOLD_3_TEST": [0, 5, 10],
        "FOLD_4_TRAIN": [0, 1, 2, 3, 4, 5, 7, 10, 11],
        "FOLD_4_TEST": [6, 8, 9],
    },
    "repeated": {"TRAIN": [1, 4, 5, 7, 8, 11], "TEST": [0, 2, 3, 6, 9, 10]},
}


def test_positions_are_those_of_every_other_version():
    """The rows that a seed gives are fixed for ever: a pipeline that is loaded years later has the splits it was fitted on."""
    table = Table(12, c=np.array(list("abcabcabcabc"), object), t=np.arange(12)[::-1])
    drawn = {
        "random": divided(RandomSplit(0.5, 3, 3), table),
        "stratified": divided(StratifiedSplit("c", 0.5, random_state=7), table),
        "grouped": divided(GroupedSplit("c", 0.6), table),
        "chronological": divided(ChronologicalSplit("t", 0.75), table),
        "k_fold": divided(KFold(4), table),
        "repeated": divided(RepeatedKFold(2, n_repeats=2, repeat=2, fold=1), table),
    }
    assert drawn == GOLDEN


SCRIPT = """
import sys, json
import numpy as np
sys.path.insert(0, {root!r})
from tests.unit.test_splits import Table, divided
from simpleml.pipelines.splits import *
values = np.array([f"v{{n * n % 17}}" for n in range(200)], object)
table = Table(200, c=values)
made = [StratifiedSplit("c", 0.6), GroupedSplit("c", 0.6), KFold(5, stratify="c"), KFold(5, group="c"), RandomSplit(0.3)]
print(json.dumps([divided(each, table) for each in made]))
"""


def test_positions_are_the_same_in_every_process():
    """Neither the process nor the hash seed of Python changes a row."""
    drawn = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT.format(root=str(ROOT))],
            env={"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(drawn) == 1


# by column

columns = st.lists(st.sampled_from(["a", "b", "c", None, float("nan")]), min_size=12, max_size=200)


def strata_of(values):
    """Return the rows of each value, all that are missing together."""
    found: dict[object, list[int]] = {}
    for row, value in enumerate(values):
        found.setdefault(value if isinstance(value, str) else None, []).append(row)
    return found


@SIZED
@given(values=columns, rates=shares, seed=small, shuffle=st.booleans())
def test_strata_have_their_share_in_every_split_within_one_row(values, rates, seed, shuffle):
    """Of each value (missing ones together) each split has its share to the row, sizes are exact, and rows are in one split."""
    table = Table(len(values), c=np.array(values, object))
    try:
        splits = divided(StratifiedSplit("c", rates[0], rates[2], rates[1], seed, shuffle), table)
    except PipelineError:
        assume(False)
    sizes = checked_sizes(dict(zip(("TRAIN", "VALIDATION", "TEST"), rates, strict=True)))
    assert {name: len(rows) for name, rows in splits.items()} == row_counts(sizes, len(values))
    assert disjoint(splits)
    for rows in strata_of(values).values():
        for held in splits.values():
            share = Fraction(len(rows) * len(held), len(values))
            assert abs(len(set(rows) & set(held)) - share) < 1
    if not shuffle:
        assert all(rows == sorted(rows) for rows in splits.values())


@settings(max_examples=150)
@given(
    rows=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 400), min_size=0, max_size=5),
)
def test_a_rounded_table_keeps_its_sums_and_each_cell(rows, cuts):
    """Controlled rounding: sums of rows and columns are exact, and no cell is further than one from its proportion."""
    total = sum(rows)
    assume(total)
    edges = [0, *sorted(cut % (total + 1) for cut in cuts), total]
    columns = [end - start for start, end in pairwise(edges)]
    cells = partition.rounded_table(rows, columns)
    assert [sum(row) for row in cells] == rows
    assert [sum(column) for column in zip(*cells, strict=True)] == columns
    for row, held in zip(rows, cells, strict=True):
        for column, cell in zip(columns, held, strict=True):
            assert abs(cell - Fraction(row * column, total)) < 1


@SIZED
@given(
    groups=st.lists(st.integers(0, 12), min_size=8, max_size=200),
    rates=shares,
    seed=small,
    shuffle=st.booleans(),
)
def test_groups_are_never_shared(groups, rates, seed, shuffle):
    """All rows of a group are in one split, none is empty, and none exceeds its size by a whole group."""
    table = Table(len(groups), g=np.array(groups))
    try:
        splits = divided(GroupedSplit("g", rates[0], rates[2], rates[1], seed, shuffle), table)
    except PipelineError:
        assume(False)
    held = {name: {groups[row] for row in rows} for name, rows in splits.items()}
    assert sum(len(each) for each in held.values()) == len(set().union(*held.values()))
    sizes = checked_sizes(dict(zip(("TRAIN", "VALIDATION", "TEST"), rates, strict=True)))
    counts = row_counts(sizes, len(groups))
    biggest = max(Counter(groups).values())
    assert all(splits[name] and len(splits[name]) - count < biggest for name, count in counts.items())
    if sum(counts.values()) == len(groups):
        assert sorted(row for rows in splits.values() for row in rows) == list(range(len(groups)))


@SIZED
@given(
    times=st.lists(st.integers(0, 25), min_size=8, max_size=150),
    rates=shares,
    ties=st.sampled_from(["together", "divide"]),
)
def test_what_is_tested_is_later_than_what_is_trained_on(times, rates, ties):
    """Splits follow each other in time, rows within one too; together, no time is in two splits, divided, sizes are exact."""
    table = Table(len(times), t=np.array(times))
    splitter = ChronologicalSplit("t", rates[0], None, rates[1], ties)
    try:
        splits = divided(splitter, table)
    except PipelineError:
        assume(False)
    assert sorted(row for rows in splits.values() for row in rows) == list(range(len(times)))
    seen = [[times[row] for row in rows] for rows in splits.values()]
    assert all(seen)
    assert [time for each in seen for time in each] == sorted(times)
    if ties == "together":
        assert all(max(before) < min(after) for before, after in pairwise(seen))
    else:
        sizes = checked_sizes({"TRAIN": rates[0], "VALIDATION": rates[1], "TEST": None})
        assert {name: len(rows) for name, rows in splits.items()} == row_counts(sizes, len(times))
        in_order = [row for rows in splits.values() for row in rows]
        assert in_order == sorted(range(len(times)), key=times.__getitem__)


@pytest.mark.parametrize(
    "times",
    [
        np.array(["2020-01-03", "2020-01-01", "2020-01-02", "2020-01-04"], "datetime64[ns]"),
        np.array(["2020-01-03", "2020-01-01", "2020-01-02", "2020-01-04"], object),
        np.asarray(pd.to_datetime(["2020-01-03", "2020-01-01", "2020-01-02", "2020-01-04"], utc=True)),
        np.array([3.5, 1.0, 2.0, 9.0]),
    ],
    ids=["datetime64", "texts", "zoned", "floats"],
)
def test_whatever_has_an_order_is_a_time(times):
    """Times, texts in ISO form and numbers put rows in order."""
    assert divided(ChronologicalSplit("t", 0.5), Table(4, t=times)) == {"TRAIN": [1, 2], "TEST": [0, 3]}


def test_rows_that_are_in_order_already_are_slices():
    """Splits of data in the order of time are slices, which copy nothing."""
    found = ChronologicalSplit("t", 0.5).positions(Table(10, t=np.arange(10)))
    assert found == {"TRAIN": slice(0, 5), "TEST": slice(5, 10)}


def test_the_rows_that_are_left_over_are_the_latest():
    """A chronological division that does not cover all rows ends early."""
    assert divided(ChronologicalSplit("t", 2, 3), Table(10, t=np.arange(10))) == {"TRAIN": [0, 1], "TEST": [2, 3, 4]}


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, np.nan, 2.0, np.nan, 1.0]),
        np.array([1, None, 2, None, 1], object),
        np.array([1, pd.NA, 2, float("nan"), 1], object),
        np.array(["2020", "NaT", "2021", "NaT", "2020"], "datetime64[D]"),
        np.array(["b", None, "a", pd.NaT, "b"], object),
    ],
    ids=["floats", "None", "NA", "NaT", "texts"],
)
def test_values_are_told_apart_alike_in_every_type(values):
    """Equal values have one code, missing ones too, in the order of first appearance, whatever the type of the column."""
    codes, count = partition.codes_of(values, "c", missing=True)
    assert (codes.tolist(), count) == ([0, 1, 2, 1, 0], 3)
    with pytest.raises(PipelineError, match="missing in 2 rows"):
        partition.codes_of(values, "c", missing=False)


# folds


@SIZED
@given(rows=st.integers(6, 150), folds=st.integers(2, 6), seed=small, shuffle=st.booleans())
def test_folds_test_each_row_once(rows, folds, seed, shuffle):
    """Every row is tested in exactly one fold and trained on in all others; folds differ by one row at most."""
    splits = divided(KFold(folds, shuffle=shuffle, random_state=seed), Table(rows))
    assert list(splits) == [f"FOLD_{fold}_{part}" for fold in range(1, folds + 1) for part in ("TRAIN", "TEST")]
    tested = [splits[f"FOLD_{fold}_TEST"] for fold in range(1, folds + 1)]
    assert sorted(row for each in tested for row in each) == list(range(rows))
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for fold, each in enumerate(tested, start=1):
        assert sorted([*each, *splits[f"FOLD_{fold}_TRAIN"]]) == list(range(rows))


@SIZED
@given(values=columns, folds=st.integers(2, 5), seed=small, shuffle=st.booleans())
def test_stratified_folds_have_their_share_within_one_row(values, folds, seed, shuffle):
    """Of each value every fold tests as many rows as any other, to the row."""
    splits = divided(
        KFold(folds, stratify="c", random_state=seed, shuffle=shuffle), Table(len(values), c=np.array(values, object))
    )
    tested = [set(rows) for name, rows in splits.items() if name.endswith("TEST")]
    assert sorted(row for each in tested for row in each) == list(range(len(values)))
    for rows in [list(range(len(values))), *strata_of(values).values()]:
        held = [len(set(rows) & each) for each in tested]
        assert max(held) - min(held) <= 1


@SIZED
@given(groups=st.lists(st.integers(0, 12), min_size=10, max_size=150), folds=st.integers(2, 4), seed=small)
def test_grouped_folds_share_no_group(groups, folds, seed):
    """What is tested in a fold has no group in common with what it is trained on, and every row is tested once."""
    assume(len(set(groups)) >= folds)
    splits = divided(KFold(folds, group="g", random_state=seed), Table(len(groups), g=np.array(groups)))
    assert sorted(row for name, rows in splits.items() if name.endswith("TEST") for row in rows) == list(
        range(len(groups))
    )
    for fold in range(1, folds + 1):
        tested, trained = ({groups[row] for row in splits[f"FOLD_{fold}_{part}"]} for part in ("TEST", "TRAIN"))
        assert tested
        assert not tested & trained


def test_a_chosen_fold_is_the_only_division():
    """With `fold=` that fold's splits are TRAIN and TEST, the same rows as by name, and there are no others."""
    table = Table(20)
    every = divided(KFold(4), table)
    for fold, one in enumerate(KFold(4).each(), start=1):
        assert divided(one, table) == {part: every[f"FOLD_{fold}_{part}"] for part in ("TRAIN", "TEST")}
        assert one.chosen() == ["fold", str(fold)]


def test_repeated_folds_are_other_folds_each_time():
    """Each repeat tests every row once, in other folds; a chosen one is the same rows as by name."""
    table = Table(30)
    splitter = RepeatedKFold(3, n_repeats=4)
    splits = divided(splitter, table)
    assert len(splits) == 24
    tested = [tuple(tuple(splits[f"REPEAT_{repeat}_FOLD_{fold}_TEST"]) for fold in (1, 2, 3)) for repeat in range(1, 5)]
    assert len(set(tested)) == 4
    assert all(sorted(sum(each, ())) == list(range(30)) for each in tested)
    chosen = list(splitter.each())
    assert len(chosen) == 12
    assert divided(chosen[4], table)["TEST"] == splits["REPEAT_2_FOLD_2_TEST"]
    assert chosen[4].chosen() == ["repeat", "2", "fold", "2"]


# configurations

EVERY = [
    NoSplit(),
    ExplicitSplit(),
    RandomSplit(0.8, validation_size=10),
    RandomSplit(np.float32(0.5), random_state=np.int64(4)),
    StratifiedSplit("c", 0.5, shuffle=False),
    GroupedSplit("c", None, 0.25),
    ChronologicalSplit("c", 0.5, ties="divide"),
    KFold(4, fold=2, group="c"),
    RepeatedKFold(4, n_repeats=3, stratify="c"),
]


@pytest.mark.parametrize("splitter", EVERY, ids=lambda each: type(each).__name__)
def test_a_configuration_makes_an_equal_splitter(splitter):
    """`to_config` is plain JSON from which an equal value comes back."""
    config = json.loads(json.dumps(splitter.to_config()))
    assert from_config(config) == splitter
    assert type(from_config(config)) is type(splitter)


def test_no_split_names_none_and_an_explicit_one_asks_the_dataset():
    """`NoSplit` has no named split; `ExplicitSplit` has no positions of its own."""
    assert NoSplit().positions(Table(3)) == {}
    with pytest.raises(PipelineError, match="ask the dataset"):
        ExplicitSplit().positions(Table(3))
