"""A learned reward: the score of a reward model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from ftkit.errors import DataError
from ftkit.graders.base import Grader, Pair, Scores, Setting, finite, unmet
from ftkit.graders.grade import Grade, GradingError
from ftkit.task import Message

__all__ = ["RewardModelGrader"]


class RewardModelGrader(Grader):
    """The score that a reward model gives to the answer after its prompt; with it ``RFT`` is RLHF.

    Scores have no scale of their own: only differences between answers to one prompt mean something. ftkit's own; no
    host takes it.
    """

    own: ClassVar[bool] = True

    type: Literal["reward_model"] = "reward_model"
    name: str = "reward_model"
    model: str = Field(min_length=1)
    """As :class:`ftkit.Scorer` takes it: ``"local:<id of a run>"`` or ``"local:<folder>"``."""

    def check(self, setting: Setting) -> None:
        if setting.scores is None:
            raise unmet(self, "nothing here can ask a reward model")

    def grade_many(self, pairs: Sequence[Pair], setting: Setting) -> list[Grade]:
        if setting.scores is None:
            raise unmet(self, "nothing here can ask a reward model")
        scores = setting.scores
        conversations: list[list[Message]] = [[*sample.prompt, sample.message] for _, sample in pairs]
        if not conversations:
            return []
        try:
            return [_grade(score) for score in scores(self.model, conversations)]
        except DataError:  # one of them is too long; the others still have a score
            return [self._alone(scores, one) for one in conversations]

    def _alone(self, scores: Scores, conversation: Sequence[Message]) -> Grade:
        try:
            return _grade(*scores(self.model, [conversation]))
        except DataError as error:
            return GradingError("other_error", str(error)).grade


def _grade(score: float) -> Grade:
    try:
        return Grade(finite(score))
    except GradingError as error:
        return error.grade
