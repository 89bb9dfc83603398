"""Columns beside a conversation, and marks on messages: honoured or refused by name, never dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

import ftkit as ft
from ftkit import DataError, Dataset, Task

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}

DEMONSTRATIONS = {
    "openai": {"messages": [USER, ANSWER]},
    "texts": {"prompt": "q", "completion": "a"},
    "lists": {"prompt": [USER], "completion": [ANSWER]},
    "alpaca": {"instruction": "q", "input": "", "output": "a"},
    "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
}
PAIRS = {
    "trl_preference": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "openai_preference": {
        "input": {"messages": [USER]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{**ANSWER, "content": "b"}],
    },
}
PROMPTS = {"openai_prompts": {"messages": [USER]}}
EVERY = {**DEMONSTRATIONS, **PAIRS, **PROMPTS}


def both_ways(write_rows, row, **options):
    """The same row from a file and from Python."""
    return [Dataset.load(write_rows([row]), **options), Dataset.from_rows([row], **options)]


def refused(write_rows, row, field):
    for data in both_ways(write_rows, row):
        (error,) = data.check()
        assert error.field == field
        assert error.place.line == 1
    return error.message


@pytest.mark.parametrize("form", EVERY)
def test_a_system_column_becomes_the_system_message(write_rows, form):
    for value in ("s", [{"type": "text", "text": "s"}]):
        if form == "alpaca" and not isinstance(value, str):
            continue
        for data in both_ways(write_rows, {**EVERY[form], "system": value}):
            assert data[0].prompt == [SYSTEM, USER]
    for data in both_ways(write_rows, {**EVERY[form], "system": None}):
        assert data[0].prompt == [USER]


def test_a_second_system_message_is_refused_if_it_differs(write_rows):
    for row in (
        {"messages": [SYSTEM, USER, ANSWER]},
        {"prompt": [SYSTEM, USER], "chosen": [ANSWER], "rejected": [USER | {"role": "assistant"}]},
        {"conversations": [{"from": "system", "value": "s"}, *DEMONSTRATIONS["sharegpt"]["conversations"]]},
    ):
        (same, _) = both_ways(write_rows, {**row, "system": "s"})
        assert same[0].prompt == [SYSTEM, USER]
        assert "which differs" in refused(write_rows, {**row, "system": "t"}, "system")
    assert "must be a text" in refused(write_rows, {"messages": [USER, ANSWER], "system": 3}, "system")


@pytest.mark.parametrize("form", EVERY)
@pytest.mark.parametrize("name", ["images", "image", "audios", "videos"])
def test_media_columns_are_refused(write_rows, form, name):
    assert "cannot be learned" in refused(write_rows, {**EVERY[form], name: ["a.png"]}, name)
    for data in both_ways(write_rows, {**EVERY[form], name: []}):
        assert data.check() == []


@pytest.mark.parametrize("form", DEMONSTRATIONS)
def test_labels_for_kto_are_not_learned_as_demonstrations(write_rows, form, tmp_path):
    for name, value, label in (("label", False, False), ("label", 1, True), ("kto_tag", "false", False)):
        for data in both_ways(write_rows, {**DEMONSTRATIONS[form], name: value}):
            assert data[0].label is label
            with pytest.raises(DataError, match="KTO") as caught:
                data[0].require_answer()
            assert (caught.value.field, caught.value.place.line) == (name, 1)
            with pytest.raises(DataError, match="KTO"):
                data.write_openai(tmp_path / "out.jsonl")
    for other in ("spam", None, 7):
        (data, _) = both_ways(write_rows, {**DEMONSTRATIONS[form], "label": other})
        assert data[0].require_answer() == ANSWER


def test_a_label_that_a_task_or_an_option_reads_is_no_label_for_kto(write_rows):
    task = Task(input="{note}", output=Literal["true", "false"])
    data = Dataset.load(
        write_rows([{"note": "n", "label": "false", "weight": 72.5, "images": ["x"]}]), task, target="label"
    )
    assert data[0].require_answer()["content"] == "false"
    data = Dataset.load(write_rows([{"messages": [USER, ANSWER], "label": "1"}]), group="label")
    assert data[0].require_answer() == ANSWER


@pytest.mark.parametrize("form", DEMONSTRATIONS)
@pytest.mark.parametrize("name", ["weight", "loss_weight", "sample_weight"])
def test_the_weight_of_a_row(write_rows, form, name):
    for zero in (0, 0.0, "0"):
        for data in both_ways(write_rows, {**DEMONSTRATIONS[form], name: zero}):
            assert data[0].completion["weight"] == 0
    for one in (1, 1.0, None):
        for data in both_ways(write_rows, {**DEMONSTRATIONS[form], name: one}):
            assert data[0].completion.get("weight", 1) == 1
    for other in (0.5, 2, True, "heavy"):
        refused(write_rows, {**DEMONSTRATIONS[form], name: other}, name)


@pytest.mark.parametrize("form", PAIRS)
def test_a_pair_cannot_have_weight_zero(write_rows, form):
    assert "leave the row out" in refused(write_rows, {**PAIRS[form], "weight": 0}, "weight")
    assert Dataset.from_rows([{**PAIRS[form], "weight": 1}]).check() == []


def test_columns_of_prompts_are_for_graders(write_rows):
    (data, _) = both_ways(write_rows, {"messages": [USER], "label": False, "weight": 0.5})
    assert data[0].item == {"label": False, "weight": 0.5}
    assert data.unread_columns() == {}


def test_tools_beside_a_form_without_them_are_read(write_rows):
    tools = [{"type": "function", "function": {"name": "f"}}]
    for form in EVERY:
        for data in both_ways(write_rows, {**EVERY[form], "tools": tools}):
            assert data[0].tools == tools
    assert "not read inside input" in refused(
        write_rows, {**PAIRS["openai_preference"], "input": {"messages": [USER], "system": "s"}}, "input.system"
    )


def test_columns_that_nothing_reads_are_counted(write_rows):
    rows = [
        {"messages": [USER, ANSWER], "source": "web", "system": "s", "id": 1, "empty": ""},
        {"messages": [USER, ANSWER], "source": "mail", "topic": "x", "meta": {"group": "g"}},
    ]
    data = Dataset.load(write_rows(rows), group="meta.group")[1:]
    assert data.unread_columns() == {"source": 1, "topic": 1}
    assert Dataset.load(write_rows(rows)).unread_columns() == {"source": 2, "topic": 1, "meta": 1}
    table = Dataset.load(write_rows([{"note": "n", "r": "a", "x": 1}]), Task(input="{note}"), target="r")
    assert table.unread_columns() == {}


def test_unread_columns_are_counted_in_the_pass_that_reads_the_rows(write_rows, monkeypatch):
    rows = [{"messages": [USER, ANSWER], "source": "web", "ftkit_ignore": "D011"}] * 3
    for use in (lambda data: data.check(), lambda data: data.fingerprint):
        data = Dataset.load(write_rows(rows))
        use(data)
        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "_read_columns", lambda self: pytest.fail("read again"))
            assert data.unread_columns() == {"source": 3}


def test_labels_that_are_none_are_unread(write_rows):
    rows = [{"messages": [USER, ANSWER], "label": value} for value in ("cat", True, "false", 0, 2, None)]
    assert Dataset.load(write_rows(rows)).unread_columns() == {"label": 2}


def test_lint_names_each_unread_column_once(write_rows):
    rows = [{"messages": [USER, {**ANSWER, "content": f"a{n}"}], "source": "web"} for n in range(3)]
    rows[1]["context"] = "c"
    findings = ft.lint(Dataset.load(write_rows(rows)), select="D011", workers=1).findings
    assert sorted((finding.path, finding.message, finding.severity) for finding in findings) == [
        ("context", "the column context holds something in 1 row, and nothing reads it", "info"),
        ("source", "the column source holds something in 3 rows, and nothing reads it", "info"),
    ]
    assert not ft.lint(Dataset.load(write_rows(rows)), ignore="D011", select="D").findings


@pytest.mark.parametrize(("name", "zero", "one"), [
    ("loss", False, True), ("loss_weight", 0.0, 1.0), ("train", False, True), ("training", False, True),
])  # fmt: skip
def test_marks_of_other_tools_are_weights(write_rows, name, zero, one):
    def rows(mark):
        turns = [USER, {**ANSWER, name: mark}, USER, ANSWER]
        shared = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", name: mark}] * 2
        return [{"messages": turns}, {"conversations": shared}]

    for row in rows(zero):
        for data in both_ways(write_rows, row):
            assert data[0].messages[1] == {**ANSWER, "weight": 0}
    for row in rows(one):
        for data in both_ways(write_rows, row):
            assert data[0].messages[1] == {**ANSWER, "weight": 1}
    for other in ("no", 0.5, 2, [0]):
        assert "must be false or 0" in refused(write_rows, rows(other)[0], f"messages[1].{name}")
        refused(write_rows, rows(other)[1], f"conversations[1].{name}")


def test_marks_that_contradict_or_stand_on_other_messages(write_rows):
    assert "otherwise" in refused(
        write_rows, {"messages": [USER, {**ANSWER, "weight": 1, "loss": False}]}, "messages[1].loss"
    )
    assert "only assistant" in refused(write_rows, {"messages": [{**USER, "train": True}, ANSWER]}, "messages[0].train")
    (data, _) = both_ways(write_rows, {"messages": [{**USER, "loss": False}, {**ANSWER, "loss": True, "weight": 1}]})
    assert data[0].messages == [USER, {**ANSWER, "weight": 1}]
    detail = {**ANSWER, "train_detail": [{"begin_offset": 0, "end_offset": 1, "train": False}]}
    refused(write_rows, {"messages": [USER, detail]}, "messages[1].train_detail")
    refused(write_rows, {"messages": [{**USER, "images": ["a.png"]}, ANSWER]}, "messages[0].images")


def test_text_parts_are_joined_in_every_form(write_rows):
    def parts(text):
        return [{"type": "text", "text": text[:1]}, {"type": "text", "text": text[1:]}]

    user, answer, worse = ({"role": role, "content": parts(text)} for role, text in
                           (("user", "qu"), ("assistant", "an"), ("assistant", "bad")))  # fmt: skip
    rows = [
        {"messages": [user, answer]},
        {"prompt": [user], "completion": [answer]},
        {"prompt": [user], "chosen": [answer], "rejected": [worse]},
        {"input": {"messages": [user]}, "preferred_output": [answer], "non_preferred_output": [worse]},
        {"conversations": [{"from": "human", "value": parts("qu")}, {"from": "gpt", "value": parts("an")}]},
    ]
    for row in rows:
        for data in both_ways(write_rows, row):
            assert [message["content"] for message in data[0].messages] == ["qu", "an"]
            assert data[0].rejected is None or data[0].rejected["content"] == "bad"
    assert Dataset.from_rows([{"messages": [user]}])[0].prompt == [{"role": "user", "content": "qu"}]
    image = {"type": "image_url", "image_url": {"url": "x"}}
    (mixed, _) = both_ways(write_rows, {"messages": [{"role": "user", "content": [*parts("qu"), image]}, ANSWER]})
    assert mixed[0].prompt[0]["content"] == [*parts("qu"), image]  # hosts take images; local models refuse the row
    mixed.write_openai("out.jsonl")
    assert json.loads(Path("out.jsonl").read_text())["messages"][0]["content"][2] == image


@pytest.mark.parametrize("form", EVERY)
@pytest.mark.parametrize("name", ["system_prompt", "system_message"])
def test_other_names_of_the_system_message(write_rows, form, name):
    for data in both_ways(write_rows, {**EVERY[form], name: "s"}):
        assert data[0].prompt == [SYSTEM, USER]
        assert data.unread_columns() == {}
    for data in both_ways(write_rows, {**EVERY[form], name: "s", "system": "s"}):
        assert data[0].prompt == [SYSTEM, USER]
    assert "which differs" in refused(write_rows, {**EVERY[form], name: "s", "system": "t"}, name)


@pytest.mark.parametrize("form", DEMONSTRATIONS)
def test_a_thought_beside_the_answer(write_rows, form):
    row = DEMONSTRATIONS[form]
    for data in both_ways(write_rows, {**row, "reasoning_content": "hm"}):
        assert data[0].completion == {**ANSWER, "reasoning_content": "hm"}
    for name in ("reasoning", "thinking"):
        message = refused(write_rows, {**row, name: "hm"}, name)
        assert f'columns={{"reasoning_content": "{name}"}}' in message
        for data in both_ways(write_rows, {**row, name: "hm"}, columns={"reasoning_content": name}):
            assert data[0].completion == {**ANSWER, "reasoning_content": "hm"}
        (other, _) = both_ways(write_rows, {**row, name: 0.5})  # no text: another kind of column
        assert other.unread_columns() == {name: 1}
    told = {"messages": [USER, {**ANSWER, "content": "<think>hm</think>a"}], "reasoning": "hm"}
    assert Dataset.from_rows([told]).check() == []
    own = {"messages": [USER, {**ANSWER, "thinking": "so"}], "reasoning_content": "hm"}
    assert "differs" in refused(write_rows, own, "reasoning_content")
    (target, _) = both_ways(write_rows, {"messages": [USER], "gold": "a", "reasoning_content": "hm"}, target="gold")
    assert target[0].completion == {**ANSWER, "reasoning_content": "hm"}


@pytest.mark.parametrize("form", PAIRS)
def test_a_pair_with_a_thought_or_a_bad_label_is_refused(write_rows, form):
    for name in ("reasoning_content", "reasoning"):
        assert "nothing says whose" in refused(write_rows, {**PAIRS[form], name: "hm"}, name)
    for name, bad in (("label", False), ("label", 0), ("kto_tag", "false")):
        assert "exchange its answers" in refused(write_rows, {**PAIRS[form], name: bad}, name)
    for good in (True, 1, None, "spam", 0.7):
        assert Dataset.from_rows([{**PAIRS[form], "label": good}]).check() == []


def test_documents_and_contexts_are_no_metadata(write_rows):
    texts = DEMONSTRATIONS["texts"]
    documents = [{"title": "t", "text": "x"}]
    for form in DEMONSTRATIONS.values():
        assert "are not read" in refused(write_rows, {**form, "documents": documents}, "documents")
    assert "let a task write" in refused(write_rows, {**texts, "context": "c"}, "context")
    for fine in (
        {**texts, "context": " "},
        {**texts, "prompt": "q, given c", "context": "c"},
        {**texts, "context": {"page": 3}},
        {"messages": [USER, ANSWER], "context": "c"},
        {**PROMPTS["openai_prompts"], "context": "c", "documents": documents, "reasoning": "hm"},
    ):
        assert Dataset.from_rows([fine]).check() == []
    request = {"input": [USER, ANSWER], "instructions": "s"}
    (error,) = Dataset.from_rows([request], columns={"messages": "input"}).check()
    assert (error.field, 'columns={"system": "instructions"}' in error.message) == ("instructions", True)
    (asked,) = Dataset.from_rows([request], columns={"messages": "input", "system": "instructions"})
    assert asked.prompt == [SYSTEM, USER]
    dolly = {"instruction": "q", "context": "c", "response": "a"}
    (data, _) = both_ways(write_rows, dolly, columns={"output": "response", "input": "context"})
    assert data[0].prompt == [{"role": "user", "content": "q\n\nc"}]
    (error,) = Dataset.from_rows([dolly], columns={"output": "response"}).check()
    assert error.field == "context"


@pytest.mark.parametrize(("name", "value"), [("rejected_response", "no"), ("rejected_messages", [ANSWER])])
def test_a_worse_answer_beside_a_conversation_is_not_dropped(write_rows, name, value):
    assert "write a pair" in refused(write_rows, {"messages": [USER, ANSWER], name: value}, name)
    for data in both_ways(write_rows, {"messages": [USER, ANSWER], name: None}):
        assert data[0].require_answer() == ANSWER
