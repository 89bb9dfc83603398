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
    for q0, q1, k0, k1, causal, _ in TreeAttentionMask.from_pack(one, torch.device("cpu")).spans():
        block = np.ones((q1 - q0, k1 - k0), dtype=int)
        covered[q0:q1, k0:k1] += np.tril(block) if causal else block
    np.testing.assert_array_equal(covered, ancestors(one).astype(int))


@given(many, st.booleans(), st.integers(1, 12))
def test_the_calls_of_the_kernel_cover_the_mask_of_a_window_once(sequences, share, window):
    one = pack_sequences(sequences, share=share)
    covered = np.zeros((len(one.ids), len(one.ids)), dtype=int)
    tree = TreeAttentionMask.from_pack(one, torch.device("cpu"))
    for span in tree.spans(window):
        q0, q1, k0, k1, causal, band = span
        block = np.ones((q1 - q0, k1 - k0), dtype=int)
        if band is not None:
            block *= (tree.band(span, window, torch.float32)[0, 0] == 0).numpy()
            assert block.any(axis=1).all()  # a query without a key has no softmax
        covered[q0:q1, k0:k1] += np.tril(block) if causal else block
    near = one.positions[:, None] - one.positions[None, :] < window
    np.testing.assert_array_equal(covered, (ancestors(one) & near).astype(int))


@pytest.mark.parametrize("window", [None, 3, 16])
@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_windows_soft_caps_and_sinks_are_those_of_the_masked_softmax(window, softcap, sinks, dtype, monkeypatch):
    monkeypatch.setattr("ftkit.modeling.joined_attention._QUERIES", 7)
    one = pack_sequences(family_of_rows())
    torch.manual_seed(0)
    shape = (1, HEADS, len(one.ids), SIZE)
    leaves = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    leaves += [torch.randn(HEADS, requires_grad=True)] if sinks else []
    given_back = torch.randn(1, len(one.ids), HEADS, SIZE)
    query, key, value = (leaf.to(dtype) for leaf in leaves[:3])
    out, _ = tree_attention_forward(
        torch.nn.Module(), query, key, value, None, tree=TreeAttentionMask.from_pack(one, query.device),
        sliding_window=window, softcap=softcap, s_aux=leaves[3] if sinks else None,
    )  # fmt: skip
    found = torch.autograd.grad((out.float() * given_back).sum(), leaves)
    query, key, value = leaves[:3]
    scores = query @ key.transpose(-1, -2) * SIZE**-0.5
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    seen = torch.from_numpy(ancestors(one))
    if window is not None:
        seen &= torch.from_numpy(one.positions[:, None] - one.positions[None, :] < window)
    scores = scores.masked_fill(~seen, -torch.inf)
    if sinks:
        scores = torch.cat([scores, leaves[3].view(1, HEADS, 1, 1).expand(1, HEADS, len(one.ids), 1)], dim=-1)
    expected = (scores.softmax(-1)[..., : len(one.ids)] @ value).transpose(1, 2)
    allowed = 1e-5 if dtype == torch.float32 else 6e-2
    torch.testing.assert_close(out.float(), expected, rtol=allowed, atol=allowed)
    for mine, theirs in zip(found, torch.autograd.grad((expected * given_back).sum(), leaves), strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(mine, theirs, rtol=allowed, atol=allowed * scale)


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
