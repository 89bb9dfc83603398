"""Lint reports as SARIF 2.1.0, which code hosts show beside the lines.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ftkit.render.lint import message_of
from ftkit.results.lint_report import Finding

if TYPE_CHECKING:
    from ftkit.results.lint_report import LintReport

__all__ = ["sarif"]

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(report: LintReport) -> str:
    """Write a lint report as SARIF: one run of one tool, with the rules that have findings.

    Args:
        report: The lint report.

    Returns:
        JSON text.
    """
    rules = [
        {
            "id": count.code,
            "name": "".join(word.capitalize() for word in count.name.split("-")),
            "shortDescription": {"text": count.summary},
            "defaultConfiguration": {"level": _LEVELS[count.severity]},
        }
        for count in report.counts
    ]
    index = {count.code: at for at, count in enumerate(report.counts)}
    driver = {"name": "ftkit lint", "version": report.ftkit_version, "rules": rules}
    results = [_result(finding, index[finding.code], report.sources) for finding in report.findings]
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, ensure_ascii=False, indent=1) + "\n"


def _result(finding: Finding, index: int, sources: tuple[str, ...]) -> dict[str, Any]:
    # Code hosts drop results without a location, so findings about all rows get the first line of the first file.
    location = _location(finding.file or sources[0], finding.line or 1)
    related = [_location(*_file_and_line(place)) for place in finding.related]
    identity = f"{finding.code}\x1f{finding.row}\x1f{finding.path}\x1f{finding.message}"
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": message_of(finding)},
        "locations": [location],
        **({"relatedLocations": related} if related else {}),
        "partialFingerprints": {"ftkit/v1": hashlib.sha256(identity.encode()).hexdigest()[:32]},
        "properties": {key: value for key, value in {"row": finding.row, "split": finding.split}.items() if value},
    }


def _location(file: str, line: int) -> dict[str, Any]:
    path = PurePath(file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}


def _file_and_line(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return file, int(line)
