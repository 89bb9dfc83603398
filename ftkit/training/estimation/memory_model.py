"""Bytes that a training run holds at its fullest moment, from the model's shape and the packs it computes.

What autograd keeps for the backward pass is counted tensor by tensor, as transformers' layers, PEFT's adapters and
ftkit's attention and loss leave it; the tests compare it with what autograd really keeps. Nothing here needs torch.
"""

from __future__ import annotations

from typing import Literal

from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe
from ftkit.results.plan import Memory
from ftkit.training.estimation.workload import PackSize, Work

__all__ = [
    "compute_precision",
    "kept_by_a_pack",
    "kept_by_the_head",
    "memory_of",
    "merged_weights",
    "trainable_parameters",
]

CHUNK = 256
"""Rows of logits held at a time; that of :mod:`ftkit.modeling.cross_entropy`, which needs torch to be imported."""
HEAP = 1.7
"""How much more than what a pack's tensors need the C library's heap takes from the system, on CPU. Measured, not
reasoned: with glibc 2.36 the settings of docs/plan.md gave 1.3 to 1.9, and as much beside what is computed again. torch
asks for aligned blocks, and that glibc does not reuse a freed one for another of the same size. Blocks of more than
32 MiB are outside the heap, and exact."""
LEFT_BY_QUANTISING = 1.7
"""Bytes of the heap, for each weight that was quantised on CPU, where its 16-bit copy was: freed in pieces between the
4-bit weights, and of little use later. Measured with one model, the embedded one."""
HEAP_BLOCK = 32 * 2**20
"""Largest block that glibc takes from its heap (its manual, M_MMAP_THRESHOLD)."""
CUDA_HEAP = 1.1
"""The same for torch's allocator on CUDA; assumed, not measured."""


def memory_of(
    shape: ModelShape,
    recipe: Recipe,
    work: Work,
    *,
    device: Literal["cpu", "cuda"],
    shared: bool = True,
    process: int = 0,
) -> Memory:
    """The memory of a run.

    Args:
        recipe: resolved, without ``"auto"``.
        work: what it computes.
        device: where it runs.
        shared: whether rows share computation; row by row the logits are the model's own, all of a row at once.
        process: bytes that are taken before any model is.
    """
    size = _compute_bytes(recipe)
    trained = trainable_parameters(shape, recipe)
    weights = _weights(shape, recipe)
    adapters = 0 if recipe.adapter.trains_base_weights else 4 * trained + _frozen_bytes(shape, recipe)
    gradients = 4 * trained
    optimizer = _optimizer(recipe, trained)
    packs = [pack for step in work.steps for pack in step]
    largest = max(packs, key=lambda one: one.tokens)
    activations = kept_by_a_pack(shape, recipe, largest, device=device)
    logits = max(kept_by_the_head(shape, recipe, pack, shared=shared) for pack in packs)
    workspace = _workspace(shape, recipe, largest)
    left = _left_by_loading(shape, recipe, device=device)
    allocator = left + _allocator(shape, recipe, largest, device=device)
    flowing = activations + allocator + max(logits, workspace)
    # In the backward pass of a step's only pack, gradients take the place of activations; a later pack finds those of
    # the packs before it.
    passing = gradients + flowing if any(len(step) > 1 for step in work.steps) else max(gradients + workspace, flowing)
    held = weights + adapters + optimizer
    # Files of 16-bit weights are mapped into memory while they are copied to another type or to the device.
    mapped = 2 * shape.parameters if device == "cpu" and size == 4 else 0
    loading = process + weights + mapped + left
    # The two rows are computed alone first, with the logits of all that they ask for.
    asked = min(work.longest, max(pack.predictions for pack in packs))
    tried = 0 if shape.scores else asked * shape.outputs * size
    passes = (_looked_at(shape, recipe, pack, device=device, shared=shared) for pack in work.passes)
    looking = max(loading, process + weights + adapters + tried, process + held + left + max(passes, default=0))
    cache, beside = _drawn(shape, recipe, work)
    drawing = process + held + left + cache + beside if cache else 0
    return Memory(
        weights=weights,
        adapters=adapters,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        logits=logits,
        workspace=workspace,
        allocator=allocator,
        cache=cache,
        process=process,
        loading=loading,
        looking=looking,
        drawing=drawing,
        peak=max(loading, looking, drawing, process + held + passing),
    )


def trainable_parameters(shape: ModelShape, recipe: Recipe) -> int:
    """How many parameters the recipe trains.

    Raises:
        ModelError: ``target_modules`` names layers that the model has not.
    """
    adapter = recipe.adapter
    if adapter.trains_base_weights:
        return shape.parameters
    each = sum(adapter.trainable_parameters(one.inputs, one.outputs) for one in shape.targets(adapter.layers))
    return shape.layers * each + (shape.head.weights if shape.scores else 0)


def kept_by_a_pack(shape: ModelShape, recipe: Recipe, pack: PackSize, *, device: Literal["cpu", "cuda"] = "cpu") -> int:
    """Bytes that the forward pass of ``pack`` keeps for the backward pass, the output layer's apart."""
    size = _compute_bytes(recipe)
    layer = _kept_by_a_layer(shape, recipe, device) * pack.tokens + _kept_by_the_weights(shape, recipe)
    positions = 2 * shape.head_dim * size * pack.tokens if shape.rotary else 0
    if recipe.gradient_checkpointing:
        inputs = shape.layers * shape.hidden * size * pack.tokens
        return round(inputs + layer + positions)
    # The last norm keeps its input; the first has nothing to keep where the embedding is frozen.
    norm = _kept_by_a_norm(shape, shape.hidden, size, full=recipe.adapter.trains_base_weights) * pack.tokens
    return round(shape.layers * layer + positions + (norm if recipe.adapter.trains_base_weights else 0))


def kept_by_the_head(shape: ModelShape, recipe: Recipe, pack: PackSize, *, shared: bool = True) -> int:
    """Bytes of the output layer and the loss at their fullest."""
    size, rows = _compute_bytes(recipe), min(pack.predictions, CHUNK)
    narrow = 0 if size == 4 else 2 * size  # 16-bit logits and their gradient, beside those in float32
    if shared:
        # The logits, their gradient and, once there is a chunk before this one, what is still held of it.
        held = 2 if pack.predictions <= CHUNK else 3
        logits = rows * shape.outputs * (4 * held + narrow) + pack.predictions * shape.hidden * size
    else:
        logits = pack.predictions * shape.outputs * (8 + 3 * size)
    # A trained output layer: its gradient as it is summed, and one chunk's.
    return logits + (2 * 4 * shape.head.weights if recipe.adapter.trains_base_weights else 0)


def compute_precision(recipe: Recipe) -> Literal["bf16", "fp32"]:
    """What the layers compute in: a resolved recipe's precision, but for whole models, which train in float32."""
    return "bf16" if recipe.precision == "bf16" and not recipe.adapter.trains_base_weights else "fp32"


def _frozen_bytes(shape: ModelShape, recipe: Recipe) -> int:
    targets = shape.targets(recipe.adapter.layers)
    return recipe.adapter.frozen_bytes([(one.inputs, one.outputs) for one in targets] * shape.layers)


def _compute_bytes(recipe: Recipe) -> int:
    return 2 if compute_precision(recipe) == "bf16" else 4


def _weights(shape: ModelShape, recipe: Recipe) -> int:
    size, adapter = _compute_bytes(recipe), recipe.adapter
    if adapter.quantization is None:
        return size * shape.parameters
    return round(shape.linear_weights * adapter.quantization.bits_per_weight / 8) + size * (
        shape.parameters - shape.linear_weights
    )


def _optimizer(recipe: Recipe, trained: int) -> int:
    # Two moments: of 32 bits each, or of 8 with a 32-bit scale a block of 256.
    state = 2 * (1 + 4 / 256) if recipe.optimizer == "paged_adamw_8bit" else 8
    return round(trained * (state + recipe.adapter.optimizer_state_bytes))


def _kept_by_a_norm(shape: ModelShape, width: int, size: int, *, full: bool) -> float:
    """Bytes a token of one norm over ``width``."""
    if shape.norm == "layer":
        return width * size + 2 * size
    # RMS norms compute in float32: a copy where the model does not. Trained weights need the normed values too.
    return 4 * width + 4 + (4 * width if full else 0)


def _kept_by_a_layer(shape: ModelShape, recipe: Recipe, device: str) -> float:
    """Bytes a token of one layer."""
    adapter, size = recipe.adapter, _compute_bytes(recipe)
    full = adapter.trains_base_weights
    queries, keys = shape.attention_width, shape.kv_heads * shape.head_dim
    # Queries, keys, values and the result; on CPU keys and values are copied for every query head. A sum a head.
    attention = (2 * queries + 2 * (queries if device == "cpu" else keys)) * size + 4 * shape.heads
    norms = 2 * _kept_by_a_norm(shape, shape.hidden, size, full=full)
    if shape.head_norms:
        norms += 4 * (queries + keys) + 4 * (shape.heads + shape.kv_heads) + (4 * (queries + keys) if full else 0)
    return attention + norms + shape.mlp_kept * shape.intermediate * size + _kept_by_the_maps(shape, recipe, device)


def _kept_by_the_maps(shape: ModelShape, recipe: Recipe, device: str) -> float:
    """Bytes a token that a layer's linear maps and their adapters keep."""
    adapter, size = recipe.adapter, _compute_bytes(recipe)
    if adapter.trains_base_weights:
        return sum(4 * width for width in {one.reads: one.inputs for one in shape.linears}.values())
    targets = shape.targets(adapter.layers)
    kept: float = sum(adapter.activation_bytes(one.outputs, size) for one in targets)
    if adapter.dropout:
        # Each adapter draws its own: what it dropped, and what is left.
        kept += sum((4 + (1 if device == "cuda" else 4)) * one.inputs for one in targets)
    elif size == 4:
        kept += sum(4 * width for width in {one.reads: one.inputs for one in targets}.values())
    else:
        kept += sum(4 * one.inputs for one in targets)  # each adapter casts its input to float32 for itself
    return kept


def _kept_by_the_weights(shape: ModelShape, recipe: Recipe) -> int:
    """Bytes of one layer that do not grow with the tokens."""
    adapter = recipe.adapter
    if adapter.trains_base_weights:
        return 0
    return sum(adapter.saved_weight_bytes(one.inputs) for one in shape.targets(adapter.layers))


def _workspace(shape: ModelShape, recipe: Recipe, pack: PackSize) -> int:
    """Bytes beside what is kept while one layer goes backward: gradients of its widest part, and its weights."""
    size, adapter = _compute_bytes(recipe), recipe.adapter
    flowing = max(4 * shape.intermediate, 6 * shape.attention_width) * 4 * pack.tokens
    largest = max(shape.linears, key=lambda one: one.weights)
    if adapter.quantization is not None:
        flowing += largest.weights * (4 + size)  # one matrix without its quantisation, and its copy in the right type
    return flowing + adapter.workspace_bytes(largest.inputs, largest.outputs)


def _looked_at(shape: ModelShape, recipe: Recipe, pack: PackSize, *, device: str, shared: bool) -> int:
    """Bytes of a pack that is computed without gradients: one layer's tensors, and one chunk of logits."""
    size = _compute_bytes(recipe)
    layer = round(_kept_by_a_layer(shape, recipe, device) * pack.tokens)
    rows = min(pack.predictions, CHUNK) if shared else pack.predictions
    logits = rows * shape.outputs * (8 if size == 4 else 10)
    hidden = 2 * pack.tokens * shape.hidden * size
    return hidden + max(layer, logits)


def merged_weights(shape: ModelShape, recipe: Recipe) -> int:
    """Weights that exist twice while answers are drawn: those to which LoRA's sum is added, in float32 alone."""
    adapter = recipe.adapter
    if not adapter.merges_for_sampling or _compute_bytes(recipe) != 4:
        return 0
    return shape.layers * sum(one.weights for one in shape.targets(adapter.layers))


def _drawn(shape: ModelShape, recipe: Recipe, work: Work) -> tuple[int, int]:
    """Bytes of the largest cache of answers, and of what is there beside it."""
    batches = [(one.common + one.tokens, batch) for one in work.drawings for batch in one.batches]
    if not batches:
        return 0, 0
    a_token = 2 * shape.kv_heads * shape.head_dim * _compute_bytes(recipe)
    layer = max(a_token * batch.rows * (length + batch.width) for length, batch in batches)
    rows = max(batch.rows for _, batch in batches)
    # Logits twice in float32; their distribution and what it is made from in float64.
    choosing = rows * shape.outputs * (2 * 4 + 4 * 8)
    return shape.layers * layer, 4 * merged_weights(shape, recipe) + max(layer, choosing)


def _left_by_loading(shape: ModelShape, recipe: Recipe, *, device: str) -> int:
    if device == "cuda" or recipe.adapter.quantization is None:
        return 0
    in_heap = sum(one.weights for one in shape.linears if 2 * one.weights <= HEAP_BLOCK)
    return round(LEFT_BY_QUANTISING * shape.layers * in_heap)


def _allocator(shape: ModelShape, recipe: Recipe, pack: PackSize, *, device: Literal["cpu", "cuda"]) -> int:
    if device == "cuda":
        return round((CUDA_HEAP - 1) * kept_by_a_pack(shape, recipe, pack, device=device))
    if 4 * pack.tokens * shape.intermediate > HEAP_BLOCK:  # the widest blocks
        return 0
    # Holes are left by what passes through between two tensors that stay, be it kept or computed again.
    through = kept_by_a_pack(shape, recipe.model_copy(update={"gradient_checkpointing": False}), pack)
    return round((HEAP - 1) * through)
