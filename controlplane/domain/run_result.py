"""What `apply` and `rollback` answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from controlplane.domain.finding import AuditReport, Finding, Verdict
from controlplane.domain.plan import Mend, Plan, Step
from controlplane.domain.receipt import ChangeStatus, Outcome
from controlplane.domain.values import Value


class RunResult(Value):
    """The JSON of `apply` and `rollback`. `remaining` is drift that was not promised to be mended.

    `messages` says what a step's role wants known, then what failed and what is next.
    """

    run: str | None
    receipts: tuple[str, ...]
    plan: str
    outcome: Outcome
    changed: tuple[ChangeStatus, ...]
    verify: AuditReport | None
    remaining: tuple[Finding, ...]
    downtime_s: dict[str, float]
    messages: tuple[str, ...]

    def exit_code(self) -> Literal[0, 1, 4, 130]:
        """Return 0 only where everything that was promised is done."""
        codes: dict[Outcome, Literal[0, 1, 4, 130]] = {"done": 0, "rolled-back": 0, "failed": 1, "interrupted": 130, "refused": 4}
        return codes[self.outcome]


def remaining_drift(plan: Plan, report: AuditReport | None) -> tuple[Finding, ...]:
    """Return what is not MET and was not promised."""
    promised = {(step.host, mend.check, mend.surface) for step in plan.steps for mend in step.mends}
    findings = report.findings if report is not None else ()
    return tuple(f for f in findings if f.verdict in (Verdict.DRIFTED, Verdict.UNKNOWN) and (f.host, f.check, f.surface) not in promised)


def unmet_promises(step: Step, findings: tuple[Finding, ...]) -> list[Finding]:
    """Return the promised findings that are not MET; a promise that no finding speaks of is itself unmet."""
    unmet = []
    for mend in step.mends:
        found = [f for f in findings if (f.host, f.check, f.surface) == (step.host, mend.check, mend.surface)]
        gone = _goes(mend) and not any(_is_unseen(f, step, mend) for f in findings)
        if not found and not gone:
            reason = "no finding speaks of it"
            unmet.append(Finding(check=mend.check, host=step.host, surface=mend.surface, verdict=Verdict.UNKNOWN, severity="high", reason=reason))
        # A waiver excuses a drift, it does not keep a promise to mend it.
        unmet += [f for f in found if f.verdict is not Verdict.MET]
    return unmet


def _goes(mend: Mend) -> bool:
    """Say whether what is mended is gone altogether (a purged root, a file in /tmp): that it has no finding any more is the promise kept."""
    return (mend.check, _kind(mend.surface)) in {("D244", "retired"), ("D238", "tmp")}


def _is_unseen(finding: Finding, step: Step, mend: Mend) -> bool:
    """Say whether a finding tells that the check could not look at that kind of thing there."""
    is_of_it = (finding.check, finding.host, _kind(finding.surface)) == (mend.check, step.host, _kind(mend.surface))
    return is_of_it and finding.verdict is Verdict.UNKNOWN


def _kind(surface: str) -> str:
    return surface.partition(":")[0]


def broken_promises(plan: Plan, report: AuditReport) -> list[str]:
    """Return what the plan promised and is not MET, each once, as messages say it."""
    unmet = [finding for step in plan.steps for finding in unmet_promises(step, report.findings)]
    return [f"{f.check} {f.surface} on {f.host} was promised and is {f.verdict}: {f.reason}" for f in dict.fromkeys(unmet)]


def nothing_done(plan: Plan, message: str, report: AuditReport | None = None, unpinned: Sequence[str] = ()) -> RunResult:
    """Return the result of an apply that had nothing to do; it failed all the same where a promise is broken, or a key could not be pinned."""
    broken = [*unpinned, *([] if report is None else broken_promises(plan, report))]
    return RunResult(
        run=None,
        receipts=(),
        plan=plan.plan,
        outcome="failed" if broken else "done",
        changed=(),
        verify=report,
        remaining=remaining_drift(plan, report),
        downtime_s={},
        messages=(message, *broken),
    )
