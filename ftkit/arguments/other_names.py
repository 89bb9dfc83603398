"""Names that other tools use for what ftkit has under another name: TRL, PEFT, transformers, Axolotl, OpenAI."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["other_name", "our_name"]

_NAMES = {
    "adapter_config": "adapter",
    "adapter_name": "adapter",
    "alpha": "lora_alpha",
    "args": "recipe",
    "backend": "backends",
    "batch": "batch_size",
    "bnb_4bit_quant_type": "quant_type",
    "bnb_4bit_use_double_quant": "double_quant",
    "config": "recipe",
    "dataset": "data",
    "dropout": "lora_dropout",
    "early_stopping": "early_stopping_patience",
    "eval_data": "validation",
    "eval_dataset": "validation",
    "evaluation_data": "validation",
    "evaluation_steps": "eval_steps",
    "experiment_name": "name",
    "grad_clip": "max_grad_norm",
    "gradient_clip_val": "max_grad_norm",
    "group": "group_by",
    "groups": "group_by",
    "init_kl_coef": "kl",
    "kl_coef": "kl",
    "lora": "adapter",
    "lora_config": "adapter",
    "lora_r": "rank",
    "lora_rank": "rank",
    "lora_target_modules": "target_modules",
    "lr": "learning_rate",
    "lr_scheduler": "lr_scheduler_type",
    "max_completion_length": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "max_epochs": "epochs",
    "max_generated_tokens": "max_output_tokens",
    "max_new_tokens": "max_output_tokens",
    "max_seq_len": "max_length",
    "max_seq_length": "max_length",
    "max_tokens": "max_output_tokens",
    "metric_for_best_model": "eval_metric",
    "micro_batch_size": "batch_size",
    "n_epochs": "epochs",
    "num_epoch": "epochs",
    "num_epochs": "epochs",
    "num_train_epochs": "epochs",
    "optim": "optimizer",
    "param_grid": "grid",
    "parameters": "grid",
    "peft_config": "adapter",
    "per_device_train_batch_size": "batch_size",
    "r": "rank",
    "random_seed": "seed",
    "random_state": "seed",
    "recipe": "recipes",
    "report_to": "trackers",
    "run_name": "name",
    "scheduler": "lr_scheduler_type",
    "sequence_len": "max_length",
    "space": "grid",
    "stratify": "stratify_by",
    "stratify_by_column": "stratify_by",
    "test_data": "test",
    "test_dataset": "test",
    "test_size": "test",
    "tracker": "trackers",
    "train": "data",
    "train_batch_size": "batch_size",
    "train_data": "data",
    "train_dataset": "data",
    "training_data": "data",
    "use_gradient_checkpointing": "gradient_checkpointing",
    "val": "validation",
    "val_data": "validation",
    "val_size": "validation",
    "validation_data": "validation",
    "validation_size": "validation",
    "warmup": "warmup_ratio",
    "wd": "weight_decay",
}
"""Another tool's name to the field of ftkit that means the same."""

_SENTENCES = {
    "adam_beta1": "the optimisers' betas are PyTorch's",
    "adam_beta2": "the optimisers' betas are PyTorch's",
    "adam_epsilon": "the optimisers' epsilon is PyTorch's",
    "assistant_only_loss": "only answers are learned; message weights choose others",
    "auto_find_batch_size": "max_batch_tokens is chosen by the memory, and batch_size is the rows of an optimiser step",
    "bf16": 'write precision="bf16"',
    "bias": "biases are not trained",
    "bnb_4bit_compute_dtype": 'the recipe says it: precision="bf16"',
    "completion_only_loss": "only answers are learned; message weights choose others",
    "compute_metrics": 'register a function with @ftkit.evaluation.metric(name), and write eval_metric="name"',
    "dataloader_num_workers": "rows are read while they are trained on, without further processes",
    "dataset_num_proc": "rows are read while they are trained on, without further processes",
    "dataset_text_field": "the task and ft.Dataset.load name the columns; plain texts are trained on with ft.CPT()",
    "ddp": 'write backend=LocalBackend("<model>", workers=8) for several GPUs',
    "deepspeed": 'write backend=LocalBackend("<model>", workers=8), with strategy="fsdp2" to shard the model',
    "do_sample": "temperature=0 is greedy, and any other temperature samples",
    "eval_strategy": "eval_steps says how often validation rows are evaluated",
    "exclude_modules": "target_modules names the layers that are adapted",
    "formatting_func": 'a task formats rows: ft.Task("…", input="{column}")',
    "fp16": 'float16 is not offered; write precision="bf16"',
    "fsdp": 'write backend=LocalBackend("<model>", workers=8, strategy="fsdp2"), which shards the model',
    "gradient_accumulation_steps": "batch_size is the rows of a step, max_batch_tokens the tokens of a pass",
    "greater_is_better": "metrics and graders say themselves which direction is better",
    "group_by_length": "rows are always packed, so their lengths cost nothing",
    "init_lora_weights": "LoRA begins at zero, as PEFT's default does",
    "learning_rate_multiplier": "learning_rate is an absolute number; leave it out for the default",
    "load_in_4bit": "ft.QLoRA holds the base in 4 bits: write adapter=QLoRA()",
    "load_in_8bit": "8-bit bases are not offered; adapter=QLoRA() holds the base in 4 bits",
    "logging_steps": "every step is an event of the run",
    "max_prompt_length": "max_length limits prompt and answer together",
    "max_steps": "write epochs",
    "model": 'the model is part of the backend: backend="local:<model>"',
    "model_name": 'the model is part of the backend: backend="local:<model>"',
    "modules_to_save": "only adapters are trained, or with adapter=Full() all weights",
    "neftune_noise_alpha": "only ft.SFT adds noise to embeddings",
    "num_beams": "beam search is not offered",
    "output_dir": "each run has a folder in ftkit's home, and ft.export writes its model elsewhere",
    "packing": "rows are always packed, without changing a number; shared_prefix=False turns shared computation off",
    "per_device_eval_batch_size": "max_batch_tokens is the tokens of a pass, also of validation",
    "predict_with_generate": 'eval_metric="…" answers the validation rows and measures the answers',
    "processing_class": "the tokenizer is the model's own",
    "push_to_hub": "ft.export writes the model to a folder",
    "ref_model": "the reference is the model before training",
    "reference_free": "write ft.SimPO() or ft.ORPO(), which need no reference",
    "repetition_penalty": "ft.Sampling has no penalties",
    "report_to": 'write ft.train(…, trackers=["…"])',
    "resume_from_checkpoint": "runs are resumed by their id: ft.runs.get(id).resume()",
    "reward_funcs": "write ft.RFT(grader=…)",
    "save_strategy": "save_steps says how often a checkpoint is written",
    "sft_config": "write the fields themselves: ft.SFT(epochs=2)",
    "split": "read each split from its own file, or use data.split(test=0.2); of the hub: hf://owner/name?split=train",
    "task_type": "the recipe says it",
    "tokenizer": "the tokenizer is the model's own",
    "top_k": "top_p limits the tokens that are sampled",
    "torch_compile": "it is not offered",
    "train_size": "what is neither test nor validation is for training",
    "use_dora": "write adapter=DoRA()",
    "use_lora": "write adapter=LoRA()",
    "use_vllm": "answers are sampled by ftkit's own engine",
    "val_set_size": "write train, validation = data.split(validation=0.1)",
    "warmup_steps": "warmup_ratio is the share of steps in which the rate rises",
}
"""Another tool's name to what to do instead."""

_ADAPTER_FIELDS = frozenset(
    {
        "layers_to_transform",
        "lora_alpha",
        "lora_dropout",
        "lora_r",
        "lora_rank",
        "lora_target_modules",
        "r",
        "rank",
        "target_modules",
        "use_rslora",
    }
)


def our_name(name: str, known: Container[str]) -> str | None:
    """Return the field that means the same as a name of another tool.

    Args:
        name: the name.
        known: the names that exist where it was used.

    Returns:
        The field; None if the name means nothing here.
    """
    ours = _NAMES.get(name)
    return ours if ours is not None and ours in known else None


def other_name(name: str, known: Container[str]) -> str | None:
    """Say what a name of another tool is called here.

    Args:
        name: the name.
        known: the names that exist where it was used.

    Returns:
        A sentence; None if the name means nothing here.
    """
    ours = our_name(name, known)
    if ours is not None:
        return f"{name} is {ours} here"
    if "adapter" in known and name in _ADAPTER_FIELDS:
        return f"it is a field of the adapter: adapter=LoRA({_NAMES.get(name, name)}=…)"
    return _SENTENCES.get(name)
