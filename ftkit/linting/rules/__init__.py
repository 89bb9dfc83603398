"""The rules, one module a family: the first letter of a code.

``D`` shape · ``J`` schema · ``C`` consistency · ``L`` labels · ``U`` duplicates · ``K`` knowledge · ``T`` tokens ·
``V`` volume · ``S`` safety · ``P`` preferences · ``H`` hosts · ``G`` gradients
"""

from __future__ import annotations

from collections.abc import Iterator

from ftkit.linting.rule import Rule
from ftkit.linting.rules import (
    duplicates,
    gradients,
    hosts,
    knowledge,
    labels,
    preferences,
    safety,
    schema,
    shape,
    style,
    tokens,
    values,
    volume,
)

__all__ = ["BUILT_IN", "FAMILIES"]

FAMILIES = {
    "D": "shape of rows",
    "J": "answers against the schema",
    "C": "consistency of answers",
    "L": "labels and contradictions",
    "U": "duplicates and leakage",
    "K": "behaviour or knowledge",
    "T": "tokens and lengths",
    "V": "volume",
    "S": "safety",
    "P": "preferences",
    "H": "hosts",
    "G": "gradients",
}
_MODULES = (
    shape,
    schema,
    style,
    values,
    labels,
    duplicates,
    knowledge,
    tokens,
    volume,
    safety,
    preferences,
    hosts,
    gradients,
)


def _rules() -> Iterator[Rule]:
    for module in _MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            if isinstance(found, type) and issubclass(found, Rule):
                yield found()


BUILT_IN: tuple[Rule, ...] = tuple(sorted(_rules(), key=lambda rule: (list(FAMILIES).index(rule.code[0]), rule.code)))
"""Every rule that ftkit brings."""
