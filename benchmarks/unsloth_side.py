"""Unsloth as a contender: its model and its adapter in TRL's trainer, with the settings of ``trl_side.py``.

It wants other versions of transformers and TRL, so it runs with the Python of an environment of its own. Unsloth
patches the libraries when it is imported, which must come first.
"""

# ruff: noqa: I001
from __future__ import annotations

from unsloth import FastLanguageModel  # before transformers and TRL

import json
from pathlib import Path
from typing import Any

import datasets
import torch
from contest_figures import figures
from trl import SFTConfig, SFTTrainer
from trl_side import Stopwatch, plain, rows_of

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def with_unsloth(folder: Path, settings: dict[str, Any]) -> str:
    """Train as its documentation shows, on the same batches."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    tokens = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    recipe = job["recipe"]
    adapter = recipe["adapter"]
    model, tokenizer = FastLanguageModel.from_pretrained(
        job["folder"],
        max_seq_length=max(len(ids) for [(ids, _)] in tokens),
        dtype=torch.bfloat16 if recipe["precision"] == "bf16" else torch.float32,
        load_in_4bit=adapter["kind"] == "qlora",
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=adapter["rank"],
        lora_alpha=adapter["lora_alpha"],
        lora_dropout=0.0,
        target_modules=LINEAR,
        use_gradient_checkpointing=False,
        random_state=recipe["seed"],
    )
    watch = Stopwatch()
    config = SFTConfig(**{**plain(recipe, folder), "max_length": None, **settings})
    trainer = SFTTrainer(
        model, config, train_dataset=datasets.Dataset.from_dict(rows_of(tokens)), processing_class=tokenizer,
        callbacks=[watch],
    )  # fmt: skip
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return figures(watch.began, watch.ended, len(tokens), losses, steps=watch.steps)
