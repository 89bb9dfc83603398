"""Both modes of reasoning models: how they are asked, and what a tuned model that lost one is said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.evaluation.forgetting import forgetting_of
from ftkit.evaluation.probes.thinking import QUESTIONS, probe_thinking
from ftkit.modeling.thinking_modes import thought_of
from ftkit.results.report import Probed
from ftkit.results.thinking_modes import ThinkingModes
from tests.tiny import save_tiny

TEMPLATE = (
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}"
    "{%- if enable_thinking is defined and not enable_thinking -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}"
    "{%- endif -%}"
)


def modes(on: int, off: int) -> ThinkingModes:
    return ThinkingModes(asked=12, thought_when_on=on, thought_when_off=off)


@pytest.mark.parametrize(
    ("prompt", "answer", "thought"),
    [
        ("…assistant\n", "<think>\nTwo and two.\n</think>\n\nFour.", "Two and two."),
        ("…assistant\n<think>\n", "Two and two.\n</think>\n\nFour.", "Two and two."),
        ("…assistant\n<think>\n", "\n</think>\n\nFour.", ""),
        ("…assistant\n", "<think>\nTwo and", "Two and"),
        ("…assistant\n", "Four. <think>", None),
        ("…assistant\n<think>\n\n</think>\n\n", "Four.", None),
    ],
)
def test_the_thought_of_an_answer(prompt: str, answer: str, thought: str | None):
    assert thought_of(prompt, answer) == thought


def test_a_model_is_asked_in_both_modes():
    def ask(questions: Any, tokens: int) -> dict[bool, list[str | None]]:
        return {True: ["A long enough thought."] * 9 + [""] * 3, False: [None] * 11 + ["But it thinks all the same."]}

    assert probe_thinking(ask) == modes(9, 1)
    assert len(QUESTIONS) == 12
    assert probe_thinking(lambda questions, tokens: None) is None


@pytest.mark.parametrize(
    ("after", "flag"),
    [
        (modes(2, 0), "it thinks in 2 of 12 answers in thinking mode (11 before)"),
        (modes(12, 10), "it thinks in 10 of 12 answers though it is asked not to (0 before)"),
        (modes(8, 1), None),
    ],
)
def test_a_lost_mode_is_a_flag(after: ThinkingModes, flag: str | None):
    found = forgetting_of(Probed(thinking=modes(11, 0)), Probed(thinking=after), confidence=0.95, seed=0)
    assert found is not None
    assert list(found.flags) == ([] if flag is None else [f"thinking mode: {flag}"])
    assert any(line.startswith("Thinking mode: ") for line in found.lines)


def test_a_local_model_with_a_switch_is_asked_with_both_prompts(tokenizer: Any, tmp_path: Path, tiny_model: str):
    import copy

    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATE
    task = ft.Task(input="{q}")
    with ft.Model(f"local:{save_tiny(tmp_path / 'model', 'llama', own)}", task) as model:
        found = model.thoughts(["What is 2 + 2?", "Why?"], 4)
        assert found is not None
        assert {mode: len(given) for mode, given in found.items()} == {True: 2, False: 2}
    with ft.Model(f"local:{tiny_model}", task) as model:  # its template has no switch
        assert model.thoughts(["Why?"], 4) is None
