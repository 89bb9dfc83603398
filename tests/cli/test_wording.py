from __future__ import annotations

import pytest

from ftkit.cli.option_names import in_options


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ("name the answer's column with target=", "name the answer's column with --target"),
        (
            'name the columns with chosen="…" and rejected="…", or',
            "name the columns with --chosen … and --rejected …, or",
        ),
        ('read with columns={"note": "<column>"}.', "read with --column note=<column>."),
        ("columns= has 'nte', but the task reads note.", "--column has 'nte', but the task reads note."),
        ("format='jsn' is not known", "--format jsn is not known"),
        (
            "the row holds <a target=x>, mytarget=3 and x.target=",
            "the row holds <a target=x>, mytarget=3 and x.target=",
        ),
    ],
)
def test_arguments_become_options(said: str, here: str) -> None:
    assert in_options(said) == here


def test_errors_are_said_in_options(ftkit, texts, task):
    failed = ftkit("train", "--data", texts, "--task", task, "--backend", "toy:base", "--format", "jsn")
    assert failed.exit_code == 2
    assert "--format jsn is not known" in failed.stderr
    failed = ftkit("train", "--data", texts, "--task", task, "--backend", "toy:base", "--column", "nte=text")
    assert "--column has 'nte'" in failed.stderr
    assert "--column note=text" in failed.stderr


def test_a_choice_that_is_none_is_said_without_pydantic_s_prefix(ftkit):
    failed = ftkit("compare", "a.json", "b.json", "--require", "fine")
    assert failed.exit_code == 2
    assert "Invalid value for '--require': 'fine' is not one of" in failed.stderr
