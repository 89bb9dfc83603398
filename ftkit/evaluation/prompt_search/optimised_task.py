"""The task that a search for a prompt returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import PrivateAttr
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.results.prompt_record import PromptRecord
from ftkit.schema.answer_type import AnswerT
from ftkit.task import Task

__all__ = ["OptimisedTask"]


class OptimisedTask(Task[AnswerT]):
    """A task whose instructions and examples :func:`ftkit.optimise_prompt` found.

    It is equal to a plain task with the same fields. The record is not part of its files and its fingerprint; save it
    with ``task.record.save("record.json")``.
    """

    _record: PromptRecord | None = PrivateAttr(None)

    @classmethod
    def of(cls, task: Task[AnswerT], record: PromptRecord) -> OptimisedTask[AnswerT]:
        """Attach the record to a task.

        Args:
            task: the task.
            record: how its prompt was found.

        Returns:
            The task with the record.
        """
        found = cls(**{name: getattr(task, name) for name in Task.model_fields})
        found._answer_type, found._record = task._answer_type, record
        return found

    @property
    def record(self) -> PromptRecord:
        """How the prompt was found, what it was measured to do, and what that cost.

        Raises:
            ConfigError: this is a copy with other fields, to which the record does not apply.
        """
        if self._record is None:
            raise ConfigError("this copy of an optimised task was changed, so it has no record")
        return self._record

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copied = super().model_copy(update=update, deep=deep)
        if copied == self:
            copied._record = self._record
        return copied
