"""What a scan finds as bytes without code: JSON and arrays, for results that travel through a storage of files.

A pickle would run code of whoever can write there.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftkit.errors import FtkitError
from ftkit.linting.finding import RuleFinding, RuleFindings
from ftkit.linting.row_features import RowFeatures
from ftkit.linting.scan import ScanResult
from ftkit.linting.variant_counter import VariantCounter

__all__ = ["MAX_RESULT_BYTES", "result_from_bytes", "result_to_bytes"]

MAX_RESULT_BYTES = 1 << 30
"""Largest result that is read. A row takes about 350 bytes, and a process scans at most 100,000 rows at once."""
_TEXTS = "texts"
_FEATURES, _ROWS, _ERROR_ROWS = "features.", "rows.", "error_rows."


def result_to_bytes(result: ScanResult) -> bytes:
    """Write the result of a scan.

    Args:
        result: the result.

    Returns:
        An archive of arrays, as ``numpy.savez`` writes it.
    """
    texts = {
        "findings": {code: _findings_to_json(found) for code, found in result.findings.items()},
        "counters": {code: _counter_to_json(counter) for code, counter in result.counters.items()},
        "ignores": [[row, list(codes)] for row, codes in result.ignores.items()],
        "limited": result.limited,
    }
    arrays: dict[str, NDArray[Any]] = {_TEXTS: np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)}
    for code, found in result.findings.items():
        arrays[_ROWS + code] = _numbers(found.rows)
        arrays[_ERROR_ROWS + code] = _numbers(found.error_rows)
    if result.features is not None:
        arrays |= {_FEATURES + name: column for name, column in result.features.arrays().items()}
    written = io.BytesIO()
    savez: Any = np.savez  # whose types take arrays for the option allow_pickle
    savez(written, **arrays)
    return written.getvalue()


def result_from_bytes(content: bytes, rows: int) -> ScanResult:
    """Read the result of a scan.

    Args:
        content: what :func:`result_to_bytes` returned.
        rows: how many rows were scanned.

    Returns:
        The result.

    Raises:
        FtkitError: it is not such a result, or not of so many rows.
    """
    try:
        return _read(content, rows)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, zipfile.BadZipFile) as error:
        raise FtkitError(f"the result of a scan is damaged ({error}); lint again") from None


def _read(content: bytes, rows: int) -> ScanResult:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_RESULT_BYTES:
            raise ValueError("it is too large")
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        arrays: dict[str, NDArray[Any]] = {name: held[name] for name in held.files}
    texts = json.loads(arrays[_TEXTS].tobytes())
    findings = {
        code: _findings_from_json(given, arrays[_ROWS + code], arrays[_ERROR_ROWS + code])
        for code, given in texts["findings"].items()
    }
    columns = {name.removeprefix(_FEATURES): column for name, column in arrays.items() if name.startswith(_FEATURES)}
    if any(len(column) != rows for column in columns.values()):
        raise ValueError(f"it is not of {rows:,} rows")
    return ScanResult(
        findings=findings,
        counters={code: _counter_from_json(given) for code, given in texts["counters"].items()},
        features=RowFeatures.from_arrays(columns) if columns else None,
        ignores={int(row): tuple(codes) for row, codes in texts["ignores"]},
        limited={code: int(checked) for code, checked in texts["limited"].items()},
    )


def _findings_to_json(found: RuleFindings) -> dict[str, Any]:
    kept = [
        [each.message, each.path, each.excerpt, each.row, list(map(int, each.others)), each.severity, each.fixable]
        for each in found.kept
    ]
    return {**found.settings(), "kept": kept, "count": found.count, "severities": sorted(found.severities),
            "any_fixable": found.fixable}  # fmt: skip


def _findings_from_json(given: dict[str, Any], rows: NDArray[Any], error_rows: NDArray[Any]) -> RuleFindings:
    found = RuleFindings(given["severity"], fixable=given["fixable"], keep=given["keep"])
    found.kept = [
        RuleFinding(message, path, excerpt, row, tuple(others), severity, fixable)
        for message, path, excerpt, row, others, severity, fixable in given["kept"]
    ]
    found.count, found.severities = int(given["count"]), set(given["severities"])
    found.rows, found.error_rows = set(rows.tolist()), set(error_rows.tolist())
    found.fixable = bool(given["any_fixable"])
    return found


def _counter_to_json(counter: VariantCounter) -> dict[str, Any]:
    limit, counts = counter.to_plain()
    encoded = {
        key: [
            [variant, count, last, base64.b64encode(rows).decode()] for variant, (count, last, rows) in variants.items()
        ]
        for key, variants in counts.items()
    }
    return {"limit": limit, "counts": encoded}


def _counter_from_json(given: dict[str, Any]) -> VariantCounter:
    counts = {
        key: {variant: (int(count), int(last), base64.b64decode(rows)) for variant, count, last, rows in variants}
        for key, variants in given["counts"].items()
    }
    return VariantCounter.from_plain(int(given["limit"]), counts)


def _numbers(rows: set[int]) -> NDArray[np.int64]:
    return np.array(sorted(rows), dtype=np.int64)
