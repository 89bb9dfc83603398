"""The part of a model's description that decides its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["model_identity"]

_NO_IDENTITY = {"observed", "price", "batch_price"}
"""``observed`` appears only after the first answer; prices change with the catalogue."""


def model_identity(about: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a model's description what its answers depend on, so that kept answers are found again.

    Args:
        about: the description, from ``Model.about()``.

    Returns:
        The description without observations and prices, and for a hosted model without the versions of this machine's
        libraries, which only carry the request.
    """
    left_out = _NO_IDENTITY | ({"versions"} if about.get("host") else set())
    return {name: value for name, value in about.items() if name not in left_out}
