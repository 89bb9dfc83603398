"""A report that is written in the form of another tool and read again has the same scores, errors and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftkit.interchange import export_report, import_reports


def result(number: int, output: str | None, *, passed: bool, **more: Any) -> dict[str, Any]:
    return {
        "testIdx": number,
        "testCase": {"assert": [{"type": "equals", "value": "yes"}]},
        "provider": {"id": "openai:gpt-4.1"},
        "prompt": {"raw": f"question {number}"},
        "vars": {},
        "response": {"output": output, "tokenUsage": {"prompt": 2, "completion": 1}},
        "success": passed,
        "namedScores": {"tone": 0.25},
        **more,
    }


@pytest.mark.parametrize("form", ["promptfoo", "inspect_ai", "lm_eval"])
def test_nothing_changes_by_writing_and_reading(tmp_path: Path, form: str) -> None:
    given = [
        result(1, "yes", passed=True),
        result(2, "Yes", passed=True),  # promptfoo found it right, ftkit's own metric does not
        result(3, "no", passed=False),
        result(4, None, passed=False, error="429 rate limit"),
    ]
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"version": 3, "results": given, "stats": {}}))
    (first,) = import_reports(file)
    again = first
    for turn in range(2):
        written = tmp_path / f"{turn}.json"
        export_report(again, written, form=form)
        (again,) = import_reports(written, form=form)
        scores = {metric.name.removeprefix(f"{form}:"): metric.value for metric in again.metrics}
        assert scores["promptfoo:pass" if form != "promptfoo" else "pass"] == 0.5
        assert again["exact_match"].value == first["exact_match"].value == 0.25
        assert not any(metric.name.count(form) > 1 for metric in again.metrics)
        assert [row.error for row in again.rows] == [None, None, None, "429 rate limit"]
        assert again.cost.total_usd is None
        if form != "lm_eval":  # which has no place for tokens
            assert again.usage == first.usage
