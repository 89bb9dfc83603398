"""Seconds that a training step takes, from what it computes and how fast the machine does the few kinds of work in it.

With N weights in the linear maps, a token costs 2N floating-point operations forward, 2N for the gradients of the maps'
inputs and, where weights are trained, 2N for theirs (Kaplan et al. 2020, arXiv 2001.08361, section 2.1, for the 2N and
4N of full training). A frozen base so costs 4N and full training 6N, and computing activations again 2N more. Beside
the products of matrices there is work that moves bytes: norms, rotations, activations, sums, the optimiser. Nothing
here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ftkit.modeling.model_shape import LinearLayer, ModelShape
from ftkit.recipe import Recipe
from ftkit.training.estimation.memory_model import HEAP_BLOCK, compute_precision, trainable_parameters
from ftkit.training.estimation.workload import PackSize, Step

__all__ = [
    "FEW",
    "Speed",
    "head_seconds",
    "layer_seconds",
    "layers_forward",
    "passes_seconds",
    "product_name",
    "step_seconds",
]

BACKWARD_BYTES = 2.0
"""Bytes moved backward for each one moved forward: each of two inputs gets a gradient. By reasoning; the rate is
measured over both."""
FEW = (1, 8, 32)
"""Numbers of rows for which the speed of products is known when there are few: answers grow by a token each, and at
most the last number of them are drawn together."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a machine computes, in one precision.

    Attributes:
        dense: operations a second of large products of matrices.
        products: the same with a model's own weights, by :func:`product_name`; what is not there is
            as fast as ``dense``.
        thin: operations a second of products with an adapter's rank as one side.
        attention: operations a second of the attention kernel.
        bytes_moved: bytes a second, read or written, of element by element work.
        fresh: bytes a second written to a block that was just asked for, too large for the heap of a CPU's C library.
        dequantised: 4-bit weights expanded a second.
        call: seconds of a call that computes next to nothing.
        few: weights a second that are multiplied with each of :data:`FEW` rows.
        choice: logits a second among which the next token is drawn.
        basis: where the numbers come from.
    """

    dense: float
    thin: float
    attention: float
    bytes_moved: float
    fresh: float
    dequantised: float
    call: float
    few: tuple[float, ...]
    choice: float
    basis: Literal["measured", "measured on a busy machine", "data sheet"]
    products: Mapping[str, float] = field(default_factory=dict)

    def product(self, linear: LinearLayer) -> float:
        """Operations a second of products with the weights of ``linear``."""
        return self.products.get(product_name(linear), self.dense)

    def weights(self, rows: int) -> float:
        """Weights a second that are multiplied with so many rows: seconds are straight between those of :data:`FEW`."""
        above = next((at for at, known in enumerate(FEW) if rows <= known), len(FEW) - 1)
        if not above:
            return self.few[0]
        low, high = FEW[above - 1], FEW[above]
        first, last = 1 / self.few[above - 1], 1 / self.few[above]
        return 1 / (first + (last - first) * (rows - low) / (high - low))


def product_name(linear: LinearLayer) -> str:
    """What products with ``linear``'s weights are known by."""
    return f"{linear.inputs} x {linear.outputs}"


def step_seconds(
    shape: ModelShape, recipe: Recipe, steps: Sequence[Step], speed: Speed, *, shared: bool = True
) -> float:
    """Mean seconds of an optimiser step.

    Args:
        recipe: resolved.
        steps: the packs of some of the run's steps.
        shared: whether rows share computation; row by row every token has logits.
    """
    packs = sum(_pack_seconds(shape, recipe, pack, speed, shared=shared) for step in steps for pack in step)
    return packs / len(steps) + _optimizer_seconds(shape, recipe, speed)


def passes_seconds(
    shape: ModelShape, recipe: Recipe, packs: Sequence[PackSize], speed: Speed, *, shared: bool = True
) -> float:
    """Seconds of computing ``packs`` without gradients."""
    return sum(
        layers_forward(shape, recipe, pack, speed) + head_seconds(shape, recipe, pack, speed, 2, shared=shared)
        for pack in packs
    )


def _pack_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: Speed, *, shared: bool) -> float:
    full = recipe.adapter.trains_base_weights
    forward = layers_forward(shape, recipe, pack, speed)
    again = forward if recipe.gradient_checkpointing else 0.0
    head = head_seconds(shape, recipe, pack, speed, 6 if full else 4, shared=shared)
    return forward + again + _layers_backward(shape, recipe, pack, speed) + head


def layers_forward(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: Speed) -> float:
    """All layers forward."""
    products = sum(2 * one.weights * pack.tokens / speed.product(one) for one in shape.linears)
    return shape.layers * (products + layer_seconds(shape, recipe, pack, speed))


def layer_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: Speed) -> float:
    """One layer forward, without the products with its weights."""
    seconds = 2 * _adapter_weights(shape, recipe) * pack.tokens / speed.thin
    # Scores and weighted sum: 2 operations a pair and dimension each.
    seconds += 4 * pack.visible * shape.attention_width / speed.attention
    seconds += _moved_forward(shape, recipe) * pack.tokens / speed.bytes_moved
    seconds += _weights_work(shape, recipe, speed)
    return seconds + _calls(shape, recipe) * speed.call


def _layers_backward(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: Speed) -> float:
    passes = 4 if recipe.adapter.trains_base_weights else 2
    seconds = sum(passes * one.weights * pack.tokens / speed.product(one) for one in shape.linears)
    seconds += 4 * _adapter_weights(shape, recipe) * pack.tokens / speed.thin
    # The kernel computes the scores again: five products where the forward pass has two.
    seconds += 10 * pack.visible * shape.attention_width / speed.attention
    seconds += BACKWARD_BYTES * _moved_forward(shape, recipe) * pack.tokens / speed.bytes_moved
    if recipe.adapter.quantization is not None:
        seconds += _weights_work(shape, recipe, speed)
    seconds += 2 * _calls(shape, recipe) * speed.call
    return shape.layers * seconds


def head_seconds(
    shape: ModelShape, recipe: Recipe, pack: PackSize, speed: Speed, operations: int, *, shared: bool
) -> float:
    """The output layer and the loss.

    Args:
        operations: a weight and a prediction: 2 forward, 4 with gradients, 6 where the layer is trained.
    """
    rows = pack.predictions if shared else pack.tokens
    # The softmax: its largest term, the exponentials and their sum, the gradient and its scaling.
    moved = rows * shape.outputs * 4 * (10 if operations > 2 else 5)
    seconds = operations * rows * shape.head.weights / speed.product(shape.head) + moved / speed.bytes_moved
    if operations > 4:
        # The matrix's gradient: set to zero, formed, added, scaled, joined with the embedding's. Four of these write to
        # a new block.
        each = 4 * shape.head.weights
        seconds += 7 * each / speed.bytes_moved + 4 * each / (speed.fresh if each > HEAP_BLOCK else speed.bytes_moved)
    return seconds


def _adapter_weights(shape: ModelShape, recipe: Recipe) -> int:
    return 0 if recipe.adapter.trains_base_weights else trainable_parameters(shape, recipe) // shape.layers


def _moved_forward(shape: ModelShape, recipe: Recipe) -> float:
    """Bytes read and written for a token of one layer, going forward, by what is not a product of matrices."""
    adapter = recipe.adapter
    size = 2 if compute_precision(recipe) == "bf16" else 4
    d, f, queries, keys = (
        shape.hidden,
        shape.intermediate,
        shape.attention_width,
        shape.kv_heads * shape.head_dim,
    )
    # RMS: square, mean, scale, weigh; a layer norm is one kernel.
    moved = 2.0 * (8 if shape.norm == "rms" else 2) * d * 4 + 2 * 3 * d * size
    moved += (10 * (queries + keys) * size) if shape.rotary else 0
    moved += (4 * queries + (4 * queries if shape.heads != shape.kv_heads else 0)) * size
    moved += (5 if shape.mlp_kept == 3 else 2 + 3 * shape.mlp_kept) * f * size
    if adapter.trains_base_weights:
        return moved
    for one in shape.targets(adapter.layers):
        moved += adapter.elementwise_passes * one.outputs * 4
        moved += (4 + size) * one.inputs if size != 4 else 0
        moved += 2 * one.outputs * size if adapter.quantization is not None else 0
        moved += 5 * one.inputs * 4 if adapter.dropout else 0
    return moved


def _weights_work(shape: ModelShape, recipe: Recipe, speed: Speed) -> float:
    """Seconds of one layer that do not depend on the tokens."""
    adapter = recipe.adapter
    if adapter.quantization is not None:
        return sum(one.weights for one in shape.linears) / speed.dequantised
    if adapter.trains_base_weights:
        return 0.0
    work = [adapter.weight_work(one.inputs, one.outputs) for one in shape.targets(adapter.layers)]
    return sum(operations for operations, _ in work) / speed.thin + sum(moved for _, moved in work) / speed.bytes_moved


def _calls(shape: ModelShape, recipe: Recipe) -> int:
    """Calls of kernels in one layer, forward."""
    adapter = recipe.adapter
    plain = 40 + len(shape.linears)
    if adapter.trains_base_weights:
        return plain
    return plain + adapter.kernel_calls * len(shape.targets(adapter.layers))


def _optimizer_seconds(shape: ModelShape, recipe: Recipe, speed: Speed) -> float:
    trained = trainable_parameters(shape, recipe)
    # Norm of the gradient, scaling it, and AdamW: weight, gradient and two moments read, three of them written.
    passes = 1 + 2 + 7
    passes += 2 * recipe.adapter.optimizer_state_bytes  # 8 passes over each of its float32 numbers
    return 4 * passes * trained / speed.bytes_moved
