"""An answer in OpenAI's form, of the tokens that the engine generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ftkit.inference.offline import Generation
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import Ints
from ftkit.modeling.tool_calls import parse_tool_calls
from ftkit.modeling.turn_text import thought_before
from ftkit.results.answer import Answer

__all__ = ["read_answer"]


def read_answer(
    template: ChatTemplate,
    prompt: Ints,
    generation: Generation,
    tools: Sequence[dict[str, Any]] | None,
    *,
    keep_thought: bool,
) -> Answer:
    """Read an answer from its tokens.

    Args:
        template: the model's chat template.
        prompt: token ids of the prompt.
        generation: what the engine generated.
        tools: the tools offered, as JSON schemas.
        keep_thought: keep a thought that the model itself began in the text, unless it is empty.

    Returns:
        The answer, with its tool calls.
    """
    whole, calls = parse_tool_calls(template, prompt, generation.ids, tools)
    text = template.answer_text(whole, keep_thought=keep_thought)
    return Answer(
        text=text,
        finish_reason="tool_calls" if calls else "stop" if generation.stopped else "length",
        input_tokens=len(prompt),
        output_tokens=len(generation.ids),
        cached_tokens=generation.cached,
        latency_s=generation.seconds,
        tool_calls=calls or None,
        logprob=None if math.isnan(generation.logprob) else generation.logprob,
        reasoning_content=thought_before(whole, text),
    )
