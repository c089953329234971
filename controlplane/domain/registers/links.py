"""What one STOR finding leads to, as D239 judges it on each host."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.registers.rules import Broken
from controlplane.domain.registers.values import Registers
from controlplane.domain.values import Value


class Linkage(Value):
    """How one STOR finding is linked; `faults` say what is missing, and are empty where it leads to gaps and a loop."""

    id: str
    hosts: tuple[str, ...]
    gaps: tuple[str, ...]
    loops: tuple[str, ...]
    open_gaps: tuple[str, ...]
    faults: tuple[str, ...]


def linkages(registers: Registers, broken: Sequence[Broken]) -> tuple[Linkage, ...]:
    """Return the linkage of every finding. A broken rule counts for the finding itself, its gaps and its loops."""
    by_id: dict[str, list[str]] = {}
    for rule in broken:
        by_id.setdefault(rule.id, []).append(f"{rule.id}: {rule.message}" if rule.file != "findings" else rule.message)
    found = []
    for name, finding in registers.findings.items():
        loops = registers.loops_of(finding)
        faults = [message for one in (name, *finding.gaps, *loops) for message in by_id.get(one, [])]
        left = tuple(gap for gap in finding.gaps if gap in registers.gaps and registers.gaps[gap].is_open)
        found.append(Linkage(id=name, hosts=finding.hosts, gaps=finding.gaps, loops=loops, open_gaps=left, faults=tuple(dict.fromkeys(faults))))
    return tuple(found)
