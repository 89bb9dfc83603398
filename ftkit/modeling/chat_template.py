"""Encode conversations with a model's chat template, in the same way for training, evaluation and serving.

A prompt is the conversation as the template renders it with its generation prompt, tokenised as a whole, as servers do
it. A training sequence is the prompt of a turn, and then the tokens of the turn up to its end, which are supervised.
Turns share a sequence if the prompt of the later one begins with the sequence of the earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from ftkit.errors import DataError, ModelError, Place
from ftkit.modeling.control_tokens import ControlTokens
from ftkit.modeling.conversation import ShieldedConversation, supervised_turns, without_loss
from ftkit.modeling.left_out import left_out_by_design, refuse_changed, refuse_left_out
from ftkit.modeling.rendered_parts import THOUGHT_TAGS, Part, find_parts, has_thought
from ftkit.modeling.template_day import writes_day
from ftkit.modeling.template_form import TemplateForm, check_parts
from ftkit.modeling.template_note import TemplateNote, changed_texts, stripped_blanks
from ftkit.modeling.template_source import plain_template, template_hash
from ftkit.modeling.text_encoder import TextEncoder, refuse_unknown_tokens
from ftkit.modeling.tokenized_example import Ints, TokenizedConversation
from ftkit.modeling.turn_end import find_turn_ends
from ftkit.modeling.turn_text import (
    has_blanks,
    lacks_thought,
    opens_thought,
    turn_as_written,
    turn_text,
    with_blanks,
    with_end,
    without_thought,
)
from ftkit.task import Message

__all__ = ["ChatTemplate"]


class ChatTemplate:
    """A tokenizer's chat template, which encodes conversations as tokens.

    Args:
        tokenizer: a transformers tokenizer; one without a chat template gets a plain one.
        stop_ids: further token ids that end a turn, e.g. from the model's generation config.
        day: the day that a template with a date writes; None is the day on which it renders.

    Attributes:
        tokenizer: the tokenizer.
        stop_ids: token ids that end an answer, ascending.
        day: the day that it writes; None if it writes none, or today's.
        prefill: the tag with which the generation prompt opens a thought; None if it opens none.
        vocabulary: rows of the model's embedding; None if the model is not known.
        control: the tokenizer's control tokens, and the encoding of texts that are written like them.
    """

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int] = (), *, day: date | None = None) -> None:
        self.tokenizer = tokenizer
        self.vocabulary: int | None = None
        if tokenizer.chat_template is None:
            if tokenizer.eos_token is None:
                raise ModelError("the tokenizer has neither a chat template nor an end-of-sequence token")
            tokenizer.chat_template = plain_template(tokenizer)
        self.day = day if writes_day(str(tokenizer.chat_template)) else None
        self.control = ControlTokens(tokenizer, TextEncoder(tokenizer))
        self._form = TemplateForm(self._render, str(tokenizer.chat_template))
        known = {*stop_ids, *([] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)])}
        stops = [text for text in tokenizer.convert_ids_to_tokens(sorted(known)) if isinstance(text, str)]
        self._ends = find_turn_ends(
            lambda messages, tools, asks: self._render(self._form.messages(messages), tools, asks),
            self.control,
            stops,
        )
        self.control.set_structure(self._ends.structure)
        self.prefill = self._opened_thought()
        found = {self.control.added[token] for token in self._ends.stops if token in self.control.added}
        self.stop_ids = tuple(sorted(known | found))

    @property
    def template_hash(self) -> str:
        """Hash of the template, see :func:`~ftkit.modeling.template_source.template_hash`."""
        return template_hash(self.tokenizer)

    @property
    def writes_day(self) -> bool:
        """Whether prompts contain the date, so that they differ from day to day."""
        return writes_day(str(self.tokenizer.chat_template))

    def encode_prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]] | None = None,
        place: Place | None = None,
    ) -> Ints:
        """Encode a conversation up to where the assistant's next turn begins.

        Args:
            messages: the conversation, in OpenAI's chat form.
            tools: the tools offered, as JSON schemas; None if there are none.
            place: file and line of the row that holds the prompt, if one does, for errors.

        Returns:
            Token ids, int32 [tokens].

        Raises:
            ModelError: the template refuses the conversation, or leaves a part of it out.
            DataError: the same, for the prompt of a row.
        """
        try:
            check_parts(messages, place)
            asked = self._conversation(messages, tools)
            text = self._render(asked.messages, asked.tools, True)
            refuse_left_out(self._parts(asked, text, asks=True), asked.messages, learned=None, place=place)
        except DataError as error:
            if place is not None:
                raise
            raise ModelError(str(error)) from error
        return self._encode(text, asked)

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
            One sequence. If the prompt of a supervised turn does not begin with the tokens of the turn before, because
            the template rewrites earlier turns or they are tokenised differently there, one for each such turn.

        Raises:
            DataError: no turn is supervised, a message holds something else than text, the template leaves a part of
                the conversation out, or a turn has no end token, or does not begin as the generation prompt does.
            ModelError: the template refuses the conversation.
        """
        check_parts(messages, place)
        supervised = supervised_turns(messages, place)
        sequences: list[TokenizedConversation] = []
        try:
            whole = self._conversation(messages[: supervised[-1] + 1], tools)
            text = self._render(whole.messages, whole.tools, False)
            lost = self._left_out(whole, text, supervised, place)
            for index in supervised:
                answered = (
                    text if index == supervised[-1] else self._render(whole.messages[: index + 1], whole.tools, False)
                )
                prompt, answer = self._turn(whole, index, answered, lost.get(index, []), place)
                ids = np.concatenate([prompt, answer])
                mask = np.zeros(len(ids), dtype=np.bool_)
                mask[len(prompt) :] = True
                if sequences and np.array_equal(prompt[: len(sequences[-1].ids)], sequences[-1].ids):
                    earlier = sequences.pop().supervised
                    mask[: len(earlier)] = earlier
                sequences.append(TokenizedConversation(ids, mask))
        except ModelError as error:
            raise error if place is None else ModelError(f"{place}: {error}") from error
        return sequences

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
        earlier = [without_loss(message) for message in messages[:-1]]
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
            check_parts(messages, None)
        except DataError as error:
            raise ModelError(str(error)) from error
        return self._render(self._form.messages(messages), tools, add_generation_prompt)

    def control_texts(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None = None
    ) -> dict[str, list[str]]:
        """Find texts of control tokens in a conversation. They are encoded as text, never as the token.

        Args:
            messages: the conversation, in OpenAI's chat form.
            tools: the tools offered, as JSON schemas; None if there are none.

        Returns:
            The texts by the field that contains them, e.g. ``messages[0].content``.
        """
        return self.control.written_in(self._form.messages(messages), tools)

    def notes(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None = None) -> list[TemplateNote]:
        """Say what the template does with a conversation that its author may not expect.

        Args:
            messages: a conversation that can be encoded.
            tools: the tools offered, as JSON schemas; None if there are none.

        Returns:
            The notes, in the order of their kinds.
        """
        whole, found = self._conversation(messages, tools), []
        for index, (message, rendered) in enumerate(zip(messages, whole.messages, strict=True)):
            if rendered["role"] != message.get("role"):
                text = f"the template knows no role {message.get('role')!r}; rendered as {rendered['role']!r}"
                found.append(TemplateNote(f"messages[{index}].role", "role", text))
        for field, tokens in self.control_texts(messages, tools).items():
            text = f"contains {', '.join(dict.fromkeys(tokens))}; encoded as text, not as the token"
            found.append(TemplateNote(field, "control_token", text))
        supervised = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and m.get("weight", 1) != 0]
        learned = supervised[-1] if supervised else None
        parts = self._parts(whole, self._render(whole.messages, whole.tools, False), asks=False)
        found += [
            TemplateNote(part.field, "left_out", "the template leaves it out of the prompts of later turns")
            for part in left_out_by_design(parts, whole.messages, learned=learned)
        ]
        found += changed_texts(parts)
        found += stripped_blanks(whole.messages, supervised, lambda given: self._render(given, whole.tools, False))
        for index in supervised if self.prefill is not None else ():
            if not self._closes_thought(whole, index):
                text = f"the generation prompt opens a thought ({self.prefill}), and the answer does not close it"
                found.append(TemplateNote(f"messages[{index}].content", "open_thought", text))
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Decode an answer.

        Args:
            ids: token ids.

        Returns:
            The text without special tokens and without the end of the turn.
        """
        # Not every token that ends a turn is special.
        return str(self.tokenizer.decode([one for one in ids if one not in self.stop_ids], skip_special_tokens=True))

    def answer_text(self, text: str, *, keep_thought: bool) -> str:
        """Return an answer without its thought, if the template or the model begins answers with one.

        Args:
            text: the decoded answer.
            keep_thought: keep a thought that the model itself began, unless it is empty.

        Returns:
            The text after the thought; the whole text if there is no thought or it has no end.
        """
        return without_thought(text, self.prefill, keep=keep_thought)

    def _conversation(
        self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None
    ) -> ShieldedConversation:
        return ShieldedConversation(*self.control.shield(self._form.messages(messages), tools or None))

    def _render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None, asks: bool) -> str:
        from ftkit.modeling.bounded_template import render_chat

        try:
            return render_chat(self.tokenizer, messages, tools, self.day, asks=asks)
        except Exception as error:  # a template is a program, and may raise anything
            raise ModelError(f"the model's chat template cannot render this conversation: {error}") from error

    def _parts(self, whole: ShieldedConversation, text: str, *, asks: bool) -> list[Part]:
        return find_parts(
            whole.messages, whole.tools, text, lambda messages, tools: self._render(messages, tools, asks)
        )

    def _left_out(
        self, whole: ShieldedConversation, text: str, supervised: Sequence[int], place: Place | None
    ) -> dict[int, list[Part]]:
        """The parts of each supervised turn whose thought the template leaves out of the content."""
        *_, last = supervised
        parts = self._parts(whole, text, asks=False)
        incomplete = {part.message for part in parts if not part.found or part.rendered_as is not None}
        lost: dict[int, list[Part]] = {}
        for index in (*incomplete.intersection(supervised[:-1]), *([last] if incomplete else [])):
            if index is None:
                continue
            parts_then = parts if index == last else self._parts_until(whole, index)
            own = [part for part in parts_then if part.message == index]
            if any(part.kind == "thought" and not part.found for part in own):
                lost[index] = own
            others = [part for part in parts_then if part.message != index or part.kind != "thought"]
            refuse_left_out(others, whole.messages, learned=index, place=place)
            refuse_changed(own, learned=index, place=place)
        return lost

    def _turn(
        self, whole: ShieldedConversation, index: int, answered: str, own: list[Part], place: Place | None
    ) -> tuple[Ints, Ints]:
        """The tokens of the prompt of a turn, and of the turn."""
        message, field = whole.messages[index], f"messages[{index}]"
        asked = self._render(whole.messages[:index], whole.tools, True)
        text = None if own else turn_text(asked, answered)
        if own or (text is not None and self._needs_parts(message, text)):
            own = own or [part for part in self._parts_until(whole, index) if part.message == index]
            if text is None or lacks_thought(message, text):
                text = turn_as_written(asked, message, own)
                if text is None:
                    refuse_left_out(own, whole.messages, learned=index, place=place)
            elif self.prefill is not None and self.prefill in text and has_thought(message):
                # The template writes an empty thought, and then the one in the content.
                text = turn_as_written(asked, message, own) or text
            else:
                text = with_blanks(text, message, own)
        if text is None:
            raise DataError(
                "the chat template does not begin an assistant turn with its generation prompt (which "
                f"is no prefix of the rendered turn: {whole.shown(asked)!r}, {whole.shown(answered)!r}); use another "
                "template (chat_template=)",
                place=place,
                field=field,
            )
        ended = with_end(text, self._ends, message)
        if ended is None:
            raise DataError(
                f"the chat template puts no end-of-turn token after the assistant's turn {whole.shown(text)!r}, "
                "so the model would not learn to stop; use another template (chat_template=)",
                place=place,
                field=field,
                problem="no_end_of_turn",
            )
        return self._encode(asked, whole), self._encode(ended, whole)

    def _needs_parts(self, message: dict[str, Any], text: str) -> bool:
        """Whether a turn may be rendered otherwise than it is written."""
        opens = self.prefill is not None and self.prefill in text and has_thought(message)
        return opens or lacks_thought(message, text) or has_blanks(message)

    def _parts_until(self, whole: ShieldedConversation, index: int) -> list[Part]:
        """The parts of the conversation that ends with a turn."""
        until = ShieldedConversation(whole.messages[: index + 1], whole.tools, whole.shield)
        return self._parts(until, self._render(until.messages, until.tools, False), asks=False)

    def _encode(self, text: str, whole: ShieldedConversation) -> Ints:
        # Templates write their own beginning-of-sequence token; adding the tokenizer's would double it.
        ids = self.control.encode(text, whole.shield)
        refuse_unknown_tokens(ids, self.vocabulary, self.tokenizer)
        return ids

    def _closes_thought(self, whole: ShieldedConversation, index: int) -> bool:
        message = whole.messages[index]
        answered = self._render(whole.messages[: index + 1], whole.tools, False)
        text = turn_text(self._render(whole.messages[:index], whole.tools, True), answered) or ""
        return has_thought(message) or any(tag in text for tag in THOUGHT_TAGS.values())

    def _opened_thought(self) -> str | None:
        """The tag with which the generation prompt opens a thought, if it does."""
        try:
            return opens_thought(self._render(self._form.messages([{"role": "user", "content": "a"}]), None, True))
        except ModelError:
            return None
