"""How long ``/health`` waits while the server handles requests that are made to be expensive.

    python benchmarks/server_attacks.py [--only WORD]

The server is a process of its own, of a tiny model. The requests are those of ``tests/server/attacks.py``.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.attacks import ATTACKS, attack
from tests.server.health_watch import HealthWatch
from tests.tiny import save_tiny, smollm_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of the names of attacks")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = save_tiny(Path(folder) / "tiny", "llama", smollm_tokenizer(Path(folder)))
        process = subprocess.Popen(
            [sys.executable, "-m", "ftkit", "serve", "--port", "0", "--model", f"tiny={model}", "--allow-python"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "FTKIT_HOME": f"{folder}/home"},
            start_new_session=True,
        )
        try:
            assert process.stderr is not None
            found = next(filter(None, (re.search(r" at (http://\S+)/v1;", line) for line in process.stderr)))
            table(found[1], chosen.only)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def table(url: str, only: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    for first in ({}, {"response_format": {"type": "json_object"}}):  # load torch, the model and llguidance
        httpx.post(f"{url}/v1/chat/completions", json={**body, **first}, timeout=120)
    print("| request | answered | after | longest wait for `/health` |\n|---|---|---|---|")
    with HealthWatch(url) as watch:
        for name, one in ATTACKS.items():
            if only in name:
                outcome = attack(url, one, watch)
                statuses = ", ".join(map(str, sorted(set(outcome.statuses))))
                print(f"| {name} | {statuses} | {outcome.seconds:.1f} s | {outcome.health * 1000:.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
