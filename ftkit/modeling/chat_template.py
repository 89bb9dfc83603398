"""Encode conversations with a model's chat template, in the same way for training, evaluation and serving.

The chat template renders the whole conversation once. The text is cut where each assistant turn begins and ends, and
the pieces are tokenised one by one. Token ids and loss mask come from the same pieces. A prompt is cut at the same
places, so a prompt at inference has exactly the tokens that it had in training.
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
"""The template of tokenizers without one (base models); saved with the tuned model like any other template."""


def template_hash(tokenizer: Any) -> str:
    """Hash a tokenizer's chat template, which training and serving must share.

    Args:
        tokenizer: a transformers tokenizer with a chat template.

    Returns:
        ``sha256:`` and 64 hexadecimal digits.
    """
    return canonical_digest(str(tokenizer.chat_template))


_REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys of a message that hold what a model thinks before it answers, in the terms of several servers and templates."""


class _HistoryRewrittenError(Exception):
    """The template renders earlier turns differently after later ones, as templates of reasoning models do."""


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    turn: int | None  # index of the assistant message this is, or None


class ChatTemplate:
    """A tokenizer's chat template, which encodes conversations as tokens.

    Args:
        tokenizer: a transformers tokenizer; one without a chat template gets :data:`PLAIN_TEMPLATE`.
        stop_ids: further token ids that end a turn, e.g. from the model's generation config.

    Attributes:
        tokenizer: the tokenizer.
        stop_ids: token ids that end an answer, ascending.
        vocabulary: rows of the model's embedding; None if the model is not known.
    """

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.vocabulary: int | None = None
        self._encoder = TextEncoder(tokenizer)
        if tokenizer.chat_template is None:
            if tokenizer.eos_token is None:
                raise ModelError("the tokenizer has neither a chat template nor an end-of-sequence token")
            tokenizer.chat_template = PLAIN_TEMPLATE
        self._special = set(tokenizer.all_special_ids) | set(stop_ids)
        self.stop_ids = tuple(sorted({self._end_of_turn(), *stop_ids, *self._eos()}))

    @property
    def template_hash(self) -> str:
        """Hash of the template, see :func:`template_hash`."""
        return template_hash(self.tokenizer)

    def encode_prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None = None) -> Ints:
        """Encode a conversation up to where the assistant's next turn begins.

        Args:
            messages: the conversation, in OpenAI's chat form.
            tools: the tools offered, as JSON schemas; None if there are none.

        Returns:
            Token ids, int32 [tokens].

        Raises:
            ModelError: the template refuses the conversation.
        """
        return np.concatenate([self._encode(piece.text) for piece in self._prompt(messages, tools)])

    def encode_examples(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        place: Place | None = None,
    ) -> list[TokenizedConversation]:
        """Encode a conversation as training sequences; assistant turns are supervised unless their ``weight`` is 0.

        Args:
            messages: the conversation, in OpenAI's chat form.
            tools: the tools offered, as JSON schemas; None if there are none.
            place: file and line of the row, for errors.

        Returns:
            One sequence. If the template rewrites earlier turns, one for each supervised turn, as the model is prompted
            for that turn at inference.

        Raises:
            DataError: no turn is supervised, a message holds something else than text, the template omits tools, tool
                calls or the reasoning of a supervised turn, or a turn has no end token.
            ModelError: the template refuses the conversation.
        """
        _check_parts(messages, place)
        supervised = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and m.get("weight", 1) != 0]
        if not supervised:
            raise DataError(
                "no assistant turn to learn from (none there, or all of weight 0); leave the row out", place=place
            )
        try:
            self._check_tools(messages, tools, place)
            self._check_reasoning(messages, supervised, tools, place)
            upto = messages[: supervised[-1] + 1]
            try:
                return [self._example(self._pieces(upto, tools), set(supervised), place)]
            except _HistoryRewrittenError:
                return [self._example(self._last_turn(messages[: i + 1], tools), {i}, place) for i in supervised]
        except ModelError as error:
            raise error if place is None else ModelError(f"{place}: {error}") from error

    def encode_answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        place: Place | None = None,
    ) -> TokenizedConversation:
        """Encode a conversation of which only the last turn, the answer, is supervised.

        Args:
            messages: the conversation, in OpenAI's chat form.
            tools: the tools offered, as JSON schemas; None if there are none.
            place: file and line of the row, for errors.

        Returns:
            The sequence.

        Raises:
            DataError: see :meth:`encode_examples`.
            ModelError: the template refuses the conversation.
        """
        earlier = [_without_loss(message) for message in messages[:-1]]
        last: Message = {**messages[-1], "weight": 1}
        [sequence] = self.encode_examples([*earlier, last], tools, place)
        return sequence

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """Render a conversation as text.

        Args:
            messages: the conversation, in OpenAI's chat form.
            tools: the tools offered, as JSON schemas; None if there are none.
            add_generation_prompt: whether to append what begins the assistant's next turn.

        Returns:
            The text, with special tokens as they are written.

        Raises:
            ModelError: the template refuses the conversation.
        """
        try:
            _check_parts(messages, None)
        except DataError as error:
            raise ModelError(str(error)) from error
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [_for_template(message) for message in messages],
                    tools=list(tools) if tools else None,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                )
            )
        except Exception as error:  # a template is a program, and may raise anything
            raise ModelError(f"the model's chat template cannot render this conversation: {error}") from error

    def decode(self, ids: Sequence[int]) -> str:
        """Decode an answer.

        Args:
            ids: token ids.

        Returns:
            The text without special tokens.
        """
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _example(self, pieces: Sequence[_Piece], turns: set[int], place: Place | None) -> TokenizedConversation:
        ids: list[Ints] = []
        supervised: list[Bools] = []
        for number, piece in enumerate(pieces):
            tokens = self._encode(piece.text)
            mask = np.zeros(len(tokens), dtype=np.bool_)
            if piece.turn in turns:
                ends = [i for i, token in enumerate(tokens.tolist()) if token in self._special]
                if not ends:
                    raise DataError(
                        f"the chat template puts no end-of-turn token after the assistant's turn {piece.text[-40:]!r}, "
                        "so the model would not learn to stop",
                        place=place,
                        field=f"messages[{piece.turn}]",
                        problem="no_end_of_turn",
                    )
                mask[: ends[-1] + 1] = True
                if number == len(pieces) - 1:  # what the template adds after the last turn is never generated
                    tokens, mask = tokens[: ends[-1] + 1], mask[: ends[-1] + 1]
            ids.append(tokens)
            supervised.append(mask)
        return TokenizedConversation(np.concatenate(ids), np.concatenate(supervised))

    def _pieces(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None,
        *,
        add_generation_prompt: bool = False,
    ) -> list[_Piece]:
        text = self.render(messages, tools, add_generation_prompt=add_generation_prompt)
        pieces: list[_Piece] = []
        end = 0
        for index, message in enumerate(messages):
            if message.get("role") != "assistant":
                continue
            before = self.render(messages[:index], tools, add_generation_prompt=True)
            is_all = index == len(messages) - 1 and not add_generation_prompt
            after = text if is_all else self.render(messages[: index + 1], tools)
            if not (text.startswith(after) and after.startswith(before) and len(before) >= end):
                raise _HistoryRewrittenError
            pieces += [_Piece(text[end : len(before)], None), _Piece(text[len(before) : len(after)], index)]
            end = len(after)
        return [piece for piece in (*pieces, _Piece(text[end:], None)) if piece.text]

    def _prompt(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> list[_Piece]:
        try:
            return self._pieces(messages, tools, add_generation_prompt=True)
        except _HistoryRewrittenError:
            return [_Piece(self.render(messages, tools, add_generation_prompt=True), None)]

    def _last_turn(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> list[_Piece]:
        pieces = [_Piece(piece.text, None) for piece in self._prompt(messages[:-1], tools)]
        before = "".join(piece.text for piece in pieces)
        whole = self.render(messages, tools)
        if not whole.startswith(before):
            raise ModelError(
                "the chat template does not begin an assistant turn with its generation prompt (which "
                f"is not a prefix of the rendered turn: {before[-60:]!r}, {whole[-60:]!r}); use another template"
            )
        return [*pieces, _Piece(whole[len(before) :], len(messages) - 1)]

    def _encode(self, text: str) -> Ints:
        # Templates write their own beginning-of-sequence token; adding the tokenizer's would double it.
        ids = self._encoder.encode(text)
        if self.vocabulary is not None and len(ids) and int(ids.max()) >= self.vocabulary:
            token = int(ids.max())
            raise ModelError(
                f"the tokenizer makes token {token} of {self.tokenizer.convert_ids_to_tokens(token)!r}, and the model "
                f"has {self.vocabulary} tokens: it was added to the tokenizer only. Add it to the model, too "
                "(model.resize_token_embeddings(len(tokenizer)), then save both), or take it out of the tokenizer"
            )
        return ids

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
                    "the model's chat template leaves out tool calls, so they could not be learned",
                    place=place,
                    field=f"messages[{index}].tool_calls",
                )

    def _check_reasoning(
        self,
        messages: Sequence[Message],
        supervised: Sequence[int],
        tools: Sequence[dict[str, Any]] | None,
        place: Place | None,
    ) -> None:
        """Refuse a supervised turn whose reasoning is not rendered. That of earlier turns may be left out by design."""
        for index in supervised:
            for key in _REASONING:
                if not messages[index].get(key):
                    continue
                turn: Any = {name: value for name, value in messages[index].items() if name != key}
                history = messages[:index]
                if self.render(messages[: index + 1], tools) == self.render([*history, turn], tools):
                    raise DataError(
                        f"the model's chat template leaves out {key}, so it could not be learned. Train a model whose "
                        "template renders it, write it into the content as the model does, or leave it out",
                        place=place,
                        field=f"messages[{index}].{key}",
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


def _without_loss(message: Message) -> Message:
    return {**message, "weight": 0} if message.get("role") == "assistant" else message


def _check_parts(messages: Sequence[Message], place: Place | None) -> None:
    """Refuse parts of messages that are not text."""
    for index, message in enumerate(messages):
        content: Any = message.get("content")
        for number, part in enumerate(content if isinstance(content, list) else []):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            if kind != "text":
                raise DataError(
                    f"a part of type {kind!r}, and local models read and learn text only; leave the row out, or train "
                    "on a host that takes such parts",
                    place=place,
                    field=f"messages[{index}].content[{number}]",
                )


def _for_template(message: Message) -> dict[str, Any]:
    """A message as chat templates expect it: no weight, text content, tool arguments as objects."""
    plain: dict[str, Any] = {key: value for key, value in message.items() if key != "weight"}
    if plain.get("content") is None:
        plain["content"] = ""
    elif isinstance(plain["content"], list):
        plain["content"] = "".join(part["text"] for part in plain["content"])
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
