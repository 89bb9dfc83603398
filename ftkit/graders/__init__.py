"""Graders: frozen objects that score answers, with the same JSON as OpenAI's graders."""

from ftkit.graders.base import Ask, Embed, Grader, GraderContext, Isolation, Pair, Scores, SingleGrader
from ftkit.graders.function import FunctionGrader
from ftkit.graders.grade import Grade, GraderError, Sample
from ftkit.graders.hosted import EvaluatorGrader, HostGrader, LambdaGrader
from ftkit.graders.label_model import LabelModelGrader
from ftkit.graders.limits import Limits
from ftkit.graders.loading import grader_of, load_grader
from ftkit.graders.model_grader import GraderMessage, SamplingParams
from ftkit.graders.multi import MultiGrader
from ftkit.graders.python_code import PythonGrader
from ftkit.graders.registry import GRADERS, AnyGrader
from ftkit.graders.reward_model import RewardModelGrader
from ftkit.graders.schema import SchemaGrader
from ftkit.graders.score_model import ScoreModelGrader
from ftkit.graders.string_check import StringCheckGrader
from ftkit.graders.text_similarity import TextSimilarityGrader

Setting = GraderContext
"""Older name of :class:`GraderContext`; removed in the next version."""

__all__ = [
    "GRADERS",
    "AnyGrader",
    "Ask",
    "Embed",
    "EvaluatorGrader",
    "FunctionGrader",
    "Grade",
    "Grader",
    "GraderContext",
    "GraderError",
    "GraderMessage",
    "HostGrader",
    "Isolation",
    "LabelModelGrader",
    "LambdaGrader",
    "Limits",
    "MultiGrader",
    "Pair",
    "PythonGrader",
    "RewardModelGrader",
    "Sample",
    "SamplingParams",
    "SchemaGrader",
    "ScoreModelGrader",
    "Scores",
    "Setting",
    "SingleGrader",
    "StringCheckGrader",
    "TextSimilarityGrader",
    "grader_of",
    "load_grader",
]
