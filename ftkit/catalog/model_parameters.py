"""Facts about the request parameters that a hosted model takes: reasoning, sampling, and the API that it needs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ftkit.catalog.fact import Fact
from ftkit.task.reasoning_effort import ReasoningEffort

__all__ = ["Api", "ModelParameters", "Parameter"]

Api = Literal["chat", "responses"]
"""``/chat/completions`` or ``/responses``."""

Parameter = Literal["temperature", "top_p", "seed", "tools"]
"""Request parameters that ftkit sends, and that some models do not take."""


class ModelParameters(Fact):
    """Which request parameters a model takes, and how its maker advises to ask it."""

    key_fields = ("provider", "model")

    provider: str
    model: str
    """Id of the model; ``"*"`` for every model of the provider without a row of its own."""
    efforts: tuple[ReasoningEffort, ...] = ()
    """Values of ``reasoning_effort`` that it takes; empty if it does not reason, or not by request."""
    default_effort: ReasoningEffort | None = None
    """Effort of a request that names none."""
    advised_effort: ReasoningEffort | None = None
    """Effort with which its maker advises to start. ftkit sends it unless the user writes another."""
    effort_requests: dict[ReasoningEffort, dict[str, Any]] = Field(default={})
    """By effort: fields of the request that set it, where it is not ``reasoning_effort``."""
    refuses: tuple[Parameter, ...] = ()
    """Parameters that it refuses or ignores."""
    refuses_while_reasoning: tuple[Parameter, ...] = ()
    """Parameters that it refuses or ignores unless the effort is ``"none"``."""
    api: Api = "chat"
    """The API that it needs."""
    tools_need_responses: bool = False
    """Whether chat completions take tools only at the effort ``"none"``, and the Responses API at every effort."""
    reasoning_reserve: int = Field(default=25_000, gt=0)
    """Tokens to reserve for reasoning if the user sets no limit."""

    @model_validator(mode="after")
    def _check(self) -> ModelParameters:
        for name in ("default_effort", "advised_effort"):
            effort = getattr(self, name)
            if effort is not None and effort not in self.efforts:
                raise ValueError(f"{name} {effort!r} is not among efforts")
        unknown = [effort for effort in self.effort_requests if effort not in self.efforts]
        if unknown:
            raise ValueError(f"effort_requests: {unknown[0]!r} is not among efforts")
        return self

    def effort(self, written: ReasoningEffort | None) -> ReasoningEffort | None:
        """Return the effort at which the model answers.

        Args:
            written: the effort that the user wrote, or None.

        Returns:
            The user's, else the advised one, else the model's default; None if the model does not reason by request.
        """
        return written or self.advised_effort or self.default_effort

    def reasons(self, written: ReasoningEffort | None) -> bool:
        """Return whether the model reasons before it answers.

        Args:
            written: the effort that the user wrote, or None.

        Returns:
            Whether the effort is one other than ``"none"``.
        """
        return self.effort(written) not in (None, "none")

    def not_taken(self, written: ReasoningEffort | None) -> frozenset[Parameter]:
        """List the parameters that the model refuses or ignores.

        Args:
            written: the effort that the user wrote, or None.

        Returns:
            Their names.
        """
        return frozenset(self.refuses + (self.refuses_while_reasoning if self.reasons(written) else ()))
