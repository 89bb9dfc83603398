"""The three kinds of rules: on one row, on variants over all rows, on all rows together."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal

from ftkit.errors import MissingExtraError
from ftkit.extras import check_installed
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.variant_counter import VariantCounter
from ftkit.results.lint_report import Severity

__all__ = ["CorpusRule", "RowRule", "Rule", "VariantRule", "missing_extra"]


class Rule(ABC):
    """A rule on fine-tuning data, under a code that never changes its meaning.

    A rule holds no state between rows: several processes use copies of one object at the same time. It must be
    picklable, as objects of plain classes are.
    """

    code: ClassVar[str]
    """A letter for the family and three digits, e.g. ``D002``."""
    name: ClassVar[str]
    """Words with hyphens, e.g. ``role-order``."""
    summary: ClassVar[str]
    """One line; by default the first line of the docstring."""
    severity: ClassVar[Severity] = "warning"
    fixable: ClassVar[bool] = False
    """Whether ``--fix`` can fix findings without changing what the row means."""
    density_part: ClassVar[Literal["unique", "agreeing", "consistent"] | None] = None
    """Part of the signal density that the rows lower. Rows with errors always count as not usable."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "summary" not in vars(cls) and cls.__doc__:
            cls.summary = cls.__doc__.strip().partition("\n")[0]

    @property
    def explanation(self) -> str:
        """What ``--explain`` prints: why it matters, what is checked, what to do. The docstring, as Markdown."""
        text = inspect.cleandoc(self.__doc__ or "").removeprefix(self.summary).strip()
        return (text or self.summary).replace("``", "`")

    def skip_reason(self, context: LintContext) -> str | None:
        """Say why the rule cannot check this data.

        Args:
            context: what the rows are linted for.

        Returns:
            None if the rule can run. A sentence for the report if it cannot; an empty one if there is nothing to check
            (a rule on preferences, and there are none), which the report does not mention.
        """
        return None


class RowRule(Rule):
    """Checks one row at a time."""

    @abstractmethod
    def check(self, view: RowView, context: LintContext) -> Iterable[RuleFinding]:
        """Find what is wrong with a row.

        Args:
            view: the row.
            context: what the rows are linted for.

        Returns:
            The findings.
        """


class VariantRule(Rule):
    """Counts over all rows in which variants something is written, then reports the rare ones."""

    @abstractmethod
    def observe(self, view: RowView, context: LintContext) -> Iterable[tuple[str, str]]:
        """Name what a row contains.

        Args:
            view: the row, which can be used.
            context: what the rows are linted for.

        Returns:
            Pairs of a key (``"$.date"``) and a variant (``"2026-11-24"``).
        """

    @abstractmethod
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterable[RuleFinding]:
        """Find what is wrong, from the counts.

        Args:
            counter: counts over all rows.
            corpus: all rows.

        Returns:
            The findings.
        """


class CorpusRule(Rule):
    """Checks all rows together, by their features."""

    needs_features: ClassVar[bool] = True
    """Whether it uses :attr:`Corpus.features`, which cost time and memory, or what is derived from them."""
    needs_minhash: ClassVar[bool] = False
    """Whether it compares near-duplicates, which cost further time and memory."""

    @abstractmethod
    def check(self, corpus: Corpus) -> Iterable[RuleFinding]:
        """Find what is wrong.

        Args:
            corpus: all rows.

        Returns:
            The findings.
        """


def missing_extra(module: str, extra: str = "lint") -> str | None:
    """Say why a rule that needs an optional package cannot run.

    Args:
        module: a module of the package.
        extra: the extra of ftkit that installs it.

    Returns:
        A sentence with the install line; None if the package is installed.
    """
    try:
        check_installed(module, extra=extra, needed_for="the rule")
    except MissingExtraError as error:
        return str(error)
    return None
