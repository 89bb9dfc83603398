"""AdaLoRA (arXiv 2303.10512) on a model, through PEFT."""

from __future__ import annotations

from typing import Any

import torch
from peft import AdaLoraConfig
from typing_extensions import override

from ftkit.recipe import AdaLoRA
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.adapters.base import AdapterTuner

__all__ = ["AdaLoRATuner"]

_SENSITIVITIES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What PEFT's rank allocator keeps from step to step."""


class AdaLoRATuner(AdapterTuner[AdaLoRA]):
    """Reallocates ranks after each step."""

    kept_factors = ("lora_A", "lora_B")

    @override
    def peft_config(self, model: Any) -> AdaLoraConfig:
        adapter = self.adapter
        modules = adapter.target_modules
        return AdaLoraConfig(
            init_r=adapter.init_rank,
            target_r=adapter.target_rank,
            lora_alpha=adapter.lora_alpha,
            lora_dropout=adapter.lora_dropout,
            target_modules=modules if isinstance(modules, str) else list(modules),
            tinit=adapter.warmup_steps,
            tfinal=adapter.final_steps,
            deltaT=adapter.interval_steps,
            beta1=adapter.beta1,
            beta2=adapter.beta2,
            orth_reg_weight=adapter.orth_reg_weight,
            total_step=self.total_steps,
        )

    @override
    def penalty(self, adapted: AdaptedModel) -> torch.Tensor:
        # γ · mean(‖PᵀP − I‖_F, ‖QQᵀ − I‖_F) over the adapter's matrices (paper, eq. 4).
        terms = []
        for name, parameter in adapted.parameters.items():
            if "lora_A" in name or "lora_B" in name:
                gram = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
                terms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
        weight: float = _config(adapted).orth_reg_weight
        return weight * torch.stack(terms).mean()

    @override
    def after_step(self, adapted: AdaptedModel, step: int) -> None:
        adapted.model.base_model.update_and_allocate(step)

    @override
    def state(self, adapted: AdaptedModel) -> dict[str, Any]:
        allocator = adapted.model.base_model.rankallocator
        sensitivities: dict[str, Any] = {name: dict(getattr(allocator, name)) for name in _SENSITIVITIES}
        return sensitivities | {"rank_pattern": dict(_config(adapted).rank_pattern or {})}

    @override
    def load_state(self, adapted: AdaptedModel, state: dict[str, Any]) -> None:
        device = next(iter(adapted.parameters.values())).device
        for name in _SENSITIVITIES:
            values = {key: value.to(device) for key, value in state[name].items()}
            setattr(adapted.model.base_model.rankallocator, name, values)
        if state["rank_pattern"]:
            _config(adapted).rank_pattern = dict(state["rank_pattern"])

    @override
    def after_load(self, adapted: AdaptedModel) -> None:
        # The ranks that are saved must be those of the loaded parameters.
        _config(adapted).rank_pattern = {
            name.removeprefix("base_model.model."): (parameter != 0).view(-1).tolist()
            for name, parameter in adapted.parameters.items()
            if ".lora_E." in name
        }

    @override
    def summary(self, adapted: AdaptedModel) -> dict[str, Any]:
        suffix = f".lora_E.{adapted.model.base_model.trainable_adapter_name}"
        ranks = {
            name.removesuffix(suffix): int((parameter != 0).sum())
            for name, parameter in adapted.parameters.items()
            if ".lora_E." in name
        }
        return {"adalora_ranks": ranks} if ranks else {}


def _config(adapted: AdaptedModel) -> Any:
    tuner = adapted.model.base_model
    return tuner.peft_config[tuner.trainable_adapter_name]
