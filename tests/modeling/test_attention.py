"""Attention over a tree gives each token what it would get alone, and so do its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ftkit.modeling.attention import TreeAttentionMask, tree_attention_forward
from ftkit.modeling.prefix_tree import PackedSequence, pack_sequences
from tests.modeling.sequences import family_of_rows, visible
from tests.modeling.test_prefix_tree import many

HEADS, SIZE = 4, 8


def ancestors(one: PackedSequence) -> np.ndarray:
    """[T, T]: whether the row sees the column, found by walking from segment to enclosing segment."""
    mask = np.zeros((len(one.ids), len(one.ids)), dtype=bool)
    for segment in one.segments:
        chain = [
            other for other in one.segments if other.start <= segment.start and segment.subtree_end <= other.subtree_end
        ]
        for query in range(segment.start, segment.end):
            for other in chain:
                mask[query, other.start : min(other.end, query + 1)] = True
    return mask


@given(many, st.booleans())
def test_the_mask_rule_of_flex_attention_is_that_of_the_tree(sequences, share):
    one = pack_sequences(sequences, share=share)
    reach = one.subtree_end
    query, key = np.arange(len(reach))[:, None], np.arange(len(reach))[None, :]
    rule = (key <= query) & (query < reach[key])
    np.testing.assert_array_equal(rule, ancestors(one))
    assert [set(np.flatnonzero(row)) for row in rule] == visible(one)


@given(many, st.booleans())
def test_the_calls_of_the_kernel_cover_the_mask_once(sequences, share):
    one = pack_sequences(sequences, share=share)
    covered = np.zeros((len(one.ids), len(one.ids)), dtype=int)
    for q0, q1, k0, k1, causal in TreeAttentionMask.from_pack(one, torch.device("cpu")).spans:
        block = np.ones((q1 - q0, k1 - k0), dtype=int)
        covered[q0:q1, k0:k1] += np.tril(block) if causal else block
    np.testing.assert_array_equal(covered, ancestors(one).astype(int))


@pytest.mark.parametrize("kv_heads", [HEADS, 2, 1])
@pytest.mark.parametrize("scaling", [None, 0.2])
def test_attention_and_its_gradients_are_those_of_the_masked_softmax(kv_heads, scaling):
    one = pack_sequences(family_of_rows())
    length = len(one.ids)
    torch.manual_seed(0)
    query = torch.randn(1, HEADS, length, SIZE, requires_grad=True)
    key, value = (torch.randn(1, kv_heads, length, SIZE, requires_grad=True) for _ in range(2))
    given_back = torch.randn(1, length, HEADS, SIZE)

    out, _ = tree_attention_forward(
        torch.nn.Module(), query, key, value, None, scaling=scaling, tree=TreeAttentionMask.from_pack(one, query.device)
    )
    found = torch.autograd.grad((out * given_back).sum(), (query, key, value))

    wide_key, wide_value = (x.repeat_interleave(HEADS // kv_heads, dim=1) for x in (key, value))
    scores = query @ wide_key.transpose(-1, -2) * (SIZE**-0.5 if scaling is None else scaling)
    scores = scores.masked_fill(~torch.from_numpy(ancestors(one)), -torch.inf)
    expected = (scores.softmax(-1) @ wide_value).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(
        found, torch.autograd.grad((expected * given_back).sum(), (query, key, value)), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
