"""Lint rules as a list, as an explanation and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from ftkit.linting.rule import Rule
from ftkit.linting.rules import FAMILIES

__all__ = ["explain_rule", "rules_list", "rules_page"]


def rules_list(rules: Iterable[Rule]) -> list[str]:
    """Write one line for each rule.

    Args:
        rules: The rules.

    Returns:
        The lines.
    """
    return [
        f"{rule.code}  {rule.severity:7}  {'[*]' if rule.fixable else '   '}  {rule.name}: {rule.summary}"
        for rule in rules
    ]


def explain_rule(rule: Rule) -> str:
    """Explain a rule.

    Args:
        rule: The rule.

    Returns:
        Code, name, severity, summary and explanation.
    """
    fixable = ", fixable by --fix" if rule.fixable else ""
    return "\n\n".join([f"{rule.code} {rule.name} ({rule.severity}{fixable})", *_paragraphs(rule)])


def rules_page(rules: Iterable[Rule]) -> str:
    """Write the documentation of rules, family by family.

    Args:
        rules: The rules.

    Returns:
        Markdown.
    """
    by_family: dict[str, list[Rule]] = {}
    for rule in rules:
        by_family.setdefault(rule.code.rstrip("0123456789"), []).append(rule)
    lines = [
        "# Rules of ftkit lint",
        "",
        "`ftkit lint --rules --format markdown` writes this page; `ftkit lint --explain CODE` shows one rule.",
        "`--fix` corrects findings of rules with [*].",
    ]
    for family, members in by_family.items():
        lines += ["", f"## {family}: {FAMILIES.get(family, 'from a plug-in')}"]
        for rule in members:
            mark = " [*]" if rule.fixable else ""
            head = f"### {rule.code} {rule.name} ({rule.severity}){mark}"
            summary, *explanation = _paragraphs(rule)
            lines += ["", head, "", f"**{summary}**"]
            for paragraph in explanation:
                lines += ["", paragraph]
    return "\n".join(lines) + "\n"


def _paragraphs(rule: Rule) -> list[str]:
    """The summary, and the explanation if it says more."""
    return [rule.summary] if rule.explanation in ("", rule.summary) else [rule.summary, rule.explanation]
