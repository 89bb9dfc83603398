"""How training keeps what a model can do besides the task."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import override

from ftkit.recipe.field_docs import with_fields
from ftkit.schema import DeclaredModel

__all__ = ["GENERAL", "MaybePreserve", "Preserve"]

GENERAL = "general"
"""Name of the rehearsal prompts that ftkit ships."""


class Preserve(DeclaredModel):
    """Train on a task without harm to the rest: rehearsal, a divergence penalty, and a budget that is enforced.

    Each optimiser step also computes some general prompts with the answers of the model as it was before the first
    step. On these answers KL(before ‖ now) over the whole vocabulary is added to the loss (as in Learning without
    Forgetting, Li and Hoiem 2016, arXiv 1606.09282, with rehearsal prompts in place of the task's inputs). The same
    divergence on held-out prompts is measured at every evaluation and compared with ``budget``. With ``QLoRA`` the
    model before is the quantised one: what quantisation itself costs is not in the figure.
    """

    rows: str = GENERAL
    """Prompts to rehearse: ``"general"``, which ftkit ships, or a file of conversations in any form that
    :meth:`ftkit.Dataset.load` reads. Where a row has no answer, the model itself answers it before the first step."""
    share: float = Field(default=0.5, gt=0.0, le=4.0)
    """Rehearsed rows for each training row."""
    max_rows: int = Field(default=256, ge=1)
    """Most rows that are rehearsed; more of the file are not read by the model. Held-out rows come in addition."""
    max_output_tokens: int = Field(default=32, ge=1)
    """Longest answer of the model to a rehearsal prompt; longer ones are cut off, and an answer of the file too."""
    kl: float = Field(default=0.5, ge=0.0, le=1e4)
    """Weight of the divergence, in nats per token, beside the loss of the task; 0 leaves it out. With ``budget`` it is
    doubled at each evaluation above the budget."""
    kl_on: Literal["rehearsal", "task", "both"] = "rehearsal"
    """What the divergence is computed on: answers to the rehearsal prompts, the prompts of the task's own rows, or
    both. ``"task"`` needs a pass of the model as it was for each batch, and rehearses only with ``sft`` above 0."""
    sft: float | None = Field(default=None, ge=0.0, le=1e4)
    """Weight of the mean negative log-likelihood of the rehearsed answers. ``None`` is 1 for answers of the file, and 0
    for those of the model itself: its own distribution says more than the tokens it chose."""
    budget: float | None = Field(default=0.1, gt=0.0)
    """Largest KL(before ‖ now) on held-out rehearsal prompts, in nats per token. Only a model within it can be the
    result, and a run that is twenty times above it is stopped. ``None`` measures it and enforces nothing."""
    interpolate: bool = True
    """Move a result above ``budget`` back towards the model as it was, until it is within it: of the trained update the
    largest share is kept that fits (weight-space interpolation, WiSE-FT, arXiv 2109.01903). ``False`` takes the best
    evaluated model within the budget, and stops a run that stays above it."""
    held_out: int = Field(default=24, ge=4)
    """Rehearsal prompts that are never trained on and measure the divergence."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        with_fields(cls)

    @override
    def model_post_init(self, context: Any) -> None:
        if self.kl == 0 and self.sft == 0 and self.budget is None:
            raise ValueError("kl and sft are 0 and budget is None: nothing would be preserved; leave preserve out")
        if not self.rows.strip():
            raise ValueError(f'rows is empty; write "{GENERAL}" or the name of a file')


with_fields(Preserve)


def _read(value: object) -> object:
    """``True`` is the defaults and ``False`` nothing, as YAML and the command line write them."""
    if value is True:
        return Preserve()
    return None if value is False else value


MaybePreserve = Annotated[Preserve | None, BeforeValidator(_read)]
"""How to preserve, or None."""
