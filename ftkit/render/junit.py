"""Comparisons as JUnit XML, for CI systems."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree  # only written, never read

from ftkit.results.number_format import value_text

if TYPE_CHECKING:
    from ftkit.results.report import Comparison

__all__ = ["junit"]

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow."""


def junit(comparison: Comparison) -> str:
    """Write a comparison as JUnit XML: a test for the verdict, for each metric and for forgetting.

    The verdict fails if it is ``worse``, and with a margin also if it is ``inconclusive``. A metric fails if it is
    significantly worse.

    Args:
        comparison: The comparison.

    Returns:
        XML.
    """
    before, after = comparison.labels
    cases: list[tuple[str, str | None]] = []
    undecided = comparison.margin is not None and comparison.verdict == "inconclusive"
    cases.append(("verdict", comparison.sentence if comparison.verdict == "worse" or undecided else None))
    for change in comparison.metrics:
        if change.name == comparison.primary:  # is the verdict
            continue
        before_text, after_text = (value_text(value, change.unit) for value in (change.before, change.after))
        lost = f"{change.name}: {before_text} before, {after_text} after" if change.verdict == "worse" else None
        cases.append((change.name, lost))
    if comparison.forgetting is not None:
        cases.append(("forgetting", " ".join(comparison.forgetting.flags) or None))
    failed = sum(message is not None for _, message in cases)
    suite = ElementTree.Element(
        "testsuite", name=_clean(f"{before} → {after}"), tests=str(len(cases)), failures=str(failed), errors="0"
    )
    for name, message in cases:
        case = ElementTree.SubElement(suite, "testcase", classname="ftkit.compare", name=_clean(name))
        if message is not None:
            ElementTree.SubElement(case, "failure", message=_clean(message))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
