from __future__ import annotations

import json

SHEETS = [
    {"asked": "dose?", "said": "5 mg", "wanted": "5 mg", "reviewer_agrees": True},
    {"asked": "when?", "said": "daily", "wanted": "weekly", "reviewer_agrees": False},
]


def test_from_the_command_line(installed, tmp_path):
    sheets = tmp_path / "sheets.jsonl"
    sheets.write_text("".join(json.dumps(sheet) + "\n" for sheet in SHEETS))
    done = installed.ftkit("convert", sheets, "-o", tmp_path / "report.json")
    assert "review-sheet:agreed" in str(done)
    assert json.loads((tmp_path / "report.json").read_text())["about"]["imported_from"] == "review-sheet"
