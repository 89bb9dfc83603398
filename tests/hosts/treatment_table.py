"""The documents' table of recipe fields and hosts: ``python -m tests.hosts.treatment_table`` prints it."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.backends.hosted import HostedBackend

SIGNS = {"honoured": "yes", "translated": "translated", "refused": "default only", "no effect": "no effect"}


def table(hosts: Sequence[HostedBackend]) -> str:
    """One row a field, one column a host; in each cell what becomes of a value that is not the default."""
    shown = {host.name: dict(host.treatments["sft"]) | dict(host.treatments.get("dpo", {})) for host in hosts}
    fields = list(dict.fromkeys(name for treatments in shown.values() for name in treatments))
    lines = ["| field | " + " | ".join(shown) + " |", "| --- |" + " --- |" * len(shown)]
    for field in fields:
        cells = [SIGNS[held[field].how] if field in held else "–" for held in shown.values()]
        lines.append(f"| `{field}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    from tests.hosts.test_translation import HOSTS

    print(table(HOSTS))
