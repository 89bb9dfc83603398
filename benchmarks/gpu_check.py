"""Check ftkit on one CUDA GPU in under ten minutes, offline: one table, one JSON file.

    python benchmarks/gpu_check.py [--only PART …] [--minutes 9] [--json gpu_check.json]

Everything it needs is in the repository and in the installed packages: torch 2.11 to 2.13, transformers, peft,
bitsandbytes, rapidfuzz, and trl with liger-kernel for the comparison. Models are random, of real shapes (Llama 3.2 1B,
Llama 3.1 8B), with a tokenizer made on the spot. A part that fails does not end the others.

``--small`` runs every part on a tiny model, also without a GPU, to find mistakes in the script itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu_parts import HIDDEN, PARTS, TOGETHER

LONGEST = 210
"""Seconds after which the process of some parts is ended."""
MARK = "part of the check: "
"""Begins a line that holds a part's outcome."""


class Apart:
    """Parts, one after the other, in a process of their own.

    Args:
        names: the parts.
        folder: where models and results are.
        small: see the script's option.
        seconds: when the process is ended.
    """

    def __init__(self, names: Sequence[str], folder: Path, small: bool, seconds: float) -> None:
        self.names = list(names)
        self.seconds = seconds
        command = [sys.executable, __file__, "--folder", str(folder), *(["--small"] if small else [])]
        self.process = subprocess.Popen(
            [*command, "--parts", *names],
            env={**os.environ, "FTKIT_HOME": str(folder / "home")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def outcomes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each part's outcome as soon as it is there; parts that the process did not reach have failed."""
        limit = threading.Timer(self.seconds, self.process.kill)
        limit.start()
        last: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                yield self.names.pop(0), json.loads(line.removeprefix(MARK))
                last = []
            elif line.strip():
                last = [*last[-30:], line.rstrip()]
        self.process.wait()
        killed = not limit.is_alive()
        limit.cancel()
        why = f"ended after {self.seconds:.0f} s" if killed else (last or ["ended without a word"])[-1][:300]
        for name in self.names:
            yield name, {"passed": False, "says": why, "output": last, "seconds": 0}


def run_parts(names: Sequence[str], folder: Path, small: bool) -> None:
    """Run parts in this process, and print each one's outcome."""
    for name in names:
        began = time.monotonic()
        try:
            outcome = {**PARTS, **HIDDEN}[name](folder, small)
        except Exception as error:
            outcome = {"passed": False, "says": f"{type(error).__name__}: {error}"[:300]}
            outcome["output"] = traceback.format_exc().splitlines()[-30:]
        print("\n" + MARK + json.dumps({**outcome, "seconds": round(time.monotonic() - began, 1)}), flush=True)


def groups(names: Sequence[str]) -> list[list[str]]:
    """Parts that share a process: those of the tiny model. Speed and memory are measured in a process each."""
    found: list[list[str]] = []
    for name in names:
        if found and name in TOGETHER and found[-1][-1] in TOGETHER:
            found[-1].append(name)
        else:
            found.append([name])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=9.0, help="parts that would begin later are left out")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--small", action="store_true", help="tiny models, also without a GPU")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, *HIDDEN], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.parts:
        run_parts(chosen.parts, chosen.folder, chosen.small)
        return
    ends = time.monotonic() + 60 * chosen.minutes
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        for group in groups(chosen.only):
            left = ends - time.monotonic()
            if left < 10:
                missed = {"passed": None, "says": "left out: no time", "seconds": 0}
                pairs: Iterable[tuple[str, dict[str, Any]]] = [(part, missed) for part in group]
            else:
                pairs = Apart(group, Path(name), chosen.small, min(left, LONGEST)).outcomes()
            for part, outcome in pairs:
                found[part] = outcome
                verdict = {True: "ok", False: "FAILED", None: "–"}[outcome["passed"]]
                print(f"{part:18}{verdict:8}{outcome['seconds']:6.0f} s  {outcome['says']}", flush=True)
                chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    failed = [part for part, outcome in found.items() if outcome["passed"] is False]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
