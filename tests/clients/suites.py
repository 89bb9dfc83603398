"""The clients: which packages each needs, how they are installed into a folder of their own, how a script is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
STEPS = ("chat", "stream", "tools", "structured", "tune")


@dataclass(frozen=True)
class Client:
    """A client.

    Attributes:
        name: what it is called in the table.
        script: the file that uses it.
        packages: what is installed, the client itself first.
        note: what its user has to know, for the table.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    note: str = ""

    @property
    def is_node(self) -> bool:
        return self.script.endswith(".mjs")

    def folder(self, installed: Path) -> Path:
        return installed / Path(self.script).stem


CLIENTS = (
    Client("OpenAI, Python", "openai_python.py", ("openai",)),
    Client("OpenAI, JavaScript", "openai_node.mjs", ("openai", "zod")),
    Client(
        "OpenAI agents SDK",
        "openai_agents.py",
        ("openai-agents",),
        "unchanged (Responses), and chat completions",
    ),
    Client("LangChain", "langchain_client.py", ("langchain-openai",), "`ChatOpenAI`; all methods of structured output"),
    Client("instructor", "instructor_client.py", ("instructor",), "modes `TOOLS`, `TOOLS_STRICT`, `JSON_SCHEMA`"),
    Client("DSPy", "dspy_client.py", ("dspy",), "`dspy.LM` with an alias that DSPy knows, else it sends no schemas"),
    Client("inspect_ai", "inspect_client.py", ("inspect_ai", "openai"), "model `openai-api/ftkit/…`"),
    Client("LiteLLM, Python", "litellm_client.py", ("litellm",), "model `openai/…`"),
    Client(
        "Vercel AI SDK",
        "vercel.mjs",
        ("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "zod"),
        "`openai(…)` unchanged (Responses), `openai.chat(…)`, and `openai-compatible`",
    ),
    Client("promptfoo", "promptfoo.mjs", ("promptfoo",), "provider `openai:chat:…`"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a client's script.

    Attributes:
        version: version of the client.
        errors: by step, None where it succeeded.
        log: the end of what it printed.
    """

    version: str
    errors: dict[str, str | None]
    log: str

    @property
    def passed(self) -> bool:
        return bool(self.errors) and not any(self.errors.values())


def install(client: Client, installed: Path) -> None:
    """Install a client into its folder, if it is not there yet."""
    folder = client.folder(installed)
    marker = folder / "installed"
    if marker.exists():
        return
    if client.is_node:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        command = [str(shutil.which("npm")), "install", "--no-audit", "--no-fund", "--silent", *client.packages]
    else:
        venv.create(folder, with_pip=True)
        command = [str(_python(folder)), "-m", "pip", "install", "--quiet", *client.packages]
    subprocess.run(command, check=True, cwd=folder)
    marker.touch()


def run(client: Client, installed: Path, url: str, model: str, rows: Path, seconds: float = 300) -> Outcome:
    """Run a client's script against a server."""
    folder = client.folder(installed)
    if client.is_node:
        # Node looks for packages beside the script.
        for script in (client.script, "steps.mjs"):
            shutil.copy(SCRIPTS / script, folder / script)
        command = [str(shutil.which("node")), str(folder / client.script)]
    else:
        command = [str(_python(folder)), "-P", str(SCRIPTS / client.script)]
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    own = {"CLIENT_URL": f"{url}/v1", "CLIENT_MODEL": model, "CLIENT_ROWS": str(rows), "PYTHONPATH": str(SCRIPTS)}
    try:
        done = subprocess.run(
            command, env=keep | own, capture_output=True, text=True, check=False, timeout=seconds, cwd=folder
        )
        printed, log = done.stdout, done.stdout + done.stderr
    except subprocess.TimeoutExpired as error:
        printed, log = str(error.stdout or ""), f"not finished after {seconds:.0f} s"
    errors = {}
    for line in printed.splitlines():
        if line.startswith('{"step"'):
            found = json.loads(line)
            errors[found["step"]] = found["error"]
    return Outcome(_version(client, folder), errors, log[-4000:])


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _version(client: Client, folder: Path) -> str:
    package = client.packages[0]
    if client.is_node:
        return str(json.loads((folder / "node_modules" / package / "package.json").read_text())["version"])
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([str(_python(folder)), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
