from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "transformers", "peft", "numpy", "scipy", "pandas", "pyarrow", "openai", "httpx", "jsonschema"),
    *("rich", "yaml", "sqlite3", "jinja2"),
}


@pytest.mark.parametrize(
    "command",
    [[], ["task"], ["data", "check"], ["data", "mask"], ["plan"], ["train"], ["evaluate"], ["runs", "list"]],
)
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys, json\n"
        "from ftkit.cli import main\n"
        f"sys.argv = ['ftkit', *{command!r}, '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *help_text, modules = done.stdout.splitlines()
    assert help_text[0].startswith("Usage: ftkit")
    assert not HEAVY & set(json.loads(modules))


def test_the_version_is_shown(ftkit):
    import ftkit as package

    assert ftkit("--version").stdout == f"ftkit {package.__version__}\n"


def test_every_command_has_help_that_fits_the_list(ftkit):
    for arguments in ((), ("data",), ("runs",)):
        listed = ftkit(*arguments, "--help").stdout.partition("Commands:\n")[2]
        assert listed
        assert "..." not in listed, f"a first sentence is cut off: {listed}"
