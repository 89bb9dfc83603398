from __future__ import annotations

import copy
import pickle

import pytest

from ftkit.error_text import Argument, ErrorText, error_text
from ftkit.errors import ConfigError, DataError, FormatError, Place, RefusedError

TEXT = ErrorText("write ", Argument("form", "messages"), " or ", Argument("max_kl", text="max_kl"))


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(TEXT),
        RefusedError(TEXT, backend="local", fields=("kind",)),
        DataError(TEXT, place=Place("rows.jsonl", 2), field="messages", problem="no_answer"),
        FormatError(TEXT),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_marks_survive_another_process(error, duplicate):
    other = duplicate(error)
    assert str(other) == str(error)
    assert str(other).endswith('write form="messages" or max_kl')
    text = error_text(other)
    assert isinstance(text, ErrorText)
    assert text.format_arguments(lambda argument: f"<{argument.name}|{argument.value}>").endswith(
        "write <form|messages> or <max_kl|>"
    )


def test_an_error_without_marks_has_its_plain_text():
    assert error_text(ConfigError("plain")) == "plain"
    assert error_text(KeyError()) == ""


def test_str_of_an_error_is_a_plain_string():
    assert type(str(ConfigError(TEXT))) is str
