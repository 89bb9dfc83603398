"""What all training recipes share."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator

from ftkit.errors import ConfigError
from ftkit.files import canonical_digest, write_atomically
from ftkit.recipe.adapters import Adapter, AnyAdapter, Auto, Full, LoRA
from ftkit.recipe.field_docs import with_fields
from ftkit.schema import Declared
from ftkit.schema.validation_errors import refusals

__all__ = ["Recipe", "RecipeFacts", "load_recipe"]


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """What a backend knows and ``"auto"`` values are worked out from.

    Attributes:
        rows: rows in the training data.
        fast_bf16: whether the machine computes in bfloat16 at least as fast as in float32.
        device: ``"cpu"`` or ``"cuda"``.
    """

    rows: int
    fast_bf16: bool = False
    device: Literal["cpu", "cuda"] = "cpu"


class Recipe(Declared):
    """Base of the recipes: frozen, fingerprinted, and the same thing as YAML."""

    kinds: ClassVar[dict[str, type[Recipe]]] = {}
    adapter_rate: ClassVar[float] = 5e-4
    """What ``learning_rate="auto"`` means for adapters; ``Full`` takes a tenth."""
    usual_rates: ClassVar[tuple[float, float]] = (1e-5, 2e-3)
    """Rates of adapters outside of this are warned of; ``Full`` a tenth. A judgement, from TRL's defaults and "LoRA
    Without Regret"."""

    kind: str
    epochs: int | Auto = Field(default="auto")
    """Passes over the training rows; ``"auto"`` is 3 below 1,000 rows, 2 below 5,000, else 1."""
    batch_size: int | Auto = Field(default="auto")
    """Rows an optimiser step; ``"auto"`` is 8 below 1,000 rows, 16 below 10,000, else 32. How many are computed at once
    is the matter of ``max_batch_tokens``, and changes no number."""
    learning_rate: float | Auto = Field(default="auto")
    """Peak learning rate; ``"auto"`` is the recipe's :attr:`adapter_rate` for adapters and a tenth of it for ``Full``,
    as "LoRA Without Regret" (Schulman et al. 2025) found."""
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls after the warm-up: to 0 in a line, to 0 along a cosine, or not at all."""
    warmup_ratio: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the steps in which the rate climbs from 0."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Gradients are scaled down to this norm."""
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    """``"auto"`` is paged 8-bit AdamW for QLoRA on CUDA, else AdamW with 32-bit state."""
    adapter: AnyAdapter = Field(default_factory=LoRA)
    """What is trained: ``LoRA`` (default), ``QLoRA``, ``DoRA``, ``AdaLoRA`` or ``Full``."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens. Longer rows are refused, never cut; ``None`` is the model's own limit."""
    max_batch_tokens: int | Auto = Field(default="auto")
    """Tokens computed in one pass, shared beginnings counted once; ``"auto"`` is 4,096 on CPU, 16,384 on CUDA."""
    shared_prefix: bool = True
    """Compute beginnings that rows share once a pass. Exact; off is for comparison."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the frozen model; ``"auto"`` is bf16 where the machine computes it fast. Adapters stay in fp32."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third slower."""
    eval_steps: int | Auto = Field(default="auto")
    """Steps between two looks at the validation loss; ``"auto"`` is ten looks a run. Needs validation rows."""
    load_best_model_at_end: bool = True
    """With validation rows: the result is the model at its lowest validation loss, not the last one."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """End the run after so many looks without a lower validation loss; ``None`` goes on to the end."""
    save_steps: int | Auto = Field(default="auto")
    """Steps between two checkpoints, from which a run that was killed goes on; ``"auto"`` is ten a run."""
    save_total_limit: int = Field(default=2, ge=1)
    """Checkpoints kept while the run goes on: the newest ones. They are removed when it has succeeded."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Of the adapter's first values, of the order of rows and of dropout."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        Recipe.kinds[str(cls.model_fields["kind"].default)] = cls
        with_fields(cls)

    @field_validator("adapter", mode="before")
    @classmethod
    def _adapter(cls, value: Any) -> Any:
        if not isinstance(value, Adapter | dict):
            shown = value.__name__ if isinstance(value, type) else repr(value)
            raise ValueError(f"{shown} is no adapter; write LoRA(), QLoRA(rank=8), DoRA(), AdaLoRA() or Full()")
        return value

    def model_post_init(self, context: Any) -> None:
        for name in ("epochs", "batch_size", "max_batch_tokens", "eval_steps", "save_steps"):
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise ValueError(f'{name} must be at least 1 or "auto", not {value}')
        if self.learning_rate != "auto" and not 0 < self.learning_rate < 1:
            raise ValueError(f'learning_rate must be between 0 and 1 or "auto", not {self.learning_rate}')

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` over the dumped recipe."""
        return canonical_digest(json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")))

    def resolve(self, facts: RecipeFacts) -> Self:
        """The same recipe with every ``"auto"`` replaced by the number it stands for.

        Raises:
            ConfigError: values that cannot work together for this much data.
        """
        rows = facts.rows
        update: dict[str, Any] = {}
        if self.epochs == "auto":
            update["epochs"] = 3 if rows < 1_000 else 2 if rows < 5_000 else 1
        if self.batch_size == "auto":
            update["batch_size"] = 8 if rows < 1_000 else 16 if rows < 10_000 else 32
        if self.learning_rate == "auto":
            update["learning_rate"] = self.auto_rate()
        if self.max_batch_tokens == "auto":
            update["max_batch_tokens"] = 16_384 if facts.device == "cuda" else 4_096
        if self.precision == "auto":
            update["precision"] = "bf16" if facts.fast_bf16 else "fp32"
        if self.optimizer == "auto":
            paged = facts.device == "cuda" and self.adapter.kind == "qlora"
            update["optimizer"] = "paged_adamw_8bit" if paged else "adamw"
        known = self.model_copy(update=update)
        total = known.total_steps(rows)
        for name in ("eval_steps", "save_steps"):
            if getattr(self, name) == "auto":
                update[name] = max(1, total // 10)
        try:
            update["adapter"] = self.adapter.resolve(total_steps=total)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return self.model_copy(update=update)

    def auto_rate(self) -> float:
        """What ``learning_rate="auto"`` stands for."""
        return self.adapter_rate / 10 if isinstance(self.adapter, Full) else self.adapter_rate

    def total_steps(self, rows: int) -> int:
        """Optimiser steps of a resolved recipe over ``rows`` rows; the last batch of an epoch may be smaller."""
        if self.epochs == "auto" or self.batch_size == "auto":
            raise ConfigError("epochs and batch_size must be resolved first: call recipe.resolve(facts)")
        return self.epochs * -(-rows // self.batch_size)

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """The dumped recipe as YAML text, written to ``path`` when one is given."""
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
        if path is not None:
            write_atomically(path, text)
        return text


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from a YAML file: a mapping with ``kind`` and any of the recipe's fields.

    Raises:
        ConfigError: no such file, not YAML, an unknown ``kind``, or a field that is unknown or out of range.
    """
    source = Path(path)
    try:
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: cannot read the recipe: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: a recipe is a mapping of fields, not {type(data).__name__}")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in Recipe.kinds:
        raise ConfigError(f"{source}: kind: {kind!r} is no recipe; known are {', '.join(sorted(Recipe.kinds))}")
    try:
        return Recipe.kinds[kind].model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {refusals(error, Recipe.kinds[kind], data)}") from None
