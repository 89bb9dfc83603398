"""Peak memory of a training run in bytes, from the model's shape and its workload.

What autograd keeps for the backward pass is counted tensor by tensor: in transformers' layers, PEFT's adapters, and
ftkit's attention and loss. The tests compare the count with what autograd really keeps. Nothing here needs torch.
"""

from __future__ import annotations

from typing import Literal

from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe
from ftkit.results.plan import Memory
from ftkit.training.estimation.trained_part import adapted_layers, trainable_parameters, trained_layers
from ftkit.training.estimation.workload import PackSize, Workload

__all__ = [
    "compute_precision",
    "estimate_memory",
    "head_bytes",
    "held_bytes",
    "merged_weight_count",
    "outer_parameters",
    "pack_activation_bytes",
]

CHUNK = 256
"""Rows of logits held at a time, as in :mod:`ftkit.modeling.cross_entropy`, which cannot be imported without torch."""
HEAP_OVERHEAD = 1.7
"""Bytes that the C library's heap takes per byte of a pack's tensors, on CPU. Measured: the settings of docs/plan.md
gave 1.3 to 1.9 with glibc 2.36, for saved and for recomputed tensors alike. glibc often cannot reuse a freed aligned
block for another of the same size. Blocks of more than 32 MiB are outside the heap and exact."""
QUANTISATION_LEFTOVER = 1.7
"""Bytes of the heap lost per weight that was quantised on CPU: its 16-bit copy is freed in pieces between the 4-bit
weights. Measured with the embedded model."""
HEAP_BLOCK = 32 * 2**20
"""Largest block that glibc takes from its heap (glibc manual, M_MMAP_THRESHOLD)."""
CUDA_OVERHEAD = 1.1
"""Bytes that torch's CUDA allocator takes per byte of tensors; assumed, not measured."""


def estimate_memory(
    shape: ModelShape,
    recipe: Recipe,
    work: Workload,
    *,
    device: Literal["cpu", "cuda"],
    shared: bool = True,
    process: int = 0,
    shards: int = 1,
) -> Memory:
    """Estimate the memory of a run.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe, without ``"auto"``.
        work: the workload.
        device: kind of the device.
        shared: whether rows share computation. If not, the model's own output layer computes all logits of a row.
        process: bytes that are used before the model is loaded.
        shards: in how many parts weights are split among workers (fsdp2), and gradients and optimiser states if all
            weights are trained.

    Returns:
        Bytes by purpose, and the peak.
    """
    size = _compute_bytes(recipe)
    trained = trainable_parameters(shape, recipe)
    whole = _weights(shape, recipe)
    full = recipe.adapter.trains_base_weights
    weights = -(-whole // shards)
    gradients, optimizer = (-(-each // (shards if full else 1)) for each in (4 * trained, _optimizer(recipe, trained)))
    gathered = 0 if shards == 1 else _gathered_bytes(shape, recipe)
    both = gathered * (2 if full else 1)  # weights and, backward, their gradients
    adapters = 0 if full else 4 * trained + _frozen_bytes(shape, recipe)
    adapters += _preserve_bytes(shape, recipe, trained)
    packs = [pack for step in work.steps for pack in step]
    largest = max(packs, key=lambda pack: pack.tokens)
    activations = pack_activation_bytes(shape, recipe, largest, device=device)
    logits = max(head_bytes(shape, recipe, pack, shared=shared) for pack in packs)
    workspace = _workspace(shape, recipe, largest)
    left = _quantisation_leftover(shape, recipe, device=device)
    allocator = left + _allocator_bytes(shape, recipe, largest, device=device)
    forward = activations + allocator + max(logits, workspace)
    # In the backward pass of a step's only pack, gradients replace activations. A later pack starts with the gradients
    # of the packs before it.
    step = gradients + forward if any(len(each) > 1 for each in work.steps) else max(gradients + workspace, forward)
    step += both
    resident = weights + adapters + optimizer
    # Files of 16-bit weights are mapped into memory while they are copied to another type or to the device.
    mapped = 2 * shape.parameters if device == "cpu" and size == 4 else 0
    loading = process + weights + mapped + left
    # Before training, two rows are computed one by one, with the logits of all their predictions.
    predictions = min(work.longest, max(pack.predictions for pack in packs))
    trial = 0 if shape.scores else predictions * shape.outputs * size
    passes = (_no_grad_bytes(shape, recipe, pack, device=device, shared=shared) for pack in work.no_grad_packs)
    no_grad = process + gathered + max(weights + adapters + trial, resident + left + max(passes, default=0))
    no_grad = max(loading, no_grad)
    cache, temporary = _generation_bytes(shape, recipe, work)
    held = whole - weights  # to sample, each worker gathers all weights
    generation = process + resident + held + left + cache + temporary if cache else 0
    return Memory(
        weights=weights,
        adapters=adapters,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        logits=logits,
        workspace=workspace,
        allocator=allocator,
        gathered=both,
        cache=cache,
        process=process,
        loading=loading,
        looking=no_grad,
        drawing=generation,
        peak=max(loading, no_grad, generation, process + resident + step),
    )


def outer_parameters(shape: ModelShape) -> int:
    """Count the parameters outside the layers: embedding, output layer, last norm, learned positions.

    Args:
        shape: shape of the model.

    Returns:
        Number of parameters.
    """
    return shape.parameters - shape.linear_weights - shape.biases - shape.layers * shape.norms


def held_bytes(shape: ModelShape, recipe: Recipe) -> tuple[int, int]:
    """Count the bytes of a model's weights as they are held in training, without an adapter.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.

    Returns:
        Bytes of all weights, and of those in the layers.
    """
    whole = _weights(shape, recipe)
    return whole, whole - _compute_bytes(recipe) * outer_parameters(shape)


def _gathered_bytes(shape: ModelShape, recipe: Recipe) -> int:
    """Bytes of weights that are whole at once: those outside the layers, of a layer, and of the next one."""
    whole, inner = held_bytes(shape, recipe)
    return whole - inner + min(2, shape.layers) * inner // shape.layers


def _preserve_bytes(shape: ModelShape, recipe: Recipe, trained: int) -> int:
    """Bytes of the states of rehearsed answers and, if all weights are trained, of two more copies of them."""
    preserve = recipe.preserve
    if preserve is None:
        return 0
    states = 4 * shape.hidden * (preserve.max_rows + preserve.held_out) * preserve.max_output_tokens
    return states + (8 * trained if recipe.adapter.trains_base_weights else 0)


def pack_activation_bytes(
    shape: ModelShape, recipe: Recipe, pack: PackSize, *, device: Literal["cpu", "cuda"] = "cpu"
) -> int:
    """Count what the forward pass of a pack keeps for the backward pass, except in the output layer.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        pack: the pack.
        device: kind of the device.

    Returns:
        Bytes.
    """
    size = _compute_bytes(recipe)
    layer = _layer_bytes(shape, recipe, device) * pack.tokens + _saved_weight_bytes(shape, recipe)
    positions = 2 * shape.head_dim * size * pack.tokens if shape.rotary else 0
    layers = trained_layers(shape, recipe)  # those below keep nothing; between adapted ones all count as adapted
    if recipe.gradient_checkpointing:
        inputs = layers * shape.hidden * size * pack.tokens
        return round(inputs + layer + positions)
    # The last norm keeps its input. With a frozen embedding the first keeps nothing.
    norm = _norm_bytes(shape, shape.hidden, size, full=recipe.adapter.trains_base_weights) * pack.tokens
    return round(layers * layer + positions + (norm if recipe.adapter.trains_base_weights else 0))


def head_bytes(shape: ModelShape, recipe: Recipe, pack: PackSize, *, shared: bool = True) -> int:
    """Count the peak of the output layer and the loss.

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.
        pack: the pack.
        shared: whether rows share computation.

    Returns:
        Bytes.
    """
    size, rows = _compute_bytes(recipe), min(pack.predictions, CHUNK)
    narrow = 0 if size == 4 else 2 * size  # 16-bit logits and their gradient, in addition to those in float32
    if shared:
        # The logits, their gradient and, after the first chunk, one tensor of the chunk before.
        held = 2 if pack.predictions <= CHUNK else 3
        logits = rows * shape.outputs * (4 * held + narrow) + pack.predictions * shape.hidden * size
    else:
        logits = pack.predictions * shape.outputs * (8 + 3 * size)
    # A trained output layer: its accumulated gradient, and the gradient of one chunk.
    return logits + (2 * 4 * shape.head.weights if recipe.adapter.trains_base_weights else 0)


def compute_precision(recipe: Recipe) -> Literal["bf16", "fp32"]:
    """Return the precision in which layers compute.

    Args:
        recipe: the resolved recipe.

    Returns:
        The recipe's precision; float32 if the base weights are trained.
    """
    return "bf16" if recipe.precision == "bf16" and not recipe.adapter.trains_base_weights else "fp32"


def _frozen_bytes(shape: ModelShape, recipe: Recipe) -> int:
    targets = shape.targets(recipe.adapter.layers)
    shapes = [(layer.inputs, layer.outputs) for layer in targets]
    return recipe.adapter.frozen_bytes(shapes * adapted_layers(shape, recipe))


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
    # Two moments: 32 bits each, or 8 bits with a 32-bit scale per block of 256.
    state = 2 * (1 + 4 / 256) if recipe.optimizer == "paged_adamw_8bit" else 8
    average = 0 if recipe.ema_decay is None else 4  # float32, as the trained weights
    return round(trained * (state + recipe.adapter.optimizer_state_bytes + average))


def _norm_bytes(shape: ModelShape, width: int, size: int, *, full: bool) -> float:
    """Bytes per token that one norm over ``width`` keeps."""
    if shape.norm == "layer":
        return width * size + 2 * size
    # RMS norms compute in float32, so they keep a float32 copy. Trained weights also need the normalised values.
    return 4 * width + 4 + (4 * width if full else 0)


def _layer_bytes(shape: ModelShape, recipe: Recipe, device: str) -> float:
    """Bytes per token that one layer keeps."""
    adapter, size = recipe.adapter, _compute_bytes(recipe)
    full = adapter.trains_base_weights
    queries, keys = shape.attention_width, shape.kv_heads * shape.head_dim
    # Queries, keys, values, the result and one sum per head. On CPU keys and values are copied for every query head.
    attention = (2 * queries + 2 * (queries if device == "cpu" else keys)) * size + 4 * shape.heads
    norms = 2 * _norm_bytes(shape, shape.hidden, size, full=full)
    if shape.head_norms:
        norms += 4 * (queries + keys) + 4 * (shape.heads + shape.kv_heads) + (4 * (queries + keys) if full else 0)
    return attention + norms + shape.mlp_kept * shape.intermediate * size + _linear_bytes(shape, recipe, device)


def _linear_bytes(shape: ModelShape, recipe: Recipe, device: str) -> float:
    """Bytes per token that the linear layers of one block and their adapters keep."""
    adapter, size = recipe.adapter, _compute_bytes(recipe)
    if adapter.trains_base_weights:
        return sum(4 * width for width in {layer.reads: layer.inputs for layer in shape.linears}.values())
    targets = shape.targets(adapter.layers)
    saved: float = sum(adapter.activation_bytes(layer.outputs, size) for layer in targets)
    if adapter.dropout:
        # Each adapter keeps its own dropout mask and its result.
        saved += sum((4 + (1 if device == "cuda" else 4)) * layer.inputs for layer in targets)
    elif size == 4:
        saved += sum(4 * width for width in {layer.reads: layer.inputs for layer in targets}.values())
    else:
        saved += sum(4 * layer.inputs for layer in targets)  # each adapter casts its input to float32
    return saved


def _saved_weight_bytes(shape: ModelShape, recipe: Recipe) -> int:
    """Bytes that one layer keeps whatever the number of tokens."""
    adapter = recipe.adapter
    if adapter.trains_base_weights:
        return 0
    return sum(adapter.saved_weight_bytes(layer.inputs) for layer in shape.targets(adapter.layers))


def _workspace(shape: ModelShape, recipe: Recipe, pack: PackSize) -> int:
    """Temporary bytes of one layer's backward pass: gradients of its widest part, and dequantised weights."""
    size, adapter = _compute_bytes(recipe), recipe.adapter
    gradients = max(4 * shape.intermediate, 6 * shape.attention_width) * 4 * pack.tokens
    largest = max(shape.linears, key=lambda layer: layer.weights)
    if adapter.quantization is not None:
        gradients += largest.weights * (4 + size)  # one dequantised matrix, and its copy in the compute type
    return gradients + adapter.workspace_bytes(largest.inputs, largest.outputs)


def _no_grad_bytes(shape: ModelShape, recipe: Recipe, pack: PackSize, *, device: str, shared: bool) -> int:
    """Bytes of a pack computed without gradients: the tensors of one layer or one chunk of logits."""
    size = _compute_bytes(recipe)
    layer = round(_layer_bytes(shape, recipe, device) * pack.tokens)
    rows = min(pack.predictions, CHUNK) if shared else pack.predictions
    logits = rows * shape.outputs * (8 if size == 4 else 10)
    hidden = 2 * pack.tokens * shape.hidden * size
    return hidden + max(layer, logits)


def merged_weight_count(shape: ModelShape, recipe: Recipe) -> int:
    """Count the weights that exist twice during generation, because the adapter is merged into a copy (float32 only).

    Args:
        shape: shape of the model.
        recipe: the resolved recipe.

    Returns:
        Number of weights.
    """
    adapter = recipe.adapter
    if not adapter.merges_for_sampling or _compute_bytes(recipe) != 4:
        return 0
    return adapted_layers(shape, recipe) * sum(layer.weights for layer in shape.targets(adapter.layers))


def _generation_bytes(shape: ModelShape, recipe: Recipe, work: Workload) -> tuple[int, int]:
    """Bytes of the largest KV cache, and the temporary bytes of generation."""
    batches = [(each.common_prefix + each.tokens, batch) for each in work.all_generations for batch in each.batches]
    if not batches:
        return 0, 0
    bytes_per_token = 2 * shape.kv_heads * shape.head_dim * _compute_bytes(recipe)
    layer = max(bytes_per_token * batch.rows * (length + batch.width) for length, batch in batches)
    rows = max(batch.rows for _, batch in batches)
    # Logits twice in float32; their distribution and its intermediate results in float64.
    sampling = rows * shape.outputs * (2 * 4 + 4 * 8)
    return shape.layers * layer, 4 * merged_weight_count(shape, recipe) + max(layer, sampling)


def _quantisation_leftover(shape: ModelShape, recipe: Recipe, *, device: str) -> int:
    if device == "cuda" or recipe.adapter.quantization is None:
        return 0
    in_heap = sum(layer.weights for layer in shape.linears if 2 * layer.weights <= HEAP_BLOCK)
    return round(QUANTISATION_LEFTOVER * shape.layers * in_heap)


def _allocator_bytes(shape: ModelShape, recipe: Recipe, pack: PackSize, *, device: Literal["cpu", "cuda"]) -> int:
    if device == "cuda":
        return round((CUDA_OVERHEAD - 1) * pack_activation_bytes(shape, recipe, pack, device=device))
    if 4 * pack.tokens * shape.intermediate > HEAP_BLOCK:  # the widest tensors are outside the heap
        return 0
    # Temporary tensors leave holes between tensors that stay, whether those are saved or recomputed.
    temporary = pack_activation_bytes(shape, recipe.model_copy(update={"gradient_checkpointing": False}), pack)
    return round((HEAP_OVERHEAD - 1) * temporary)
