"""The base class of outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict, ValidationError
from typing_extensions import override

from ftkit.errors import OutputError
from ftkit.schema.frozen_model import FrozenModel
from ftkit.schema.validation_errors import config_error

__all__ = ["Output"]


class Output(FrozenModel, ABC):
    """What a valid answer is. Frozen plain data; ``kind`` names the class.

    Raises:
        ConfigError: a field has an invalid value.
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
        """Describe a valid answer to the model.

        Returns:
            The text for the prompt; empty if there is nothing to say.
        """

    @abstractmethod
    def format(self, value: Any) -> str:
        """Write a wanted answer in its canonical form.

        Args:
            value: the answer as a plain value, or an object of the task's Python class.

        Returns:
            The text, which :meth:`parse` reads back.

        Raises:
            OutputError: ``value`` is not a valid answer.
        """

    @abstractmethod
    def problems(self, text: str) -> list[OutputError]:
        """Return everything that is wrong with a model's text.

        Args:
            text: the text.

        Returns:
            The problems; empty if the text is a valid answer.
        """

    @abstractmethod
    def parse(self, text: str) -> Any:
        """Parse a model's text.

        Args:
            text: the text.

        Returns:
            The answer as a plain value.

        Raises:
            OutputError: the first of :meth:`problems`.
        """

    def fields(self) -> dict[str, dict[str, Any]]:
        """Return the top-level keys of the answer.

        Returns:
            The keys with their JSON Schemas; empty unless the answer is a JSON object.
        """
        return {}

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        # Validated like a new object, which pydantic's own copy is not.
        return type(self)(**{**self.model_dump(), **(update or {})})
