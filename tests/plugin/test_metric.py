from __future__ import annotations

import json

import pytest

import ftkit as ft

FROM_PYTHON = """
import ftkit as ft
from tests.evaluation.scripted import ECHO, ScriptedModel
rows = [{"note": f"patient AB-{n}234", "wanted": "seen"} for n in range(4)]
data = ft.Dataset.from_rows(rows, ECHO, target="wanted")
replies = {row["note"]: row["note"] if n else "patient XX-9999" for n, row in enumerate(rows)}
report = ft.evaluate(ScriptedModel(ECHO, replies), data, metrics=["auto", "clinic_no_invented_ids"], progress=False)
found = report["clinic_no_invented_ids"]
print(found.value, found.n, found.description)
again = report.rescore(["clinic_no_invented_ids"])
print(again.primary)
"""


def test_from_python(installed):
    assert installed.python(FROM_PYTHON).splitlines() == [
        "0.75 4 answers whose patient identifiers all occur in the prompt",
        "clinic_no_invented_ids",
    ]


@pytest.mark.slow
def test_from_the_command_line(installed, tiny_model, tmp_path):
    ft.Task(input="{note}").to_yaml(tmp_path / "task.yaml")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"note": "a", "wanted": "b"}) + "\n")
    options = ("--task", "task.yaml", "--data", "rows.jsonl", "--target", "wanted", "--max-output-tokens", "4")
    printed = installed.ftkit(
        *("evaluate", f"local:{tiny_model}", *options, "--no-probes", "--metric", "clinic_no_invented_ids")
    )
    assert "clinic_no_invented_ids" in printed


def test_a_broken_metric_warns_and_harms_no_other(installed, site, tmp_path):
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ftkit.metrics]\nbroken = no_such_module:metric\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport warnings; warnings.simplefilter('error')\n"
    script += "from ftkit.registry import PluginWarning; warnings.simplefilter('ignore', PluginWarning)\n"
    printed = installed.python(script + FROM_PYTHON)
    assert printed.startswith("0.75 4")
    named = script + FROM_PYTHON.replace('"clinic_no_invented_ids"]', '"broken"]')
    failure = "try:\n" + "".join(f"    {line}\n" for line in named.strip().splitlines())
    failure += "except Exception as error: print(error)"
    assert "the metric 'broken' (no_such_module:metric) cannot be loaded" in installed.python(failure)
