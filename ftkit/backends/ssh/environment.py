"""ftkit's code and its Python environment on the other machine."""

from __future__ import annotations

import hashlib
import logging
import tempfile

from ftkit.backends.remote.source_code import this_code
from ftkit.backends.ssh.connection import run_there
from ftkit.backends.ssh.remote_machine import RemoteMachine, quoted
from ftkit.errors import ConfigError
from ftkit.version import __version__

__all__ = ["GREETING", "NEEDS", "make_environment", "program_script", "send_code", "setup_commands"]

_LOG = logging.getLogger("ftkit.ssh")
GREETING = "ftkit-box "
"""Begins the line with which the program there greets. What the shell prints before it is left out."""
NEEDS = "ftkit-needs "
"""Begins the line that says what is missing there: ``code``, ``environment`` or ``python``."""
_SETUP_S = 3600.0
_SEND_S = 600.0
_PYTHONS = "python3.13 python3.12 python3.11 python3"
_UV_PYTHON = ">=3.11,<3.14"


def program_script(machine: RemoteMachine) -> str:
    """Return the script that runs ftkit's program there, or says what is missing.

    Args:
        machine: the machine.

    Returns:
        A script for ``sh``.
    """
    if machine.python is None:
        python = f'"$F/{_environment()}/bin/python"'
        missing = f'[ -e "$F/{_environment()}/ready" ] || {{ echo {NEEDS}environment; exit 3; }}'
    else:
        python = quoted(machine.python)
        missing = f"command -v {python} >/dev/null || {{ echo {NEEDS}python; exit 3; }}"
    # PYTHONSAFEPATH: a folder ftkit in the home folder there does not hide the code that was sent.
    code = f'"$F/code/{this_code().digest}"'
    return (
        f"{_folder(machine)} [ -e {code}/ready ] || {{ echo {NEEDS}code; exit 3; }}; {missing}; "
        f'FTKIT_HOME="$F/home"; PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}; TOKENIZERS_PARALLELISM=false; '
        f"PYTHONSAFEPATH=1; export FTKIT_HOME PYTHONPATH PYTHONSAFEPATH TOKENIZERS_PARALLELISM; "
        f"exec {python} -m ftkit.backends.ssh.program"
    )


def send_code(machine: RemoteMachine) -> None:
    """Send this ftkit's code, whole or not at all.

    Args:
        machine: the machine.
    """
    code = this_code()
    _LOG.info("%s: sending ftkit %s (%d kB)", machine.destination, __version__, len(code.archive) // 1024)
    script = (
        f'{_folder(machine)} set -e; C="$F/code/{code.digest}"; A="$C.$$"; mkdir -p "$A"; trap \'rm -rf "$A"\' EXIT; '
        f'tar xzf - -C "$A"; touch "$A/ready"; [ -e "$C/ready" ] || mv "$A" "$C"'
    )
    with tempfile.TemporaryFile() as archive:
        archive.write(code.archive)
        archive.seek(0)
        run_there(machine, script, stdin=archive, timeout_s=_SEND_S)


def setup_commands(machine: RemoteMachine) -> list[str]:
    """Return the commands that make ftkit's environment there, with what is there: uv, or else venv and pip.

    Args:
        machine: the machine.

    Returns:
        Commands for ``sh``, in which ``$F`` is ftkit's folder there and ``$E`` the environment's.

    Raises:
        ConfigError: there is neither uv nor Python 3.11 or later; or this ftkit is not installed, so that its
            requirements are not known.
    """
    if not this_code().requirements:
        raise ConfigError(
            "this ftkit runs from a checkout that is not installed, so its requirements are not known; install it here "
            f"(pip install -e .), or name an interpreter on {machine.destination} that has them: ft.SSH(…, python=…)"
        )
    check = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"
    found = run_there(
        machine,
        f"if command -v uv >/dev/null; then echo ftkit-has uv; exit; fi; for p in {_PYTHONS}; do "
        f"if $p -c {quoted(check)} 2>/dev/null; then echo ftkit-has $p; exit; fi; done",
    )
    tools = [line.split()[-1] for line in found.splitlines() if line.startswith("ftkit-has ")]
    if not tools:
        raise ConfigError(
            f"{machine.destination} has neither uv nor Python 3.11 to 3.13 with venv. Install uv there "
            "(https://docs.astral.sh/uv), or name an interpreter that has ftkit's dependencies: ft.SSH(…, python=…)"
        )
    install = '-r "$E.txt"'
    if tools[0] == "uv":
        made = [f'uv venv --python "{_UV_PYTHON}" "$E"', f'uv pip install --python "$E/bin/python" {install}']
    else:
        made = [f'{tools[0]} -m venv "$E"', f'"$E/bin/python" -m pip install {install}']
    return ['rm -rf "$E"', *made, 'touch "$E/ready"']


def make_environment(machine: RemoteMachine) -> None:
    """Make ftkit's environment there. The commands are logged before they are run.

    Args:
        machine: the machine.
    """
    commands = setup_commands(machine)
    requirements = "\n".join(this_code().requirements)
    _LOG.warning(
        "%s has no environment for ftkit %s yet. Run there, with F=%s, E=$F/%s and in $E.txt the requirements %s:\n%s",
        machine.destination,
        __version__,
        machine.folder,
        _environment(),
        ", ".join(this_code().requirements),
        "\n".join(f"  {command}" for command in commands),
    )
    script = (
        f'{_folder(machine)} set -e; E="$F/{_environment()}"; mkdir -p "$F/environments"; exec 9>"$E.lock"; '
        f'if command -v flock >/dev/null; then flock 9; fi; if [ -e "$E/ready" ]; then exit; fi; cat >"$E.txt"; '
        f"{'; '.join(commands)}"
    )
    with tempfile.TemporaryFile() as wanted:
        wanted.write(f"{requirements}\n".encode())
        wanted.seek(0)
        run_there(machine, script, stdin=wanted, timeout_s=_SETUP_S)


def _environment() -> str:
    """The environment's folder below ftkit's: another one for other requirements."""
    wanted = "\n".join(sorted(this_code().requirements))
    return f"environments/{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"


def _folder(machine: RemoteMachine) -> str:
    """The beginning of a script, after which ``$F`` is ftkit's folder and new files are the owner's alone."""
    folder = quoted(machine.folder)
    return f'umask 077; F={folder}; case "$F" in /*) ;; *) F="$PWD/$F";; esac; mkdir -p "$F/code" "$F/home";'
