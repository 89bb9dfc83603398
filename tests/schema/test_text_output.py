from __future__ import annotations

from typing import Any

import pytest

from ftkit.errors import ConfigError, OutputError
from ftkit.schema import TextOutput, output_of


def test_targets_and_answers_keep_the_whitespace_around_them() -> None:
    output = TextOutput()
    assert output.parse(" two\n\n lines \n") == " two\n\n lines \n"
    assert output.format("    return x\n") == "    return x\n"
    assert output.describe() == ""
    assert output.fields() == {}


def test_an_empty_text_is_no_answer() -> None:
    with pytest.raises(OutputError, match="empty") as caught:
        TextOutput().parse(" \n")
    assert caught.value.problem == "invalid_value"
    with pytest.raises(OutputError, match="expected text, got dict"):
        TextOutput().format({})


@pytest.mark.parametrize("spec", [str, None, {"kind": "text"}, TextOutput()])
def test_what_means_text(spec: Any) -> None:
    assert output_of(spec) == (TextOutput(), None)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("json", "is not an output: it is a pydantic class"),
        (3, "is not an output"),
        ({"kind": "xml"}, "the kinds are json, choice, text"),
        ({"kind": "text", "max": 3}, "max: there is no such field"),
    ],
)
def test_what_means_nothing(spec: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        output_of(spec)
