"""What TRL makes of rows of token ids: loss and gradients of one batch, and a run's losses. Its public API only.

Every function takes the folder of a base model, a PEFT config (``None``: all weights are trained) and the weights of
the trainable tensors by name, so that both sides stand at the same point. Names are those of ``named_parameters()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from peft import PeftConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.gkd import GKDConfig, GKDTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference as PairCollator
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference as UnpairedCollator
from trl.trainer.reward_trainer import DataCollatorForPreference as RewardCollator

from ftkit.modeling.tokenized_example import TokenizedConversation

__all__ = [
    "DrawnGroup",
    "Found",
    "LabelledAnswer",
    "PreferencePair",
    "cpo",
    "dpo",
    "gkd",
    "grpo",
    "kto",
    "orpo",
    "reward",
    "sft",
    "sft_steps",
    "texts",
]

datasets.disable_progress_bars()
transformers.utils.logging.set_verbosity_error()

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Found:
    """Loss of a batch, and the gradient of each trainable tensor that has one."""

    loss: float
    gradients: dict[str, torch.Tensor]
    mean_token_accuracy: float | None = None
    """TRL's own figure, of supervised fine-tuning."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Other figures of the batch."""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """One prompt with two completions, in token ids, and by how much the chosen one is better (for reward models)."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """A prompt with a completion, in token ids, and whether it is a good one."""

    prompt: list[int]
    completion: list[int]
    label: bool


def sft(
    folder: str, config: PeftConfig | None, weights: Weights, rows: Sequence[TokenizedConversation], output: Path
) -> Found:
    """``SFTTrainer.compute_loss`` on one padded batch of ``rows``, and its gradients."""
    settings = SFTConfig(**_plainly(output, len(rows)), max_length=None)
    trainer = SFTTrainer(
        _causal(folder), settings, train_dataset=_supervised(rows), processing_class=_tokenizer(folder),
        peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    found = _backward(trainer, next(iter(trainer.get_train_dataloader())))
    trainer.log({})
    return replace(found, mean_token_accuracy=trainer.state.log_history[-1]["mean_token_accuracy"])


def texts(folder: str, config: PeftConfig | None, weights: Weights, rows: Sequence[str], output: Path) -> Found:
    """``SFTTrainer.compute_loss`` on one batch of plain texts, which the trainer tokenises, and its gradients."""
    settings = SFTConfig(**_plainly(output, len(rows)), max_length=None)
    trainer = SFTTrainer(
        _causal(folder), settings, train_dataset=datasets.Dataset.from_dict({"text": list(rows)}),
        processing_class=_tokenizer(folder), peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    found = _backward(trainer, next(iter(trainer.get_train_dataloader())))
    trainer.log({})
    return replace(found, mean_token_accuracy=trainer.state.log_history[-1]["mean_token_accuracy"])


def sft_steps(
    folder: str,
    config: PeftConfig | None,
    weights: Weights,
    rows: Sequence[TokenizedConversation],
    output: Path,
    *,
    batch_size: int,
    rates: Sequence[float],
    max_grad_norm: float,
) -> list[tuple[float, float]]:
    """Loss and mean token accuracy of each step of ``SFTTrainer.train()`` over ``rows`` in their order.

    Args:
        rates: learning rate of each step; AdamW without weight decay.
    """
    model = _causal(folder)
    if config is not None:
        from peft import get_peft_model

        model = get_peft_model(model, config)
    _put(weights, model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1.0, weight_decay=0.0)
    settings = SFTConfig(
        **_plainly(output, batch_size), max_length=None, train_sampling_strategy="sequential", max_steps=len(rates),
        max_grad_norm=max_grad_norm,
    )  # fmt: skip
    trainer = SFTTrainer(
        model, settings, train_dataset=_supervised(rows), processing_class=_tokenizer(folder),
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: rates[min(n, len(rates) - 1)])),
    )  # fmt: skip
    trainer.train()
    return [(one["loss"], one["mean_token_accuracy"]) for one in trainer.state.log_history if "loss" in one]


def dpo(
    folder: str,
    config: PeftConfig | None,
    weights: Weights,
    pairs: Sequence[PreferencePair],
    output: Path,
    *,
    loss_type: str = "sigmoid",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Found:
    """``DPOTrainer.compute_loss`` on one batch of ``pairs``; the reference is the base model of ``folder``.

    Args:
        loss_type: as TRL names them: ``"sigmoid"`` (which heeds no label smoothing), ``"robust"``, ``"ipo"``
            (log-probabilities averaged over tokens), ``"sigmoid_norm"`` (the same average under the sigmoid), …
            ``"aot"`` on a single pair is the sigmoid loss with conservative label smoothing,
            (1−ε)·ℓ(βΔ) + ε·ℓ(−βΔ).
    """
    placeholder = datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    settings = DPOConfig(
        **_plainly(output, 1), max_length=None, loss_type=[loss_type], beta=beta, label_smoothing=label_smoothing
    )
    trainer = DPOTrainer(
        _causal(folder), None if config is not None else _causal(folder).requires_grad_(requires_grad=False), settings,
        train_dataset=placeholder, processing_class=_tokenizer(folder), peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    collate = PairCollator(pad_token_id=_pad(folder))
    batch = collate([{"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected} for p in pairs])
    return _backward(trainer, batch)


def kto(
    folder: str,
    config: PeftConfig | None,
    weights: Weights,
    rows: Sequence[LabelledAnswer],
    output: Path,
    **settings: Any,
) -> Found:
    """``KTOTrainer.compute_loss`` on one batch of ``rows``; the reference is the base model of ``folder``.

    Each prompt is also computed with the completion of the row before it, as the trainer's own preparation pairs them.

    Args:
        settings: of the ``KTOConfig``.
    """
    placeholder = datasets.Dataset.from_list([{"prompt": "a", "completion": "b", "label": n > 0} for n in range(2)])
    trainer = KTOTrainer(
        _causal(folder), None if config is not None else _causal(folder).requires_grad_(requires_grad=False),
        KTOConfig(**_plainly(output, len(rows)), max_length=None, **settings),
        train_dataset=placeholder, processing_class=_tokenizer(folder), peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    before = [rows[-1], *rows[:-1]]
    batch = UnpairedCollator(pad_token_id=_pad(folder))([
        {"prompt_ids": one.prompt, "completion_ids": one.completion, "label": one.label}
        | ({"KL_completion_ids": other.completion} if trainer.calculate_KL else {})
        for one, other in zip(rows, before, strict=True)
    ])  # fmt: skip
    found = _backward(trainer, batch)
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items() if values}
    return replace(found, metrics=metrics)


def orpo(
    folder: str, config: PeftConfig | None, weights: Weights, pairs: Sequence[PreferencePair], output: Path,
    **settings: Any,
) -> Found:  # fmt: skip
    """``ORPOTrainer.compute_loss`` on one batch of ``pairs``; ``settings`` of the ``ORPOConfig``."""
    return _unreferenced(ORPOTrainer, ORPOConfig, folder, config, weights, pairs, output, settings)


def cpo(
    folder: str, config: PeftConfig | None, weights: Weights, pairs: Sequence[PreferencePair], output: Path,
    **settings: Any,
) -> Found:  # fmt: skip
    """``CPOTrainer.compute_loss`` on one batch of ``pairs``: SimPO with ``loss_type="simpo"``."""
    return _unreferenced(CPOTrainer, CPOConfig, folder, config, weights, pairs, output, settings)


def _unreferenced(
    trainer_class: Any, config_class: Any, folder: str, config: PeftConfig | None, weights: Weights,
    pairs: Sequence[PreferencePair], output: Path, settings: Mapping[str, Any],
) -> Found:  # fmt: skip
    placeholder = datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}])
    trainer = trainer_class(
        _causal(folder), config_class(**_plainly(output, len(pairs)), max_length=512, **settings),
        train_dataset=placeholder, processing_class=_tokenizer(folder), peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    examples = []
    for pair in pairs:
        example: dict[str, Any] = {"prompt_input_ids": pair.prompt, "prompt_attention_mask": [1] * len(pair.prompt)}
        for name, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            ids = pair.prompt + answer
            example[f"{name}_input_ids"] = ids
            example[f"{name}_attention_mask"] = [1] * len(ids)
            example[f"{name}_labels"] = [-100] * len(pair.prompt) + answer
        examples.append(example)
    found = _backward(trainer, trainer.data_collator(examples))
    metrics = {name: float(values[-1]) for name, values in trainer._stored_metrics["train"].items()}
    return replace(found, metrics=metrics)


def gkd(
    folder: str,
    teacher: str,
    config: PeftConfig | None,
    weights: Weights,
    rows: Sequence[TokenizedConversation],
    output: Path,
    beta: float,
) -> Found:
    """``GKDTrainer.compute_loss`` on one padded batch of ``rows``, judged by the model of the folder ``teacher``."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    trainer = GKDTrainer(
        _causal(folder), _causal(teacher), GKDConfig(**_plainly(output, len(rows)), max_length=512, beta=beta),
        train_dataset=datasets.Dataset.from_list([{"messages": turns}]), processing_class=_tokenizer(folder),
        peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    width = max(len(row.ids) for row in rows)
    batch = {name: torch.zeros(len(rows), width, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    batch["labels"] = torch.full((len(rows), width), -100)
    for number, row in enumerate(rows):
        ids = torch.from_numpy(row.ids).long()
        batch["input_ids"][number, : len(ids)] = ids
        batch["attention_mask"][number, : len(ids)] = 1
        batch["labels"][number, : len(ids)] = ids.masked_fill(~torch.from_numpy(row.supervised), -100)
    return _backward(trainer, batch)


def reward(
    folder: str,
    config: PeftConfig | None,
    weights: Weights,
    pairs: Sequence[PreferencePair],
    output: Path,
    *,
    margins: bool = True,
    center_rewards_coefficient: float | None = None,
) -> Found:
    """``RewardTrainer.compute_loss`` (Bradley-Terry) on one batch of ``pairs``, prompt and completion together.

    The model is a sequence classifier of one label, whose head ``score.weight`` [1, d] reads each sequence's last
    token. ``weights`` must hold it: it is in no causal model's folder.
    """
    examples = [
        {"chosen_ids": p.prompt + p.chosen, "rejected_ids": p.prompt + p.rejected}
        | ({"margin": p.margin} if margins else {})
        for p in pairs
    ]
    settings = RewardConfig(
        **_plainly(output, len(pairs)), max_length=None, center_rewards_coefficient=center_rewards_coefficient
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    trainer = RewardTrainer(
        model, settings, train_dataset=datasets.Dataset.from_list(examples), processing_class=_tokenizer(folder),
        peft_config=config,
    )  # fmt: skip
    _put(weights, trainer.model)
    return _backward(trainer, RewardCollator(pad_token_id=_pad(folder))(examples))


def _plainly(output: Path, batch_size: int) -> dict[str, Any]:
    """Float32, nothing saved, nothing reported; TRL's own choices would be bfloat16 and gradient checkpointing."""
    return {
        "output_dir": str(output),
        "per_device_train_batch_size": batch_size,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
    }


def _supervised(rows: Sequence[TokenizedConversation]) -> datasets.Dataset:
    ids = [row.ids.tolist() for row in rows]
    labels = [np.where(row.supervised, row.ids, -100).tolist() for row in rows]
    return datasets.Dataset.from_dict({"input_ids": ids, "labels": labels})


def _causal(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _tokenizer(folder: str) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def _pad(folder: str) -> int:
    return int(_tokenizer(folder).pad_token_id)


def _put(weights: Weights, model: Any) -> None:
    mine = {name: one for name, one in model.named_parameters() if one.requires_grad}
    missing = weights.keys() ^ mine.keys()
    if missing:
        raise KeyError(f"trainable on one side only: {sorted(missing)}")
    for name, one in weights.items():
        mine[name].data.copy_(one)


def _backward(trainer: Any, batch: dict[str, Any]) -> Found:
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return Found(
        float(loss.detach()),
        {name: one.grad.clone() for name, one in trainer.model.named_parameters() if one.grad is not None},
    )


@dataclass(frozen=True, slots=True)
class DrawnGroup:
    """One prompt with the answers that were drawn for it, in token ids, and what each was worth.

    Attributes:
        logprobs: log-probability of each token of each answer, as an engine that drew them says; by default 0.
    """

    prompt: list[int]
    completions: list[list[int]]
    rewards: list[float]
    logprobs: list[list[float]] | None = None

    @property
    def sampled(self) -> list[list[float]]:
        return self.logprobs or [[0.0] * len(ids) for ids in self.completions]


def grpo(
    folder: str, config: PeftConfig | None, drawn: Weights, now: Weights, groups: Sequence[DrawnGroup], output: Path,
    corrects: bool = False, **settings: Any,
) -> Found:  # fmt: skip
    """``GRPOTrainer.compute_loss`` on one batch of answers, from its rewards on; the reference is the base model.

    Args:
        drawn: the weights that the answers are taken to have been drawn with.
        now: the weights of the loss and its gradients.
        corrects: whether the answers are taken to have been drawn by vLLM, for whose difference the loss is corrected.
        settings: of the ``GRPOConfig``.
    """
    count = len(groups[0].completions)
    flat = [
        (group.prompt, ids, reward, logprobs)
        for group in groups
        for ids, reward, logprobs in zip(group.completions, group.rewards, group.sampled, strict=True)
    ]

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        asked = [flat[int(prompt) * count + at % count] for at, prompt in enumerate(prompts)]
        ids = [one[1] for one in asked]
        return {
            "prompt_ids": [one[0] for one in asked],
            "completion_ids": ids,
            "logprobs": [one[3] for one in asked],
            "worth": [one[2] for one in asked],
        }

    arguments = GRPOConfig(
        **_plainly(output, len(flat)), num_generations=count, shuffle_dataset=False, num_iterations=2, **settings
    )
    trainer = GRPOTrainer(
        _causal(folder), lambda prompts, worth, **kwargs: worth, arguments,
        train_dataset=datasets.Dataset.from_list([{"prompt": str(at)} for at in range(len(groups))]),
        processing_class=_tokenizer(folder), peft_config=config, rollout_func=rollout,
    )  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    trainer.use_vllm, trainer._last_loaded_step = corrects, 0  # the answers above stand in place of vLLM's
    _put(drawn, trainer.model)
    trainer.model.train()
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    _put(now, trainer.model)
    metrics = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    return replace(_backward(trainer, batch), metrics=metrics)
