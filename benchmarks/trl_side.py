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
from contest import clock, figures
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

datasets.disable_progress_bars()
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


class Stopwatch(TrainerCallback):
    """When training began, and when its last step was done."""

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.began = clock()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended = clock()


def with_trl(folder: Path, settings: dict[str, Any]) -> str:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    tokens = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    watch = Stopwatch()
    trainer = {"sft": sft}[job["recipe"]["kind"]](job, tokens, settings, watch, folder)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return figures(watch.began, watch.ended, len(tokens), losses)


def sft(job: dict[str, Any], tokens: list[Any], settings: dict[str, Any], watch: Stopwatch, folder: Path) -> SFTTrainer:
    rows = datasets.Dataset.from_dict(
        {
            "input_ids": [ids for ids, _ in tokens],
            "labels": [[t if asked else -100 for t, asked in zip(*row, strict=True)] for row in tokens],
        }
    )
    config = SFTConfig(**{**plain(job["recipe"], folder), "max_length": None, **settings})
    return SFTTrainer(
        model(job), config, train_dataset=rows, processing_class=AutoTokenizer.from_pretrained(job["folder"]),
        peft_config=adapter(job["recipe"]["adapter"]), callbacks=[watch],
    )  # fmt: skip


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


def model(job: dict[str, Any]) -> Any:
    recipe = job["recipe"]
    dtype = torch.bfloat16 if recipe["precision"] == "bf16" else torch.float32
    extra: dict[str, Any] = {}
    if recipe["adapter"]["kind"] == "qlora":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=recipe["adapter"]["quant_type"],
            bnb_4bit_use_double_quant=recipe["adapter"]["double_quant"],
            bnb_4bit_compute_dtype=dtype,
        )
    where = "cuda" if torch.cuda.is_available() else "cpu"
    return AutoModelForCausalLM.from_pretrained(job["folder"], dtype=dtype, device_map={"": where}, **extra)


def adapter(chosen: dict[str, Any]) -> LoraConfig:
    return LoraConfig(
        r=chosen["rank"],
        lora_alpha=chosen["lora_alpha"],
        lora_dropout=chosen["lora_dropout"],
        target_modules=chosen["target_modules"],
        use_rslora=chosen["use_rslora"],
        use_dora=chosen["kind"] == "dora",
        task_type="CAUSAL_LM",
    )
