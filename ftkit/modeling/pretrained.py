"""Load models and their tokenizers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
)

from ftkit.errors import ModelError
from ftkit.modeling.artefact_digests import check_digests
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.cache_kinds import other_attention
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.dequantize import forget_quantization, is_quantized
from ftkit.modeling.device import torch_dtype
from ftkit.modeling.embedded_model import EMBEDDED, expand_embedded, is_embedded
from ftkit.modeling.expert_weights import quantise_experts
from ftkit.modeling.library_logging import quiet
from ftkit.modeling.load_errors import load_errors
from ftkit.modeling.model_source import RECORD, ModelSource, Quantization, check_config, read_object
from ftkit.modeling.quantized_files import expanded_config, held_quantization
from ftkit.modeling.template_source import is_template_hash
from ftkit.modeling.tokenizer_limits import check_tokenizer
from ftkit.modeling.whole_weights import check_loaded, check_size

__all__ = [
    "Pretrained",
    "choose_template",
    "context_length",
    "load_config",
    "load_pretrained",
    "load_tokenizer",
    "plain_attention",
    "quantized_files",
    "stop_ids",
    "tree_attention",
]


_ANY_TEXT = "any text"
_GENERATION = "generation_config.json"
_MOST_STOP_IDS = 256
_SCORE = "score.weight"
"""The score layer of a reward model."""
_HINT = (
    f' (give a local folder, a hub id that is in the local cache or reachable, or "{EMBEDDED}" for the embedded model)'
)


@dataclass(slots=True)
class Pretrained:
    """A loaded model with its tokenizer.

    Attributes:
        source: the location of its files.
        model: the transformers model.
        tokenizer: the transformers tokenizer.
        chat_template: the chat template with the tokenizer.
        precision: type of the arithmetic.
    """

    source: ModelSource
    model: Any
    tokenizer: Any
    chat_template: ChatTemplate
    precision: Literal["bf16", "fp32"]

    @property
    def max_length(self) -> int | None:
        """Context length in tokens; None if the config does not name it."""
        return context_length(self.model.config)


def context_length(config: Any) -> int | None:
    """Read the context length from a model's config.

    Args:
        config: a transformers config.

    Returns:
        Tokens; None if the config does not name it.
    """
    for key in ("max_position_embeddings", "n_positions", "seq_length"):
        value = getattr(config, key, None)
        if isinstance(value, int):
            return value
    return None


def load_config(source: ModelSource) -> Any:
    """Load the base model's config, without weights.

    Args:
        source: the model.

    Returns:
        The transformers config.

    Raises:
        ModelError: it cannot be loaded.
    """
    with load_errors(_cannot_load(source), source.base, hint=_HINT):
        values, _ = PreTrainedConfig.get_config_dict(source.base)
        check_config(values, f"the config.json of {source.name!r}")
        return AutoConfig.from_pretrained(source.base, trust_remote_code=False)


def load_pretrained(
    source: ModelSource,
    *,
    precision: Literal["bf16", "fp32"],
    device: torch.device,
    quantisation: Quantization | None = None,
    attention: str = TREE_ATTENTION,
    scores: bool = False,
    day: date | None = None,
) -> Pretrained:
    """Load a base model, without its adapter, and its tokenizer.

    Args:
        source: the model.
        precision: type of the weights; of the arithmetic if they are quantised.
        device: the device to load to.
        quantisation: 4-bit quantisation of the linear layers and of fused experts; None for none. A model whose files
            are quantised already stays as it is, or is expanded
            (:func:`~ftkit.modeling.quantized_files.expanded_config`).
        attention: name of the attention implementation, see :mod:`ftkit.modeling.attention`. Architectures that need
            another keep the one that transformers chooses.
        scores: whether to load a reward model (one score, from the last token) instead of a language model. The score
            layer of a base model is initialised at random with a fixed seed.
        day: the day that a chat template with a date writes; None is the day on which it renders.

    Returns:
        The model and its tokenizer.

    Raises:
        ModelError: files are missing or unreadable, the hub cannot be reached, the architecture generates no text, or
            the chat template is not the one of the training.
    """
    if is_embedded(source.base):
        expand_embedded()
    dtype = torch_dtype(precision)
    extra: dict[str, Any] = {}
    held = quantized_files(source)
    if held is not None:
        with load_errors(_cannot_load(source), source.base):
            expanded = expanded_config(held)
        if expanded is not None:
            extra["quantization_config"] = expanded
    elif quantisation is not None:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantisation.quant_type,
            bnb_4bit_use_double_quant=quantisation.double_quant,
            bnb_4bit_compute_dtype=dtype,
        )
    auto_class: Any = AutoModelForCausalLM
    if scores:
        auto_class, extra["num_labels"] = AutoModelForSequenceClassification, 1
    _check_files(source)
    with load_errors(_cannot_load(source), source.base, hint=_HINT), quiet():
        supports = tree_attention if attention == TREE_ATTENTION else plain_attention
        implementation = attention if supports(load_config(source)) else None
        model, loading = auto_class.from_pretrained(
            source.base,
            dtype=dtype,
            attn_implementation=implementation,
            device_map={"": device},
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are errors below, with their names
            trust_remote_code=False,
            **extra,
        )
    if scores and not isinstance(getattr(model, "score", None), torch.nn.Linear):
        raise ModelError(
            f"a {model.config.model_type} model cannot become a reward model: {type(model).__name__} of transformers "
            "has no layer `score` on the last token; take another base"
        )
    missing, unexpected = set(loading["missing_keys"]), set(loading["unexpected_keys"])
    fresh = scores and _SCORE in missing and not (source.scores and source.adapter is None)
    if fresh:  # a language model's weights: its output layer is not used, and the score layer is new
        missing.discard(_SCORE)
        unexpected = {name for name in unexpected if name.startswith(f"{model.base_model_prefix}.")}
    check_loaded(
        f"the model {source.name!r}", missing=missing, unexpected=unexpected, mismatched=loading["mismatched_keys"]
    )
    if held is not None and not is_quantized(model):
        forget_quantization(model)
    if held is None and quantisation is not None:
        quantise_experts(model, quantisation)
    model.eval()
    tokenizer = load_tokenizer(source)
    chat_template = ChatTemplate(tokenizer, stop_ids(getattr(model, "generation_config", None)), day=day)
    chat_template.vocabulary = int(model.get_input_embeddings().weight.shape[0])
    if scores:
        _prepare_scores(model, chat_template, fresh=fresh)
    return Pretrained(source, model, tokenizer, chat_template, precision)


def quantized_files(source: ModelSource) -> dict[str, Any] | None:
    """Read how the files of a base model are quantised.

    Args:
        source: the model.

    Returns:
        The config's ``quantization_config``; None for plain weights.

    Raises:
        ModelError: the config cannot be read.
    """
    config = load_config(source)
    return held_quantization(config) if hasattr(config, "quantization_config") else None


def load_tokenizer(source: ModelSource) -> Any:
    """Load a model's tokenizer with its chat template, or with the one that the user chose.

    Args:
        source: the model.

    Returns:
        The transformers tokenizer.

    Raises:
        ModelError: it cannot be loaded, or the chat template is not the one of the training.
    """
    what = f"cannot load the model {source.name!r}: its tokenizer"
    with load_errors(what, hint=_HINT), quiet():
        tokenizer = AutoTokenizer.from_pretrained(source.tokenizer, trust_remote_code=False)
        check_tokenizer(tokenizer, what)
        encoded = tokenizer(_ANY_TEXT, add_special_tokens=False)["input_ids"]
    if not encoded:
        raise ModelError(f"{what} encodes {_ANY_TEXT!r} as nothing: its vocabulary is damaged. Get its files again")
    choose_template(source, tokenizer)
    return tokenizer


def _check_files(source: ModelSource) -> None:
    """Refuse a folder whose files have changed since ftkit made it, or that no model can be loaded from."""
    folder = Path(source.base)
    if folder.is_dir():
        check_digests(folder)
        if (folder / _GENERATION).is_file():
            read_object(folder / _GENERATION)  # transformers goes on without one that is torn, and without its stops
        config = source.config()
        if config is not None:
            check_size(folder, config, _cannot_load(source), lambda: _parameters(source))


def _parameters(source: ModelSource) -> int:
    """Count the parameters that a config describes without making room for them; 0 if that does not work."""
    config = load_config(source)
    try:
        with quiet(), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:  # of whatever kind; loading the weights will say what is wrong
        return 0
    return sum(parameter.numel() for parameter in model.parameters())


def _prepare_scores(model: Any, chat_template: ChatTemplate, *, fresh: bool) -> None:
    if fresh:
        generator = torch.Generator().manual_seed(0)
        text = model.config.get_text_config()
        named = (getattr(text, name, None) for name in ("initializer_range", "init_std", "initializer_factor"))
        std = next((value for value in named if isinstance(value, float) and value > 0), 0.02)
        initial = torch.empty(model.score.weight.shape).normal_(std=std, generator=generator)
        with torch.no_grad():
            model.score.weight.copy_(initial)
    # transformers reads the score at the last token that is not padding. If padding is the end of turn, as in many
    # tokenizers, that is another token than in training.
    tokenizer = chat_template.tokenizer
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in chat_template.stop_ids:
        others = [
            token
            for token in tokenizer.all_special_tokens
            if tokenizer.convert_tokens_to_ids(token) not in chat_template.stop_ids
        ]
        if others:
            tokenizer.pad_token = others[-1]
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def choose_template(source: ModelSource, tokenizer: Any) -> None:
    """Give a tokenizer the chat template that the user chose, or check that its own is the one of the training.

    Args:
        source: the model.
        tokenizer: its tokenizer, which is changed if the user chose a template.

    Raises:
        ModelError: the template cannot be read, or it is not the one of the training.
    """
    chosen = source.read_template()
    if chosen is not None:
        tokenizer.chat_template = chosen
    elif source.template_hash is not None and not is_template_hash(tokenizer, source.template_hash):
        raise ModelError(
            f"the chat template beside {source.name!r} is not the one the model was trained with (its hash is "
            f"not the {RECORD}'s template_hash); put the original chat_template.jinja back"
        )


def tree_attention(config: Any) -> bool:
    """Say whether an architecture uses pluggable attention, also with soft caps (Gemma 2) or sinks (gpt-oss).

    Args:
        config: a transformers config.

    Returns:
        Whether the model can be loaded with ftkit's attention over packed rows.
    """
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return kind is not None and kind._supports_attention_backend and other_attention(config) is None


def plain_attention(config: Any) -> bool:
    """Say whether an architecture uses pluggable, plain scaled dot-product attention.

    Args:
        config: a transformers config.

    Returns:
        Whether the model can be loaded with ftkit's attention for answers.
    """
    # Not with soft-capped logits (Gemma 2), attention sinks (gpt-oss) or in older implementations (GPT-J).
    # Nor where layers choose among tokens: their code depends on the attention's name.
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    pluggable = kind is not None and kind._supports_attention_backend and kind._supports_sdpa
    return bool(pluggable) and other_attention(config) is None


def stop_ids(generation_config: Any) -> tuple[int, ...]:
    """Return the end-of-sequence tokens of a generation config.

    Args:
        generation_config: a transformers generation config, or None.

    Returns:
        Token ids; empty if it names none.

    Raises:
        ModelError: it names something else.
    """
    eos = getattr(generation_config, "eos_token_id", None)
    found = () if eos is None else tuple(eos) if isinstance(eos, list | tuple) else (eos,)
    if len(found) > _MOST_STOP_IDS or not all(type(one) is int and one >= 0 for one in found):
        raise ModelError(
            f"eos_token_id of the {_GENERATION} is {repr(eos)[:80]}, and not the ids of at most {_MOST_STOP_IDS} tokens"
        )
    return tuple(map(int, found))


def _cannot_load(source: ModelSource) -> str:
    return f"cannot load the model {source.name!r}"
