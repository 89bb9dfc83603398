"""Graders: what an answer is worth, as frozen objects that are the same thing as OpenAI's JSON."""

from ftkit.graders.base import Ask, Grader, Isolation, Pair, Scores, Setting
from ftkit.graders.function import FunctionGrader
from ftkit.graders.grade import Grade, GraderError, Sample
from ftkit.graders.kinds import AnyGrader
from ftkit.graders.string_check import StringCheckGrader

__all__ = [
    "AnyGrader",
    "Ask",
    "FunctionGrader",
    "Grade",
    "Grader",
    "GraderError",
    "Isolation",
    "Pair",
    "Sample",
    "Scores",
    "Setting",
    "StringCheckGrader",
]
