"""The base class of forms of other tools, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from ftkit.errors import ConfigError
from ftkit.interchange.foreign import Document, ForeignResults
from ftkit.registry import Registry
from ftkit.results.report import Report

__all__ = ["FORMS", "InterchangeForm", "written_names"]


class InterchangeForm(ABC):
    """Results of another evaluation tool. A new one is one class, registered in :data:`FORMS`."""

    name: ClassVar[str]
    """What users write: ``"promptfoo"``."""
    suffix: ClassVar[str] = ".json"
    """Suffix of written files."""

    @abstractmethod
    def matches(self, document: Document) -> bool:
        """Say whether a document is of this form.

        Args:
            document: the document.

        Returns:
            Whether its outer structure is.
        """

    @abstractmethod
    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        """Read the answers.

        Args:
            document: the document.
            target: name of the column of the wanted answer, where the form does not say which it is.

        Returns:
            The results of each model and prompt, in order.

        Raises:
            DataError: the document breaks the form; names the place.
        """

    def write(self, report: Report) -> str:
        """Write a report in this form. By default a form is only read.

        Args:
            report: the report.

        Returns:
            The content of the file.

        Raises:
            ConfigError: the form cannot be written, or cannot express the report.
        """
        raise ConfigError(f"reports cannot be written as {self.name}; ftkit only reads this form")


def written_names(report: Report, form: str) -> dict[str, str]:
    """Choose under which names the scores of a report are written, so that reading them again gives the same.

    A score that came from this form gets the name that it had there, before ftkit's own of that name, which is measured
    again by reading. The headline is the first, because the forms have no other sign for it.

    Args:
        report: the report.
        form: name of the form that is written.

    Returns:
        Names in the report by the names that are written.
    """
    known = [metric.name for metric in report.metrics if any(metric.name in row.scores for row in report.rows)]
    known.sort(key=lambda name: name != report.primary)
    taken = {name.removeprefix(f"{form}:") for name in known if name.startswith(f"{form}:")}
    return {name.removeprefix(f"{form}:"): name for name in known if name.startswith(f"{form}:") or name not in taken}


def _check(name: str, item: Any) -> InterchangeForm:
    instance = item() if isinstance(item, type) else item
    if not isinstance(instance, InterchangeForm) or instance.name != name:
        raise ConfigError(f"the form {name!r} must be a subclass of ftkit.interchange.InterchangeForm of this name")
    return instance


FORMS: Registry[InterchangeForm] = Registry(
    "interchange form",
    group="ftkit.interchange",
    built_in={
        "promptfoo": "ftkit.interchange.promptfoo:Promptfoo",
        "openai_evals": "ftkit.interchange.openai_evals:OpenAIEvals",
        "openai_evals_log": "ftkit.interchange.evals_log:EvalsLog",
        "inspect_ai": "ftkit.interchange.inspect_log:InspectAI",
        "lm_eval": "ftkit.interchange.lm_eval:LMEval",
    },
    check=_check,
)
"""All forms by name; packages add theirs under the entry-point group ``ftkit.interchange``."""
