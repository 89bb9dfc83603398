"""A model's calls of tools are read alike wherever it is asked: in a report, while it learns, by the server."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.errors import RefusedError
from ftkit.server.app import create_app
from ftkit.server.settings import Settings
from ftkit.training.job import Job, train
from tests.server.chat.conftest import client_of, running
from tests.tiny import save_tiny

TEMPLATE = (
    "{%- if tools -%}{{- '<|im_start|>tools\n' + tools | tojson + '<|im_end|>\n' -}}{%- endif -%}"
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content -}}"
    "{%- for call in m.tool_calls or [] -%}"
    '{{- \'<tool_call>{"name": "\' + call.function.name + \'", "arguments": \' -}}'
    "{{- call.function.arguments | tojson + '}</tool_call>' -}}"
    "{%- endfor -%}{{- '<|im_end|>\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
CALL = {"type": "function", "function": {"name": "find", "arguments": '{"bed": 4}'}}
CALLED = ft.StringCheckGrader(input="{{sample.output_tools[0].function.name}}", reference="find")


def asks(count: int) -> list[dict[str, Any]]:
    asked = [[{"role": "user", "content": f"Who lies in bed {4 + n}?"}] for n in range(count)]
    return [{"messages": messages, "tools": TOOLS} for messages in asked]


@pytest.fixture(scope="module")
def caller(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model that has learnt to call, and nothing else."""
    folder = tmp_path_factory.mktemp("caller")
    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATE
    base = save_tiny(folder / "base", "llama", own)
    rows = [{**ask, "messages": [*ask["messages"], {"role": "assistant", "tool_calls": [CALL]}]} for ask in asks(3)]
    recipe = ft.SFT(adapter=ft.Full(), epochs=15, batch_size=3, learning_rate=1e-2, precision="fp32")
    train(Job(recipe, ft.Dataset.from_rows(rows), None, base, folder / "tuned"), lambda *_: None)
    return str(folder / "tuned")


def test_the_answer_has_the_call_and_no_text(caller: str) -> None:
    model = ft.Model(f"local:{caller}", ft.Task(), sampling=ft.Sampling(max_output_tokens=40))
    report = ft.evaluate(model, ft.Dataset.from_rows(asks(2)), metrics=[CALLED], probes=None)
    assert report[CALLED.name].value == 1
    [row, _] = report.rows
    assert (row.text, row.finish_reason) == ("", "tool_calls")
    [call] = row.tool_calls
    assert json.loads(call["function"]["arguments"]) == {"bed": 4}


def test_reinforcement_grades_calls(caller: str, tmp_path: Path) -> None:
    recipe = ft.RFT(grader=CALLED, num_generations=2, max_output_tokens=40, temperature=0.1, probe_prompts=2)
    data = ft.Dataset.from_rows(asks(2))
    # The grader sees the call in every answer: there is nothing left to learn, and the run says so.
    with pytest.raises(RefusedError, match="every one has the full reward already"):
        train(Job(recipe, data, None, caller, tmp_path / "model"), lambda *_: None)
    signal = ft.reward_signal(recipe, data, backend=f"local:{caller}", prompts=2)
    assert (signal.success_rate, signal.error_rate) == (1, 0)


def test_a_strict_tool_overrules_what_was_learnt(caller: str) -> None:
    held = {"type": "object", "properties": {"bed": {"type": "integer", "enum": [7]}}, "required": ["bed"]}
    held["additionalProperties"] = False
    strict = [{"type": "function", "function": {"name": "find", "parameters": held, "strict": True}}]
    with running(create_app(Settings(models={"caller": caller}, cache_bytes=64 * 2**20))) as url:
        asked = {"model": "caller", "temperature": 0, "max_tokens": 40, "messages": asks(1)[0]["messages"]}
        [choice] = client_of(url).chat.completions.create(**asked, tools=strict).choices
    assert choice.finish_reason == "tool_calls"
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"bed": 7}


def test_the_server_gives_the_same_call(caller: str) -> None:
    with running(create_app(Settings(models={"caller": caller}, cache_bytes=64 * 2**20))) as url:
        client = client_of(url)
        asked = {"model": "caller", "temperature": 0, "max_tokens": 40, **asks(1)[0]}
        [choice] = client.chat.completions.create(**asked).choices
        deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    for [call] in (choice.message.tool_calls, [call for delta in deltas for call in delta.tool_calls or ()]):
        assert (call.function.name, json.loads(call.function.arguments)) == ("find", {"bed": 4})
