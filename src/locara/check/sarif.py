"""A report as SARIF 2.1.0 (OASIS), which editors and code hosts read. What may live here: that format, as values."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from locara.check.findings import CODES, Finding
from locara.check.report import Report

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(report: Report, version: str) -> dict[str, Any]:
    """One run. ``version``: of Locara."""
    rules = [
        {"id": code, "shortDescription": {"text": f"{text[:1].upper()}{text[1:]}."}} for code, text in CODES.items()
    ]
    driver = {"name": "locara check", "version": version, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one) for one in report.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.path)}}
    if finding.line:
        place["region"] = {"startLine": finding.line, "startColumn": max(1, finding.column)}
    return {
        "ruleId": finding.code,
        "ruleIndex": list(CODES).index(finding.code),
        "level": finding.severity,
        "message": {"text": f"{finding.what}. {finding.fix}" if finding.fix else finding.what},
        "locations": [{"physicalLocation": place}],
    }
