"""What templates strip or leave out around what is written: blanks, empty thoughts, names, parameters, dates."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import Any

import pytest

from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from tests.templates.conftest import with_tokens_of
from tests.templates.test_templates import CALL, PLACE, TOOL, chat, learned

ASKS = "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
TRIMS = "{%- for m in messages -%}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor -%}" + ASKS
NAMES = (
    "{%- for m in messages -%}<|im_start|>{{ m.role }}{{ ' ' + m.name if m.name }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor -%}" + ASKS
)
CALLS = (
    "{%- for t in tools or [] -%}{{ t.function.name }}: {{ t.function.description }}PARAMETERS\n{%- endfor -%}"
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{%- for c in m.tool_calls or [] -%}{{ c.function | tojson }}{%- endfor -%}<|im_end|>\n{% endfor -%}" + ASKS
)


@pytest.fixture(scope="module")
def made(tokenizer: Any) -> Any:
    return cache(lambda template, day=None: ChatTemplate(with_tokens_of(tokenizer, template), day=day))


@pytest.mark.parametrize("written", ["    return 1\n", "\n\n  a\n  b  ", "\tx", "x \n"])
@pytest.mark.parametrize("shape_name", [None, "known_roles", "call_instead_of_text", "thought_in_history"])
def test_blanks_around_an_answer_are_learned_as_they_are_written(made, shape, shape_name, written):
    template = made(TRIMS) if shape_name is None else shape(shape_name)
    messages = chat("Code?", written, "More?", written)
    found = [text for one in template.encode_examples(messages, place=PLACE) for text in learned(template, one)]
    ends = template.tokenizer.convert_ids_to_tokens(list(template.stop_ids))
    for text in found:
        end = next(end for end in ends if text.endswith(end))
        assert text.removesuffix(end).endswith(written)
    assert len(found) == 2
    asked = template.encode_prompt(messages[:3]).tolist()
    last = template.encode_examples(messages, place=PLACE)[-1]
    assert last.ids[: len(asked)].tolist() == asked


def test_an_empty_thought_closes_the_one_that_the_prompt_opens(shape):
    template = shape("thought_dropped")
    for written in ("<think></think>Two.", "<think>\n</think>Two.", "</think>Two."):
        (one,) = template.encode_examples(chat("One?", written), place=PLACE)
        assert learned(template, one)[0].strip() == "</think>Two.<|eos|>"
        assert not template.notes(chat("One?", written))


def test_names_are_rendered_or_refused(made, shape):
    messages: list[Any] = [{"role": "user", "name": "Ana", "content": "a"}, {"role": "assistant", "content": "b"}]
    (one,) = made(NAMES).encode_examples(messages, place=PLACE)
    assert "user Ana" in made(NAMES).tokenizer.decode(one.ids)
    with pytest.raises(DataError, match="leaves out the name 'Ana'") as caught:
        shape("known_roles").encode_examples(messages, place=PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, "messages[0].name")
    assert len(shape("known_roles").encode_prompt(messages[:1]))  # clients send names
    result: list[Any] = [{"role": "tool", "tool_call_id": "call_1", "name": "weather", "content": "4 degrees"}]
    called = [*chat("Weather?", "", tool_calls=[CALL]), *result, *chat("x", "Cold.")[1:]]
    assert shape("next_role_ends").encode_examples(called, [TOOL], PLACE)  # the call names the function


def test_parameters_of_tools_are_rendered_or_refused(made):
    messages = chat("Weather?", "", tool_calls=[CALL])
    for written in ("{{ t.function.parameters | tojson }}", "{{ t.function.parameters.properties.keys() | join }}"):
        assert made(CALLS.replace("PARAMETERS", written)).encode_examples(messages, [TOOL], PLACE)
    lost = CALLS.replace("PARAMETERS", "")
    with pytest.raises(DataError, match="leaves out 'city'") as caught:
        made(lost).encode_examples(messages, [TOOL], PLACE)
    assert caught.value.field == "tools[0].function.parameters.city"
    reacts = CALLS.replace(
        "PARAMETERS", "{% for p in t.function.parameters.properties if p | length < 7 %}{{p}}{% endfor %}"
    )
    assert made(reacts).encode_examples(messages, [TOOL], PLACE)


def test_a_call_without_arguments_ends_too(shape):
    call = {**CALL, "function": {"name": "weather", "arguments": "{}"}}
    (one,) = shape("next_role_ends").encode_examples(chat("Weather?", "Look.", tool_calls=[call]), [TOOL], PLACE)
    (text,) = learned(shape("next_role_ends"), one)
    assert text.endswith("weather\n</tool_call><|observation|>")


def test_results_stand_in_the_order_of_their_calls(made):
    template = made(CALLS.replace("PARAMETERS", "{{ t.function.parameters | tojson }}"))
    calls = [{**CALL, "id": f"call_{number}"} for number in (1, 2)]
    results: list[Any] = [{"role": "tool", "tool_call_id": f"call_{n}", "content": f"result {n}"} for n in (1, 2)]
    begun, ended = chat("Weather?", "", tool_calls=calls), chat("x", "Cold.")[1:]
    wanted, found = (
        template.encode_examples([*begun, *order, *ended], [TOOL], PLACE) for order in (results, results[::-1])
    )
    assert [one.ids.tolist() for one in found] == [one.ids.tolist() for one in wanted]


def test_a_turn_that_answers_nothing_is_refused_by_name(shape):
    greeting: list[Any] = [{"role": "assistant", "content": "Hello!"}, *chat("a", "b")]
    with pytest.raises(
        DataError, match="nothing is asked before the assistant's first turn; give it weight 0"
    ) as caught:
        shape("known_roles").encode_examples(greeting, place=PLACE)
    assert caught.value.field == "messages[0]"
    greeting[0]["weight"] = 0
    assert len(shape("known_roles").encode_examples(greeting, place=PLACE)) == 1


@pytest.mark.parametrize("call", [
    'strftime_now("%d %B %Y")', "strftime_now(f)", 'strftime_now("%d " + "%B %Y")', 'strftime_now(format="%d %B %Y")',
])  # fmt: skip
def test_a_day_is_pinned_in_every_format(made, call):
    source = "{%- set f = '%d %B %Y' -%}  {{ " + call + " }} 100%\n" + TRIMS
    assert "09 March 2025 100%<" in made(source, date(2025, 3, 9)).render(chat("a"))
    today = date.today()
    assert made(source, today).render(chat("a")) == made(source).render(chat("a"))


def test_blanks_that_a_template_strips_off_a_question_are_noted(made, shape):
    messages = [{"role": "system", "content": "Be brief.\n"}, *chat("    def f():\n", "a", "  b", "c ")]
    found = {note.field: note.message for note in made(TRIMS).notes(messages) if note.kind == "blanks"}
    assert found == {
        "messages[0].content": "the template strips the whitespace after it",
        "messages[1].content": "the template strips the whitespace before and after it",
        "messages[3].content": "the template strips the whitespace before it",
    }
    keeps = made(TRIMS.replace(" | trim", ""))
    assert not keeps.notes(messages)
    assert keeps.notes(messages[1:]) == []


@pytest.mark.parametrize("change", ["upper", "replace('o', '0')", "replace('\\n\\n', '\\n')", "indent(2)"])
def test_a_text_that_a_template_changes_is_noted_or_refused(made, change):
    template = made(TRIMS.replace("trim", change))
    text = "one\n\ntwo"
    (note,) = template.notes(chat(text, "1"))
    assert (note.field, note.kind) == ("messages[0].content", "changed")
    assert "written 'one" in note.message
    assert template.encode_examples(chat(text, "1"), place=PLACE)  # as the model's authors meant it
    with pytest.raises(DataError, match=r"changes the text: .*chat_template=") as caught:
        template.encode_examples(chat("1", text), place=PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, "messages[1].content")
    with pytest.raises(DataError, match="changes the text"):
        template.encode_examples(chat("1", text, "2", "3"), place=PLACE)


def test_texts_inside_json_are_not_changed(made):
    template = made(TRIMS.replace("m.content | trim", "(m.content | tojson) if m.role == 'user' else m.content"))
    assert not template.notes(chat('a "b"\n\né', "1"))
