"""Thoughts that are left out of the loss, in the shapes of several families' templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ftkit as ft
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.recipe import RecipeFacts
from ftkit.training.losses import loss_of


def learned(template: ChatTemplate, messages: list[dict[str, Any]], *, train_reasoning: bool) -> list[str]:
    """The learned texts of a row as supervised fine-tuning tokenises it."""
    [row] = ft.Dataset.from_rows([{"messages": messages}])
    recipe = ft.SFT(train_reasoning=train_reasoning).resolve(RecipeFacts(rows=1))
    return [
        template.tokenizer.decode(sequence.ids[sequence.supervised].tolist())
        for example in loss_of(recipe).render(row, template)
        for sequence in example.sequences
    ]


def turn(answer: str, thought: str | None = None, key: str | None = None) -> dict[str, Any]:
    if thought is None:
        return {"role": "assistant", "content": answer}
    if key is not None:
        return {"role": "assistant", key: thought, "content": answer}
    return {"role": "assistant", "content": f"<think>\n{thought}\n</think>\n\n{answer}"}


QUESTION = {"role": "user", "content": "q"}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("thought_in_history", None),
        ("thought_in_history", "reasoning_content"),
        ("thought_closed", None),
        ("thought_closed", "reasoning_content"),
        ("thought_dropped", None),
        ("channels", "reasoning_content"),
    ],
)
def test_a_thought_is_context_and_no_target(name: str, key: str | None, shape: Callable[..., ChatTemplate]):
    template, messages = shape(name), [QUESTION, turn("Four.", "Two and two.", key)]
    [whole] = learned(template, messages, train_reasoning=True)
    assert "Two and two." in whole
    [answer] = learned(template, messages, train_reasoning=False)
    assert "Two and two." not in answer
    assert "</think>" not in answer
    assert "Four." in answer
    assert whole.endswith(answer)
    [row] = ft.Dataset.from_rows([{"messages": messages}])
    kept = loss_of(ft.SFT(train_reasoning=False).resolve(RecipeFacts(rows=1))).render(row, template)[0].sequences[0]
    assert "Two and two." in template.tokenizer.decode(kept.ids.tolist())  # the answer still follows on it


def test_answers_without_a_thought_are_learned_whole(tokenizer: Any):
    template = ChatTemplate(tokenizer)  # whose prompt opens none
    messages = [QUESTION, turn("Four </think> five.")]
    assert learned(template, messages, train_reasoning=False) == learned(template, messages, train_reasoning=True)


def test_every_learned_turn_of_a_conversation_is_masked(shape: Callable[..., ChatTemplate]):
    template = shape("thought_in_history")
    messages = [QUESTION, turn("One.", "First."), QUESTION, turn("Two.", "Second.")]
    found = "".join(learned(template, messages, train_reasoning=False))
    assert "One." in found
    assert "Two." in found
    assert "First." not in found
    assert "Second." not in found
