"""The training loop. There is one; the recipe's loss and its example source decide what each step computes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import torch

from ftkit.errors import TrainingError
from ftkit.modeling.device import peak_memory_bytes
from ftkit.training.checkpoint import Checkpoint
from ftkit.training.evaluations import Evaluations, Look
from ftkit.training.example_source import ExampleSource, TrainingContext
from ftkit.training.frozen_parameters import FrozenParameterCheck
from ftkit.training.loss_computer import Packed
from ftkit.training.mfu import FlopsUtilisation
from ftkit.training.optimizer import UpdateRatio, make_optimizer
from ftkit.training.progress import Progress, TrainingStopped
from ftkit.training.schedule import learning_rate
from ftkit.training.weight_average import WeightAverage

__all__ = ["TrainingLoop"]


class TrainingLoop:
    """Takes a model through all steps of a resolved recipe.

    Args:
        context: what the run trains with.
        source: makes the examples of each step.
        device: where the model is.
        total_steps: optimiser steps of the whole run.
        should_stop: asked before each step.
        save_epoch_model: called at the end of each epoch with its step and number, from 1, to save the model; returns
            whether it did.
    """

    def __init__(
        self,
        context: TrainingContext,
        source: ExampleSource,
        device: torch.device,
        total_steps: int,
        should_stop: Callable[[], bool] = lambda: False,
        save_epoch_model: Callable[[int, int], bool] = lambda step, epoch: False,
    ) -> None:
        self.context = context
        self.recipe = context.recipe
        self.loss = context.loss
        self.adapted = context.adapted
        self.computer = context.computer
        self.checkpoints = context.checkpoints
        self.workers = context.computer.workers
        self.emit = context.emit
        self.source = source
        self.device = device
        self.total_steps = total_steps
        self.should_stop = should_stop
        self.save_epoch_model = save_epoch_model
        self.parameters = list(self.adapted.parameters.values())
        self.optimizer = make_optimizer(self.recipe, self.parameters)
        self.progress = Progress()
        self.evaluations = Evaluations(context, source, total_steps)
        self.monitor = self.loss.monitor(context.warn)
        self.frozen_check = FrozenParameterCheck(self.adapted.parameters, self.workers)
        self.update_ratio = UpdateRatio(self.parameters, self.workers)
        decay = self.recipe.ema_decay
        self.average = None if decay is None else WeightAverage(self.adapted.parameters, decay)
        config = self.adapted.base_model.config
        self.utilisation = FlopsUtilisation(self.recipe, config, device, scores=self.recipe.score_head)

    def run(self) -> dict[str, Any]:
        """Do all steps that are left.

        Returns:
            The summary of the run.

        Raises:
            TrainingStopped: ``should_stop`` returned True; a checkpoint is saved.
            TrainingError: the loss is not finite or has diverged, or part of the model never changes.
        """
        torch.manual_seed(self.recipe.seed)
        if self.recipe.gradient_checkpointing:
            self.adapted.enable_checkpointing()
        self.source.setup()
        self.evaluations.setup()
        self.restore()
        if not self.progress.step:
            self.source.start()
        if self.evaluations.wanted and not self.progress.validations:
            self._remember(self.evaluations.look(0))
        stopped_early = self._run_steps()
        self.evaluations.check_result(self.progress.best_step, self.progress.step)
        if self.average is not None:
            self.average.exchange()
        best = self.load_best_model()
        moved = self.evaluations.move_back(best or self.progress.step)
        if moved is not None:
            self.progress.replace_result(moved.objective, moved.tie)
        return self._summary(stopped_early=stopped_early, best=best)

    def train_step(self, step: int) -> float:
        """Do one optimiser step.

        Args:
            step: from 1.

        Returns:
            The batch's mean loss.

        Raises:
            TrainingError: the loss or the gradient is not finite.
        """
        began = time.monotonic()
        batch = self.source.prepare(step)
        prepared = time.monotonic()
        packs = self.computer.packs(self.loss.weigh(batch.examples))
        size = self.loss.size(batch.examples)
        rate = learning_rate(self.recipe, step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, metrics = self.computer.compute(packs, size, lambda part: part.backward())  # type: ignore[no-untyped-call]
        weights = self.adapted.weights
        weights.sum_gradients(self.parameters)
        penalty = self.adapted.tuner.penalty(self.adapted)
        if penalty is not None and batch.examples:
            penalty.backward()
        preservation = self.evaluations.preservation
        preserved = preservation.backward(step, batch.examples) if preservation and batch.examples else {}
        norm = weights.clip_gradients(self.parameters, self.recipe.max_grad_norm)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {step}: the loss is {loss} and the gradient norm {norm}; the weights before this step were "
                f'fine. A lower learning_rate (now {rate:.2g}) or precision="fp32" usually helps'
            )
        self.monitor.step(step, batch.epoch, loss, {**batch.metrics, **metrics})
        ratio = self._update(step, learns=any(each.learns for each in batch.examples)) if batch.examples else 0.0
        tokens, computed, predictions, supervised = self._counts(packs)
        self.progress.tokens += tokens
        seconds = time.monotonic() - began
        each = self.workers.size
        busy = seconds - (prepared - began) - preserved.get("preserve_seconds", 0.0)  # with the tokens counted here
        self.emit(
            "step",
            {
                "step": step,
                "steps": self.total_steps,
                "epoch": batch.epoch + 1,
                "loss": loss,
                **batch.metrics,
                **metrics,
                **preserved,
                "learning_rate": rate,
                "grad_norm": norm,
                "update_ratio": ratio,
                "tokens": tokens,
                "computed_tokens": computed,
                "supervised_tokens": supervised,
                "seconds": round(seconds, 4),
                "tokens_per_second": round(tokens / seconds, 1),
                "mfu": self.utilisation.of_step(computed // each, predictions // each, busy),
                "peak_memory_bytes": peak_memory_bytes(self.device),
            },
        )
        return loss

    def _counts(self, packs: Sequence[Packed]) -> tuple[int, ...]:
        """Tokens of all rows, computed tokens, computed predictions and supervised tokens of all workers' packs."""
        own = (
            sum(pack.unpacked_tokens for pack, _ in packs),
            sum(len(pack.ids) for pack, _ in packs),
            sum(len(pack.logit_indices) for pack, _ in packs),
            sum(len(pack.prediction_indices) for pack, _ in packs),
        )
        return tuple(sum(counts) for counts in zip(*self.workers.gather(own), strict=True))

    def averaged(self) -> AbstractContextManager[None]:
        """Hold the weights that are evaluated and kept inside a ``with`` block: their average, if the recipe wants it.

        Returns:
            The context.
        """
        return nullcontext() if self.average is None else self.average.applied()

    def load_best_model(self) -> int | None:
        """Load the weights with the lowest validation objective.

        Returns:
            Their step; None when the last weights stay.
        """
        best = self.progress.best_step
        if not (self.recipe.load_best_model_at_end and best and best != self.progress.step):
            return None
        checkpoint = self.checkpoints.best(best) if self.workers.is_first else None
        if self.workers.from_first(lambda: checkpoint is None):
            self.context.warn(f"the best model, of step {best}, is missing; the last model is the result")
            return None
        self.adapted.load(None if checkpoint is None else checkpoint.tensors())
        self.adapted.tuner.after_load(self.adapted)
        return best

    def save(self) -> None:
        """Write a checkpoint. If it cannot be written, the run continues with a warning."""
        weights, step = self.adapted.weights, self.progress.step
        tensors = weights.tensors(self.adapted.parameters)
        optimizer = weights.optimizer_state(self.optimizer)
        if not self.workers.is_first:
            return
        state = {
            "progress": asdict(self.progress),
            "monitor": self.monitor.state(),
            "optimizer": optimizer,
            "adapter": self.adapted.tuner.state(self.adapted),
            "source": self.source.state(step),
            "average": {} if self.average is None else weights.tensors(self.average.averages),
            "preservation": preservation.state() if (preservation := self.evaluations.preservation) else {},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }
        if self._write(lambda: self.checkpoints.save(step, tensors, state), "a checkpoint"):
            self.emit("checkpoint", {"step": step})

    def restore(self) -> None:
        """Restore the newest whole checkpoint, if there is one."""
        checkpoint = self._newest() if self.workers.is_first else None
        held = {} if checkpoint is None else _current_layout(checkpoint.state(), self.recipe.monitored)
        optimizer, average = held.pop("optimizer", None), held.pop("average", None)
        step, state = self.workers.from_first(lambda: (0 if checkpoint is None else checkpoint.step, held))
        if not step:
            self.source.load_state([], 0)
            self._own_random_numbers(0)
            return
        self.adapted.load(None if checkpoint is None else checkpoint.tensors())
        self.adapted.weights.load_optimizer(self.optimizer, optimizer)
        self.adapted.tuner.load_state(self.adapted, state["adapter"])
        self.progress = Progress(**state["progress"])
        self.monitor.load_state(state["monitor"])
        self.source.load_state(state["source"], step)
        if self.average is not None:
            self.adapted.weights.load(self.average.averages, average)
        if self.evaluations.preservation is not None:
            self.evaluations.preservation.load_state(state["preservation"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["random_cuda"])
        self._own_random_numbers(step)
        self.emit("log", {"message": f"going on from the checkpoint of step {step}", "step": step})

    def _newest(self) -> Checkpoint | None:
        """The newest whole checkpoint."""
        checkpoint, problems = self.checkpoints.newest()
        for problem in problems:
            self.context.warn(f"skipped a checkpoint: {problem}")
        return checkpoint

    def _own_random_numbers(self, step: int) -> None:
        """Give each worker but the first random numbers of its own, so that dropout differs between rows."""
        if not self.workers.is_first:
            torch.manual_seed(hash((self.recipe.seed, step, self.workers.rank)))

    def _run_steps(self) -> bool:
        """Train to the end; True if early stopping ended it."""
        progress, steps_per_epoch = self.progress, self.total_steps // self.recipe.epochs
        for step in range(progress.step + 1, self.total_steps + 1):
            if self.workers.any(self.should_stop()):
                self.save()
                raise TrainingStopped(progress.step)
            began = time.monotonic()
            loss = self.train_step(step)
            progress.step = step
            progress.losses = [*progress.losses, loss][-max(1, self.total_steps // 10) :]
            if self.evaluations.wanted and (step % self.recipe.eval_steps == 0 or step == self.total_steps):
                with self.averaged():
                    self._validate(step)
            progress.seconds += time.monotonic() - began
            if (harm := self.evaluations.harm(step)) is not None and step < self.total_steps:
                self.context.warn(harm)
                return True
            patience, waited = self.recipe.early_stopping_patience, progress.evaluations_without_improvement
            if patience is not None and waited >= patience:
                message = f"validation {self.evaluations.name} has not improved in {waited} evaluations; stopping early"
                self.emit("log", {"message": message})
                return step < self.total_steps
            if step % steps_per_epoch == 0:
                with self.averaged():
                    self._save_epoch_model(step, step // steps_per_epoch)  # before the checkpoint, which would skip it
            if step % self.recipe.save_steps == 0 and step < self.total_steps:
                self.save()
        return False

    def _update(self, step: int, *, learns: bool) -> float:
        """Apply the gradients; return by what share the weights moved. ``learns``: every trained tensor must change."""
        self.progress.updates += learns
        if learns:
            self.frozen_check.before_update(self.progress.updates)
        self.update_ratio.before_update()
        self.optimizer.step()
        ratio = self.update_ratio.after_update()
        if learns:
            self.frozen_check.after_update(self.progress.updates)
            if self.average is not None:
                self.average.update(self.progress.updates)
        self.adapted.tuner.after_step(self.adapted, step)
        self.optimizer.zero_grad(set_to_none=True)
        return ratio

    def _validate(self, step: int) -> None:
        """Evaluate, and save the model if it is the best so far."""
        look = self.evaluations.look(step)
        if look.validation is not None:
            self.monitor.validation(step, look.validation)
        best = self.progress.add_validation(step, look.objective, look.tie, allowed=look.allowed)
        self.progress.ties.append(look.tie)
        kept = self.evaluations.chooses and self.recipe.load_best_model_at_end
        if best and kept and step < self.total_steps:
            tensors = self.adapted.weights.tensors(self.adapted.parameters)
            self._write(lambda: self.checkpoints.save_best(step, tensors), "the best model so far")

    def _remember(self, look: Look) -> None:
        """Remember the evaluation before the first step, which is no candidate for the best model."""
        self.progress.validations.append(look.objective)
        self.progress.ties.append(look.tie)

    def _save_epoch_model(self, step: int, epoch: int) -> None:
        """Save the model of an epoch's end if wanted. If it cannot be written, the run continues with a warning."""
        try:
            saved = self.save_epoch_model(step, epoch)
        except TrainingError as error:
            self.context.warn(f"step {step}: the model of epoch {epoch} was not kept: {error}")
            return
        if saved:
            self.emit("log", {"message": f"kept the model of epoch {epoch}", "step": step, "kept_epoch": epoch})

    def _write(self, action: Callable[[], object], what: str) -> bool:
        return self.checkpoints.try_write(action, f"step {self.progress.step}: {what}", self.context.warn)

    def _summary(self, *, stopped_early: bool, best: int | None) -> dict[str, Any]:
        progress = self.progress
        summary: dict[str, Any] = {
            "steps": progress.step,
            "tokens": progress.tokens,
            "training_seconds": round(progress.seconds, 3),
            "train_loss": sum(progress.losses) / len(progress.losses),
            "shared_prefix": self.computer.shares_prefixes and bool(self.recipe.shared_prefix),
            "peak_memory_bytes": peak_memory_bytes(self.device),
        }
        if self.source.has_validation:
            found = self.evaluations
            summary |= progress.validation_summary(best, found.name, higher_is_better=found.higher_is_better)
            if self.recipe.eval_metric is not None:
                summary |= progress.tie_summary(best, self.recipe.monitored)
        if best:
            summary["best_step"] = best
        if (preservation := self.evaluations.preservation) is not None:
            summary |= preservation.summary(best or progress.step)
        if stopped_early:
            summary["stopped_early"] = True
        return {**summary, **self.adapted.tuner.summary(self.adapted)}


def _current_layout(state: dict[str, Any], monitored: str) -> dict[str, Any]:
    """Bring the state of a checkpoint that version 0.1 wrote into the present layout."""
    if "monitor" in state:
        return state
    progress = dict(state["progress"])
    progress["evaluations_without_improvement"] = progress.pop("idle")
    monitor = state["health"] if monitored == "loss" else state["watch"]
    return {**state, "progress": progress, "monitor": monitor, "source": state["rollouts"]}
