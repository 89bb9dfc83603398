"""A model gives the score."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

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
"""OpenAI's form, with the steps first, so that the number follows from them."""


class ScoreModelGrader(ModelGrader):
    """The number that a model answers, clipped to ``range``; no number gives 0 and is counted as
    ``model_grader_parse_error`` (https://platform.openai.com/docs/guides/graders#score-model-graders).
    """

    type: Literal["score_model"] = "score_model"
    name: str = "score_model"
    range: tuple[float, float] | None = None
    """The lowest and the highest grade; 0 and 1 when left out."""
    sampling_params: SamplingParams | None = Field(default=None)
    """How the model is drawn from."""

    @model_validator(mode="after")
    def _ordered(self) -> ScoreModelGrader:
        low, high = self.bounds
        if not low < high:
            raise ConfigError(f"range: the lowest grade comes first, and {low:g} is not below {high:g}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        return self.range or (0.0, 1.0)

    def wanted(self) -> JsonOutput:
        return _SCORE

    def read(self, said: Any) -> float:
        number = said.get("result") if isinstance(said, dict) else said
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise self.unread(said)
        low, high = self.bounds
        return min(high, max(low, float(number)))

    def _drawn(self) -> SamplingParams:
        return self.sampling_params or SamplingParams()
