"""A random model of every family of transformers that generates text, small enough to compute in milliseconds.

Configs are shrunk by the names of their fields, so that a family of the next release is built, too. ``_EXCEPTIONS``
holds what a family needs besides.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["NOT_BUILT", "families", "tiny_family", "tiny_family_config"]

VOCABULARY = 160
END = 2
WINDOW = 16
"""Tokens of attention windows, and how many tokens an indexer chooses; longer rows show what they do."""

_SIZES: tuple[tuple[str, int], ...] = (
    (r"(.*_)?vocab_size(_per_layer_input|_base)?|unpadded_vocab_size", VOCABULARY),
    (r"(router_)?hidden_size|d_model|n_embd|embedding_(size|dim)|(input|output)_embedding_size|emb_dim|lru_width", 32),
    (r"word_embed_proj_dim|attention_hidden_size|dim_model_base|(pronunciation|shape)_embed_dim|ple_embed_dim", 32),
    (r"(.*_)?intermediate_size(_mlp)?|.*ffn_dim|.*ffn_hidden_size|n_inner|d_inner|dim_ff|dff|feed_forward_size", 48),
    (r"num_hidden_layers|n_layers?|num_layers|(num_)?(decoder|encoder)_layers|num_blocks|num_layers_per_stack", 2),
    (r"(.*_)?num_attention_heads|n_heads?|num_heads|(num_)?(decoder_|encoder_)?attention_heads|num_query_groups", 4),
    (r"(.*_)?num_key_value_heads|num_kv_heads|n_mamba_heads|mamba_n_heads|linear_num_(key_|value_)?heads", 2),
    (r"(swa_)?head_dim|attention_head_(dim|size)|kv_channels|(swa_)?v_head_dim|qk_nope_head_dim|dim_head|d_head", 8),
    (
        r"qk_rope_head_dim|rotary_dim|q_lora_rank|kv_lora_rank|o_lora_rank|index_head_dim|linear(_key|_value)?_head_dim",
        8,
    ),
    (r"num_local_experts|n_routed_experts|num_experts|moe_num_experts|zero_expert_num", 4),
    (r"num_experts_per_tok(en)?|moe_k|moe_topk|top_k_experts|index_n_heads", 2),
    (r"n_group|topk_group|num_expert_group|n_shared_experts|(moe_)?num_shared_experts|n_groups|mamba_n_?groups", 1),
    (r"max_position_embeddings|n_positions|n_ctx|max_seq_len|model_max_length|context_length", 128),
    (r"qk_head_dim", 16),
    (r"mamba_d_state|state_size|ssm_state_size|mamba_d_head|time_step_rank|adapter_rank|laurel_rank|hc_lowrank", 8),
    (r"hidden_size_per_layer_input|d_rel|gated_norm_rank", 8),
    (r"query_pre_attn_scalar", 16),
    (r"mamba_chunk_size|chunk_size", 16),
)

_WINDOWS = re.compile(
    r"sliding_window(_size)?|attention_(chunk|window)_size|(keep_)?window_size|index_topk|indexer_budget"
)

_PER_LAYER = re.compile(
    r"layer_types|mlp_layer_types|indexer_types|layers_block_type|layer_rope_theta|activation_sparsity_pattern"
    r"|num_attention_heads_per_layer|no_rope_layers|attention_layers"
)

_MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8}  # heads x head size = twice the hidden size

NOT_BUILT = {
    "blt": "its tiny patcher does not fit its tiny encoder",
    "dots3_note": "its audio part has a width of its own",
    "gemma3n": "needs Pillow and timm",
    "gemma4_assistant": "drafts for another model",
    "gemma4_unified_assistant": "drafts for another model",
    "musicgen": "writes audio",
    "musicgen_melody": "writes audio",
    "qwen4_exp": "the config of its text is that of qwen4_exp_text",
}
"""Families that are not built, and why."""

_EXCEPTIONS: dict[str, dict[str, Any]] = {
    "bamba": {**_MAMBA2, "attn_layer_indices": [1]},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}
    },
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "dots3_note_text": {"num_key_value_heads": 4},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "falcon_h1": {**_MAMBA2, "mamba_d_ssm": 64},
    "gemma3n_text": {
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.95, 0.95, 0.0, 0.0],
    },
    "granitemoehybrid": {**_MAMBA2, "layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "nemotron": {"num_key_value_heads": 2},
    "nemotron_h": {"mamba_num_heads": 8, "mamba_head_dim": 8},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {"axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 16]},
    "xmod": {"default_language": "en_XX"},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": WINDOW,
        "indexer_compress_ratio": 4,
        "heads_per_ngram": 2,
    },
    "zamba": {
        "attention_head_dim": 16,
        "attention_hidden_size": 64,
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
    },
    "zamba2": {"attention_head_dim": 16, "attention_hidden_size": 64, "n_mamba_heads": 8},
}


def families() -> list[str]:
    """Names of all families of causal language models."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _small(values: dict[str, Any], window: int) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and "model_type" in value:
            changes[name] = {**_small(value, window), "model_type": value["model_type"]}
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        size = window if _WINDOWS.fullmatch(name) else None
        size = size or next((size for pattern, size in _SIZES if re.fullmatch(pattern, name)), None)
        if size is not None and value > 0:
            changes[name] = min(size, value)
    if "kv_lora_rank" in values and "num_key_value_heads" in values:
        changes["num_key_value_heads"] = 4  # multi-head latent attention has as many as query heads
    if values.get("head_dim", 0) is None:
        changes["head_dim"] = 8
    special = {"bos_token_id": 1, "eos_token_id": END, "pad_token_id": 0}
    return changes | _layers(values) | {name: token for name, token in special.items() if name in values}


def _layers(values: dict[str, Any]) -> dict[str, Any]:
    """Per-layer lists, cut to one layer of each kind, at least two."""
    lists = {name: value for name, value in values.items() if _PER_LAYER.fullmatch(name) and isinstance(value, list)}
    if not lists:
        return {}
    kinds = [str(kind) for kind in zip(*lists.values(), strict=False)]
    chosen = [kinds.index(kind) for kind in dict.fromkeys(kinds)][:4]
    chosen = sorted(chosen if len(chosen) > 1 else [*chosen, chosen[0] + 1])
    cut = {name: [value[at] for at in chosen] for name, value in lists.items()}
    return {**cut, "num_hidden_layers": len(chosen)}


def tiny_family_config(family: str, *, window: int = WINDOW, **changes: Any) -> Any:
    """Config of a tiny model of ``family``; ``changes`` replace fields of it."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[family]
    small = _small(kind().to_dict(), window) | {"use_cache": True, "is_decoder": True}
    return kind(**{**small, **_EXCEPTIONS.get(family, {}), **changes})


def tiny_family(family: str, *, attention: str | None = None, seed: int = 0, **changes: Any) -> Any:
    """A random model of ``family`` in float32, its weights spread wide enough that a wrong mask shows."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = tiny_family_config(family, **changes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2 or ("scale" in name and not parameter.any()):
                parameter.normal_(std=0.15)
    return model.float().eval()
