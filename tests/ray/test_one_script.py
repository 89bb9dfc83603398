"""The same script on this machine, over SSH and on a Ray cluster: one argument is changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

import ftkit as ft
from tests.ssh.loopback import loopback

SCRIPT = Path(__file__).parents[2] / "examples" / "visits" / "run.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def trained(backend: str, out: Path) -> tuple[str, ft.Report]:
    """The line about the training, and the report of the tuned model."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--backend", backend, "--adapter", "lora", "--epochs", "1", "--out", str(out)],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [line] = re.findall("^trained: .*", done.stdout, re.MULTILINE)
    return line, ft.Report.load(out / "tuned.json")


def test_one_argument_moves_the_visits_script(head: str, tiny_model: str, tmp_path: Path) -> None:
    for name in ("shared", "sshd"):
        (tmp_path / name).mkdir()
    cluster = urlencode({"workers": 2, "gpus_per_worker": 0, "storage": tmp_path / "shared"})
    with loopback(tmp_path / "sshd", {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}) as box:
        there = urlencode({"python": sys.executable, "folder": tmp_path / "there", "config": box.config})
        expected, report = trained(f"local:{tiny_model}", tmp_path / "local")
        for backend in (f"ssh:box?{there}#{tiny_model}", f"ray:{head}?{cluster}#{tiny_model}"):
            line, same = trained(backend, tmp_path / backend.partition(":")[0])
            assert line == expected
            assert len(same.rows) == len(report.rows)
            for metric in report.metrics:
                assert same[metric.name].value == pytest.approx(metric.value, abs=0.03)
