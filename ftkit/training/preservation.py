"""Keep what a model can do besides the task while it learns the task; see :class:`ftkit.Preserve`.

The loop knows nothing of how: it lets a :class:`Preservation` add its gradient to each step, measure the held-out
divergence at each evaluation, and say which models may be the result. So it works with every loss and every adapter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ftkit.errors import TrainingError
from ftkit.modeling.prefix_tree import PackedSequence
from ftkit.modeling.tokenized_example import Example
from ftkit.recipe.preserve import Preserve
from ftkit.training.adapter_modes import ReferenceModel
from ftkit.training.example_source import TrainingContext
from ftkit.training.harm_budget import HarmBudget
from ftkit.training.rehearsal import Rehearsal, prompt_examples
from ftkit.training.weight_interpolation import WeightInterpolation

__all__ = ["Preservation"]

_CACHED_BYTES = 256 * 2**20
"""Largest memory for the reference's hidden states of rehearsed rows; beyond it they are computed at each step."""

Tensor = torch.Tensor


class Preservation:
    """Rehearses, and measures the harm.

    Args:
        context: what the run trains with; its recipe has a ``preserve``. The model has its initial weights.
        total_steps: optimiser steps of the whole run.

    Attributes:
        budget: the divergences measured so far.
    """

    def __init__(self, context: TrainingContext, total_steps: int) -> None:
        self._context = context
        self._preserve: Preserve = context.recipe.preserve
        self._per_step = self._preserve.share * int(context.recipe.batch_size)
        self._total_steps = total_steps
        self._reference = ReferenceModel(context.adapted, fresh=context.fresh_adapter)
        self._known: dict[int, Tensor] = {}
        self._seconds = 0.0
        self._interpolation: WeightInterpolation | None = None
        self._moved: tuple[float, float] | None = None
        if self._preserve.interpolate and self._preserve.budget is not None:
            kept = context.adapted.tuner.kept_factors if context.fresh_adapter else ()
            self._interpolation = WeightInterpolation(context.adapted.parameters, self._reference.initial, kept)
        self.budget = HarmBudget.of(self._preserve)

    def setup(self) -> None:
        """Answer the rehearsal prompts while the model has its initial weights."""
        self.rehearsal = Rehearsal(self._context, int(self._per_step * self._total_steps))
        sft = self._preserve.sft
        self._sft = (0.0 if self.rehearsal.answered else 1.0) if sft is None else sft
        on = self._preserve.kl_on
        self._on_rows, self._on_prompts = on in ("rehearsal", "both"), on in ("task", "both")
        self._remember([*self.rehearsal.held_out, *(self.rehearsal.rows if self._on_rows else [])])

    def backward(self, step: int, examples: Sequence[Example]) -> dict[str, float]:
        """Add the gradient of what is preserved to that of the step's batch.

        Args:
            step: the optimiser step, from 1.
            examples: the batch.

        Returns:
            Entries of the step's event: ``preserve_kl`` (mean divergence of the rehearsed tokens, or of the prompts'
            tokens), ``preserve_loss`` (mean negative log-likelihood of rehearsed answers), ``preserve_weight``, and
            ``preserve_seconds``.
        """
        began = time.monotonic()
        metrics: dict[str, float] = {}
        weight = self.budget.weight
        if (self._on_rows and weight) or self._sft:
            rows = self.rehearsal.batch(step, self._per_step)
            applied = weight if self._on_rows else 0.0
            kl, loss = self._backward(rows, applied, self._sft)
            if rows and applied:
                metrics["preserve_kl"] = kl
            if rows and self._sft:
                metrics["preserve_loss"] = loss
        if self._on_prompts and weight:
            kl, _ = self._backward(prompt_examples(examples), weight, 0.0)
            metrics["preserve_prompt_kl"] = kl
        seconds = time.monotonic() - began
        self._seconds += seconds
        return {**metrics, "preserve_weight": weight, "preserve_seconds": round(seconds, 4)}

    @torch.no_grad()
    def measure(self) -> float:
        """Measure the harm so far.

        Returns:
            KL(before ‖ now) on the held-out rehearsal rows, in nats per token.
        """
        began = time.monotonic()
        computer, divergence, tokens = self._context.computer, 0.0, 0.0
        for pack, packed in computer.all_packs(self.rehearsal.held_out):
            reference = self._reference_states(pack, packed)
            with self._context.adapted.without_dropout():
                states = computer.forward.states(pack)
            divergence += float(computer.forward.divergence(pack, states, reference, self._layer())[0])
            tokens += float(pack.weights.sum())
        self._seconds += time.monotonic() - began
        return max(0.0, divergence / tokens)

    def move_back(self, step: int) -> tuple[float, float] | None:
        """Move a result above the budget back towards the model before the run, until it is within it.

        Args:
            step: the step whose model is the result; its weights are in the model.

        Returns:
            The share of the update that is left, and the divergence then; None if the result stays as it is.

        Raises:
            TrainingError: nothing of the update fits the budget.
        """
        measured, budget = dict(self.budget.measured).get(step), self._preserve.budget
        if self._interpolation is None or budget is None or measured is None or measured <= budget:
            return None

        def within() -> bool:
            divergence = self.measure()
            return self._context.computer.workers.from_first(lambda: divergence <= budget)

        share = self._interpolation.move_back(within)
        if not share:
            raise TrainingError(f"nothing of the update is within the budget of harm: {self.budget.describe()}")
        self._moved = share, self.measure()
        return self._moved

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold.

        Returns:
            Plain data.
        """
        return {"budget": self.budget.state(), "seconds": self._seconds}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint.
        """
        self.budget.load_state(state["budget"])
        self._seconds = state["seconds"]

    def summary(self, result_step: int) -> dict[str, Any]:
        """Return what the run's summary says of it.

        Args:
            result_step: the step whose model is the result.

        Returns:
            ``preserve_kl`` of the result (None if it was not measured), ``preserve_interpolation`` (the share of the
            update that it has), ``preserve_budget``, ``preserve_weight`` and ``preserve_seconds``.
        """
        share, divergence = self._moved or (1.0, dict(self.budget.measured).get(result_step))
        return {
            "preserve_kl": divergence,
            "preserve_interpolation": share,
            "preserve_budget": self._preserve.budget,
            "preserve_weight": self.budget.weight,
            "preserve_seconds": round(self._seconds, 3),
        }

    def _backward(self, examples: Sequence[Example], kl: float, sft: float) -> tuple[float, float]:
        """Add the gradient of some rows; return their mean divergence and loss per token."""
        computer = self._context.computer
        packs = computer.all_packs(examples) if examples else []
        tokens = sum(float(pack.weights.sum()) for pack, _ in packs)
        divergence = loss = 0.0
        for pack, packed in packs:
            reference = self._reference_states(pack, packed) if kl else None
            states = computer.forward.states(pack)
            total = states.new_zeros(())
            if reference is not None:
                part, _ = computer.forward.divergence(pack, states, reference, self._layer())
                total, divergence = total + kl * part, divergence + float(part.detach())
            if sft:
                part, _ = computer.forward.state_losses(pack, states)
                total, loss = total + sft * part, loss + float(part.detach())
            (total / tokens).backward()  # type: ignore[no-untyped-call]
        return (divergence / tokens, loss / tokens) if tokens else (0.0, 0.0)

    def _layer(self) -> Any:
        layer = self._context.computer.forward.output_layer
        bias = None if layer.bias is None else self._reference.value_of(layer.bias)
        return type(layer)(self._reference.value_of(layer.weight), bias, layer.form)

    @torch.no_grad()
    def _remember(self, examples: Sequence[Example]) -> None:
        """Keep the reference's states of rows, if they fit, so that each is computed once in the run."""
        computer = self._context.computer
        hidden = int(computer.adapted.base_model.config.get_text_config().hidden_size)
        tokens = sum(int(sequence.supervised.sum()) for example in examples for sequence in example.sequences)
        if not computer.shares_prefixes or 4 * hidden * tokens > _CACHED_BYTES:
            return
        for pack, packed in computer.all_packs(examples):
            states = self._reference_states(pack, packed)
            order, counts = _of_sequences(pack)
            parts = torch.split(states[torch.from_numpy(pack.prediction_indices[order]).to(states.device)], counts)
            self._known |= {id(example): part.clone() for example, part in zip(packed, parts, strict=True)}

    @torch.no_grad()
    def _reference_states(self, pack: PackedSequence, packed: Sequence[Example]) -> Tensor:
        """The reference's states of a pack's predictions, remembered or computed."""
        known = [self._known.get(id(example)) for example in packed]
        parts = [part for part in known if part is not None]
        if parts and len(parts) == len(known):
            order, _ = _of_sequences(pack)
            states = parts[0].new_empty((len(pack.logit_indices), parts[0].shape[1]))
            states[torch.from_numpy(pack.prediction_indices[order]).to(states.device)] = torch.cat(parts)
            return states
        with self._reference.active(), self._context.adapted.without_dropout():
            return self._context.computer.forward.states(pack)


def _of_sequences(pack: PackedSequence) -> tuple[Any, list[int]]:
    """The order that lists a pack's predictions sequence by sequence, and how many each sequence has."""
    counts = np.bincount(pack.sequence_indices, minlength=pack.sequences).tolist()
    return np.argsort(pack.sequence_indices, kind="stable"), counts
