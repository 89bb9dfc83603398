"""The request for a completion of the older API (OpenAI, API reference, "Create completion")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from ftkit.server.chat.request import ChatRequest, StreamOptions
from ftkit.server.errors import ApiError
from ftkit.server.request_body import refuse_extra, validate_body

__all__ = ["PARAMS", "TextRequest"]

_Number = StrictFloat | StrictInt

_NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {"suffix": ("",)}
_MAX_PROMPTS = 128
_MAX_ANSWERS = 128
_DEFAULT_TOKENS = 16
"""``max_tokens`` of a request that gives none, as at OpenAI."""
PARAMS = {"messages": "prompt", "top_logprobs": "logprobs"}
"""Names of this API for parameters of chat completions, for messages."""


class TextRequest(BaseModel):
    """The body of a request. :meth:`check` refuses all other parameters."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: StrictStr
    prompt: Any
    max_tokens: StrictInt | None = Field(default=None, ge=1)
    n: StrictInt | None = Field(default=None, ge=1, le=_MAX_ANSWERS)
    best_of: StrictInt | None = Field(default=None, ge=1, le=_MAX_ANSWERS)
    echo: StrictBool | None = None
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    logprobs: StrictInt | None = Field(default=None, ge=0, le=5)
    temperature: _Number | None = None
    top_p: _Number | None = None
    seed: StrictInt | None = None
    stop: Any = None
    frequency_penalty: _Number | None = None
    presence_penalty: _Number | None = None
    logit_bias: dict[StrictStr, _Number] | None = None
    user: StrictStr | None = None

    @property
    def prompts(self) -> list[str]:
        """The prompts.

        Raises:
            ApiError: 400 if they are no texts.
        """
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if not isinstance(prompts, list) or not 0 < len(prompts) <= _MAX_PROMPTS:
            raise _invalid("prompt", f"expected a text, or 1 to {_MAX_PROMPTS} texts")
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise _invalid("prompt", "expected texts; token ids of another tokenizer would be other texts here")
        return prompts

    def check(self) -> None:
        """Refuse what would have no effect.

        Raises:
            ApiError: 400 if a parameter is unknown or unsupported.
        """
        refuse_extra(self.model_extra or {}, _NEUTRAL_VALUES)
        if self.best_of not in (None, self.n or 1):
            raise _invalid("best_of", "this server does not choose among answers; leave it out")
        if len(self.prompts) * (self.n or 1) > _MAX_ANSWERS:
            raise _invalid("n", f"prompts times n may be at most {_MAX_ANSWERS}")
        if self.stream_options is not None and not self.stream:
            raise _invalid("stream_options", "it needs stream to be true")
        if self.echo and self.logprobs is not None:
            raise _invalid("echo", "this server gives no log-probabilities of a prompt; leave out echo or logprobs")

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def with_obfuscation(self) -> bool:
        """Whether the chunks of a stream are padded."""
        return bool(self.stream_options and self.stream_options.include_obfuscation)

    def chat_request(self, prompt: str) -> ChatRequest:
        """Write the request for a chat completion that asks one prompt.

        Args:
            prompt: the prompt.

        Returns:
            The request.

        Raises:
            ApiError: 400 if a parameter is out of range.
        """
        same = ("n", "stream", "temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty")
        body: dict[str, Any] = {name: getattr(self, name) for name in (*same, "logit_bias")}
        body |= {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        body |= {"max_tokens": self.max_tokens or _DEFAULT_TOKENS}
        if self.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": self.logprobs}
        return validate_body(ChatRequest, body)


def _invalid(param: str, problem: str) -> ApiError:
    return ApiError(400, f"Invalid value for '{param}': {problem}.", param=param, code="invalid_value")
