"""In which direction each row would move a model: gradients of single rows, made small.

The gradient of a row's loss by LoRA's B matrices, at their first values (where A has none yet), is mixed into 2,048
numbers by a count sketch: each entry is added, with a sign, to one of the numbers, both drawn with a fixed seed.
Scalar products are kept in expectation (M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data
streams", 2002), so the cosine of two sketches is about that of the two gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from ftkit.data import Row
from ftkit.engine.adapting import adapt
from ftkit.engine.forward import Forward
from ftkit.engine.machine import device
from ftkit.engine.pretrained import load_pretrained
from ftkit.engine.rendered import Rendered
from ftkit.engine.source import find_source
from ftkit.engine.tree import pack
from ftkit.errors import DataError
from ftkit.recipe import LoRA

__all__ = ["gradient_sketches"]

SIZE = 2_048
"""Numbers of a sketch: the cosine of two unrelated gradients is then off by 0.02."""


def gradient_sketches(model: str, rows: Iterable[Row]) -> NDArray[np.float32]:
    """The direction of each row's gradient, [rows, SIZE], each of length 1; zeros for a row that cannot be rendered.

    The base of the model is used, not an adapter on top of it. One forward and backward pass a row.

    Args:
        model: its name, see :func:`ftkit.engine.source.find_source`.
        rows: demonstrations.

    Raises:
        ModelError: the model cannot be loaded.
    """
    where = device()
    pretrained = load_pretrained(find_source(model), precision="fp32", device=where)
    adapted = adapt(pretrained.model, LoRA(rank=8, lora_alpha=16), total_steps=1, seed=0)
    looked_at = [value for name, value in adapted.parameters.items() if "lora_B" in name]
    mixing = [_Mixing(value.numel(), number, where) for number, value in enumerate(looked_at)]
    forward = Forward(adapted.inner, where, shared=False)
    found = [_sketch(row, pretrained.renderer.examples, forward, looked_at, mixing) for row in rows]
    return np.stack(found) if found else np.zeros((0, SIZE), dtype=np.float32)


class _Mixing:
    """Where each entry of a tensor goes, and with which sign."""

    def __init__(self, entries: int, seed: int, where: torch.device) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.targets = torch.randint(SIZE, (entries,), generator=draw).to(where)
        self.signs = (torch.randint(2, (entries,), generator=draw, dtype=torch.int8) * 2 - 1).to(where)


def _sketch(
    row: Row,
    render: Callable[..., list[Rendered]],
    forward: Forward,
    looked_at: list[torch.nn.Parameter],
    mixing: list[_Mixing],
) -> NDArray[np.float32]:
    for value in looked_at:
        value.grad = None
    try:
        sequences = render(row.messages, row.tools, row.place)
    except DataError:
        return np.zeros(SIZE, dtype=np.float32)
    forward.loss(pack(sequences, share=False))[0].backward()  # type: ignore[no-untyped-call]
    sketch = torch.zeros(SIZE, device=looked_at[0].device)
    for value, mix in zip(looked_at, mixing, strict=True):
        if value.grad is not None:
            sketch.index_add_(0, mix.targets, value.grad.flatten().float() * mix.signs)
    length = torch.linalg.norm(sketch)
    return np.asarray((sketch / length if length > 0 else sketch).cpu().numpy(), dtype=np.float32)
