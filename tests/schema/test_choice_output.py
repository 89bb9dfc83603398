from __future__ import annotations

import enum
from typing import Any, Literal

import pytest

from ftkit.errors import ConfigError, OutputError
from ftkit.schema import ChoiceOutput, Output, output_of
from tests.schema.records import Mood

URGENCY = ChoiceOutput(choices=("urgent", "soon", "routine"))


def test_choices_come_from_literals_and_enums() -> None:
    assert output_of(Literal["urgent", "soon", "routine"]) == (URGENCY, None)
    assert output_of(Mood) == (ChoiceOutput(choices=("calm", "low")), Mood)
    assert isinstance(URGENCY, Output)
    assert output_of(URGENCY.model_dump(mode="json"))[0] == URGENCY


def test_an_answer_is_one_choice_exactly() -> None:
    assert URGENCY.parse(" soon\n") == "soon"
    for text in ("Soon", '"soon"', "soon.", "soon or later", ""):
        (problem,) = URGENCY.problems(text)
        assert (problem.problem, problem.path, problem.text) == ("invalid_value", "$", text)
        assert "urgent, soon, routine" in problem.message
        with pytest.raises(OutputError):
            URGENCY.parse(text)
    assert "is written 'soon'" in URGENCY.problems("SOON")[0].message


def test_targets() -> None:
    assert URGENCY.format("soon") == "soon"
    assert output_of(Mood)[0].format(Mood.LOW) == "low"
    with pytest.raises(OutputError, match="never"):
        URGENCY.format("never")
    with pytest.raises(OutputError, match="expected one of"):
        URGENCY.format(3)


def test_the_wording_names_the_choices() -> None:
    assert URGENCY.describe() == "Answer with exactly one of: urgent, soon, routine"
    assert ChoiceOutput(choices=("yes", "no, never")).describe() == "Answer with exactly one of:\n- yes\n- no, never"


@pytest.mark.parametrize(
    ("choices", "why"),
    [
        ((), "at least two"),
        (("a",), "at least two"),
        (("a", "a"), "twice"),
        (("a", " b"), "whitespace"),
        (("a", " "), "blank"),
    ],
)
def test_choices_that_cannot_be_told_apart_are_refused(choices: tuple[str, ...], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ChoiceOutput(choices=choices)


def test_choices_that_are_no_strings_are_refused() -> None:
    class Level(enum.IntEnum):
        LOW = 1

    specs: list[Any] = [Literal["a", 1], Literal[True, False], Level]
    for spec in specs:
        with pytest.raises(ConfigError, match="use strings"):
            output_of(spec)
