"""LongRoPE (Phi-3.5, Phi-4-mini): rows on either side of the original length do not change each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ftkit.inference.offline import generate
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION
from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
from ftkit.modeling.rope_boundary import pack_by_length, rope_boundary
from ftkit.modeling.tokenized_example import Example, TokenizedConversation
from tests.families.engine import pretrained
from tests.families.tiny_families import tiny_family

BOUNDARY = 32
NEW = 8


def model(attention: str) -> Any:
    factors = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 5.0, 9.0]}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": BOUNDARY, **factors}
    changes = {"rope_parameters": rope, "original_max_position_embeddings": BOUNDARY, "sliding_window": None}
    found = tiny_family("phi3", **changes)
    found.set_attn_implementation(attention)
    assert rope_boundary(found.config) == BOUNDARY
    return found


def ids(length: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(10, 150, length).astype(np.int32)


def whole_pass_answer(prompt: Any) -> tuple[int, ...]:
    plain, tokens = model("sdpa"), torch.from_numpy(prompt.astype(np.int64))[None]
    with torch.inference_mode():
        for _ in range(NEW):
            tokens = torch.cat([tokens, plain(input_ids=tokens, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return tuple(tokens[0, len(prompt) :].tolist())


def test_answers_do_not_depend_on_the_length_of_their_neighbours():
    # Below the original length, crossing it while it is written, and beyond it; some share a prefix of 26 tokens.
    asked = [ids(5), ids(26), ids(28), ids(31), ids(32), ids(33), ids(60), ids(100, seed=1)]
    asked.append(np.concatenate([asked[6][:40], ids(9, seed=2)]))
    together = [one.ids for one in generate(pretrained(model(GROUPED_ATTENTION)), asked, max_new_tokens=NEW)]
    assert together == [whole_pass_answer(prompt) for prompt in asked]


@pytest.mark.parametrize("lengths", [(12, 20), (30, 33), (60, 90), (20, 60)])
def test_packed_losses_and_gradients_are_those_of_each_row(lengths):
    prefix = ids(18, seed=3)
    made = [np.concatenate([prefix, ids(length, seed=length)])[:length] for length in (*lengths, 24)]
    rows = [TokenizedConversation(each, np.arange(len(each)) > 8) for each in made]
    # One example with both rows, as a pair of preferences has, and one of its own.
    examples = [Example((rows[0], rows[1])), Example((rows[2],))]
    packed, cpu = model(TREE_ATTENTION), torch.device("cpu")
    assert prefix_sharing_problem(packed, cpu, rows) is None
    forward = PackedForward(packed, cpu, shared=True)
    total = torch.zeros(())
    for pack, _ in pack_by_length(examples, 4_096, forward.boundary, share=True):
        total = total + forward.loss(pack)[0]
    total.backward()
    plain = model("sdpa")
    expected = torch.zeros(())
    for row in rows:
        tokens = torch.from_numpy(row.ids.astype(np.int64))
        logits = plain(input_ids=tokens[None], use_cache=False).logits[0].float()
        at = torch.from_numpy(np.flatnonzero(row.supervised))
        expected = expected + torch.nn.functional.cross_entropy(logits[at - 1], tokens[at], reduction="sum")
    expected.backward()
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for (name, ours), theirs in zip(packed.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3, msg=name)
