"""How much a model reasons before it answers."""

from __future__ import annotations

from typing import Literal

__all__ = ["ReasoningEffort"]

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""Values of ``reasoning_effort`` in OpenAI's API. A model takes some of them."""
