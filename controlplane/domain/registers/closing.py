"""When a gap may be closed: what each finding that it serves still lacks, by recorded runs.

Rules:
- For every finding that names the gap, each of its checks has to be MET on each of its hosts, on every surface that belongs to it.
- Only the runs that are named count, and of those the latest that judged the check on that host. A later run that says otherwise is an objection.
- A finding that no check judges is a person's to decide: they say so by --attest.
- The program recommends; a person closes.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.domain.finding import Finding, Verdict
from controlplane.domain.gates.values import SITE
from controlplane.domain.registers.values import Registers, StorFinding
from controlplane.domain.values import Value


class RunReport(Value):
    """What one recorded run judged: its key, when, and its findings."""

    run: str
    at: str
    findings: tuple[Finding, ...]


class Criterion(Value):
    """One check on one host that a gap's closing rests on; `run` is the run that shows it, `objection` why it does not hold."""

    finding: str
    check: str
    host: str
    run: str | None = None
    objection: str | None = None


class Recommendation(Value):
    """Whether a gap may be closed. `unjudged` are findings that no check judges."""

    gap: str
    findings: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    unjudged: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()

    @property
    def closable(self) -> bool:
        """Return whether recorded runs alone speak for it, and nothing against."""
        return not self.objections and not self.unjudged

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the runs that it rests on, each once."""
        return tuple(dict.fromkeys(one.run for one in self.criteria if one.run is not None))


class Resting(Value):
    """What a closing rests on: the site's registers, its recorded runs, its hosts, and the runs that a person named (none: whatever came last)."""

    registers: Registers
    reports: tuple[RunReport, ...]
    governed: tuple[str, ...]
    named: tuple[str, ...] = ()

    def newest_first(self) -> list[RunReport]:
        """Return the recorded runs, the newest first."""
        return sorted(self.reports, key=lambda one: (one.at, one.run), reverse=True)


def recommend(gap: str, resting: Resting) -> Recommendation:
    """Return what speaks for and against closing a gap."""
    newest_first, registers = resting.newest_first(), resting.registers
    served = registers.findings_of(gap)
    criteria = [
        _criterion((name, check, host), resting, newest_first)
        for name in served
        for check in registers.findings[name].checks
        for host in _hosts_of(registers.findings[name], check, newest_first, resting.governed)
    ]
    objections = [f"{one.finding}: {one.check} on {one.host}: {one.objection}" for one in criteria if one.objection is not None]
    if not served:
        objections.append("no finding names it, so nothing shows that it is mended: link it to one, or accept it with a reason")
    unjudged = tuple(name for name in served if not registers.findings[name].checks)
    return Recommendation(gap=gap, findings=served, criteria=tuple(criteria), unjudged=unjudged, objections=tuple(objections))


def _hosts_of(finding: StorFinding, check: str, reports: Sequence[RunReport], governed: Sequence[str]) -> tuple[str, ...]:
    if finding.hosts:
        return finding.hosts
    # A check of the site's own that looks at no machine is judged once.
    on_site = any(one.check == check and one.host == SITE for report in reports for one in report.findings)
    return (SITE,) if on_site else tuple(governed)


def _criterion(about: tuple[str, str, str], resting: Resting, reports: Sequence[RunReport]) -> Criterion:
    name, check, host = about
    finding = resting.registers.findings[name]
    blank = Criterion(finding=name, check=check, host=host)
    known = [(report, found) for report in reports if (found := _of(report, finding, check, host)) is not None]
    if not known:
        return blank.model_copy(update={"objection": "no recorded run judged it: controlplane gates run"})
    latest, found = known[0]
    bad = next((one for one in found if one.verdict is not Verdict.MET), None)
    if bad is not None:
        told = f"{bad.surface} is {bad.verdict} in {latest.run}: {bad.reason}"
        return blank.model_copy(update={"run": latest.run, "objection": told})
    chosen, found = next(((report, found) for report, found in known if report.run in resting.named), (None, [])) if resting.named else known[0]
    if chosen is None:
        return blank.model_copy(update={"objection": f"none of the runs that were named judged it; {latest.run} did"})
    if any(one.verdict is not Verdict.MET for one in found):
        return blank.model_copy(update={"run": chosen.run, "objection": f"it was not met in {chosen.run}; name {latest.run}"})
    return blank.model_copy(update={"run": chosen.run})


def _of(report: RunReport, finding: StorFinding, check: str, host: str) -> list[Finding] | None:
    """Return what a run says of a finding's surfaces, and what it could not observe; None where it did not judge that check on that host.

    An empty list is a surface that is gone, such as a file that was removed: the check looked, and found nothing of it.
    """
    judged = [one for one in report.findings if (one.check, one.host) == (check, host)]
    if not judged:
        return None
    return [one for one in judged if one.verdict is Verdict.UNKNOWN or not finding.surfaces or finding.covers(check, host, one.surface)]
