"""The training loop. There is one; a recipe decides what each step computes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from ftkit.engine.adapting import Adapted
from ftkit.engine.attention import TREE_ATTENTION
from ftkit.engine.forward import Forward, why_not_shared
from ftkit.engine.rendered import Rendered
from ftkit.engine.rows import TokenRows
from ftkit.engine.tree import Pack, packs_within
from ftkit.errors import TrainingError
from ftkit.recipe import Recipe

__all__ = ["Emit", "Loop", "Stopped"]

Emit = Callable[[str, dict[str, Any]], None]
"""Takes an event's kind and its data, see :class:`ftkit.store.Event`."""


class Stopped(Exception):  # noqa: N818  (a request that was honoured, not an error)
    """Training ended early because it was asked to."""


class Loop:
    """Takes a model through all steps of a resolved recipe.

    Args:
        recipe: without any ``"auto"``.
        adapted: the model and its trainable part.
        where: the device.
        rows: training rows.
        held_out: rows whose loss is watched, if any.
        emit: told of every step.
        should_stop: asked before each step.
        total: steps of the whole run.
    """

    def __init__(
        self,
        recipe: Recipe,
        adapted: Adapted,
        where: torch.device,
        rows: TokenRows,
        held_out: TokenRows | None,
        emit: Emit,
        should_stop: Callable[[], bool],
        total: int,
    ) -> None:
        self.recipe: Any = recipe  # resolved: no field is "auto" any more
        self.adapted = adapted
        self.rows = rows
        self.held_out = held_out
        self.emit = emit
        self.should_stop = should_stop
        self.total = total
        self.parameters = list(adapted.parameters.values())
        self.optimizer = _optimizer(self.recipe, self.parameters)
        adapted.dropout(on=False)
        reason = why_not_shared(adapted.causal, where, rows.sequences() + (held_out.sequences() if held_out else []))
        adapted.dropout(on=True)
        if reason is not None:
            if adapted.causal.config._attn_implementation == TREE_ATTENTION:
                adapted.causal.set_attn_implementation("sdpa")  # which makes the masks that the model asks for
            emit("warning", {"message": f"rows are computed one by one, because of the model: {reason}"})
        self.shared = reason is None
        self.forward = Forward(adapted.causal, where, shared=self.shared)
        self.tokens_done = 0
        self.alive: set[int] = set()

    def run(self) -> dict[str, Any]:
        torch.manual_seed(self.recipe.seed)
        if self.recipe.gradient_checkpointing:
            self.adapted.causal.gradient_checkpointing_enable({"use_reentrant": False})
        first = {"validation_loss_before": self.validate(0)} if self.held_out else {}
        began = time.monotonic()
        step, last, losses = 0, 0.0, []
        for epoch in range(self.recipe.epochs):
            for batch in self.rows.batches(epoch, self.recipe.batch_size, self.recipe.seed):
                if self.should_stop():
                    raise Stopped
                step += 1
                last = self.step(step, epoch, batch)
                losses.append(last)
                if self.held_out and (step % self.recipe.eval_steps == 0 or step == self.total):
                    first["validation_loss"] = self.validate(step)
        seconds = time.monotonic() - began
        recent = losses[-max(1, len(losses) // 10) :]
        ranks = self.adapted.ranks()
        return {
            "steps": step,
            "tokens": self.tokens_done,
            "training_seconds": round(seconds, 3),
            "train_loss": sum(recent) / len(recent),
            "shared_prefix": self.shared and bool(self.recipe.shared_prefix),
            **first,
            **({"adalora_ranks": ranks} if ranks else {}),
        }

    def packs(self, sequences: list[Rendered]) -> list[Pack]:
        budget = self.recipe.max_batch_tokens if self.shared else 1
        return list(packs_within(sequences, budget, share=self.shared and self.recipe.shared_prefix))

    def step(self, step: int, epoch: int, batch: list[Rendered]) -> float:
        """One optimiser step; returns the mean loss of the batch's supervised tokens."""
        began = time.monotonic()
        packs = self.packs(batch)
        supervised = float(sum(one.weights.sum() for one in packs))
        rate = self.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = 0.0
        for one in packs:
            total, _ = self.forward.loss(one)
            (total / supervised).backward()  # type: ignore[no-untyped-call]
            loss += float(total.detach()) / supervised
        penalty = self.adapted.penalty()
        if penalty is not None:
            penalty.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.max_grad_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {step}: the loss is {loss} and the gradient's norm {norm}; the weights of before this step were "
                f'fine. A lower learning_rate (now {rate:.2g}) or precision="fp32" usually cures it'
            )
        self.check_alive(step)
        self.optimizer.step()
        self.adapted.after_step(step)
        self.optimizer.zero_grad(set_to_none=True)
        tokens = sum(one.unpacked_tokens for one in packs)
        self.tokens_done += tokens
        seconds = time.monotonic() - began
        self.emit(
            "step",
            {
                "step": step,
                "steps": self.total,
                "epoch": epoch + 1,
                "loss": loss,
                "learning_rate": rate,
                "grad_norm": norm,
                "tokens": tokens,
                "computed_tokens": sum(len(one.ids) for one in packs),
                "supervised_tokens": int(supervised),
                "seconds": round(seconds, 4),
                "tokens_per_second": round(tokens / seconds, 1),
            },
        )
        return loss

    def learning_rate(self, step: int) -> float:
        """Rate of ``step`` (from 1): a linear climb, then the recipe's fall to 0 after the last step."""
        peak = float(self.recipe.learning_rate)
        warmup = math.ceil(self.recipe.warmup_ratio * self.total)
        if step <= warmup:
            return float(peak * step / warmup)
        if self.recipe.lr_scheduler_type == "constant":
            return peak
        done = (step - 1 - warmup) / max(1, self.total - warmup)
        left = 1 - done if self.recipe.lr_scheduler_type == "linear" else 0.5 * (1 + math.cos(math.pi * done))
        return float(peak * left)

    def check_alive(self, step: int) -> None:
        """By the second step every trainable tensor must have had a gradient.

        Not by the first: LoRA's B begins at zero, so A gets none until B has moved.
        """
        if step > 2:
            return
        self.alive |= {
            number for number, p in enumerate(self.parameters) if p.grad is not None and bool(p.grad.count_nonzero())
        }
        dead = [name for number, name in enumerate(self.adapted.parameters) if number not in self.alive]
        if step == 2 and dead:
            raise TrainingError(
                f"{len(dead)} of {len(self.parameters)} trainable tensors have had no gradient after two steps, so "
                f"they would never change: {', '.join(dead[:3])}…"
            )

    @torch.no_grad()
    def validate(self, step: int) -> float:
        """Mean loss of the supervised tokens of the validation rows."""
        assert self.held_out is not None  # noqa: S101  (callers check)
        began = time.monotonic()
        self.adapted.dropout(on=False)
        total = count = 0.0
        for one in self.packs(self.held_out.sequences()):
            total += float(self.forward.loss(one)[0])
            count += float(one.weights.sum())
        self.adapted.dropout(on=True)
        loss = total / count
        self.emit("validation", {"step": step, "loss": loss, "seconds": round(time.monotonic() - began, 3)})
        return loss


def _optimizer(recipe: Any, parameters: list[torch.nn.Parameter]) -> Any:
    # Decay pulls weights to zero, which makes no sense for norms and biases.
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "paged_adamw_8bit":
        from bitsandbytes.optim import PagedAdamW8bit

        return PagedAdamW8bit(groups, lr=recipe.learning_rate)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
