"""The two modes of reasoning models whose chat template has a switch: with a thought before the answer, and without."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.errors import ModelError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.rendered_parts import THOUGHT_TAGS
from ftkit.modeling.tokenized_example import Ints

__all__ = ["ModePrompts", "thinking_prompts", "thought_of"]

ModePrompts = dict[bool, list[tuple[str, Ints]]]
"""By mode (True: with a thought) each prompt as text and in tokens."""

_SWITCHES = ("enable_thinking", "thinking")
"""Variables of chat templates: that of Qwen 3, SmolLM 3 and GLM, and that of DeepSeek V3.1 and Granite."""


def thinking_prompts(chat_template: ChatTemplate, questions: Sequence[str]) -> ModePrompts | None:
    """Render questions for both modes.

    Args:
        chat_template: the model's chat template.
        questions: plain texts, without control tokens.

    Returns:
        The prompts; None if the template has no switch.
    """
    for switch in _SWITCHES:
        texts = {
            mode: [_render(chat_template, each, switch, mode=mode) for each in questions] for mode in (True, False)
        }
        if questions and texts[True] != texts[False]:
            return {
                mode: [(text, chat_template.control.encode(text, "")) for text in rendered]
                for mode, rendered in texts.items()
            }
    return None


def _render(chat_template: ChatTemplate, question: str, switch: str, *, mode: bool) -> str:
    try:
        return str(
            chat_template.tokenizer.apply_chat_template(
                [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True, **{switch: mode}
            )
        )
    except Exception as error:  # a template is a program, and may raise anything
        raise ModelError(f"the model's chat template cannot render a question: {error}") from error


def thought_of(prompt: str, answer: str) -> str | None:
    """Return what an answer thinks first.

    Args:
        prompt: the rendered prompt, whose end may open a thought.
        answer: what the model wrote, control tokens included.

    Returns:
        The thought without its tags, to the end of the text if it is not closed; None if there is none.
    """
    end, begin = prompt.rstrip(), answer.lstrip()
    for opening, closing in THOUGHT_TAGS.items():
        if end.endswith(opening):
            return begin.partition(closing)[0].strip()
        if begin.startswith(opening):
            return begin.removeprefix(opening).partition(closing)[0].strip()
    return None
