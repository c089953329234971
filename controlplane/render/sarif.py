"""An audit as SARIF 2.1.0, for code scanning and dashboards.

Source: OASIS SARIF 2.1.0, 3.27.9 and 3.27.10: a result that isn't of kind `fail` has the level `none`. UNKNOWN is `open` (evaluated, not enough
known), WAIVED a `fail` with a suppression.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from controlplane import __version__
from controlplane.domain.checks import CHECKS
from controlplane.domain.checks.case import Check
from controlplane.domain.digest import digest_of
from controlplane.domain.finding import AuditReport, Finding, Severity, Verdict
from controlplane.domain.gates.catalogue import told_of
from controlplane.domain.gates.values import SiteCheck

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL: dict[Severity, Literal["note", "warning", "error"]] = {"low": "note", "medium": "warning", "high": "error"}
_KIND = {Verdict.MET: "pass", Verdict.UNKNOWN: "open", Verdict.DRIFTED: "fail", Verdict.WAIVED: "fail"}


def sarif_of(report: AuditReport, own: Mapping[str, SiteCheck] | None = None) -> dict[str, Any]:
    """Return the document; `own` are the site's own checks, by id, where the report has some."""
    rules = list(dict.fromkeys(finding.check for finding in report.findings))
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "controlplane", "version": __version__, "rules": [_rule(check, own or {}) for check in rules]}},
        "invocations": [{"executionSuccessful": True, "endTimeUtc": report.judged_at}],
        "properties": {"site": report.site, "policyDigest": report.policy_digest},
        "results": [_result(finding, rules.index(finding.check)) for finding in report.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(check_id: str, own: Mapping[str, SiteCheck]) -> dict[str, Any]:
    check = CHECKS.get(check_id) or own.get(check_id)
    if check is None:
        return {"id": check_id}
    return {
        "id": check_id,
        "name": check.title.replace("'", "").title().replace(" ", ""),
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": described(check) if isinstance(check, Check) else told_of(check)},
        "defaultConfiguration": {"level": _LEVEL[check.severity]},
    }


def described(check: Check) -> str:
    """Return what a check says of itself, in one paragraph a line of its docstring's sections."""
    return " ".join((check.questions.__doc__ or check.title).split())


def _result(finding: Finding, index: int) -> dict[str, Any]:
    kind = _KIND[finding.verdict]
    place = f"{finding.host}/{finding.surface}"
    result: dict[str, Any] = {
        "ruleId": finding.check,
        "ruleIndex": index,
        "kind": kind,
        "level": _LEVEL[finding.severity] if kind == "fail" else "none",
        "message": {"text": f"{finding.host} {finding.surface}: {finding.reason}"},
        "locations": [{"logicalLocations": [{"name": finding.surface, "fullyQualifiedName": place, "kind": "resource"}]}],
        "partialFingerprints": {"controlplane/v1": digest_of([finding.check, finding.host, finding.surface])},
        "properties": {"verdict": finding.verdict.value, "severity": finding.severity, "mode": finding.mode, "stor": list(finding.stor)},
    }
    if finding.verdict is Verdict.WAIVED:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.reason}]
    return result
