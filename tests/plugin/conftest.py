"""The package in examples/plugin, installed as a user would, beside ftkit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Installed:
    """Runs Python and ftkit's command line where the example package is installed.

    Args:
        site: folder that holds the installed package.
        home: ftkit's home folder.
    """

    def __init__(self, site: Path, home: Path) -> None:
        self.site = site
        self.home = home

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.site), str(ROOT)])
        return {**os.environ, "PYTHONPATH": path, "FTKIT_HOME": str(self.home), "HF_HUB_OFFLINE": "1"}

    def python(self, code: str, *arguments: str, folder: Path | None = None) -> str:
        """Run a script; returns what it printed. A failure fails the test with its standard error."""
        return self._run([sys.executable, "-c", code, *arguments], folder)

    def ftkit(self, *arguments: str | Path, folder: Path | None = None) -> str:
        """Run ftkit's command line; returns what it printed to standard output."""
        return self._run([sys.executable, "-m", "ftkit", *map(str, arguments)], folder)

    def _run(self, command: list[str], folder: Path | None) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=280, cwd=folder or self.home, env=self.environment()
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--no-index", "--target", str(target), str(ROOT / "examples" / "plugin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def installed(site, tmp_path) -> Installed:
    return Installed(site, tmp_path)
