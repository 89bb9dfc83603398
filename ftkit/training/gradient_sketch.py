"""In which direction each row would move a model: gradients of single rows, or of parts of their answers, made small.

The gradient of a loss by LoRA's B matrices, at their first values (where A has none yet), is mixed into 2,048
numbers by a count sketch: each entry is added, with a sign, to one of the numbers, both drawn with a fixed seed.
Scalar products are kept in expectation (M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data
streams", 2002), so the cosine of two sketches is about that of the two gradients.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ftkit.data import Row
from ftkit.data.formats import text_content
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.device import default_device
from ftkit.modeling.model_source import find_source
from ftkit.modeling.packed_forward import PackedForward
from ftkit.modeling.prefix_tree import pack_sequences
from ftkit.modeling.pretrained import load_pretrained
from ftkit.modeling.tokenized_example import Bools, TokenizedConversation
from ftkit.modeling.tokenizer import token_texts
from ftkit.recipe import LoRA
from ftkit.training.adapters.adapted_model import adapt

__all__ = ["Span", "gradient_sketches"]

SIZE = 2_048
"""Numbers of a sketch: the cosine of two unrelated gradients is then off by 0.02."""


Span = tuple[int, int]
"""Characters of an answer, from the first to behind the last."""


def gradient_sketches(model: str, asked: Iterable[tuple[Row, Sequence[Span | None]]]) -> list[NDArray[np.float32]]:
    """The directions of the gradients of each row, [parts, SIZE], each of length 1; zeros for what cannot be rendered.

    The base of the model is used, not an adapter on top of it. One forward pass a row and one backward pass a part.

    Args:
        model: its name, see :func:`ftkit.modeling.model_source.find_source`.
        asked: demonstrations, each with the parts whose losses are looked at: characters of the final answer's text, or
            None for all that is learned of the row.

    Raises:
        ModelError: the model cannot be loaded.
    """
    where = default_device()
    pretrained = load_pretrained(find_source(model), precision="fp32", device=where)
    adapted = adapt(pretrained.model, LoRA(rank=8, lora_alpha=16), total_steps=1, seed=0)
    looked_at = [value for name, value in adapted.parameters.items() if "lora_B" in name]
    mixing = [_Mixing(value.numel(), number, where) for number, value in enumerate(looked_at)]
    forward = PackedForward(adapted.base_model, where, shared=False)
    return [_sketches(row, parts, pretrained.chat_template, forward, looked_at, mixing) for row, parts in asked]


class _Mixing:
    """Where each entry of a tensor goes, and with which sign."""

    def __init__(self, entries: int, seed: int, where: torch.device) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.targets = torch.randint(SIZE, (entries,), generator=draw).to(where)
        self.signs = (torch.randint(2, (entries,), generator=draw, dtype=torch.int8) * 2 - 1).to(where)


def _sketches(
    row: Row,
    parts: Sequence[Span | None],
    chat_template: ChatTemplate,
    forward: PackedForward,
    looked_at: list[torch.nn.Parameter],
    mixing: list[_Mixing],
) -> NDArray[np.float32]:
    found = np.zeros((len(parts), SIZE), dtype=np.float32)
    try:
        sequences = chat_template.encode_examples(row.messages, row.tools, row.place)
    except DataError:
        return found
    losses = -forward.token_logprobs(pack_sequences(sequences, share=False)).logprobs
    for number, part in enumerate(parts):
        counted = _counted(row, part, sequences, chat_template)
        if not counted.any():
            continue
        loss = losses[torch.from_numpy(counted).to(losses.device)].sum()
        gradients = torch.autograd.grad(loss, looked_at, retain_graph=number < len(parts) - 1, allow_unused=True)
        sketch = torch.zeros(SIZE, device=losses.device)
        for gradient, mix in zip(gradients, mixing, strict=True):
            if gradient is not None:
                sketch.index_add_(0, mix.targets, gradient.flatten().float() * mix.signs)
        length = torch.linalg.norm(sketch)
        found[number] = (sketch / length if length > 0 else sketch).cpu().numpy()
    return found


def _counted(
    row: Row, part: Span | None, sequences: Sequence[TokenizedConversation], chat_template: ChatTemplate
) -> Bools:
    """Of all learned tokens, sequence by sequence, those that stand in a part of the answer."""
    *earlier, last = sequences
    before = sum(int(one.supervised.sum()) for one in earlier)
    if part is None:
        return np.ones(before + int(last.supervised.sum()), dtype=np.bool_)
    answer = "" if row.completion is None else text_content(row.completion) or ""
    tokens = list(token_texts(chat_template, last))
    begin = "".join(token.text for token in tokens).rfind(answer)  # -1: the template writes the answer otherwise
    first, end = (begin + at for at in part) if answer and begin >= 0 else (0, 0)
    inside: list[bool] = []
    at = 0
    for token in tokens:
        inside += [at < end and at + len(token.text) > first] * token.count
        at += len(token.text)
    return np.concatenate([np.zeros(before, dtype=np.bool_), np.array(inside, dtype=np.bool_)[last.supervised]])
