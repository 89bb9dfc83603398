from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


def test_the_page_on_datasets_shows_what_its_examples_print(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parsed = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    report: list[str] = []
    result = doctest.DocTestRunner().run(parsed, out=report.append)
    assert result.attempted > 25
    assert not result.failed, "".join(report)
