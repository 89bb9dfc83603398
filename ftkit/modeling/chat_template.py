"""Conversations into tokens: one rendering for training, evaluation and serving.

The model's chat template writes the whole conversation once. The text is cut where each assistant turn begins and ends,
the pieces are tokenised one by one, and both the ids and the loss mask come from those same pieces. A prompt is cut at
the same places, so what the model is asked later is token for token what it was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ftkit.errors import DataError, ModelError, Place
from ftkit.files import canonical_digest
from ftkit.modeling.text_encoder import TextEncoder
from ftkit.modeling.tokenized_example import Bools, Ints, TokenizedConversation
from ftkit.task import Message

__all__ = ["PLAIN_TEMPLATE", "ChatTemplate", "template_hash"]

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '### ' + message['role'] + '\n' + message['content'] + eos_token + '\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '### assistant\n' }}{%- endif -%}"
)
"""Given to tokenizers that bring no chat template (plain base models); saved with the tuned model like any other."""


def template_hash(tokenizer: Any) -> str:
    """``sha256:…`` of a tokenizer's chat template; training and serving must agree on it."""
    return canonical_digest(str(tokenizer.chat_template))


class _HistoryRewrittenError(Exception):
    """The template shows earlier turns differently once later ones follow, as those of reasoning models do."""


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    turn: int | None  # index of the assistant message this is, or None


class ChatTemplate:
    """Turns conversations into tokens with a tokenizer's chat template.

    Args:
        tokenizer: a transformers tokenizer; one without a chat template gets :data:`PLAIN_TEMPLATE`.
        stop_ids: further token ids that end a turn, e.g. from the model's generation config.
    """

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer)
        if tokenizer.chat_template is None:
            if tokenizer.eos_token is None:
                raise ModelError("the tokenizer has neither a chat template nor an end-of-sequence token")
            tokenizer.chat_template = PLAIN_TEMPLATE
        self._special = set(tokenizer.all_special_ids) | set(stop_ids)
        self.stop_ids = tuple(sorted({self._end_of_turn(), *stop_ids, *self._eos()}))

    @property
    def template_hash(self) -> str:
        """See :func:`template_hash`."""
        return template_hash(self.tokenizer)

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None = None) -> Ints:
        """Token ids [T] of the conversation so far, up to where the assistant's next turn begins."""
        return np.concatenate([self._encode(piece.text) for piece in self._prompt(messages, tools)])

    def encode_examples(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        place: Place | None = None,
    ) -> list[TokenizedConversation]:
        """The conversation as training sequences, its assistant turns supervised unless their ``weight`` is 0.

        One sequence, except where the template rewrites history: then one for each supervised turn, each as the model
        would be asked for it.

        Raises:
            DataError: no supervised token, tool calls the template leaves out, or a turn without an end.
            ModelError: the template cannot be followed.
        """
        asked = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and m.get("weight", 1) != 0]
        if not asked:
            raise DataError("no assistant turn to learn from (none there, or all of weight 0)", place=place)
        self._check_tools(messages, tools, place)
        upto = messages[: asked[-1] + 1]
        try:
            return [self._example(self._pieces(upto, tools), set(asked), place)]
        except _HistoryRewrittenError:
            return [self._example(self._last_turn(messages[: i + 1], tools), {i}, place) for i in asked]

    def encode_answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        place: Place | None = None,
    ) -> TokenizedConversation:
        """The conversation with its last turn supervised, the answer, and no earlier one.

        Raises:
            DataError, ModelError: see :meth:`encode_examples`.
        """
        earlier = [_unlearnt(message) for message in messages[:-1]]
        last: Message = {**messages[-1], "weight": 1}
        [rendered] = self.encode_examples([*earlier, last], tools, place)
        return rendered

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        answer_next: bool = False,
    ) -> str:
        """What the chat template makes of a conversation; with ``answer_next`` up to where the next answer begins.

        Raises:
            ModelError: the template refuses the conversation.
        """
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [_for_template(message) for message in messages],
                    tools=list(tools) if tools else None,
                    tokenize=False,
                    add_generation_prompt=answer_next,
                )
            )
        except Exception as error:  # templates are programs of their own and raise whatever they like
            raise ModelError(f"the model's chat template cannot render this conversation: {error}") from error

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, without its special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _example(self, pieces: Sequence[_Piece], asked: set[int], place: Place | None) -> TokenizedConversation:
        ids: list[Ints] = []
        supervised: list[Bools] = []
        for number, piece in enumerate(pieces):
            tokens = self._encode(piece.text)
            mask = np.zeros(len(tokens), dtype=np.bool_)
            if piece.turn in asked:
                ends = [i for i, token in enumerate(tokens.tolist()) if token in self._special]
                if not ends:
                    raise DataError(
                        f"the chat template puts no end-of-turn token after the assistant's turn {piece.text[-40:]!r}, "
                        "so the model would never learn to stop",
                        place=place,
                        field=f"messages[{piece.turn}]",
                        problem="no_end_of_turn",
                    )
                mask[: ends[-1] + 1] = True
                if number == len(pieces) - 1:  # what the template adds after the last turn is never asked for
                    tokens, mask = tokens[: ends[-1] + 1], mask[: ends[-1] + 1]
            ids.append(tokens)
            supervised.append(mask)
        return TokenizedConversation(np.concatenate(ids), np.concatenate(supervised))

    def _pieces(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None, *, answer_next: bool = False
    ) -> list[_Piece]:
        whole = self.render(messages, tools, answer_next=answer_next)
        pieces: list[_Piece] = []
        done = 0
        for index, message in enumerate(messages):
            if message.get("role") != "assistant":
                continue
            before = self.render(messages[:index], tools, answer_next=True)
            is_all = index == len(messages) - 1 and not answer_next
            after = whole if is_all else self.render(messages[: index + 1], tools)
            if not (whole.startswith(after) and after.startswith(before) and len(before) >= done):
                raise _HistoryRewrittenError
            pieces += [_Piece(whole[done : len(before)], None), _Piece(whole[len(before) : len(after)], index)]
            done = len(after)
        return [piece for piece in (*pieces, _Piece(whole[done:], None)) if piece.text]

    def _prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> list[_Piece]:
        try:
            return self._pieces(messages, tools, answer_next=True)
        except _HistoryRewrittenError:
            return [_Piece(self.render(messages, tools, answer_next=True), None)]

    def _last_turn(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> list[_Piece]:
        pieces = [_Piece(piece.text, None) for piece in self._prompt(messages[:-1], tools)]
        before = "".join(piece.text for piece in pieces)
        whole = self.render(messages, tools)
        if not whole.startswith(before):
            raise ModelError(
                "the chat template does not begin an assistant turn the way it asks for one (its generation prompt "
                f"is no beginning of the rendered turn: {before[-60:]!r}, {whole[-60:]!r}); use another template"
            )
        return [*pieces, _Piece(whole[len(before) :], len(messages) - 1)]

    def _encode(self, text: str) -> Ints:
        # Templates write their own beginning-of-sequence token; adding the tokenizer's would double it.
        return self._encoder.encode(text)

    def _check_tools(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None, place: Place | None
    ) -> None:
        if not tools and not any(message.get("tool_calls") for message in messages):
            return
        whole = self.render(messages, tools)
        if tools and whole == self.render(messages, None):
            raise DataError("the model's chat template leaves out the tools", place=place, field="tools")
        for index, message in enumerate(messages):
            if not message.get("tool_calls"):
                continue
            without: list[Any] = [dict(m) for m in messages]
            del without[index]["tool_calls"]
            if whole == self.render(without, tools):
                raise DataError(
                    "the model's chat template leaves out tool calls, so they could not be learnt",
                    place=place,
                    field=f"messages[{index}].tool_calls",
                )

    def _end_of_turn(self) -> int:
        turn: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        ids = self._encode(self._last_turn(turn, None)[-1].text).tolist()
        ends = [token for token in ids if token in self._special]
        if not ends:
            raise ModelError("the model's chat template puts no special token at the end of an assistant turn")
        return int(ends[-1])

    def _eos(self) -> list[int]:
        eos = self.tokenizer.eos_token_id
        return [] if eos is None else [int(eos)]


def _unlearnt(message: Message) -> Message:
    return {**message, "weight": 0} if message.get("role") == "assistant" else message


def _for_template(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it: no weight, text content, tool arguments as objects."""
    plain: dict[str, Any] = {key: value for key, value in message.items() if key != "weight"}
    if plain.get("content") is None:
        plain["content"] = ""
    if plain.get("tool_calls"):
        plain["tool_calls"] = [_call_for_template(call) for call in plain["tool_calls"]]
    return plain


def _call_for_template(call: dict[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    if isinstance(function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(function["arguments"])
        except ValueError:
            return call
    return {**call, "function": function}
