"""Compare a server's tokens with ftkit's before it is asked anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ftkit.errors import ModelError
from ftkit.inference.engine_error import EngineError
from ftkit.inference.vllm.client import VLLMClient
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.task import Message

__all__ = ["check_tokens"]

_TEXT = "Größe:\t12,345 – naïve “café” 你好 🙂\n\n  def f(x):  return x**2  # \u00a0 end \r\n"
_CONVERSATIONS: tuple[list[Message], ...] = (
    [{"role": "user", "content": "How are you?"}],
    [{"role": "user", "content": _TEXT}],
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Is water wet?"}],
    [
        {"role": "user", "content": "Say a."},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "Say b."},
    ],
)
_SHOWN_TOKENS = 24
_PATH = "/tokenize"
_OTHER = "the server of the model gives other tokens than the model"


def check_tokens(client: VLLMClient, model: str, template: ChatTemplate, *, send_template: bool) -> None:
    """Refuse a server whose tokenizer or chat template gives other tokens than ftkit's.

    Args:
        client: calls to the server.
        model: the model's name there.
        template: ftkit's chat template of the same model.
        send_template: send ftkit's template and compare how it is rendered; else the server's own is compared.

    Raises:
        EngineError: tokens differ; shows both. Or the server cannot be asked.
    """
    tokenizer = template.tokenizer
    own = [int(token) for token in tokenizer.encode(_TEXT, add_special_tokens=False)]
    found = _tokens(client, {"model": model, "prompt": _TEXT, "add_special_tokens": False})
    _compare(client, tokenizer, "the same text", own, found)
    for conversation in _CONVERSATIONS:
        try:
            own = template.encode_prompt(conversation).tolist()
        except ModelError:  # e.g. a template that knows no system turn
            continue
        body: dict[str, Any] = {"model": model, "messages": conversation, "add_generation_prompt": True}
        if send_template:
            body["chat_template"] = str(tokenizer.chat_template)
        _compare(client, tokenizer, "the same conversation", own, _tokens(client, body))


def _tokens(client: VLLMClient, body: dict[str, Any]) -> list[int]:
    found = client.post(_PATH, body).get("tokens")
    if not isinstance(found, list) or not all(type(token) is int for token in found):
        message = f"{client.name}: {_PATH} returned no list of token ids, so this is no vLLM server"
        raise EngineError(message, _OTHER)
    return found


def _compare(client: VLLMClient, tokenizer: Any, what: str, own: Sequence[int], found: Sequence[int]) -> None:
    if list(own) == list(found):
        return
    at = next((at for at, (one, other) in enumerate(zip(own, found, strict=False)) if one != other), None)
    first = min(len(own), len(found)) if at is None else at
    begin = max(0, first - _SHOWN_TOKENS // 4)
    raise EngineError(
        f"{client.name} gives other tokens than ftkit for {what}, from token {first} on, so its tokenizer or chat "
        f"template is another one, and its answers would be to other prompts.\n"
        f"  vLLM:  {_shown(tokenizer, found, begin)}\n  ftkit: {_shown(tokenizer, own, begin)}",
        _OTHER,
    )


def _shown(tokenizer: Any, ids: Sequence[int], begin: int) -> str:
    part = [token for token in ids[begin : begin + _SHOWN_TOKENS] if 0 <= token < len(tokenizer)]
    return f"{list(ids[begin : begin + _SHOWN_TOKENS])} = {tokenizer.decode(part)!r}"
