"""docs/leaving-openai.md, run command by command: the fake of OpenAI at first, then a server with a real model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.openai_host import OpenAIFake
from tests.hosts.serving import serving

from .leaving import scripted, tune, write_rows

PAGE = (Path(__file__).parents[2] / "docs" / "leaving-openai.md").read_text(encoding="utf-8")
PORT, SERVED = "8000", "smollm2-135m"


def script() -> str:
    """The page's commands as one script, which stops at the first that fails."""
    run = f'"{sys.executable}" -m ftkit "$@"'
    lines = [
        "set -eu",
        f'ftkit() {{ if [ "$1" = serve ]; then exec {run}; else {run}; fi; }}',  # so that $! is the server's own
        f'python() {{ "{sys.executable}" "$@"; }}',
    ]
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            if command.startswith("pip "):
                continue
            lines.append(f"echo {'$ ' + command!r}")
            lines.append(command)
            if command.endswith("&"):
                lines += ["server=$!", "trap 'kill $server' EXIT"]
                lines += [f"until curl -s -o /dev/null http://127.0.0.1:{PORT}/health; do sleep 0.5; done"]
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("real", [False, True], ids=["tiny", "real"])
def test_the_page_is_done_in_one_sitting(tmp_path: Path, tiny_model: str, real: bool) -> None:
    """With a tiny model all commands do their work; with the page's own the tuned one is better than its base."""
    code = re.search(r"^```python\n# train\.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert code is not None
    (tmp_path / "train.py").write_text(code[1], encoding="utf-8")
    write_rows(tmp_path)
    with serving(scripted(tmp_path)) as fake:
        assert isinstance(fake, OpenAIFake)
        tune(fake, tmp_path)
        account = {"OPENAI_BASE_URL": f"{fake.url}/v1", "OPENAI_API_KEY": fake.key}
        paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [
                "bash",
                "-c",
                script() if real else script().replace("ftkit serve ", f"ftkit serve --model {SERVED}={tiny_model} "),
            ],
            cwd=tmp_path,
            env={**os.environ, **account, "PYTHONPATH": paths, "OMP_NUM_THREADS": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert "ftjob-000002  ft:gpt-4.1-mini-2025-04-14:acme::000002" in done.stdout
    assert "The job has successfully completed" in done.stdout
    assert not real or "BETTER. own is better than base" in done.stdout
