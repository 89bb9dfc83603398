"""Grade by comparing two texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator
from typing_extensions import override

from ftkit.graders.base import SingleGrader
from ftkit.graders.grade import Sample
from ftkit.graders.template import Template

__all__ = ["StringCheckGrader"]


class StringCheckGrader(SingleGrader):
    """Grade 1 if ``input`` passes the comparison with ``reference``, else 0.

    Source: https://platform.openai.com/docs/guides/graders#string-check-graders
    """

    type: Literal["string_check"] = "string_check"
    name: str = "string_check"
    input: str = "{{sample.output_text}}"
    """Template of the text to check."""
    reference: str
    """Template of the text to compare with."""
    operation: Literal["eq", "ne", "like", "ilike"] = "eq"
    """``eq``: equal; ``ne``: not equal; ``like``: ``input`` contains ``reference``; ``ilike``: so, ignoring case."""

    @field_validator("input", "reference")
    @classmethod
    def _is_template(cls, source: str) -> str:
        Template.of(source)
        return source

    @property
    @override
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @override
    def reads(self) -> frozenset[str]:
        return Template.of(self.input).columns | Template.of(self.reference).columns

    @override
    def score(self, item: Mapping[str, Any], sample: Sample) -> float:
        text, wanted = (Template.of(source).render(item, sample) for source in (self.input, self.reference))
        match self.operation:
            case "eq":
                return float(text == wanted)
            case "ne":
                return float(text != wanted)
            case "like":
                return float(wanted in text)
            case "ilike":
                return float(wanted.casefold() in text.casefold())
