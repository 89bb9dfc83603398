"""Rows with a better and a worse answer: formats, tables, and what is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydantic import BaseModel, field_validator

from ftkit import ConfigError, DataError, Dataset, FormatError, Task

USER = {"role": "user", "content": "q"}
GOOD = {"role": "assistant", "content": "good"}
BAD = {"role": "assistant", "content": "bad"}
SYSTEM = {"role": "system", "content": "s"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
OPENAI = {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]}
TRL = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}
IMPLICIT = {"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, USER, BAD]}
TEXTS = {"prompt": "q", "chosen": "good", "rejected": "bad"}


def call(identity="c1", **arguments):
    return {"id": identity, "type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}}


class Visit(BaseModel):
    name: str
    age: int | None

    @field_validator("name")
    @classmethod
    def _capital(cls, name: str) -> str:
        if not name[:1].isupper():
            raise ValueError("must begin with a capital")
        return name


VISIT = Task("Extract.", input="{note}", output=Visit)


def visits(write_rows, *rows, **options):
    given = [{"note": f"n{n}", **row} for n, row in enumerate(rows)]
    return Dataset.load(write_rows(given), VISIT, chosen="good", rejected="bad", **options)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (OPENAI, "openai_preference"),
        (TRL, "trl_preference"),
        (TEXTS, "trl_preference"),
        ({**TRL, "chosen": "good"}, "trl_preference"),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, "trl_preference"),
        # As UltraFeedback has it: the prompt's text beside whole conversations.
        ({"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, BAD], "score_chosen": 4.0}, "trl_preference"),
    ],
)
def test_format_is_told_and_gives_the_same_preference(write_rows, row, name):
    data = Dataset.load(write_rows([row]))
    assert (data.format, data.kind) == (name, "preferences")
    read = data[0]
    assert (read.prompt, read.completion, read.rejected) == ([USER], GOOD, BAD)
    assert (read.messages, read.rejected_messages) == ([USER, GOOD], [USER, BAD])
    assert (read.target, read.margin, read.tools) == ("good", None, None)


def test_what_stands_beside_the_answers(write_rows):
    asked = {"messages": [SYSTEM, USER], "tools": TOOLS, "parallel_tool_calls": False}
    row = Dataset.load(write_rows([{**OPENAI, "input": asked}]))[0]
    assert (row.prompt, row.tools, row.parallel_tool_calls) == ([SYSTEM, USER], TOOLS, False)
    row = Dataset.load(write_rows([{**TRL, "tools": TOOLS, "margin": 2}]))[0]
    assert (row.tools, row.margin, row.parallel_tool_calls) == (TOOLS, 2.0, None)
    first, second = Dataset.load(write_rows([{**TRL, "margin": None}, {**TRL, "margin": "0.5"}]))
    assert (first.margin, second.margin) == (None, 0.5)


def test_only_the_last_turn_is_learned(write_rows):
    turns = [USER, GOOD, {"role": "user", "content": "again"}]
    quiet = [USER, {**GOOD, "weight": 0}, turns[-1]]
    for row in (
        {"prompt": turns, "chosen": "a", "rejected": "b"},
        {"prompt": quiet, "chosen": "a", "rejected": [{"role": "assistant", "content": "b", "weight": 1}]},
        {"chosen": [*turns, {**GOOD, "content": "a"}], "rejected": [*turns, {**BAD, "content": "b"}]},
        {"prompt": turns[:1], "chosen": [*turns[1:], {**GOOD, "content": "a"}],
         "rejected": [*turns[1:], {**BAD, "content": "b"}]},
    ):  # fmt: skip
        read = Dataset.load(write_rows([row]))[0]
        assert read.messages == [*quiet, {"role": "assistant", "content": "a"}]
        assert read.rejected_messages == [*quiet, {"role": "assistant", "content": "b"}]


def test_an_answer_may_be_a_call(write_rows):
    chosen, rejected = ({"role": "assistant", "tool_calls": [call(x=x)]} for x in (1, 2))
    row = Dataset.load(write_rows([{"prompt": "q", "chosen": [chosen], "rejected": [rejected], "tools": TOOLS}]))[0]
    assert (row.completion, row.rejected, row.target) == (chosen, rejected, None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**TEXTS, "rejected": " good\n"}, "rejected: the same as chosen, so nothing can be learned from the pair"),
        ({**TRL, "rejected": [GOOD]}, "rejected: the same as chosen"),
        ({**OPENAI, "non_preferred_output": [GOOD]}, "non_preferred_output: the same as preferred_output"),
        ({**TRL, "chosen": [{"role": "assistant", "tool_calls": [call("a", x=1)]}],
          "rejected": [{"role": "assistant", "tool_calls": [call("b", x=1)]}]}, "rejected: the same as chosen"),
        ({**TEXTS, "chosen": " "}, "chosen: an empty assistant turn"),
        ({**TRL, "rejected": [{"role": "assistant", "content": ""}]}, "rejected[0]: an empty assistant turn"),
        ({**TRL, "rejected": []}, "rejected: empty; it must hold the assistant's turn"),
        ({**OPENAI, "preferred_output": []}, "preferred_output: empty; it must hold the assistant's turn"),
        ({**TRL, "chosen": [USER]}, "chosen[0].role: the last message must be the assistant's"),
        ({**OPENAI, "non_preferred_output": [USER]},
         "non_preferred_output[0].role: the last message must be the assistant's"),
        ({**IMPLICIT, "rejected": [SYSTEM, USER]}, "rejected[1].role: the last message must be the assistant's"),
        ({**OPENAI, "preferred_output": [GOOD, USER, GOOD]},
         "preferred_output: 3 messages; an output is exactly one assistant message"),
        ({**TRL, "chosen": [GOOD, USER, GOOD]},
         "rejected[0]: differs from chosen[0], but chosen and rejected may differ in one message only, the last "
         "(chosen has 3, rejected has 1)"),
        ({**IMPLICIT, "rejected": [SYSTEM, {**USER, "content": "other"}, BAD]}, "rejected[1]: differs from chosen[1]"),
        ({**IMPLICIT, "rejected": [USER, BAD]}, "rejected[0]: differs from chosen[0]"),
        ({**IMPLICIT, "rejected": [*IMPLICIT["chosen"], USER, BAD]}, "rejected[2]: differs from chosen[2]"),
        ({"chosen": [GOOD], "rejected": [BAD]}, "chosen: nothing is asked"),
        ({"chosen": "q good", "rejected": "q bad"}, "chosen: a text, and there is no prompt"),
        ({**TEXTS, "rejected": None}, "rejected: missing"),
        ({"prompt": "q", "chosen": "good"}, "rejected: missing"),
        ({**TRL, "prompt": []}, "prompt: empty; it must hold what is asked"),
        ({**TEXTS, "margin": 10**400}, "margin: must be a finite number"),
        ({**TEXTS, "chosen": 3}, "chosen: must be a text or a list of messages, this is a int"),
        ({**TEXTS, "prompt": {}}, "prompt: must be a text or a list of messages, this is a dict"),
        ({**TEXTS, "prompt": "r", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "prompt: no user turn of"),
        ({**TRL, "prompt": [USER, GOOD]}, "prompt[1].role: the assistant's turn just before the answer"),
        ({**IMPLICIT, "chosen": [USER, GOOD, GOOD], "rejected": [USER, GOOD, BAD]},
         "chosen[1].role: the assistant's turn just before the answer"),
        ({**TRL, "prompt": [{"role": "human", "content": "q"}]}, "prompt[0].role: 'human' is no role"),
        ({**TRL, "chosen": [{"role": "gpt", "content": "q"}]}, "chosen[0].role: 'gpt' is no role"),
        ({**OPENAI, "input": {"messages": [{"role": "x"}]}}, "input.messages[0].role: 'x' is no role"),
        ({**OPENAI, "input": {}}, "input.messages: missing"),
        ({**OPENAI, "input": []}, "input: must be an object with messages, this is a list"),
        ({**OPENAI, "input": {"messages": [USER], "tools": [1]}}, "input.tools[0]: must be"),
        ({**OPENAI, "input": {"messages": [USER], "parallel_tool_calls": 1}},
         "input.parallel_tool_calls: must be true or false"),
        ({**TRL, "chosen": [{**GOOD, "weight": 0}]}, "chosen[0].weight: must not be 0"),
        ({**TRL, "prompt": [USER, {**GOOD, "weight": 1}, USER]},
         "prompt[1].weight: must be 0 or left out: of a preference only the last turn is learned"),
        ({**TEXTS, "margin": "much"}, "margin: not JSON"),
        ({**TEXTS, "margin": True}, "margin: must be a finite number, this is True"),
        ({**TEXTS, "margin": [1]}, "margin: must be a finite number, this is [1]"),
        ({**TEXTS, "margin": "NaN"}, "margin: NaN is not JSON"),
    ],
)  # fmt: skip
def test_faults_name_place_and_field(write_rows, row, problem):
    sound = OPENAI if "input" in row else TRL
    data = Dataset.load(write_rows([sound, row]))
    (error,) = data.check()
    assert str(error).startswith(f"rows.jsonl:2: {problem}")


def test_a_column_may_be_called_otherwise(write_rows):
    rows = [{"q": "q", "good": "good", "bad": "bad", "by": 1.5}]
    named = {"prompt": "q", "chosen": "good", "rejected": "bad", "margin": "by"}
    row = Dataset.load(write_rows(rows), columns=named)[0]
    assert (row.messages, row.rejected, row.margin) == ([USER, GOOD], BAD, 1.5)
    assert dict(row.columns) == rows[0]
    outer = {"request": OPENAI["input"], "preferred_output": [GOOD], "non_preferred_output": [BAD], "by": 2}
    assert Dataset.load(write_rows([outer]), columns={"input": "request"}, margin="by")[0].margin == 2.0


def test_the_chosen_answer_alone_is_a_demonstration(write_rows):
    data = Dataset.load(write_rows([TRL]), format="prompt_completion", columns={"completion": "chosen"})
    assert (data.kind, data[0].messages, data[0].rejected) == ("demonstrations", [USER, GOOD], None)
    with pytest.raises(DataError, match=r"rows\.jsonl:1: the row is a demonstration"):
        _ = data[0].rejected_messages


def test_kinds_and_formats_are_not_mixed(write_rows):
    chat = {"messages": [USER, GOOD]}
    with pytest.raises(FormatError, match=r"rows\.jsonl:2: openai here, but trl_preference at rows\.jsonl:1"):
        Dataset.load(write_rows([TRL, chat]))
    with pytest.raises(FormatError, match=r"rows\.jsonl:2: trl_preference here, but openai at rows\.jsonl:1"):
        Dataset.load(write_rows([chat, TRL]))
    both = write_rows([{**TRL, **chat}])
    with pytest.raises(FormatError, match='format="openai" or format="trl_preference"'):
        Dataset.load(both)
    assert Dataset.load(both, format="trl_preference").kind == "preferences"


def test_a_table_of_preferences(write_rows):
    good = {"age": 3, "name": "Ann"}
    data = visits(write_rows, {"good": good, "bad": {"age": 4, "name": "Ann"}, "by": 0.25}, margin="by")
    assert (data.format, data.kind) == ("table", "preferences")
    assert repr(data) == "Dataset(rows.jsonl: 1 row, table, chosen='good', rejected='bad')"
    row = data[0]
    assert row.prompt == VISIT.prompt({"note": "n0"})
    assert row.target == good
    assert row.completion == {"role": "assistant", "content": '{"name": "Ann", "age": 3}'}
    assert row.rejected == {"role": "assistant", "content": '{"name": "Ann", "age": 4}'}
    assert row.margin == 0.25


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"age": 4, "name": "ann"}, '{"name": "ann", "age": 4}'),  # only Python's validator minds
        ({"age": "4", "name": "Ünn"}, '{"age": "4", "name": "Ünn"}'),  # breaks the schema: keys as they stand
        ('{"age":4, "name":"Ann"}', '{"age":4, "name":"Ann"}'),  # a text is what some model said
        ("I cannot tell.", "I cannot tell."),
        ([1, None], "[1, null]"),
        (3, "3"),
    ],
)
def test_the_rejected_answer_may_break_the_task(write_rows, bad, text):
    data = visits(write_rows, {"good": {"name": "Ann", "age": 3}, "bad": bad})
    assert data.check() == []
    assert data[0].rejected == {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"good": {"name": "Ann"}, "bad": "x"}, "good: not a valid answer for the task: $.age"),
        ({"good": {"name": "ann", "age": 3}, "bad": "x"}, "good: not a valid answer for the task: $.name"),
        ({"good": None, "bad": "x"}, "good: null, but it is the wanted answer"),
        ({"good": {"name": "Ann", "age": 3}, "bad": None}, "bad: null, but it is the rejected answer"),
        ({"good": {"name": "Ann", "age": 3}, "bad": "  "}, "bad: empty, but it is the rejected answer"),
        ({"good": {"name": "Ann", "age": 3}}, "bad: missing; the row has the columns note, by, good"),
        ({"good": {"name": "Ann", "age": 3}, "bad": {"age": 3, "name": "Ann"}}, "bad: the same as good"),
        ({"good": {"name": "Ann", "age": 3}, "bad": "x", "by": "?"}, "by: not JSON"),
        ({"good": {"name": "Ann", "age": 3}, "bad": "x", "by": False}, "by: must be a finite number"),
    ],
)
def test_faults_of_a_table_name_the_column(write_rows, row, problem):
    sound = {"good": {"name": "Ann", "age": 3}, "bad": "x", "by": None}
    (error,) = visits(write_rows, sound, {"by": 1, **row}, margin="by").check()
    assert str(error).startswith(f"rows.jsonl:2: {problem}")


def test_answers_beside_a_conversation(write_rows):
    data = Dataset.load(write_rows([{"messages": [USER], "a": "good", "b": "bad"}]), chosen="a", rejected="b")
    assert (data.format, data.kind, data[0].rejected_messages) == ("openai", "preferences", [USER, BAD])
    data = Dataset.load(write_rows([{"messages": [USER, GOOD], "a": "good", "b": "bad"}]), chosen="a", rejected="b")
    assert "so chosen= must not name another" in str(data.check()[0])
    turns = [USER, GOOD, {"role": "user", "content": "again"}]
    data = Dataset.load(write_rows([{"messages": turns, "a": "good", "b": "bad"}]), chosen="a", rejected="b")
    assert data[0].prompt == [USER, {**GOOD, "weight": 0}, turns[-1]]
    turns[1] = {**GOOD, "weight": 1}
    data = Dataset.load(write_rows([{"messages": turns, "a": "good", "b": "bad"}]), chosen="a", rejected="b")
    assert str(data.check()[0]).startswith("rows.jsonl:1: messages[1].weight: must be 0 or left out")


def test_preferences_from_csv_and_from_python(write):
    task = Task("Answer.", input="{q}")
    cells = write("p.csv", 'q,up,down,by\nWhy?,"Because,\nso",No idea,2\nHow?,Thus,Somehow,\n')
    data = Dataset.load(cells, task, chosen="up", rejected="down", margin="by")
    assert [(row.target, row.rejected["content"], row.margin) for row in data] == [
        ("Because,\nso", "No idea", 2.0),
        ("Thus", "Somehow", None),
    ]
    rows = [{"q": "Why?", "up": "Because", "down": "Who knows", "by": 1}]
    assert Dataset.from_rows(rows, task, chosen="up", rejected="down", margin="by")[0].margin == 1.0
    line = json.dumps(OPENAI["input"]).replace('"', '""')
    messages = [json.dumps([answer]).replace('"', '""') for answer in (GOOD, BAD)]
    name = write("o.csv", f'input,preferred_output,non_preferred_output\n"{line}","{messages[0]}","{messages[1]}"\n')
    assert Dataset.load(name)[0].rejected_messages == [USER, BAD]


def test_preferences_from_a_hugging_face_dataset(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    datasets = pytest.importorskip("datasets")
    data = Dataset.from_rows(datasets.Dataset.from_list([{**TRL, "margin": 1.0}, {**TRL, "margin": None}]))
    assert [(row.messages, row.rejected, row.margin) for row in data] == [
        ([USER, GOOD], BAD, 1.0),
        ([USER, GOOD], BAD, None),
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"chosen": "a"}, "chosen= needs rejected= beside it"),
        ({"rejected": "b"}, "rejected= needs chosen= beside it"),
        ({"chosen": "a", "rejected": "b", "target": "a"}, "name one kind"),
        ({"target": "a", "margin": "n"}, "margin= is by how much .* it needs chosen= and rejected="),
        ({"chosen": "a", "rejected": "c"}, "rejected: there is no column 'c'; the columns are q, a, b, n"),
        ({"chosen": "a", "rejected": "b", "margin": "c"}, "margin: there is no column 'c'"),
    ],
)
def test_options_that_make_no_sense(write_rows, options, text):
    with pytest.raises((ConfigError, DataError), match=text):
        Dataset.load(write_rows([{"q": "q", "a": "a", "b": "b", "n": 1}]), Task(input="{q}"), **options)


def test_preferences_of_their_own_take_no_other_answers(write_rows):
    with pytest.raises(ConfigError, match=r"are preferences already \(trl_preference: .*so chosen= must not"):
        Dataset.load(write_rows([TEXTS]), chosen="chosen", rejected="rejected")
    with pytest.raises(ConfigError, match=r"are preferences already \(openai_preference: .*so target= must not"):
        Dataset.load(write_rows([OPENAI]), target="preferred_output")


def test_a_preferences_answer_is_read_by_the_task(write_rows):
    rows = [{**TEXTS, "chosen": '{"name": "Ann", "age": 3}'}, {**TEXTS, "prompt": "r"}]
    data = Dataset.load(write_rows(rows), Task(output=Visit))
    assert (data[0].target, data[0].rejected) == ({"name": "Ann", "age": 3}, BAD)
    (error,) = data.check()
    assert str(error).startswith("rows.jsonl:2: chosen: not a valid answer for the task")


@pytest.fixture
def many(write_rows):
    rows = [
        {"note": f"n{n}", "good": {"name": f"Ann{n}", "age": n % 2}, "bad": {"name": "?"}, "by": n, "p": n % 9}
        for n in range(300)
    ]
    return Dataset.load(write_rows(rows), VISIT, chosen="good", rejected="bad", margin="by", group="p")


def test_splits_filters_and_strata(many):
    train, test = many.split(test=0.2, stratify_by="good.age")
    assert (len(train) + len(test), train.kind, test.kind) == (300, "preferences", "preferences")
    assert {row.group for row in train} & {row.group for row in test} == set()
    ungrouped = Dataset.load("rows.jsonl", VISIT, chosen="good", rejected="bad")
    _, test = ungrouped.split(test=100, stratify_by=lambda row: row.target["age"])
    assert sorted(row.target["age"] for row in test) == [0] * 50 + [1] * 50
    assert len(many.filter(lambda row: row.margin >= 290)) == 10
    assert many.shuffle(3).fingerprint == ungrouped.shuffle(3).fingerprint
    short = Dataset.from_rows([{**TEXTS, "prompt": f"q{n}", "chosen": "ab"[n % 2]} for n in range(8)])
    assert sorted(row.target for row in short.split(test=4, stratify_by="target")[1]) == ["a", "a", "b", "b"]


def test_another_process_opens_the_same_preferences(many):
    view = many.shuffle(1)[:20]
    code = (
        "import json, sys, ftkit as ft; d = ft.Dataset.from_spec(json.load(sys.stdin));"
        "print(json.dumps([d.kind, [[r.messages, r.rejected_messages, r.margin] for r in d]]))"
    )
    spec = json.dumps(view.to_spec())
    done = subprocess.run([sys.executable, "-c", code], input=spec, capture_output=True, text=True, check=True, cwd="/")
    rows = [[row.messages, row.rejected_messages, row.margin] for row in view]
    assert json.loads(done.stdout) == ["preferences", rows]
