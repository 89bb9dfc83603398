"""The base of all training recipes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, field_validator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.files import canonical_digest, write_atomically
from ftkit.graders import Grader
from ftkit.recipe.adapters import ADAPTERS, Adapter, LoRA
from ftkit.recipe.adapters.base import Auto
from ftkit.recipe.eval_metric import EvalMetric
from ftkit.recipe.field_docs import with_fields
from ftkit.recipe.model_size import ModelSize
from ftkit.recipe.preserve import MaybePreserve
from ftkit.recipe.rollout_engines import RolloutEngine
from ftkit.schema import DeclaredModel
from ftkit.schema.registered_field import RegisteredField

__all__ = ["AnyAdapter", "Grading", "Recipe", "RecipeFacts"]

_COUNTS = ("epochs", "batch_size", "max_batch_tokens", "eval_steps", "eval_rows", "save_steps")
"""Fields that are ``"auto"`` or at least 1."""
_EVAL_ROWS = 200

AnyAdapter = Annotated[Adapter, RegisteredField(ADAPTERS, "kind", Adapter)]
"""Any registered adapter, chosen by its ``kind``."""


@dataclass(frozen=True, slots=True)
class RecipeFacts:
    """What ``"auto"`` values depend on.

    Attributes:
        rows: rows in the training data.
        fast_bf16: whether the machine computes in bfloat16 much faster than in float32.
        device: ``"cpu"`` or ``"cuda"``.
        size: the size of the model; by default it is not known, as that of a host's model.
    """

    rows: int
    fast_bf16: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    size: ModelSize = field(default_factory=ModelSize)


@dataclass(frozen=True, slots=True)
class Grading:
    """How a recipe grades the answers that its model samples during training.

    Attributes:
        grader: gives each answer a reward.
        allow_python: whether ``python`` graders may run, and functions that a file names.
        isolation: how they are sandboxed, see :data:`ftkit.graders.Isolation`.
        embedder: the model that embeds texts for graders of ``cosine``, as ``"backend:model"``.
    """

    grader: Grader
    allow_python: bool = False
    isolation: Literal["kernel", "process"] = "kernel"
    embedder: str | None = None


class Recipe(DeclaredModel):
    """Base of the recipes: what to train, frozen, fingerprinted, and the same as YAML.

    A subclass is one kind of training. It declares ``kind`` (the name registered in :data:`ftkit.recipe.LOSSES`) and
    its fields, and sets the facts below. What computes the loss is its :attr:`loss_class`, which only the local worker
    loads.
    """

    loss_class: ClassVar[str | type] = ""
    """The :class:`~ftkit.training.losses.base.Loss` that computes it, or ``"module:attribute"`` of it. Empty: the local
    engine refuses the recipe."""
    rows: ClassVar[tuple[str, ...]] = ("demonstrations",)
    """Kinds of rows it trains on: ``"demonstrations"``, ``"preferences"``, ``"unpaired_preferences"``, ``"prompts"``,
    ``"texts"``; see :attr:`ftkit.Dataset.kind`."""
    rows_hint: ClassVar[str] = ""
    """What to do with rows of another kind, as the end of a refusal."""
    hosted_rows: ClassVar[tuple[str, ...] | None] = None
    """The same for hosted jobs; ``None``: as :attr:`rows`."""
    read_columns: ClassVar[tuple[str, ...]] = ()
    """Columns beside a row's conversation that the loss reads."""
    needs_reference: ClassVar[bool] = False
    """Whether the loss compares with the model as it was before the first step."""
    needs_rollouts: ClassVar[bool] = False
    """Whether it trains on answers that the model samples during training."""
    score_head: ClassVar[bool] = False
    """Whether the model ends in one score, as reward models do, in place of a vocabulary."""
    token_loss: ClassVar[bool] = False
    """Whether the loss is nats per token. A loss near 0 then means that the rows are memorised."""
    monitored: ClassVar[Literal["loss", "reward"]] = "loss"
    """What the validation rows are evaluated by: a loss, which should fall, or a reward, which should rise."""
    adapter_rate: ClassVar[float] = 5e-4
    """What ``learning_rate="auto"`` means for adapters at a hidden size of 2,000; ``Full`` takes a tenth."""
    small_batch: ClassVar[int] = 8
    """What ``batch_size="auto"`` means below 1,000 rows. Losses that compare rows of a batch, as KTO's, need enough."""
    usual_rates: ClassVar[tuple[float, float]] = (1e-5, 2e-3)
    """Rates of adapters outside of this range cause a warning; a tenth of it for ``Full``. A judgement, from TRL's
    defaults and "LoRA Without Regret"."""

    kind: str
    epochs: int | Auto = Field(default="auto")
    """Passes over the training rows; ``"auto"`` is 3 below 1,000 rows, 2 below 5,000, else 1."""
    batch_size: int | Auto = Field(default="auto")
    """Rows per optimiser step; ``"auto"`` is 8 (``SFT``: 4) below 1,000 rows, 16 below 10,000, else 32.
    ``max_batch_tokens`` says how many are computed at once, which changes no number."""
    learning_rate: float | Auto = Field(default="auto")
    """Peak learning rate; ``"auto"`` is the recipe's :attr:`adapter_rate` for adapters and a tenth of it for ``Full``,
    as "LoRA Without Regret" (Schulman et al. 2025) found, higher for smaller models and lower for larger ones."""
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls after the warm-up: linearly to 0, along a cosine to 0, or not at all."""
    warmup_ratio: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Gradients are scaled down to this norm."""
    ema_decay: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Evaluate and return an exponential moving average of the trained weights, of which each step leaves this share
    (after t updates at most (1 + t)/(10 + t)). ``None``: the weights themselves."""
    optimizer: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    """``"auto"`` is paged 8-bit AdamW for QLoRA on CUDA, else AdamW with 32-bit state."""
    adapter: AnyAdapter = Field(default_factory=LoRA)
    """What is trained: ``LoRA`` (default), ``QLoRA``, ``DoRA``, ``AdaLoRA`` or ``Full``."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens. Longer rows are refused, never cut; ``None`` is the model's own limit."""
    max_batch_tokens: int | Auto = Field(default="auto")
    """Tokens computed in one pass, shared prefixes counted once; ``"auto"`` is 4,096 on a CPU, and on a GPU the largest
    power of two from 1,024 to 16,384 whose run is estimated to fit its memory."""
    shared_prefix: bool = True
    """Compute prefixes that rows share once per pass. The result is exact; turn it off only to compare."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the frozen model; ``"auto"`` is bf16 where the machine computes it fast. Adapters stay in fp32."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them: less memory, about a third slower."""
    eval_steps: int | Auto = Field(default="auto")
    """Steps between two evaluations of the validation rows; ``"auto"`` is ten per run. Needs validation rows."""
    eval_metric: EvalMetric = None
    """Evaluate by answers: the name of a metric of :func:`ftkit.evaluate`, e.g. ``"record_exact"``, or a grader. Each
    evaluation answers validation rows greedily with the current weights, and the best model and early stopping go by
    the metric; of equal values the lower loss is better. ``None``: they go by the validation loss (or reward)."""
    eval_rows: int | Auto = Field(default="auto")
    """Validation rows that ``eval_metric`` answers, evenly spread over all; ``"auto"`` is 200, or all if fewer."""
    eval_max_output_tokens: int | None = Field(default=None, ge=1)
    """Longest of these answers; ``None`` is a quarter more than the longest wanted one, or 256 if none is known."""
    load_best_model_at_end: bool = True
    """With validation rows: return the model with the lowest validation loss (or best ``eval_metric``), not the last
    one."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations without a lower validation loss (or better ``eval_metric``); ``None`` trains to
    the end."""
    preserve: MaybePreserve = None
    """Keep what the model can do besides the task: :class:`ftkit.Preserve`, ``True`` for its defaults. ``None`` does
    nothing about it."""
    save_steps: int | Auto = Field(default="auto")
    """Steps between two checkpoints, from which a killed run resumes; ``"auto"`` is ten per run."""
    save_total_limit: int = Field(default=2, ge=1)
    """Newest checkpoints to keep during the run. All are removed when it has succeeded."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Random seed of the adapter's initial values, of the order of rows and of dropout."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        with_fields(cls)

    @field_validator("adapter", mode="before")
    @classmethod
    def _adapter(cls, value: Any) -> Any:
        if not isinstance(value, Adapter | Mapping):
            if isinstance(value, str) and value in ADAPTERS.names():
                name = ADAPTERS.get(value).__name__
                raise ValueError(
                    f"{value!r} is a kind: write {name}() in Python, and adapter: {{kind: {value}}} in YAML"
                )
            shown = value.__name__ if isinstance(value, type) else repr(value)
            raise ValueError(f"{shown} is not an adapter; write LoRA(), QLoRA(rank=8), DoRA(), AdaLoRA() or Full()")
        return value

    @override
    def model_post_init(self, context: Any) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if value != "auto" and value < 1:
                raise ValueError(f'{name} must be at least 1 or "auto", not {value}')
        if self.learning_rate != "auto" and not 0 < self.learning_rate < 1:
            raise ValueError(f'learning_rate must be between 0 and 1 or "auto", not {self.learning_rate}')
        if self.preserve is not None and self.preserve.budget is not None and not self.load_best_model_at_end:
            raise ValueError(
                "load_best_model_at_end is off, but preserve.budget returns the best model within the budget; leave it "
                "on, or set preserve.budget to None"
            )

    @property
    def fingerprint(self) -> str:
        """``sha256:…`` over the dumped recipe."""
        return canonical_digest(json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")))

    @property
    def grading(self) -> Grading | None:
        """How answers sampled during training are graded; ``None``: nothing is graded."""
        return Grading(self.eval_metric) if isinstance(self.eval_metric, Grader) else None

    @property
    def sampled_by(self) -> RolloutEngine | None:
        """What samples its rollouts on this machine; ``None``: it has none that another engine could sample."""
        return None

    @property
    def reserved_tokens(self) -> int:
        """Tokens of the model's context that each prompt must leave free for a sampled answer."""
        return 0

    def local_models(self) -> tuple[str, ...]:
        """List the other models on this machine that a run needs.

        Returns:
            Names such as ``"local:smollm2-135m"``; none by default.
        """
        return ()

    def unsupported_locally(self) -> dict[str, str]:
        """List the fields whose values only hosts can honour.

        Returns:
            Field name to the reason, empty by default. The local engine refuses these by name.
        """
        return {}

    def resolve(self, facts: RecipeFacts) -> Self:
        """Return the same recipe with a number in place of every ``"auto"``.

        Args:
            facts: what the numbers depend on.

        Returns:
            The resolved copy.

        Raises:
            ConfigError: values that cannot work together for this much data.
        """
        rows = facts.rows
        update: dict[str, Any] = {}
        if self.epochs == "auto":
            update["epochs"] = 3 if rows < 1_000 else 2 if rows < 5_000 else 1
        if self.batch_size == "auto":
            update["batch_size"] = self.small_batch if rows < 1_000 else 16 if rows < 10_000 else 32
        if self.learning_rate == "auto":
            update["learning_rate"] = self.auto_rate(facts)
        if self.max_batch_tokens == "auto":
            update["max_batch_tokens"] = 16_384 if facts.device == "cuda" else 4_096
        if self.precision == "auto":
            update["precision"] = "bf16" if facts.fast_bf16 else "fp32"
        if self.optimizer == "auto":
            paged = facts.device == "cuda" and self.adapter.quantization is not None
            update["optimizer"] = "paged_adamw_8bit" if paged else "adamw"
        if self.eval_rows == "auto":
            update["eval_rows"] = _EVAL_ROWS
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

    def auto_rate(self, facts: RecipeFacts) -> float:
        """Return the learning rate that ``"auto"`` stands for.

        Args:
            facts: what it depends on.

        Returns:
            The peak rate.
        """
        rate = self.adapter_rate / self.adapter.learning_rate_divisor * facts.size.rate_factor
        return float(f"{rate:.2g}")

    def total_steps(self, rows: int) -> int:
        """Count the optimiser steps of a resolved recipe; the last batch of an epoch may be smaller.

        Args:
            rows: training rows.

        Returns:
            Steps of the whole run.

        Raises:
            ConfigError: the recipe is not resolved.
        """
        if self.epochs == "auto" or self.batch_size == "auto":
            raise ConfigError("epochs and batch_size must be resolved first: call recipe.resolve(facts)")
        return self.epochs * -(-rows // self.batch_size)

    def to_yaml(self, path: str | os.PathLike[str] | None = None) -> str:
        """Dump the recipe as YAML.

        Args:
            path: file to write the text to, if any.

        Returns:
            The text.
        """
        text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
        if path is not None:
            write_atomically(path, text)
        return text
