"""Split the text of an answer into its thought and what follows it, while the answer is written."""

from __future__ import annotations

from dataclasses import dataclass

from ftkit.modeling.rendered_parts import THOUGHT_TAGS

__all__ = ["SplitText", "ThoughtSplitter"]


@dataclass(frozen=True, slots=True)
class SplitText:
    """The new parts of an answer.

    Attributes:
        thought: new text of the thought, without its tags and the blanks around it.
        answer: new text of the answer.
    """

    thought: str = ""
    answer: str = ""


class ThoughtSplitter:
    """Finds the thought at the beginning of an answer.

    The thought begins with a tag of :data:`~ftkit.modeling.rendered_parts.THOUGHT_TAGS`, which the generation prompt or
    the model writes. Only tags that the model's chat template knows count: others are a part of the answer, e.g. where
    a model was trained to answer with ``<reasoning>…</reasoning><answer>…</answer>``. A thought that the prompt has
    opened and the model does not close may be the answer: models that were trained on answers without thoughts give it
    there. Its text is then the answer's too.

    Args:
        template: the chat template.
        opened: the tag with which the generation prompt opens a thought; None if it opens none.

    Attributes:
        inside: whether the thought has begun and not ended.
    """

    def __init__(self, template: str, opened: str | None = None) -> None:
        self._tags = {opening: closing for opening, closing in THOUGHT_TAGS.items() if closing in template}
        self.inside = opened is not None
        self._opened, self._closing = opened, "" if opened is None else THOUGHT_TAGS[opened]
        self._buffer = ""
        """Text of which it is not known yet where it belongs."""
        self._whole: list[str] = []
        """What the prompt's thought consists of so far."""
        self._begun = opened is None
        """Whether a repeated opening tag and leading blanks have been read."""
        self._given = False
        """Whether text of the thought was given, so that later blanks belong to it if text follows them."""
        self._answering = self._answered = False

    def push(self, text: str) -> SplitText:
        """Add a piece of the answer.

        Args:
            text: the piece.

        Returns:
            What certainly belongs to the thought, and to the answer.
        """
        if self._answering:
            return SplitText("", self._answer(text))
        self._buffer += text
        if not self.inside and not self._begin():
            return SplitText()
        if self._answering:
            held, self._buffer = self._buffer, ""
            return SplitText("", held)
        if self._opened is not None:
            self._whole.append(text)
        return self._think()

    def end(self) -> SplitText:
        """End the answer.

        Returns:
            The remaining parts.
        """
        held, self._buffer = self._buffer, ""
        if self._answering or not self.inside:
            return SplitText("", held)
        self.inside = False
        if self._opened is None:
            return SplitText(held if held.strip() else "", "")
        return SplitText(held if held.strip() else "", "".join(self._whole))

    def _begin(self) -> bool:
        """Decide whether the answer begins with a thought; returns whether that can be said yet."""
        body = self._buffer.lstrip()
        for opening, closing in self._tags.items():
            if body.startswith(opening):
                self._buffer, self._closing, self.inside = body.removeprefix(opening), closing, True
                return True
        if any(opening.startswith(body) for opening in self._tags):
            return False
        self._answering = self._answered = True
        return True

    def _think(self) -> SplitText:
        if not self._begun:
            body = self._buffer.lstrip()
            assert self._opened is not None  # noqa: S101
            if self._opened.startswith(body) and body != self._opened:
                return SplitText()
            self._buffer, self._begun = body.removeprefix(self._opened), True
        thought, closing, answer = self._buffer.partition(self._closing)
        if closing:
            self._buffer, self._answering, self.inside = "", True, False
            self._whole.clear()
            return SplitText(self._thought(thought.rstrip()), self._answer(answer))
        certain = thought.rstrip()  # blanks before the closing tag are none of the thought's
        longest = min(len(self._closing) - 1, len(certain))
        partial = next((n for n in range(longest, 0, -1) if certain.endswith(self._closing[:n])), 0)
        certain = certain[: len(certain) - partial].rstrip()
        self._buffer = self._buffer[len(certain) :]
        return SplitText(self._thought(certain), "")

    def _thought(self, text: str) -> str:
        if not self._given:
            text = text.lstrip()
            self._given = bool(text)
        return text

    def _answer(self, text: str) -> str:
        """Text of the answer without the blanks between the thought and it."""
        if not self._answered:
            text = text.lstrip()
            self._answered = bool(text)
        return text
