"""Distillation from a teacher's answers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from ftkit.error_text import Argument, ErrorText
from ftkit.recipe.base import Recipe

__all__ = ["Distillation"]


class Distillation(Recipe):
    """Distillation: the model learns a teacher's probabilities of each token of the rows' answers (arXiv 1503.02531).

    The rows' answers are best the teacher's own. Its ``top_k`` likeliest tokens at each position are compared with the
    model's probabilities of the same tokens, and all other tokens together as one more. The loss is the mean divergence
    over all tokens of an optimiser step. With rows of general prompts it rehearses what a model could do that will be
    switched off.

    The probabilities come from a local ``teacher``, which is asked once before the first step and then unloaded; or
    from the rows, in a column ``logprobs`` as OpenAI's API and compatible servers return it (``logprobs=True,
    top_logprobs=20``). Teacher and model must have the same tokens.
    """

    loss_class: ClassVar[str | type] = "ftkit.training.losses.distillation:DistillationLoss"
    rows: ClassVar[tuple[str, ...]] = ("demonstrations",)
    rows_hint: ClassVar[str] = ErrorText("name the column of the teacher's answers with ", Argument("target"))
    read_columns: ClassVar[tuple[str, ...]] = ("logprobs",)
    adapter_rate: ClassVar[float] = 5e-4

    kind: Literal["distillation"] = "distillation"
    teacher: str | None = Field(default=None, pattern=r"^local:.+$")
    """The model whose probabilities are learned, on this machine: ``"local:NAME"``. None: the rows carry them."""
    top_k: int = Field(default=20, ge=1)
    """How many of a local teacher's likeliest tokens are kept at each position: 8 bytes of memory each."""
    beta: float = Field(default=0.0, ge=0.0, le=1.0)
    """Which divergence: 0 is the forward KL (cover all that the teacher may say), 1 the reverse KL (only what it is
    likely to say), between them the generalised Jensen-Shannon divergence."""
    nll_weight: float = Field(default=0.0, ge=0.0)
    """Weight of the negative log-likelihood of the rows' answers, which is added to the divergence."""

    @override
    def local_models(self) -> tuple[str, ...]:
        return () if self.teacher is None else (self.teacher,)
