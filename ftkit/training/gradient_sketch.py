"""The direction in which each row would move a model: sketches of the gradients of rows or of parts of their answers.

The gradient of a loss with respect to LoRA's B matrices, at their initial values (where A has none yet), is compressed
into 2,048 numbers by a count sketch: each entry is added, with a random sign, to one random number, both with a fixed
seed. Scalar products are kept in expectation (M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data
streams", 2002), so the cosine of two sketches approximates the cosine of the two gradients.
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
from ftkit.training.adapters.attach import adapt

__all__ = ["Span", "gradient_sketches"]

SIZE = 2_048
"""Numbers of a sketch. The cosine of two unrelated gradients then has an error of about 0.02."""


Span = tuple[int, int]
"""Characters of an answer: start and end, the end excluded."""


def gradient_sketches(model: str, rows: Iterable[tuple[Row, Sequence[Span | None]]]) -> list[NDArray[np.float32]]:
    """Compute the directions of the gradients of rows: one forward pass per row, one backward pass per part.

    Args:
        model: name of the model, see :func:`ftkit.modeling.model_source.find_source`. Only its base is used, not an
            adapter on top of it.
        rows: demonstrations, each with the parts whose losses are differentiated: characters of the final answer's
            text, or None for all supervised tokens.

    Returns:
        Float32 ``[parts, SIZE]`` for each row, every sketch of length 1; zeros for rows that cannot be tokenised.

    Raises:
        ModelError: the model cannot be loaded.
    """
    device = default_device()
    pretrained = load_pretrained(find_source(model), precision="fp32", device=device)
    adapted = adapt(pretrained.model, LoRA(rank=8, lora_alpha=16), total_steps=1, seed=0)
    matrices = [parameter for name, parameter in adapted.parameters.items() if "lora_B" in name]
    hashes = [_CountSketch(matrix.numel(), number, device) for number, matrix in enumerate(matrices)]
    forward = PackedForward(adapted.base_model, device, shared=False)
    return [_sketches(row, parts, pretrained.chat_template, forward, matrices, hashes) for row, parts in rows]


class _CountSketch:
    """To which number each entry of a tensor is added, and with which sign."""

    def __init__(self, entries: int, seed: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.targets = torch.randint(SIZE, (entries,), generator=generator).to(device)
        self.signs = (torch.randint(2, (entries,), generator=generator, dtype=torch.int8) * 2 - 1).to(device)


def _sketches(
    row: Row,
    parts: Sequence[Span | None],
    chat_template: ChatTemplate,
    forward: PackedForward,
    matrices: list[torch.nn.Parameter],
    hashes: list[_CountSketch],
) -> NDArray[np.float32]:
    sketches = np.zeros((len(parts), SIZE), dtype=np.float32)
    try:
        sequences = chat_template.encode_examples(row.messages, row.tools, row.place)
    except DataError:
        return sketches
    losses = -forward.token_logprobs(pack_sequences(sequences, share=False)).logprobs
    for number, part in enumerate(parts):
        in_part = _supervised_in_part(row, part, sequences, chat_template)
        if not in_part.any():
            continue
        loss = losses[torch.from_numpy(in_part).to(losses.device)].sum()
        gradients = torch.autograd.grad(loss, matrices, retain_graph=number < len(parts) - 1, allow_unused=True)
        sketch = torch.zeros(SIZE, device=losses.device)
        for gradient, of_matrix in zip(gradients, hashes, strict=True):
            if gradient is not None:
                sketch.index_add_(0, of_matrix.targets, gradient.flatten().float() * of_matrix.signs)
        length = torch.linalg.norm(sketch)
        sketches[number] = (sketch / length if length > 0 else sketch).cpu().numpy()
    return sketches


def _supervised_in_part(
    row: Row, part: Span | None, sequences: Sequence[TokenizedConversation], chat_template: ChatTemplate
) -> Bools:
    """Which supervised tokens, over all sequences, are in a part of the answer."""
    *earlier, last = sequences
    before = sum(int(sequence.supervised.sum()) for sequence in earlier)
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
