"""All rules by code: ftkit's own, those that packages plug in, and those that a script declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from ftkit.data.row import Row
from ftkit.errors import ConfigError
from ftkit.linting.context import Setting
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule, Rule
from ftkit.linting.rules import BUILT_IN
from ftkit.results.lint_report import SEVERITIES, Severity

__all__ = ["GROUP", "chosen_rules", "known_rules", "lint_rule", "rule_of"]

GROUP = "ftkit.lint_rules"
"""Entry points of this group are rules: a class, an object, a function that :func:`lint_rule` made one, or a list."""

Checks = Callable[[Row], Any]

_declared: dict[str, Rule] = {}


class _FunctionRule(RowRule):
    """A function of a row as a rule."""

    def __init__(self, code: str, name: str, summary: str, severity: Severity, function: Checks) -> None:
        # Of the object, where other rules have them of the class: it is one rule for each function.
        self.code = code  # type: ignore[misc]
        self.name = name  # type: ignore[misc]
        self.summary = summary  # type: ignore[misc]
        self.severity = severity  # type: ignore[misc]
        self.__doc__ = function.__doc__ or summary
        self._function = function

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        if seen.row is None:
            return
        said = self._function(seen.row)
        if not said:
            return
        for one in [said] if isinstance(said, str | Found) else said:
            yield one if isinstance(one, Found) else Found(str(one))


def lint_rule(
    code: str, name: str, *, summary: str | None = None, severity: Severity = "warning"
) -> Callable[[Checks], Checks]:
    """Make a rule of a function.

        @ft.lint_rule("X001", "no-invoices", severity="error")
        def no_invoices(row):
            \"\"\"Invoices are another team's.\"\"\"
            return "is an invoice" if "invoice" in row.columns["text"].lower() else None

    Args:
        code: a letter and three digits, or several letters, of a family of your own: ``X001``.
        name: in words, with hyphens.
        summary: one line; by default the first line of the function's docstring, which is also the explanation.
        severity: ``error``, ``warning`` or ``info``.

    The function takes a :class:`~ftkit.data.Row` and returns a message, several, or None.

    Raises:
        ConfigError: a code that another rule has, or not of that form.
    """

    def declare(function: Checks) -> Checks:
        first = (function.__doc__ or "").strip().partition("\n")[0]
        _declared[code] = _FunctionRule(code, name, summary or first or name, severity, function)
        return function

    letters, digits = code.rstrip("0123456789"), code[len(code.rstrip("0123456789")) :]
    if not (letters.isascii() and letters.isupper() and letters.isalpha() and len(digits) == 3):
        raise ConfigError(f"lint_rule({code!r}): a code is capital letters and three digits, e.g. X001")
    if severity not in SEVERITIES:
        raise ConfigError(f"lint_rule({code!r}): severity={severity!r} must be one of {', '.join(SEVERITIES)}")
    if any(rule.code == code for rule in BUILT_IN):
        raise ConfigError(f"lint_rule({code!r}): another rule has this code")
    return declare


def known_rules() -> dict[str, Rule]:
    """Every rule there is, by code, family by family.

    Raises:
        ConfigError: a plug-in cannot be loaded, or has the code of another rule.
    """
    found = {rule.code: rule for rule in BUILT_IN}
    # The plug-ins first: loading them may declare rules.
    for rule in (*_plugged_in(), *_declared.values()):
        if rule.code in found:
            raise ConfigError(f"the rule {rule.name} has the code {rule.code}, which {found[rule.code].name} has")
        found[rule.code] = rule
    return found


@cache
def _plugged_in() -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
        except Exception as error:  # whatever a plug-in's import raises
            raise ConfigError(f"the lint rule {point.name!r} ({point.value}) cannot be loaded: {error}") from error
        for one in loaded if isinstance(loaded, list | tuple) else [loaded]:
            made = one() if isinstance(one, type) else one
            if isinstance(made, Rule):
                rules.append(made)
            elif not any(getattr(rule, "_function", None) is made for rule in _declared.values()):
                raise ConfigError(
                    f"the lint rule {point.name!r} ({point.value}) is neither a rule nor made by lint_rule"
                )
    return tuple(rules)


def rule_of(code: str) -> Rule:
    """The rule with this code or name.

    Raises:
        ConfigError: there is none.
    """
    for rule in known_rules().values():
        if code.upper() == rule.code or code.lower() == rule.name:
            return rule
    raise ConfigError(f"there is no rule {code!r}; `ftkit lint --rules` lists them all")


def chosen_rules(select: Iterable[str], ignore: Iterable[str]) -> list[Rule]:
    """The rules that ``select`` names and ``ignore`` does not, both by code, name or beginning of a code.

    ``select`` empty, or ``ALL``, is all rules. Where both name a rule, the longer beginning wins.

    Raises:
        ConfigError: a name that fits no rule.
    """
    rules = known_rules()
    wanted, unwanted = _matched(select, rules), _matched(ignore, rules)
    everything = not wanted
    return [
        rule
        for code, rule in rules.items()
        if (everything and code not in unwanted) or (code in wanted and wanted[code] > unwanted.get(code, -1))
    ]


def _matched(given: Iterable[str], rules: dict[str, Rule]) -> dict[str, int]:
    """Codes of the rules that are named, with the length of the longest name for each."""
    found: dict[str, int] = {}
    for name in given:
        if name.upper() == "ALL":
            fitting: Sequence[str] = list(rules)
            weight = 0
        else:
            fitting = [
                code for code, rule in rules.items() if code.startswith(name.upper()) or rule.name == name.lower()
            ]
            weight = len(name)
        if not fitting:
            families = ", ".join(dict.fromkeys(code.rstrip("0123456789") for code in rules))
            raise ConfigError(
                f"{name!r} fits no rule; the families are {families}, and `ftkit lint --rules` lists all rules"
            )
        for code in fitting:
            found[code] = max(found.get(code, -1), weight)
    return found
