"""Seconds of a training step, from its work and the speed of the machine.

With N weights in the linear layers, a token costs 2N floating-point operations forward, 2N for the gradients of the
layers' inputs and, if the weights are trained, 2N for theirs (Kaplan et al. 2020, arXiv 2001.08361, section 2.1, for
the 2N and 4N of full training). A frozen base therefore costs 4N and full training 6N; recomputing activations costs 2N
more. Norms, rotary embeddings, activations, sums and the optimiser move bytes instead. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ftkit.modeling.model_shape import LinearLayer, ModelShape
from ftkit.recipe import Recipe
from ftkit.training.estimation.memory_model import HEAP_BLOCK, compute_precision
from ftkit.training.estimation.trained_part import adapted_layers, trainable_parameters, trained_layers
from ftkit.training.estimation.workload import PackSize, Step

__all__ = [
    "FEW_ROWS",
    "MachineSpeed",
    "forward_seconds",
    "head_seconds",
    "layer_seconds",
    "matmul_key",
    "no_grad_seconds",
    "step_seconds",
]

BACKWARD_BYTES = 2.0
"""Bytes moved backward per byte moved forward: each of two inputs gets a gradient. Derived; the bandwidth is measured
over both directions."""
FEW_ROWS = (1, 8, 32)
"""Numbers of rows at which the speed of decoding is measured. The last is the largest number generated together."""


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """Speed of a machine in one precision.

    Attributes:
        dense: floating-point operations per second of large matrix products.
        low_rank: operations per second of products in which one side is an adapter's rank.
        attention: operations per second of the attention kernel.
        bytes_moved: bytes per second, read or written, of element-wise work.
        fresh_writes: bytes per second written to newly allocated blocks that are too large for the C library's heap.
        dequantised: 4-bit weights dequantised per second.
        kernel_overhead: seconds of a kernel call that computes almost nothing.
        few_rows: weights per second in products with each of :data:`FEW_ROWS` rows.
        sampling: logits per second from which the next token is sampled.
        basis: where the numbers come from.
        products: ``dense`` for the model's own matrices, by :func:`matmul_key`; others are as fast as ``dense``.
    """

    dense: float
    low_rank: float
    attention: float
    bytes_moved: float
    fresh_writes: float
    dequantised: float
    kernel_overhead: float
    few_rows: tuple[float, ...]
    sampling: float
    basis: Literal["measured", "measured on a busy machine", "data sheet"]
    products: Mapping[str, float] = field(default_factory=dict)

    def product(self, linear: LinearLayer) -> float:
        """Return the speed of products with a linear layer's weights.

        Args:
            linear: the layer.

        Returns:
            Floating-point operations per second.
        """
        return self.products.get(matmul_key(linear), self.dense)

    def weights(self, rows: int) -> float:
        """Return the speed of products with few rows, interpolated linearly in seconds between :data:`FEW_ROWS`.

        Args:
            rows: number of rows.

        Returns:
            Weights per second.
        """
        above = next((at for at, known in enumerate(FEW_ROWS) if rows <= known), len(FEW_ROWS) - 1)
        if not above:
            return self.few_rows[0]
        low, high = FEW_ROWS[above - 1], FEW_ROWS[above]
        first, last = 1 / self.few_rows[above - 1], 1 / self.few_rows[above]
        return 1 / (first + (last - first) * (rows - low) / (high - low))


def matmul_key(linear: LinearLayer) -> str:
    """Return the key of a linear layer's size in :attr:`MachineSpeed.products`.

    Args:
        linear: the layer.

    Returns:
        E.g. ``"576 x 1536"``.
    """
    return f"{linear.inputs} x {linear.outputs}"


def step_seconds(
    shape: ModelShape,
    recipe: Recipe,
    steps: Sequence[Step],
    speed: MachineSpeed,
    *,
    shared: bool = True,
    shards: int = 1,
) -> float:
    """Predict the seconds of an optimiser step.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        steps: the packs of some of the run's steps.
        speed: speed of the machine.
        shared: whether rows share computation. If not, every token has logits.
        shards: among how many workers the trained parameters are split.

    Returns:
        Mean seconds per step.
    """
    packs = sum(_pack_seconds(shape, recipe, pack, speed, shared=shared) for step in steps for pack in step)
    return packs / len(steps) + _optimizer_seconds(shape, recipe, speed) / shards


def no_grad_seconds(
    shape: ModelShape, recipe: Recipe, packs: Sequence[PackSize], speed: MachineSpeed, *, shared: bool = True
) -> float:
    """Predict the seconds of computing packs without gradients.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        packs: the packs.
        speed: speed of the machine.
        shared: whether rows share computation.

    Returns:
        Seconds.
    """
    return sum(
        forward_seconds(shape, recipe, pack, speed) + head_seconds(shape, recipe, pack, speed, 2, shared=shared)
        for pack in packs
    )


def _pack_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: MachineSpeed, *, shared: bool) -> float:
    full = recipe.adapter.trains_base_weights
    forward = forward_seconds(shape, recipe, pack, speed)
    again = forward if recipe.gradient_checkpointing else 0.0
    head = head_seconds(shape, recipe, pack, speed, 6 if full else 4, shared=shared)
    return forward + again + _backward_seconds(shape, recipe, pack, speed) + head


def forward_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: MachineSpeed) -> float:
    """Predict the seconds of all layers forward.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        pack: the pack.
        speed: speed of the machine.

    Returns:
        Seconds.
    """
    products = sum(2 * layer.weights * pack.tokens / speed.product(layer) for layer in shape.linears)
    return shape.layers * (products + layer_seconds(shape, recipe, pack, speed))


def layer_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: MachineSpeed) -> float:
    """Predict the mean seconds of a layer forward, without the products with its weights.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        pack: the pack.
        speed: speed of the machine.

    Returns:
        Seconds.
    """
    share = adapted_layers(shape, recipe) / shape.layers
    seconds = 2 * _adapter_weights(shape, recipe, shape.layers) * pack.tokens / speed.low_rank
    # Scores and weighted sum: 2 operations per pair and dimension each.
    seconds += 4 * pack.visible * shape.attention_width / speed.attention
    seconds += _elementwise_bytes(shape, recipe, share) * pack.tokens / speed.bytes_moved
    seconds += _weight_seconds(shape, recipe, speed, share)
    return seconds + _kernel_calls(shape, recipe, share) * speed.kernel_overhead


def _backward_seconds(shape: ModelShape, recipe: Recipe, pack: PackSize, speed: MachineSpeed) -> float:
    passes, layers = 4 if recipe.adapter.trains_base_weights else 2, trained_layers(shape, recipe)
    share = adapted_layers(shape, recipe) / layers
    seconds = sum(passes * layer.weights * pack.tokens / speed.product(layer) for layer in shape.linears)
    seconds += 4 * _adapter_weights(shape, recipe, layers) * pack.tokens / speed.low_rank
    # The kernel recomputes the scores: five products instead of two.
    seconds += 10 * pack.visible * shape.attention_width / speed.attention
    seconds += BACKWARD_BYTES * _elementwise_bytes(shape, recipe, share) * pack.tokens / speed.bytes_moved
    if recipe.adapter.quantization is not None:
        seconds += _weight_seconds(shape, recipe, speed, share)
    seconds += 2 * _kernel_calls(shape, recipe, share) * speed.kernel_overhead
    return layers * seconds


def head_seconds(
    shape: ModelShape, recipe: Recipe, pack: PackSize, speed: MachineSpeed, operations: int, *, shared: bool
) -> float:
    """Predict the seconds of the output layer and the loss.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        pack: the pack.
        speed: speed of the machine.
        operations: operations per weight and prediction: 2 forward, 4 with gradients, 6 if the layer is trained.
        shared: whether rows share computation.

    Returns:
        Seconds.
    """
    rows = pack.predictions if shared else pack.tokens
    # Softmax: maximum, exponentials and their sum, gradient and its scaling.
    moved = rows * shape.outputs * 4 * (10 if operations > 2 else 5)
    seconds = operations * rows * shape.head.weights / speed.product(shape.head) + moved / speed.bytes_moved
    if operations > 4:
        # The gradient of the matrix: zeroed, formed, added, scaled, joined with the embedding's. Four of these write to
        # newly allocated blocks.
        each = 4 * shape.head.weights
        seconds += 7 * each / speed.bytes_moved + 4 * each / (
            speed.fresh_writes if each > HEAP_BLOCK else speed.bytes_moved
        )
    return seconds


def _adapter_weights(shape: ModelShape, recipe: Recipe, layers: int) -> float:
    """Mean weights of the adapters in one of ``layers`` layers, among which are all that have one."""
    return 0 if recipe.adapter.trains_base_weights else trainable_parameters(shape, recipe) / layers


def _elementwise_bytes(shape: ModelShape, recipe: Recipe, share: float) -> float:
    """Bytes moved per token of a layer forward, without products; ``share`` of the layers have an adapter."""
    adapter = recipe.adapter
    size = 2 if compute_precision(recipe) == "bf16" else 4
    d, f, queries, keys = (
        shape.hidden,
        shape.intermediate,
        shape.attention_width,
        shape.kv_heads * shape.head_dim,
    )
    # RMS norm: square, mean, scale, weight. A layer norm is one kernel.
    moved = 2.0 * (8 if shape.norm == "rms" else 2) * d * 4 + 2 * 3 * d * size
    moved += (10 * (queries + keys) * size) if shape.rotary else 0
    moved += (4 * queries + (4 * queries if shape.heads != shape.kv_heads else 0)) * size
    moved += (5 if shape.mlp_kept == 3 else 2 + 3 * shape.mlp_kept) * f * size
    if adapter.trains_base_weights:
        return moved
    adapters = 0
    for layer in shape.targets(adapter.layers):
        adapters += adapter.elementwise_passes * layer.outputs * 4
        adapters += (4 + size) * layer.inputs if size != 4 else 0
        adapters += 2 * layer.outputs * size if adapter.quantization is not None else 0
        adapters += 5 * layer.inputs * 4 if adapter.dropout else 0
    return moved + share * adapters


def _weight_seconds(shape: ModelShape, recipe: Recipe, speed: MachineSpeed, share: float) -> float:
    """Seconds of a layer that do not depend on the number of tokens; ``share`` of the layers have an adapter."""
    adapter = recipe.adapter
    if adapter.quantization is not None:
        return sum(layer.weights for layer in shape.linears) / speed.dequantised
    if adapter.trains_base_weights:
        return 0.0
    work = [adapter.weight_work(layer.inputs, layer.outputs) for layer in shape.targets(adapter.layers)]
    operations, moved = (float(sum(each)) for each in zip(*work, strict=True))
    return share * (operations / speed.low_rank + moved / speed.bytes_moved)


def _kernel_calls(shape: ModelShape, recipe: Recipe, share: float) -> float:
    """Kernel calls of a layer, forward; ``share`` of the layers have an adapter."""
    adapter = recipe.adapter
    base = 40 + len(shape.linears)
    if adapter.trains_base_weights:
        return base
    return base + share * adapter.kernel_calls * len(shape.targets(adapter.layers))


def _optimizer_seconds(shape: ModelShape, recipe: Recipe, speed: MachineSpeed) -> float:
    trained = trainable_parameters(shape, recipe)
    # Gradient norm and scaling, and AdamW: weight, gradient and two moments read, three of them written.
    passes = 1 + 2 + 7
    passes += 2 * recipe.adapter.optimizer_state_bytes  # 8 passes over each of its float32 numbers
    return 4 * passes * trained / speed.bytes_moved
