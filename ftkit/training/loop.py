"""The training loop. There is one; a recipe's method decides what each step computes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch

from ftkit.errors import TrainingError
from ftkit.modeling.attention import TREE_ATTENTION
from ftkit.modeling.device import peak_memory_bytes
from ftkit.modeling.packed_forward import PackedForward, prefix_sharing_problem
from ftkit.modeling.prefix_tree import PackedSequence, pack_examples
from ftkit.modeling.tokenized_example import Example, Floats
from ftkit.recipe import Recipe
from ftkit.training.adapters.base import AdaptedModel
from ftkit.training.checkpoint import NOT_WRITTEN, Checkpoints
from ftkit.training.dataloader import TokenRows
from ftkit.training.diagnostics import Health
from ftkit.training.frozen_parameters import Liveness
from ftkit.training.losses import Loss
from ftkit.training.mfu import Utilisation
from ftkit.training.optimizer import Movement, make_optimizer
from ftkit.training.reference_logprobs import give_reference, log_probabilities, token_log_probabilities
from ftkit.training.reward_hacking import Watch
from ftkit.training.rollouts import Rollouts
from ftkit.training.schedule import learning_rate
from ftkit.training.training_state import Progress, Stopped

__all__ = ["Emit", "Loop", "Stopped"]

Emit = Callable[[str, dict[str, Any]], None]
"""Takes an event's kind and its data, see :class:`ftkit.store.Event`."""

Packed = tuple[PackedSequence, list[Example]]


class Loop:
    """Takes a model through all steps of a resolved recipe.

    Args:
        recipe: without any ``"auto"``.
        loss: what a step computes.
        adapted: the model and its trainable part.
        where: the device.
        rows: training rows; and ``held_out``, rows whose loss is watched, if any.
        emit: told of every step.
        should_stop: asked before each step.
        total: steps of the whole run.
        checkpoints: where progress is kept.
        keep_epoch: asked at the end of each epoch, with its step and number, to keep the model; whether it did.
        rollouts: for a method that learns from the model's own answers: makes the examples of a step out of ``rows``.
    """

    def __init__(
        self,
        recipe: Recipe,
        loss: Loss[Any],
        adapted: AdaptedModel,
        where: torch.device,
        rows: TokenRows,
        held_out: TokenRows | None,
        emit: Emit,
        should_stop: Callable[[], bool],
        total: int,
        checkpoints: Checkpoints,
        keep_epoch: Callable[[int, int], bool],
        rollouts: Rollouts | None = None,
    ) -> None:
        self.recipe: Any = recipe  # resolved: no field is "auto" any more
        self.loss = loss
        self.adapted = adapted
        self.where = where
        self.rows = rows
        self.held_out = held_out
        self.emit = emit
        self.should_stop = should_stop
        self.total = total
        self.checkpoints = checkpoints
        self.keep_epoch = keep_epoch
        self.rollouts = rollouts
        self.watch = Watch(self.warn)
        self.parameters = list(adapted.parameters.values())
        self.optimizer = make_optimizer(self.recipe, self.parameters)
        self.progress = Progress()
        self.health = Health(recipe, self.warn)
        self.liveness = Liveness(adapted.parameters)
        self.movement = Movement(self.parameters)
        self.utilisation = Utilisation(recipe, adapted.base_model.config, where, scores=recipe.score_head)
        adapted.set_dropout(enabled=False)
        seen = rows.sequences() + (held_out.sequences() if held_out else [])
        reason = prefix_sharing_problem(adapted.base_model, where, seen if rollouts is None else rollouts.sequences())
        adapted.set_dropout(enabled=True)
        if reason is not None:
            if adapted.base_model.config._attn_implementation == TREE_ATTENTION:
                adapted.base_model.set_attn_implementation("sdpa")  # which makes the masks that the model asks for
            self.warn(f"rows are computed one by one, because of the model: {reason}")
        self.shared = reason is None
        self.forward = PackedForward(adapted.base_model, where, shared=self.shared)

    def run(self) -> dict[str, Any]:
        """All steps that are still to be done; the summary of the run."""
        torch.manual_seed(self.recipe.seed)
        if self.recipe.gradient_checkpointing:
            self.adapted.base_model.gradient_checkpointing_enable({"use_reentrant": False})
        if self.recipe.needs_reference:
            self.refer()
        self.restore()
        if self.rollouts is not None and not self.progress.step and self.recipe.probe_prompts:
            signal = self.rollouts.probe()
            self.emit("log", {"message": "the grader tells answers apart", **signal.model_dump()})
        if self.held_out and not self.progress.validations:
            self.progress.validations.append(self.validate(0))
        early = self.steps()
        best = self.take_best()
        return self.summary(early=early, best=best)

    def steps(self) -> bool:
        """Train to the end; true when early stopping ended it."""
        done, per_epoch = self.progress, self.total // self.recipe.epochs
        for step, (epoch, batch) in enumerate(self.batches(), start=1):
            if step <= done.step:
                continue
            if self.should_stop():
                self.save()
                raise Stopped(done.step)
            began = time.monotonic()
            loss = self.step(step, epoch, batch)
            done.step = step
            done.losses = [*done.losses, loss][-max(1, self.total // 10) :]
            if self.held_out and (step % self.recipe.eval_steps == 0 or step == self.total):
                self.look(step)
            done.seconds += time.monotonic() - began
            patience = self.recipe.early_stopping_patience
            if patience is not None and done.idle >= patience:
                better = "lower validation loss" if (self.recipe.monitored == "loss") else "higher validation reward"
                self.emit("log", {"message": f"no {better} in {done.idle} looks: training ends early"})
                return step < self.total
            if step % per_epoch == 0:
                self.keep(step, epoch + 1)  # before the checkpoint, which would not go back for it
            if step % self.recipe.save_steps == 0 and step < self.total:
                self.save()
        return False

    def batches(self) -> Iterator[tuple[int, list[Example]]]:
        """The epoch (from 0) and the rows of each step of the whole run."""
        repeats = 1 if self.rollouts is None else self.rollouts.repeats
        for epoch in range(self.recipe.epochs):
            for batch in self.rows.batches(epoch, self.recipe.batch_size, self.recipe.seed):
                for _ in range(repeats):
                    yield epoch, batch

    def packs(self, examples: Sequence[Example]) -> list[Packed]:
        """Examples in trees of bearable size."""
        budget = self.recipe.max_batch_tokens if self.shared else 1
        return list(pack_examples(examples, budget, share=self.shared and self.recipe.shared_prefix))

    def compute(
        self, packs: Sequence[Packed], size: float, each: Callable[[torch.Tensor], object]
    ) -> tuple[float, dict[str, float]]:
        """Mean loss and figures over packs whose examples have ``size`` in all; ``each`` pack's part goes to a
        function."""
        loss = 0.0
        figures: dict[str, float] = {}
        for one, examples in packs:
            outcome = self.loss.compute(self.forward, one, examples)
            part = outcome.total / size
            each(part)
            loss += float(part.detach())
            for name, value in outcome.metrics.items():
                figures[name] = figures.get(name, 0.0) + value
        return loss, {name: value / size for name, value in figures.items()}

    def measure(self, examples: Sequence[Example]) -> list[Floats]:
        """The log-probability of each supervised token of examples of one sequence, under the model as it is."""
        self.adapted.set_dropout(enabled=False)
        found = token_log_probabilities(self.forward, examples, self.packs, self.recipe.temperature)
        self.adapted.set_dropout(enabled=True)
        return found

    def step(self, step: int, epoch: int, batch: list[Example]) -> float:
        """One optimiser step; returns the batch's mean loss."""
        began = time.monotonic()
        told: dict[str, Any] = {}
        if self.rollouts is not None:
            batch, told = self.rollouts.draw(step, batch, self.measure)
        drawn = time.monotonic()
        packs = self.packs(batch)
        size = self.loss.size(batch)
        rate = learning_rate(self.recipe, step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, figures = self.compute(packs, size, lambda total: total.backward())  # type: ignore[no-untyped-call]
        penalty = self.adapted.tuner.penalty(self.adapted)
        if penalty is not None and batch:
            penalty.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.max_grad_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {step}: the loss is {loss} and the gradient's norm {norm}; the weights of before this step were "
                f'fine. A lower learning_rate (now {rate:.2g}) or precision="fp32" usually cures it'
            )
        if self.recipe.monitored == "loss":
            self.health.step(step, epoch, loss)
        elif told:
            self.watch.step(step, {**told, **figures})
        ratio = self.update(step, telling=any(one.tells for one in batch)) if batch else 0.0
        tokens = sum(one.unpacked_tokens for one, _ in packs)
        computed = sum(len(one.ids) for one, _ in packs)
        self.progress.tokens += tokens
        seconds = time.monotonic() - began
        self.emit(
            "step",
            {
                "step": step,
                "steps": self.total,
                "epoch": epoch + 1,
                "loss": loss,
                **told,
                **figures,
                "learning_rate": rate,
                "grad_norm": norm,
                "update_ratio": ratio,
                "tokens": tokens,
                "computed_tokens": computed,
                "supervised_tokens": sum(len(one.prediction_indices) for one, _ in packs),
                "seconds": round(seconds, 4),
                "tokens_per_second": round(tokens / seconds, 1),
                "mfu": self.utilisation.of(
                    computed, sum(len(one.logit_indices) for one, _ in packs), seconds - (drawn - began)
                ),
                "peak_memory_bytes": peak_memory_bytes(self.where),
            },
        )
        return loss

    def update(self, step: int, *, telling: bool) -> float:
        """Let the optimiser use the gradients; by what share the weights moved. ``telling``: none may stay at rest."""
        self.progress.updates += telling
        if telling:
            self.liveness.before(self.progress.updates)
        self.movement.before()
        self.optimizer.step()
        ratio = self.movement.ratio()
        if telling:
            self.liveness.after(self.progress.updates)
        self.adapted.tuner.after_step(self.adapted, step)
        self.optimizer.zero_grad(set_to_none=True)
        return ratio

    @torch.no_grad()
    def validate(self, step: int) -> float:
        """Mean loss of the validation rows; of reinforcement their mean reward, negated."""
        assert self.held_out is not None  # noqa: S101  (callers check)
        began = time.monotonic()
        if self.rollouts is not None:
            told = self.rollouts.look()
            self.emit("validation", {"step": step, **told, "seconds": round(time.monotonic() - began, 3)})
            return -float(told["reward"])
        examples = self.held_out.examples()
        size = self.loss.size(examples)
        self.adapted.set_dropout(enabled=False)
        loss, figures = self.compute(self.packs(examples), size, lambda total: None)
        self.adapted.set_dropout(enabled=True)
        seconds = round(time.monotonic() - began, 3)
        self.emit("validation", {"step": step, "loss": loss, **figures, "seconds": seconds})
        return loss

    def look(self, step: int) -> None:
        """Look at the validation loss, and keep the model when it is the best so far."""
        done = self.progress
        loss = self.validate(step)
        done.validations.append(loss)
        if self.recipe.monitored == "loss":
            self.health.validation(step, loss)
        if loss >= done.best_loss:
            done.idle += 1
            return
        done.best_step, done.best_loss, done.idle = step, loss, 0
        if self.recipe.load_best_model_at_end and step < self.total:
            self.write(lambda: self.checkpoints.save_best(step, dict(self.adapted.parameters)), "the best model so far")

    def take_best(self) -> int | None:
        """Put the weights of the lowest validation loss in place; the step they are of, when it is not the last one."""
        done = self.progress
        if not (self.recipe.load_best_model_at_end and done.best_step and done.best_step != done.step):
            return None
        found = self.checkpoints.best(done.best_step)
        if found is None:
            self.warn(f"the model of step {done.best_step}, the best one, is not there any more; the last one is taken")
            return None
        self.adapted.load(found.tensors())
        self.adapted.tuner.after_load(self.adapted)
        return done.best_step

    def refer(self) -> None:
        """Give each example its ``reference``, kept with the checkpoints so that a resumed run has the same numbers."""
        parts = [self.rows] + ([self.held_out] if self.held_out else [])
        known = self.checkpoints.reference()
        if known is None:
            began = time.monotonic()
            self.adapted.set_dropout(enabled=False)
            found = torch.cat([log_probabilities(self.forward, part, self.packs) for part in parts])
            self.adapted.set_dropout(enabled=True)
            self.write(lambda: self.checkpoints.save_reference(found), "the reference's log-probabilities")
            seconds = round(time.monotonic() - began, 3)
            self.emit("log", {"message": "the reference's log-probabilities are known", "seconds": seconds})
            known = found
        give_reference(parts, known)

    def save(self) -> None:
        """Write a checkpoint; a disk that is full costs the checkpoint, not the run."""
        state = {
            "progress": asdict(self.progress),
            "health": self.health.state(),
            "optimizer": self.optimizer.state_dict(),
            "adapter": self.adapted.tuner.state(self.adapted),
            "watch": self.watch.state(),
            "rollouts": [] if self.rollouts is None else self.rollouts.state(self.progress.step),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.where.type == "cuda" else [],
        }
        step = self.progress.step
        if self.write(lambda: self.checkpoints.save(step, dict(self.adapted.parameters), state), "a checkpoint"):
            self.emit("checkpoint", {"step": step})

    def keep(self, step: int, epoch: int) -> None:
        """Keep the model of an epoch's end, where that is wanted; a full disk costs it, not the run."""
        try:
            kept = self.keep_epoch(step, epoch)
        except TrainingError as error:
            self.warn(f"step {step}: the model of epoch {epoch} was not kept: {error}")
            return
        if kept:
            self.emit("log", {"message": f"kept the model of epoch {epoch}", "step": step, "kept_epoch": epoch})

    def restore(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        found, passed = self.checkpoints.newest()
        for fault in passed:
            self.warn(f"a checkpoint was passed over: {fault}")
        if found is None:
            if self.rollouts is not None:
                self.rollouts.restore([], 0)
            return
        state = found.state()
        self.adapted.load(found.tensors())
        self.optimizer.load_state_dict(state["optimizer"])
        self.adapted.tuner.load_state(self.adapted, state["adapter"])
        self.progress = Progress(**state["progress"])
        self.health.restore(state["health"])
        self.watch.restore(state.get("watch", self.watch.state()))
        if self.rollouts is not None:
            self.rollouts.restore(state["rollouts"], found.step)
        torch.set_rng_state(state["random"])
        if self.where.type == "cuda":
            torch.cuda.set_rng_state_all(state["random_cuda"])
        self.emit("log", {"message": f"going on from the checkpoint of step {found.step}", "step": found.step})

    def write(self, action: Callable[[], None], what: str) -> bool:
        """Whether ``action`` could write; if not, the run goes on with a warning."""
        try:
            action()
        except NOT_WRITTEN as error:
            self.warn(f"step {self.progress.step}: {what} could not be written to {self.checkpoints.folder}: {error}")
            return False
        return True

    def warn(self, message: str) -> None:
        """Emit a warning."""
        self.emit("warning", {"message": message})

    def summary(self, *, early: bool, best: int | None) -> dict[str, Any]:
        """What came out."""
        done = self.progress
        found: dict[str, Any] = {
            "steps": done.step,
            "tokens": done.tokens,
            "training_seconds": round(done.seconds, 3),
            "train_loss": sum(done.losses) / len(done.losses),
            "shared_prefix": self.shared and bool(self.recipe.shared_prefix),
            "peak_memory_bytes": peak_memory_bytes(self.where),
        }
        found |= done.validated(best, losses=(self.recipe.monitored == "loss"))
        if early:
            found["stopped_early"] = True
        return found | self.adapted.tuner.summary(self.adapted)
