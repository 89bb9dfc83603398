"""A model gives a label, and some labels pass."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ftkit.errors import ConfigError
from ftkit.graders.model_grader import ModelGrader
from ftkit.schema import JsonOutput

__all__ = ["LabelModelGrader"]


class LabelModelGrader(ModelGrader):
    """1 when the label that a model chooses is one of ``passing_labels``, else 0; an answer that is none of the labels
    gives 0 and is counted as ``model_grader_parse_error``. OpenAI's jobs take it inside ``multi`` alone
    (https://platform.openai.com/docs/guides/graders#label-model-graders).
    """

    type: Literal["label_model"] = "label_model"
    name: str = "label_model"
    labels: tuple[str, ...] = Field(min_length=2)
    """All that the model may choose from."""
    passing_labels: tuple[str, ...] = Field(min_length=1)
    """Those of them that are good."""

    @model_validator(mode="after")
    def _subset(self) -> LabelModelGrader:
        strange = [label for label in self.passing_labels if label not in self.labels]
        if strange:
            raise ConfigError(f"passing_labels: {', '.join(strange)} is not among labels: {', '.join(self.labels)}")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    def wanted(self) -> JsonOutput:
        return JsonOutput(
            name="label",
            json_schema={
                "type": "object",
                "properties": {"label": {"enum": list(self.labels)}},
                "required": ["label"],
                "additionalProperties": False,
            },
        )

    def read(self, said: Any) -> float:
        label = said.get("label") if isinstance(said, dict) else said
        if label not in self.labels:
            raise self.unread(said)
        return float(label in self.passing_labels)
