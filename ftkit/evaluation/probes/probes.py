"""Which probes to run."""

from __future__ import annotations

from pydantic import ConfigDict, Field, SkipValidation

from ftkit.data import Dataset
from ftkit.evaluation.probes.canaries import Canary
from ftkit.evaluation.request_runner import EvaluableModel
from ftkit.schema import DeclaredModel

__all__ = ["Probes"]


class Probes(DeclaredModel):
    """What to ask besides the task: ``ft.evaluate(model, test, probes=ft.Probes(train=train))``.

    Probes need answers only, so hosted models are probed too. The divergence from ``base`` and the loss on prose need
    probabilities, which local models give.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    general: bool | int = Field(
        default=True, description="ask ftkit's general set: all questions, or that many, spread over its categories"
    )
    retention: SkipValidation[Dataset | None] = Field(
        default=None, description="your own rows on abilities that must not be lost, with their own task"
    )
    train: SkipValidation[Dataset | None] = Field(
        default=None, description="the rows the model was tuned on, to compare with the held-out rows"
    )
    train_rows: int = Field(
        default=100, ge=1, description="largest number of training rows to ask, spread over the set"
    )
    canaries: tuple[Canary, ...] = Field(default=(), description="from make_canaries, planted among the training rows")
    base: SkipValidation[EvaluableModel | None] = Field(
        default=None, description="the model before tuning, for forgetting and for the divergence on the task's prompts"
    )
    base_rows: int = Field(default=24, ge=1, description="number of prompts for that divergence")
