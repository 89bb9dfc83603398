"""Every kind of grader, as one type that pydantic tells apart by ``type``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ftkit.graders.function import FunctionGrader
from ftkit.graders.string_check import StringCheckGrader

__all__ = ["AnyGrader"]

AnyGrader = Annotated[StringCheckGrader | FunctionGrader, Field(discriminator="type")]
