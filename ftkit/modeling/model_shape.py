"""A model's shape, read from its config: the number of parameters of each kind. Needs neither weights nor torch.

The known families are those of ``_FAMILIES``. The counts equal those of the transformers classes of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ftkit.errors import ModelError

__all__ = ["LinearLayer", "ModelShape", "model_shape"]


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """A linear layer inside a transformer layer.

    Attributes:
        name: as adapters' ``target_modules`` name it, e.g. ``"q_proj"``.
        inputs: input width.
        outputs: output width.
        reads: its input, which linear layers with the same value share.
        bias: whether it has a bias.
    """

    name: str
    inputs: int
    outputs: int
    reads: Literal["attention_norm", "attention", "mlp_norm", "mlp"]
    bias: bool = False

    @property
    def weights(self) -> int:
        """Parameters of the matrix, without the bias."""
        return self.inputs * self.outputs


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder-only transformer.

    Attributes:
        family: ``model_type`` of its config.
        vocabulary: rows of the embedding, V.
        outputs: rows of the output layer: V, or 1 of a reward model.
        hidden: width of the residual stream, d.
        intermediate: width inside the MLP, f.
        layers: number of layers, L.
        heads: query heads, H.
        kv_heads: key-value heads, which divide H.
        head_dim: width of a head.
        linears: linear layers of one transformer layer.
        norm: type of the norms.
        norms: parameters of the norms in one layer.
        head_norms: whether queries and keys have their own norms.
        mlp_kept: tensors of width f that the MLP saves for its backward pass, besides its last linear layer's input.
        rotary: whether positions are rotary embeddings (else they are learned).
        outside: parameters outside the layers, without embedding and output layer: last norm, learned positions.
        tied_head: whether the output layer shares the embedding's weights.
    """

    family: str
    vocabulary: int
    outputs: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    linears: tuple[LinearLayer, ...]
    norm: Literal["rms", "layer"]
    norms: int
    head_norms: bool
    mlp_kept: int
    rotary: bool
    outside: int
    tied_head: bool

    @property
    def attention_width(self) -> int:
        """Total width of the query heads."""
        return self.heads * self.head_dim

    @property
    def scores(self) -> bool:
        """Whether it is a reward model, with one output."""
        return self.outputs == 1

    @property
    def head(self) -> LinearLayer:
        """The output layer, whether or not it shares the embedding's weights."""
        return LinearLayer("lm_head", self.hidden, self.outputs, "mlp")

    @property
    def linear_weights(self) -> int:
        """Parameters of all linear layers without biases, which every token uses, and QLoRA holds in 4 bits."""
        return self.layers * sum(linear.weights for linear in self.linears)

    @property
    def biases(self) -> int:
        """Parameters of the biases of all linear layers."""
        return self.layers * sum(linear.outputs for linear in self.linears if linear.bias)

    @property
    def parameters(self) -> int:
        """All parameters; tied weights are counted once."""
        ends = self.vocabulary * self.hidden + (0 if self.tied_head else self.head.weights)
        return self.linear_weights + self.biases + self.layers * self.norms + self.outside + ends

    def targets(self, modules: Literal["all-linear"] | Sequence[str]) -> tuple[LinearLayer, ...]:
        """Return the linear layers of one transformer layer that get an adapter.

        Args:
            modules: names of linear layers, or their ends behind a dot, or ``all-linear``.

        Returns:
            The linear layers.

        Raises:
            ModelError: there is no linear layer of that name, or a name is that of some layers of an equal name.
        """
        if modules == "all-linear":
            return self.linears
        names = {name.rpartition(".")[2]: name for name in modules}
        targets = tuple(linear for linear in self.linears if linear.name in names)
        unknown = names.keys() - {linear.name for linear in targets}
        if unknown:
            known = ", ".join(linear.name for linear in self.linears)
            raise ModelError(
                f"{', '.join(sorted(names[each] for each in unknown))}: no such linear layer in a {self.family} model; "
                f"it has {known}"
            )
        for name in modules:
            last, parts = name.rpartition(".")[2], name.split(".")
            several = len([each for each in targets if each.name == last]) > 1
            if any(part.isdigit() for part in parts) or (len(parts) > 1 and several):
                raise ModelError(
                    f"{name!r} names some of the linear layers that are called {last!r}, and estimates are for all of "
                    "them; name transformer layers in layers_to_transform"
                )
        return targets


class _Config:
    """Reads numbers from a config."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def number(self, name: str, default: int | None = None) -> int:
        value = self.values.get(name)
        if value is None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"the model's config has no usable {name} ({value!r}), so its size cannot be computed")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        return default if value is None else bool(value)


def model_shape(config: Mapping[str, Any], *, scores: bool = False) -> ModelShape:
    """Read a model's shape from its config.

    Args:
        config: the parsed ``config.json``, or a transformers config's ``to_dict()``.
        scores: whether the model is a reward model, with one output instead of a vocabulary.

    Returns:
        The shape.

    Raises:
        ModelError: the model family is not known, or a size is missing.
    """
    family = config.get("model_type")
    build = _FAMILIES.get(str(family))
    if build is None:
        raise ModelError(f"the shape of model_type {family!r} is not known; known are {', '.join(_FAMILIES)}")
    shape = build(str(family), _Config(config))
    return replace(shape, outputs=1, tied_head=False) if scores else shape


def _decoder(
    family: str,
    config: _Config,
    *,
    head_dim: int | None = None,
    fused: bool = False,
    head_norms: bool = False,
    query_bias: bool = False,
    tied: bool = False,
) -> ModelShape:
    """RMS norms, rotary positions and a gated MLP: Llama and its descendants.

    Args:
        family: ``model_type`` of the config.
        config: the config.
        head_dim: default of the config's head size; hidden size / heads if None.
        fused: whether query, key and value projections are one linear layer, and gate and up projections another.
        head_norms: whether queries and keys have their own norms.
        query_bias: whether query, key and value projections have biases that the config does not name.
        tied: default of the config's ``tie_word_embeddings``.

    Returns:
        The shape.
    """
    d, f, heads = (config.number(name) for name in ("hidden_size", "intermediate_size", "num_attention_heads"))
    kv = config.number("num_key_value_heads", heads)
    size = config.number("head_dim", head_dim or d // heads)
    bias = config.flag("attention_bias", False)
    mlp = config.flag("mlp_bias", False)
    linears: tuple[LinearLayer, ...]
    if fused:
        linears = (
            LinearLayer("qkv_proj", d, (heads + 2 * kv) * size, "attention_norm"),
            LinearLayer("o_proj", heads * size, d, "attention"),
            LinearLayer("gate_up_proj", d, 2 * f, "mlp_norm"),
            LinearLayer("down_proj", f, d, "mlp"),
        )
    else:
        linears = (
            LinearLayer("q_proj", d, heads * size, "attention_norm", bias or query_bias),
            LinearLayer("k_proj", d, kv * size, "attention_norm", bias or query_bias),
            LinearLayer("v_proj", d, kv * size, "attention_norm", bias or query_bias),
            LinearLayer("o_proj", heads * size, d, "attention", bias),
            LinearLayer("gate_proj", d, f, "mlp_norm", mlp),
            LinearLayer("up_proj", d, f, "mlp_norm", mlp),
            LinearLayer("down_proj", f, d, "mlp", mlp),
        )
    return ModelShape(
        family=family,
        vocabulary=config.number("vocab_size"),
        outputs=config.number("vocab_size"),
        hidden=d,
        intermediate=f,
        layers=config.number("num_hidden_layers"),
        heads=heads,
        kv_heads=kv,
        head_dim=size,
        linears=linears,
        norm="rms",
        norms=2 * d + (2 * size if head_norms else 0),
        head_norms=head_norms,
        mlp_kept=3,  # gate, activated gate, and up projection
        rotary=True,
        outside=d,
        tied_head=config.flag("tie_word_embeddings", tied),
    )


def _gpt2(family: str, config: _Config) -> ModelShape:
    d = config.number("n_embd")
    heads = config.number("n_head")
    f = config.number("n_inner", 4 * d)
    return ModelShape(
        family=family,
        vocabulary=config.number("vocab_size"),
        outputs=config.number("vocab_size"),
        hidden=d,
        intermediate=f,
        layers=config.number("n_layer"),
        heads=heads,
        kv_heads=heads,
        head_dim=d // heads,
        linears=(
            LinearLayer("c_attn", d, 3 * d, "attention_norm", bias=True),
            # The output projections of attention and MLP are both called c_proj.
            LinearLayer("c_proj", d, d, "attention", bias=True),
            LinearLayer("c_fc", d, f, "mlp_norm", bias=True),
            LinearLayer("c_proj", f, d, "mlp", bias=True),
        ),
        norm="layer",
        norms=4 * d,
        head_norms=False,
        # transformers computes GPT-2's GELU from a formula, which saves its input, a power, a tanh and a product.
        mlp_kept=4 if config.values.get("activation_function", "gelu_new") == "gelu_new" else 1,
        rotary=False,
        outside=2 * d + config.number("n_positions") * d,
        tied_head=config.flag("tie_word_embeddings", True),
    )


_FAMILIES: dict[str, Callable[[str, _Config], ModelShape]] = {
    "llama": _decoder,
    "mistral": _decoder,
    "qwen2": lambda family, config: _decoder(family, config, query_bias=True),
    "qwen3": lambda family, config: _decoder(family, config, head_dim=128, head_norms=True),
    "phi3": lambda family, config: _decoder(family, config, fused=True),
    "gemma": lambda family, config: _decoder(family, config, head_dim=256, tied=True),
    "gpt2": _gpt2,
}
