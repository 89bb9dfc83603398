"""Names that other tools use for what ftkit has under another name: TRL, PEFT, transformers, Axolotl, OpenAI."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["other_name"]

_NAMES = {
    "adapter_config": "adapter",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "early_stopping": "early_stopping_patience",
    "evaluation_steps": "eval_steps",
    "grad_clip": "max_grad_norm",
    "gradient_clip_val": "max_grad_norm",
    "lora_config": "adapter",
    "lora_r": "rank",
    "lora_rank": "rank",
    "lora_target_modules": "target_modules",
    "lr": "learning_rate",
    "lr_scheduler": "lr_scheduler_type",
    "kl_coef": "kl",
    "init_kl_coef": "kl",
    "max_completion_length": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "max_epochs": "epochs",
    "max_new_tokens": "max_output_tokens",
    "max_seq_len": "max_length",
    "max_seq_length": "max_length",
    "max_tokens": "max_output_tokens",
    "metric_for_best_model": "eval_metric",
    "micro_batch_size": "batch_size",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "optim": "optimizer",
    "peft_config": "adapter",
    "per_device_train_batch_size": "batch_size",
    "r": "rank",
    "random_state": "seed",
    "scheduler": "lr_scheduler_type",
    "sequence_len": "max_length",
    "train_batch_size": "batch_size",
    "use_gradient_checkpointing": "gradient_checkpointing",
    "warmup": "warmup_ratio",
    "wd": "weight_decay",
}
"""Another tool's name to the field of ftkit that means the same."""

_SENTENCES = {
    "auto_find_batch_size": "max_batch_tokens is chosen by the memory, and batch_size is the rows of an optimiser step",
    "bf16": 'write precision="bf16"',
    "completion_only_loss": "only answers are learned; message weights choose others",
    "assistant_only_loss": "only answers are learned; message weights choose others",
    "compute_metrics": 'register a function with @ftkit.evaluation.metric(name), and write eval_metric="name"',
    "do_sample": "temperature=0 is greedy, and any other temperature samples",
    "eval_strategy": "eval_steps says how often validation rows are evaluated",
    "fp16": 'float16 is not offered; write precision="bf16"',
    "gradient_accumulation_steps": "batch_size is the rows of a step, max_batch_tokens the tokens of a pass",
    "load_in_4bit": "write adapter=QLoRA()",
    "logging_steps": "every step is an event of the run",
    "max_steps": "write epochs",
    "model": 'the model is part of the backend: backend="local:<model>"',
    "model_name": 'the model is part of the backend: backend="local:<model>"',
    "num_beams": "beam search is not offered",
    "output_dir": "each run has a folder in ftkit's home, and ft.export writes its model elsewhere",
    "packing": "rows are always packed, without changing a number; shared_prefix=False turns shared computation off",
    "per_device_eval_batch_size": "max_batch_tokens is the tokens of a pass, also of validation",
    "predict_with_generate": 'eval_metric="…" answers the validation rows and measures the answers',
    "report_to": 'write ft.train(…, trackers=["…"])',
    "save_strategy": "save_steps says how often a checkpoint is written",
    "warmup_steps": "warmup_ratio is the share of steps in which the rate rises",
}
"""Another tool's name to what to do instead."""


def other_name(name: str, known: Container[str]) -> str | None:
    """Say what a name of another tool is called here.

    Args:
        name: the name.
        known: the names that exist where it was used.

    Returns:
        A sentence; None if the name means nothing here.
    """
    ours = _NAMES.get(name)
    if ours is not None and ours in known:
        return f"{name} is {ours} here"
    return _SENTENCES.get(name)
