"""The documents' table of recipe fields and hosts: ``python -m tests.hosts.support_table`` prints it."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.backends.hosted.backend import HostedBackend

SIGNS = {"honoured": "yes", "translated": "translated", "refused": "default only", "no effect": "no effect"}


def table(hosts: Sequence[HostedBackend]) -> str:
    """One row a field, one column a host; in each cell what becomes of a value that is not the default."""
    fields = list(dict.fromkeys(name for host in hosts for held in host.field_support.values() for name in held))
    lines = ["| field | " + " | ".join(host.name for host in hosts) + " |", "| --- |" + " --- |" * len(hosts)]
    for field in fields:
        cells = [_cell(host, field) for host in hosts]
        lines.append(f"| `{field}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(host: HostedBackend, field: str) -> str:
    """What becomes of the field, and of which recipes where they differ."""
    signs = {kind: SIGNS[held[field].how] for kind, held in host.field_support.items() if field in held}
    kinds: dict[str, list[str]] = {}
    for kind, sign in signs.items():
        kinds.setdefault(sign, []).append(kind)
    if len(kinds) < 2:
        return next(iter(kinds), "–")
    return "; ".join(f"{sign} ({', '.join(of)})" for sign, of in kinds.items())


if __name__ == "__main__":
    from tests.hosts.test_translation import HOSTS

    print(table(HOSTS))
