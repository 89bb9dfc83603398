"""The request for embeddings (OpenAI, API reference, "Create embeddings")."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from ftkit.server.errors import ApiError

__all__ = ["EmbeddingRequest", "invalid_input"]

_MAX_TEXTS = 2_048
"""Most texts of a request, as at OpenAI."""


class EmbeddingRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid")

    model: StrictStr
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: StrictInt | None = Field(default=None, ge=1)
    user: StrictStr | None = None

    @property
    def texts(self) -> list[str]:
        """The texts.

        Raises:
            ApiError: 400 if they are no texts, or one is empty.
        """
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not isinstance(texts, list) or not 0 < len(texts) <= _MAX_TEXTS:
            raise invalid_input(f"expected a text, or 1 to {_MAX_TEXTS:,} texts")
        if not all(isinstance(text, str) for text in texts):
            raise invalid_input(
                "expected texts; token ids of another tokenizer would be other texts here. In LangChain set "
                "check_embedding_ctx_length=False"
            )
        if not all(texts):
            raise invalid_input("a text is empty")
        return texts


def invalid_input(problem: str, param: str = "input") -> ApiError:
    """Return the error for a parameter that cannot be used.

    Args:
        problem: what is wrong.
        param: the parameter.

    Returns:
        An error with status 400.
    """
    return ApiError(400, f"Invalid value for '{param}': {problem}.", param=param, code="invalid_value")
