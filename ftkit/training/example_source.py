"""Where the training loop gets the examples of each step from.

The loop asks an :class:`ExampleSource` for each step's examples and knows nothing else of where they come from: from
the rows (:class:`DatasetSource`), or from answers that the model samples during training
(:class:`~ftkit.training.rollouts.RolloutSource`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from typing_extensions import override

from ftkit.data import Dataset
from ftkit.graders import GraderContext
from ftkit.modeling.pretrained import Pretrained
from ftkit.modeling.tokenized_example import Example
from ftkit.training.adapters.adapted_model import AdaptedModel
from ftkit.training.checkpoint import Checkpoints
from ftkit.training.dataloader import TokenRows
from ftkit.training.loss_computer import LossComputer
from ftkit.training.losses import Loss

__all__ = ["Batch", "DatasetSource", "Emit", "Evaluation", "ExampleSource", "TrainingContext"]

Emit = Callable[[str, dict[str, Any]], None]
"""Takes an event's kind and its data, see :class:`ftkit.store.Event`."""


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """What a run trains with.

    Attributes:
        recipe: resolved.
        loss: computes the recipe's loss.
        pretrained: the model with its tokenizer.
        adapted: the same model with its trainable part.
        computer: computes batches with it.
        data: training rows.
        rows: the training rows in tokens.
        validation: validation rows, if any.
        validation_rows: the validation rows in tokens.
        rehearsal: rows that the run rehearses, if the recipe has a ``preserve``.
        checkpoints: the run's checkpoints.
        emit: takes the run's events.
        grader_context: what a grader may use.
        samples_file: where sampled answers are logged.
        fresh_adapter: whether the adapter adds nothing to the model yet.
    """

    recipe: Any
    loss: Loss[Any]
    pretrained: Pretrained
    adapted: AdaptedModel
    computer: LossComputer
    data: Dataset
    rows: TokenRows
    validation: Dataset | None
    validation_rows: TokenRows | None
    checkpoints: Checkpoints
    emit: Emit
    grader_context: GraderContext = field(default_factory=GraderContext)
    samples_file: Path = Path("samples.jsonl")
    fresh_adapter: bool = True
    rehearsal: Dataset | None = None

    def warn(self, message: str) -> None:
        """Emit a warning.

        Args:
            message: one or more sentences.
        """
        self.emit("warning", {"message": message})


class Batch(NamedTuple):
    """The examples of one optimiser step.

    Attributes:
        examples: what the loss is computed of; may be empty where a step has nothing to learn from.
        epoch: the pass over the rows, from 0.
        metrics: what else goes into the step's event.
    """

    examples: list[Example]
    epoch: int
    metrics: Mapping[str, Any]


class Evaluation(NamedTuple):
    """An evaluation of the validation rows.

    Attributes:
        objective: what should fall: the mean loss, or the mean reward, negated.
        metrics: what goes into the event.
    """

    objective: float
    metrics: Mapping[str, Any]


class ExampleSource(ABC):
    """Makes the examples of each step. A strategy of the training loop.

    Args:
        context: what the run trains with.

    Attributes:
        steps_per_batch: optimiser steps on the same rows of the training data.
    """

    steps_per_batch: int = 1

    def __init__(self, context: TrainingContext) -> None:
        self.context = context
        self._epoch = -1
        self._batches: list[list[Example]] = []

    def setup(self) -> None:  # noqa: B027
        """Prepare the run while the model has its initial weights, before a checkpoint is restored."""

    def start(self) -> None:  # noqa: B027
        """Act before the first step; not called when a run resumes."""

    def close(self) -> None:  # noqa: B027
        """End what the source has started; called when the run ends, however it ends. Closing twice does nothing."""

    @abstractmethod
    def prepare(self, step: int) -> Batch:
        """Make the examples of a step.

        Args:
            step: the optimiser step, from 1.

        Returns:
            The step's batch.
        """

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows."""
        return self.context.validation_rows is not None

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Evaluate the current model on the validation rows.

        Returns:
            The objective and its metrics.
        """

    def state(self, step: int) -> Any:
        """Return what a checkpoint must hold for :meth:`prepare` to repeat the steps after it.

        Args:
            step: the last step done.

        Returns:
            Plain data and tensors; by default nothing, because everything follows from the seed and the step.
        """
        return []

    def load_state(self, state: Any, step: int) -> None:  # noqa: B027
        """Restore what :meth:`state` returned.

        Args:
            state: from a checkpoint, or ``[]`` when the run begins.
            step: the last step done; 0 when the run begins.
        """

    def rows_of(self, step: int) -> tuple[int, list[Example]]:
        """Return the tokenised rows of a step, in the shuffled order of its epoch.

        Args:
            step: the optimiser step, from 1.

        Returns:
            The epoch, from 0, and the examples.
        """
        rows, recipe = self.context.rows, self.context.recipe
        per_epoch = -(-len(rows.rows) // recipe.batch_size)
        epoch, number = divmod((step - 1) // self.steps_per_batch, per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, list(rows.batches(epoch, recipe.batch_size, recipe.seed))
        return epoch, self._batches[number]


class DatasetSource(ExampleSource):
    """The rows themselves are the examples."""

    @override
    def setup(self) -> None:
        context = self.context
        if not context.recipe.needs_reference:
            return
        parts = [part for part in (context.rows, context.validation_rows) if part is not None]
        known = context.computer.workers.from_first(context.checkpoints.reference)
        if known is None:
            began = time.monotonic()
            computed = torch.cat([context.computer.sequence_logprobs(part.examples()) for part in parts])
            context.checkpoints.try_write(
                lambda: context.checkpoints.save_reference(computed),
                "step 0: the reference's log-probabilities",
                context.warn,
            )
            seconds = round(time.monotonic() - began, 3)
            context.emit("log", {"message": "computed the reference's log-probabilities", "seconds": seconds})
            known = computed
        _set_references(parts, known)

    @override
    def prepare(self, step: int) -> Batch:
        epoch, examples = self.rows_of(step)
        return Batch(examples, epoch, {})

    @override
    def evaluate(self) -> Evaluation:
        assert self.context.validation_rows is not None  # noqa: S101  (callers check)
        loss, metrics = self.context.computer.evaluate(self.context.validation_rows.examples())
        return Evaluation(loss, {"loss": loss, **metrics})


def _set_references(parts: Sequence[TokenRows], values: torch.Tensor) -> None:
    """Put the log-probability of each sequence, in the order of the rows, into the examples."""
    of_sequences = iter(values.tolist())
    for part in parts:
        for examples in part.rows:
            examples[:] = [
                replace(example, reference=tuple(next(of_sequences) for _ in example.sequences)) for example in examples
            ]
