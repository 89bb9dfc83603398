"""Rows of one answer with a label that says whether it is a good one, in the forms in which tools write them."""

from __future__ import annotations

from typing import Any, Literal

import pytest

import ftkit as ft
from ftkit.data import Dataset
from ftkit.errors import ConfigError, DataError

USER = {"role": "user", "content": "What is 2 + 2?"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("4", "5"))
FORMS: dict[str, Any] = {
    "trl": lambda answer, label: {"prompt": [USER], "completion": [answer], "label": label},
    "trl texts": lambda answer, label: {
        "prompt": USER["content"],
        "completion": answer["content"],
        "label": label,
    },
    "openai": lambda answer, label: {"messages": [USER, answer], "label": label},
    "llama factory": lambda answer, label: {
        "conversations": [
            {"from": "human", "value": USER["content"]},
            {"from": "gpt", "value": answer["content"]},
        ],
        "kto_tag": label,
    },
    "alpaca": lambda answer, label: {
        "instruction": USER["content"],
        "output": answer["content"],
        "kto_tag": label,
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("yes", "no"), [(True, False), (1, 0), ("true", "false")])
def test_every_form_is_read_and_its_label_found(form: str, yes: Any, no: Any):
    data = Dataset.from_rows([FORMS[form](GOOD, yes), FORMS[form](BAD, no)])
    assert data.kind == "unpaired_preferences"
    assert data.check() == []
    assert data.unread_columns() == {}
    good, bad = data
    assert (good.prompt, good.label, good.completion, good.rejected, good.target) == ([USER], True, GOOD, None, "4")
    # A bad answer is no target: nothing may learn it, show it as an example or measure against it.
    assert (bad.prompt, bad.label, bad.completion, bad.rejected, bad.target) == ([USER], False, None, BAD, None)
    assert (good.labelled_answer, bad.labelled_answer) == (GOOD, BAD)
    again = Dataset.from_spec(data.to_spec())
    assert (again.kind, list(again)) == (data.kind, list(data))


def test_a_column_of_another_name_is_named(tmp_path):
    task = ft.Task("Add.", input="{sum}", output=Literal["4", "5"])
    lines = [{"sum": "2 + 2", "said": "4", "thumbs": "1"}, {"sum": "2 + 2", "said": "I cannot add", "thumbs": "0"}]
    data = Dataset.from_rows(lines, task, target="said", label="thumbs")
    assert data.kind == "unpaired_preferences"
    good, bad = data
    assert (good.target, good.label) == ("4", True)
    assert (bad.target, bad.labelled_answer["content"]) == (None, "I cannot add")  # it may break the task's schema
    chat = Dataset.from_rows([{"messages": [USER, GOOD], "up": True}], label="up")
    assert (chat.kind, chat[0].label) == ("unpaired_preferences", True)
    renamed = Dataset.from_rows([{"messages": [USER, GOOD], "up": True}], columns={"label": "up"})
    assert (renamed.kind, renamed[0].label) == ("unpaired_preferences", True)
    data.write_trl(tmp_path / "kto.jsonl")
    back = Dataset.load(tmp_path / "kto.jsonl")
    assert [(row.label, row.labelled_answer["content"]) for row in back] == [(True, "4"), (False, "I cannot add")]
    assert Dataset.load(tmp_path / "kto.jsonl", format="trl_unpaired_preference").kind == "unpaired_preferences"


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"label": "perhaps"}, "label", "must say whether the answer is a good one"),
        ({"label": None}, "label", "must say whether"),
        ({"weight": 0}, "weight", "always learned"),
        ({"messages": [GOOD]}, "the last message", "nothing is asked"),
        ({"messages": [USER, GOOD, BAD]}, "messages[1].role", "just before the answer"),
        ({"messages": [USER, GOOD | {"weight": 0}]}, "the last message", "weight 0"),
        ({"messages": [USER, GOOD | {"weight": 1}, USER, BAD]}, "messages[1].weight", "only the last turn"),
        ({"messages": [USER]}, "messages", "no assistant turn"),
    ],
)
def test_a_faulty_row_is_named_by_place_and_field(change: Any, field: str, problem: str):
    lines = [{"messages": [USER, GOOD], "label": True}] * 100 + [{"messages": [USER, BAD], "label": False} | change]
    [error] = Dataset.from_rows(lines).check()
    assert (error.place.line, error.field) == (101, field)
    assert problem in error.message


def test_demonstrations_of_which_some_have_a_label_stay_demonstrations():
    data = Dataset.from_rows([{"messages": [USER, GOOD]}, {"messages": [USER, BAD], "label": False}])
    assert data.kind == "demonstrations"
    with pytest.raises(DataError, match="KTO"):
        data[1].require_answer()


def test_options_that_contradict_each_other_are_refused():
    pair = {"prompt": "p", "chosen": "a", "rejected": "b", "ok": True}
    with pytest.raises(ConfigError, match="pairs of answers already"):
        Dataset.from_rows([pair], label="ok")
    with pytest.raises(ConfigError, match="name one kind"):
        Dataset.from_rows([pair], ft.Task(input="{prompt}"), chosen="chosen", rejected="rejected", label="ok")
    with pytest.raises(ConfigError, match="the rows have none"):
        Dataset.from_rows([pair], ft.Task(input="{prompt}"), label="ok")
    with pytest.raises(DataError, match="no column 'no'"):
        Dataset.from_rows([pair], ft.Task(input="{prompt}"), target="chosen", label="no")
    with pytest.raises(ConfigError, match="has a label in each row"):
        Dataset.from_rows([{"prompt": "p", "completion": "c", "label": "x"}], format="trl_unpaired_preference")
