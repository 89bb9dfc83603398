"""A tracker of the example package, from Python and from the command line."""

from __future__ import annotations

import csv
import json

import pytest

from tests.plugin.test_host import host  # noqa: F401  (a fixture)

PYTHON = """
import sys
import ftkit as ft

data = ft.Dataset.load("rows.jsonl", ft.Task("Say which team.", input="{text}"), target="team")
ft.train(ft.SFT(epochs=1), data, backend="clinic-host:m", run_id="from-python", trackers=["clinic-ledger:python.csv"])
"""


@pytest.mark.slow
def test_a_tracker_of_an_installed_package(installed, host):  # noqa: F811
    rows = [{"text": f"case {number}", "team": ("red", "blue")[number % 2]} for number in range(12)]
    (installed.home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (installed.home / "task.yaml").write_text("instructions: Say which team.\ninput: '{text}'\n")
    options = ["--data", "rows.jsonl", "--task", "task.yaml", "--target", "team", "--detach"]
    options += ["--backend", "clinic-host:m", "--tracker", "clinic-ledger"]
    run_id = installed.ftkit("train", *options).strip()
    installed.python(PYTHON)
    for name, file in ((run_id, "ledger.csv"), ("from-python", "python.csv")):
        installed.ftkit("runs", "wait", name)  # another process delivers what the first one did not
        with (installed.home / file).open(newline="", encoding="utf-8") as ledger:
            lines = list(csv.reader(ledger))
        assert [line[0] for line in lines] == [name] * 4
        assert [line[1:] for line in lines[1:]] == [
            ["step", "1", "1.0"],
            ["step", "2", "0.5"],
            ["end", "succeeded", ""],
        ]
        assert lines[0][1:3] == ["start", "clinic-host:m"]
