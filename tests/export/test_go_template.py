"""Chat templates said in Go: Ollama will make of the Modelfile what the Jinja template says, or it is refused."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit.errors import ExportError
from ftkit.exporting.go_expansion import expand
from ftkit.exporting.go_template import derive
from ftkit.exporting.modelfile import modelfile, template_of
from ftkit.exporting.ollama import context_for, go_template, prove
from ftkit.inference.replay import Conversation
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.task import Message

SYSTEM, USER, ANSWER = ({"role": role, "content": f"some {role}\n  text "} for role in ("system", "user", "assistant"))
SHAPES = ([USER], [SYSTEM, USER], [USER, ANSWER, USER], [SYSTEM, USER, ANSWER, USER, ANSWER, USER])
LOOP = "{% for m in messages %}"
CHATML = LOOP + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
CHATML += "<|im_start|>assistant\n{% endif %}"
SYSTEM_IN_USER = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set s = '<<SYS>>\n' + messages[0].content + "
    "'\n<</SYS>>\n\n' %}{% else %}{% set rest = messages %}{% set s = '' %}{% endif %}{% for m in rest %}"
    "{% if m.role == 'user' %}[INST] {{ s if loop.first else '' }}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }} <|im_end|>{% endif %}{% endfor %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" + CHATML
TRIMMED = CHATML.replace("m.content", "m.content | trim")
NO_THOUGHTS = CHATML.replace("m.content", "m.content.split('</think>')[-1]")
SHORT_MEMORY = CHATML.replace(LOOP, "{% for m in messages[-2:] %}")
COUNTED = CHATML.replace("<|im_start|>{{", "{{ loop.index if m.role == 'user' else '' }}<|im_start|>{{")
DATED = "{{ strftime_now('%d %b %Y') }}" + CHATML


def chat_template(tokenizer: Any, template: str | None = None) -> ChatTemplate:
    own = copy.deepcopy(tokenizer)
    if template is not None:
        own.chat_template = template
    return ChatTemplate(own)


def conversations(shapes: Sequence[Sequence[Any]]) -> list[Conversation]:
    return [Conversation(f"rows:{number}", shape) for number, shape in enumerate(shapes, 1)]


@pytest.mark.parametrize(
    "template", [None, CHATML, SYSTEM_IN_USER, NO_THOUGHTS], ids=["smollm2", "plain", "inst", "think"]
)
def test_every_shape_is_said_character_by_character(tokenizer, template):
    one = chat_template(tokenizer, template)
    found = go_template(one)
    prove(template_of(modelfile(found.source, ["<|im_end|>"], 4096)), conversations(SHAPES), one)


def test_a_system_message_that_the_template_brings_itself_is_written_only_where_none_is_given(tokenizer):
    source = go_template(chat_template(tokenizer)).source
    assert "You are a helpful AI assistant named SmolLM" in expand(source, [USER])
    assert "SmolLM" not in expand(source, [SYSTEM, USER])
    assert "SmolLM" not in expand(source, [{"role": "system", "content": ""}, USER])


def test_a_template_without_system_turns_is_said_without_them(tokenizer):
    one = chat_template(tokenizer, NO_SYSTEM)
    found = go_template(one)
    prove(found.source, conversations([[USER], [USER, ANSWER, USER]]), one)
    assert "takes no system message" in found.notes[0]


@pytest.mark.parametrize(
    ("template", "note"), [(TRIMMED, "strips whitespace"), (NO_THOUGHTS, "drops earlier reasoning")]
)
def test_what_go_cannot_do_to_a_content_is_noted_and_refused_where_a_row_needs_it(tokenizer, template, note):
    one = chat_template(tokenizer, template)
    found = go_template(one)
    assert note in found.notes[0]
    plain = {"role": "user", "content": "plain"}
    prove(found.source, conversations([[plain]]), one)
    thought = {"role": "assistant", "content": " <think>a</think>b"}
    with pytest.raises(
        ExportError, match=r"rows:2: the chat template cannot be translated to Go; from character \d+ of"
    ):
        prove(found.source, conversations([[plain], [plain, thought, plain]]), one)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (SHORT_MEMORY, "it writes the messages 2, 3 in this order, not each once"),
        (COUNTED, r"it writes '<\|im_end\|>\\n5<\|im_start\|>user\\n' before a user message, and"),
        (DATED, "writes the current date"),
    ],
    ids=["memory", "counted", "dated"],
)
def test_what_cannot_be_said_in_go_is_refused_with_the_reason(tokenizer, template, reason):
    with pytest.raises(ExportError, match=reason):
        go_template(chat_template(tokenizer, template))


@pytest.mark.parametrize(
    ("messages", "tools", "problem"),
    [
        ([USER], [{"type": "function", "function": {"name": "f"}}], "tools are not"),
        ([USER, {"role": "assistant", "content": "", "tool_calls": [{}]}, USER], None, r"tool calls \(messages\[1\]\)"),
        ([{"role": "developer", "content": "a"}, USER], None, "the role 'developer'"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], None, "content in parts"),
        ([USER, USER], None, "cannot be translated to Go"),  # Ollama joins them
    ],
)
def test_a_row_that_the_template_cannot_say_is_named(tokenizer, messages, tools, problem):
    one = chat_template(tokenizer)
    with pytest.raises(ExportError, match=f"rows:7: .*{problem}"):
        prove(go_template(one).source, [Conversation("rows:7", messages, tools)], one)


def test_a_beginning_that_the_server_adds_is_left_out():
    def render(messages: Sequence[Message], answer_next: bool) -> str:
        return "<s>" + "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]" * answer_next

    assert expand(derive(render, bos="<s>").source, [Message(role="user", content="a")]) == "[user]a[assistant]"
    assert expand(derive(render).source, [Message(role="user", content="a")]) == "<s>[user]a[assistant]"
    with pytest.raises(ExportError, match="a server would add it"):
        derive(render, bos="<bos>")


PIECE = st.text(st.sampled_from('ab {}"\\\n\t-<|>é\u00a0▁😀'), max_size=8)


@given(pieces=st.tuples(*[PIECE] * 7), contents=st.lists(st.text(max_size=12), min_size=6, max_size=6))
def test_any_pieces_survive_the_modelfile(pieces, contents):
    default, system, after_system, user, answer, again, ask = pieces

    def render(messages: Sequence[Message], answer_next: bool) -> str:
        text, last = "", ""
        for message in messages:
            role = message["role"]
            if role == "system":
                text += system
            elif role == "assistant":
                text += answer
            else:
                text += {"": default + user, "system": after_system, "assistant": again}[last]
            text, last = text + str(message["content"]), role
        return text + ask

    source = template_of(modelfile(derive(render).source, ['"stop"', "<|end|>"], 4096))
    for shape in SHAPES:
        messages = [Message(role=one["role"], content=text) for one, text in zip(shape, contents, strict=False)]
        assert expand(source, messages) == render(messages, True)


@pytest.mark.parametrize(
    "source",
    [
        "{{ end }}",
        "{{ range .Messages }}",
        '{{ if eq .Role "user" }}',
        "{{ .Tools }}",
        "{{ .Content }}",
        "{{ if .Role }}a{{ end }}",
    ],
)
def test_a_broken_go_template_is_no_bare_traceback(source):
    with pytest.raises(ExportError, match="Go template"):
        expand(source, [Message(role="user", content="a")])


def test_the_modelfile_says_how_to_sample_and_where_to_stop():
    text = modelfile("a\n", ["<|im_end|>", 'say "end"'], 8192)
    assert template_of(text) == "a\n"
    assert text.splitlines()[2:] == [
        "FROM .",
        'TEMPLATE """a',
        '"""',
        'PARAMETER stop "<|im_end|>"',
        'PARAMETER stop """say "end""""',
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1.0",
        "PARAMETER num_ctx 8192",
    ]
    with pytest.raises(ExportError, match="no TEMPLATE"):
        template_of("FROM .\n")


@pytest.mark.parametrize(("longest", "limit", "room"), [(10, None, 4096), (10, 512, 512), (3000, 32768, 8192)])
def test_the_context_has_room_for_twice_the_longest(longest, limit, room):
    assert context_for(longest, limit) == room
