"""TRL's trainers as contenders: the rows come as token ids, so nothing of ftkit is imported here.

What is set for all: no truncation, loss on the answers only, the adapter, optimiser, seed and constant learning rate of
the recipe, float32 or bfloat16 weights as it says, nothing saved. TRL's own default of gradient checkpointing is off,
because it costs time; a contender can switch it on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from contest_figures import clock, figures, spent
from peft import LoraConfig
from rewarding import letters
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

datasets.disable_progress_bars()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


class Stopwatch(TrainerCallback):
    """When training began, when its last step was done, and how long each step took, without what is saved after it."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.began = clock()

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.step_began = clock()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended = clock()
        self.steps.append(spent(self.step_began, self.ended))


def with_trl(folder: Path, settings: dict[str, Any]) -> str:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    tokens = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    watch = Stopwatch()
    make = {"sft": sft, "dpo": dpo, "reward": reward_model, "rft": grpo}[job["recipe"]["kind"]]
    trainer = make(job, tokens, settings, watch, folder)
    trainer.train()
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    lengths = [entry["completions/mean_length"] for entry in history if "completions/mean_length" in entry]
    return figures(watch.began, watch.ended, len(tokens), losses, lengths, watch.steps)


def sft(job: dict[str, Any], tokens: list[Any], settings: dict[str, Any], watch: Stopwatch, folder: Path) -> SFTTrainer:
    rows = datasets.Dataset.from_dict(rows_of(tokens))
    config = SFTConfig(**{**plain(job["recipe"], folder), "max_length": None, **settings})
    return SFTTrainer(
        model(job), config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(job["folder"]),
        peft_config=adapter(job["recipe"]["adapter"]), callbacks=[watch],
    )  # fmt: skip


def rows_of(tokens: list[Any]) -> dict[str, list[list[int]]]:
    """Token ids and labels, in the order of training."""
    return {
        "input_ids": [ids for [(ids, _)] in tokens],
        "labels": [[t if asked else -100 for t, asked in zip(*row, strict=True)] for [row] in tokens],
    }


def dpo(job: dict[str, Any], tokens: list[Any], settings: dict[str, Any], watch: Stopwatch, folder: Path) -> DPOTrainer:
    """The trainer tokenises what it is made with, so it gets the token ids afterwards."""
    recipe = job["recipe"]
    config = DPOConfig(
        **{**plain(recipe, folder), "max_length": None, "beta": recipe["beta"], **settings},
        loss_type=[recipe["loss_type"]],
    )
    trainer = DPOTrainer(
        model(job), None, config, processing_class=AutoTokenizer.from_pretrained(job["folder"]),
        train_dataset=datasets.Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        peft_config=adapter(recipe["adapter"]), callbacks=[watch],
    )  # fmt: skip
    trainer.train_dataset = datasets.Dataset.from_list([answers(chosen, rejected) for chosen, rejected in tokens])
    return trainer


def answers(chosen: list[Any], rejected: list[Any]) -> dict[str, list[int]]:
    """A pair as prompt and two completions: what is supervised is the completion."""
    (ids, asked), (others, _) = chosen, rejected
    begin = asked.index(True)
    return {"prompt_ids": ids[:begin], "chosen_ids": ids[begin:], "rejected_ids": others[begin:]}


def reward_model(
    job: dict[str, Any], tokens: list[Any], settings: dict[str, Any], watch: Stopwatch, folder: Path
) -> RewardTrainer:
    rows = [{"chosen_ids": chosen, "rejected_ids": rejected} for (chosen, _), (rejected, _) in tokens]
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    tokenizer.pad_token = "<|endoftext|>"  # the model's own is its end of turn, where the score is read
    found = scorer(job)
    found.config.pad_token_id = tokenizer.pad_token_id
    return RewardTrainer(
        found, RewardConfig(**{**plain(job["recipe"], folder), "max_length": None, **settings}),
        train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer,
        peft_config=adapter(job["recipe"]["adapter"], "SEQ_CLS"), callbacks=[watch],
    )  # fmt: skip


def grpo(
    job: dict[str, Any], tokens: list[Any], settings: dict[str, Any], watch: Stopwatch, folder: Path
) -> GRPOTrainer:
    """The prompts are texts, special tokens and all; the trainer draws its own answers."""
    recipe = job["recipe"]
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    prompts = [tokenizer.decode(ids) for [(ids, _)] in tokens]
    config = GRPOConfig(
        **{
            **plain(recipe, folder),
            "per_device_train_batch_size": recipe["batch_size"] * recipe["num_generations"],
            "num_generations": recipe["num_generations"],
            "max_completion_length": recipe["max_output_tokens"],
            "loss_type": recipe["loss_type"],
            "beta": recipe["beta"],
            "temperature": recipe["temperature"],
            "shuffle_dataset": False,
            **settings,
        }
    )
    return GRPOTrainer(
        model(job), lambda completions, **kwargs: [letters({"output_text": text}, {}) for text in completions],
        config, train_dataset=datasets.Dataset.from_dict({"prompt": prompts}), processing_class=tokenizer,
        peft_config=adapter(recipe["adapter"]), callbacks=[watch],
    )  # fmt: skip


def scorer(job: dict[str, Any]) -> Any:
    """The model with a score layer, whose first values are ftkit's."""
    found = model(job, AutoModelForSequenceClassification, num_labels=1)
    draw = torch.Generator().manual_seed(0)
    first = torch.empty(found.score.weight.shape).normal_(std=found.config.initializer_range, generator=draw)
    with torch.no_grad():
        found.score.weight.copy_(first)
    return found


def plain(recipe: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe in the words of ``TrainingArguments``; rows are taken in their order, which is ftkit's."""
    return {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": recipe["batch_size"],
        "num_train_epochs": 1,
        "learning_rate": recipe["learning_rate"],
        "lr_scheduler_type": recipe["lr_scheduler_type"],
        "warmup_steps": 0,
        "weight_decay": recipe["weight_decay"],
        "max_grad_norm": recipe["max_grad_norm"],
        "seed": recipe["seed"],
        "train_sampling_strategy": "sequential",
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
    }


def model(job: dict[str, Any], kind: Any = AutoModelForCausalLM, **extra: Any) -> Any:
    recipe = job["recipe"]
    dtype = torch.bfloat16 if recipe["precision"] == "bf16" else torch.float32
    if recipe["adapter"]["kind"] == "qlora":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=recipe["adapter"]["quant_type"],
            bnb_4bit_use_double_quant=recipe["adapter"]["double_quant"],
            bnb_4bit_compute_dtype=dtype,
        )
    where = "cuda" if torch.cuda.is_available() else "cpu"
    return kind.from_pretrained(job["folder"], dtype=dtype, device_map={"": where}, **extra)


def adapter(chosen: dict[str, Any], task_type: str = "CAUSAL_LM") -> LoraConfig:
    return LoraConfig(
        r=chosen["rank"],
        lora_alpha=chosen["lora_alpha"],
        lora_dropout=chosen["lora_dropout"],
        target_modules=chosen["target_modules"],
        use_rslora=chosen["use_rslora"],
        use_dora=chosen["kind"] == "dora",
        task_type=task_type,
    )
