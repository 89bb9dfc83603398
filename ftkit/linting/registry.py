"""All lint rules by code: ftkit's own, those of installed packages, and those that a script declares."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any, get_args

from typing_extensions import override

from ftkit.arguments import explain_calls
from ftkit.data.row import Row
from ftkit.errors import ConfigError
from ftkit.linting.context import LintContext
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView
from ftkit.linting.rule import RowRule, Rule
from ftkit.linting.rules import BUILT_IN
from ftkit.registry import PluginWarning, Registry
from ftkit.results.lint_report import Severity

__all__ = ["find_rule", "known_rules", "lint_rule", "lint_rules", "select_rules"]

RowFunction = Callable[[Row], Any]
"""Takes a row; returns a message, a :class:`~ftkit.linting.finding.RuleFinding`, an iterable of these, or None."""

_GROUP = "ftkit.lint_rules"
_CODE = re.compile(r"[A-Z]+\d{3}")


class _FunctionRule(RowRule):
    """A rule made of a function of a row."""

    def __init__(self, code: str, name: str, summary: str, severity: Severity, function: RowFunction) -> None:
        # Attributes of the object here, and of the class in other rules: each function is a rule of its own.
        self.code = code  # type: ignore[misc]
        self.name = name  # type: ignore[misc]
        self.summary = summary  # type: ignore[misc]
        self.severity = severity  # type: ignore[misc]
        self.__doc__ = function.__doc__ or summary
        self._function = function

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if view.row is None:
            return
        result = self._function(view.row)
        if not result:
            return
        for item in [result] if isinstance(result, str | RuleFinding) else result:
            yield item if isinstance(item, RuleFinding) else RuleFinding(str(item))


def _as_rules(name: str, given: Any) -> tuple[Rule, ...]:
    """Rules from what is registered: a class, an object, a function under :func:`lint_rule`, or a list of these."""
    rules = []
    for item in given if isinstance(given, list | tuple) else [given]:
        rule = getattr(item, "lint_rule", None) or (item() if isinstance(item, type) else item)
        if not isinstance(rule, Rule):
            raise ConfigError(f"it is neither a Rule nor a function under lint_rule, but {item!r}")
        for attribute in ("code", "name", "summary"):
            if not isinstance(getattr(rule, attribute, None), str):
                raise ConfigError(f"{type(rule).__name__} has no {attribute}")
        _check_code(rule.code, rule.severity)
        rules.append(rule)
    return tuple(rules)


def _check_code(code: str, severity: str) -> None:
    if not _CODE.fullmatch(code):
        raise ConfigError(f"lint rule {code!r}: a code is capital letters and three digits, e.g. X001")
    if severity not in get_args(Severity):
        allowed = ", ".join(get_args(Severity))
        raise ConfigError(f"lint rule {code!r}: severity={severity!r} must be one of {allowed}")


lint_rules: Registry[tuple[Rule, ...]] = Registry("lint rule", group=_GROUP, built_in=BUILT_IN, check=_as_rules)
"""Rules by code. An entry point of an installed package may also name a list of rules under any name."""


@explain_calls(instead='ft.lint_rule("X001", "no-invoices")')
def lint_rule(
    code: str, name: str, *, summary: str | None = None, severity: Severity = "warning"
) -> Callable[[RowFunction], RowFunction]:
    """Make a lint rule of a function.

        @ft.lint_rule("X001", "no-invoices", severity="error")
        def no_invoices(row):
            \"\"\"Invoices belong to another team.\"\"\"
            return "is an invoice" if "invoice" in row.columns["text"].lower() else None

    The function takes a :class:`~ftkit.data.Row` and returns a message, several messages, or None.

    Args:
        code: capital letters of a family of your own and three digits, e.g. ``X001``.
        name: words with hyphens.
        summary: one line; by default the first line of the function's docstring, which is also the explanation.
        severity: ``error``, ``warning`` or ``info``.

    Returns:
        A decorator that registers the function and returns it unchanged.

    Raises:
        ConfigError: another rule has the code, or the code or the severity is malformed.
    """
    _check_code(code, severity)
    if code in BUILT_IN:
        raise ConfigError(f"lint_rule({code!r}): another rule has this code; choose another code")

    def decorate(function: RowFunction) -> RowFunction:
        first_line = (function.__doc__ or "").strip().partition("\n")[0]
        rule = _FunctionRule(code, name, summary or first_line or name, severity, function)
        function.lint_rule = rule  # type: ignore[attr-defined]
        # A package whose entry point names this function is found through the entry point.
        if not any(point.module == function.__module__ for point in entry_points(group=_GROUP, name=code)):
            lint_rules.register(code, (rule,))
        return function

    return decorate


def known_rules() -> dict[str, Rule]:
    """Return every lint rule. A package's rule that cannot be used is left out with a warning.

    Returns:
        The rules by code: ftkit's own family by family, then those of packages and scripts.
    """
    for _ in lint_rules.items():  # loading packages may register rules
        pass
    rules: dict[str, Rule] = {}
    for name, registered in lint_rules.items():
        for rule in registered:
            known = rules.setdefault(rule.code, rule)
            if known is not rule:
                warnings.warn(
                    f"the lint rule {rule.name!r} of {lint_rules.origin(name)} has the code {rule.code} of "
                    f"{known.name!r}; it is left out",
                    PluginWarning,
                    stacklevel=2,
                )
    return rules


def find_rule(code: str) -> Rule:
    """Return the rule with a code or a name.

    Args:
        code: the code or the name, in any case.

    Returns:
        The rule.

    Raises:
        ConfigError: there is none.
    """
    for rule in known_rules().values():
        if code.upper() == rule.code or code.lower() == rule.name:
            return rule
    raise ConfigError(f"there is no rule {code!r}; `ftkit lint --rules` lists all rules")


def select_rules(select: Iterable[str], ignore: Iterable[str]) -> list[Rule]:
    """Return the rules that ``select`` names and ``ignore`` does not.

    If both name a rule, the longer name or prefix wins.

    Args:
        select: codes, prefixes of codes or names; ``ALL``, or none, is all rules.
        ignore: codes, prefixes of codes or names.

    Returns:
        The rules, in the order of :func:`known_rules`.

    Raises:
        ConfigError: a name matches no rule.
    """
    rules = known_rules()
    selected, ignored = _match(select, rules), _match(ignore, rules)
    return [
        rule
        for code, rule in rules.items()
        if (not selected and code not in ignored) or (code in selected and selected[code] > ignored.get(code, -1))
    ]


def _match(names: Iterable[str], rules: dict[str, Rule]) -> dict[str, int]:
    """Codes of the named rules, with the length of the longest name that matches each."""
    matched: dict[str, int] = {}
    for name in names:
        if name.upper() == "ALL":
            codes, length = list(rules), 0
        else:
            length = len(name)
            codes = [code for code, rule in rules.items() if code.startswith(name.upper()) or rule.name == name.lower()]
        if not codes:
            families = ", ".join(dict.fromkeys(code.rstrip("0123456789") for code in rules))
            raise ConfigError(
                f"{name!r} matches no rule; the families are {families}, and `ftkit lint --rules` lists all rules"
            )
        for code in codes:
            matched[code] = max(matched.get(code, -1), length)
    return matched
