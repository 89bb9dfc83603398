"""The environment that ftkit makes on a machine which has none."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.backends.remote.source_code import this_code
from ftkit.backends.ssh import RemoteMachine, environment
from tests.ssh.loopback import Loopback

UV = """#!/bin/sh
echo "$*" >> {log}
case "$1" in
venv) shift 3; mkdir -p "$1/bin"; P="$1/bin/python"; printf '#!/bin/sh\\nexec {python} "$@"\\n' > "$P"; chmod +x "$P";;
pip) [ -e {broken} ] && {{ echo "no matching distribution" >&2; exit 1; }}; cat "$6" >> {log};;
esac
"""


@pytest.mark.slow
def test_it_is_shown_and_made_once_with_the_requirements_of_this_ftkit(
    sshd: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log, broken, tools = tmp_path / "uv.log", tmp_path / "broken", tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text(UV.format(log=log, python=sys.executable, broken=broken))
    (tools / "uv").chmod(0o755)
    folder = environment._folder
    monkeypatch.setattr(environment, "_folder", lambda machine: f"PATH={tools}:$PATH; {folder(machine)}")
    probe = environment.run_there
    monkeypatch.setattr(
        environment,
        "run_there",
        lambda machine, script, **more: probe(machine, f"PATH={tools}:$PATH; {script}", **more),
    )
    backend = ft.SSH("box", "smollm2-135m", folder=str(tmp_path / "there"), config=str(sshd.config))
    broken.touch()
    with pytest.raises(ft.HostError, match="no matching distribution"):
        backend.known_task()
    broken.unlink()
    caplog.clear()
    assert backend.known_task() is None
    (shown,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    commands = backend.setup_commands()
    assert commands[1].startswith("uv venv --python")
    assert all(command in shown.getMessage() for command in commands)
    said = log.read_text()
    assert "torch>=" in said
    assert "transformers>=" in said
    assert "extra ==" not in said
    assert said.count("pip install") == 2
    backend.close()
    backend._session.close()
    backend.known_task()
    assert log.read_text() == said


def test_the_code_is_this_code_and_needs_no_installation(tmp_path: Path) -> None:
    code = this_code()
    (tmp_path / "code").mkdir()
    subprocess.run(["tar", "xzf", "-", "-C", str(tmp_path / "code")], input=code.archive, check=True)
    asked = "import ftkit, importlib.metadata as m; print(ftkit.__file__, m.version('ftkit'), ftkit.__version__)"
    said = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "code"), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == [str(tmp_path / "code" / "ftkit" / "__init__.py"), ft.__version__, ft.__version__]
    assert not any("ftkit" in requirement for requirement in code.requirements)


@pytest.mark.parametrize("folder", [".ftkit", "a folder's $HOME", "/abs"])
def test_scripts_take_any_folder(folder: str, tmp_path: Path) -> None:
    script = environment._folder(RemoteMachine("box", folder=folder if folder != "/abs" else str(tmp_path / "abs")))
    shell = f'cd {tmp_path} && {script} pwd && printf %s "$F"'
    there = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.split("\n", 1)[1]
    assert there == str(tmp_path / folder.strip("/"))
    assert (Path(there) / "code").is_dir()
