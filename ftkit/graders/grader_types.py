"""Every kind of grader, as one type that pydantic tells apart by ``type``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ftkit.graders.function import FunctionGrader
from ftkit.graders.hosted import EvaluatorGrader, LambdaGrader
from ftkit.graders.label_model import LabelModelGrader
from ftkit.graders.multi import MultiGrader
from ftkit.graders.python_code import PythonGrader
from ftkit.graders.reward_model import RewardModelGrader
from ftkit.graders.schema import SchemaGrader
from ftkit.graders.score_model import ScoreModelGrader
from ftkit.graders.string_check import StringCheckGrader
from ftkit.graders.text_similarity import TextSimilarityGrader

__all__ = ["AnyGrader"]

AnyGrader = Annotated[
    StringCheckGrader
    | TextSimilarityGrader
    | ScoreModelGrader
    | LabelModelGrader
    | PythonGrader
    | MultiGrader
    | FunctionGrader
    | SchemaGrader
    | RewardModelGrader
    | LambdaGrader
    | EvaluatorGrader,
    Field(discriminator="type"),
]
