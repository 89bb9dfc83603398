from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft

FROM_PYTHON = """
import sys
import ftkit as ft
from tests.evaluation.scripted import ScriptedModel
task = ft.Task("Read the dose.", input="{note}", output={
    "type": "object", "properties": {"dose": {"type": "string"}}, "required": ["dose"], "additionalProperties": False,
})
rows = [{"note": "a", "wanted": {"dose": "500 mg"}}, {"note": "b", "wanted": {"dose": "500 mg"}}]
data = ft.Dataset.from_rows(rows, task, target="wanted")
model = ScriptedModel(task, {"a": '{"dose": "0.5 g"}', "b": '{"dose": "5 g"}'})
report = ft.evaluate(model, data, comparators={"dose": "clinic_dose"}, progress=False)
again = ft.Report.load(report.save(sys.argv[1]))
assert again == report and type(again.comparators["dose"]).__name__ == "Dose"
print(report["field:dose"].value, report["field:dose"].description)
"""


def test_from_python_and_from_a_saved_report(installed, tmp_path):
    printed = installed.python(FROM_PYTHON, str(tmp_path / "report.json"))
    assert printed.strip() == "0.5 answers whose dose is right by comparator clinic_dose"


@pytest.mark.slow
def test_from_the_command_line(installed, tiny_model, tmp_path):
    task = ft.Task("Read the dose.", input="{note}", output={"type": "object", "properties": {"dose": {}}})
    task.to_yaml(tmp_path / "task.yaml")
    Path(tmp_path / "rows.jsonl").write_text(json.dumps({"note": "a", "wanted": {"dose": "5 mg"}}) + "\n")
    options = ("--task", "task.yaml", "--data", "rows.jsonl", "--target", "wanted", "--max-output-tokens", "4")
    installed.ftkit(
        *("evaluate", f"local:{tiny_model}", *options, "--no-probes", "--comparator", "dose=clinic_dose:5"),
        *("--output", "report.json"),
    )
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["comparators"] == {"dose": {"kind": "clinic_dose", "percent": 5.0}}
