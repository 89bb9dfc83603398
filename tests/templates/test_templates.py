"""Every shape of template can be asked, is trained as it is asked, and loses nothing in silence."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftkit.errors import DataError, ModelError, Place
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tokenized_example import TokenizedConversation
from ftkit.task import Message
from tests.templates.conftest import SHAPES

PLACE = Place("chats.jsonl", 7)
DAY = date(2025, 3, 9)
NAMES = sorted(path.stem for path in SHAPES.glob("*.jinja"))
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
ANSWERS = {
    "arguments_as_text": "Two.<|eos|>",
    "call_instead_of_text": "Two.<|eot|>",
    "channels": "<|channel|>final<|message|>Two.<|return|>",
    "empty_thought": "Two.<turn|>",
    "known_roles": "Two.<|im_end|>",
    "next_role_ends": "Two.<|user|>",
    "no_system": "Two.<|turn_end|>",
    "parts_only": "Two.<|im_end|>",
    "special_thought": "Two.<|done|>",
    "thought_as_text": "\n</think>\n\nTwo.<|im_end|>",
    "thought_closed": "</think>Two.<|eos|>",
    "thought_dropped": "Two.<|eos|>",
    "thought_in_history": "\n</think>\n\nTwo.<|im_end|>",
    "two_ends": "Two.<|end|>",
    "validating_tools": "Two.<|eos|>",
}
"""What is learned of the answer "Two.", for the templates that can be trained."""


def chat(*contents: str, **last: Any) -> list[Message]:
    messages: list[Any] = [
        {"role": ("user", "assistant")[number % 2], "content": content} for number, content in enumerate(contents)
    ]
    messages[-1] |= last
    return messages


def learned(template: ChatTemplate, one: TokenizedConversation) -> list[str]:
    """The runs of supervised tokens as texts, special tokens shown."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], one.supervised.astype(int), [0]])))
    return [
        template.tokenizer.decode(one.ids[start:end], clean_up_tokenization_spaces=False)
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]


def test_the_table_has_every_shape_that_can_be_trained():
    assert sorted(ANSWERS) == [name for name in NAMES if name != "never_ends"]


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_has_the_tokens_of_the_library(shape, name):
    template = shape(name)
    messages = chat("One?", "Two.", "Three?")
    if name == "parts_only":
        messages = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]
    expected = template.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert template.encode_prompt(messages).tolist() == expected
    assert template.stop_ids


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_what_is_learned_follows_the_prompt_as_it_is_served(shape, name):
    template = shape(name)
    (one,) = template.encode_examples(chat("One?", "Two."), place=PLACE)
    asked = template.encode_prompt(chat("One?"))
    assert one.ids[: len(asked)].tolist() == asked.tolist()
    assert one.supervised.tolist() == [False] * len(asked) + [True] * (len(one.ids) - len(asked))
    assert learned(template, one) == [ANSWERS[name]]
    assert one.ids[-1] in template.stop_ids


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_later_turns_follow_their_prompts_too(shape, name):
    template = shape(name)
    messages = chat("One?", "Two.", "Three?", "Two.", "Five?", "Two.")
    found = template.encode_examples(messages, place=PLACE)
    assert [text for one in found for text in learned(template, one)] == [ANSWERS[name]] * 3
    for number in (1, 3, 5):
        asked = template.encode_prompt(messages[:number]).tolist()
        assert any(one.ids[: len(asked)].tolist() == asked and one.supervised[len(asked)] for one in found)


def test_a_template_without_an_end_answers_and_is_not_trained(shape):
    with pytest.raises(DataError, match=r"no end-of-turn token .*another template") as caught:
        shape("never_ends").encode_examples(chat("One?", "Two."), place=PLACE)
    assert (caught.value.place, caught.value.field, caught.value.problem) == (PLACE, "messages[1]", "no_end_of_turn")


@pytest.mark.parametrize("name", ["known_roles", "call_instead_of_text", "thought_in_history"])
def test_a_developer_is_a_system_where_the_template_knows_none(shape, name):
    template = shape(name, DAY)
    rules: list[Any] = [{"role": "developer", "content": "Be brief."}]
    as_system = [{"role": "system", "content": "Be brief."}]
    assert (
        template.encode_prompt([*rules, *chat("a")]).tolist()
        == template.encode_prompt([*as_system, *chat("a")]).tolist()
    )
    assert [note.kind for note in template.notes([*rules, *chat("a", "b")])][:1] == ["role"]


def test_a_developer_stays_one_where_the_template_knows_it(shape):
    template = shape("channels", DAY)
    text = template.render([{"role": "developer", "content": "Be brief."}, *chat("a")])
    assert "<|start|>developer<|message|>Be brief.<|end|>" in text


def test_a_role_that_the_template_refuses_is_named(shape):
    rules: list[Any] = [{"role": "developer", "content": "Be brief."}]
    with pytest.raises(ModelError, match=r"^chats\.jsonl:7: .*System role not supported"):
        shape("no_system").encode_examples([*rules, *chat("a", "b")], place=PLACE)


def test_what_is_left_out_is_named(shape):
    tools: list[Any] = [{"role": "tool", "tool_call_id": "call_1", "content": "4 degrees"}]
    called = chat("Weather?", "", tool_calls=[CALL])
    with pytest.raises(DataError, match="leaves out tool calls") as caught:
        shape("known_roles").encode_examples(called, None, PLACE)
    assert caught.value.field == "messages[1].tool_calls"
    with pytest.raises(ModelError, match=r"messages\[2\]\.content: .* leaves out the tool message"):
        shape("known_roles").encode_prompt([*chat("a", "b"), *tools])
    with pytest.raises(ModelError, match=r"^tools: the model's chat template leaves out the tools"):
        shape("known_roles").encode_prompt(chat("a"), [TOOL])
    with pytest.raises(DataError, match="leaves out the text beside tool calls") as caught:
        shape("call_instead_of_text").encode_examples(chat("a", "Let me look.", tool_calls=[CALL]), [TOOL], PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, "messages[1].content")
    with pytest.raises(DataError, match="leaves out reasoning_content") as caught:
        shape("known_roles").encode_examples(chat("a", "b", reasoning_content="c"), place=PLACE)
    assert caught.value.field == "messages[1].reasoning_content"


def test_a_short_text_is_missed_although_its_letters_are_elsewhere(shape):
    rules: list[Any] = [{"role": "tool", "tool_call_id": "call_1", "content": "a"}]
    with pytest.raises(ModelError, match=r"messages\[2\]\.content: .* leaves out the tool message: 'a'"):
        shape("known_roles").encode_prompt([*chat("a", "a"), *rules, *chat("a")])


@pytest.mark.parametrize(
    ("name", "calls", "result"),
    [
        ("validating_tools", '"weather", "arguments": {"city": "Oslo"}', '{"content": "4 degrees", "id": '),
        ("channels", "to=functions.weather<|channel|>commentary json<|message|>", '"4 degrees"'),
        ("call_instead_of_text", '{"name": "weather", "parameters": {"city": "Oslo"}}<|eot|>', '"4 degrees"'),
        ("thought_in_history", '{"name": "weather", "arguments": {"city": "Oslo"}}', "4 degrees"),
        ("next_role_ends", "<tool_call>weather\ncity=Oslo\n</tool_call><|observation|>", "4 degrees"),
    ],
)
def test_rows_with_tools_are_rendered_whole(shape, name, calls, result):
    template = shape(name, DAY)
    messages: list[Any] = [
        *chat("Weather?", "", tool_calls=[CALL]),
        {"role": "tool", "tool_call_id": "call_1", "content": "4 degrees"},
        {"role": "assistant", "content": "Cold."},
    ]
    found = template.encode_examples(messages, [TOOL], PLACE)
    texts = [text for one in found for text in learned(template, one)]
    assert len(texts) == 2
    assert calls in texts[0]
    assert "Cold." in texts[1]
    assert result in template.tokenizer.decode(found[-1].ids)
    asked = template.encode_prompt(messages[:1], [TOOL]).tolist()
    assert found[0].ids[: len(asked)].tolist() == asked


def test_arguments_are_given_as_text_where_the_template_wants_one(shape):
    template = shape("arguments_as_text")
    (one,) = template.encode_examples(chat("a", "", tool_calls=[CALL]), [TOOL], PLACE)
    assert learned(template, one) == ['<|call|>weather\n{"city": "Oslo"}<|/call|><|eos|>']


def test_a_thought_in_the_content_is_learned_although_the_template_drops_it(shape):
    template = shape("thought_dropped")
    for written in ("<think>\nHm.\n</think>\n\nTwo.", "<think>Hm.</think>Two.", "\nHm.\n</think>\n\nTwo."):
        (one,) = template.encode_examples(chat("One?", written), place=PLACE)
        expected = written.removeprefix("<think>").removeprefix("\n")
        assert learned(template, one) == [f"{expected}<|eos|>"]
    assert template.encode_prompt(chat("One?", "<think>Hm.</think>Two.", "a")).tolist() == (
        template.encode_prompt(chat("One?", "Two.", "a")).tolist()
    )


def test_a_thought_in_the_content_follows_the_prompt_that_opens_it(shape):
    template = shape("thought_as_text")
    (one,) = template.encode_examples(chat("One?", "<think>\nHm.\n</think>\n\nTwo."), place=PLACE)
    assert learned(template, one) == ["Hm.\n</think>\n\nTwo.<|im_end|>"]


def test_a_thought_after_a_prompt_that_ends_it_is_refused(shape):
    with pytest.raises(DataError, match="does not begin an assistant turn with its generation prompt") as caught:
        shape("two_ends").encode_examples(chat("One?", "Two.", reasoning_content="Hm."), place=PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, "messages[1]")


def test_turns_share_a_sequence_although_the_conversation_ends_otherwise(shape):
    template = shape("two_ends")
    (one,) = template.encode_examples(chat("One?", "Two.", "Three?", "Four."), place=PLACE)
    assert learned(template, one) == ["Two.<|end|>", "Four.<|end|>"]
    assert template.tokenizer.decode(one.ids[-1]) == "<|end|>"


def test_an_answer_in_the_place_of_a_thought_is_noted(shape):
    kinds = {
        name: [note.kind for note in shape(name).notes(chat("One?", "Two."))]
        for name in ("thought_dropped", "thought_in_history", "thought_closed", "known_roles")
    }
    assert kinds == {
        "thought_dropped": ["open_thought"],
        "thought_in_history": [],
        "thought_closed": [],
        "known_roles": [],
    }


def test_thoughts_that_are_left_out_of_later_prompts_are_noted(shape):
    template = shape("thought_in_history")
    messages = chat("One?", "<think>\nHm.\n</think>\n\nTwo.", "Three?", "Four.")
    first, second = template.encode_examples(messages, place=PLACE)
    assert learned(template, first) == ["Hm.\n</think>\n\nTwo.<|im_end|>"]
    assert "Hm." not in template.tokenizer.decode(second.ids)
    assert [(note.field, note.kind) for note in template.notes(messages)] == [("messages[1].content", "left_out")]


def test_the_tag_of_a_thought_does_not_end_a_turn(shape):
    template = shape("special_thought")
    (one,) = template.encode_examples(chat("One?", "Two.", reasoning_content="Hm."), place=PLACE)
    assert learned(template, one) == ["[THINK]Hm.[/THINK]Two.<|done|>"]
    (one,) = template.encode_examples(chat("One?", "[THINK]Hm.[/THINK]Two."), place=PLACE)
    assert learned(template, one) == ["[THINK]Hm.[/THINK]Two.<|done|>"]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_is_read_back_as_it_was_written(shape, name):
    template = shape(name)
    (one,) = template.encode_examples(chat("One?", "Two."), place=PLACE)
    answer = template.decode(one.ids[one.supervised].tolist())
    assert template.answer_text(answer, keep_thought=True).removeprefix("final") == "Two."


def test_thoughts_of_a_model_are_cut_off(shape):
    template = shape("known_roles")
    assert template.answer_text("<think>\n\n</think>\n\nTwo.", keep_thought=True) == "Two."
    assert template.answer_text("<think>\nHm.</think>Two.", keep_thought=False) == "Two."
    for text in ("<think>\nHm.</think>Two.", "Two. </think>", "<think>Two."):
        assert template.answer_text(text, keep_thought=True) == text
    assert shape("thought_dropped").answer_text("Hm.\n</think>\n\nTwo.", keep_thought=True) == "Two."
    assert shape("thought_dropped").answer_text("Two.", keep_thought=True) == "Two."


def test_history_has_the_tokens_of_the_server(shape):
    template = shape("known_roles")
    messages = chat("One?", "\n\nTwo.", "Three?", " Four.")
    found = template.encode_examples(messages, place=PLACE)
    assert [text for one in found for text in learned(template, one)] == ["\n\nTwo.<|im_end|>", " Four.<|im_end|>"]
    for one, number in zip(found, (1, 3), strict=True):
        asked = template.tokenizer.apply_chat_template(messages[:number], add_generation_prompt=True, return_dict=False)
        assert one.ids[: len(asked)].tolist() == asked


def test_the_day_is_the_one_that_was_given(shape):
    for name, written in (("channels", "Today: 2025-03-09<|end|>"), ("call_instead_of_text", "Today: 09 Mar 2025\n")):
        assert written in shape(name, DAY).render(chat("a"))
        assert (shape(name, DAY).day, shape(name, DAY).writes_day) == (DAY, True)
        assert date.today().strftime("%Y") in shape(name).render(chat("a"))
    assert (shape("known_roles", DAY).day, shape("known_roles", DAY).writes_day) == (None, False)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_writes_a_control_token(shape, name):
    template = shape(name, DAY)
    own = template.tokenizer
    control = sorted(set(own.all_special_ids) | set(template.stop_ids))
    written = " ".join(own.convert_ids_to_tokens(control))
    forged = f"a {written} b"
    plain = template.encode_prompt(chat("a xyz b")).tolist()
    asked = template.encode_prompt(chat(forged)).tolist()
    assert [one for one in asked if one in control] == [one for one in plain if one in control]
    assert forged in own.decode(asked, clean_up_tokenization_spaces=False).replace(own.bos_token * 2, own.bos_token)
    assert "messages[0].content" in template.control_texts(chat(forged))
    if name in ANSWERS:
        stops = " ".join(own.convert_ids_to_tokens(list(template.stop_ids)))
        (one,) = template.encode_examples(chat("One?", f"x {stops} y"), place=PLACE)
        assert [int(token) in template.stop_ids for token in one.ids[one.supervised]].count(True) == 1


def test_real_templates(tokenizer, real_template: Path):
    """Each template of the folder ``FTKIT_TEMPLATES`` renders prompts as the library does, and is trained as asked."""
    from tests.templates.conftest import with_tokens_of

    template = ChatTemplate(with_tokens_of(tokenizer, real_template.read_text(encoding="utf-8")), day=date.today())
    messages = chat("One plus one?", "It is two.", "And three?")
    asked = template.encode_prompt(messages)
    parts = [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]
    whole = {"add_generation_prompt": True, "return_dict": False}
    try:
        expected = [template.tokenizer.apply_chat_template(messages, **whole)]
    except Exception:  # it takes parts only
        expected = []
    assert asked.tolist() in expected or asked.tolist() == template.tokenizer.apply_chat_template(parts, **whole)
    try:
        found = template.encode_examples([*messages, {"role": "assistant", "content": "It is five."}], place=PLACE)
    except DataError as error:
        assert "another template" in str(error)  # noqa: PT017
        return
    assert found[-1].ids[: len(asked)].tolist() == asked.tolist()
    assert "It is five." in learned(template, found[-1])[-1]
    assert found[-1].ids[-1] in template.stop_ids
