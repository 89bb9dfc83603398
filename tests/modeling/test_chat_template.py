"""What is learnt is what is asked: ids and loss mask come from one rendering of the conversation."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftkit.errors import DataError, ModelError, Place
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.template_source import PLAIN_TEMPLATE
from ftkit.modeling.tokenized_example import TokenizedConversation
from ftkit.task import Message
from tests.tiny import END

PLACE = Place("chats.jsonl", 7)

# As Qwen3's and DeepSeek's: what was thought in turns before the last question is not shown again.
REASONING = (
    "{%- set ns = namespace(last=-1) -%}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}"
    "{%- for m in messages -%}"
    "{%- set c = m.content -%}"
    "{%- if m.role == 'assistant' and loop.index0 < ns.last -%}{%- set c = c.split('</think>')[-1] -%}{%- endif -%}"
    "{{- '<|im_start|>' + m.role + '\n' + c + '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
TOOLS_SHOWN = (
    "{%- if tools -%}{{- '<|im_start|>tools\n' + tools | tojson + '<|im_end|>\n' -}}{%- endif -%}"
    "{%- for m in messages -%}"
    "{{- '<|im_start|>' + m.role + '\n' + m.content -}}"
    "{%- for call in m.tool_calls or [] -%}{{- call.function.name + call.function.arguments.city -}}{%- endfor -%}"
    "{{- '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


@pytest.fixture
def with_template(tokenizer: Any) -> Any:
    """Makes a renderer of a chat template over SmolLM2's vocabulary."""

    def make(template: str | None) -> ChatTemplate:
        own = copy.deepcopy(tokenizer)
        own.chat_template = template
        return ChatTemplate(own)

    return make


@pytest.fixture(scope="module")
def chat_template(tokenizer: Any) -> ChatTemplate:
    return ChatTemplate(copy.deepcopy(tokenizer))


def chat(*contents: str, **last: Any) -> list[Message]:
    """User and assistant in turn; ``last`` are further fields of the final message."""
    messages: list[Any] = [
        {"role": ("user", "assistant")[number % 2], "content": content} for number, content in enumerate(contents)
    ]
    messages[-1] |= last
    return messages


def supervised_texts(chat_template: ChatTemplate, one: TokenizedConversation) -> list[str]:
    """The runs of supervised tokens as texts, special tokens shown."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], one.supervised.astype(int), [0]])))
    return [
        chat_template.tokenizer.decode(one.ids[start:end])
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]


def test_only_the_answer_and_its_end_are_learnt_and_nothing_follows(chat_template):
    (one,) = chat_template.encode_examples(chat("Where does it hurt?", '{"place": "knee"}'))
    assert supervised_texts(chat_template, one) == ['{"place": "knee"}<|im_end|>']
    assert one.ids[-1] == END
    assert one.supervised[-1]
    assert not one.supervised[0]


def test_the_end_is_learnt_although_it_is_also_the_padding(chat_template):
    assert chat_template.tokenizer.pad_token_id == chat_template.tokenizer.eos_token_id == END
    (one,) = chat_template.encode_examples(chat("a", "b", "c", "d"))
    assert supervised_texts(chat_template, one) == ["b<|im_end|>", "d<|im_end|>"]


text = st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(text, text), min_size=1, max_size=3), st.none() | text)
def test_what_is_asked_is_the_beginning_of_what_was_learnt(chat_template, turns, system):
    messages = chat(*(content for turn in turns for content in turn))
    if system is not None:
        messages = [{"role": "system", "content": system}, *messages]
    found = chat_template.encode_examples(messages)
    # Blanks at the beginning of an answer can share a token with the line break before it in the prompts of later turns
    assert len(found) == 1 or any(answer[:1].isspace() for _, answer in turns)
    # SmolLM2's vocabulary lacks some bytes, so a text can come back without them.
    ends = [
        chat_template.tokenizer(f"{answer}<|im_end|>", add_special_tokens=False)["input_ids"] for _, answer in turns
    ]
    learned = [text for one in found for text in supervised_texts(chat_template, one)]
    assert learned == chat_template.tokenizer.batch_decode(ends)
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            asked = chat_template.encode_prompt(messages[:number])
            [one] = [one for one in found if len(one.ids) > len(asked) and one.supervised[len(asked)]]
            assert one.ids[: len(asked)].tolist() == asked.tolist()
            assert not one.supervised[len(asked) - 1]
            whole = chat_template.tokenizer.apply_chat_template(
                messages[:number], add_generation_prompt=True, return_dict=False
            )
            assert asked.tolist() == whole


def test_turns_of_weight_zero_are_read_but_not_learnt(chat_template):
    messages = chat("a", "first", "b", "second", "c", "third")
    messages[1]["weight"] = 0
    (one,) = chat_template.encode_examples(messages)
    assert supervised_texts(chat_template, one) == ["second<|im_end|>", "third<|im_end|>"]
    assert "first" in chat_template.tokenizer.decode(one.ids)

    messages[5]["weight"] = 0
    (one,) = chat_template.encode_examples(messages)
    assert supervised_texts(chat_template, one) == ["second<|im_end|>"]
    assert "third" not in chat_template.tokenizer.decode(one.ids)

    messages[3]["weight"] = 0
    with pytest.raises(DataError, match=r"^chats\.jsonl:7: no assistant turn to learn from"):
        chat_template.encode_examples(messages, place=PLACE)


def test_a_template_that_rewrites_history_gives_one_sequence_a_turn(with_template):
    chat_template = with_template(REASONING)
    messages = chat("a", "<think>hm</think>one", "b", "<think>so</think>two", "c", "<think>oh</think>three")
    messages[3]["weight"] = 0
    rows = chat_template.encode_examples(messages)
    assert len(rows) == 2
    for row, number in zip(rows, (1, 5), strict=True):
        asked = chat_template.encode_prompt(messages[:number])
        answer = f"{messages[number]['content']}<|im_end|>"
        assert row.ids[: len(asked)].tolist() == asked.tolist()
        assert not row.supervised[: len(asked)].any()
        assert row.supervised[len(asked) :].all()
        assert chat_template.tokenizer.decode(row.ids[len(asked) :]) == answer
    assert "hm" not in chat_template.tokenizer.decode(rows[1].ids)


def test_a_conversation_that_such_a_template_would_rewrite_can_be_asked(with_template):
    messages = chat("a", "<think>hm</think>one", "b")
    text = with_template(REASONING).tokenizer.decode(with_template(REASONING).encode_prompt(messages))
    assert text == (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\none<|im_end|>\n"
        "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tool_calls_that_the_template_leaves_out_are_an_error(chat_template):
    messages = chat("Weather?", None, tool_calls=[CALL])
    with pytest.raises(DataError) as caught:
        chat_template.encode_examples(messages, place=PLACE)
    assert caught.value.field == "messages[1].tool_calls"
    assert str(caught.value).startswith("chats.jsonl:7: messages[1].tool_calls: the model's chat template leaves out")


def test_tools_that_the_template_leaves_out_are_an_error(chat_template):
    with pytest.raises(DataError) as caught:
        chat_template.encode_examples(chat("Weather?", "Rain."), [TOOL], PLACE)
    assert caught.value.field == "tools"


def test_tool_calls_that_the_template_shows_are_learnt(with_template):
    chat_template = with_template(TOOLS_SHOWN)
    messages: list[Any] = [
        *chat("Weather?", None, tool_calls=[CALL]),
        {"role": "tool", "content": "4 degrees", "tool_call_id": "1"},
        {"role": "assistant", "content": "Cold."},
    ]
    (one,) = chat_template.encode_examples(messages, [TOOL])
    assert supervised_texts(chat_template, one) == ["weatherOslo<|im_end|>", "Cold.<|im_end|>"]
    asked = chat_template.encode_prompt(messages[:1], [TOOL])
    assert one.ids[: len(asked)].tolist() == asked.tolist()


def test_text_parts_are_joined_for_a_template_that_takes_texts(with_template):
    chat_template = with_template(PLAIN_TEMPLATE.replace("message['content']", "message['content'] | trim"))
    parts: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
    ]
    (from_parts,) = chat_template.encode_examples(parts)
    (from_texts,) = chat_template.encode_examples(chat("Hi", "Hello"))
    assert from_parts.ids.tolist() == from_texts.ids.tolist()
    assert supervised_texts(chat_template, from_parts) == ["Hello<|im_end|>"]


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file", "image"])
def test_parts_that_are_not_text_are_refused_with_their_place(chat_template, kind):
    messages: list[Any] = chat("What is it?", "A cat.")
    messages[0]["content"] = [{"type": "text", "text": "What is it?"}, {"type": kind, kind: {"url": "a.png"}}]
    with pytest.raises(DataError, match=f"a part of type '{kind}'") as caught:
        chat_template.encode_examples(messages, place=PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, "messages[0].content[1]")
    with pytest.raises(ModelError, match=r"messages\[0\].content\[1\]: a part of type"):
        chat_template.encode_prompt(messages[:1])


THINKING = PLAIN_TEMPLATE.replace(
    "+ message['content']",
    "+ ('<think>' + message['reasoning_content'] + '</think>' if message['reasoning_content'] and loop.last else '')"
    " + message['content']",
)


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_that_the_template_leaves_out_is_an_error(chat_template, key):
    messages = chat("2+2?", "4")
    messages[1][key] = "Two and two."
    with pytest.raises(DataError, match=f"leaves out {key}") as caught:
        chat_template.encode_examples(messages, place=PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, f"messages[1].{key}")
    messages[1]["weight"] = 0  # read, not learned: a template may leave it out of the history
    chat_template.encode_examples([*messages, *chat("And 3?", "7")], place=PLACE)


def test_reasoning_that_the_template_shows_is_learnt(with_template):
    chat_template = with_template(THINKING)
    messages = chat("2+2?", "4", "And 3?", "7")
    messages[1]["reasoning_content"], messages[3]["reasoning_content"] = "Two.", "Three."
    first, second = chat_template.encode_examples(messages, place=PLACE)
    assert supervised_texts(chat_template, first) == ["<think>Two.</think>4<|im_end|>"]
    assert supervised_texts(chat_template, second) == ["<think>Three.</think>7<|im_end|>"]


def test_a_row_that_the_template_refuses_is_named(with_template):
    template = "{%- if messages[0].role == 'system' -%}{{ raise_exception('no system') }}{%- endif -%}" + PLAIN_TEMPLATE
    with pytest.raises(ModelError, match=r"^chats\.jsonl:7: the model's chat template cannot render .*no system"):
        with_template(template).encode_examples([{"role": "system", "content": "s"}, *chat("a", "b")], place=PLACE)


def test_a_tokenizer_without_a_template_gets_a_plain_one(with_template):
    chat_template = with_template(None)
    assert chat_template.tokenizer.chat_template == PLAIN_TEMPLATE
    assert chat_template.template_hash != ""
    (one,) = chat_template.encode_examples(chat("a", "b"))
    assert chat_template.tokenizer.decode(one.ids) == "### user\na<|im_end|>\n### assistant\nb<|im_end|>"
    assert supervised_texts(chat_template, one) == ["b<|im_end|>"]


def test_a_template_that_raises_is_the_models_fault(with_template):
    template = (
        "{%- if messages[0].role == 'system' -%}{{ raise_exception('System role not supported') }}{%- endif -%}"
        + PLAIN_TEMPLATE
    )
    chat_template = with_template(template)
    with pytest.raises(ModelError, match="cannot render this conversation: System role not supported"):
        chat_template.encode_prompt([{"role": "system", "content": "s"}, *chat("a")])


def test_a_template_that_never_ends_a_turn_can_be_asked_and_is_not_trained(with_template):
    template = "{%- for m in messages -%}{{- m.role + ': ' + m.content + '\n' -}}{%- endfor -%}"
    chat_template = with_template(template + "{%- if add_generation_prompt -%}{{- 'assistant: ' -}}{%- endif -%}")
    assert chat_template.tokenizer.decode(chat_template.encode_prompt(chat("a"))) == "user: a\nassistant: "
    assert chat_template.stop_ids == (END,)
    with pytest.raises(DataError, match="no end-of-turn token"):
        chat_template.encode_examples(chat("a", "b"), place=PLACE)


def test_a_turn_without_an_end_is_an_error_with_its_place(with_template):
    template = (
        "{%- for m in messages -%}"
        "{{- '<|im_start|>' + m.role + '\n' + m.content -}}"
        "{%- if m.content != 'open' -%}{{- '<|im_end|>' -}}{%- endif -%}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
    )
    with pytest.raises(DataError, match="no end-of-turn token") as caught:
        with_template(template).encode_examples(chat("a", "b", "c", "open"), place=PLACE)
    assert caught.value.place == PLACE
    assert caught.value.field == "messages[3]"


def test_a_template_whose_question_is_no_beginning_of_the_turn_is_refused(with_template):
    template = PLAIN_TEMPLATE.replace("'### assistant\n'", "'### answer\n'")
    chat_template = with_template(template)
    assert chat_template.tokenizer.decode(chat_template.encode_prompt(chat("a"))).endswith("### answer\n")
    with pytest.raises(DataError, match="does not begin an assistant turn with its generation prompt") as caught:
        chat_template.encode_examples(chat("a", "b"), place=PLACE)
    assert (caught.value.place, caught.value.field) == (PLACE, "messages[1]")


def test_the_beginning_of_the_sequence_is_not_doubled():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<s>", "</s>", "[INST]", "[/INST]", "a", "b", "<unk>"])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
    assert tokenizer("a")["input_ids"] == [0, 4]  # it would add one of its own
    tokenizer.chat_template = (
        "{{- bos_token -}}{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{- ' [INST] ' + m.content + ' [/INST] ' -}}"
        "{%- else -%}{{- m.content + ' ' + eos_token -}}{%- endif -%}"
        "{%- endfor -%}"
    )
    chat_template = ChatTemplate(tokenizer)
    (one,) = chat_template.encode_examples(chat("a", "b", "b", "a"))
    assert one.ids.tolist() == [0, 2, 4, 3, 5, 1, 2, 5, 3, 4, 1]
    assert one.supervised.tolist() == [False] * 4 + [True] * 2 + [False] * 3 + [True] * 2
    assert chat_template.encode_prompt(chat("a")).tolist() == [0, 2, 4, 3]


def test_stops_are_the_end_of_turn_and_what_the_model_itself_stops_at(tokenizer):
    assert ChatTemplate(copy.deepcopy(tokenizer)).stop_ids == (END,)
    assert ChatTemplate(copy.deepcopy(tokenizer), (0, END)).stop_ids == (0, END)


def test_decoding_leaves_special_tokens_out(chat_template):
    (one,) = chat_template.encode_examples(chat("a", "größer € 🙂"))
    assert chat_template.decode(one.ids[one.supervised].tolist()) == "größer € 🙂"


def test_the_hash_is_that_of_the_template(with_template, chat_template):
    assert with_template(REASONING).template_hash == with_template(REASONING).template_hash
    assert with_template(REASONING).template_hash != chat_template.template_hash
    assert chat_template.template_hash.startswith("sha256:")
