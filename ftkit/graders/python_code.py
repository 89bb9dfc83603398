"""Grade by Python source code: OpenAI's ``python`` grader. The code is untrusted, so it runs in a sandbox."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.graders.base import Grader, GraderContext, Pair, unmet
from ftkit.graders.grade import Grade
from ftkit.graders.sandbox import check_isolation, run_sandboxed

__all__ = ["PythonGrader"]

_MAX_BYTES = 256_000


class PythonGrader(Grader):
    """Grade with the function ``def grade(sample: dict, item: dict) -> float`` that ``source`` defines.

    An exception, or a result that is not a number, gives 0 and is counted. The code runs only if
    ``GraderContext.allow_python`` is on, and in a sandbox: see ``docs/graders.md``. Source:
    https://platform.openai.com/docs/guides/graders#python-graders

    Raises:
        ConfigError: the source is not Python, defines no function ``grade``, or has 256 kB or more.
    """

    type: Literal["python"] = "python"
    name: str = "python"
    source: str
    """The code."""
    image_tag: str | None = None
    """The image that OpenAI runs the code in. Here the code sees the packages of this Python, whatever the tag."""

    @field_validator("source")
    @classmethod
    def _defines_grade(cls, source: str) -> str:
        size = len(source.encode())
        if size >= _MAX_BYTES:
            raise ConfigError(f"the code has {size:,} bytes; the limit, which is OpenAI's, is {_MAX_BYTES:,}")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"this is not Python: {error}") from None
        if not any(isinstance(node, ast.FunctionDef) and node.name == "grade" for node in tree.body):
            raise ConfigError("the code defines no function grade; write def grade(sample: dict, item: dict) -> float")
        return source

    @override
    def reads(self) -> None:
        return None

    @override
    def check(self, setting: GraderContext) -> None:
        if not setting.allow_python:
            raise unmet(
                self,
                "it is Python code, which runs only if you allow it: allow_python=True, or --allow-python "
                "on the command line",
            )
        check_isolation(setting.isolation)

    @override
    def grade_many(self, pairs: Sequence[Pair], setting: GraderContext) -> list[Grade]:
        self.check(setting)
        return run_sandboxed(
            self.source, pairs, limits=setting.limits, isolation=setting.isolation, workers=setting.workers
        )
