"""Sequences laid out as a tree are still, each by itself, what they were."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.modeling.prefix_tree import MIN_SHARED, PackedSequence, pack_examples, pack_sequences, shared_length
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from tests.modeling.sequences import alone, family_of_rows, in_pairs, rendered, visible

TRUNKS = tuple(np.random.default_rng(5).integers(0, 4, 60).tolist() for _ in range(3))


@st.composite
def one_sequence(draw: st.DrawFn) -> TokenizedConversation:
    """Some of a common beginning, then tokens of a small alphabet, so that sequences part late or never."""
    trunk = draw(st.sampled_from(TRUNKS))[: draw(st.integers(0, 60))]
    ids = [*trunk, *draw(st.lists(st.integers(0, 2), max_size=12))] or [0]
    mask = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    mask[0] = False
    return rendered(ids, mask)


many = st.lists(one_sequence(), min_size=1, max_size=9)


def read_back(one: PackedSequence) -> Counter[tuple[tuple[int, int], ...]]:
    """Every prediction as the model makes it: what it sees, in order of position, and the token it should give."""
    sees = visible(one)
    found: Counter[tuple[tuple[int, int], ...]] = Counter()
    for at, target, weight in zip(one.logit_indices, one.targets, one.weights, strict=True):
        seen = sorted((int(one.positions[j]), int(one.ids[j])) for j in sees[at])
        found[(*seen, (-1, int(target)))] += int(weight)
    return found


def written(sequences: list[TokenizedConversation]) -> Counter[tuple[tuple[int, int], ...]]:
    """The predictions of the sequences, each computed alone."""
    found: Counter[tuple[tuple[int, int], ...]] = Counter()
    for one in sequences:
        ids = one.ids.tolist()
        for place in np.flatnonzero(one.supervised):
            found[(*enumerate(ids[:place]), (-1, ids[place]))] += 1
    return found


@given(many, st.booleans())
def test_every_prediction_sees_its_own_sequence_and_nothing_else(sequences, share):
    assert read_back(pack_sequences(sequences, share=share)) == written(sequences)


@given(many, st.booleans())
def test_every_sequence_is_in_the_pack_at_its_true_positions(sequences, share):
    one = pack_sequences(sequences, share=share)
    sees = visible(one)
    paths = {
        tuple(int(one.ids[j]) for j in sorted(sees[i], key=lambda j: one.positions[j])) for i in range(len(one.ids))
    }
    assert {tuple(sequence.ids.tolist()) for sequence in sequences} <= paths
    for i, seen in enumerate(sees):
        assert sorted(one.positions[list(seen)]) == list(range(one.positions[i] + 1))


@given(many)
def test_weights_add_up_to_the_supervised_tokens(sequences):
    one = pack_sequences(sequences)
    assert one.weights.sum() == sum(sequence.supervised.sum() for sequence in sequences)
    assert one.sequences == len(sequences)
    assert one.unpacked_tokens == sum(len(sequence.ids) for sequence in sequences)
    assert len(one.ids) <= one.unpacked_tokens


@given(many, st.randoms())
def test_the_order_of_the_sequences_does_not_matter(sequences, random):
    shuffled = list(sequences)
    random.shuffle(shuffled)
    first, second = pack_sequences(sequences), pack_sequences(shuffled)
    assert first.segments == second.segments
    for name in ("ids", "positions", "logit_indices", "targets", "weights"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@settings(max_examples=300)
@given(many, st.integers(1, 150), st.booleans())
def test_packs_hold_all_sequences_once_within_the_budget(sequences, budget, share):
    packs = [one for one, _ in pack_examples(alone(sequences), budget, share=share)]
    together: Counter[tuple[tuple[int, int], ...]] = Counter()
    for one in packs:
        together.update(read_back(one))
        assert one.sequences >= 1
        assert len(one.ids) <= budget or one.sequences == 1
    assert together == written(sequences)
    assert sum(one.sequences for one in packs) == len(sequences)


def test_the_budget_counts_what_is_shared_once():
    beginning = list(range(100))
    sequences = [rendered([*beginning, 200 + n, *range(9)], 3) for n in range(10)]
    packs = list(pack_examples(alone(sequences), 200))
    assert [len(one.ids) for one, _ in packs] == [200]
    assert len(list(pack_examples(alone(sequences), 200, share=False))) == 10


def test_a_sequence_longer_than_the_budget_is_a_pack_of_its_own():
    sequences = [rendered(list(range(50)), 3), rendered([7] * 5, 1), rendered([8] * 5, 1)]
    packs = pack_examples(alone(sequences), 12)
    assert sorted((len(one.ids), one.sequences) for one, _ in packs) == [(10, 2), (50, 1)]


@given(many, many, st.integers(1, 150), st.booleans())
def test_pairs_stay_together_and_know_their_predictions(first, second, budget, share):
    pairs = in_pairs([one for pair in zip(first, second, strict=False) for one in pair])
    seen: list[Example] = []
    for one, examples in pack_examples(pairs, budget, share=share):
        seen += examples
        sequences = [sequence for example in examples for sequence in example.sequences]
        assert one.sequences == len(sequences)
        for number, sequence in enumerate(sequences):
            assert one.ids[one.last_tokens[number]] == sequence.ids[-1]
            assert one.positions[one.last_tokens[number]] == len(sequence.ids) - 1
            mine = one.prediction_indices[one.sequence_indices == number]
            places = np.flatnonzero(sequence.supervised)
            assert sorted(one.positions[one.logit_indices[mine]] + 1) == places.tolist()
            assert sorted(one.targets[mine]) == sorted(sequence.ids[places])
    assert sorted(map(id, seen)) == sorted(map(id, pairs))


def test_nested_beginnings_are_computed_once():
    sequences = family_of_rows()
    one = pack_sequences(sequences)
    # 24 shared by all but one, 20 more by four, and the rows' own ends; the twin adds nothing but weight.
    assert len(one.ids) == 24 + 20 + 8 + 9 + 19 + 30
    assert sorted(set(one.weights)) == [1, 2]


@pytest.mark.parametrize(("common", "shared"), [(MIN_SHARED - 1, False), (MIN_SHARED, True)])
def test_short_beginnings_are_not_worth_sharing(common, shared):
    sequences = [rendered([*range(common), 90, 91], 1), rendered([*range(common), 92, 93], 1)]
    assert len(pack_sequences(sequences).ids) == (common + 4 if shared else 2 * (common + 2))


@given(st.lists(st.integers(0, 1), max_size=8), st.lists(st.integers(0, 1), max_size=8))
def test_shared_length_counts_leading_tokens(first, second):
    length = shared_length(np.array(first, dtype=np.int32), np.array(second, dtype=np.int32))
    assert first[:length] == second[:length]
    assert first[length : length + 1] != second[length : length + 1] or length == min(len(first), len(second))
