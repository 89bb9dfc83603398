"""Models whose files hold quantised weights: how they are loaded, and whether an adapter can be trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["expanded_config", "held_quantization", "quantization_problem", "quantization_text"]

_LONGEST = 300


def held_quantization(config: Any) -> dict[str, Any] | None:
    """Read how a model's files hold its weights.

    Args:
        config: a transformers config, or the content of a ``config.json``.

    Returns:
        The ``quantization_config``; None for plain weights.
    """
    own = config.get("quantization_config") if isinstance(config, Mapping) else config.quantization_config
    if own is None:
        return None
    return dict(own) if isinstance(own, Mapping) else dict(own.to_dict())


def quantization_text(held: Mapping[str, Any]) -> str:
    """Name a quantisation.

    Args:
        held: a ``quantization_config``.

    Returns:
        For example ``"nf4"`` or ``"gptq"``.
    """
    return str(held.get("bnb_4bit_quant_type") or held.get("quant_method") or "an unknown method")[:40]


def expanded_config(held: Mapping[str, Any]) -> Any | None:
    """Return the config with which transformers expands weights to 16 or 32 bits while it loads them.

    MXFP4 (gpt-oss), FP8 (DeepSeek) and compressed tensors have kernels for answers only. So that training and answers
    compute the same, both take the expanded weights, on every machine.

    Args:
        held: a ``quantization_config``.

    Returns:
        The changed config; None where the weights stay as they are.
    """
    from transformers.quantizers.auto import AutoQuantizationConfig

    config = AutoQuantizationConfig.from_dict(dict(held))
    if not hasattr(config, "dequantize"):
        return None
    config.dequantize = True
    return config


def quantization_problem(held: Mapping[str, Any]) -> str | None:
    """Say why an adapter cannot be trained on quantised weights. Loads no weights.

    Args:
        held: a ``quantization_config``.

    Returns:
        The reason, as whole sentences; None if it can.
    """
    from transformers.quantizers.auto import AutoHfQuantizer

    from ftkit.modeling.library_logging import quiet  # imports transformers, which the local backend needs only later

    method = quantization_text(held)
    try:
        with quiet():
            config = expanded_config(held)
            quantizer = AutoHfQuantizer.from_config(dict(held) if config is None else config, pre_quantized=True)
            quantizer.validate_environment(device_map={"": "cpu"})
            trainable = config is not None or quantizer.is_trainable
            trainable = trainable() if callable(trainable) else trainable
    except Exception as error:  # a missing package, an unknown method, a config that is none: all say why in their text
        reason = str(error).strip().splitlines()[0][:_LONGEST] if str(error).strip() else type(error).__name__
        return f"its files hold weights quantised by {method}, which cannot be loaded here: {reason.rstrip('.')}"
    if trainable:
        return None
    return f"its files hold weights quantised by {method}, on which transformers cannot train an adapter"
