"""V: number of rows, and of epochs."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import override

from ftkit.counts import counted
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.rule import CorpusRule

_USUAL_EPOCHS = ((100, 10), (1_000, 5), (10_000, 3), (None, 2))
"""Number of rows below which so many epochs are usual at most. ftkit's own, generous choice."""


class TooFewRows(CorpusRule):
    """There are fewer than ten training rows.

    There are fewer than ten usable training rows. Hosts refuse such files (OpenAI:
    https://platform.openai.com/docs/guides/supervised-fine-tuning, "at least 10"), and the model does not
    generalise.

    If a hosted backend is named, H001 reports it as an error.
    """

    code = "V001"
    name = "too-few-rows"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        usable = int(corpus.readable[corpus.training].sum())
        if usable < 10:
            yield RuleFinding(f"{counted(usable, 'usable training row')}; ten is the minimum")


class FewRows(CorpusRule):
    """There are fewer than fifty training rows.

    There are fewer than fifty usable training rows. Improvements become clear with fifty to a hundred good rows
    (OpenAI's guide, https://platform.openai.com/docs/guides/supervised-fine-tuning). With fewer, few-shot examples
    in the prompt often work as well.
    """

    code = "V002"
    name = "few-rows"
    severity = "info"

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        usable = int(corpus.readable[corpus.training].sum())
        if 10 <= usable < 50:
            yield RuleFinding(f"{usable} usable training rows; improvements become clear with fifty to a hundred")


class TooManyEpochs(CorpusRule):
    """There are too many epochs for the number of rows.

    The recipe has too many epochs for the number of rows, so the model memorises them. Usual are up to 10 epochs
    below 100 rows, 5 below 1,000, 3 below 10,000, and 2 above.

    Reduce ``epochs``, or use validation rows.
    """

    code = "V003"
    name = "too-many-epochs"

    @override
    def skip_reason(self, context: LintContext) -> str | None:
        return "" if context.recipe is None else None

    @override
    def check(self, corpus: Corpus) -> Iterator[RuleFinding]:
        recipe = corpus.context.recipe
        epochs = getattr(recipe, "epochs", None)
        if not isinstance(epochs, int | float):
            return
        rows = int(corpus.readable[corpus.training].sum())
        usual = next(maximum for limit, maximum in _USUAL_EPOCHS if limit is None or rows < limit)
        if epochs > usual:
            yield RuleFinding(f"{epochs:g} epochs over {counted(rows, 'row')}; up to {usual} are usual for that number")
