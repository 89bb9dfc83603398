from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from ftkit.errors import ConfigError
from ftkit.graders.sandbox import check_isolation

PAGE = Path(__file__).parents[2] / "docs" / "graders.md"


def test_the_page_on_graders_shows_what_its_examples_print() -> None:
    try:
        check_isolation("kernel")
    except ConfigError as error:
        pytest.skip(str(error))
    examples = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parsed = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    result = doctest.DocTestRunner().run(parsed, out=report.append)
    assert result.attempted > 12
    assert not result.failed, "".join(report)
