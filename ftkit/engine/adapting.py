"""Putting a recipe's adapter on a model: what becomes trainable, and what happens around each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model

from ftkit.engine.quiet import quiet
from ftkit.errors import RefusedError
from ftkit.recipe import AdaLoRA, Adapter, DoRA, Full, LoRA, QLoRA

__all__ = ["Adapted", "adapt"]


@dataclass(slots=True)
class Adapted:
    """A model with its trainable part.

    Attributes:
        model: the PEFT model, or the plain one for ``Full``.
        causal: the transformers model inside it, whose layers now hold the adapters.
        parameters: trainable tensors by name.
        ada: AdaLoRA's model, which moves ranks after each step.
    """

    model: Any
    causal: Any
    parameters: dict[str, torch.nn.Parameter]
    ada: Any = None

    def dropout(self, *, on: bool) -> None:
        """Switch the adapter's dropout on for training or off for looking at a loss.

        The model stays in training mode all the while: in evaluation mode bitsandbytes (0.50, ``Linear4bit.forward``)
        repacks 4-bit weights, on CPUs with AVX-512 BF16, into a form that no gradient passes, and never unpacks them.
        """
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.train(on)

    def penalty(self) -> torch.Tensor | None:
        """AdaLoRA's orthogonality term, γ · mean(‖PᵀP − I‖_F, ‖QQᵀ − I‖_F) over its matrices (paper, eq. 4)."""
        if self.ada is None:
            return None
        terms = []
        for name, parameter in self.parameters.items():
            if "lora_A" in name or "lora_B" in name:
                gram = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
                terms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
        weight: float = self.ada.peft_config[self.ada.trainable_adapter_name].orth_reg_weight
        return weight * torch.stack(terms).mean()

    def after_step(self, step: int) -> None:
        """Let AdaLoRA move ranks; to be called after the optimiser's ``step`` (from 1) while gradients are there."""
        if self.ada is not None:
            self.ada.update_and_allocate(step)

    def ranks(self) -> dict[str, int] | None:
        """Rank of each layer that AdaLoRA still uses; ``None`` for other adapters."""
        if self.ada is None:
            return None
        return {
            name.removesuffix(f".lora_E.{self.ada.trainable_adapter_name}"): int((parameter != 0).sum())
            for name, parameter in self.parameters.items()
            if ".lora_E." in name
        }


def adapt(causal: Any, adapter: Adapter, *, total_steps: int, seed: int) -> Adapted:
    """Make ``causal`` trainable as ``adapter`` says; everything else is frozen.

    The model's own dropout is switched off, because packed rows share their computation; the adapter's is honoured.

    Args:
        adapter: resolved, without ``"auto"``.
        total_steps: optimiser steps of the run (AdaLoRA plans its ranks over them).
        seed: of the adapter's first values.

    Raises:
        RefusedError: the adapter names layers the model has not, or would wrap the output layer.
    """
    causal.train()
    for module in causal.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    if isinstance(adapter, Full):
        causal.float()  # AdamW's small steps are lost in bfloat16 weights
        causal.requires_grad_(requires_grad=True)
        return Adapted(causal, causal, dict(causal.named_parameters()))
    torch.manual_seed(seed)
    with quiet():  # PEFT warns of options that ftkit sets on purpose
        try:
            model = get_peft_model(causal, _config(adapter, total_steps))
        except ValueError as error:
            raise RefusedError(
                f"adapter.target_modules: {error}", backend="local", fields=("adapter.target_modules",)
            ) from None
    if any("lora_" in name for name, _ in causal.get_output_embeddings().named_parameters()):
        raise RefusedError(
            "adapter.target_modules names the output layer; the local engine trains adapters on inner layers only",
            backend="local",
            fields=("adapter.target_modules",),
        )
    parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
    return Adapted(model, causal, parameters, model.base_model if isinstance(adapter, AdaLoRA) else None)


def _config(adapter: Adapter, total_steps: int) -> LoraConfig:
    if isinstance(adapter, AdaLoRA):
        return AdaLoraConfig(
            init_r=adapter.init_rank,
            target_r=adapter.target_rank,
            lora_alpha=adapter.lora_alpha,
            lora_dropout=adapter.lora_dropout,
            target_modules=_targets(adapter.target_modules),
            tinit=adapter.warmup_steps,
            tfinal=adapter.final_steps,
            deltaT=adapter.interval_steps,
            beta1=adapter.beta1,
            beta2=adapter.beta2,
            orth_reg_weight=adapter.orth_reg_weight,
            total_step=total_steps,
            task_type="CAUSAL_LM",
        )
    if isinstance(adapter, LoRA | QLoRA | DoRA):
        return LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.lora_alpha,
            lora_dropout=adapter.lora_dropout,
            target_modules=_targets(adapter.target_modules),
            use_rslora=adapter.use_rslora,
            use_dora=isinstance(adapter, DoRA),
            task_type="CAUSAL_LM",
        )
    raise RefusedError(
        f"the local engine does not know the adapter {adapter.kind!r}", backend="local", fields=("adapter",)
    )


def _targets(modules: str | tuple[str, ...]) -> str | list[str]:
    return modules if isinstance(modules, str) else list(modules)
