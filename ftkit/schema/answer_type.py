"""The type parameter of tasks, datasets, models and runs: the type of a parsed answer."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypeVar

__all__ = ["AnswerT", "NewAnswerT"]

AnswerT = TypeVar("AnswerT", default=Any)
NewAnswerT = TypeVar("NewAnswerT", default=Any)
"""The answers' type after a change of task."""
