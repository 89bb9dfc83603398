"""What a rule is. Each is a small class; see ``ftkit/linting/rules/``."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from ftkit.errors import MissingExtraError
from ftkit.extras import check_installed
from ftkit.linting.counter import Tally
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.results.lint_report import Severity

if TYPE_CHECKING:
    from ftkit.linting.context import Setting
    from ftkit.linting.corpus import Whole

__all__ = ["RowRule", "Rule", "TallyRule", "WholeRule", "not_installed"]


class Rule(ABC):
    """A rule on fine-tuning data, under a code that never changes its meaning.

    A rule holds no state between rows: the same object looks at rows in several processes at once. It must be
    picklable, which a plain class is.
    """

    code: ClassVar[str]
    """A letter for the family and three digits: ``D002``."""
    name: ClassVar[str]
    """In words, with hyphens: ``role-order``."""
    summary: ClassVar[str]
    """One line."""
    severity: ClassVar[Severity] = "warning"
    fixable: ClassVar[bool] = False
    """Whether ``--fix`` can mend it without changing what the row means."""
    hurts: ClassVar[str | None] = None
    """Which part of the signal density the rows count against: ``unique``, ``agreeing`` or ``consistent``; rows with
    errors always count as not usable."""

    @property
    def explanation(self) -> str:
        """What ``--explain`` prints: why it matters, what is looked at, what to do. The docstring, as Markdown."""
        return inspect.cleandoc(self.__doc__ or self.summary).replace("``", "`")

    def wants(self, setting: Setting) -> str | None:
        """Why the rule cannot look at this data, a sentence for the report; None when it can.

        An empty sentence means that there is nothing to look at (a rule on preferences, and there are none): not worth
        a word.
        """
        return None


class RowRule(Rule):
    """Looks at one row at a time."""

    @abstractmethod
    def check(self, seen: Seen, setting: Setting) -> Iterable[Found]:
        """What is wrong with the row."""


class TallyRule(Rule):
    """Counts ways of doing something over all rows, and then speaks of the rare ones."""

    @abstractmethod
    def observe(self, seen: Seen, setting: Setting) -> Iterable[tuple[str, str]]:
        """Pairs of what is done (``"$.date"``) and how (``"2026-11-24"``)."""

    @abstractmethod
    def judge(self, tally: Tally, whole: Whole) -> Iterable[Found]:
        """What is wrong, from the counts."""


class WholeRule(Rule):
    """Looks at the compact facts of all rows at once."""

    needs_sketches: ClassVar[bool] = False
    """Whether it compares sketches of texts (MinHash), which cost time and memory."""

    @abstractmethod
    def check(self, whole: Whole) -> Iterable[Found]:
        """What is wrong."""


def not_installed(module: str, extra: str = "lint") -> str | None:
    """Why a rule that stands on ``module`` cannot look; None when it is installed."""
    try:
        check_installed(module, extra=extra, needed_for="the rule")
    except MissingExtraError as error:
        return str(error)
    return None
