"""Grade by the label that a model chooses."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.graders.model_grader import ModelGrader
from ftkit.schema import JsonOutput

__all__ = ["LabelModelGrader"]


class LabelModelGrader(ModelGrader):
    """Grade 1 if a model chooses one of ``passing_labels``, else 0.

    An answer that is not one of the labels gives 0 and counts as ``model_grader_parse_error``. OpenAI's jobs take this
    type only inside ``multi`` (https://platform.openai.com/docs/guides/graders#label-model-graders).
    """

    type: Literal["label_model"] = "label_model"
    name: str = "label_model"
    labels: tuple[str, ...] = Field(min_length=2)
    """The labels that the model chooses from."""
    passing_labels: tuple[str, ...] = Field(min_length=1)
    """The labels that give 1."""

    @model_validator(mode="after")
    def _subset(self) -> LabelModelGrader:
        unknown = [label for label in self.passing_labels if label not in self.labels]
        if unknown:
            raise ConfigError(f"passing_labels: {', '.join(unknown)} is not among labels: {', '.join(self.labels)}")
        return self

    @property
    @override
    def bounds(self) -> tuple[float, float]:
        return 0.0, 1.0

    @override
    def answer_output(self) -> JsonOutput:
        return JsonOutput(
            name="label",
            json_schema={
                "type": "object",
                "properties": {"label": {"enum": list(self.labels)}},
                "required": ["label"],
                "additionalProperties": False,
            },
        )

    @override
    def read(self, content: Any) -> float:
        label = content.get("label") if isinstance(content, dict) else content
        if label not in self.labels:
            raise self.unread(content)
        return float(label in self.passing_labels)
