"""Mark findings with the mode that their check has on their host, and with the STOR findings that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.finding import Finding
from controlplane.domain.gates.values import Gates
from controlplane.domain.registers import Registers, StorFinding


def marked(findings: Sequence[Finding], gates: Gates, registers: Registers | None) -> tuple[Finding, ...]:
    """Return the findings with `mode` and `stor`."""
    by_check: dict[str, list[tuple[str, StorFinding]]] = {}
    for name, stor in (registers or Registers()).findings.items():
        for check in stor.checks:
            by_check.setdefault(check, []).append((name, stor))
    expected: dict[tuple[str, str, str], list[str]] = {}
    for check, host, surface, name in gates.links():
        expected.setdefault((check, host, surface), []).append(name)
    return tuple(_marked(one, gates, by_check, expected) for one in findings)


def _marked(
    finding: Finding, gates: Gates, by_check: dict[str, list[tuple[str, StorFinding]]], expected: dict[tuple[str, str, str], list[str]]
) -> Finding:
    belongs = [name for name, stor in by_check.get(finding.check, []) if stor.covers(finding.check, finding.host, finding.surface)]
    belongs += expected.get((finding.check, finding.host, finding.surface), [])
    mode = gates.mode(finding.check, finding.host)
    if not belongs and mode == finding.mode:
        return finding
    return finding.model_copy(update={"mode": mode, "stor": tuple(dict.fromkeys(belongs))})
