"""A grader of the example package, from Python, from a recipe and from the command line."""

from __future__ import annotations

import json

PYTHON = """
import ftkit as ft
from ftkit.graders import Sample, GraderContext, grader_of

grader = grader_of({"type": "dose"})
parts = {"dose": grader, "short": ft.StringCheckGrader(reference="x")}
both = ft.MultiGrader(graders=parts, calculate_output="min(dose)")
pairs = [({"dose": "500 mg"}, Sample("Take 0.5 g.")), ({"dose": "500 mg"}, Sample("Take 5 mg."))]
print([grade.reward for grade in both.grade_many(pairs, GraderContext())])
recipe = ft.load_recipe("rft.yaml")
print(recipe.grader.column, ft.RFT(grader=grader).grader == grader_of(grader.model_dump()))
print(recipe.to_yaml() == ft.load_recipe("rft.yaml").to_yaml(), "type: dose" in recipe.to_yaml())
"""


def test_a_grader_type_of_an_installed_package(installed):
    (installed.home / "rft.yaml").write_text("kind: rft\ngrader:\n  type: dose\n  column: right\n")
    assert installed.python(PYTHON).split("\n")[:3] == ["[1.0, 0.0]", "right True", "True True"]
    (installed.home / "grader.json").write_text(json.dumps({"type": "dose"}))
    rows = [{"id": "a", "dose": "2 g", "answer": "2000 mg"}, {"id": "b", "dose": "2 g", "answer": "2 mg"}]
    (installed.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = installed.ftkit("grade", "rows.jsonl", "--grader", "grader.json", "--json").splitlines()
    assert [json.loads(line)["reward"] for line in lines] == [1.0, 0.0]
