"""Every format, and how a file's format is told."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from ftkit import ConfigError, DataError, Dataset, FormatError, Task
from ftkit.data.formats import FORMATS, Conversation, Format, read_text

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CHAT = {"messages": [USER, ANSWER]}
PAIR = {"prompt": "q", "completion": "a"}
ALPACA = {"instruction": "q", "input": "", "output": "a"}
SHAREGPT = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}


class Visit(BaseModel):
    name: str
    age: int | None


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (CHAT, "openai"),
        (PAIR, "prompt_completion"),
        ({"prompt": [USER], "completion": [ANSWER]}, "prompt_completion"),
        (ALPACA, "alpaca"),
        ({"instruction": "q", "output": "a"}, "alpaca"),
        (SHAREGPT, "sharegpt"),
        ({**CHAT, "prompt": "q"}, "openai"),  # as UltraChat has it
    ],
)
def test_format_is_told_and_gives_the_same_conversation(write_rows, row, name):
    data = Dataset.load(write_rows([row]))
    assert data.format == name
    assert data[0].prompt == [USER]
    assert data[0].completion == ANSWER
    assert data[0].target == "a"


def test_a_list_prompt_learns_the_completion_only(write_rows):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rest = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "r"}, ANSWER]
    row = Dataset.load(write_rows([{"prompt": [USER, ANSWER, USER], "completion": rest}]))[0]
    assert row.messages == [USER, {**ANSWER, "weight": 0}, USER, *rest]


def test_alpaca_with_input_system_and_history(write_rows):
    row = {"instruction": "i", "input": "x", "output": "a", "system": "s", "history": [["h", "b"]]}
    assert Dataset.load(write_rows([row]))[0].messages == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "h"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "i\n\nx"},
        ANSWER,
    ]


def test_sharegpt_with_tools(write_rows):
    row = {
        "system": "s",
        "tools": '[{"name": "f", "parameters": {}}]',
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
            {"from": "observation", "value": "r"},
            {"from": "gpt", "value": "a", "weight": 0},
        ],
    }
    read = Dataset.load(write_rows([row]))[0]
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    assert read.messages == [
        {"role": "system", "content": "s"},
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "r", "tool_call_id": "call_1"},
        {**ANSWER, "weight": 0},
    ]
    assert read.tools == [{"type": "function", "function": {"name": "f", "parameters": {}}}]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"prompt": "q", "completion": " "}, "completion"),
        ({"prompt": 3, "completion": "a"}, "prompt"),
        ({"prompt": [USER], "completion": []}, "completion"),
        ({"prompt": [USER], "completion": [USER]}, "completion[0].role"),
        ({"prompt": [USER], "completion": [ANSWER, {"role": "x"}]}, "completion[1].role"),
        ({"prompt": [{"role": "x"}], "completion": [ANSWER]}, "prompt[0].role"),
        ({**ALPACA, "output": ""}, "output"),
        ({**ALPACA, "output": None}, "output"),
        ({**ALPACA, "input": 3}, "input"),
        ({**ALPACA, "history": [["h"]]}, "history[0]"),
        ({"conversations": [{"from": "alien", "value": "q"}]}, "conversations[0].from"),
        ({"conversations": [{"role": "user", "content": "q"}]}, "conversations"),
        ({"conversations": [{"role": "user", "content": 3}]}, "conversations[0].content"),
        ({"conversations": [{"from": "human", "value": 3}]}, "conversations[0].value"),
        ({"conversations": [{"from": "human", "value": None}]}, "conversations[0].value"),
        ({"conversations": [{"value": "q"}]}, "conversations[0].from"),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "system", "value": "s"}]},
            "conversations[1].from",
        ),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "tool", "value": "s"}]}, "conversations[1].from"),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": [1]}]},
            "conversations[1].value[0]",
        ),
        (
            {"conversations": [{"from": "function_call", "value": '{"name": "f", "arguments": 3}'}]},
            "conversations[0].value",
        ),
        ({"messages": [{"from": "human", "value": "q"}, {"from": "gpt", "value": 3}]}, "messages[1].value"),
        ({"prompt": "q", "chosen": [{"from": "gpt", "value": 1}], "rejected": [ANSWER]}, "chosen[0].value"),
        ({**ALPACA, "system": "s", "history": [["h", ""]]}, "history[0][1]"),
        ({**ALPACA, "history": [["h", "a"], ["h", 3]]}, "history[1]"),
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": ""}]}, "conversations[1]"),
        ({"conversations": [{"from": "function_call", "value": "f()"}]}, "conversations[0].value"),
        ({"conversations": [{"from": "function_call", "value": "[1]"}]}, "conversations[0].value"),
        ({"system": "s", "conversations": [{"from": "system", "value": "t"}]}, "system"),
    ],
)
def test_faults_name_the_field(write_rows, row, field):
    (error,) = Dataset.load(write_rows([row])).check()
    assert error.field == field


def test_table_with_targets_of_three_kinds(write_rows):
    task = Task("Extract.", input="{note}", output=Visit)
    rows = [{"note": "n", "r": {"age": 3, "name": "A"}}, {"note": "n", "r": '{"name": "A", "age": 3}'}]
    for row in Dataset.load(write_rows(rows), task, target="r"):
        assert row.prompt == task.prompt({"note": "n"})
        assert row.target == {"name": "A", "age": 3}
        assert row.completion == {"role": "assistant", "content": '{"name": "A", "age": 3}'}
    label = Dataset.load(
        write_rows([{"note": "n", "l": "yes"}]), Task(input="{note}", output=Literal["yes", "no"]), target="l"
    )
    assert label[0].target == "yes"
    assert label[0].completion == {"role": "assistant", "content": "yes"}


CODE = "    if x:\n        return 1\n"


def test_whitespace_of_a_text_target_is_learned_in_every_form(write_rows):
    table = {"note": "q", "y": CODE, "better": CODE, "worse": f"\n{CODE}\n\tpass"}
    task = Task(input="{note}")
    assert task.fingerprint == Task(input="{note}", output=str).fingerprint
    for data in (Dataset.load(write_rows([table]), task, target="y"), Dataset.from_rows([table], task, target="y")):
        assert data[0].completion["content"] == CODE
        assert data[0].target == task.parse(CODE)
    pair = Dataset.load(write_rows([table]), task, chosen="better", rejected="worse")[0]
    assert (pair.completion["content"], pair.rejected["content"]) == (CODE, table["worse"])
    chat = [USER, {"role": "assistant", "content": CODE}]
    for row in ({"messages": chat}, {"prompt": "q", "completion": CODE}, {"instruction": "q", "output": CODE}):
        assert Dataset.from_rows([row])[0].completion["content"] == CODE


def test_answers_of_a_choice_are_both_without_whitespace(write_rows):
    task = Task(input="{note}", output=Literal["yes", "no"])
    row = Dataset.load(write_rows([{"note": "q", "b": " yes\n", "w": " no\n"}]), task, chosen="b", rejected="w")[0]
    assert (row.completion["content"], row.rejected["content"]) == ("yes", "no")


def test_the_target_is_what_a_perfect_answer_is_read_as(write_rows):
    class Dose(BaseModel):
        drug: str
        unit: str = "mg"

    task = Task(input="{note}", output=Dose)
    row = Dataset.load(write_rows([{"note": "n", "r": {"drug": "a"}}]), task, target="r")[0]
    assert row.target == task.output.parse(row.completion["content"]) == {"drug": "a", "unit": "mg"}


def test_table_wins_when_the_tasks_columns_are_there(write_rows):
    data = Dataset.load(write_rows([PAIR]), Task("Say it.", input="{prompt}"), target="completion")
    assert data.format == "table"
    assert data[0].prompt == [{"role": "system", "content": "Say it."}, USER]
    assert data[0].target == "a"


def test_table_without_target_has_no_answers(write_rows):
    row = Dataset.load(write_rows([{"note": "n", "r": 1}]), Task(input="{note}"))[0]
    assert (row.target, row.completion, row.messages) == (None, None, [{"role": "user", "content": "n"}])


def test_columns_are_renamed_for_tables_and_formats(write_rows):
    row = Dataset.load(
        write_rows([{"text": "q", "y": "a"}]), Task(input="{note}"), target="y", columns={"note": "text"}
    )[0]
    assert row.prompt == [USER]
    assert row.columns == {"text": "q", "y": "a"}
    pair = Dataset.load(
        write_rows([{"question": "q", "answer": "a"}]), columns={"prompt": "question", "completion": "answer"}
    )
    assert pair[0].messages == [USER, ANSWER]
    with pytest.raises(ConfigError, match="columns= has 'nte', but the task reads note"):
        Dataset.load(write_rows([{"text": "q"}]), Task(input="{note}"), columns={"nte": "text"})


def test_target_in_a_nested_column_and_beside_a_chat(write_rows):
    data = Dataset.load(write_rows([{"messages": [USER], "gold": {"answer": "a"}}]), target="gold.answer")
    assert data[0].messages == [USER, ANSWER]
    (error,) = Dataset.load(write_rows([{**CHAT, "gold": "b"}]), target="gold").check()
    assert "ends with an answer of its own" in str(error)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null, but it is the wanted answer"),
        ({"name": "A"}, "age"),
        ("{", "not JSON"),
        ({"name": "A", "age": "3"}, "$.age"),
    ],
)
def test_targets_that_break_the_task(write_rows, value, text):
    task = Task(input="{note}", output=Visit)
    (error,) = Dataset.load(write_rows([{"note": "n", "r": value}]), task, target="r").check()
    assert str(error).startswith("rows.jsonl:1: r: ")
    assert text in str(error)


def test_a_label_must_be_a_text_of_the_task(write_rows):
    task = Task(input="{note}", output=Literal["yes", "no"])
    data = Dataset.load(write_rows([{"note": "n", "l": 1}, {"note": "n", "l": "maybe"}]), task, target="l")
    first, second = data.check()
    assert "rows.jsonl:1: l: not a valid answer for the task" in str(first)
    assert "rows.jsonl:2: l: not a valid answer for the task" in str(second)


def test_a_chats_answer_is_read_by_the_task(write_rows):
    good = {"messages": [USER, {"role": "assistant", "content": '{"name": "A", "age": null}'}]}
    data = Dataset.load(write_rows([good, CHAT]), Task(output=Visit))
    assert data[0].target == {"name": "A", "age": None}
    (error,) = data.check()
    assert "rows.jsonl:2: the last message: not a valid answer for the task" in str(error)


def test_a_row_without_the_tasks_column_is_named(write_rows):
    (error,) = Dataset.load(write_rows([{"note": "n"}, {"nte": "n"}]), Task(input="{note}")).check()
    assert str(error) == "rows.jsonl:2: note: the task reads this column, and the row has: nte"


def test_mixed_formats_name_both_lines(write_rows):
    with pytest.raises(FormatError, match=r"rows\.jsonl:2: sharegpt here, but openai at rows\.jsonl:1"):
        Dataset.load(write_rows([CHAT, SHAREGPT]))
    with pytest.raises(FormatError, match=r"b\.jsonl:1: prompt_completion here, but openai at a\.jsonl:1"):
        Dataset.load([write_rows([CHAT], "a.jsonl"), write_rows([PAIR], "b.jsonl")])


def test_what_fits_two_formats_is_asked(write_rows):
    name = write_rows([{**CHAT, **PAIR}])
    with pytest.raises(FormatError, match='format="openai" or format="prompt_completion"'):
        Dataset.load(name)
    assert Dataset.load(name, format="prompt_completion").format == "prompt_completion"
    assert Dataset.load(name, format="trl_messages").format == "openai"


def test_a_row_of_no_format_is_found_with_the_other_faults(write_rows):
    data = Dataset.load(write_rows([CHAT, {"mesages": []}, {"messages": []}]))
    assert [str(problem) for problem in data.check()] == [
        "rows.jsonl:2: messages: missing",
        "rows.jsonl:3: messages: empty; a conversation needs at least one message",
    ]


@pytest.mark.parametrize(
    ("task", "options", "text"),
    [
        (None, {}, "fit no known format"),
        (Task(input="{nte}"), {}, r'the task reads nte, and the columns are note, x\. .*columns=\{"nte": "<column>"\}'),
        (
            Task(input="{note}"),
            {"target": "y"},
            r"rows\.jsonl:1: target: there is no column 'y'; the columns are note, x",
        ),
        (Task(input="{note}"), {"group": "y"}, "group: there is no column 'y'"),
        (Task(input="{note}"), {"id": "y"}, "id: there is no column 'y'"),
        (Task(input="{note}"), {"columns": {"note": "y"}}, r"there is no column 'y'"),
        (None, {"format": "table"}, "needs a task whose input template"),
        (None, {"format": "chat"}, "format='chat' is not known"),
        (Task(input="{note}"), {"format": "openai"}, "the task has a template of its own"),
        (Task("Do."), {"format": "openai"}, "instructions would never be seen"),
    ],
)
def test_arguments_that_do_not_fit_the_file(write_rows, task, options, text):
    with pytest.raises((ConfigError, DataError), match=text):
        Dataset.load(write_rows([{"note": "n", "x": 1}]), task, **options)


class Backwards(Format):
    """An answer, then the question."""

    name = "backwards"
    columns = ("a", "q")
    required = "a and q"
    answer_field = "a"

    def matches(self, columns):
        return "a" in columns and "q" in columns

    def read(self, row):
        return Conversation(
            [{"role": "user", "content": read_text(row, "q")}, {"role": "assistant", "content": read_text(row, "a")}]
        )


@pytest.fixture
def backwards():
    FORMATS.register("backwards", Backwards)
    yield
    FORMATS.unregister("backwards")


def test_a_registered_format_is_detected_and_asked_for(write_rows, backwards, tmp_path):
    name = write_rows([{"q": "q", "a": "a"}])
    for asked in ("auto", "backwards"):
        data = Dataset.load(name, format=asked)
        assert data.format == "backwards"
        assert data[0].messages == [USER, ANSWER]
    with pytest.raises(ConfigError, match="rows cannot be written as backwards"):
        data.write(tmp_path / "out.jsonl", format="backwards")
    assert not (tmp_path / "out.jsonl").exists()


def test_rows_of_a_registered_format_and_another_are_refused_with_both_names(write_rows, backwards):
    with pytest.raises(FormatError, match="fit openai and backwards"):
        Dataset.load(write_rows([{**CHAT, "q": "q", "a": "a"}]))
    with pytest.raises(FormatError, match="openai here, but backwards at"):
        Dataset.load(write_rows([{"q": "q", "a": "a"}, CHAT]))


def test_a_format_must_be_one_and_be_called_by_its_name():
    with pytest.raises(ConfigError, match="must be a subclass"):
        FORMATS.register("mine", dict)
    with pytest.raises(ConfigError, match="calls itself 'backwards'"):
        FORMATS.register("mine", Backwards)
    with pytest.raises(ConfigError, match="one of ftkit's own"):
        FORMATS.register("openai", Backwards)


@pytest.mark.parametrize("name", ["openai", "sharegpt", "alpaca"])
def test_what_a_format_writes_it_reads_again(write_rows, name):
    chat = [
        {"role": "system", "content": "s"},
        USER,
        ANSWER,
        {"role": "user", "content": "r"},
        {"role": "assistant", "content": "b"},
    ]
    data = Dataset.load(write_rows([{"messages": chat}, {"messages": chat[1:3]}]))
    data.write("out.jsonl", format=name)
    again = Dataset.load("out.jsonl")
    assert again.format == name
    assert [row.messages for row in again] == [row.messages for row in data]


def test_sharegpt_keeps_tools_calls_and_weights(write_rows):
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    chat = [
        USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "a", "weight": 0},
        {"role": "user", "content": "r"},
        ANSWER,
    ]
    data = Dataset.load(write_rows([{"messages": chat, "tools": [tool]}]))
    data.write("out.jsonl", format="sharegpt")
    again = Dataset.load("out.jsonl")[0]
    assert again.messages == data[0].messages
    assert again.tools == data[0].tools


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, {"role": "assistant", "content": "a", "weight": 0}, USER, ANSWER]},
        {"messages": [USER, USER, ANSWER]},
        {"messages": [USER, ANSWER], "tools": [{"type": "function", "function": {"name": "f"}}]},
    ],
)
def test_what_alpaca_cannot_express_is_refused(write_rows, row):
    with pytest.raises(DataError, match=r"rows\.jsonl:1"):
        Dataset.load(write_rows([row])).write("out.jsonl", format="alpaca")


def test_trl_prompts_are_read_when_asked_for(write_rows):
    data = Dataset.load(write_rows([{"prompt": [USER], "n": 1}, {"prompt": "q", "n": 2}]), format="trl_prompts")
    assert data.kind == "prompts"
    assert [row.prompt for row in data] == [[USER], [USER]]
    data.write("out.jsonl", format="trl_prompts")
    assert json.loads(Path("out.jsonl").read_text().splitlines()[0]) == {"prompt": [USER], "n": 1}


SHARED = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
WORSE = {"role": "assistant", "content": "b"}
SHARED_WORSE = {"from": "gpt", "value": "b"}


@pytest.mark.parametrize(
    ("row", "format_"),
    [
        ({"conversations": CHAT["messages"]}, "sharegpt"),
        ({"messages": SHARED}, "openai"),
        ({"prompt": SHARED[:1], "completion": SHARED[1:]}, "prompt_completion"),
        ({"conversations": [SHARED[0], ANSWER]}, "sharegpt"),
    ],
)
def test_turns_of_both_forms_are_read_in_every_format(write_rows, row, format_):
    data = Dataset.load(write_rows([row]))
    assert data.format == format_
    assert data[0].messages == [USER, ANSWER]


@pytest.mark.parametrize(
    ("row", "format_"),
    [
        ({"conversations": SHARED[:1], "chosen": SHARED[1], "rejected": SHARED_WORSE}, "sharegpt_preference"),
        ({"conversations": [USER], "chosen": ANSWER, "rejected": WORSE}, "sharegpt_preference"),
        ({"conversations": SHARED[:1], "chosen": [ANSWER], "rejected": [SHARED_WORSE]}, "sharegpt_preference"),
        ({"prompt": "q", "chosen": SHARED[1:], "rejected": [SHARED_WORSE]}, "trl_preference"),
        ({"prompt": "q", "chosen": ANSWER, "rejected": WORSE}, "trl_preference"),
        ({"chosen": SHARED, "rejected": [SHARED[0], SHARED_WORSE]}, "trl_preference"),
        ({"prompt": "q", "chosen": SHARED, "rejected": [SHARED[0], SHARED_WORSE]}, "trl_preference"),
        (
            {"input": {"messages": SHARED[:1]}, "preferred_output": SHARED[1:], "non_preferred_output": [SHARED_WORSE]},
            "openai_preference",
        ),
    ],
)
def test_pairs_of_both_forms(write_rows, row, format_, tmp_path):
    data = Dataset.load(write_rows([row]))
    assert (data.kind, data.format) == ("preferences", format_)
    assert (data[0].messages, data[0].rejected) == ([USER, ANSWER], WORSE)
    data.write(tmp_path / "out.jsonl", format="sharegpt_preference")
    again = Dataset.load(tmp_path / "out.jsonl")
    assert (again.format, again[0].messages, again[0].rejected) == ("sharegpt_preference", [USER, ANSWER], WORSE)


@pytest.mark.parametrize(
    ("instruction", "given", "question"),
    [
        *(("i", "x", "i\n\nx"), ("i", "", "i"), ("i", None, "i"), ("i", " ", "i"), ("", "x", "x"), (" \n", "x", "x")),
        *((None, "x", "x"), ("  i", " x ", "  i\n\n x "), ("", "", ""), (" ", "", " ")),
    ],
)
def test_a_blank_half_of_an_alpaca_question_is_left_out(write_rows, instruction, given, question):
    data = Dataset.load(write_rows([{"instruction": instruction, "input": given, "output": "a"}]))
    assert data[0].prompt == [{"role": "user", "content": question}]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (USER, r'Each row is one message; a row must be a whole conversation: \{"messages"'),
        (SHARED[0], "Each row is one message"),
        ({"chat": [USER, ANSWER]}, r'chat holds messages: name it with columns=\{"messages": "chat"\}'),
        ({"turns": SHARED}, r'turns holds messages: name it with columns=\{"messages": "turns"\}'),
        ({"question": "q", "answer": "a"}, r'name them with columns=\{"prompt": "question", "completion": "answer"\}'),
        ({"prompt": "q", "response": "a"}, r'response the answer .* with columns=\{"completion": "response"\}'),
        ({"prompt": "q"}, 'prompts without answers, say so with format="trl_prompts"'),
    ],
)
def test_rows_of_no_format_say_what_to_name(write_rows, row, text):
    with pytest.raises(FormatError, match=text) as caught:
        Dataset.load(write_rows([row]))
    if "columns=" in text:
        names = ast.literal_eval(re.search(r"columns=(\{.*?\})", str(caught.value))[1])
        assert Dataset.load(write_rows([row]), columns=names)[0].completion["content"] == "a"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"question": "q", "chosen": "a", "rejected": "b"}, r'columns=\{"prompt": "question"\}'),
        ({"instruction": "i", "input": "", "chosen": "a", "rejected": "b"}, r'columns=\{"prompt": "instruction"\}'),
        (
            {"input": "x", "instruction": "i", "chosen": "a", "rejected": "b"},
            r'Task\(input="\{instruction\}\\n\\n\{input\}"\), with chosen="chosen" and rejected="rejected"',
        ),
    ],
)
def test_pairs_without_a_prompt_say_what_to_name(write_rows, row, text):
    (problem,) = Dataset.load(write_rows([row])).check()
    assert re.search(text, problem.message)


def test_the_docstring_names_every_format():
    named = set(re.findall(r"``([a-z_]+)``", re.search(r"format: .*?columns:", Dataset.load.__doc__, re.DOTALL)[0]))
    assert named == set(FORMATS.names())


def test_conversations_under_a_task_that_reads_columns_are_no_splits(write_rows):
    rows = [{"messages": [{"role": "user", "content": "q"}, ANSWER]}]
    with pytest.raises(FormatError, match=r"reads note.*look like openai: for those leave the task's input out"):
        Dataset.load(write_rows(rows), Task(input="{note}"))
    with pytest.raises(FormatError, match="If they are splits"):
        Dataset.load(write_rows([{"train": [{"note": "n"}], "test": [{"note": "m"}]}]), Task(input="{note}"))
