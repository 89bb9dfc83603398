"""How a prompt was found: the candidates, the rows that each step used, the measurement and the cost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import override

from ftkit.counts import counted
from ftkit.errors import ReportError
from ftkit.named_files import read_small_text
from ftkit.printable import printable
from ftkit.results.number_format import count_text, interval_text, usd_text, value_text
from ftkit.results.report import Comparison, Report
from ftkit.results.result import Result

__all__ = ["AskedModel", "PromptCandidate", "PromptRecord", "RowsUsed"]

_LARGEST_FILE = 1 << 28
"""Bytes of the largest record that is loaded."""


class PromptCandidate(BaseModel):
    """One prompt that was tried on all rows for choosing."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    number: int
    """0 is the prompt that the search started from."""
    parent: int | None
    """Number of the prompt that it was made from."""
    instructions: str
    examples: tuple[dict[str, str], ...]
    score: float
    """Mean score on the rows for choosing; higher is better."""


class RowsUsed(BaseModel):
    """The rows that one part of the search used."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    rows: int
    fingerprint: str
    """Of the rows in order, as ``Dataset.fingerprint``."""


class AskedModel(BaseModel):
    """What a model of the search was asked, and what it cost."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    name: str
    requests: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    """None for a model on this machine, which has no price."""
    price_source: str | None = None


class PromptRecord(Result, BaseModel):
    """How :func:`ftkit.optimise_prompt` found a prompt. ``save("record.json")`` keeps it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)
    result_type: ClassVar[str] = "prompt_record"

    kind: Literal["ftkit.prompt_record"] = "ftkit.prompt_record"
    schema_version: Literal[1] = 1
    created_at: str
    ftkit_version: str
    method: str
    """The library that searched, with its version."""
    seed: int
    metric: str
    stopped: Literal["rounds", "cost", "perfect"]
    """Why the search ended: all rounds were made, the next could have cost more than was allowed, or every row for
    choosing was right."""
    rounds: int
    """Rounds that were made."""
    start: dict[str, Any]
    """The dumped task that the search started from."""
    chosen: int
    """Number of the best candidate on the rows for choosing."""
    candidates: tuple[PromptCandidate, ...]
    learning: RowsUsed
    """Rows that the reflection model saw, and that examples are taken from."""
    choosing: RowsUsed
    """Rows that candidates were compared on."""
    held_out: RowsUsed
    """Rows that only the prompt at the start and the chosen one were asked. The reported values are of these."""
    before: Report | None
    """The prompt at the start, on the rows that were held out. None if ``max_cost`` was used up before."""
    after: Report | None
    """The chosen prompt on the same rows."""
    comparison: Comparison | None
    """None if the search found nothing better than the prompt at the start, or the result was not measured."""
    models: tuple[AskedModel, ...]
    """The model that was asked, and the one that wrote instructions."""
    max_cost: float | None

    @property
    def usd(self) -> float | None:
        """What the search cost in US dollars; None if all models are on this machine."""
        known = [model.usd for model in self.models if model.usd is not None]
        return sum(known) if known else None

    @override
    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=1, allow_nan=False) + "\n"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a record that was saved as ``.json``.

        Args:
            path: the file.

        Returns:
            The record.

        Raises:
            ReportError: the file cannot be read, or is no record.
        """
        try:
            return cls.model_validate_json(read_small_text(path, limit=_LARGEST_FILE))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ReportError(f"{Path(path)}: cannot be read: {why}") from None
        except ValidationError as error:
            raise ReportError(
                f"{Path(path)}: is no record of a search for a prompt: {error.errors()[0]['msg']}"
            ) from None

    @override
    def __str__(self) -> str:
        return printable("\n".join(self._lines()))

    def _lines(self) -> list[str]:
        first, best = self.candidates[0], self.candidates[self.chosen]
        examples = f", {counted(len(best.examples), 'example')}" if best.examples else ""
        measured = [("start", self.before), ("chosen", self.after)][: 1 if self.comparison is None else 2]
        if self.before is None:
            lines = [
                f"Prompt {self.chosen} of {len(self.candidates) - 1}{examples} is the best so far. It was not measured "
                "on rows held out, because answers cost more than their prices allow for and max_cost was used up; "
                "the same with a higher max_cost goes on, and pays for no answer twice."
            ]
        elif self.comparison is None:
            lines = ["Nothing better than the prompt at the start was found."]
        else:
            lines = [f"Prompt {self.chosen} of {len(self.candidates) - 1}{examples}. {self.comparison.sentence}"]
        for label, report in measured:
            if report is None:
                continue
            headline = report.headline
            interval = interval_text(headline.low, headline.high, headline.unit)
            value = value_text(headline.value, headline.unit)
            lines.append(f"- {label}: {headline.name} {value} ({interval}) on {counted(headline.n, 'row')} held out")
        ends = {
            "rounds": "all were made",
            "cost": "the next could have cost too much",
            "perfect": "every row was right",
        }
        lines.append(
            f"- chosen on {count_text(self.choosing.rows)} other rows ({best.score:.3g}; at the start "
            f"{first.score:.3g}), after {counted(self.rounds, 'round')} on {counted(self.learning.rows, 'row')}: "
            f"{ends[self.stopped]}"
        )
        for model in self.models:
            cost = "no price" if model.usd is None else usd_text(model.usd)
            lines.append(
                f"- {model.name}: {counted(model.requests, 'answer')}, {count_text(model.input_tokens)} tokens in and "
                f"{count_text(model.output_tokens)} out: {cost}"
            )
        return lines
