"""Check ftkit on one CUDA GPU in under ten minutes, offline: one table, one JSON file.

    python benchmarks/gpu_check.py [--only PART …] [--minutes 9] [--json gpu_check.json]

Everything it needs is in the repository and in the installed packages: torch 2.11 to 2.13, transformers, peft,
bitsandbytes, and trl with liger-kernel for the comparison. Models are random, of real shapes (Llama 3.2 1B, Llama 3.1
8B), with a tokenizer made on the spot. Each part runs in a process of its own; one that fails does not end the others.

``--small`` runs every part on a tiny model, also without a GPU, to find mistakes in the script itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu_parts import HIDDEN, PARTS

LONGEST_PART = 150
"""Seconds after which a part is ended."""


def apart(name: str, folder: Path, small: bool, seconds: float) -> dict[str, Any]:
    """One part in a process of its own."""
    began = time.monotonic()
    command = [sys.executable, __file__, "--part", name, "--folder", str(folder), *(["--small"] if small else [])]
    environment = {**os.environ, "FTKIT_HOME": str(folder / "home")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return {"passed": False, "says": f"ended after {seconds:.0f} s", "seconds": seconds}
    taken = round(time.monotonic() - began, 1)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"passed": False, "says": (lines or ["killed"])[-1][:300], "stderr": lines[-30:], "seconds": taken}
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**outcome, "seconds": taken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=9.0, help="parts that would begin later are left out")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--small", action="store_true", help="tiny models, also without a GPU")
    parser.add_argument("--part", choices=[*PARTS, *HIDDEN], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        print("\n" + json.dumps({**PARTS, **HIDDEN}[chosen.part](chosen.folder, chosen.small)))
        return
    ends = time.monotonic() + 60 * chosen.minutes
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        for part in chosen.only:
            left = ends - time.monotonic()
            if left < 10:
                found[part] = {"passed": None, "says": "left out: no time", "seconds": 0}
            else:
                found[part] = apart(part, Path(name), chosen.small, min(left, LONGEST_PART))
            verdict = {True: "ok", False: "FAILED", None: "–"}[found[part]["passed"]]
            print(f"{part:18}{verdict:8}{found[part]['seconds']:6.0f} s  {found[part]['says']}", flush=True)
            chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    failed = [part for part, outcome in found.items() if outcome["passed"] is False]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
