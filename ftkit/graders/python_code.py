"""Graders that are Python code in a text: OpenAI's ``python``. Foreign code, so it runs in a sandbox."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal

from pydantic import field_validator

from ftkit.errors import ConfigError
from ftkit.graders.base import Grader, Pair, Setting, unmet
from ftkit.graders.grade import Grade
from ftkit.graders.sandbox import check_isolation, run_sandboxed

__all__ = ["PythonGrader"]

_MAX_BYTES = 256_000


class PythonGrader(Grader):
    """What ``def grade(sample: dict, item: dict) -> float`` of ``source`` gives; an exception, or what is no number,
    gives 0 and is counted (https://platform.openai.com/docs/guides/graders#python-graders).

    Runs only where ``Setting.allow_python`` says so, in a sandbox: see ``docs/graders.md``.

    Raises:
        ConfigError: not Python, no function ``grade``, or 256 kB and more.
    """

    type: Literal["python"] = "python"
    name: str = "python"
    source: str
    """The code."""
    image_tag: str | None = None
    """Which of OpenAI's images the code runs in there. Here it sees the packages of this Python, whatever the tag."""

    @field_validator("source")
    @classmethod
    def _defines_grade(cls, source: str) -> str:
        size = len(source.encode())
        if size >= _MAX_BYTES:
            raise ConfigError(f"the code has {size:,} bytes; OpenAI takes less than {_MAX_BYTES:,}")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(f"this is not Python: {error}") from None
        if not any(isinstance(node, ast.FunctionDef) and node.name == "grade" for node in tree.body):
            raise ConfigError("the code defines no grade; write def grade(sample: dict, item: dict) -> float")
        return source

    def reads(self) -> None:
        return None

    def check(self, setting: Setting) -> None:
        if not setting.allow_python:
            raise unmet(
                self,
                "it is Python code, which runs only when you allow it: Setting(allow_python=True), or --allow-python "
                "on the command line",
            )
        check_isolation(setting.isolation)

    def grade_many(self, pairs: Sequence[Pair], setting: Setting) -> list[Grade]:
        self.check(setting)
        return run_sandboxed(
            self.source, pairs, limits=setting.limits, isolation=setting.isolation, workers=setting.workers
        )
