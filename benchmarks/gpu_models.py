"""Random models with a tokenizer and rows of their own, so that the GPU check needs no download."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

WORDS = "patient reports seen today with mild severe pain cough fever since days given aspirin 100 mg twice daily"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES: dict[str, dict[str, Any]] = {
    # Llama 3.2 1B's shape.
    "1B": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
    },
    # Llama 3.1 8B's shape.
    "8B": {
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128_256,
        "tie_word_embeddings": False,
    },
    "tiny": {
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.1,  # spread wide enough that a wrong mask shows
    },
}


def tokenizer() -> Any:
    """A byte-level tokenizer of the rows' words, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    found.train_from_iterator([WORDS, "system user assistant"] * 10, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=found, pad_token=special[0], eos_token=special[2], additional_special_tokens=special[1:2]
    )
    fast.chat_template = TEMPLATE
    return fast


def save_model(folder: Path, size: str, *, device: str) -> str:
    """Write a random Llama of a size of :data:`SIZES`, large ones in bfloat16; returns the folder's name."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if (folder / "config.json").is_file():
        return str(folder)
    words = tokenizer()
    special = {"pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id, "bos_token_id": None}
    config = LlamaConfig(max_position_embeddings=8192, rope_theta=500_000.0, **SIZES[size], **special)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if size == "tiny" else torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def dataset(kind: str, count: int, *, words: int, answer: int = 20, seed: int = 7) -> Any:
    """Random notes with random answers, pairs of answers, or prompts.

    Args:
        kind: of the recipe.
        count: rows.
        words: mean words of a note; they vary from a quarter to seven quarters of it.
        answer: words of an answer.
        seed: of the draw.
    """
    import ftkit as ft

    draw, known = random.Random(seed), WORDS.split()
    rows = [
        {
            "note": " ".join(draw.choices(known, k=max(4, words * draw.randint(1, 7) // 4))),
            "gold": " ".join(draw.choices(known, k=answer)),
            "worse": " ".join(draw.choices(known, k=answer)),
        }
        for _ in range(count)
    ]
    columns = {"chosen": "gold", "rejected": "worse"} if kind in ("dpo", "reward") else {"target": "gold"}
    task = ft.Task("Extract the visit record from the note. " * 4, input="{note}")
    return ft.Dataset.from_rows(rows, task, **columns)


def recipe(kind: str, adapter: str, **changes: Any) -> Any:
    """A recipe with a constant learning rate and nothing left to ``"auto"`` that depends on the device."""
    import ftkit as ft

    kinds = {"sft": ft.SFT, "dpo": ft.DPO, "reward": ft.RewardModel, "rft": ft.RFT}
    adapters = {"lora": ft.LoRA, "qlora": ft.QLoRA, "dora": ft.DoRA, "adalora": ft.AdaLoRA, "full": ft.Full}
    settings: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0.0,
        "precision": "fp32",
        "optimizer": "adamw",
        "max_batch_tokens": 4096,
    }
    if kind == "rft":
        grader = ft.TextSimilarityGrader(reference="{{item.gold}}")
        settings |= {"grader": grader, "num_generations": 4, "max_output_tokens": 16, "probe_prompts": 0}
    return kinds[kind](adapter=adapters[adapter](), **{**settings, **changes})


def train(
    chosen: Any, data: Any, model: str, output: Path, *, stop_after: int | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Train in this process; returns the events of the steps, and the warnings.

    Args:
        chosen: the recipe.
        data: the rows.
        model: folder of the base model.
        output: folder of the result. Checkpoints that lie beside it are resumed from.
        stop_after: stop, with a checkpoint, when so many steps are done.
    """
    from ftkit.training.job import Job
    from ftkit.training.job import train as run
    from ftkit.training.progress import TrainingStopped

    steps: list[dict[str, Any]] = []
    warnings: list[str] = []

    def emit(kind: str, event: dict[str, Any]) -> None:
        if kind == "step":
            steps.append(event)
        elif kind == "warning":
            warnings.append(event["message"])

    with contextlib.suppress(TrainingStopped):
        run(Job(chosen, data, None, model, output), emit, lambda: stop_after is not None and len(steps) >= stop_after)
    return steps, warnings
