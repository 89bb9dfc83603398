"""V: how many rows there are, and how often they are seen."""

from __future__ import annotations

from collections.abc import Iterator

from ftkit.linting.context import Setting
from ftkit.linting.corpus import Whole
from ftkit.linting.finding import Found
from ftkit.linting.rule import WholeRule
from ftkit.results.number_format import counted

__all__ = ["FewRows", "TooFewRows", "TooManyEpochs"]

_ENOUGH_EPOCHS = ((100, 10), (1_000, 5), (10_000, 3), (None, 2))
"""Rows up to which so many epochs are usual. ftkit's own judgement, on the side of many."""


class TooFewRows(WholeRule):
    """There are fewer than ten usable training rows. Hosts refuse such files (OpenAI:
    https://platform.openai.com/docs/guides/supervised-fine-tuning, "at least 10"), and nothing general is learned.

    With a hosted backend named, H001 says it as an error.
    """

    code = "V001"
    name = "too-few-rows"
    summary = "There are fewer than ten training rows."

    def check(self, whole: Whole) -> Iterator[Found]:
        usable = int(whole.readable[whole.training].sum())
        if usable < 10:
            yield Found(f"{counted(usable, 'usable training row')}; ten is the least")


class FewRows(WholeRule):
    """There are fewer than fifty usable training rows. Fifty to a hundred careful ones are where improvements become
    clear (OpenAI's guide, https://platform.openai.com/docs/guides/supervised-fine-tuning); below, a prompt with
    examples in it often does as well.
    """

    code = "V002"
    name = "few-rows"
    summary = "There are fewer than fifty training rows."
    severity = "info"

    def check(self, whole: Whole) -> Iterator[Found]:
        usable = int(whole.readable[whole.training].sum())
        if 10 <= usable < 50:
            yield Found(f"{usable} usable training rows; fifty to a hundred is where improvements become clear")


class TooManyEpochs(WholeRule):
    """The recipe passes over the rows more often than rows of this number bear: the model learns them by heart. Usual
    are up to 10 epochs below 100 rows, 5 below 1,000, 3 below 10,000, and 2 above.

    Lower ``epochs``, or watch a validation set.
    """

    code = "V003"
    name = "too-many-epochs"
    summary = "There are too many epochs for so many rows."

    def wants(self, setting: Setting) -> str | None:
        return "" if setting.recipe is None else None

    def check(self, whole: Whole) -> Iterator[Found]:
        recipe = whole.setting.recipe
        epochs = getattr(recipe, "epochs", None)
        if not isinstance(epochs, int | float):
            return
        rows = int(whole.readable[whole.training].sum())
        usual = next(most for limit, most in _ENOUGH_EPOCHS if limit is None or rows < limit)
        if epochs > usual:
            yield Found(f"{epochs:g} epochs over {rows:,} rows; up to {usual} are usual for so many")
