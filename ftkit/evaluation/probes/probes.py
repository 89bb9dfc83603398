"""Which probes to run."""

from __future__ import annotations

from pydantic import ConfigDict, Field, SkipValidation

from ftkit.data import Dataset
from ftkit.evaluation.probes.canaries import Canary
from ftkit.evaluation.request_runner import Answering
from ftkit.schema import Declared

__all__ = ["Probes"]


class Probes(Declared):
    """What to ask beside the task: ``ft.evaluate(model, test, probes=ft.Probes(train=train))``.

    Only answers are needed, so hosted models are probed too; ``base`` and the loss on plain text need probabilities,
    which only local models give.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    general: bool | int = Field(
        default=True, description="ask ftkit's general set: all 172 questions, or that many, spread over its categories"
    )
    retention: SkipValidation[Dataset | None] = Field(
        default=None, description="rows of your own on what must not be lost, with a task of their own"
    )
    train: SkipValidation[Dataset | None] = Field(
        default=None, description="the rows the model was tuned on: are they answered better than the held-out ones?"
    )
    train_rows: int = Field(default=100, ge=1, description="how many of them to ask at most, spread over the set")
    canaries: tuple[Canary, ...] = Field(default=(), description="from make_canaries, planted among the training rows")
    base: SkipValidation[Answering | None] = Field(
        default=None, description="the model before tuning, for the divergence of the two on the task's prompts"
    )
    base_rows: int = Field(default=24, ge=1, description="prompts for that divergence")
