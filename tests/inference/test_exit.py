"""Processes that end while a model still answers."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys, threading, time
import ftkit as ft

task = ft.Task("Say it.", input="{q}")
model = ft.Model("local:" + sys.argv[1], task, sampling=ft.Sampling(max_output_tokens=int(sys.argv[2])))
answers = []
ask = lambda: answers.append(model.predict_many([{"q": str(number)} for number in range(8)], on_error="return"))
asking = threading.Thread(target=ask, daemon=True)
asking.start()
asking.join(float(sys.argv[3]))
print("done")
"""


@pytest.mark.parametrize(
    ("tokens", "seconds"), [("400", "1.0"), ("4", "60")], ids=["while it answers", "after it answered"]
)
def test_a_process_that_ends_does_not_abort(tiny_model, tokens, seconds):
    command = [sys.executable, "-c", SCRIPT, tiny_model, tokens, seconds]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0, done.stderr
