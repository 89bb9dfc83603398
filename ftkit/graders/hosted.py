"""Graders that are at a host already, and only named: nothing here can run them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import Field

from ftkit.graders.base import Grader, Pair, Setting, unmet
from ftkit.graders.grade import Grade

__all__ = ["EvaluatorGrader", "HostGrader", "LambdaGrader"]


class HostGrader(Grader):
    """Base of the graders that one host runs; everywhere else they are refused by name."""

    own: ClassVar[bool] = True
    composable: ClassVar[bool] = False
    host: ClassVar[str]
    """Who runs it, in words."""

    def reads(self) -> None:
        return None

    def check(self, setting: Setting) -> NoReturn:
        raise unmet(self, f"{self.host} runs it, and nobody else can; give a grader that runs here")

    def grade_many(self, pairs: Sequence[Pair], setting: Setting) -> list[Grade]:
        self.check(setting)

    @abstractmethod
    def at_host(self) -> Any:
        """The form in which the host takes it."""


class LambdaGrader(HostGrader):
    """A Lambda function of your account, by which Amazon Bedrock rewards answers
    (https://docs.aws.amazon.com/bedrock/latest/userguide/fine-tuning-openai-apis.html).
    """

    host: ClassVar[str] = "Amazon Bedrock"

    type: Literal["lambda"] = "lambda"
    name: str = "lambda"
    function: str = Field(pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_:$-]+$")
    """Its ARN: ``arn:aws:lambda:us-east-1:123456789012:function:grade``."""

    def at_host(self) -> dict[str, Any]:
        return {"type": "lambda", "lambda": {"function": self.function}}


class EvaluatorGrader(HostGrader):
    """An evaluator of your Fireworks account (https://docs.fireworks.ai, reinforcement fine-tuning)."""

    host: ClassVar[str] = "Fireworks AI"

    type: Literal["evaluator"] = "evaluator"
    name: str = "evaluator"
    evaluator: str = Field(pattern=r"^accounts/[^/]+/evaluators/[^/]+$")
    """``accounts/<account>/evaluators/<name>``."""

    def at_host(self) -> str:
        return self.evaluator
