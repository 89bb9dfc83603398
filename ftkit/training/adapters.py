"""Putting a recipe's adapter on a model: what becomes trainable, and what happens around each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.utils import load_peft_weights
from transformers.pytorch_utils import Conv1D

from ftkit.errors import ModelError, RefusedError
from ftkit.modeling.library_logging import quiet
from ftkit.recipe import AdaLoRA, Adapter, DoRA, Full, LoRA, QLoRA

__all__ = ["Adapted", "adapt"]


_SENSITIVITIES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""What PEFT's rank allocator remembers from step to step."""


@dataclass(slots=True)
class Adapted:
    """A model with its trainable part.

    Attributes:
        model: the PEFT model, or the plain one for ``Full``.
        inner: the transformers model inside it, whose layers now hold the adapters.
        parameters: trainable tensors by name.
        ada: AdaLoRA's model, which moves ranks after each step.
    """

    model: Any
    inner: Any
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

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold besides the trained tensors: AdaLoRA's sensitivities and the ranks it has
        chosen."""
        if self.ada is None:
            return {}
        allocator, chosen = self.ada.rankallocator, self.ada.peft_config[self.ada.trainable_adapter_name]
        kept: dict[str, Any] = {name: dict(getattr(allocator, name)) for name in _SENSITIVITIES}
        return kept | {"rank_pattern": dict(chosen.rank_pattern or {})}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        if self.ada is None:
            return
        where = next(iter(self.parameters.values())).device
        for name in _SENSITIVITIES:
            setattr(self.ada.rankallocator, name, {key: one.to(where) for key, one in state[name].items()})
        if state["rank_pattern"]:
            self.ada.peft_config[self.ada.trainable_adapter_name].rank_pattern = dict(state["rank_pattern"])

    def settle(self) -> None:
        """After other values were put into the trained tensors: let the ranks that are saved be those in them."""
        if self.ada is not None:
            chosen = self.ada.peft_config[self.ada.trainable_adapter_name]
            chosen.rank_pattern = {
                name.removeprefix("base_model.model."): (parameter != 0).view(-1).tolist()
                for name, parameter in self.parameters.items()
                if ".lora_E." in name
            }

    def ranks(self) -> dict[str, int] | None:
        """Rank of each layer that AdaLoRA still uses; ``None`` for other adapters."""
        if self.ada is None:
            return None
        return {
            name.removesuffix(f".lora_E.{self.ada.trainable_adapter_name}"): int((parameter != 0).sum())
            for name, parameter in self.parameters.items()
            if ".lora_E." in name
        }


def adapt(
    inner: Any, adapter: Adapter, *, total_steps: int, seed: int, begin: Path | None = None, scores: bool = False
) -> Adapted:
    """Make ``inner`` trainable as ``adapter`` says; everything else is frozen.

    The model's own dropout is switched off, because packed rows share their computation; the adapter's is honoured.

    Args:
        adapter: resolved, without ``"auto"``.
        total_steps: optimiser steps of the run (AdaLoRA plans its ranks over them).
        seed: of the adapter's first values.
        begin: folder of an adapter of the same shape whose values are the first ones.
        scores: ``inner`` ends in a score; its layer is trained too.

    Raises:
        RefusedError: the adapter names layers the model has not, or would wrap the output layer.
    """
    inner.train()
    for module in inner.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    if isinstance(adapter, Full):
        inner.float()  # AdamW's small steps are lost in bfloat16 weights
        inner.requires_grad_(requires_grad=True)
        return Adapted(inner, inner, dict(inner.named_parameters()))
    _check_targets(inner, adapter)
    torch.manual_seed(seed)
    settings = _config(adapter, total_steps)
    settings.task_type = "SEQ_CLS" if scores else "CAUSAL_LM"
    with quiet():  # PEFT warns of options that ftkit sets on purpose
        try:
            model = get_peft_model(inner, settings)
        except ValueError as error:
            raise RefusedError(
                f"adapter.target_modules: {error}", backend="local", fields=("adapter.target_modules",)
            ) from None
    head = None if scores else inner.get_output_embeddings()
    if head is not None and any("lora_" in name for name, _ in head.named_parameters()):
        raise RefusedError(
            "adapter.target_modules names the output layer; the local engine trains adapters on inner layers only",
            backend="local",
            fields=("adapter.target_modules",),
        )
    if begin is not None:
        _begin_with(model, begin)
    parameters = {name: one for name, one in model.named_parameters() if one.requires_grad}
    for parameter in parameters.values():
        parameter.data = parameter.data.float()
    return Adapted(model, inner, parameters, model.base_model if isinstance(adapter, AdaLoRA) else None)


def _begin_with(model: Any, folder: Path) -> None:
    """Put the values of a saved adapter into a fresh one of the same shape; a score layer it has none for stays as it
    is."""
    values = {**get_peft_model_state_dict(model), **load_peft_weights(str(folder), device="cpu")}
    found = set_peft_model_state_dict(model, values)
    if found.unexpected_keys:
        raise ModelError(f"the adapter {folder} does not fit the recipe's: {', '.join(found.unexpected_keys[:3])}")


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
        )
    if isinstance(adapter, LoRA | QLoRA | DoRA):
        return LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.lora_alpha,
            lora_dropout=adapter.lora_dropout,
            target_modules=_targets(adapter.target_modules),
            use_rslora=adapter.use_rslora,
            use_dora=isinstance(adapter, DoRA),
        )
    raise RefusedError(
        f"the local engine does not know the adapter {adapter.kind!r}", backend="local", fields=("adapter",)
    )


def _check_targets(inner: Any, adapter: Adapter) -> None:
    """PEFT passes over names that no layer has as long as another name has one, and lists none of those there are."""
    asked = getattr(adapter, "target_modules", "all-linear")
    if asked == "all-linear":
        return
    layers = [name for name, module in inner.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    unknown = [one for one in asked if not any(name == one or name.endswith(f".{one}") for name in layers)]
    if unknown:
        known = sorted({name.rpartition(".")[2] for name in layers} - {"lm_head", "score"})
        raise RefusedError(
            f"adapter.target_modules: the model has no linear layer {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(known)}",
            backend="local",
            fields=("adapter.target_modules",),
        )


def _targets(modules: str | Sequence[str]) -> str | list[str]:
    return modules if isinstance(modules, str) else list(modules)
