"""What the family tests ask of a model: greedy answers, losses, gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ftkit.modeling.tokenized_example import TokenizedConversation

NEW = 6
"""Tokens of an answer."""


def prompts() -> list[Any]:
    """Prompts of several lengths, some longer than the tiny models' windows, two with a common prefix."""
    random = np.random.default_rng(0)
    found = [random.integers(10, 150, length).astype(np.int32) for length in (5, 23, 38)]
    return [*found, np.concatenate([found[2][:30], random.integers(10, 150, 4).astype(np.int32)])]


def rows(shared: int = 18) -> list[TokenizedConversation]:
    """Rows with a common prefix of ``shared`` tokens, supervised from token 9 on."""
    random = np.random.default_rng(1)
    prefix = random.integers(10, 150, shared).astype(np.int32)
    ids = [np.concatenate([prefix, random.integers(10, 150, length).astype(np.int32)]) for length in (4, 6, 9)]
    return [TokenizedConversation(each, np.arange(len(each)) > 8) for each in ids]


def pretrained(model: Any) -> Any:
    """A loaded model as the engine takes it, without a tokenizer."""
    from ftkit.modeling.pretrained import Pretrained, context_length

    found = Pretrained(SimpleNamespace(name="tiny"), model, None, SimpleNamespace(stop_ids=()), "fp32")  # type: ignore[arg-type]
    assert found.max_length == context_length(model.config)
    return found


def with_attention(model: Any, name: str) -> Any:
    """The model with ftkit's attention where ftkit would load it with that."""
    from ftkit.modeling.attention import TREE_ATTENTION
    from ftkit.modeling.pretrained import plain_attention, tree_attention

    if (tree_attention if name == TREE_ATTENTION else plain_attention)(model.config):
        model.set_attn_implementation(name)
    return model


def engine_answers(model: Any) -> list[tuple[int, ...]]:
    """Greedy answers of ftkit's engine, all prompts at once."""
    from ftkit.inference.offline import generate
    from ftkit.modeling.grouped_query_attention import GROUPED_ATTENTION

    model = with_attention(model, GROUPED_ATTENTION)
    return [one.ids for one in generate(pretrained(model), prompts(), max_new_tokens=NEW)]


def generate_answers(model: Any) -> list[tuple[int, ...]]:
    """Greedy answers of transformers' own ``generate``, one prompt at a time."""
    import torch
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()
    greedy = GenerationConfig(max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, pad_token_id=0)
    answers = []
    for prompt in prompts():
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=greedy)
        answers.append(tuple(out[0, ids.shape[1] :].tolist()))
    return answers


def whole_answers(model: Any) -> list[tuple[int, ...]]:
    """Greedy answers from a pass over the whole sequence for each token."""
    import torch

    answers = []
    for prompt in prompts():
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        with torch.inference_mode():
            for _ in range(NEW):
                best = model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(dim=-1)
                ids = torch.cat([ids, best], dim=1)
        answers.append(tuple(ids[0, len(prompt) :].tolist()))
    return answers


def engine_gradients(adapted: Any) -> tuple[float, dict[str, Any]]:
    """Loss of the rows, packed if the model allows it, and the adapter's gradients."""
    import torch

    from ftkit.modeling.attention import TREE_ATTENTION, own_attention
    from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
    from ftkit.modeling.prefix_tree import pack_sequences

    model, device = adapted.base_model, torch.device("cpu")
    shared = prefix_sharing_problem(model, device, rows()) is None
    if not shared and model.config._attn_implementation == TREE_ATTENTION:
        model.set_attn_implementation(own_attention(model))
    loss, _ = PackedForward(model, device, shared=shared).loss(pack_sequences(rows(), share=shared))
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in adapted.parameters.items() if p.grad is not None}


def plain_gradients(model: Any) -> tuple[float, dict[str, Any]]:
    """The same from a plain PEFT model, row by row."""
    import torch

    loss = torch.zeros(())
    for row in rows():
        ids = torch.from_numpy(row.ids.astype(np.int64))
        logits = model(input_ids=ids[None], use_cache=False).logits[0].float()
        at = torch.from_numpy(np.flatnonzero(row.supervised))
        loss = loss + torch.nn.functional.cross_entropy(logits[at - 1], ids[at], reduction="sum")
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
