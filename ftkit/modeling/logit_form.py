"""What a model does with its final hidden states and with the outputs of its output layer, found by a trial.

Most models' logits are the outputs of the output layer. Some scale them (Cohere, Granite, HyperCLOVA X), cap them
softly (Gemma 2 and 4, nanochat), or scale the hidden states first (MiniCPM).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ftkit.modeling.causality import trial_tokens

__all__ = ["PLAIN_LOGITS", "LogitForm", "logit_form"]

Tensor = torch.Tensor

_TOKENS = 12
_LARGE = 1e6
"""An output that reaches the cap."""


@dataclass(frozen=True, slots=True)
class LogitForm:
    """Logits are ``cap · tanh(scale · x / cap) / temperature``, without a cap ``scale · x / temperature``.

    Attributes:
        scale: factor of the outputs x of the output layer.
        cap: the largest logit, approached softly; None for no limit.
        input_scale: factor of the final hidden states.
        temperature: by which logits are divided.
    """

    scale: float = 1.0
    cap: float | None = None
    input_scale: float = 1.0
    temperature: float = 1.0

    def at_temperature(self, temperature: float) -> LogitForm:
        """Divide the logits.

        Args:
            temperature: by what.

        Returns:
            The changed form.
        """
        return replace(self, temperature=temperature)

    def logits(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute logits.

        Args:
            outputs: of the output layer, float32; may be changed in place.

        Returns:
            The logits, which share no memory with the slopes; and their slopes as a tensor that multiplies them, None
            for 1.
        """
        if self.cap is None:
            factor = self.scale / self.temperature
            if factor == 1:
                return outputs, None
            return outputs.mul_(factor), outputs.new_tensor(factor)
        bent = outputs.mul_(self.scale / self.cap).tanh_()
        slopes = (1 - bent * bent).mul_(self.scale / self.temperature)
        return bent.mul_(self.cap / self.temperature), slopes


PLAIN_LOGITS = LogitForm()
"""Logits that are the outputs of the output layer."""

_KNOWN: WeakKeyDictionary[Any, LogitForm | None] = WeakKeyDictionary()


def logit_form(model: Any) -> LogitForm | None:
    """Find out what a model does around its output layer, by giving the layer outputs of known values.

    Args:
        model: a transformers model.

    Returns:
        The form, plain for a model without an output layer or one that does not call it; None for something else.
    """
    if model not in _KNOWN:
        _KNOWN[model] = _measured(model)
    return _KNOWN[model]


@torch.no_grad()
def _measured(model: Any) -> LogitForm | None:
    head = model.get_output_embeddings()
    if head is None:
        return PLAIN_LOGITS
    seen: dict[str, Tensor] = {}

    def watch_decoder(module: Any, inputs: Any, output: Any) -> None:
        hidden = getattr(output, "last_hidden_state", None)
        seen["hidden"] = output[0] if hidden is None else hidden

    def replace_outputs(module: Any, inputs: Any, output: Tensor) -> Tensor:
        probe = torch.linspace(-40, 40, output.numel(), device=output.device).view(output.shape)
        probe[..., 0], probe[..., 1] = _LARGE, 1e-3
        seen["input"], seen["probe"] = inputs[0], probe
        return probe.clone()

    hooks = [
        model.get_decoder().register_forward_hook(watch_decoder),
        head.register_forward_hook(replace_outputs),
    ]
    try:
        logits = model(input_ids=trial_tokens(model, _TOKENS), use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    if "probe" not in seen or "hidden" not in seen:
        return PLAIN_LOGITS
    outputs, is_exact = seen["probe"], logits.dtype == torch.float32
    input_scale = _ratio(seen["input"], seen["hidden"])
    if input_scale is None or logits.shape != outputs.shape:
        return None
    scale = float((logits[..., 1].double() / outputs[..., 1].double()).mean())
    largest = float(logits[..., 0].double().mean())
    if not is_exact:
        scale, largest = (_named(value, model.config) for value in (scale, largest))
    for cap in (None, largest):
        form = LogitForm(_rounded(scale), None if cap is None else _rounded(cap), input_scale)
        found, _ = form.logits(outputs.clone())
        if torch.allclose(found, logits.float(), rtol=1e-5 if is_exact else 1e-2, atol=1e-6):
            return form
    return None


def _named(value: float, config: Any) -> float:
    """The number of a config, or one divided by it, that a coarsely rounded value stands for."""
    numbers = [
        number
        for name, number in config.get_text_config().to_dict().items()
        if "logit" in name and isinstance(number, int | float) and number
    ]
    candidates = [1.0, *numbers, *(1 / number for number in numbers)]
    nearest = min(candidates, key=lambda number: abs(number - value))
    return float(nearest) if abs(nearest - value) <= 1e-2 * abs(value) else value


def _ratio(first: Tensor, second: Tensor) -> float | None:
    """The factor between two tensors; None if they are no multiples."""
    if first.shape != second.shape:
        return None
    if torch.equal(first, second):
        return 1.0
    one, two = first.double(), second.double()
    factor = float((one * two).sum() / (two * two).sum().clamp(min=1e-300))
    allowed = 1e-5 if first.dtype == torch.float32 else 2e-2
    return _rounded(factor) if float((one - factor * two).norm()) <= allowed * float(one.norm()) else None


def _rounded(value: float) -> float:
    """A measured value to six digits: configs hold round numbers."""
    return float(f"{value:.6g}")
