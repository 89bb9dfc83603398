"""Splits: exact, reproducible, without leaks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit import ConfigError, DataError, Dataset, Task
from ftkit.data.split import SplitKeys, SplitPart, assign_parts, hash_rank

TASK = Task(input="{a}")


def rows(count=100, groups=17, labels=3):
    return [{"a": f"t{n}", "patient": {"id": f"p{n % groups}"}, "y": "abcdefgh"[n % labels]} for n in range(count)]


@pytest.fixture
def data(write_rows):
    return Dataset.load(write_rows(rows()), TASK, target="y")


def texts(part):
    return [row.columns["a"] for row in part]


def test_sizes_are_exact_and_nothing_is_lost(data):
    train, test = data.split(test=0.2)
    assert (len(train), len(test)) == (80, 20)
    assert sorted(texts(train) + texts(test)) == sorted(texts(data))
    assert texts(test) == sorted(texts(test), key=lambda text: int(text[1:]))
    train, validation, test = data.split(test=7, validation=0.1)
    assert (len(train), len(validation), len(test)) == (83, 10, 7)
    train, validation = data.split(validation=5)
    assert (len(train), len(validation)) == (95, 5)


def test_the_same_seed_gives_the_same_split_for_ever(data):
    assert texts(data.split(test=5, seed=7)[1]) == ["t38", "t65", "t71", "t94", "t97"]
    assert texts(data.split(test=5, seed=8)[1]) != texts(data.split(test=5, seed=7)[1])


def test_the_side_depends_on_content_not_on_order(data):
    assert set(texts(data.split(test=20)[1])) == set(texts(data.shuffle(3).split(test=20)[1]))


@pytest.mark.parametrize("by", ["patient.id", lambda row: row.columns["patient"]["id"]])
def test_no_group_on_two_sides(data, by):
    parts = data.split(test=0.2, validation=0.2, group_by=by)
    groups = [{row.columns["patient"]["id"] for row in part} for part in parts]
    assert sum(len(side) for side in groups) == len(set().union(*groups))
    assert all(abs(len(part) - 20) <= 5 for part in parts[1:])


def test_the_datasets_own_group_is_used(write_rows):
    data = Dataset.load(write_rows(rows()), TASK, group="patient.id")
    train, test = data.split(test=0.3)
    assert not {row.group for row in train} & {row.group for row in test}
    assert data[0].group == "p0"


@pytest.mark.parametrize("by", ["y", "target", lambda row: row.target])
def test_stratified_shares(data, by):
    whole = Counter(row.target for row in data)
    for part in data.split(test=0.25, stratify_by=by):
        shares = Counter(row.target for row in part)
        assert all(abs(shares[label] - whole[label] * len(part) / 100) <= 1 for label in whole)


def test_stratify_by_the_answers_of_chats(write_rows):
    chats = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "ab"[n % 10 == 0]}]}
        for n in range(100)
    ]
    _, test = Dataset.load(write_rows(chats)).split(test=0.2, stratify_by="target")
    assert Counter(row.target for row in test) == {"a": 18, "b": 2}


def test_a_class_of_one_row_stays_in_training(write_rows):
    for seed in range(20):
        given_rows = [*rows(20, labels=2), {"a": "t99", "y": "rare"}]
        train, test = Dataset.load(write_rows(given_rows), TASK, target="y").split(test=0.4, stratify_by="y", seed=seed)
        assert "rare" in {row.target for row in train}
        assert len(test) == 8


@settings(max_examples=150)
@given(
    members=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=8, max_size=80),
    grouped=st.booleans(),
    seed=st.integers(0, 5),
)
def test_properties_of_any_division(members, grouped, seed):
    keys = SplitKeys()
    for number, (group, label) in enumerate(members):
        keys.add(hash_rank(seed, str(group if grouped else number)), str(label))
    total = len(members)
    wanted = [SplitPart("test", total // 4), SplitPart("validation", total // 5)]
    try:
        parts = assign_parts(keys, wanted, grouped=grouped)
    except DataError:
        assert grouped or any(side.rows < len({label for _, label in members}) for side in wanted)
        return
    assert sorted(position for part in parts for position in part) == list(range(total))
    if grouped:
        sides = [{members[at][0] for at in part} for part in parts]
        assert sum(len(side) for side in sides) == len(set().union(*sides))
    else:
        for side, part in zip(wanted, parts, strict=False):
            counts = Counter(members[at][1] for at in part)
            for label, size in Counter(label for _, label in members).items():
                assert abs(counts[label] - size * side.rows / total) <= 1 or size <= 3


def test_one_large_group_cannot_be_divided(write_rows):
    data = Dataset.load(write_rows(rows(groups=1)), TASK)
    with pytest.raises(DataError, match="leaves test empty: there are 100 rows in 1 group"):
        data.split(test=0.2, group_by="patient.id")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ConfigError, "needs a size"),
        ({"test": 1.5}, ConfigError, "between 0 and 1"),
        ({"test": 0}, ConfigError, "at least 1"),
        ({"test": True}, ConfigError, "must be a share"),
        ({"test": "0.2"}, ConfigError, "must be a share"),
        ({"test": 100}, DataError, "none would be left"),
        ({"test": 0.001}, DataError, "leaves test empty"),
        ({"test": 60, "validation": 60}, DataError, "none would be left|leaves"),
        ({"test": 0.2, "group_by": "patient.nr"}, DataError, r"rows\.jsonl:1: patient\.nr: missing; the row has"),
        ({"test": 0.2, "stratify_by": "label"}, DataError, "label: missing"),
    ],
)
def test_splits_that_make_no_sense(data, options, error, text):
    with pytest.raises(error, match=text):
        data.split(**options)
