"""Grade by the score of a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from ftkit.errors import DataError
from ftkit.graders.base import Grader, GraderContext, Pair, Scores, finite, unmet
from ftkit.graders.grade import Grade, GradingError
from ftkit.task import Message

__all__ = ["RewardModelGrader"]


class RewardModelGrader(Grader):
    """Grade by the score that a reward model gives to the answer. ``RFT`` with this grader is RLHF.

    Scores have no absolute scale: only differences between answers to the same prompt are meaningful. No host takes
    this type.
    """

    own: ClassVar[bool] = True

    type: Literal["reward_model"] = "reward_model"
    name: str = "reward_model"
    model: str = Field(min_length=1)
    """The reward model, as :class:`ftkit.Scorer` takes it: ``"local:<id of a run>"`` or ``"local:<folder>"``."""

    @override
    def check(self, setting: GraderContext) -> None:
        if setting.scores is None:
            raise unmet(self, "no reward model can be asked from here")

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        if setting.scores is None:
            raise unmet(self, "no reward model can be asked from here")
        scores = setting.scores
        conversations: list[list[Message]] = [[*sample.prompt, sample.message] for _, sample in pairs]
        if not conversations:
            return []
        try:
            return [_grade(score) for score in scores(self.model, conversations)]
        except DataError:  # one conversation is too long; score the others alone
            return [self._score_alone(scores, one) for one in conversations]

    def _score_alone(self, scores: Scores, conversation: Sequence[Message]) -> Grade:
        try:
            return _grade(*scores(self.model, [conversation]))
        except DataError as error:
            return GradingError("other_error", str(error)).grade


def _grade(score: float) -> Grade:
    try:
        return Grade(finite(score))
    except GradingError as error:
        return error.grade
