"""Labelled answers of a dataset, with the estimate of the divergence from the reference that KTO compares them with."""

from __future__ import annotations

from dataclasses import replace

from typing_extensions import override

from ftkit.counts import counted, verb
from ftkit.modeling.tokenized_example import Example
from ftkit.training.adapter_modes import ReferenceModel
from ftkit.training.dataloader import TokenRows
from ftkit.training.example_source import Batch, DatasetSource, Evaluation, TrainingContext
from ftkit.training.losses.mismatched_answers import mismatched

__all__ = ["UnpairedSource", "imbalance"]

_ADVISED = (1.0, 4 / 3)
"""Ratio of the weights of all good answers to those of all bad ones (arXiv 2402.01306, equation 8)."""


class UnpairedSource(DatasetSource):
    """Measures, before each step, how far the model has moved on prompts with answers of other rows.

    Args:
        context: what the run trains with.
    """

    def __init__(self, context: TrainingContext) -> None:
        super().__init__(context)
        self._compares = context.recipe.loss_type == "kto"
        self._reference = ReferenceModel(context.adapted, fresh=context.fresh_adapter) if self._compares else None

    @override
    def setup(self) -> None:
        super().setup()
        recipe = self.context.recipe
        note = imbalance(self.context.rows, recipe.desirable_weight, recipe.undesirable_weight)
        if note is not None:
            self.context.warn(note)

    @override
    def prepare(self, step: int) -> Batch:
        epoch, examples = self.rows_of(step)
        return Batch(self._measured(examples, self.context.rows), epoch, {})

    @override
    def evaluate(self) -> Evaluation:
        rows, size = self.context.validation_rows, self.context.recipe.batch_size
        assert rows is not None  # noqa: S101  (callers check)
        examples = rows.examples()
        batches = [self._measured(examples[start : start + size], rows) for start in range(0, len(examples), size)]
        loss, metrics = self.context.computer.evaluate([example for batch in batches for example in batch])
        return Evaluation(loss, {"loss": loss, **metrics})

    def _measured(self, examples: list[Example], rows: TokenRows) -> list[Example]:
        """The examples of a batch with the divergence of the model from the reference."""
        if self._reference is None:
            return examples
        computer, context = self.context.computer, self.context
        others = mismatched(examples, rows, context.recipe.max_length or context.pretrained.max_length)
        now = computer.sequence_logprobs(others)
        with self._reference.active():
            before = computer.sequence_logprobs(others)
        divergence = max(0.0, float((now - before).mean()))
        return [replace(example, divergence=divergence) for example in examples]


def imbalance(rows: TokenRows, desirable_weight: float, undesirable_weight: float) -> str | None:
    """Say that good answers weigh much more than bad ones, or less, and which weights the paper advises.

    Args:
        rows: the training rows.
        desirable_weight: of each good answer.
        undesirable_weight: of each bad answer.

    Returns:
        The warning; None if the weights are within the advised range.
    """
    labels = [label for example in rows.examples() for label in example.labels]
    good = sum(labels)
    bad = len(labels) - good
    if not good or not bad:
        return (
            f"all {counted(len(labels), 'answer')} {verb(len(labels), 'is', 'are')} labelled as "
            f"{'good' if good else 'bad'}; KTO learns a "
            "difference only from answers of both kinds"
        )
    low, high = _ADVISED
    ratio = good * desirable_weight / (bad * undesirable_weight)
    if low <= ratio <= high:
        return None
    one, two = bad * undesirable_weight / good, good * desirable_weight / bad
    return (
        f"{counted(good, 'answer')} {verb(good, 'is', 'are')} labelled as good and {bad:,} as bad, so with "
        "these weights the good ones weigh "
        f"{ratio:.2g} times as much as the bad ones; from 1 to 1.33 times is advised (arXiv 2402.01306). Set "
        f"desirable_weight from {one * low:.3g} to {one * high:.3g}, or undesirable_weight from {two / high:.3g} to "
        f"{two / low:.3g}"
    )
