"""Grade by the number that a model answers."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.graders.model_grader import ModelGrader, SamplingParams
from ftkit.schema import JsonOutput

__all__ = ["ScoreModelGrader"]

_STEP = {
    "type": "object",
    "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
    "required": ["description", "conclusion"],
    "additionalProperties": False,
}
_SCORE = JsonOutput(
    name="score",
    json_schema={
        "type": "object",
        "properties": {"steps": {"type": "array", "items": _STEP, "maxItems": 5}, "result": {"type": "number"}},
        "required": ["steps", "result"],
        "additionalProperties": False,
    },
)
"""OpenAI's form, with the reasoning steps before the result."""


class ScoreModelGrader(ModelGrader):
    """Grade by the number that a model answers, clipped to ``range``.

    An answer without a number gives 0 and counts as ``model_grader_parse_error``
    (https://platform.openai.com/docs/guides/graders#score-model-graders).
    """

    type: Literal["score_model"] = "score_model"
    name: str = "score_model"
    range: tuple[float, float] | None = None
    """The lowest and the highest grade; the default is 0 and 1."""
    sampling_params: SamplingParams | None = Field(default=None)
    """Sampling parameters of the model."""

    @model_validator(mode="after")
    def _ordered(self) -> ScoreModelGrader:
        low, high = self.bounds
        if not low < high:
            raise ConfigError(f"range: the lowest grade comes first, but {low:g} is not below {high:g}")
        return self

    @property
    @override
    def bounds(self) -> tuple[float, float]:
        return self.range or (0.0, 1.0)

    @override
    def answer_output(self) -> JsonOutput:
        return _SCORE

    @override
    def read(self, content: Any) -> float:
        number = content.get("result") if isinstance(content, dict) else content
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise self.unread(content)
        low, high = self.bounds
        return min(high, max(low, float(number)))

    def _sampling(self) -> SamplingParams:
        return self.sampling_params or SamplingParams()
