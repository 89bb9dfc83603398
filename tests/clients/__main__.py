"""Run every client against a server, and write the table of ``docs/serve.md``.

``python -m tests.clients FOLDER`` installs the clients below FOLDER (about 3 GB, half of it promptfoo); ``--only NAME``
selects clients, ``--write`` puts the table into the document.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.clients.serving import serving
from tests.clients.suites import CLIENTS, STEPS, Client, Outcome, install, run

DOCUMENT = Path(__file__).parents[2] / "docs" / "serve.md"
BEGIN, END = "<!-- clients: written by python -m tests.clients -->", "<!-- /clients -->"
COLUMNS = {"chat": "chat", "stream": "stream", "tools": "tools", "structured": "schema", "tune": "files, jobs"}


def table(outcomes: dict[Client, Outcome]) -> str:
    """The outcomes as a Markdown table."""
    lines = ["| client | version | " + " | ".join(COLUMNS.values()) + " | |", "|---" * (len(COLUMNS) + 3) + "|"]
    for client, outcome in outcomes.items():
        cells = [_cell(outcome, step) for step in STEPS]
        lines.append(f"| {client.name} | {outcome.version} | {' | '.join(cells)} | {client.note} |")
    return "\n".join(lines)


def _cell(outcome: Outcome, step: str) -> str:
    if step not in outcome.errors:
        return ""
    return "yes" if outcome.errors[step] is None else "no"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    chosen = [one for one in CLIENTS if not arguments.only or Path(one.script).stem in arguments.only]
    outcomes = {}
    with tempfile.TemporaryDirectory() as home, serving(Path(home)) as (url, model, rows):
        for client in chosen:
            install(client, arguments.folder)
            outcomes[client] = outcome = run(client, arguments.folder, url, model, rows)
            print(client.name, outcome.version, outcome.errors or outcome.log, flush=True)
            if not outcome.passed:
                print(outcome.log, flush=True)
    print(table(outcomes))
    if arguments.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table(outcomes)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
