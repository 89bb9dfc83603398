"""Graders that run at a host. ftkit only names them and cannot run them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NoReturn

from pydantic import Field
from typing_extensions import override

from ftkit.graders.base import Grader, GraderContext, Pair, unmet
from ftkit.graders.grade import Grade

__all__ = ["EvaluatorGrader", "HostGrader", "LambdaGrader"]


class HostGrader(Grader):
    """Base of the graders that one host runs. Every other backend refuses them by name."""

    own: ClassVar[bool] = True
    composable: ClassVar[bool] = False
    host: ClassVar[str]
    """Name of the host that runs it, for messages."""

    @override
    def reads(self) -> None:
        return None

    @override
    def check(self, setting: GraderContext) -> NoReturn:
        raise unmet(self, f"only {self.host} can run it; use a grader that runs here")

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        self.check(setting)

    @abstractmethod
    def at_host(self) -> Any:
        """Convert the grader to the form that the host takes.

        Returns:
            JSON data for the request.
        """


class LambdaGrader(HostGrader):
    """A Lambda function of your account that grades answers for Amazon Bedrock.

    Source: https://docs.aws.amazon.com/bedrock/latest/userguide/fine-tuning-openai-apis.html
    """

    host: ClassVar[str] = "Amazon Bedrock"

    type: Literal["lambda"] = "lambda"
    name: str = "lambda"
    function: str = Field(pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_:$-]+$")
    """Its ARN: ``arn:aws:lambda:us-east-1:123456789012:function:grade``."""

    @override
    def at_host(self) -> dict[str, Any]:
        return {"type": "lambda", "lambda": {"function": self.function}}


class EvaluatorGrader(HostGrader):
    """An evaluator of your Fireworks account (https://docs.fireworks.ai, reinforcement fine-tuning)."""

    host: ClassVar[str] = "Fireworks AI"

    type: Literal["evaluator"] = "evaluator"
    name: str = "evaluator"
    evaluator: str = Field(pattern=r"^accounts/[^/]+/evaluators/[^/]+$")
    """``accounts/<account>/evaluators/<name>``."""

    @override
    def at_host(self) -> str:
        return self.evaluator
