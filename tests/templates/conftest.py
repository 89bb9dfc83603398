"""Tokenizers with the templates of ``shapes``, or with real ones from the folder that ``FTKIT_TEMPLATES`` names."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ftkit.modeling.chat_template import ChatTemplate

SHAPES = Path(__file__).parent / "shapes"
_CONTROL = re.compile(r"<\|?[\w/ ]+\|?>|<｜[^｜<>]+｜>|\[/?[A-Z_]+\]")
_TEXT = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<|done|>")
"""Added tokens that are not special, as in the tokenizers of several families."""


def with_tokens_of(tokenizer: Any, template: str) -> Any:
    """A copy of ``tokenizer`` with the template and with the control tokens that are written in it."""
    from transformers import AddedToken

    own = copy.deepcopy(tokenizer)
    found = sorted({match for match in _CONTROL.findall(template) if match not in ("[0]", "[-1]", "[A-Z]")})
    own.add_tokens([AddedToken(text, special=True, normalized=False) for text in found if text not in _TEXT], True)
    own.add_tokens([AddedToken(text, special=False, normalized=False) for text in found if text in _TEXT])
    own.chat_template = template
    return own


@pytest.fixture(scope="session")
def shape(tokenizer: Any) -> Callable[..., ChatTemplate]:
    """Makes the chat template of a file of ``shapes``."""

    @cache
    def make(name: str, day: date | None = None) -> ChatTemplate:
        return ChatTemplate(with_tokens_of(tokenizer, (SHAPES / f"{name}.jinja").read_text(encoding="utf-8")), day=day)

    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "real_template" in metafunc.fixturenames:
        folder = os.environ.get("FTKIT_TEMPLATES")
        files = sorted(Path(folder).glob("**/*.jinja")) if folder else []
        metafunc.parametrize("real_template", files, ids=[path.stem for path in files])
