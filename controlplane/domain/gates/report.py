"""What a run of gates answers: the JSON of an audit, and beyond it the run's key and which checks pass on which hosts."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.finding import AuditReport, Verdict
from controlplane.domain.gates.passing import Passing


class GateReport(AuditReport):
    """`run` is the key under which it is on record; `passing` says of each check and host whether it passes in report mode, and why not.

    `silent` are checks of the pack that had nothing to ask of these hosts.
    """

    run: str
    pack: str
    passing: tuple[Passing, ...]
    silent: tuple[str, ...] = ()

    def exit_code(self) -> int:
        """Return 5 if anything is UNKNOWN, else 3 if a check that is enforced drifts, else 0."""
        if self.summary.unknown:
            return 5
        return 3 if any(one.verdict is Verdict.DRIFTED and one.mode == "enforce" for one in self.findings) else 0

    def not_passed(self, checks: Sequence[str] | None = None, hosts: Sequence[str] | None = None) -> tuple[Passing, ...]:
        """Return what did not pass, of these checks and hosts or of all."""
        return tuple(
            one for one in self.passing if not one.passed and (checks is None or one.check in checks) and (hosts is None or one.host in hosts)
        )
