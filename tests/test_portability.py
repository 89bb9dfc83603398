"""Every module of ftkit can be imported where Python lacks the modules that only POSIX has, as on Windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

SCRIPTS = {"ftkit.cli.__main__", *(f"ftkit.graders.sandbox.{name}" for name in ("program", "landlock", "namespaces"))}
"""Files that run as programs and that no module imports. Those of the sandbox run on Linux only."""

CODE = """
import builtins, importlib, sys

hidden = {"fcntl", "resource", "termios", "pwd", "grp", "pty", "tty", "syslog"}
original = builtins.__import__

def without_posix(name, globals=None, locals=None, fromlist=(), level=0):
    if name in hidden and (globals or {}).get("__name__", "").startswith("ftkit"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return original(name, globals, locals, fromlist, level)

builtins.__import__ = without_posix
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def test_no_module_needs_what_only_posix_has() -> None:
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / "ftkit").rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths} - SCRIPTS
    done = subprocess.run([sys.executable, "-c", CODE, *sorted(names)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
