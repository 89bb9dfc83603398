"""The base of all kinds of output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict, ValidationError

from ftkit.errors import OutputError
from ftkit.schema.frozen_model import FrozenModel
from ftkit.schema.validation_errors import config_error

__all__ = ["Output"]


class Output(FrozenModel, ABC):
    """What a valid answer is. Frozen plain data, told apart by ``kind``.

    Raises:
        ConfigError: the fields make no usable output.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: str

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error(error, type(self), fields) from error

    @abstractmethod
    def describe(self) -> str:
        """The wording for the prompt: says to the model what to answer. Empty when there is nothing to say."""

    @abstractmethod
    def format(self, value: Any) -> str:
        """The canonical text of a wanted answer.

        Raises:
            OutputError: ``value`` is not a valid answer.
        """

    @abstractmethod
    def problems(self, text: str) -> list[OutputError]:
        """Everything that is wrong with a model's text; empty when it is a valid answer."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """The plain value of a model's text.

        Raises:
            OutputError: the first of :meth:`problems`.
        """

    def fields(self) -> dict[str, dict[str, Any]]:
        """The top-level keys of the answer with their JSON Schemas; empty unless the answer is a JSON object."""
        return {}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, validated like a new object (pydantic's own copy would not be)."""
        return type(self)(**{**self.model_dump(), **(update or {})})
