"""The rules themselves: as a list, one explained, and as the page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from ftkit.linting.rule import Rule
from ftkit.linting.rules import FAMILIES

__all__ = ["explained", "rules_list", "rules_page"]


def rules_list(rules: Iterable[Rule]) -> list[str]:
    """One line a rule."""
    return [
        f"{rule.code}  {rule.severity:7}  {'[*]' if rule.fixable else '   '}  {rule.name}: {rule.summary}"
        for rule in rules
    ]


def explained(rule: Rule) -> str:
    """All that a rule says of itself."""
    mended = ", can be mended by --fix" if rule.fixable else ""
    return f"{rule.code} {rule.name} ({rule.severity}{mended})\n\n{rule.summary}\n\n{rule.explanation}"


def rules_page(rules: Iterable[Rule]) -> str:
    """Every rule with its explanation, family by family, as Markdown."""
    by_family: dict[str, list[Rule]] = {}
    for rule in rules:
        by_family.setdefault(rule.code.rstrip("0123456789"), []).append(rule)
    lines = [
        "# Rules of ftkit lint",
        "",
        "Made by `ftkit lint --rules --format markdown`; `ftkit lint --explain CODE` shows one rule.",
        "Findings of rules with [*] can be mended by `--fix`.",
    ]
    for family, members in by_family.items():
        lines += ["", f"## {family}: {FAMILIES.get(family, 'plugged in')}"]
        for rule in members:
            mark = " [*]" if rule.fixable else ""
            head = f"### {rule.code} {rule.name} ({rule.severity}){mark}"
            lines += ["", head, "", f"**{rule.summary}**", "", rule.explanation]
    return "\n".join(lines) + "\n"
